/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "path/fair.h"

#include "base/util.h"
#include "bpf/fair_shared.h"

#define NS_PER_SEC      UINT64_C(1000000000)
#define SMOOTHING_NS    (NS_PER_SEC / 4)
#define CORRECTIONS     4 /* a second */
#define STRANGERS_SHARE 8 /* the eighth part */

static uint64_t sum_below(const uint64_t *demand, size_t count, uint64_t level)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += MIN(demand[i], level);
	return sum;
}

/* Bit by bit: as many passes whatever the demands, which strangers choose. */
uint64_t fair_level(const uint64_t *demand, size_t count, uint64_t budget)
{
	uint64_t level = 0;

	if (sum_below(demand, count, FAIR_UNLIMITED) <= budget)
		return FAIR_UNLIMITED;
	for (uint64_t bit = UINT64_C(1) << 47; bit; bit >>= 1)
		if (sum_below(demand, count, level | bit) <= budget)
			level |= bit;
	return level;
}

struct fair_levels fair_divide(const uint64_t *demand, size_t count, uint64_t budget)
{
	uint64_t all = fair_level(demand, count, budget), kept = budget / STRANGERS_SHARE;

	if (all >= kept)
		return (struct fair_levels){all, all};
	return (struct fair_levels){
		.client = fair_level(demand + 1, count - 1, budget - MIN(demand[0], kept)),
		.strangers = kept,
	};
}

/*
 * A queue is a pure integrator, and with this correction it comes to its target
 * without swinging, also where its bytes are some times the units that they were
 * let in as, as long as looks are much more frequent than four a second.  Far from
 * the target what the worker can do has been taken for too little, and is tried.
 */
uint64_t fair_budget(uint64_t capacity, uint64_t queued, uint64_t room)
{
	uint64_t target = room / 2, low = room / 4, budget = capacity;

	if (queued > target)
		budget -= MIN((queued - target) * CORRECTIONS, capacity - capacity / 4);
	else
		budget += (target - queued) * CORRECTIONS;
	if (queued < low)
		budget += (uint64_t)((double)capacity / 4 * (double)(low - queued) / (double)low);
	return MAX(budget, room / 4); /* never shut: a worker without packets shows nothing */
}

uint64_t fair_price(uint64_t level)
{
	if (level == FAIR_UNLIMITED)
		return 0;
	return MAX((NS_PER_SEC << FAIR_PRICE_SHIFT) / MAX(level, 1), 1);
}

static uint64_t per_second(uint64_t units, uint64_t ns)
{
	return (uint64_t)((double)units * NS_PER_SEC / (double)ns);
}

/*
 * No source can use more than the budget, and one that may send without limit, after a pause,
 * fills the queue before the next look.
 */
static uint64_t rise(uint64_t from, uint64_t to, uint64_t budget)
{
	uint64_t most = from == FAIR_UNLIMITED ? budget : MIN(from + from / 4 + 1, budget);

	return MIN(to, most);
}

/* Where nothing waits, little taken means that little came. */
static void learn_capacity(struct fair_pace *p, const struct fair_look *look)
{
	double weight = (double)MIN(look->ns, SMOOTHING_NS) / SMOOTHING_NS;
	uint64_t taken = per_second(look->taken, look->ns);

	if (taken > p->capacity || look->queued > look->room / 4)
		p->capacity = (uint64_t)((double)p->capacity * (1 - weight) + (double)taken * weight);
}

void fair_begin(struct fair_pace *p, const struct fair_look *look)
{
	*p = (struct fair_pace){
		.capacity = per_second(look->taken, look->ns),
		.levels = {FAIR_UNLIMITED, FAIR_UNLIMITED},
	};
}

void fair_step(struct fair_pace *p, const struct fair_look *look)
{
	struct fair_levels fresh;
	uint64_t budget;

	learn_capacity(p, look);
	budget = fair_budget(p->capacity, look->queued, look->room);
	for (size_t i = 0; i < look->count; i++)
		look->arrived[i] = per_second(look->arrived[i], look->ns);
	fresh = fair_divide(look->arrived, look->count, budget);
	p->levels.client = rise(p->levels.client, fresh.client, budget);
	p->levels.strangers = rise(p->levels.strangers, fresh.strangers, budget);
}
