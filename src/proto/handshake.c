/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The messages around Noise IKpsk2 (PROTOCOL.md, "Handshake"):
 *
 *	0xA4 | cluster key id | n u16 | tag u32 | Noise message 1 | zeros | token 32 | mac1 16
 *	0xA5 | kid            | n u16 | tag u32 | Noise message 2
 *	0xA6 | 0 0 0                  | tag u32 | token 32 | mac 16
 *
 * The prologue holds bytes 0…7 of message 1; token and mac1 lie outside Noise,
 * so that a retry repeats the same Noise bytes: one ephemeral never encrypts
 * two different things.
 */
#include "proto/handshake.h"

#include <errno.h>

#include "proto/noise_ik.h"

#define PROLOGUE_SIZE (7 + MESSAGE1_NOISE)
#define PAYLOAD1_MAX  (MESSAGE1_N_MAX - IK_MESSAGE1_OVERHEAD)
#define PAYLOAD2_MAX  (MESSAGE1_SIZE - MESSAGE2_NOISE - IK_MESSAGE2_OVERHEAD)
#define TICKET_MIN    29 /* kid, nonce, tag */

#define PAYLOAD2_SENT (PAYLOAD2_FIXED + 3 + TICKET_MAX + 3 + ANNOUNCEMENT_MAX)

_Static_assert(PAYLOAD2_SENT <= PAYLOAD2_MAX,
		"message 2 is never longer than message 1");
_Static_assert(IK_MESSAGE1_OVERHEAD == MESSAGE1_N_MIN, "n counts from an empty payload");

enum { OFFSET_ID = 1, OFFSET_N = 2, OFFSET_TAG = 4 }; /* in messages 1, 2 and retry */

uint8_t cluster_key_id(const uint8_t cluster_public[KEY_SIZE])
{
	uint8_t hash[HASH_SIZE];

	sha256_parts(&PART(cluster_public, KEY_SIZE), 1, hash);
	return hash[0];
}

static void begin(struct noise *s, const uint8_t header[MESSAGE1_NOISE],
		const uint8_t cluster_public[KEY_SIZE])
{
	uint8_t prologue[PROLOGUE_SIZE] = "anytun2";

	memcpy(prologue + 7, header, MESSAGE1_NOISE);
	ik_begin(s, prologue, sizeof prologue, cluster_public);
}

/* ---- mac1 and retry ---- */

void message1_mac_key(const uint8_t cluster_public[KEY_SIZE], uint8_t key[KEY_SIZE])
{
	const struct part parts[] = {
		PART(MAC1_LABEL, strlen(MAC1_LABEL)), PART(cluster_public, KEY_SIZE),
	};

	sha256_parts(parts, ARRAY_SIZE(parts), key);
}

static void mac1_make(const uint8_t *message1, const uint8_t mac_key[KEY_SIZE],
		uint8_t mac[HASH_SIZE])
{
	hmac_parts(mac_key, KEY_SIZE, &PART(message1, MESSAGE1_MAC), 1, mac);
}

static void retry_mac_make(const uint8_t *message1, const uint8_t token[TOKEN_SIZE],
		const uint8_t mac_key[KEY_SIZE], uint8_t mac[HASH_SIZE])
{
	const struct part parts[] = {
		PART(message1 + MESSAGE1_MAC, MAC_SIZE), PART(token, TOKEN_SIZE),
	};

	hmac_parts(mac_key, KEY_SIZE, parts, ARRAY_SIZE(parts), mac);
}

bool message1_check(const uint8_t *packet, size_t len, const uint8_t mac_key[KEY_SIZE])
{
	uint8_t mac[HASH_SIZE];
	uint16_t n;

	if (len != MESSAGE1_SIZE || packet[0] != (WIRE_MAGIC | WIRE_HANDSHAKE_1))
		return false;
	n = load_be16(packet + OFFSET_N);
	if (n < MESSAGE1_N_MIN || n > MESSAGE1_N_MAX)
		return false;
	mac1_make(packet, mac_key, mac);
	return equal_secret(mac, packet + MESSAGE1_MAC, MAC_SIZE);
}

