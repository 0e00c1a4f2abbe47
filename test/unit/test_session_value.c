/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* Session records as bytes, and registry values as whole: exact, and nothing else is taken. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "bytes.h"
#include "cluster/registry_value.h"
#include "proto/pmtu.h"

static uint64_t seed = 4711;

static struct session_record *random_record(uint8_t groups, uint8_t macs)
{
	size_t lists = 16u * groups + MAC_ADDR_SIZE * (size_t)macs;
	struct session_record *r = calloc(1, sizeof *r + lists);

	assert_non_null(r);
	fill(&seed, r->sid, SID_SIZE);
	fill(&seed, r->data, lists);
	fill(&seed, r->endpoint.ip, 16);
	r->endpoint.port = (uint16_t)(next_random(&seed) | 1);
	r->full_t = next_random(&seed);
	r->epoch = next_random(&seed) >> 24;
	r->number = (uint32_t)next_random(&seed);
	r->writer = (uint16_t)next_random(&seed);
	r->kid = (uint8_t)next_random(&seed);
	r->aead = next_random(&seed) & 1;
	r->down_mtu = (uint16_t)(PMTU_BASE + next_random(&seed) % (PMTU_FIRST - PMTU_BASE + 1));
	r->keepalive = (uint16_t)next_random(&seed);
	r->hold = (uint8_t)(1 + next_random(&seed) % 30);
	r->moved = next_random(&seed);
	r->since = next_random(&seed);
	r->group_count = groups;
	r->mac_count = macs;
	return r;
}

static void assert_same(const struct session_record *a, const struct session_record *b)
{
	assert_int_equal(session_record_order(a, b), 0);
	assert_memory_equal(a->sid, b->sid, SID_SIZE);
	assert_true(endpoint_equal(&a->endpoint, &b->endpoint));
	assert_int_equal(a->writer, b->writer);
	assert_int_equal(a->kid, b->kid);
	assert_int_equal(a->aead, b->aead);
	assert_int_equal(a->down_mtu, b->down_mtu);
	assert_int_equal(a->keepalive, b->keepalive);
	assert_int_equal(a->hold, b->hold);
	assert_true(a->moved == b->moved && a->since == b->since);
	assert_int_equal(session_record_size(a), session_record_size(b));
	assert_memory_equal(a->data, b->data, session_record_size(a) - sizeof *a);
}

static void comes_back(void **state)
{
	uint8_t bytes[SESSION_VALUE_MAX], again[SESSION_VALUE_MAX];
	(void)state;

	for (unsigned i = 0; i < 300; i++) {
		struct session_record *r = random_record((uint8_t)(i % (GROUPS_MAX + 1)),
				(uint8_t)(i / 17 % (MACS_MAX + 1))), *read;
		size_t len = session_value_write(bytes, r);
		int error;

		assert_true(len <= sizeof bytes);
		read = session_value_read(bytes, len, &error);
		assert_non_null(read);
		assert_same(r, read);
		assert_int_equal(session_value_write(again, read), len);
		assert_memory_equal(bytes, again, len);
		free(read);
		free(r);
	}
}

static void exact_bytes(void **state)
{
	struct session_record *r = random_record(1, 1);
	uint8_t bytes[SESSION_VALUE_MAX];
	(void)state;

	memset(r->sid, 0x11, SID_SIZE);
	memset(r->endpoint.ip, 0x22, 16);
	memset(r->data, 0x33, 16);
	memset(r->data + 16, 0x44, 6);
	r->endpoint.port = 0x1234;
	r->full_t = 0x0102030405060708;
	r->epoch = 0x000000000a0b0c0d;
	r->number = 0x99887766;
	r->writer = 7;
	r->kid = 0x3f;
	r->aead = 1;
	r->down_mtu = 1500;
	r->keepalive = 20;
	r->hold = 2;
	r->since = 0x1000;
	r->moved = 0x2000;
	assert_int_equal(session_value_write(bytes, r), 96);
	assert_hex(bytes, "01013f02" "0007" "05dc0014" "0102030405060708" "000000000a0b0c0d" "99887766"
			"1111111111111111" "22222222222222222222222222222222" "1234"
			"0000000000001000" "0000000000002000" "0101"
			"33333333333333333333333333333333" "444444444444");
	free(r);
}

static void other_lengths_are_refused(void **state)
{
	struct session_record *r = random_record(3, 2);
	uint8_t bytes[SESSION_VALUE_MAX + 1] = {0};
	size_t len = session_value_write(bytes, r);
	int error = 0;
	(void)state;

	for (size_t n = 0; n <= len + 1; n++) {
		struct session_record *read = session_value_read(bytes, n, &error);

		assert_true((read != NULL) == (n == len));
		if (!read)
			assert_int_equal(error, -EINVAL);
		free(read);
	}
	free(r);
}

