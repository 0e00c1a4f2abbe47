/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include <errno.h>

#include "bytes.h"
#include "proto/epoch.h"
#include "proto/handshake.h"
#include "proto/noise_ik.h"

static uint64_t seed = 7;

static struct {
	struct key_pair client, cluster;
	uint8_t psk[KEY_SIZE], ss[KEY_SIZE], mac_key[KEY_SIZE];
} world;

/* A version nobody has yet, an AEAD nobody has: servers must not mind. */
static const struct offer offered = {
	.version_count = 3, .versions = {0x1a, PROTOCOL_VERSION, 0xea},
	.aead_count = 3, .aeads = {0x5a, AEAD_CHACHA20_POLY1305, AEAD_AES_256_GCM},
};

static void new_pair(struct key_pair *pair)
{
	fill(&seed, pair->secret, KEY_SIZE);
	key_pair_from_secret(pair, pair->secret);
}

static int setup(void **state)
{
	(void)state;
	if (crypto_init(CRYPTO_AUTO) != 0)
		return -1;
	new_pair(&world.client);
	new_pair(&world.cluster);
	fill(&seed, world.psk, KEY_SIZE);
	message1_mac_key(world.cluster.public, world.mac_key);
	return x25519(world.cluster.secret, world.client.public, world.ss);
}

static void begin(struct initiator *i)
{
	uint8_t ephemeral[KEY_SIZE];

	fill(&seed, ephemeral, sizeof ephemeral);
	assert_int_equal(initiator_begin(i, &world.client, world.psk, world.cluster.public,
			&offered,
			ephemeral, (uint32_t)next_random(&seed)), 0);
}

static void new_grant(struct grant *g, uint16_t ticket_len)
{
	memset(g, 0, sizeof *g);
	fill(&seed, g->s, sizeof g->s);
	fill(&seed, g->sid, sizeof g->sid);
	g->end = (uint32_t)session_end(5900000);
	g->time = TICKS_S(5900000 * EPOCH_SECONDS) + 12345;
	fill(&seed, g->address.ip, sizeof g->address.ip);
	g->address.port = 4444;
	fill(&seed, g->cookie, sizeof g->cookie);
	g->version = PROTOCOL_VERSION;
	g->aead = AEAD_CHACHA20_POLY1305;
	g->kid = 0x3f;
	g->ticket_len = ticket_len;
	fill(&seed, g->ticket, ticket_len);
}

/* The server's whole path; the size of message 2. */
static size_t answer(const uint8_t *message1, const uint8_t *psk, const struct grant *g,
		uint8_t *out)
{
	uint8_t ephemeral[KEY_SIZE];
	struct responder r;
	struct offer offer;

	assert_true(message1_check(message1, MESSAGE1_SIZE, world.mac_key));
	assert_int_equal(responder_open(&r, &world.cluster, message1, MESSAGE1_SIZE), 0);
	assert_memory_equal(r.client_public, world.client.public, KEY_SIZE);
	assert_int_equal(responder_accept(&r, world.ss, &offer), 0);
	assert_int_equal(offer.version_count, 1); /* what is known here, in the client's order */
	assert_int_equal(offer.versions[0], PROTOCOL_VERSION);
	assert_int_equal(offer.aead_count, 2);
	assert_int_equal(offer.aeads[0], AEAD_CHACHA20_POLY1305);
	assert_int_equal(offer.aeads[1], AEAD_AES_256_GCM);
	fill(&seed, ephemeral, sizeof ephemeral);
	assert_int_equal(responder_answer(&r, psk, ephemeral), 0);
	return responder_finish(&r, g, out);
}

