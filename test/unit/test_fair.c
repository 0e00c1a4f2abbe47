/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Fair shares: the max-min level, what is made of it, and a worker's queue under a
 * virtual clock, with the very code that lets messages in in the kernel.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/util.h"
#include "bpf/fair_shared.h"
#include "path/fair.h"

/* ---- the level ---- */

static void level_of_known_cases(void **state)
{
	static const struct {
		uint64_t demand[4], budget, level;
		size_t count;
	} cases[] = {
		{{0}, 0, FAIR_UNLIMITED, 0},               /* nobody wants anything */
		{{0}, 100, FAIR_UNLIMITED, 0},
		{{5}, 5, FAIR_UNLIMITED, 1},               /* just enough */
		{{5}, 4, 4, 1},
		{{5}, 0, 0, 1},                            /* nothing to give */
		{{10, 1000}, 100, 90, 2},                  /* the light one has all it wants */
		{{10, 20, 1000, 1000}, 100, 35, 4},
		{{50, 50, 50, 50}, 100, 25, 4},
		{{50, 50, 50}, 100, 33, 3},                /* rounded down */
		{{0, 0, 7, 7}, 1, 0, 4},                   /* less than one for each */
		{{1, 2, 3, 4}, 10, FAIR_UNLIMITED, 4},
		{{1, 2, 3, 4}, 9, 3, 4},
		{{(uint64_t)1 << 46, 1}, 1000, 999, 2},
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(fair_level(cases[i].demand, cases[i].count, cases[i].budget),
				cases[i].level);
}

static uint64_t given(const uint64_t *demand, size_t count, uint64_t level)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += MIN(demand[i], level);
	return sum;
}

/* What defines it: the budget is kept, and with one more for each it would not be. */
static void level_is_the_largest_within_the_budget(void **state)
{
	uint64_t demand[300];
	(void)state;

	srand(8085);
	for (int round = 0; round < 2000; round++) {
		size_t count = 1 + (size_t)rand() % ARRAY_SIZE(demand);
		uint64_t budget = (uint64_t)rand() >> rand() % 31, level;

		for (size_t i = 0; i < count; i++)
			demand[i] = (uint64_t)rand() >> rand() % 31;
		level = fair_level(demand, count, budget);
		assert_true(level == FAIR_UNLIMITED ? given(demand, count, level) <= budget :
				given(demand, count, level) <= budget &&
				given(demand, count, level + 1) > budget);
	}
}

static void strangers_are_one_source_with_an_eighth(void **state)
{
	static const struct {
		uint64_t demand[4], budget;
		struct fair_levels levels;
	} cases[] = {
		{{0, 10, 10, 10}, 100, {FAIR_UNLIMITED, FAIR_UNLIMITED}},
		{{1000, 10, 10, 10}, 100, {70, 70}},    /* what clients leave */
		{{1000, 10, 1000, 1000}, 100, {30, 30}}, /* as much as a client */
		{{5, 1000, 1000, 1000}, 100, {31, 31}}, /* they want less */
		{{0, 100, 100, 100}, 24, {8, 8}},
	};
	uint64_t many[101];
	struct fair_levels l;
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		l = fair_divide(cases[i].demand, 4, cases[i].budget);
		assert_int_equal(l.client, cases[i].levels.client);
		assert_int_equal(l.strangers, cases[i].levels.strangers);
	}
	for (size_t i = 0; i < ARRAY_SIZE(many); i++)
		many[i] = 1000;
	l = fair_divide(many, ARRAY_SIZE(many), 8000); /* 100 clients: they have 79 each as it is */
	assert_int_equal(l.strangers, 1000);
	assert_int_equal(l.client, 70);
	many[0] = 10; /* what is kept and not wanted is the clients' */
	assert_int_equal(fair_divide(many, ARRAY_SIZE(many), 8000).client, 79);
}

static void budget_and_price(void **state)
{
	(void)state;
	assert_int_equal(fair_budget(10000, 500, 1000), 10000);
	assert_int_equal(fair_budget(10000, 400, 1000), 10400);
	assert_int_equal(fair_budget(10000, 0, 1000), 10000 + 2000 + 2500);
	assert_int_equal(fair_budget(10000, 600, 1000), 9600);
	assert_int_equal(fair_budget(2000, 1000, 1000), 500);
	assert_int_equal(fair_budget(0, 1000, 1000), 250); /* never shut */
	assert_int_equal(fair_price(FAIR_UNLIMITED), 0);
	assert_int_equal(fair_price(1000000), 1000 << FAIR_PRICE_SHIFT); /* ns a unit */
	assert_int_equal(fair_price(0), fair_price(1));
	assert_true(fair_price(FAIR_UNLIMITED - 1) > 0); /* a limit stays one */
	/* The dearest message in the dearest times does not run over. */
	assert_true(fair_price(0) < UINT64_MAX / (65536 + 64 * FAIR_OVERHEAD));
}

