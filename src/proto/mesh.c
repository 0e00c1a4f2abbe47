/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The bytes of the mesh (PROTOCOL.md, "Mesh"):
 *
 *	init    0  0xA8 1 | 1 | from 2 | id 4 | time 8
 *	       16  e 32 | encrypted (version 1, boot random 3) + tag 16
 *	       68  mac 16
 *	answer  0  0xA8 1 | 2 | from 2 | id 4
 *	        8  e 32 | encrypted (status 1, version 1, 0 0, time 8) + tag 16
 *	       68  mac 16
 *	data    0  0xA8 1 | 3 | from 2 | id 4 | number 8
 *	       16  ciphertext | tag 16
 *
 * The mac of init and answer is made with a key that only the two servers have,
 * from their static keys alone.  It costs a stranger's packet its life before
 * any Diffie-Hellman; the time, which only goes up, does so to a repeated one.
 */
#include "proto/mesh.h"

#include <errno.h>

#include "base/util.h"

#define HEADER        8
#define INIT_HEADER   16
#define DATA_HEADER   16
#define AT_ID         4
#define AT_TIME       8
#define AT_NUMBER     8
#define INIT_PAYLOAD  4
#define ANSWER_PAYLOAD 12
#define MAC_SIZE      16
#define AT_MAC        (MESH_OPENING_SIZE - MAC_SIZE)

#define CLOCK_LIMIT   TICKS_S(10)
#define CLOCK_ANSWERS TICKS_S(1)   /* between two of them */
#define RENEW_AFTER   TICKS_S(120)
#define RENEW_PATIENCE TICKS_S(10) /* who answered lets the other side begin first */
#define RENEW_NUMBER  (UINT64_C(1) << 31)
#define LAST_NUMBER   (UINT64_C(0xffffffff)) /* what the bitmap can tell apart */
#define SESSION_LIFE  TICKS_S(180)
#define LINGER        TICKS_S(10)  /* of previous and pending sessions */
#define TRY_FIRST     TICKS_MS(200) /* doubles, so that a slow path gets its time */
#define TRY_LONGEST   TICKS_S(1)
#define ONE_AT_A_TIME TICKS_S(1)   /* how long one side's attempt keeps the other from its own */

static const char prologue_label[] = "anytun2 mesh";
static const char mac_label[] = "anytun2 mesh mac";

_Static_assert(INIT_HEADER + KK_OVERHEAD + INIT_PAYLOAD == AT_MAC, "init");
_Static_assert(HEADER + KK_OVERHEAD + ANSWER_PAYLOAD == AT_MAC, "an answer is as long as an init");
_Static_assert(DATA_HEADER + TAG_SIZE == MESH_OVERHEAD, "data");

const char *mesh_result_key(enum mesh_result r)
{
	static const char *const keys[] = {
#define X(name, key, text) key,
		MESH_RESULTS(X)
#undef X
	};

	return keys[r];
}

int mesh_link_init(struct mesh_link *l, uint16_t own, const struct key_pair *pair, uint16_t peer,
		const uint8_t peer_public[KEY_SIZE])
{
	memset(l, 0, sizeof *l);
	l->own = own;
	l->peer = peer;
	l->pair = pair;
	memcpy(l->peer_public, peer_public, KEY_SIZE);
	if (x25519(pair->secret, peer_public, l->ss) != 0)
		return -EPROTO;
	hmac_parts((const uint8_t *)mac_label, strlen(mac_label), &PART(l->ss, KEY_SIZE), 1,
			l->mac_key);
	return 0;
}

void mesh_link_wipe(struct mesh_link *l)
{
	wipe(l, sizeof *l);
}

bool mesh_peek(const uint8_t *packet, size_t len, uint16_t *from, enum mesh_subtype *subtype)
{
	if (len < HEADER || packet[0] != (WIRE_MAGIC | WIRE_MESH) || packet[1] < MESH_INIT ||
			packet[1] > MESH_DATA)
		return false;
	*subtype = (enum mesh_subtype)packet[1];
	*from = load_be16(packet + 2);
	return true;
}

