/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* The Internet checksum (RFC 1071), and its incremental update (RFC 1624). */
#ifndef BASE_CSUM_H
#define BASE_CSUM_H

#include <stddef.h>
#include <stdint.h>

/*
 * Unfolded sums are kept in the machine's own byte order of 16-bit words as
 * they lie in memory, so they can be stored without swapping.  csum_add over a
 * region of odd length pads it with a zero; only the last region may be odd.
 */
uint64_t csum_add(uint64_t sum, const void *p, size_t n);
uint16_t csum_fold(uint64_t sum); /* folded, not complemented */
static inline uint16_t csum_finish(uint64_t sum)
{
	return (uint16_t)~csum_fold(sum);
}
/* Pseudo header (RFC 9293 3.1, RFC 8200 8.1); alen is 4 or 16, len the upper-layer length. */
uint64_t csum_pseudo(const void *src, const void *dst, size_t alen, uint8_t proto, uint32_t len);
/* New checksum field after a 16-bit word of the data went from old to new (raw memory order). */
uint16_t csum_replace(uint16_t check, uint16_t old, uint16_t new_word);

#endif
