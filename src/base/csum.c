/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The ones' complement sum does not care how wide its words are, as long as
 * carries come back in at the bottom (RFC 1071 section 2).  So long regions
 * are summed in vectors: the two 32-bit halves of each 64-bit lane go to
 * accumulators of their own, which cannot overflow below 2^35 bytes; the rest
 * goes by 64-bit words.  One source serves SSE2, NEON and, where the CPU has
 * it, AVX2.
 */
#include "base/csum.h"

#include <stdbool.h>
#include <string.h>

#define BLOCK 64 /* bytes in one turn of the vector loop */

typedef uint64_t lanes __attribute__((vector_size(32)));

static inline uint64_t add_with_carry(uint64_t a, uint64_t b)
{
	a += b;
	return a + (a < b);
}

/* n is a multiple of BLOCK.  Inlined into one function for each instruction set. */
static inline __attribute__((always_inline)) uint64_t sum_blocks(const uint8_t *p, size_t n)
{
	lanes low = {0}, high = {0}, a, b;

	for (; n; p += BLOCK, n -= BLOCK) {
		memcpy(&a, p, sizeof a);
		memcpy(&b, p + sizeof a, sizeof b);
		low += (a & 0xffffffff) + (b & 0xffffffff);
		high += (a >> 32) + (b >> 32);
	}
	low += high;
	return low[0] + low[1] + low[2] + low[3];
}

#ifdef __x86_64__
static __attribute__((target("avx2"))) uint64_t sum_blocks_avx2(const uint8_t *p, size_t n)
{
	return sum_blocks(p, n);
}

static inline bool have_avx2(void)
{
	return __builtin_cpu_supports("avx2");
}
#else
#define sum_blocks_avx2 sum_blocks
static inline bool have_avx2(void)
{
	return false;
}
#endif

uint64_t csum_add(uint64_t sum, const void *data, size_t n)
{
	const uint8_t *p = data;
	size_t blocks = n & ~(size_t)(BLOCK - 1);
	uint64_t word;

	if (blocks) {
		word = have_avx2() ? sum_blocks_avx2(p, blocks) : sum_blocks(p, blocks);
		sum = add_with_carry(sum, word);
		p += blocks;
		n -= blocks;
	}
	for (; n >= 8; p += 8, n -= 8) {
		memcpy(&word, p, 8);
		sum = add_with_carry(sum, word);
	}
	if (n) {
		word = 0;
		memcpy(&word, p, n);
		sum = add_with_carry(sum, word);
	}
	return sum;
}

uint16_t csum_fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

uint64_t csum_pseudo(const void *src, const void *dst, size_t alen, uint8_t proto, uint32_t len)
{
	uint64_t sum = csum_add(0, src, alen);

	sum = csum_add(sum, dst, alen);
	return add_with_carry(sum, (uint64_t)__builtin_bswap32(len) + ((uint64_t)proto << 8));
}

/* RFC 1624 equation 3. */
uint16_t csum_replace(uint16_t check, uint16_t old, uint16_t new_word)
{
	return csum_finish((uint64_t)(uint16_t)~check + (uint16_t)~old + new_word);
}
