/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* For tests: hexadecimal vectors, and bytes from a seeded generator. */
#ifndef TEST_BYTES_H
#define TEST_BYTES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

static inline size_t unhex(const char *text, uint8_t *out)
{
	size_t n = strlen(text) / 2;

	for (size_t i = 0; i < n; i++)
		assert_int_equal(sscanf(text + 2 * i, "%2hhx", out + i), 1);
	return n;
}

#define assert_hex(bytes, text)                                                                    \
	do {                                                                                       \
		uint8_t wanted_[1300];                                                             \
		size_t n_ = unhex(text, wanted_);                                                  \
		assert_memory_equal(bytes, wanted_, n_);                                           \
	} while (0)

/* xorshift64: the same numbers in every run.  The seed is not 0. */
static inline uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static inline void fill(uint64_t *seed, void *out, size_t n)
{
	uint8_t *at = out;

	for (size_t i = 0; i < n; i++)
		at[i] = (uint8_t)(next_random(seed) >> 32);
}

#endif
