/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "bytes.h"

#include <errno.h>
#include <stdlib.h>

#include "proto/digests.h"
#include "proto/signed.h"

static const uint8_t seed[KEY_SIZE] = {1};
static uint8_t public[KEY_SIZE];
static struct digests d;

static int set_up(void **state)
{
	(void)state;
	crypto_init(CRYPTO_OPENSSL);
	ed25519_public(seed, public);
	return digests_init(&d);
}

static int tear_down(void **state)
{
	(void)state;
	digests_free(&d);
	return 0;
}

/* The bytes are those of PROTOCOL.md: what one release signs another must read. */
static void layout(void **state)
{
	struct digest_page p = {.number = 0x01020304};
	uint8_t out[DIGEST_PAGE_SIZE], signed_[23 + HASH_SIZE];

	(void)state;
	digest_make((const uint8_t *)"abc", 3, p.digest[1]);
	digest_page_write(&p, seed, out);
	assert_hex(out, "0101020304" "00000000000000000000000000000000"
			"ba7816bf8f01cfea414140de5dae2223" "00000000000000000000000000000000");
	memcpy(signed_, "anyrelay record digests", 23);
	sha256_parts(&PART(out, 5 + 256 * 16), 1, signed_ + 23);
	assert_true(ed25519_verify(public, signed_, sizeof signed_, out + 5 + 256 * 16));
}

static void what_was_set_is_there(void **state)
{
	const uint8_t none[DIGEST_SIZE] = {0}, other[DIGEST_SIZE] = {9};
	uint8_t digest[DIGEST_SIZE], out[DIGEST_PAGE_SIZE];
	struct digests again;

	(void)state;
	for (uint32_t i = 1; i < 100000; i += 77) {
		store_be32(memset(digest, 1, sizeof digest), i);
		assert_false(digests_has(&d, i, digest));
		assert_int_equal(digests_set(&d, i, digest), 0);
		assert_true(digests_has(&d, i, digest));
		assert_false(digests_has(&d, i + 1, digest));
		assert_false(digests_has(&d, i, other));
		assert_false(digests_has(&d, i + 1, none));
	}
	assert_int_equal(d.count, 100000 / 256 + 1);
	assert_int_equal(digests_init(&again), 0);
	for (uint32_t i = 1; i <= d.count; i++) {
		assert_true(d.page[i]->dirty);
		digest_page_write(d.page[i], seed, out);
		assert_int_equal(digests_read(&again, d.page[i]->number, out, sizeof out, public), 0);
		assert_false(again.page[i]->dirty);
	}
	for (uint32_t i = 1; i < 100000; i += 77) {
		store_be32(memset(digest, 1, sizeof digest), i);
		assert_true(digests_has(&again, i, digest));
		assert_int_equal(digests_set(&again, i, digest), 0);
	}
	assert_false(again.page[1]->dirty); /* nothing new */
	assert_int_equal(digests_set(&again, 1, other), 0);
	assert_true(again.page[1]->dirty);
	digests_free(&again);
}

/* Not one bit, under no other number, from nobody else; and nothing is learnt from it. */
static void tampering(void **state)
{
	struct digest_page p = {.number = 7};
	uint8_t out[DIGEST_PAGE_SIZE + 1] = {0}, someone[KEY_SIZE];

	(void)state;
	memset(p.digest, 3, sizeof p.digest);
	digest_page_write(&p, seed, out);
	for (size_t bit = 0; bit < 8 * DIGEST_PAGE_SIZE; bit += bit < 200 ? 1 : 131) {
		out[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_not_equal(digests_read(&d, 7, out, DIGEST_PAGE_SIZE, public), 0);
		out[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(digests_read(&d, 8, out, DIGEST_PAGE_SIZE, public), -EINVAL);
	assert_int_equal(digests_read(&d, 7, out, DIGEST_PAGE_SIZE - 1, public), -EINVAL);
	assert_int_equal(digests_read(&d, 7, out, DIGEST_PAGE_SIZE + 1, public), -EINVAL);
	ed25519_public((const uint8_t[KEY_SIZE]){2}, someone);
	assert_int_equal(digests_read(&d, 7, out, DIGEST_PAGE_SIZE, someone), -EBADMSG);
	assert_int_equal(d.count, 0);
	assert_int_equal(digests_read(&d, 7, out, DIGEST_PAGE_SIZE, public), 0);
	assert_true(digests_has(&d, 6 * 256 + 5, p.digest[5]));
	assert_false(digests_has(&d, 7 * 256 + 5, p.digest[5]));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(layout),
		CASE(what_was_set_is_there),
		CASE(tampering),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