/* ---- init and answer ---- */

static void header_write(uint8_t *out, enum mesh_subtype subtype, uint16_t from, uint32_t id)
{
	out[0] = WIRE_MAGIC | WIRE_MESH;
	out[1] = (uint8_t)subtype;
	store_be16(out + 2, from);
	store_be32(out + AT_ID, id);
}

static void opening_mac(const struct mesh_link *l, const uint8_t *packet, uint8_t mac[HASH_SIZE])
{
	hmac_parts(l->mac_key, KEY_SIZE, &PART(packet, AT_MAC), 1, mac);
}

static void mac_write(const struct mesh_link *l, uint8_t packet[MESH_OPENING_SIZE])
{
	uint8_t mac[HASH_SIZE];

	opening_mac(l, packet, mac);
	memcpy(packet + AT_MAC, mac, MAC_SIZE);
}

static bool mac_good(const struct mesh_link *l, const uint8_t packet[MESH_OPENING_SIZE])
{
	uint8_t mac[HASH_SIZE];

	opening_mac(l, packet, mac);
	return equal_secret(mac, packet + AT_MAC, MAC_SIZE);
}

static void handshake_begin(struct noise *s, const uint8_t *init, const uint8_t *initiator,
		const uint8_t *responder)
{
	uint8_t prologue[sizeof prologue_label - 1 + INIT_HEADER];

	memcpy(prologue, prologue_label, sizeof prologue_label - 1);
	memcpy(prologue + sizeof prologue_label - 1, init, INIT_HEADER);
	kk_begin(s, prologue, sizeof prologue, initiator, responder);
}

static void give_up_try(struct mesh_link *l)
{
	l->trying = false;
	wipe(l->try_secret, sizeof l->try_secret);
	wipe(&l->try_noise, sizeof l->try_noise);
}

static void fresh_pair(struct key_pair *pair)
{
	uint8_t secret[KEY_SIZE];

	random_bytes(secret, sizeof secret);
	key_pair_from_secret(pair, secret);
	wipe(secret, sizeof secret);
}

bool mesh_write_init(struct mesh_link *l, const struct instant *now, const uint8_t boot_random[3],
		uint8_t out[MESH_OPENING_SIZE])
{
	uint8_t payload[INIT_PAYLOAD] = {PROTOCOL_VERSION};
	struct key_pair e;

	l->sent_time = MAX(l->sent_time + 1, now->cluster);
	l->tried = now->boot;
	l->tries++;
	random_bytes(&l->try_id, sizeof l->try_id);
	header_write(out, MESH_INIT, l->own, l->try_id);
	store_be64(out + AT_TIME, l->sent_time);
	memcpy(payload + 1, boot_random, 3);
	fresh_pair(&e);
	handshake_begin(&l->try_noise, out, l->pair->public, l->peer_public);
	l->trying = kk_write_1(&l->try_noise, &e, l->peer_public, l->ss, payload, sizeof payload,
			out + INIT_HEADER) == 0;
	memcpy(l->try_secret, e.secret, KEY_SIZE);
	wipe(&e, sizeof e);
	if (l->trying)
		mac_write(l, out);
	else
		give_up_try(l);
	return l->trying;
}

static bool clock_differs(const struct instant *now, uint64_t time)
{
	uint64_t apart = time > now->cluster ? time - now->cluster : now->cluster - time;

	return apart > CLOCK_LIMIT;
}