void retry_write(const uint8_t *message1, const uint8_t token[TOKEN_SIZE],
		const uint8_t mac_key[KEY_SIZE], uint8_t out[RETRY_SIZE])
{
	uint8_t mac[HASH_SIZE];

	memset(out, 0, OFFSET_TAG);
	out[0] = WIRE_MAGIC | WIRE_RETRY;
	memcpy(out + OFFSET_TAG, message1 + OFFSET_TAG, 4);
	memcpy(out + RETRY_TOKEN, token, TOKEN_SIZE);
	retry_mac_make(message1, token, mac_key, mac);
	memcpy(out + RETRY_MAC, mac, MAC_SIZE);
}

/* ---- payloads ---- */

static void offer_write(struct writer *w, const struct offer *offer)
{
	write_u8(w, offer->version_count);
	write_bytes(w, offer->versions, offer->version_count);
	write_u8(w, offer->aead_count);
	write_bytes(w, offer->aeads, offer->aead_count);
}

static bool version_known(uint8_t version)
{
	return version == PROTOCOL_VERSION;
}

static bool aead_known(uint8_t aead)
{
	return aead < AEAD_COUNT;
}

/* A counted list; of its values, those known. */
static uint8_t list_read(struct reader *r, uint8_t known[8], bool (*is_known)(uint8_t))
{
	uint8_t count = read_u8(r), found = 0;
	const uint8_t *values = read_bytes(r, count);

	for (unsigned i = 0; values && i < count && found < 8; i++) {
		if (is_known(values[i]))
			known[found++] = values[i];
	}
	return found;
}

static bool offer_read(struct offer *offer, const uint8_t *payload, size_t len)
{
	struct reader r = reader_over(payload, len);
	struct offer o = {0};

	o.version_count = list_read(&r, o.versions, version_known);
	o.aead_count = list_read(&r, o.aeads, aead_known);
	if (r.bad || !tlvs_skip(&r))
		return false;
	*offer = o;
	return true;
}

static void tlv_write(struct writer *w, uint8_t type, const uint8_t *value, uint16_t len)
{
	write_u8(w, type);
	write_u16(w, len);
	write_bytes(w, value, len);
}

static void grant_write(struct writer *w, const struct grant *g)
{
	uint8_t address[ENDPOINT_WIRE];

	endpoint_store(address, &g->address);
	write_bytes(w, g->s, KEY_SIZE);
	write_bytes(w, g->sid, SID_SIZE);
	write_u32(w, g->end);
	write_u64(w, g->time);
	write_bytes(w, address, sizeof address);
	write_bytes(w, g->cookie, COOKIE_SIZE);
	write_u8(w, g->version);
	write_u8(w, g->aead);
	write_u8(w, g->kid);
	if (g->ticket_len > 0)
		tlv_write(w, TLV_TICKET, g->ticket, g->ticket_len);
	if (g->announcement_len > 0)
		tlv_write(w, TLV_CLUSTER_KEYS, g->announcement, g->announcement_len);
}

static bool grant_tlvs_read(struct grant *g, struct reader *r)
{
	const uint8_t *value;
	uint16_t len;
	uint8_t type;

	while (tlv_next(r, &type, &value, &len)) {
		/* one of a size that is not known here is of a later version */
		if (type == TLV_CLUSTER_KEYS && len <= ANNOUNCEMENT_MAX) {
			g->announcement_len = len;
			memcpy(g->announcement, value, len);
		}
		if (type != TLV_TICKET)
			continue;
		if (len < TICKET_MIN || len > TICKET_MAX)
			return false;
		g->ticket_len = len;
		memcpy(g->ticket, value, len);
	}
	return !r->bad;
}

