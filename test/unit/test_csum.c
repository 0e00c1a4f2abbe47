/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/csum.h"
#include "packets.h"

static uint16_t swap(uint16_t v)
{
	return __builtin_bswap16(v);
}

static void rfc1071_example(void **state)
{
	static const uint8_t bytes[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};

	(void)state;
	assert_int_equal(swap(csum_fold(csum_add(0, bytes, 8))), 0xddf2);
	assert_int_equal(swap(csum_finish(csum_add(0, bytes, 8))), 0x220d);
}

static void any_length_and_alignment(void **state)
{
	static uint8_t data[70000];
	uint64_t seed = 1;
	uint16_t sum;

	(void)state;
	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)prng(&seed);
	for (size_t n = 0; n < 700; n++)
		for (size_t at = 0; at < 9; at++) {
			sum = csum_fold(csum_add(0, data + at, n));
			assert_int_equal(swap(sum), naive_sum(0, data + at, n));
		}
	for (unsigned i = 0; i < 200; i++) {
		size_t at = prng(&seed) % 64, n = prng(&seed) % (sizeof data - 64);

		sum = csum_fold(csum_add(0, data + at, n));
		assert_int_equal(swap(sum), naive_sum(0, data + at, n));
	}
}

/* Every addition carries. */
static void all_ones(void **state)
{
	static uint8_t ones[65536];
	uint64_t sum = 0;

	(void)state;
	memset(ones, 0xff, sizeof ones);
	for (size_t n = 1; n <= 130; n++)
		assert_int_equal(swap(csum_fold(csum_add(0, ones, n))), naive_sum(0, ones, n));
	for (unsigned i = 0; i < 10; i++) {
		sum = csum_add(sum, ones, sizeof ones);
		assert_int_equal(csum_fold(sum), 0xffff);
	}
	assert_int_equal(csum_fold(UINT64_MAX), 0xffff);
	assert_int_equal(csum_fold(csum_add(UINT64_MAX, ones, 2)), 0xffff);
	assert_int_equal(csum_fold(0), 0);
	assert_int_equal(csum_fold(csum_add(UINT64_MAX - 1, "\2\0\0\0\0\0\0\0", 8)), 1);
}

static void in_parts(void **state)
{
	uint8_t data[1500];
	uint64_t seed = 2, sum;

	(void)state;
	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)prng(&seed);
	for (size_t cut = 0; cut <= sizeof data; cut += 2) {
		sum = csum_add(csum_add(0, data, cut), data + cut, sizeof data - cut);
		assert_int_equal(swap(csum_fold(sum)), naive_sum(0, data, sizeof data));
	}
}

static void pseudo_header(void **state)
{
	static const uint8_t v4[] = {192, 0, 2, 1, 198, 51, 100, 7, 0, 17, 0x12, 0x34};
	uint8_t v6[40] = {0x20, 1, 0xd, 0xb8, [15] = 1, [16] = 0xfe, [31] = 0xff};

	(void)state;
	assert_int_equal(swap(csum_fold(csum_pseudo(v4, v4 + 4, 4, 17, 0x1234))),
			naive_sum(0, v4, sizeof v4));
	store_be32(v6 + 32, 0x10fff);
	v6[39] = 58;
	assert_int_equal(swap(csum_fold(csum_pseudo(v6, v6 + 16, 16, 58, 0x10fff))),
			naive_sum(0, v6, sizeof v6));
}

static void replaced_word(void **state)
{
	static const uint16_t edges[] = {0, 1, 0x7fff, 0x8000, 0xfffe, 0xffff};
	uint64_t seed = 3;

	(void)state;
	/* RFC 1624 section 4: where RFC 1141 gives 0xffff. */
	assert_int_equal(csum_replace(swap(0xdd2f), swap(0x5555), swap(0x3285)), 0);

	for (unsigned i = 0; i < 20000; i++) {
		uint16_t words[4], check, old, fresh;

		for (size_t w = 0; w < 4; w++)
			words[w] = prng(&seed) & 1 ? (uint16_t)prng(&seed) :
						     edges[prng(&seed) % ARRAY_SIZE(edges)];
		words[0] |= 1; /* all-zero data has two sums, headers are never that */
		check = csum_finish(csum_add(0, words, 8));
		old = words[2];
		fresh = words[2] = words[3];
		assert_int_equal(csum_replace(check, old, fresh),
				csum_finish(csum_add(0, words, 8)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rfc1071_example),
		cmocka_unit_test(any_length_and_alignment),
		cmocka_unit_test(all_ones),
		cmocka_unit_test(in_parts),
		cmocka_unit_test(pseudo_header),
		cmocka_unit_test(replaced_word),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
