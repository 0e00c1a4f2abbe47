/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include <pthread.h>
#include <stdlib.h>

#include "base/util.h"
#include "bytes.h"
#include "proto/replay.h"

/* Accepted once each, wherever the window stands. */
static void in_order(void **state)
{
	static const uint32_t starts[] = {0, 1, 31, 8191, 0x7ffffff0, 0xffffffffu - 20000};
	static struct replay r;

	(void)state;
	for (size_t s = 0; s < ARRAY_SIZE(starts); s++) {
		memset(&r, 0, sizeof r);
		for (uint32_t i = 0; i < 20000; i++) {
			assert_true(replay_accept(&r, starts[s] + i));
			assert_false(replay_accept(&r, starts[s] + i));
		}
	}
	memset(&r, 0, sizeof r);
	assert_true(replay_accept(&r, 0xffffffff));
	assert_false(replay_accept(&r, 0xffffffff));
	assert_true(replay_accept(&r, 0xfffffffe));
}

/* With every number above it taken, one that is 8128 below the highest is still told apart. */
static void window(void **state)
{
	static struct replay r;

	(void)state;
	for (uint32_t phase = 0; phase < 64; phase++) {
		const uint32_t missing = 100000 + phase;

		memset(&r, 0, sizeof r);
		for (uint32_t n = missing - 50; n <= missing + 8128; n++)
			if (n != missing)
				assert_true(replay_accept(&r, n));
		assert_true(replay_accept(&r, missing));
		assert_false(replay_accept(&r, missing));
		for (uint32_t n = missing + 8129; n <= missing + REPLAY_WINDOW + 64; n++)
			assert_true(replay_accept(&r, n));
		assert_false(replay_accept(&r, missing));
		assert_false(replay_accept(&r, missing - 51)); /* never seen, but too old to tell */
	}
}

static void million_duplicates(void **state)
{
	static struct replay r;
	uint64_t seed = 17;

	(void)state;
	for (uint32_t n = 0; n < 50000; n++)
		assert_true(replay_accept(&r, n));
	for (int i = 0; i < 1000000; i++)
		assert_false(replay_accept(&r, (uint32_t)(next_random(&seed) % 50000)));
}

struct arrival {
	uint32_t number;
	uint64_t at; /* ns */
};

static int by_time(const void *a, const void *b)
{
	const struct arrival *x = a, *y = b;

	return (x->at > y->at) - (x->at < y->at);
}

/* A million packets a second, each up to 5 ms late: none is dropped, none taken twice. */
static void jitter(void **state)
{
	enum { PACKETS = 1000000 };
	struct arrival *list = calloc(PACKETS, sizeof *list);
	static struct replay r;
	uint64_t seed = 19;

	(void)state;
	assert_non_null(list);
	for (uint32_t n = 0; n < PACKETS; n++)
		list[n] = (struct arrival){n, n * 1000ull + next_random(&seed) % 5000000};
	qsort(list, PACKETS, sizeof *list, by_time);
	for (uint32_t n = 0; n < PACKETS; n++)
		assert_true(replay_accept(&r, list[n].number));
	for (uint32_t n = 0; n < PACKETS; n++)
		assert_false(replay_accept(&r, list[n].number));
	free(list);
}

#define RACERS  4
#define NUMBERS 400000
static struct replay raced;
static _Atomic uint8_t taken[NUMBERS];
static pthread_barrier_t line;

/*
 * All offer the same numbers, not far apart: after every 4000 they wait for each
 * other, so that no number can become too old before its time.
 */
static void *racer(void *argument)
{
	uint64_t seed = (uintptr_t)argument;

	for (uint32_t base = 0; base < NUMBERS; base += 4000) {
		uint32_t turn = (uint32_t)next_random(&seed) % 4000;

		pthread_barrier_wait(&line);
		for (uint32_t i = 0; i < 4000; i++) {
			uint32_t n = base + (i + (turn & 63)) % 4000;

			if (replay_accept(&raced, n))
				atomic_fetch_add(&taken[n], 1);
		}
	}
	return NULL;
}

static void threads(void **state)
{
	pthread_t t[RACERS];

	(void)state;
	pthread_barrier_init(&line, NULL, RACERS);
	for (uintptr_t i = 0; i < RACERS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, racer, (void *)(i + 1)), 0);
	for (unsigned i = 0; i < RACERS; i++)
		pthread_join(t[i], NULL);
	for (uint32_t n = 0; n < NUMBERS; n++)
		assert_int_equal(taken[n], 1);
	pthread_barrier_destroy(&line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_order),
		cmocka_unit_test(window),
		cmocka_unit_test(million_duplicates),
		cmocka_unit_test(jitter),
		cmocka_unit_test(threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