static void round_trip(void **state)
{
	static const uint16_t tickets[] = {0, 29, 400};
	uint8_t message2[MESSAGE1_SIZE];
	struct grant g, got;
	struct initiator i;

	(void)state;
	for (size_t t = 0; t < ARRAY_SIZE(tickets); t++) {
		begin(&i);
		assert_int_equal(i.message[0], 0xa4);
		assert_int_equal(i.message[1], cluster_key_id(world.cluster.public));
		new_grant(&g, tickets[t]);
		size_t n = answer(i.message, world.psk, &g, message2);
		assert_int_equal(n, 8 + 48 + 89 + (tickets[t] ? 3 + tickets[t] : 0));
		assert_true(n <= MESSAGE1_SIZE);
		assert_int_equal(message2[0], 0xa5);
		memset(&got, 0xff, sizeof got);
		assert_int_equal(initiator_finish(&i, &world.client, message2, n, &got), 0);
		assert_memory_equal(got.s, g.s, KEY_SIZE);
		assert_memory_equal(got.sid, g.sid, SID_SIZE);
		assert_int_equal(got.end, g.end);
		assert_int_equal(got.time, g.time);
		assert_true(endpoint_equal(&got.address, &g.address));
		assert_memory_equal(got.cookie, g.cookie, COOKIE_SIZE);
		assert_int_equal(got.version, g.version);
		assert_int_equal(got.aead, g.aead);
		assert_int_equal(got.kid, g.kid);
		assert_int_equal(got.ticket_len, g.ticket_len);
		assert_memory_equal(got.ticket, g.ticket, g.ticket_len);
		assert_int_not_equal(initiator_finish(&i, &world.client, message2, n - 1, &got), 0);
	}
	static const struct initiator nothing;
	initiator_wipe(&i);
	assert_memory_equal(&i, &nothing, sizeof i);
}

