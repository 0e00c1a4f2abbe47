/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The handshake's messages.  Valid ones are made once; the script changes them,
 * and what was changed must not be accepted.  Or the script is the payload under
 * a right seal: what an enrolled client, or a server, could say.
 */
#include <errno.h>

#include "fuzz.h"
#include "proto/handshake.h"
#include "proto/noise_ik.h"

#define EDITS 8

enum what { MESSAGE_1, MESSAGE_1_NEW_MAC, MESSAGE_2, RETRY, PAYLOAD_1, PAYLOAD_2, WHAT_COUNT };

static struct {
	struct key_pair client, cluster;
	uint8_t psk[KEY_SIZE], ss[KEY_SIZE], mac_key[KEY_SIZE];
	struct initiator initiator;
	struct responder answered; /* before payload 2 */
	uint8_t message2[MESSAGE1_SIZE], retry[RETRY_SIZE];
	size_t message2_len;
} world;

static const struct offer offered = {
	.version_count = 2, .versions = {0x1a, PROTOCOL_VERSION},
	.aead_count = 3, .aeads = {0x5a, AEAD_CHACHA20_POLY1305, AEAD_AES_256_GCM},
};

static const struct grant granted = {
	.s = {1}, .sid = {2}, .end = (FUZZ_EPOCH + 2) * EPOCH_SECONDS - 5,
	.time = TICKS_S(FUZZ_EPOCH * (ticks)EPOCH_SECONDS), .address = {.port = 4444},
	.version = PROTOCOL_VERSION, .kid = 0x3f, .ticket_len = 40,
};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	uint8_t ephemeral[KEY_SIZE], token[TOKEN_SIZE] = {9};
	struct responder r;
	struct offer offer;

	(void)argc;
	(void)argv;
	MUST(crypto_init(CRYPTO_OPENSSL) == 0);
	fuzz_pair(&world.client, 1);
	fuzz_pair(&world.cluster, 2);
	fuzz_key(world.psk, 3);
	message1_mac_key(world.cluster.public, world.mac_key);
	MUST(x25519(world.cluster.secret, world.client.public, world.ss) == 0);
	fuzz_key(ephemeral, 4);
	MUST(initiator_begin(&world.initiator, &world.client, world.psk, world.cluster.public,
			&offered, ephemeral, 0x01020304) == 0);
	MUST(responder_open(&r, &world.cluster, world.initiator.message, MESSAGE1_SIZE) == 0);
	MUST(responder_accept(&r, world.ss, &offer) == 0);
	fuzz_key(ephemeral, 5);
	MUST(responder_answer(&r, world.psk, ephemeral) == 0);
	world.answered = r;
	world.message2_len = responder_finish(&r, &granted, world.message2);
	retry_write(world.initiator.message, token, world.mac_key, world.retry);
	return 0;
}

/* The first len bytes of `from`, changed by the script; in memory of exactly that size. */
static uint8_t *edit(struct reader *script, const uint8_t *from, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);
	uint8_t edits = read_u8(script) % (EDITS + 1);

	MUST(copy);
	memcpy(copy, from, len);
	while (edits--) {
		uint16_t at = read_u16(script);
		uint8_t with = read_u8(script);

		if (len)
			copy[at % len] ^= with;
	}
	return copy;
}

static bool responder_takes(const uint8_t *packet, struct offer *offer)
{
	struct responder r;

	return responder_open(&r, &world.cluster, packet, MESSAGE1_SIZE) == 0 &&
	       responder_accept(&r, world.ss, offer) == 0;
}

static void check_message1(struct reader *script, bool new_mac)
{
	const uint8_t *right = world.initiator.message;
	uint8_t *packet = edit(script, right, MESSAGE1_SIZE), mac[HASH_SIZE];
	size_t covered = MESSAGE1_NOISE + load_be16(right + 2);
	bool same = !memcmp(packet, right, covered), good;
	struct offer offer;

	if (new_mac) { /* which everybody can make who knows the cluster's public key */
		hmac_parts(world.mac_key, KEY_SIZE, &PART(packet, MESSAGE1_MAC), 1, mac);
		memcpy(packet + MESSAGE1_MAC, mac, MAC_SIZE);
	}
	good = message1_check(packet, MESSAGE1_SIZE, world.mac_key);
	MUST(new_mac ? good || !same : good == !memcmp(packet, right, MESSAGE1_SIZE));
	MUST(responder_takes(packet, &offer) == same);
	free(packet);
}

