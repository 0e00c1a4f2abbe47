/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * A network in memory, under a clock that only moves when there is nothing left
 * to do: a queue of events, and paths that delay, lose, repeat, reorder and
 * swallow datagrams.  Hours pass in milliseconds, and a run is repeated exactly
 * by its seed: the kernel's random numbers come from it as well (net.c has a
 * getrandom() of its own).
 */
#ifndef TEST_SIM_NET_H
#define TEST_SIM_NET_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/addr.h"
#include "base/util.h"

struct net_event {
	ticks at;
	uint64_t order; /* of events at one moment: first come, first served */
	void (*run)(void *arg);
	void *arg;
};

/* One direction of a path. */
struct quality {
	ticks delay, jitter; /* jitter: uniformly 0 … */
	unsigned loss, duplicate; /* of a million */
	unsigned mtu; /* of outer IP packets; larger ones vanish; 0: no limit */
	bool cut;
};

struct net {
	uint64_t seed, random;
	ticks now; /* the true time: Unix */
	uint64_t order;
	struct net_event *heap;
	size_t count, room;
	/* every (key, nonce) pair that was ever used, hashed to 64 bits */
	uint64_t *nonces;
	size_t nonce_count, nonce_room;
};

/* How many of something: the long form is asked for by SIM_FULL (./run test --full). */
unsigned net_many(unsigned in_short, unsigned in_full);

/* The seed: SIM_SEED of the environment, or the same for every run. */
void net_init(struct net *n);
void net_free(struct net *n);
uint64_t net_random(struct net *n);
uint64_t net_below(struct net *n, uint64_t most); /* 0 … most - 1 */
/* Does the event of a million happen? */
bool net_chance(struct net *n, unsigned in_a_million);

void net_at(struct net *n, ticks when, void (*run)(void *arg), void *arg);
/* Runs what happens until then, and sets the clock to it. */
void net_run_until(struct net *n, ticks when);

/*
 * What a path does to a datagram of this outer size: the number of copies that
 * arrive (0, 1, 2) and when.
 */
unsigned net_cross(struct net *n, const struct quality *q, size_t outer, ticks arrival[2]);

/* Notes a (key, nonce) pair; false if it was used before. */
bool net_nonce_is_new(struct net *n, const void *key_id, size_t size, uint64_t nonce);

/* Assertions that name the seed and the moment. */
void net_failed(const struct net *n, const char *what, int64_t got, int64_t wanted,
		const char *file, int line);
#define check(n, condition)                                                                        \
	do {                                                                                       \
		if (!(condition))                                                                  \
			net_failed(n, #condition, 0, 1, __FILE__, __LINE__);                       \
	} while (0)
#define check_equal(n, a, b)                                                                       \
	do {                                                                                       \
		int64_t a_ = (int64_t)(a), b_ = (int64_t)(b);                                      \
		if (a_ != b_)                                                                      \
			net_failed(n, #a " == " #b, a_, b_, __FILE__, __LINE__);                   \
	} while (0)
#define check_range(n, a, least, most)                                                             \
	do {                                                                                       \
		int64_t a_ = (int64_t)(a);                                                         \
		if (a_ < (int64_t)(least))                                                         \
			net_failed(n, #a " >= " #least, a_, (int64_t)(least), __FILE__, __LINE__); \
		if (a_ > (int64_t)(most))                                                          \
			net_failed(n, #a " <= " #most, a_, (int64_t)(most), __FILE__, __LINE__);   \
	} while (0)

#endif
