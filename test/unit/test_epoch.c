/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include <errno.h>
#include <stdlib.h>

#include "bytes.h"
#include "proto/epoch.h"
#include "proto/handshake.h"

#define E 5900000

static uint64_t seed = 11;

static void birth(struct lineage *l)
{
	uint8_t start[KEY_SIZE];

	for (unsigned i = 0; i < KEY_SIZE; i++)
		start[i] = (uint8_t)i;
	lineage_birth(l, 1, 2, E, start);
}

/* The vector of PROTOCOL.md. */
static void vector(void **state)
{
	uint8_t h[HASH_SIZE], sid[SID_SIZE], s[KEY_SIZE], key[KEY_SIZE], iv[NONCE_SIZE];
	uint8_t client[KEY_SIZE], sender[SENDER_SIZE], nonce[NONCE_SIZE];
	struct lineage l;

	(void)state;
	birth(&l);
	const struct epoch_keys *k = &l.keys[EPOCH_CURRENT];
	assert_int_equal(k->epoch, E);
	assert_int_equal(k->kid, 0x3f);
	assert_int_equal(l.keys[EPOCH_NEXT].epoch, E + 1);
	assert_hex(l.keys[EPOCH_NEXT].k,
			"924e3dcaa4ada9ef0564ca8d231456a99c31d5bb0652def5d3d857ebe1d713c2");
	sha256_parts(&PART("h", 1), 1, h);
	sid_make(k, h, 0x01020304, sid);
	assert_hex(sid, "f8b045a2a731af83");
	assert_int_equal(sid_index(k, sid), 0x01020304);
	memset(client, 9, sizeof client);
	session_secret(k, sid, client, s);
	assert_hex(s, "bc5eec046f4e144857ec9962246d21f84e8b265133bd2028c99849c6b33ef1a6");
	session_key_up(s, AEAD_AES_256_GCM, key, iv);
	assert_hex(key, "f48a88dbde72c22643ac043b3bcd6eb9c01d8913906b57a2f3a5ac76eb59e577");
	assert_hex(iv, "5661ad0c01b9fd527baea5fe");
	packet_nonce(nonce, iv, 0x1234, 5);
	assert_hex(nonce, "5661ad0c01b9ef667baea5fb");
	unhex("0007abcdef", sender);
	session_key_down(s, AEAD_AES_256_GCM, sender, key, iv);
	assert_hex(key, "8ff26ebe451857274e4fcd5d988fe9b4440bf758fe89cea9425845835ea2a675");
	assert_hex(iv, "44290c7b3e293e2156a66f5d");
}

/* No two derivations under one key have one label, nor does one label begin another. */
static void labels_distinct(void **state)
{
	static const struct {
		const char *key, *text;
	} labels[] = {
#define X(name, text) {"K", text},
		EPOCH_LABELS(X)
#undef X
#define X(key, name, text) {key, text},
		OTHER_LABELS(X)
#undef X
		{"cluster public key", MAC1_LABEL},
	};
	struct lineage l;

	(void)state;
	for (size_t a = 0; a < ARRAY_SIZE(labels); a++)
		for (size_t b = 0; b < ARRAY_SIZE(labels); b++)
			if (a != b && !strcmp(labels[a].key, labels[b].key))
				assert_int_not_equal(strncmp(labels[a].text, labels[b].text,
						strlen(labels[a].text)), 0);
	birth(&l);
	const uint8_t *keys[] = {
#define X(name, text) l.keys[EPOCH_CURRENT].name,
		EPOCH_LABELS(X)
#undef X
		l.keys[EPOCH_CURRENT].k, l.keys[EPOCH_NEXT].k,
	};
	for (size_t a = 0; a < ARRAY_SIZE(keys); a++)
		for (size_t b = 0; b < a; b++)
			assert_memory_not_equal(keys[a], keys[b], KEY_SIZE);
}