/* mac1 covers all of message 1; without it, Noise still covers all that is its own. */
static void message1_bits(void **state)
{
	struct initiator i;
	struct responder r;
	struct offer offer;

	(void)state;
	begin(&i);
	assert_false(message1_check(i.message, MESSAGE1_SIZE - 1, world.mac_key));
	size_t n = MESSAGE1_NOISE + load_be16(i.message + 2);
	for (size_t bit = 0; bit < 8 * MESSAGE1_SIZE; bit++) {
		i.message[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_false(message1_check(i.message, MESSAGE1_SIZE, world.mac_key));
		if (bit < 8 * n && bit % 5 == 0)
			assert_true(responder_open(&r, &world.cluster, i.message, MESSAGE1_SIZE) !=
					0 ||
					responder_accept(&r, world.ss, &offer) != 0);
		i.message[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_true(message1_check(i.message, MESSAGE1_SIZE, world.mac_key));
	for (size_t len = 0; len < n; len++)
		assert_int_equal(responder_open(&r, &world.cluster, i.message, len), -EBADMSG);
}

/* n is tested even where whoever made the message knows the cluster's public key. */
static void message1_lengths(void **state)
{
	static const uint16_t bad[] = {0, 1, 79, 80, 95, 1145, 1192, 0xffff};
	uint8_t mac[HASH_SIZE];
	struct initiator i;
	struct responder r;

	(void)state;
	begin(&i);
	for (size_t k = 0; k < ARRAY_SIZE(bad); k++) {
		store_be16(i.message + 2, bad[k]);
		hmac_parts(world.mac_key, KEY_SIZE, &PART(i.message, MESSAGE1_MAC), 1, mac);
		memcpy(i.message + MESSAGE1_MAC, mac, MAC_SIZE);
		assert_false(message1_check(i.message, MESSAGE1_SIZE, world.mac_key));
		assert_int_equal(responder_open(&r, &world.cluster, i.message, MESSAGE1_SIZE),
				-EBADMSG);
	}
}

static void message2_bits(void **state)
{
	uint8_t message2[MESSAGE1_SIZE];
	struct initiator i, before;
	struct grant g, got;

	(void)state;
	begin(&i);
	new_grant(&g, 100);
	size_t n = answer(i.message, world.psk, &g, message2);
	before = i;
	memset(&got, 0x77, sizeof got);
	for (size_t bit = 0; bit < 8 * n; bit++) {
		message2[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(initiator_finish(&i, &world.client, message2, n, &got), -EBADMSG);
		message2[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t len = 0; len < n; len++)
		assert_int_equal(initiator_finish(&i, &world.client, message2, len, &got),
				-EBADMSG);
	for (size_t k = 0; k < sizeof got; k++)
		assert_int_equal(((uint8_t *)&got)[k], 0x77); /* untouched */
	assert_memory_equal(&i, &before, sizeof i);
	assert_int_equal(initiator_finish(&i, &world.client, message2, n, &got), 0);
}

/* Any number of forged answers, and the true one is still taken. */
static void forged_answers(void **state)
{
	uint8_t message2[MESSAGE1_SIZE], forged[MESSAGE1_SIZE];
	struct initiator i, before;
	struct grant g, got;

	(void)state;
	begin(&i);
	new_grant(&g, 0);
	size_t n = answer(i.message, world.psk, &g, message2);
	before = i;
	for (int k = 0; k < 1000; k++) {
		memcpy(forged, message2, n);
		fill(&seed, forged + MESSAGE2_NOISE + (k % 2 ? 0 : KEY_SIZE), 40);
		assert_int_equal(initiator_finish(&i, &world.client, forged, n, &got), -EBADMSG);
	}
	assert_memory_equal(&i, &before, sizeof i);
	assert_int_equal(initiator_finish(&i, &world.client, message2, n, &got), 0);
}

static void retries(void **state)
{
	uint8_t token[TOKEN_SIZE], retry[RETRY_SIZE], again[RETRY_SIZE], first[MESSAGE1_SIZE];
	struct initiator i, other;

	(void)state;
	begin(&i);
	begin(&other);
	memcpy(first, i.message, sizeof first);
	for (size_t k = 0; k < TOKEN_SIZE; k++)
		assert_int_equal(first[MESSAGE1_TOKEN + k], 0);
	fill(&seed, token, sizeof token);
	retry_write(i.message, token, world.mac_key, retry);
	assert_false(initiator_retry(&other, retry, sizeof retry));
	for (size_t bit = 0; bit < 8 * RETRY_SIZE; bit++) {
		if (bit >= 8 && bit < 32)
			continue; /* reserved bytes, not looked at */
		retry[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_false(initiator_retry(&i, retry, sizeof retry));
		retry[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_false(initiator_retry(&i, retry, sizeof retry - 1));
	assert_memory_equal(i.message, first, sizeof first);
	assert_true(initiator_retry(&i, retry, sizeof retry));
	assert_memory_equal(i.message, first, MESSAGE1_TOKEN); /* the same Noise bytes */
	assert_memory_equal(i.message + MESSAGE1_TOKEN, token, TOKEN_SIZE);
	assert_true(message1_check(i.message, MESSAGE1_SIZE, world.mac_key));

	/* One a packet: a second, made for the message as it is now, waits until it is sent. */
	token[0] ^= 1;
	retry_write(i.message, token, world.mac_key, again);
	assert_false(initiator_retry(&i, again, sizeof again));
	i.retried = false; /* sent */
	assert_false(initiator_retry(&i, retry, sizeof retry)); /* for the message before */
	assert_true(initiator_retry(&i, again, sizeof again));

	/* And the handshake goes on. */
	uint8_t message2[MESSAGE1_SIZE];
	struct grant g, got;
	new_grant(&g, 0);
	size_t n = answer(i.message, world.psk, &g, message2);
	assert_int_equal(initiator_finish(&i, &world.client, message2, n, &got), 0);
}

/* Two different inputs under one ephemeral would break GCM: e tells the rest of the Noise bytes. */
static void one_ephemeral_one_input(void **state)
{
	enum { MESSAGES = 200, RETRIES = 3 };
	static uint8_t sent[MESSAGES * (RETRIES + 1)][MESSAGE1_TOKEN];
	unsigned count = 0;

	(void)state;
	for (int m = 0; m < MESSAGES; m++) {
		struct initiator i;

		begin(&i);
		memcpy(sent[count++], i.message, MESSAGE1_TOKEN);
		for (int k = 0; k < RETRIES; k++) {
			uint8_t token[TOKEN_SIZE], retry[RETRY_SIZE];

			fill(&seed, token, sizeof token);
			retry_write(i.message, token, world.mac_key, retry);
			i.retried = false;
			assert_true(initiator_retry(&i, retry, sizeof retry));
			memcpy(sent[count++], i.message, MESSAGE1_TOKEN);
		}
	}
	for (unsigned a = 0; a < count; a++)
		for (unsigned b = 0; b < a; b++) {
			bool same_e = !memcmp(sent[a] + MESSAGE1_NOISE, sent[b] + MESSAGE1_NOISE,
					KEY_SIZE);
			bool same_all = !memcmp(sent[a], sent[b], MESSAGE1_TOKEN);

			assert_int_equal(same_e, same_all);
		}
}

static void zero_dh(void **state)
{
	static const uint8_t zero[KEY_SIZE], one[KEY_SIZE] = {1};
	const uint8_t *const points[] = {zero, one};
	uint8_t ephemeral[KEY_SIZE], message2[MESSAGE1_SIZE];
	static const struct initiator nothing;
	struct grant g, got;
	struct responder r;
	struct initiator i;
	struct offer offer;

	(void)state;
	fill(&seed, ephemeral, sizeof ephemeral);
	for (size_t p = 0; p < ARRAY_SIZE(points); p++) {
		/* the cluster's key */
		assert_int_equal(initiator_begin(&i, &world.client, world.psk, points[p], &offered,
				ephemeral, 1), -EPROTO);
		assert_memory_equal(&i, &nothing, sizeof i);
		/* the client's ephemeral */
		begin(&i);
		memcpy(i.message + MESSAGE1_NOISE, points[p], KEY_SIZE);
		assert_int_equal(responder_open(&r, &world.cluster, i.message, MESSAGE1_SIZE),
				-EBADMSG);
		/* the client's static key: ee passes, se does not */
		begin(&i);
		assert_int_equal(responder_open(&r, &world.cluster, i.message, MESSAGE1_SIZE), 0);
		assert_int_equal(responder_accept(&r, world.ss, &offer), 0);
		memcpy(r.client_public, points[p], KEY_SIZE);
		assert_int_equal(responder_answer(&r, world.psk, ephemeral), -EPROTO);
		/* the server's ephemeral */
		new_grant(&g, 0);
		size_t n = answer(i.message, world.psk, &g, message2);
		memcpy(message2 + MESSAGE2_NOISE, points[p], KEY_SIZE);
		assert_int_equal(initiator_finish(&i, &world.client, message2, n, &got), -EBADMSG);
	}
}

static void wrong_keys(void **state)
{
	uint8_t message2[MESSAGE1_SIZE], psk[KEY_SIZE], mac_key[KEY_SIZE], ss[KEY_SIZE];
	struct key_pair other;
	struct grant g, got;
	struct initiator i;
	struct responder r;
	struct offer offer;

	(void)state;
	begin(&i);
	new_pair(&other);
	memcpy(psk, world.psk, sizeof psk);
	psk[0] ^= 1;
	new_grant(&g, 0);
	size_t n = answer(i.message, psk, &g, message2);
	assert_int_equal(initiator_finish(&i, &world.client, message2, n, &got), -EBADMSG);
	n = answer(i.message, world.psk, &g, message2);
	assert_int_equal(initiator_finish(&i, &other, message2, n, &got), -EBADMSG);

	message1_mac_key(other.public, mac_key);
	assert_false(message1_check(i.message, MESSAGE1_SIZE, mac_key));
	assert_int_equal(responder_open(&r, &other, i.message, MESSAGE1_SIZE), -EBADMSG);
	/* Whoever has the client's public key alone does not have its ss. */
	assert_int_equal(x25519(other.secret, world.client.public, ss), 0);
	assert_int_equal(responder_open(&r, &world.cluster, i.message, MESSAGE1_SIZE), 0);
	assert_int_equal(responder_accept(&r, ss, &offer), -EBADMSG);
}

/* A client and a server whose payloads the test writes itself. */
static bool payload1_accepted(const uint8_t *payload, size_t len)
{
	uint8_t message[MESSAGE1_SIZE] = {0xa4}, prologue[15] = "anytun2";
	struct key_pair e;
	struct responder r;
	struct offer offer;
	struct noise s;

	new_pair(&e);
	store_be16(message + 2, (uint16_t)(96 + len));
	memcpy(prologue + 7, message, 8);
	ik_begin(&s, prologue, sizeof prologue, world.cluster.public);
	assert_int_equal(ik_write_1(&s, &world.client, &e, world.cluster.public, payload, len,
			message + 8), 0);
	assert_int_equal(responder_open(&r, &world.cluster, message, sizeof message), 0);
	return responder_accept(&r, world.ss, &offer) == 0;
}

static void payload1(void **state)
{
	static const uint8_t plain[] = {1, 2, 1, 0};
	static const uint8_t tlvs[] = {1, 2, 1, 0, 99, 0, 2, 7, 7, 1, 0, 0, 0, 88, 88};
	static const uint8_t none[] = {0, 0};
	uint8_t many[1048] = {200};

	(void)state;
	assert_true(payload1_accepted(plain, sizeof plain));
	assert_true(payload1_accepted(none, sizeof none));
	for (size_t len = 0; len < sizeof plain; len++)
		assert_false(payload1_accepted(plain, len));
	assert_true(payload1_accepted(tlvs, sizeof tlvs));
	for (size_t len = 5; len < 9; len++) /* inside the first TLV */
		assert_false(payload1_accepted(tlvs, len));
	many[201] = 255; /* long lists of things unknown */
	assert_true(payload1_accepted(many, sizeof many));
}

static int payload2_result(const uint8_t *payload, size_t len, uint8_t kid, struct grant *got)
{
	uint8_t message2[MESSAGE1_SIZE];
	struct responder r;
	struct initiator i;
	struct offer offer;
	uint8_t ephemeral[KEY_SIZE];

	begin(&i);
	assert_int_equal(responder_open(&r, &world.cluster, i.message, MESSAGE1_SIZE), 0);
	assert_int_equal(responder_accept(&r, world.ss, &offer), 0);
	fill(&seed, ephemeral, sizeof ephemeral);
	assert_int_equal(responder_answer(&r, world.psk, ephemeral), 0);
	memcpy(message2 + 8, r.answer, KEY_SIZE);
	size_t n = KEY_SIZE + noise_encrypt(&r.noise, payload, len, message2 + 40);
	message2[0] = 0xa5;
	message2[1] = kid;
	store_be16(message2 + 2, (uint16_t)n);
	store_be32(message2 + 4, i.tag);
	return initiator_finish(&i, &world.client, message2, 8 + n, got);
}

static void payload2(void **state)
{
	enum { END = 40, TIME = 44, VERSION = 86, AEAD = 87, KID = 88 };
	ticks end = TICKS_S(session_end(5900000));
	uint8_t p[600] = {0};
	struct grant got;

	(void)state;
	store_be32(p + END, (uint32_t)session_end(5900000));
	store_be64(p + TIME, end - TICKS_S(595));
	p[VERSION] = PROTOCOL_VERSION;
	p[KID] = 0x3f;
	assert_int_equal(payload2_result(p, PAYLOAD2_FIXED, 0x3f, &got), 0);
	for (size_t len = 0; len < PAYLOAD2_FIXED; len++)
		assert_int_equal(payload2_result(p, len, 0x3f, &got), -EBADMSG);
	assert_int_equal(payload2_result(p, PAYLOAD2_FIXED, 0x3e, &got), -EBADMSG);
	p[VERSION] = 3;
	assert_int_equal(payload2_result(p, PAYLOAD2_FIXED, 0x3f, &got), -EBADMSG);
	p[VERSION] = PROTOCOL_VERSION;
	p[AEAD] = AEAD_COUNT;
	assert_int_equal(payload2_result(p, PAYLOAD2_FIXED, 0x3f, &got), -EBADMSG);
	p[AEAD] = 0;
	store_be32(p + END, (uint32_t)session_end(5900000) + 1);
	assert_int_equal(payload2_result(p, PAYLOAD2_FIXED, 0x3f, &got), -EBADMSG);
	store_be32(p + END, 295);
	assert_int_equal(payload2_result(p, PAYLOAD2_FIXED, 0x3f, &got), -EBADMSG);
	store_be32(p + END, (uint32_t)session_end(5900000));

	/* The server's time lies in the session, or a moment before it. */
	store_be64(p + TIME, end);
	assert_int_equal(payload2_result(p, PAYLOAD2_FIXED, 0x3f, &got), -EBADMSG);
	store_be64(p + TIME, end - TICKS_S(601));
	assert_int_equal(payload2_result(p, PAYLOAD2_FIXED, 0x3f, &got), -EBADMSG);
	store_be64(p + TIME, end - TICKS_S(600));
	assert_int_equal(payload2_result(p, PAYLOAD2_FIXED, 0x3f, &got), 0);
	store_be64(p + TIME, end - 1);
	assert_int_equal(payload2_result(p, PAYLOAD2_FIXED, 0x3f, &got), 0);

	/* An unknown TLV, a ticket of 29 bytes, the end, and what comes after it. */
	memcpy(p + 89, "\x63\0\2\1\1\1\0\x1d", 8);
	memset(p + 97, 5, 29);
	p[127] = 1;
	assert_int_equal(payload2_result(p, 129, 0x3f, &got), 0);
	assert_int_equal(got.ticket_len, 29);
	assert_int_equal(got.ticket[28], 5);
	assert_int_equal(payload2_result(p, 125, 0x3f, &got), -EBADMSG); /* cut in the ticket */
	p[96] = 28;
	assert_int_equal(payload2_result(p, 125, 0x3f, &got), -EBADMSG); /* too short for one */
	store_be16(p + 95, 401);
	assert_int_equal(payload2_result(p, 97 + 401, 0x3f, &got), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(message1_bits),
		cmocka_unit_test(message1_lengths),
		cmocka_unit_test(message2_bits),
		cmocka_unit_test(forged_answers),
		cmocka_unit_test(retries),
		cmocka_unit_test(one_ephemeral_one_input),
		cmocka_unit_test(zero_dh),
		cmocka_unit_test(wrong_keys),
		cmocka_unit_test(payload1),
		cmocka_unit_test(payload2),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