enum mesh_result mesh_read_init(struct mesh_link *l, const struct instant *now, const uint8_t *in,
		size_t len, struct mesh_init *init)
{
	uint8_t payload[INIT_PAYLOAD];
	struct mesh_init found = {0};
	uint64_t time;
	bool far;

	if (len != MESH_OPENING_SIZE)
		return MESH_MALFORMED;
	if (!mac_good(l, in))
		return MESH_MAC;
	time = load_be64(in + AT_TIME);
	far = clock_differs(now, time);
	/* the peer is told, but seldom: it may be a packet of long ago */
	if (time <= l->seen_time || (far && l->clock_answered &&
			now->boot < l->clock_answered + CLOCK_ANSWERS))
		return MESH_OLD;
	if (l->trying && l->own < l->peer && now->boot < l->tried + ONE_AT_A_TIME)
		return MESH_CROSSED;
	handshake_begin(&found.noise, in, l->peer_public, l->pair->public);
	if (kk_read_1(&found.noise, l->pair->secret, l->ss, in + INIT_HEADER,
			KK_OVERHEAD + INIT_PAYLOAD, payload) != 0) {
		wipe(&found, sizeof found);
		return MESH_TAG;
	}
	/* a time of far ahead would lock out what comes after it */
	if (far)
		l->clock_answered = now->boot;
	else
		l->seen_time = time;
	found.status = far ? MESH_CLOCK : payload[0] != PROTOCOL_VERSION ? MESH_NEWER : MESH_OK;
	found.id = load_be32(in + AT_ID);
	memcpy(found.ephemeral, in + INIT_HEADER, KEY_SIZE);
	memcpy(found.boot_random, payload + 1, 3);
	*init = found;
	wipe(&found, sizeof found);
	return MESH_ACCEPTED;
}

static void session_begin(struct mesh_session *s, struct noise *noise, uint32_t id, bool initiator,
		ticks boot)
{
	uint8_t first[KEY_SIZE], second[KEY_SIZE];

	noise_split(noise, first, second);
	memset(s, 0, sizeof *s);
	s->live = true;
	s->initiator = initiator;
	s->id = id;
	s->born = boot;
	aead_expand(&s->tx, AEAD_AES_256_GCM, initiator ? first : second);
	aead_expand(&s->rx, AEAD_AES_256_GCM, initiator ? second : first);
	wipe(first, sizeof first);
	wipe(second, sizeof second);
}

bool mesh_write_answer(struct mesh_link *l, const struct instant *now, struct mesh_init *init,
		uint8_t out[MESH_OPENING_SIZE])
{
	uint8_t payload[ANSWER_PAYLOAD] = {(uint8_t)init->status, PROTOCOL_VERSION};
	struct key_pair e;
	bool good;

	store_be64(payload + 4, now->cluster);
	fresh_pair(&e);
	header_write(out, MESH_ANSWER, l->own, init->id);
	good = kk_write_2(&init->noise, &e, init->ephemeral, l->peer_public, payload, sizeof payload,
			out + HEADER) == 0;
	wipe(&e, sizeof e);
	if (good) {
		mac_write(l, out);
		if (init->status == MESH_OK) {
			give_up_try(l);
			session_begin(&l->session[MESH_PENDING], &init->noise, init->id, false,
					now->boot);
		}
	}
	wipe(init, sizeof *init);
	return good;
}

/* The session becomes the one to send in; the present one stays for what is under way. */
static void make_current(struct mesh_link *l, struct mesh_session *fresh, ticks boot)
{
	struct mesh_session *current = &l->session[MESH_CURRENT];

	if (current->live) {
		l->session[MESH_PREVIOUS] = *current;
		l->session[MESH_PREVIOUS].born = boot;
	}
	*current = *fresh;
	wipe(fresh, sizeof *fresh);
	l->tries = 0;
}

enum mesh_result mesh_read_answer(struct mesh_link *l, const struct instant *now, const uint8_t *in,
		size_t len, struct mesh_answer *answer)
{
	uint8_t payload[ANSWER_PAYLOAD];
	struct mesh_session fresh;
	struct noise noise;

	if (len != MESH_OPENING_SIZE)
		return MESH_MALFORMED;
	if (!l->trying || load_be32(in + AT_ID) != l->try_id)
		return MESH_SESSION;
	if (!mac_good(l, in))
		return MESH_MAC;
	noise = l->try_noise; /* a bad answer must not spoil the good one that may follow */
	if (kk_read_2(&noise, l->pair->secret, l->try_secret, in + HEADER,
			KK_OVERHEAD + ANSWER_PAYLOAD, payload) != 0) {
		wipe(&noise, sizeof noise);
		return MESH_TAG;
	}
	answer->status = (enum mesh_status)payload[0];
	answer->version = payload[1];
	answer->time = load_be64(payload + 4);
	if (answer->status == MESH_OK) {
		session_begin(&fresh, &noise, l->try_id, true, now->boot);
		make_current(l, &fresh, now->boot);
	}
	wipe(&noise, sizeof noise);
	give_up_try(l);
	return MESH_ACCEPTED;
}