/* Direction, cipher and sender all make another key. */
static void session_keys_distinct(void **state)
{
	uint8_t s[KEY_SIZE], keys[6][KEY_SIZE], iv[NONCE_SIZE];

	(void)state;
	fill(&seed, s, sizeof s);
	for (enum aead a = 0; a < AEAD_COUNT; a++) {
		session_key_up(s, a, keys[a], iv);
		session_key_down(s, a, (const uint8_t *)"\0\1abc", keys[2 + a], iv);
		session_key_down(s, a, (const uint8_t *)"\0\1abd", keys[4 + a], iv);
	}
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		for (size_t j = 0; j < i; j++)
			assert_memory_not_equal(keys[i], keys[j], KEY_SIZE);
}

static bool holds(const void *memory, size_t n, const uint8_t *secret)
{
	return memmem(memory, n, secret, KEY_SIZE) != NULL;
}

static void step_wipes_the_past(void **state)
{
	struct lineage l, first;

	(void)state;
	birth(&l);
	first = l;
	assert_false(l.has_previous);
	lineage_step(&l, E);
	assert_memory_equal(&l, &first, sizeof l);
	lineage_step(&l, E + 1);
	assert_true(l.has_previous);
	assert_memory_equal(&l.keys[EPOCH_PREVIOUS], &first.keys[EPOCH_CURRENT],
			sizeof(struct epoch_keys));
	assert_memory_equal(&l.keys[EPOCH_CURRENT], &first.keys[EPOCH_NEXT],
			sizeof(struct epoch_keys));
	lineage_step(&l, E + 2);
	/* K(E) and every key that was made of it are gone. */
	const struct epoch_keys *old = &first.keys[EPOCH_CURRENT];
	assert_false(holds(&l, sizeof l, old->k));
#define X(name, text) assert_false(holds(&l, sizeof l, old->name));
	EPOCH_LABELS(X)
#undef X
	assert_true(holds(&l, sizeof l, first.keys[EPOCH_NEXT].k));
}

static void step_far_and_never_back(void **state)
{
	struct lineage l, far, before;

	(void)state;
	birth(&l);
	birth(&far);
	for (unsigned i = 1; i <= 100; i++)
		lineage_step(&l, E + i);
	lineage_step(&far, E + 100);
	assert_memory_equal(&l, &far, sizeof l);
	assert_int_equal(l.keys[EPOCH_PREVIOUS].epoch, E + 99);
	assert_int_equal(l.keys[EPOCH_CURRENT].epoch, E + 100);
	assert_int_equal(l.keys[EPOCH_NEXT].epoch, E + 101);
	before = l;
	lineage_step(&l, E + 50);
	lineage_step(&l, 0);
	assert_memory_equal(&l, &before, sizeof l);
}

/* Two keys with one kid are both found; the empty place of the previous epoch never. */
static void keyring(void **state)
{
	static struct keyring ring, empty;
	unsigned at = 0, found = 0;

	(void)state;
	assert_null(keyring_issuer(&ring));
	assert_null(keyring_find(&ring, 0, &at));
	for (unsigned i = 0; i < KEYRING_LINEAGES; i++) {
		uint8_t start[KEY_SIZE];

		fill(&seed, start, sizeof start);
		lineage_birth(&ring.lineage[i], 9 - i, i, E, start);
	}
	ring.count = 3;
	lineage_step(&ring.lineage[1], E + 1);
	assert_ptr_equal(keyring_issuer(&ring), &ring.lineage[0].keys[EPOCH_CURRENT]);
	for (unsigned i = 0; i < KEYRING_LINEAGES; i++)
		for (unsigned k = 0; k < LINEAGE_EPOCHS; k++)
			ring.lineage[i].keys[k].kid = 0x42;
	at = 0;
	const struct epoch_keys *seen[KEYRING_LINEAGES * LINEAGE_EPOCHS], *k;
	while ((k = keyring_find(&ring, 0x42, &at))) {
		assert_int_not_equal(k->epoch, 0);
		for (unsigned i = 0; i < found; i++)
			assert_ptr_not_equal(seen[i], k);
		seen[found++] = k;
	}
	assert_int_equal(found, 2 + 3 + 2);
	at = 0;
	assert_null(keyring_find(&ring, 0x43, &at));
	keyring_wipe(&ring);
	assert_memory_equal(&ring, &empty, sizeof ring);
}