/* *g is the caller's scratch: also filled on failure. */
static bool grant_read(struct grant *g, const uint8_t *payload, size_t len, uint8_t kid)
{
	struct reader r = reader_over(payload, len);
	uint8_t address[ENDPOINT_WIRE];

	memset(g, 0, sizeof *g);
	read_copy(&r, g->s, KEY_SIZE);
	read_copy(&r, g->sid, SID_SIZE);
	g->end = read_u32(&r);
	g->time = read_u64(&r);
	read_copy(&r, address, sizeof address);
	endpoint_load(&g->address, address);
	read_copy(&r, g->cookie, COOKIE_SIZE);
	g->version = read_u8(&r);
	g->aead = read_u8(&r);
	g->kid = read_u8(&r);
	if (r.bad || !grant_tlvs_read(g, &r))
		return false;
	/*
	 * The session's epoch is had from its end, so that must be the end of one; the
	 * clock is set by the time, so that must lie in the session, or a moment before
	 * (the server's clock is read once a batch).
	 */
	return version_known(g->version) && aead_known(g->aead) && g->kid == kid &&
	       g->end >= session_end(0) && (g->end - session_end(0)) % EPOCH_SECONDS == 0 &&
	       g->time < TICKS_S(g->end) && TICKS_S(g->end) - g->time <= TICKS_S(2 * EPOCH_SECONDS);
}

/* ---- client ---- */

/* Token, then the mac1 over it. */
static void finish_message1(struct initiator *i, const uint8_t token[TOKEN_SIZE],
		const uint8_t mac_key[KEY_SIZE])
{
	uint8_t mac[HASH_SIZE];

	memcpy(i->message + MESSAGE1_TOKEN, token, TOKEN_SIZE);
	mac1_make(i->message, mac_key, mac);
	memcpy(i->message + MESSAGE1_MAC, mac, MAC_SIZE);
}

int initiator_begin(struct initiator *i, const struct key_pair *own, const uint8_t psk[KEY_SIZE],
		const uint8_t cluster_public[KEY_SIZE], const struct offer *offer,
		const uint8_t ephemeral[KEY_SIZE], uint32_t tag)
{
	static const uint8_t no_token[TOKEN_SIZE];
	uint8_t payload[PAYLOAD1_MAX], mac_key[KEY_SIZE];
	struct writer w = writer_over(payload, sizeof payload);
	struct key_pair e;
	size_t len;
	int r;

	memset(i, 0, sizeof *i);
	offer_write(&w, offer);
	len = (size_t)(w.at - payload);
	i->message[0] = WIRE_MAGIC | WIRE_HANDSHAKE_1;
	i->message[OFFSET_ID] = cluster_key_id(cluster_public);
	store_be16(i->message + OFFSET_N, (uint16_t)(IK_MESSAGE1_OVERHEAD + len));
	store_be32(i->message + OFFSET_TAG, tag);
	key_pair_from_secret(&e, ephemeral);
	begin(&i->noise, i->message, cluster_public);
	r = ik_write_1(&i->noise, own, &e, cluster_public, payload, len,
			i->message + MESSAGE1_NOISE);
	wipe(&e, sizeof e);
	if (r != 0) {
		initiator_wipe(i);
		return r;
	}
	i->tag = tag;
	memcpy(i->ephemeral, ephemeral, KEY_SIZE);
	memcpy(i->cluster_public, cluster_public, KEY_SIZE);
	memcpy(i->psk, psk, KEY_SIZE);
	message1_mac_key(cluster_public, mac_key);
	finish_message1(i, no_token, mac_key);
	return 0;
}

bool initiator_retry(struct initiator *i, const uint8_t *packet, size_t len)
{
	uint8_t mac_key[KEY_SIZE], mac[HASH_SIZE];

	if (len != RETRY_SIZE || packet[0] != (WIRE_MAGIC | WIRE_RETRY) ||
			load_be32(packet + OFFSET_TAG) != i->tag || i->retried)
		return false;
	message1_mac_key(i->cluster_public, mac_key);
	retry_mac_make(i->message, packet + RETRY_TOKEN, mac_key, mac);
	if (!equal_secret(mac, packet + RETRY_MAC, MAC_SIZE))
		return false;
	finish_message1(i, packet + RETRY_TOKEN, mac_key);
	i->retried = true;
	return true;
}

static bool is_answer(const struct initiator *i, const uint8_t *packet, size_t len)
{
	return len >= MESSAGE2_NOISE + IK_MESSAGE2_OVERHEAD && len <= MESSAGE1_SIZE &&
	       packet[0] == (WIRE_MAGIC | WIRE_HANDSHAKE_2) &&
	       load_be16(packet + OFFSET_N) == len - MESSAGE2_NOISE &&
	       load_be32(packet + OFFSET_TAG) == i->tag;
}