/* ---- one source ---- */

static void a_source_has_its_rate_and_a_burst(void **state)
{
	static struct fair_state f;
	uint64_t now = 1000000000000, passed = 0, cost = 1100;
	(void)state;

	f.price = fair_price(cost * 1000); /* 1000 a second */
	while (fair_admit(&f, 42, cost, now))
		passed++;
	assert_in_range(passed, 33, 36); /* 34 ms of it */
	passed = 0;
	for (int i = 0; i < 100000; i++) /* 10 s, ten times as many */
		passed += fair_admit(&f, 42, cost, now += 100000);
	assert_in_range(passed, 9950, 10050);
	assert_true(fair_admit(&f, 43, cost, now)); /* another is not concerned */
}

static void strangers_share_one_slot(void **state)
{
	static struct fair_state f = {.sorted = 1, .price = 1};
	uint64_t now = 1000000000000, passed = 0;
	(void)state;

	f.strangers_price = fair_price(1100 * 1000);
	for (uint64_t from = 0; from < 10000; from++)
		passed += fair_admit(&f, fair_mix(from), 1100, now);
	assert_in_range(passed, 33, 36);
	for (int i = 0; i < 2; i++)
		f.known[fair_known_bit(fair_mix(5000), i) / 8] |=
				(uint8_t)(1 << fair_known_bit(fair_mix(5000), i) % 8);
	assert_true(fair_admit(&f, fair_mix(5000), 1100, now)); /* known now */
	assert_false(fair_admit(&f, fair_mix(5001), 1100, now));
}

/* ---- a worker and its queue ---- */

#define STEP_NS   UINT64_C(100000)
#define LOOK_NS   UINT64_C(16000000)
#define ROOM      (16 << 20)
#define HEAVY_MAX 50
#define LIGHT     20
#define COST      (200 + FAIR_OVERHEAD)

/* Who sends so many a second to a worker that takes so many, and what became of it. */
struct scene {
	unsigned heavy, heavy_rate, capacity;
	double truesize;        /* bytes of the queue for one unit */
	unsigned stopped, runs; /* the worker: steps in turn; 0: it runs on */
	unsigned pause;         /* the heavy: so many steps they send, and so many not; 0: no pauses */
	/* outcome, after the first second */
	uint64_t let_in[HEAVY_MAX + LIGHT], sent_by_light, taken, overflowed;
};

struct queue {
	double used; /* bytes */
	uint64_t taken;
};

static void send_one(struct scene *s, struct fair_state *f, struct queue *q, unsigned from,
		uint64_t now, bool counts)
{
	double size = COST * s->truesize;

	if (!fair_admit(f, fair_mix(from + 1), COST, now))
		return;
	if (q->used + size > ROOM) {
		s->overflowed += counts;
		return;
	}
	q->used += size;
	s->let_in[from] += counts;
}

/* Light ones send four at once, 50 times a second. */
static void send_all(struct scene *s, struct fair_state *f, struct queue *q, unsigned step,
		uint64_t now, bool counts)
{
	for (unsigned from = 0; from < s->heavy; from++) {
		uint64_t due = (uint64_t)(step + 1) * s->heavy_rate / 10000 -
				(uint64_t)step * s->heavy_rate / 10000;

		if (s->pause && step / s->pause % 2)
			continue;
		while (due--)
			send_one(s, f, q, from, now, counts);
	}
	for (unsigned from = s->heavy; from < s->heavy + LIGHT; from++) {
		if ((step + from * 37) % 200)
			continue;
		for (int i = 0; i < 4; i++)
			send_one(s, f, q, from, now, counts);
		s->sent_by_light += 4 * counts;
	}
}

static void take(struct scene *s, struct queue *q, unsigned step, bool counts)
{
	unsigned cycle = s->stopped + s->runs;
	double share = cycle ? (double)cycle / s->runs : 1;
	double most = s->capacity / 10000.0 * share * COST * s->truesize;
	double now = MIN(q->used, most);

	if (cycle && step % cycle < s->stopped)
		return;
	q->used -= now;
	q->taken += (uint64_t)(now / s->truesize);
	s->taken += counts ? (uint64_t)(now / s->truesize) : 0;
}

static void look_at(struct fair_state *f, struct fair_pace *p, struct queue *q, uint64_t seen[],
		bool first)
{
	static uint64_t rates[1 + FAIR_SLOTS];
	struct fair_look look = {LOOK_NS, q->taken, (uint64_t)q->used, ROOM, rates, 1};

	rates[0] = 0;
	for (size_t i = 0; i < FAIR_SLOTS; i++) {
		if (f->slot[0][i].arrived != seen[i])
			rates[look.count++] = f->slot[0][i].arrived - seen[i];
		seen[i] = f->slot[0][i].arrived;
	}
	q->taken = 0;
	if (first)
		fair_begin(p, &look);
	else
		fair_step(p, &look);
	f->price = fair_price(p->levels.client);
}