static void sid_and_index(void **state)
{
	struct lineage l;

	(void)state;
	birth(&l);
	const struct epoch_keys *k = &l.keys[EPOCH_CURRENT];
	for (int i = 0; i < 10000; i++) {
		uint8_t h[HASH_SIZE], sid[SID_SIZE];
		uint32_t index = (uint32_t)next_random(&seed);

		fill(&seed, h, sizeof h);
		sid_make(k, h, index, sid);
		assert_int_equal(sid_index(k, sid), index);
		/* Under another epoch's key it is somebody else's. */
		assert_int_not_equal(sid_index(&l.keys[EPOCH_NEXT], sid), index);
	}
}

static int by_bytes(const void *a, const void *b)
{
	return memcmp(a, b, SID_SIZE);
}

/* One r for a thousand clients: their ids differ all the same. */
static void equal_r_distinct_sid(void **state)
{
	static uint8_t sids[1000][SID_SIZE];
	uint8_t h[HASH_SIZE];
	struct lineage l;

	(void)state;
	birth(&l);
	fill(&seed, h, sizeof h);
	for (uint32_t i = 0; i < 1000; i++) {
		sid_make(&l.keys[EPOCH_CURRENT], h, i * 7, sids[i]);
		assert_memory_equal(sids[i], sids[0], 4);
	}
	qsort(sids, 1000, SID_SIZE, by_bytes);
	for (unsigned i = 1; i < 1000; i++)
		assert_memory_not_equal(sids[i], sids[i - 1], SID_SIZE);
}

static const ticks now = TICKS_S((uint64_t)E * EPOCH_SECONDS + 100) + 12345;

