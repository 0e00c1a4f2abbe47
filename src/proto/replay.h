/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Which packet numbers have been seen, in the manner of RFC 6479 but without a
 * lock: a ring of 64-bit words, each naming the block of 32 numbers it stands
 * for beside that block's 32 bits, moved by compare-and-swap.  A word only ever
 * goes to a later block, so of two threads with one number exactly one wins.
 */
#ifndef PROTO_REPLAY_H
#define PROTO_REPLAY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define REPLAY_WINDOW 8192
#define REPLAY_WORDS  (REPLAY_WINDOW / 32)

struct replay {
	_Atomic uint64_t word[REPLAY_WORDS]; /* (block + 1) << 32 | bits; all zero: nothing seen */
};

/* True, once, for a number not seen before; false for a repeat and for what is too old to tell. */
static inline bool replay_accept(struct replay *r, uint32_t number)
{
	uint64_t block = ((uint64_t)(number >> 5) + 1) << 32;
	uint64_t bit = (uint64_t)1 << (number & 31);
	_Atomic uint64_t *word = &r->word[(number >> 5) % REPLAY_WORDS];
	uint64_t seen = atomic_load_explicit(word, memory_order_relaxed);
	uint64_t next;

	do {
		if ((seen >> 32) > (block >> 32))
			return false; /* the ring has gone round: too old */
		if ((seen >> 32) == (block >> 32)) {
			if (seen & bit)
				return false;
			next = seen | bit;
		} else {
			next = block | bit;
		}
	} while (!atomic_compare_exchange_weak_explicit(
			word, &seen, next, memory_order_relaxed, memory_order_relaxed));
	return true;
}

#endif