static void play(struct scene *s)
{
	static uint64_t seen[FAIR_SLOTS];
	struct fair_state *f = calloc(1, sizeof *f);
	struct fair_pace pace;
	struct queue q = {.used = ROOM};
	uint64_t now = 1000000000000, next = now;

	memset(seen, 0, sizeof seen);
	for (unsigned step = 0; step < 50000; step++, now += STEP_NS) {
		bool counts = step >= 10000;

		send_all(s, f, &q, step, now, counts);
		take(s, &q, step, counts);
		if (now < next)
			continue;
		look_at(f, &pace, &q, seen, step == 0);
		next += LOOK_NS;
	}
	free(f);
}

static void check(struct scene *s, double light_at_least, double used_at_least)
{
	uint64_t light = 0, least = UINT64_MAX, most = 0;
	double used;

	play(s);
	for (unsigned i = 0; i < LIGHT; i++)
		light += s->let_in[s->heavy + i];
	for (unsigned i = 0; i < s->heavy; i++) {
		least = MIN(least, s->let_in[i]);
		most = MAX(most, s->let_in[i]);
	}
	used = (double)s->taken / (4.0 * s->capacity * COST);
	print_message("# %u x %u/s to %u/s: light %lu of %lu, heavy %lu to %lu, %lu lost, used %.2f\n",
			s->heavy, s->heavy_rate, s->capacity, (unsigned long)light,
			(unsigned long)s->sent_by_light, (unsigned long)least, (unsigned long)most,
			(unsigned long)s->overflowed, used);
	assert_true((double)light >= light_at_least * (double)s->sent_by_light);
	assert_true(light_at_least < 1 || s->overflowed == 0); /* the filter alone cuts */
	assert_true(most <= least + least / 5);
	assert_true(used >= used_at_least);
}

static void the_light_lose_nothing(void **state)
{
	struct scene scenes[] = {
		{.heavy = 1, .heavy_rate = 400000, .capacity = 100000, .truesize = 1},
		{.heavy = 1, .heavy_rate = 1000000, .capacity = 500000, .truesize = 1},
		{.heavy = 1, .heavy_rate = 120000, .capacity = 100000, .truesize = 4},
		{.heavy = 5, .heavy_rate = 200000, .capacity = 400000, .truesize = 2},
		{.heavy = 50, .heavy_rate = 20000, .capacity = 400000, .truesize = 0.7},
		{.heavy = 50, .heavy_rate = 20000, .capacity = 50000, .truesize = 2},
		{.heavy = 1, .heavy_rate = 100000, .capacity = 10000, .truesize = 2},
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(scenes); i++)
		check(&scenes[i], 1, 0.9);
}

/* It gets 1.5 ms of every 31.5: what comes in between has to find room. */
static void a_worker_that_is_often_stopped(void **state)
{
	struct scene scenes[] = {
		{.heavy = 1, .heavy_rate = 200000, .capacity = 20000, .truesize = 1, .stopped = 300, .runs = 15},
		{.heavy = 3, .heavy_rate = 100000, .capacity = 50000, .truesize = 1, .stopped = 300, .runs = 15},
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(scenes); i++)
		check(&scenes[i], 1, 0.8);
}

/* What was unlimited for a moment would fill the queue before anybody looks again. */
static void floods_that_pause(void **state)
{
	struct scene scenes[] = {
		{.heavy = 1, .heavy_rate = 400000, .capacity = 100000, .truesize = 1, .pause = 3000},
		{.heavy = 1, .heavy_rate = 400000, .capacity = 100000, .truesize = 1, .pause = 200},
		{.heavy = 3, .heavy_rate = 400000, .capacity = 100000, .truesize = 1, .pause = 1500},
		{.heavy = 1, .heavy_rate = 360000, .capacity = 35000, .truesize = 1, .pause = 2000, .stopped = 300, .runs = 15},
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(scenes); i++)
		check(&scenes[i], 0.99, 0.4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(level_of_known_cases),
		cmocka_unit_test(level_is_the_largest_within_the_budget),
		cmocka_unit_test(strangers_are_one_source_with_an_eighth),
		cmocka_unit_test(budget_and_price),
		cmocka_unit_test(a_source_has_its_rate_and_a_burst),
		cmocka_unit_test(strangers_share_one_slot),
		cmocka_unit_test(the_light_lose_nothing),
		cmocka_unit_test(a_worker_that_is_often_stopped),
		cmocka_unit_test(floods_that_pause),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
