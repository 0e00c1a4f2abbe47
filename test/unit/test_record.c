/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* Client records: round trip, every bit, foreign keys, limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "proto/record.h"

static struct operator_key op, other_op;
static struct operator_public op_public, other_public;
static struct seal_keys keys = {.count = 1}, other_keys = {.count = 1};

static void make_public(struct operator_public *p, const struct operator_key *k)
{
	memcpy(p->sign, k->sign_public, KEY_SIZE);
	memcpy(p->seal, k->seal_public, KEY_SIZE);
}

static int setup(void **state)
{
	uint8_t cluster[KEY_SIZE], public[KEY_SIZE];

	(void)state;
	crypto_init(CRYPTO_OPENSSL);
	operator_key_from_seed(&op, (const uint8_t[KEY_SIZE]){1, 2, 3});
	operator_key_from_seed(&other_op, (const uint8_t[KEY_SIZE]){9});
	make_public(&op_public, &op);
	make_public(&other_public, &other_op);
	memset(cluster, 7, sizeof cluster);
	x25519_public(cluster, public);
	assert_int_equal(record_seal_key(op.seal_secret, public, keys.key[0]), 0);
	memset(cluster, 8, sizeof cluster);
	x25519_public(cluster, public);
	assert_int_equal(record_seal_key(op.seal_secret, public, other_keys.key[0]), 0);
	return 0;
}

static struct record sample(unsigned prefixes, const char *name)
{
	struct record r = {.index = 0x01020304, .version = 0x1122334455667788, .rights = 5,
			.port_first = 1024, .port_count = 256, .prefix_count = (uint8_t)prefixes};

	memset(r.public, 0x5a, KEY_SIZE);
	memset(r.psk, 0xa5, KEY_SIZE);
	for (unsigned i = 0; i < prefixes; i++) {
		char text[64];
		snprintf(text, sizeof text, i % 2 ? "fd07:0:0:%u::/64" : "10.7.%u.0/24", i);
		assert_int_equal(prefix_parse(text, &r.prefixes[i]), 0);
	}
	strcpy(r.name, name);
	return r;
}

static void assert_same(const struct record *a, const struct record *b)
{
	assert_int_equal(a->index, b->index);
	assert_true(a->version == b->version);
	assert_int_equal(a->removed, b->removed);
	assert_int_equal(a->rights, b->rights);
	assert_int_equal(a->port_first, b->port_first);
	assert_int_equal(a->port_count, b->port_count);
	assert_memory_equal(a->public, b->public, KEY_SIZE);
	assert_memory_equal(a->psk, b->psk, KEY_SIZE);
	assert_int_equal(a->prefix_count, b->prefix_count);
	assert_memory_equal(a->prefixes, b->prefixes, sizeof a->prefixes);
	assert_string_equal(a->name, b->name);
}

static void test_round_trip(void **state)
{
	static const char *const names[] = {"a", "laptop-1.example_X", "abcdefghijklmnopqrstuvwxyz012345"};
	uint8_t bytes[RECORD_MAX];
	struct record r, back;

	(void)state;
	for (size_t n = 0; n < ARRAY_SIZE(names); n++) {
		for (unsigned p = 0; p <= RECORD_PREFIXES_MAX; p++) {
			r = sample(p, names[n]);
			size_t len = record_write(bytes, &r, &op, keys.key[0]);
			assert_int_equal(len, 52 + 64 + 1 + strlen(names[n]) + 1 + 17 * p + 64);
			assert_int_equal(record_read(&back, bytes, len, &op_public, &keys), 0);
			assert_same(&r, &back);
			uint32_t index;
			assert_true(record_peek_index(&index, bytes, len));
			assert_int_equal(index, r.index);
		}
	}
}

/* The picture at the head of record.c, byte by byte. */
static void test_layout(void **state)
{
	uint8_t bytes[RECORD_MAX];
	struct record r = sample(1, "ab");

	(void)state;
	size_t len = record_write(bytes, &r, &op, keys.key[0]);
	static const uint8_t head[] = {1, 0, 1, 2, 3, 4, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
			0x88, 0, 5, 4, 0, 1, 0, 0x5a};
	static const uint8_t tail[] = {2, 'a', 'b', 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10,
			7, 0, 0, 120};
	assert_memory_equal(bytes, head, sizeof head);
	assert_memory_equal(bytes + 52 + 64, tail, sizeof tail);
	assert_int_equal(len, 52 + 64 + sizeof tail + SIGNATURE_SIZE);
	/* The psk does not stand there in the open. */
	assert_null(memmem(bytes, len, r.psk, 8));
}

/* The psk, opened by hand as docs/PROTOCOL.md says, not by the code under test. */
static void test_sealing(void **state)
{
	uint8_t bytes[RECORD_MAX], raw[KEY_SIZE], ad[44], psk[KEY_SIZE];
	static const uint8_t nonce[NONCE_SIZE];
	struct record r = sample(0, "a");
	struct aead_key key;

	(void)state;
	assert_int_not_equal(record_write(bytes, &r, &op, keys.key[0]), 0);
	const struct part info[] = {PART("psk", 3), PART(bytes + 52, 16)};
	hkdf_expand(keys.key[0], info, 2, raw, sizeof raw);
	aead_expand(&key, AEAD_AES_256_GCM, raw);
	memcpy(ad, bytes + 2, 12);
	memcpy(ad + 12, r.public, KEY_SIZE);
	assert_true(aead_open(&key, nonce, ad, sizeof ad, bytes + 68, 48, psk));
	assert_memory_equal(psk, r.psk, KEY_SIZE);
}

