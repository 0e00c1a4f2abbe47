/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "test/sim/net.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sys/random.h>

#define DEFAULT_SEED UINT64_C(0x2545f4914f6cdd1d)
/* A moment well inside of an epoch: 2031-07-23. */
#define BEGINNING (UINT64_C(1942500000) / 300 * 300 + 100)

static uint64_t machine_random = DEFAULT_SEED;

static uint64_t xorshift(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state * UINT64_C(0x2545f4914f6cdd1d);
}

/* Instead of the C library's: a run with one seed is always the same run. */
ssize_t getrandom(void *buffer, size_t n, unsigned flags)
{
	uint8_t *out = buffer;

	(void)flags;
	for (size_t i = 0; i < n; i++)
		out[i] = (uint8_t)(xorshift(&machine_random) >> 56);
	return (ssize_t)n;
}

unsigned net_many(unsigned in_short, unsigned in_full)
{
	return getenv("SIM_FULL") ? in_full : in_short;
}

void net_init(struct net *n)
{
	const char *seed = getenv("SIM_SEED");

	memset(n, 0, sizeof *n);
	n->seed = seed ? strtoull(seed, NULL, 0) : DEFAULT_SEED;
	n->random = n->seed | 1;
	machine_random = n->random * UINT64_C(0x9e3779b97f4a7c15) | 1;
	n->now = TICKS_S(BEGINNING);
}

void net_free(struct net *n)
{
	free(n->heap);
	free(n->nonces);
}

uint64_t net_random(struct net *n)
{
	return xorshift(&n->random);
}

uint64_t net_below(struct net *n, uint64_t most)
{
	return most ? (net_random(n) >> 16) % most : 0;
}

bool net_chance(struct net *n, unsigned in_a_million)
{
	return in_a_million && net_below(n, 1000000) < in_a_million;
}

/* ---- events: a binary heap ---- */

static bool before(const struct net_event *a, const struct net_event *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void swap(struct net_event *a, struct net_event *b)
{
	struct net_event t = *a;

	*a = *b;
	*b = t;
}

void net_at(struct net *n, ticks when, void (*run)(void *arg), void *arg)
{
	size_t i = n->count;

	if (n->count == n->room) {
		n->room = n->room ? 2 * n->room : 256;
		n->heap = realloc(n->heap, n->room * sizeof *n->heap);
		assert_non_null(n->heap);
	}
	n->heap[n->count++] = (struct net_event){MAX(when, n->now), n->order++, run, arg};
	for (; i && before(&n->heap[i], &n->heap[(i - 1) / 2]); i = (i - 1) / 2)
		swap(&n->heap[i], &n->heap[(i - 1) / 2]);
}

static struct net_event take_first(struct net *n)
{
	struct net_event first = n->heap[0];
	size_t i = 0;

	n->heap[0] = n->heap[--n->count];
	for (;;) {
		size_t least = i;

		for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < n->count; child++)
			if (before(&n->heap[child], &n->heap[least]))
				least = child;
		if (least == i)
			return first;
		swap(&n->heap[i], &n->heap[least]);
		i = least;
	}
}

void net_run_until(struct net *n, ticks when)
{
	while (n->count && n->heap[0].at <= when) {
		struct net_event e = take_first(n);

		n->now = e.at;
		e.run(e.arg);
	}
	n->now = when;
}

unsigned net_cross(struct net *n, const struct quality *q, size_t outer, ticks arrival[2])
{
	unsigned copies;

	if (q->cut || (q->mtu && outer > q->mtu) || net_chance(n, q->loss))
		return 0;
	copies = net_chance(n, q->duplicate) ? 2 : 1;
	for (unsigned i = 0; i < copies; i++)
		arrival[i] = n->now + q->delay + net_below(n, q->jitter);
	return copies;
}

/* ---- (key, nonce) pairs: a set of hashes ---- */

static uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * UINT64_C(0xff51afd7ed558ccd);
	h ^= h >> 32;
	h *= UINT64_C(0xc4ceb9fe1a85ec53);
	return h ^ h >> 29;
}

static bool set_add(uint64_t *set, size_t room, uint64_t h)
{
	size_t at = h & (room - 1);

	for (; set[at]; at = (at + 1) & (room - 1))
		if (set[at] == h)
			return false;
	set[at] = h;
	return true;
}

static void set_grow(struct net *n)
{
	size_t room = n->nonce_room ? 2 * n->nonce_room : 4096;
	uint64_t *larger = calloc(room, sizeof *larger);

	assert_non_null(larger);
	for (size_t i = 0; i < n->nonce_room; i++)
		if (n->nonces[i])
			set_add(larger, room, n->nonces[i]);
	free(n->nonces);
	n->nonces = larger;
	n->nonce_room = room;
}

bool net_nonce_is_new(struct net *n, const void *key_id, size_t size, uint64_t nonce)
{
	uint64_t h = mix(size, nonce);

	for (size_t i = 0; i < size; i++)
		h = mix(h, ((const uint8_t *)key_id)[i]);
	if (2 * n->nonce_count >= n->nonce_room)
		set_grow(n);
	n->nonce_count++;
	return set_add(n->nonces, n->nonce_room, h | 1);
}

void net_failed(const struct net *n, const char *what, int64_t got, int64_t wanted,
		const char *file, int line)
{
	print_error("%s: %" PRId64 ", not %" PRId64 "; %.6f s after the beginning, SIM_SEED=%"
			PRIu64 "\n", what, got, wanted,
			(double)(int64_t)(n->now - TICKS_S(BEGINNING)) / (double)TICKS_PER_SEC,
			n->seed);
	_fail(file, line);
}