int initiator_finish(const struct initiator *i, const struct key_pair *own, const uint8_t *packet,
		size_t len, struct grant *grant)
{
	struct noise noise = i->noise;
	uint8_t payload[PAYLOAD2_MAX];
	struct grant g;
	int r = -EBADMSG;

	if (is_answer(i, packet, len) &&
			ik_read_2(&noise, own, i->ephemeral, i->psk, packet + MESSAGE2_NOISE,
					len - MESSAGE2_NOISE, payload) == 0 &&
			grant_read(&g, payload, len - MESSAGE2_NOISE - IK_MESSAGE2_OVERHEAD,
					packet[OFFSET_ID])) {
		*grant = g;
		r = 0;
	}
	wipe(&g, sizeof g);
	wipe(payload, sizeof payload);
	wipe(&noise, sizeof noise);
	return r;
}

void initiator_wipe(struct initiator *i)
{
	wipe(i, sizeof *i);
}

/* ---- server ---- */

int responder_open(struct responder *r, const struct key_pair *cluster, const uint8_t *packet,
		size_t len)
{
	struct reader in = reader_over(packet, len);
	const uint8_t *header = read_bytes(&in, MESSAGE1_NOISE);
	const uint8_t *keys = read_bytes(&in, IK_MESSAGE1_KEYS);
	size_t rest_len = header ? (size_t)load_be16(header + OFFSET_N) - IK_MESSAGE1_KEYS : 0;
	const uint8_t *rest = read_bytes(&in, rest_len); /* refuses a wrapped size as well */

	memset(r, 0, sizeof *r);
	if (in.bad)
		return -EBADMSG;
	memcpy(r->header, header, sizeof r->header);
	r->rest = rest;
	r->rest_len = rest_len;
	begin(&r->noise, header, cluster->public);
	if (ik_read_1_keys(&r->noise, cluster, keys, r->ephemeral, r->client_public) == 0)
		return 0;
	wipe(r, sizeof *r);
	return -EBADMSG;
}

int responder_accept(struct responder *r, const uint8_t ss[KEY_SIZE], struct offer *offer)
{
	uint8_t payload[PAYLOAD1_MAX];

	if (r->rest_len >= TAG_SIZE && r->rest_len <= sizeof payload + TAG_SIZE &&
			ik_read_1_payload(&r->noise, ss, r->rest, r->rest_len, payload) &&
			offer_read(offer, payload, r->rest_len - TAG_SIZE))
		return 0;
	wipe(&r->noise, sizeof r->noise);
	return -EBADMSG;
}

int responder_answer(struct responder *r, const uint8_t psk[KEY_SIZE],
		const uint8_t ephemeral[KEY_SIZE])
{
	struct key_pair e;
	int result;

	key_pair_from_secret(&e, ephemeral);
	memcpy(r->answer, e.public, KEY_SIZE);
	result = ik_write_2_keys(&r->noise, &e, r->ephemeral, r->client_public, psk);
	if (result != 0)
		wipe(&r->noise, sizeof r->noise);
	wipe(&e, sizeof e);
	return result;
}

size_t responder_finish(struct responder *r, const struct grant *grant, uint8_t *out)
{
	uint8_t payload[PAYLOAD2_SENT];
	struct writer w = writer_over(payload, sizeof payload);
	size_t n;

	grant_write(&w, grant);
	memcpy(out + MESSAGE2_NOISE, r->answer, KEY_SIZE);
	n = KEY_SIZE + noise_encrypt(&r->noise, payload, (size_t)(w.at - payload),
			out + MESSAGE2_NOISE + KEY_SIZE);
	out[0] = WIRE_MAGIC | WIRE_HANDSHAKE_2;
	out[OFFSET_ID] = grant->kid;
	store_be16(out + OFFSET_N, (uint16_t)n);
	memcpy(out + OFFSET_TAG, r->header + OFFSET_TAG, 4);
	wipe(payload, sizeof payload);
	wipe(&r->noise, sizeof r->noise);
	return MESSAGE2_NOISE + n;
}