static void test_tombstone(void **state)
{
	uint8_t bytes[RECORD_MAX];
	struct record r = sample(0, "gone"), back;

	(void)state;
	r.removed = true;
	size_t len = record_write(bytes, &r, &op, keys.key[0]);
	assert_int_equal(len, 52 + 1 + 4 + 1 + 64);
	/* Any cluster may know that a client is gone; the psk is not there to be had. */
	assert_int_equal(record_read(&back, bytes, len, &op_public, &other_keys), 0);
	memset(r.psk, 0, KEY_SIZE);
	assert_same(&r, &back);
}

static void test_every_bit(void **state)
{
	uint8_t bytes[RECORD_MAX];
	struct record r = sample(2, "laptop"), before, back;

	(void)state;
	size_t len = record_write(bytes, &r, &op, keys.key[0]);
	memset(&before, 0xee, sizeof before);
	for (size_t bit = 0; bit < 8 * len; bit++) {
		bytes[bit / 8] ^= 1 << bit % 8;
		back = before;
		int rc = record_read(&back, bytes, len, &op_public, &keys);
		assert_true(rc == -EINVAL || rc == -EBADMSG);
		assert_memory_equal(&back, &before, sizeof back);
		bytes[bit / 8] ^= 1 << bit % 8;
	}
	assert_int_equal(record_read(&back, bytes, len, &op_public, &keys), 0);
}

static void test_every_length(void **state)
{
	uint8_t bytes[RECORD_MAX + 8] = {0};
	struct record r = sample(3, "laptop"), back;

	(void)state;
	size_t len = record_write(bytes, &r, &op, keys.key[0]);
	for (size_t n = 0; n <= sizeof bytes; n++) {
		if (n != len)
			assert_int_not_equal(record_read(&back, bytes, n, &op_public, &keys), 0);
	}
}

static void test_foreign(void **state)
{
	uint8_t bytes[RECORD_MAX];
	struct record r = sample(1, "laptop"), back;

	(void)state;
	size_t len = record_write(bytes, &r, &op, keys.key[0]);
	assert_int_equal(record_read(&back, bytes, len, &other_public, &keys), -EBADMSG);
	assert_int_equal(record_read(&back, bytes, len, &op_public, &other_keys), -EKEYREJECTED);
}

/* Signed by the operator, and still not a record: the reader keeps the limits too. */
static void test_limits(void **state)
{
	static const char *const bad_names[] = {"", "a b", "a/b", "\xc3\xa4", "a\n"};
	uint8_t bytes[RECORD_MAX];
	struct record r;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad_names); i++) {
		r = sample(0, bad_names[i]);
		assert_int_equal(record_write(bytes, &r, &op, keys.key[0]), 0);
	}
	r = sample(0, "a");
	memset(r.name, 'a', sizeof r.name); /* 33 characters, no NUL */
	assert_int_equal(record_write(bytes, &r, &op, keys.key[0]), 0);
	r = sample(8, "a");
	r.prefix_count = 9;
	assert_int_equal(record_write(bytes, &r, &op, keys.key[0]), 0);
	r = sample(2, "a");
	r.prefixes[1].len = 129;
	assert_int_equal(record_write(bytes, &r, &op, keys.key[0]), 0);
	r = sample(1, "a");
	r.prefixes[0].len = 95; /* would be more than all of IPv4 */
	assert_int_equal(record_write(bytes, &r, &op, keys.key[0]), 0);
	r = sample(0, "a");
	r.port_first = 65535;
	r.port_count = 2;
	assert_int_equal(record_write(bytes, &r, &op, keys.key[0]), 0);
	r.port_count = 1;
	assert_int_not_equal(record_write(bytes, &r, &op, keys.key[0]), 0);
}

/* A salt serves once: the same record sealed twice differs. */
static void test_salt(void **state)
{
	uint8_t a[RECORD_MAX], b[RECORD_MAX];
	struct record r = sample(0, "a");

	(void)state;
	assert_int_not_equal(record_write(a, &r, &op, keys.key[0]), 0);
	assert_int_not_equal(record_write(b, &r, &op, keys.key[0]), 0);
	assert_memory_not_equal(a + 52, b + 52, 16);
	assert_memory_not_equal(a + 68, b + 68, 48);
}

static void test_keys(void **state)
{
	uint8_t cluster[KEY_SIZE], public[KEY_SIZE], a[KEY_SIZE], b[KEY_SIZE];
	static const uint8_t low_order[KEY_SIZE];

	(void)state;
	memset(cluster, 0x42, sizeof cluster);
	x25519_public(cluster, public);
	assert_int_equal(record_seal_key(cluster, op.seal_public, a), 0);
	assert_int_equal(record_seal_key(op.seal_secret, public, b), 0);
	assert_memory_equal(a, b, KEY_SIZE);
	assert_int_equal(record_seal_key(cluster, low_order, a), -EPROTO);
	assert_memory_not_equal(op.sign_public, op.seal_public, KEY_SIZE);
	assert_memory_not_equal(op.seal_secret, op.seed, KEY_SIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip), cmocka_unit_test(test_layout),
		cmocka_unit_test(test_sealing),
		cmocka_unit_test(test_tombstone), cmocka_unit_test(test_every_bit),
		cmocka_unit_test(test_every_length), cmocka_unit_test(test_foreign),
		cmocka_unit_test(test_limits), cmocka_unit_test(test_salt),
		cmocka_unit_test(test_keys),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}