static void cookies(void **state)
{
	uint8_t sid[SID_SIZE], cookie[COOKIE_SIZE];
	struct endpoint address = {.port = 4444};
	struct lineage l;

	(void)state;
	birth(&l);
	const struct epoch_keys *k = &l.keys[EPOCH_CURRENT];
	fill(&seed, sid, sizeof sid);
	fill(&seed, address.ip, sizeof address.ip);
	cookie_make(k, KIND_PATH, sid, &address, now, cookie);
	assert_int_equal(load_be32(cookie), (uint32_t)(now >> 20));
	assert_int_equal(cookie_check(k, KIND_PATH, sid, &address, now, cookie), 0);
	/* its layout, from the parts */
	uint8_t wire[1 + SID_SIZE + ENDPOINT_WIRE + 4] = {KIND_PATH}, mac[HASH_SIZE];
	memcpy(wire + 1, sid, SID_SIZE);
	memcpy(wire + 9, address.ip, 16);
	store_be16(wire + 25, 4444);
	memcpy(wire + 27, cookie, 4);
	hmac_parts(k->path, KEY_SIZE, &PART(wire, sizeof wire), 1, mac);
	assert_memory_equal(cookie + 4, mac, 12);

	assert_int_equal(cookie_check(k, KIND_TIME, sid, &address, now, cookie), -EBADMSG);
	assert_int_equal(cookie_check(&l.keys[EPOCH_NEXT], KIND_PATH, sid, &address, now, cookie),
			-EBADMSG);
	for (unsigned bit = 0; bit < 8 * COOKIE_SIZE; bit++) {
		cookie[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(cookie_check(k, KIND_PATH, sid, &address, now, cookie), -EBADMSG);
		cookie[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (unsigned i = 0; i < SID_SIZE; i++) {
		sid[i] ^= 1;
		assert_int_equal(cookie_check(k, KIND_PATH, sid, &address, now, cookie), -EBADMSG);
		sid[i] ^= 1;
	}
	for (unsigned i = 0; i < 16; i++) {
		address.ip[i] ^= 1;
		assert_int_equal(cookie_check(k, KIND_PATH, sid, &address, now, cookie), -EBADMSG);
		address.ip[i] ^= 1;
	}
	address.port++;
	assert_int_equal(cookie_check(k, KIND_PATH, sid, &address, now, cookie), -EBADMSG);
}

static void cookie_ages(void **state)
{
	static const ticks sixteenth = TICKS_PER_SEC / 16;
	const ticks starts[] = {now, ((ticks)1 << 52) - 1}; /* from the second on, t wraps to 0 */
	struct endpoint address = {.port = 1};
	uint8_t sid[SID_SIZE] = {1}, c[COOKIE_SIZE];
	struct lineage l;

	(void)state;
	birth(&l);
	const struct epoch_keys *k = &l.keys[EPOCH_CURRENT];
	for (size_t i = 0; i < ARRAY_SIZE(starts); i++) {
		ticks t = starts[i];

		for (uint8_t kind = KIND_PATH; kind <= KIND_TIME; kind++) {
			unsigned most = kind == KIND_PATH ? 160 : 64;

			cookie_make(k, kind, sid, &address, t, c);
			assert_int_equal(cookie_check(k, kind, sid, &address, t - 16 * sixteenth,
					c), 0);
			assert_int_equal(cookie_check(k, kind, sid, &address, t - 17 * sixteenth,
					c), -ETIME);
			assert_int_equal(cookie_check(k, kind, sid, &address, t + most * sixteenth,
					c), 0);
			assert_int_equal(cookie_check(k, kind, sid, &address,
					t + (most + 1) * sixteenth, c),
					-ETIME);
		}
	}
}

static void tokens(void **state)
{
	static struct keyring ring;
	struct endpoint address = {.port = 4444};
	uint8_t token[TOKEN_SIZE], mac[HASH_SIZE], wire[ENDPOINT_WIRE + 4];
	static const uint8_t none[TOKEN_SIZE];

	(void)state;
	ring.count = 1;
	birth(&ring.lineage[0]);
	const struct epoch_keys *k = keyring_issuer(&ring);
	fill(&seed, address.ip, sizeof address.ip);
	token_make(k, &address, now, token);
	assert_int_equal(load_be32(token), (uint32_t)k->kid << 24);
	assert_int_equal(load_be32(token + 4), (uint32_t)(now >> 24));
	endpoint_store(wire, &address);
	memcpy(wire + ENDPOINT_WIRE, token + 4, 4);
	hmac_parts(k->retry, KEY_SIZE, &PART(wire, sizeof wire), 1, mac);
	assert_memory_equal(token + 8, mac, 24);

	assert_true(token_check(&ring, &address, now, token));
	assert_true(token_check(&ring, &address, now - TICKS_S(1), token));
	assert_false(token_check(&ring, &address, now - TICKS_S(2), token));
	assert_true(token_check(&ring, &address, now + TICKS_S(10), token));
	assert_false(token_check(&ring, &address, now + TICKS_S(11), token));
	assert_false(token_check(&ring, &address, now, none));
	address.port++;
	assert_false(token_check(&ring, &address, now, token));
	address.port--;
	address.ip[15] ^= 1;
	assert_false(token_check(&ring, &address, now, token));
	address.ip[15] ^= 1;
	for (unsigned i = 0; i < TOKEN_SIZE; i++) {
		if (i >= 1 && i <= 3)
			continue; /* reserved */
		token[i] ^= 1;
		assert_false(token_check(&ring, &address, now, token));
		token[i] ^= 1;
	}
	/* The step of the epoch leaves it valid, two steps end it. */
	lineage_step(&ring.lineage[0], E + 1);
	assert_true(token_check(&ring, &address, now, token));
	lineage_step(&ring.lineage[0], E + 2);
	assert_false(token_check(&ring, &address, now, token));
}

static int setup(void **state)
{
	(void)state;
	return crypto_init(CRYPTO_AUTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vector),
		cmocka_unit_test(labels_distinct),
		cmocka_unit_test(session_keys_distinct),
		cmocka_unit_test(step_wipes_the_past),
		cmocka_unit_test(step_far_and_never_back),
		cmocka_unit_test(keyring),
		cmocka_unit_test(sid_and_index),
		cmocka_unit_test(equal_r_distinct_sid),
		cmocka_unit_test(cookies),
		cmocka_unit_test(cookie_ages),
		cmocka_unit_test(tokens),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
