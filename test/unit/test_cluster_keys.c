/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* Announcements of the cluster's keys, and records sealed for either of two. */
#include "bytes.h"
#include <errno.h>
#include <stdlib.h>
#include "cluster/registry_value.h"
#include "proto/cluster_keys.h"
#include "proto/record.h"

static struct operator_key op, other;
static struct operator_public op_public;
static struct cluster_secrets both = {.count = 2, .secret = {{0, 2}, {0, 3}}};

static int set_up(void **state)
{
	static const uint8_t seed[KEY_SIZE] = {1}, other_seed[KEY_SIZE] = {9};
	(void)state;

	crypto_init(CRYPTO_OPENSSL);
	operator_key_from_seed(&op, seed);
	operator_key_from_seed(&other, other_seed);
	memcpy(op_public.sign, op.sign_public, KEY_SIZE);
	memcpy(op_public.seal, op.seal_public, KEY_SIZE);
	return 0;
}

/* ---- announcements ---- */

static size_t write_sample(uint8_t out[ANNOUNCEMENT_MAX], uint8_t count)
{
	struct announcement a = {.version = 0x0102030405060708, .count = count};

	memset(a.keys, 9, sizeof a.keys);
	return announcement_write(out, &a, op.seed);
}

static void round_trip(void **state)
{
	uint8_t bytes[ANNOUNCEMENT_MAX];
	struct announcement a;
	(void)state;

	for (uint8_t count = 1; count <= CLUSTER_KEYS_MAX; count++) {
		size_t len = write_sample(bytes, count);

		assert_int_equal(len, 10 + 32 * count + 64);
		assert_int_equal(announcement_version(bytes, len), 0x0102030405060708);
		assert_int_equal(announcement_read(&a, bytes, len, op.sign_public), 0);
		assert_int_equal(a.version, 0x0102030405060708);
		assert_int_equal(a.count, count);
		for (unsigned i = 0; i < count; i++)
			assert_int_equal(a.keys[i][31], 9);
	}
}

/* The bytes of PROTOCOL.md. */
static void vector(void **state)
{
	uint8_t seed[KEY_SIZE], bytes[ANNOUNCEMENT_MAX];
	struct announcement a = {.version = 1770000000, .count = 1};
	(void)state;

	memset(seed, 1, sizeof seed);
	memset(a.keys, 9, sizeof a.keys);
	assert_int_equal(announcement_write(bytes, &a, seed), 106);
	assert_hex(bytes, "010000000069800e8001"
			"0909090909090909090909090909090909090909090909090909090909090909"
			"d6f4fe30a7a31feed76bd8d233019148a1b031f488c97b798594225a399b2737"
			"607e5c246ab3633df7eef891ea8d9bac3200bfbaf7cdc1155049038dc2afb107");
}

static void forged(void **state)
{
	uint8_t bytes[ANNOUNCEMENT_MAX];
	struct announcement a = {.version = 77};
	size_t len = write_sample(bytes, 2);
	(void)state;

	for (size_t bit = 0; bit < 8 * len; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_true(announcement_read(&a, bytes, len, op.sign_public) < 0);
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t n = 0; n < len; n++)
		assert_true(announcement_read(&a, bytes, n, op.sign_public) < 0);
	assert_int_equal(announcement_read(&a, bytes, len, other.sign_public), -EBADMSG);
	assert_int_equal(a.version, 77);
	assert_int_equal(announcement_read(&a, bytes, len, op.sign_public), 0);
}

/* Rightly signed, and still nothing that may be taken. */
static void out_of_range(void **state)
{
	static const struct {
		uint64_t version;
		uint8_t count;
	} bad[] = {{1, 0}, {0, 1}};
	uint8_t bytes[ANNOUNCEMENT_MAX];
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct announcement a = {.version = bad[i].version, .count = bad[i].count};
		size_t len = announcement_write(bytes, &a, op.seed);

		assert_int_equal(announcement_read(&a, bytes, len, op.sign_public), -EINVAL);
		assert_int_equal(announcement_version(bytes, len), 0);
	}
}

/* ---- what is sealed for either ---- */

static void records(void **state)
{
	struct cluster_secrets third = {.count = 1, .secret = {{0, 4}}};
	struct seal_keys two, one = {.count = 1}, none;
	struct record r = {.index = 7, .version = 1, .name = "a"}, found;
	uint8_t bytes[RECORD_MAX];
	(void)state;

	memset(r.psk, 5, KEY_SIZE);
	assert_int_equal(seal_keys_make(&two, &both, op_public.seal), 0);
	assert_int_equal(seal_keys_make(&none, &third, op_public.seal), 0);
	for (unsigned i = 0; i < 2; i++) {
		size_t len = record_write(bytes, &r, &op, two.key[i]);

		memset(&found, 0, sizeof found);
		assert_int_equal(record_read(&found, bytes, len, &op_public, &two), 0);
		assert_memory_equal(found.psk, r.psk, KEY_SIZE);
		assert_int_equal(record_read(&found, bytes, len, &op_public, &none), -EKEYREJECTED);
		memcpy(one.key[0], two.key[!i], KEY_SIZE);
		assert_int_equal(record_read(&found, bytes, len, &op_public, &one), -EKEYREJECTED);
	}
}

static struct session_record *open_with(const struct value_keys *k, const uint8_t *value, size_t len)
{
	uint32_t index;
	int error;

	return session_value_open(k, "77", value, len, &index, &error);
}

/* A server that has the old key alone, one with both, and one that has given the old one up. */
static void registry_values(void **state)
{
	struct cluster_secrets before = {.count = 1, .secret = {{0, 2}}}, after = {.count = 1,
			.secret = {{0, 3}}};
	struct session_record r = {.epoch = 5900000, .down_mtu = 1280, .hold = 1, .writer = 1};
	struct value_keys old, rolling, new;
	uint8_t value[SESSION_SEALED_MAX];
	(void)state;

	r.endpoint.port = 1;
	assert_int_equal(value_keys_make(&old, &before, &op_public, true), 0);
	assert_int_equal(value_keys_make(&new, &after, &op_public, true), 0);
	for (unsigned newest = 0; newest < 2; newest++) {
		struct session_record *read;
		size_t len;

		assert_int_equal(value_keys_make(&rolling, &both, &op_public, newest), 0);
		len = session_value_seal(&rolling, "77", &r, value);
		read = open_with(&rolling, value, len);
		assert_non_null(read);
		free(read);
		read = open_with(newest ? &new : &old, value, len);
		assert_non_null(read);
		free(read);
		assert_null(open_with(newest ? &old : &new, value, len));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip), cmocka_unit_test(vector), cmocka_unit_test(forged),
		cmocka_unit_test(out_of_range), cmocka_unit_test(records),
		cmocka_unit_test(registry_values),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