static void implausible_fields_are_refused(void **state)
{
	static const struct {
		size_t at;
		uint8_t value[8], size;
	} wrong[] = {
		{0, {2}, 1}, {0, {0}, 1},               /* format */
		{1, {2}, 1},                            /* AEAD */
		{3, {0}, 1}, {3, {31}, 1},              /* hold */
		{6, {0x04, 0xff}, 2}, {6, {0x05, 0xdd}, 2}, /* MTU 1279, 1501 */
		{18, {0, 0, 1, 0, 0, 0, 0, 0}, 8},      /* epoch 2^40 */
		{54, {0, 0}, 2},                        /* port */
		{72, {17}, 1}, {72, {255}, 1}, {72, {0}, 1}, /* groups */
		{73, {17}, 1}, {73, {255}, 1}, {73, {0}, 1}, /* MACs */
	};
	struct session_record *r = random_record(1, 1);
	uint8_t bytes[SESSION_VALUE_MAX];
	size_t len = session_value_write(bytes, r);
	int error = 0;
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		uint8_t changed[SESSION_VALUE_MAX];

		memcpy(changed, bytes, len);
		memcpy(changed + wrong[i].at, wrong[i].value, wrong[i].size);
		assert_null(session_value_read(changed, len, &error));
		assert_int_equal(error, -EINVAL);
	}
	free(r);
}

/* ---- whole values ---- */

static struct operator_key op;
static struct operator_public op_public;
static struct value_keys keys;
static const struct cluster_secrets secrets = {.count = 1, .secret = {{2}}};

static int set_up(void **state)
{
	static const uint8_t operator_seed[KEY_SIZE] = {1};
	(void)state;

	crypto_init(CRYPTO_AUTO);
	operator_key_from_seed(&op, operator_seed);
	memcpy(op_public.sign, op.sign_public, KEY_SIZE);
	memcpy(op_public.seal, op.seal_public, KEY_SIZE);
	return value_keys_make(&keys, &secrets, &op_public, false);
}

static void keys_of_indexes(void **state)
{
	static const char *const wrong[] = {"", "0", "01", "-1", "+1", " 1", "1 ", "1x", "4294967296",
			"99999999999", "99999999999999999999999", "alive.1", "1.1"};
	uint32_t index;
	char key[INDEX_KEY_SIZE];
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_false(index_from_key(wrong[i], &index));
	for (unsigned i = 0; i < 1000; i++) {
		uint32_t want = i < 2 ? (i ? UINT32_MAX : 1) : (uint32_t)next_random(&seed) | 1;

		index_key(key, want);
		assert_true(index_from_key(key, &index));
		assert_int_equal(index, want);
	}
}

static void sealed_sessions(void **state)
{
	struct session_record *r = random_record(2, 1), *read;
	uint8_t value[SESSION_SEALED_MAX];
	uint32_t index = 0;
	int error;
	(void)state;

	size_t len = session_value_seal(&keys, "77", r, value);
	read = session_value_open(&keys, "77", value, len, &index, &error);
	assert_non_null(read);
	assert_int_equal(index, 77);
	assert_same(r, read);
	assert_null(session_value_open(&keys, "78", value, len, &index, &error));
	assert_int_equal(error, -EBADMSG);
	assert_null(session_value_open(&keys, "077", value, len, &index, &error));
	assert_null(session_value_open(&keys, "77", value, len - 1, &index, &error));
	assert_null(session_value_open(&keys, "77", value, 3, &index, &error));
	assert_int_equal(error, -EINVAL);
	free(read);
	free(r);
}

static void signed_clients(void **state)
{
	struct record r = {.index = 9, .version = 3, .public = {5}, .psk = {6}, .name = "nine"}, read;
	uint8_t bytes[RECORD_MAX];
	uint64_t version;
	(void)state;

	size_t len = record_write(bytes, &r, &op, keys.record.key[0]);
	assert_int_equal(client_value_read(&keys, "9", bytes, len, &read), 0);
	assert_string_equal(read.name, "nine");
	assert_true(record_peek_version(&version, bytes, len) && version == 3);
	assert_false(record_peek_version(&version, bytes, 10));
	assert_int_equal(client_value_read(&keys, "10", bytes, len, &read), -EBADMSG);
	assert_int_equal(client_value_read(&keys, "9", bytes, len - 1, &read), -EINVAL);
	assert_int_equal(client_value_read(&keys, "nine", bytes, len, &read), -EINVAL);
	for (size_t bit = 0; bit < 8 * len; bit += 5) {
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_not_equal(client_value_read(&keys, "9", bytes, len, &read), 0);
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comes_back),
		cmocka_unit_test(exact_bytes),
		cmocka_unit_test(other_lengths_are_refused),
		cmocka_unit_test(implausible_fields_are_refused),
		cmocka_unit_test(keys_of_indexes),
		cmocka_unit_test(sealed_sessions),
		cmocka_unit_test(signed_clients),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
