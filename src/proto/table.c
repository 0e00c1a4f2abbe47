/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "proto/table.h"

#include <errno.h>
#include <stdlib.h>

#define SLOTS_MIN 16

/* At most four fifths full: linear probing then looks at 3 slots for a hit, 13 for a miss. */
static bool is_full(size_t used, size_t slots)
{
	return used * 5 > slots * 4;
}

static int allocate(struct table *t, size_t slots)
{
	t->slot = calloc(slots, sizeof *t->slot);
	if (!t->slot)
		return -ENOMEM;
	t->mask = (uint32_t)(slots - 1);
	return 0;
}

int table_init(struct table *t, size_t expected)
{
	size_t slots = SLOTS_MIN;

	while (is_full(expected, slots))
		slots *= 2;
	*t = (struct table){0};
	return allocate(t, slots);
}

void table_free(struct table *t)
{
	free(t->slot);
	*t = (struct table){0};
}

static void put(struct table *t, struct table_slot entry)
{
	uint32_t at = entry.hash;

	while (t->slot[at & t->mask].ref != 0)
		at++;
	t->slot[at & t->mask] = entry;
}

static int grow(struct table *t)
{
	struct table larger = {.used = t->used};
	size_t slots = (size_t)t->mask + 1;

	if (allocate(&larger, slots * 2) != 0)
		return -ENOMEM;
	for (size_t i = 0; i < slots; i++) {
		if (t->slot[i].ref != 0)
			put(&larger, t->slot[i]);
	}
	free(t->slot);
	*t = larger;
	return 0;
}

int table_add(struct table *t, uint32_t hash, uint32_t ref)
{
	if (is_full((size_t)t->used + 1, (size_t)t->mask + 1) && grow(t) != 0)
		return -ENOMEM;
	put(t, (struct table_slot){hash, ref});
	t->used++;
	return 0;
}

void table_remove(struct table *t, uint32_t hash, uint32_t ref)
{
	uint32_t gap = hash & t->mask, at;

	while (t->slot[gap].ref != ref || t->slot[gap].hash != hash)
		gap = (gap + 1) & t->mask;
	/* Entries after the gap that may begin at or before it move into it (Knuth 6.4, algorithm R). */
	for (at = (gap + 1) & t->mask; t->slot[at].ref != 0; at = (at + 1) & t->mask) {
		uint32_t from_home = (at - t->slot[at].hash) & t->mask;

		if (from_home >= ((at - gap) & t->mask)) {
			t->slot[gap] = t->slot[at];
			gap = at;
		}
	}
	t->slot[gap] = (struct table_slot){0};
	t->used--;
}
