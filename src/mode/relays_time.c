/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * A wheel of seconds of cluster time: an entry lies in the slot of the second in
 * which it is to be looked at, modulo the wheel's size, and what comes in a later
 * turn just stays.
 */
#include "mode/relays_internal.h"

static uint32_t *slot_of(struct relays *t, uint64_t second)
{
	return &t->slot[second % WHEEL_SLOTS];
}

void wheel_remove(struct relays *t, uint32_t e)
{
	struct entry *x = entry_at(t, e);

	if (!x->due)
		return;
	*(x->of_wheel.previous ? &entry_at(t, x->of_wheel.previous)->of_wheel.next :
				 slot_of(t, x->due)) = x->of_wheel.next;
	if (x->of_wheel.next)
		entry_at(t, x->of_wheel.next)->of_wheel.previous = x->of_wheel.previous;
	x->due = 0;
}

void wheel_put(struct relays *t, uint32_t e)
{
	struct entry *x = entry_at(t, e);
	uint64_t due = entry_due(x);
	uint32_t *slot;

	if (x->due == due)
		return;
	wheel_remove(t, e);
	if (due <= t->turned) /* overdue: the next tick */
		due = t->turned + 1;
	slot = slot_of(t, due);
	x->due = due;
	x->of_wheel = (struct entry_link){.next = *slot};
	if (*slot)
		entry_at(t, *slot)->of_wheel.previous = e;
	*slot = e;
}

/* When it may be forgotten. */
static uint64_t forget_at(const struct entry *x)
{
	if (x->r.removed)
		return x->r.expires;
	if (!x->r.settled)
		return x->r.created + RELAY_PENDING_S;
	return x->r.expires ? x->r.expires + RELAY_TOMBSTONE_S : UINT64_MAX;
}

uint64_t entry_due(const struct entry *x)
{
	if (x->dead || !x->r.settled)
		return forget_at(x);
	/* For ever: each at a second of its own, so that they do not come all at once. */
	return x->r.expires ? x->r.expires : x->shown + RESTATE_S + load_be16(x->r.id) % 600;
}

static void look_at(struct relays *t, uint64_t second, uint32_t e)
{
	struct entry *x = entry_at(t, e);
	struct relay r = x->r;

	if (forget_at(x) <= second) {
		entry_forget(t, e);
	} else if (!x->dead && relay_expired(&r, second)) {
		t->count.expired++;
		entry_set(t, second, e, &r);
	} else if (!x->dead && !r.expires && entry_due(x) <= second) {
		/* The registry forgets what is not written for long. */
		x->shown = second;
		wheel_put(t, e);
		entry_publish(t, x);
	} else {
		wheel_put(t, e);
	}
}

static bool in_slot(const struct relays *t, uint32_t e)
{
	return entry_at(t, e)->due && entry_at(t, e)->due % WHEEL_SLOTS == t->turned % WHEEL_SLOTS;
}

/*
 * One slot.  Looking at an entry may take others out of it: then once more from its head.
 * False: there was no time for all.
 */
static bool turn(struct relays *t, uint64_t second, unsigned *most)
{
	uint32_t next;

	for (uint32_t e = *slot_of(t, t->turned); e; e = next) {
		next = entry_at(t, e)->of_wheel.next;
		if (entry_at(t, e)->due > t->turned)
			continue;
		if (!*most)
			return false;
		--*most;
		look_at(t, second, e);
		if (next && !in_slot(t, next))
			next = *slot_of(t, t->turned);
	}
	return true;
}

ticks relays_tick(struct relays *t, const struct instant *now)
{
	uint64_t second = time_seconds(now->cluster);
	unsigned most = RELAYS_TICK;

	/* The first call, or a pause longer than a turn: one turn meets every entry. */
	if (second > t->turned + WHEEL_SLOTS)
		t->turned = second - WHEEL_SLOTS;
	while (t->turning || t->turned < second) {
		t->turned += !t->turning;
		t->turning = !turn(t, second, &most);
		if (t->turning)
			return now->boot;
	}
	return now->boot + TICKS_S(1);
}
