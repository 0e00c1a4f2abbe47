/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* Sealed registry values: they open under their own name and key, and not with a bit changed. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "bytes.h"
#include "cluster/seal.h"
#include "proto/epoch.h"

static uint8_t key[KEY_SIZE];
static const char plain[] = "where the client is";

static int set_up(void **state)
{
	uint8_t secret[KEY_SIZE];
	(void)state;

	memset(secret, 2, KEY_SIZE);
	registry_key(secret, key);
	return crypto_init(CRYPTO_AUTO);
}

static void opens_under_its_name(void **state)
{
	uint8_t sealed[sizeof plain + SEAL_OVERHEAD], again[sizeof sealed], out[sizeof plain];
	(void)state;

	assert_true(seal_value(key, "anyrelay_sessions", "7", plain, sizeof plain, sealed));
	assert_int_equal(seal_open(key, "anyrelay_sessions", "7", sealed, sizeof sealed, out),
			sizeof plain);
	assert_memory_equal(out, plain, sizeof plain);
	/* a new salt each time: nothing repeats */
	assert_true(seal_value(key, "anyrelay_sessions", "7", plain, sizeof plain, again));
	assert_memory_not_equal(sealed, again, SEAL_SALT_SIZE);
	assert_memory_not_equal(sealed + SEAL_SALT_SIZE, again + SEAL_SALT_SIZE, sizeof plain);
}

static void nothing_inside_is_sealed_too(void **state)
{
	uint8_t sealed[SEAL_OVERHEAD], out[1];
	(void)state;

	assert_true(seal_value(key, "b", "k", "", 0, sealed));
	assert_int_equal(seal_open(key, "b", "k", sealed, sizeof sealed, out), 0);
	assert_int_equal(seal_open(key, "b", "j", sealed, sizeof sealed, out), -EBADMSG);
}

static void every_bit_counts(void **state)
{
	uint8_t sealed[sizeof plain + SEAL_OVERHEAD], out[sizeof plain];
	(void)state;

	assert_true(seal_value(key, "b", "k", plain, sizeof plain, sealed));
	for (size_t bit = 0; bit < 8 * sizeof sealed; bit++) {
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(seal_open(key, "b", "k", sealed, sizeof sealed, out), -EBADMSG);
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(seal_open(key, "b", "k", sealed, sizeof sealed, out), sizeof plain);
}

static void every_byte_is_needed(void **state)
{
	uint8_t sealed[sizeof plain + SEAL_OVERHEAD], out[sizeof plain];
	(void)state;

	assert_true(seal_value(key, "b", "k", plain, sizeof plain, sealed));
	for (size_t len = 0; len < sizeof sealed; len++)
		assert_int_equal(seal_open(key, "b", "k", sealed, len, out), -EBADMSG);
}

static void belongs_to_bucket_and_key(void **state)
{
	uint8_t sealed[sizeof plain + SEAL_OVERHEAD], out[sizeof plain], other[KEY_SIZE];
	(void)state;

	assert_true(seal_value(key, "bucket", "12", plain, sizeof plain, sealed));
	assert_int_equal(seal_open(key, "bucket", "13", sealed, sizeof sealed, out), -EBADMSG);
	assert_int_equal(seal_open(key, "bucke", "t.12", sealed, sizeof sealed, out), -EBADMSG);
	assert_int_equal(seal_open(key, "bucket", "1", sealed, sizeof sealed, out), -EBADMSG);
	assert_int_equal(seal_open(key, "tekcub", "12", sealed, sizeof sealed, out), -EBADMSG);
	memcpy(other, key, KEY_SIZE);
	other[31] ^= 1;
	assert_int_equal(seal_open(other, "bucket", "12", sealed, sizeof sealed, out), -EBADMSG);
}

static void long_names_are_refused(void **state)
{
	uint8_t sealed[SEAL_OVERHEAD] = {0}, out[1];
	char name[SEAL_NAME_MAX + 1];
	(void)state;

	memset(name, 'n', sizeof name);
	name[SEAL_NAME_MAX] = 0;
	assert_false(seal_value(key, "b", name, "", 0, sealed));
	assert_int_equal(seal_open(key, "b", name, sealed, sizeof sealed, out), -EBADMSG);
	name[SEAL_NAME_MAX - 2] = 0; /* "b.": it just fits */
	assert_true(seal_value(key, "b", name, "", 0, sealed));
	assert_int_equal(seal_open(key, "b", name, sealed, sizeof sealed, out), 0);
}

/* docs/PROTOCOL.md, "Test vectors". */
static void vector(void **state)
{
	uint8_t sealed[64], out[64];
	size_t n = unhex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
			 "6835e2b8cc1b1c3414bc0aa9e527fe879ce5088314", sealed);
	(void)state;

	assert_hex(key, "078074c77a7b1b216dca777d99f66bf54341a7b71dfa3e88e0333e1696401ae9");
	assert_int_equal(seal_open(key, "anyrelay_sessions", "16909060", sealed, n, out), 5);
	assert_memory_equal(out, "hello", 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(opens_under_its_name),
		cmocka_unit_test(nothing_inside_is_sealed_too),
		cmocka_unit_test(every_bit_counts),
		cmocka_unit_test(every_byte_is_needed),
		cmocka_unit_test(belongs_to_bucket_and_key),
		cmocka_unit_test(long_names_are_refused),
		cmocka_unit_test(vector),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