static void check_message2(struct reader *script)
{
	static const struct initiator *i = &world.initiator;
	uint16_t asked = read_u16(script);
	size_t len = MIN(asked, world.message2_len);
	uint8_t *packet = edit(script, world.message2, len);
	bool same = len == world.message2_len && !memcmp(packet, world.message2, len);
	struct grant grant;

	MUST(initiator_finish(i, &world.client, packet, len, &grant) == (same ? 0 : -EBADMSG));
	free(packet);
}

static void check_retry(struct reader *script)
{
	struct initiator i = world.initiator;
	uint8_t asked = read_u8(script);
	size_t len = MIN(asked, RETRY_SIZE);
	uint8_t *packet = edit(script, world.retry, len);
	bool same = len == RETRY_SIZE && packet[0] == world.retry[0] &&
		    !memcmp(packet + 4, world.retry + 4, RETRY_SIZE - 4); /* 1 … 3 are reserved */

	MUST(initiator_retry(&i, packet, len) == same);
	MUST(same || !memcmp(&i, &world.initiator, sizeof i));
	MUST(!memcmp(i.message, world.initiator.message, MESSAGE1_TOKEN));
	MUST(message1_check(i.message, MESSAGE1_SIZE, world.mac_key));
	MUST(!same || !initiator_retry(&i, packet, len)); /* one a packet */
	free(packet);
}

/* What a client may offer; only what is known here comes out. */
static void check_payload1(struct reader *script)
{
	uint8_t packet[MESSAGE1_SIZE] = {0xa4, cluster_key_id(world.cluster.public)};
	uint8_t prologue[7 + MESSAGE1_NOISE] = "anytun2";
	struct key_pair ephemeral;
	struct noise noise;
	struct offer offer;
	size_t len;
	uint8_t *payload = script_bytes(script, MESSAGE1_N_MAX - IK_MESSAGE1_OVERHEAD, &len);

	store_be16(packet + 2, (uint16_t)(IK_MESSAGE1_OVERHEAD + len));
	memcpy(prologue + 7, packet, MESSAGE1_NOISE);
	fuzz_pair(&ephemeral, 6);
	ik_begin(&noise, prologue, sizeof prologue, world.cluster.public);
	MUST(ik_write_1(&noise, &world.client, &ephemeral, world.cluster.public, payload, len,
			packet + MESSAGE1_NOISE) == 0);
	free(payload);
	if (!responder_takes(packet, &offer))
		return;
	MUST(offer.version_count <= 8 && offer.aead_count <= 8);
	for (unsigned i = 0; i < offer.version_count; i++)
		MUST(offer.versions[i] == PROTOCOL_VERSION);
	for (unsigned i = 0; i < offer.aead_count; i++)
		MUST(offer.aeads[i] < AEAD_COUNT);
}

/* What a server may grant; a grant that is taken is one that can be used. */
static void check_payload2(struct reader *script)
{
	struct noise noise = world.answered.noise;
	uint8_t packet[MESSAGE1_SIZE] = {0xa5, read_u8(script)};
	struct grant grant;
	size_t len;
	uint8_t *payload = script_bytes(script,
			MESSAGE1_SIZE - MESSAGE2_NOISE - IK_MESSAGE2_OVERHEAD, &len);

	store_be16(packet + 2, (uint16_t)(IK_MESSAGE2_OVERHEAD + len));
	store_be32(packet + 4, world.initiator.tag);
	memcpy(packet + MESSAGE2_NOISE, world.answered.answer, KEY_SIZE);
	noise_encrypt(&noise, payload, len, packet + MESSAGE2_NOISE + KEY_SIZE);
	free(payload);
	if (initiator_finish(&world.initiator, &world.client, packet,
			MESSAGE2_NOISE + IK_MESSAGE2_OVERHEAD + len, &grant) != 0)
		return;
	MUST(grant.version == PROTOCOL_VERSION && grant.aead < AEAD_COUNT);
	MUST(grant.kid == packet[1] && grant.ticket_len <= TICKET_MAX);
	MUST(grant.end % EPOCH_SECONDS == EPOCH_SECONDS - 5 && grant.end > EPOCH_SECONDS);
	MUST(time_seconds(grant.time) < grant.end &&
			time_seconds(grant.time) + 2 * EPOCH_SECONDS >= grant.end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reader script = reader_over(data, size);

	enum what what = read_u8(&script) % WHAT_COUNT;

	switch (what) {
	case MESSAGE_1:
	case MESSAGE_1_NEW_MAC:
		check_message1(&script, what == MESSAGE_1_NEW_MAC);
		break;
	case MESSAGE_2:
		check_message2(&script);
		break;
	case RETRY:
		check_retry(&script);
		break;
	case PAYLOAD_1:
		check_payload1(&script);
		break;
	case PAYLOAD_2:
		check_payload2(&script);
		break;
	case WHAT_COUNT:
		break;
	}
	return 0;
}
