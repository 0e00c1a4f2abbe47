/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * How much each source may send to a worker that cannot keep up: arithmetic
 * alone.  All rates are in units a second (bpf/fair_shared.h).
 */
#ifndef PATH_FAIR_H
#define PATH_FAIR_H

#include <stddef.h>
#include <stdint.h>

#define FAIR_UNLIMITED UINT64_MAX

/*
 * The max-min fair level: the largest for which the sum of min(demand, level) is
 * within the budget.  Who asks for less than it gets all of that, and all others
 * the same.  FAIR_UNLIMITED if the demands are within the budget.
 */
uint64_t fair_level(const uint64_t *demand, size_t count, uint64_t budget);

struct fair_levels {
	uint64_t client, strangers;
};
/*
 * The same where demand[0] is that of all strangers: they are one source, but may
 * send an eighth of the budget in any case, because all who are new or have moved
 * are strangers first.
 */
struct fair_levels fair_divide(const uint64_t *demand, size_t count, uint64_t budget);

/*
 * What may be let in: what is taken out, and so much more or less that the
 * queue, in bytes, is half full in a quarter of a second.
 */
uint64_t fair_budget(uint64_t capacity, uint64_t queued, uint64_t room);

/* See FAIR_PRICE_SHIFT; 0 if there is no limit. */
uint64_t fair_price(uint64_t level);

/* What is known of a worker from one look at it to the next. */
struct fair_pace {
	uint64_t capacity; /* what it takes out, smoothed */
	struct fair_levels levels;
};

struct fair_look {
	uint64_t ns;           /* since the last look, not 0 */
	uint64_t taken;        /* units that the worker has taken out */
	uint64_t queued, room; /* bytes in the socket's queue, and for how many there is room */
	uint64_t *arrived;     /* units of each source, those of strangers first; made into rates */
	size_t count;          /* at least 1 */
};

/* When overload is seen; the levels are then unlimited until the next look. */
void fair_begin(struct fair_pace *p, const struct fair_look *look);
/*
 * Sets the levels until the next look.  They fall at once, rise by a quarter at a time, and
 * are never above the budget.
 */
void fair_step(struct fair_pace *p, const struct fair_look *look);

#endif