/* ---- sessions ---- */

static bool is_old(const struct mesh_session *s, ticks boot)
{
	ticks after = s->initiator ? RENEW_AFTER : RENEW_AFTER + RENEW_PATIENCE;

	return boot >= s->born + after || s->next >= RENEW_NUMBER;
}

static ticks try_wait(unsigned tries)
{
	return tries > 3 ? TRY_LONGEST : TRY_FIRST << (tries - 1);
}

bool mesh_link_tick(struct mesh_link *l, const struct instant *now)
{
	static const ticks life[MESH_SESSIONS] = {
		[MESH_CURRENT] = SESSION_LIFE, [MESH_PREVIOUS] = LINGER, [MESH_PENDING] = LINGER,
	};
	const struct mesh_session *current = &l->session[MESH_CURRENT];
	const struct mesh_session *pending = &l->session[MESH_PENDING];

	for (unsigned i = 0; i < MESH_SESSIONS; i++)
		if (l->session[i].live && now->boot >= l->session[i].born + life[i])
			wipe(&l->session[i], sizeof l->session[i]);
	if (current->live && !is_old(current, now->boot))
		return false;
	if (pending->live && now->boot < pending->born + ONE_AT_A_TIME)
		return false;
	return !l->tries || now->boot >= l->tried + try_wait(l->tries);
}

static void data_nonce(uint8_t nonce[NONCE_SIZE], uint64_t number)
{
	memset(nonce, 0, 4);
	store_be64(nonce + 4, number);
}

size_t mesh_seal(struct mesh_link *l, const uint8_t *plain, size_t len, uint8_t *out)
{
	struct mesh_session *s = &l->session[MESH_CURRENT];
	uint8_t nonce[NONCE_SIZE];

	if (!s->live || s->next > LAST_NUMBER || len > MESH_MESSAGE_MAX)
		return 0;
	header_write(out, MESH_DATA, l->own, s->id);
	store_be64(out + AT_NUMBER, s->next);
	data_nonce(nonce, s->next++);
	aead_seal(&s->tx, nonce, out, DATA_HEADER, plain, len, out + DATA_HEADER);
	return len + MESH_OVERHEAD;
}

enum mesh_result mesh_open(struct mesh_link *l, const struct instant *now, const uint8_t *in,
		size_t len, uint8_t *plain, size_t *plain_len)
{
	enum mesh_result why = MESH_SESSION;
	uint8_t nonce[NONCE_SIZE];
	uint64_t number;

	if (len < MESH_OVERHEAD || len > MESH_PACKET_MAX)
		return MESH_MALFORMED;
	number = load_be64(in + AT_NUMBER);
	if (number > LAST_NUMBER)
		return MESH_MALFORMED;
	data_nonce(nonce, number);
	for (unsigned i = 0; i < MESH_SESSIONS; i++) {
		struct mesh_session *s = &l->session[i];

		if (!s->live || s->id != load_be32(in + AT_ID))
			continue;
		why = MESH_TAG;
		if (!aead_open(&s->rx, nonce, in, DATA_HEADER, in + DATA_HEADER, len - DATA_HEADER,
				plain))
			continue;
		if (!replay_accept(&s->seen, (uint32_t)number))
			return MESH_REPLAY;
		if (i == MESH_PENDING)
			make_current(l, s, now->boot);
		*plain_len = len - MESH_OVERHEAD;
		return MESH_ACCEPTED;
	}
	return why;
}
