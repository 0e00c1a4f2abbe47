/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Entries lie in one array and are found by index through a hash table.  Those
 * that wait do so in the slots of a wheel: slot = due time / WHEEL_TICK, modulo
 * its size; an entry that is due in a later turn just stays in its slot.  Those
 * that were sent stand in one list, whose head was sent first: all wait equally
 * long before they are sent again.
 */
#include "cluster/write_queue.h"

#include <errno.h>
#include <stdlib.h>

#include "cluster/index_set.h"

#define WHEEL_SLOTS 256
#define WHEEL_TICK  (TICKS_PER_SEC / 16)
#define NONE        0 /* entries count from 1, as the table wants it */

enum state {
	WAITING,   /* in the wheel; to be sent when due */
	IN_FLIGHT, /* in the list of those sent; to be sent again when due */
	DONE       /* in the wheel; seen, and forgotten when due, which keeps the spacing */
};

struct entry {
	uint32_t index;
	uint32_t next, previous; /* in its list; next also in the list of free entries */
	enum state state;
	ticks due;               /* boot time */
	ticks sent;              /* boot time of the last write, 0: never */
	struct session_record *record;
};

struct list {
	uint32_t head, tail;
};

struct write_queue {
	struct table by_index;
	struct entry *entry; /* [0] is not used */
	uint32_t room, free_list;
	struct list slot[WHEEL_SLOTS], sent;
	uint64_t turned; /* every slot before this tick has been looked at */
	size_t open, in_flight;
};

struct write_queue *write_queue_new(void)
{
	struct write_queue *q = calloc(1, sizeof *q);

	if (q && table_init(&q->by_index, 0) != 0) {
		free(q);
		return NULL;
	}
	return q;
}

void write_queue_free(struct write_queue *q)
{
	for (uint32_t e = 1; e < q->room; e++)
		free(q->entry[e].record);
	free(q->entry);
	table_free(&q->by_index);
	free(q);
}

static uint32_t find(const struct write_queue *q, uint32_t index)
{
	uint32_t at = index_hash(index), e;

	while ((e = table_next(&q->by_index, index_hash(index), &at)) != NONE)
		if (q->entry[e].index == index)
			return e;
	return NONE;
}

/* ---- lists ---- */

static struct list *list_of(struct write_queue *q, const struct entry *x)
{
	return x->state == IN_FLIGHT ? &q->sent : &q->slot[x->due / WHEEL_TICK % WHEEL_SLOTS];
}

static void leave_list(struct write_queue *q, uint32_t e)
{
	struct entry *x = &q->entry[e];
	struct list *list = list_of(q, x);

	*(x->previous ? &q->entry[x->previous].next : &list->head) = x->next;
	*(x->next ? &q->entry[x->next].previous : &list->tail) = x->previous;
	q->in_flight -= x->state == IN_FLIGHT;
	q->open -= x->state != DONE;
}

static void enter_list(struct write_queue *q, uint32_t e, enum state state, ticks due)
{
	struct entry *x = &q->entry[e];
	struct list *list;

	x->state = state;
	x->due = due;
	list = list_of(q, x);
	x->next = NONE;
	x->previous = list->tail;
	*(list->tail ? &q->entry[list->tail].next : &list->head) = e;
	list->tail = e;
	q->in_flight += state == IN_FLIGHT;
	q->open += state != DONE;
	if (state != IN_FLIGHT)
		q->turned = MIN(q->turned, due / WHEEL_TICK);
}

/* ---- entries ---- */

static int grow(struct write_queue *q)
{
	uint32_t room = q->room ? q->room * 2 : 64;
	struct entry *larger = reallocarray(q->entry, room, sizeof *larger);

	if (!larger)
		return -ENOMEM;
	memset(larger + q->room, 0, (room - q->room) * sizeof *larger);
	for (uint32_t e = room - 1; e >= MAX(q->room, 1); e--) {
		larger[e].next = q->free_list;
		q->free_list = e;
	}
	q->entry = larger;
	q->room = room;
	return 0;
}

static uint32_t add(struct write_queue *q, uint32_t index, ticks due)
{
	uint32_t e;

	if (!q->free_list && grow(q) != 0)
		return NONE;
	e = q->free_list;
	if (table_add(&q->by_index, index_hash(index), e) != 0)
		return NONE;
	q->free_list = q->entry[e].next;
	q->entry[e] = (struct entry){.index = index};
	enter_list(q, e, DONE, due);
	return e;
}

static void drop(struct write_queue *q, uint32_t e)
{
	struct entry *x = &q->entry[e];

	leave_list(q, e);
	table_remove(&q->by_index, index_hash(x->index), e);
	free(x->record);
	*x = (struct entry){.next = q->free_list};
	q->free_list = e;
}

static struct session_record *copy_record(const struct session_record *r)
{
	struct session_record *copy = malloc(session_record_size(r));

	if (copy)
		memcpy(copy, r, session_record_size(r));
	return copy;
}

int write_queue_put(struct write_queue *q, const struct instant *now, uint32_t index,
		const struct session_record *r, ticks due)
{
	uint32_t e = find(q, index);
	struct session_record *copy;
	struct entry *x;

	if (e && q->entry[e].state != DONE && session_record_order(r, q->entry[e].record) <= 0)
		return 0;
	copy = copy_record(r);
	if (copy && !e)
		e = add(q, index, due);
	if (!copy || !e) {
		free(copy);
		return -ENOMEM;
	}
	x = &q->entry[e];
	free(x->record);
	x->record = copy;
	leave_list(q, e);
	due = MAX(due, now->boot);
	enter_list(q, e, WAITING, x->sent ? MAX(due, x->sent + WRITE_SPACING) : due);
	return 0;
}

void write_queue_seen(struct write_queue *q, const struct instant *now, uint32_t index,
		const struct session_record *r)
{
	uint32_t e = find(q, index);
	const struct entry *x;

	if (!e)
		return;
	x = &q->entry[e];
	if (x->state == DONE || session_record_order(x->record, r) > 0)
		return;
	if (!x->sent || now->boot >= x->sent + WRITE_SPACING) {
		drop(q, e);
		return;
	}
	leave_list(q, e);
	enter_list(q, e, DONE, x->sent + WRITE_SPACING);
}

/* One whose time has come; NULL if there is nothing left to do for it, and it leaves the queue. */
static const struct session_record *mark_sent(struct write_queue *q, const struct instant *now,
		uint32_t e, uint32_t *index)
{
	struct entry *x = &q->entry[e];

	if (x->state == DONE || time_seconds(now->cluster) >= session_end(x->record->epoch)) {
		drop(q, e);
		return NULL;
	}
	leave_list(q, e);
	x->sent = now->boot;
	enter_list(q, e, IN_FLIGHT, now->boot + WRITE_RETRY);
	*index = x->index;
	return x->record;
}

/* The first in this slot that may be sent now; *full if it is only for those in flight. */
static const struct session_record *next_in_slot(struct write_queue *q, const struct instant *now,
		struct list *slot, uint32_t *index, bool *full)
{
	const struct session_record *r;

	for (uint32_t e = slot->head, next; e; e = next) {
		next = q->entry[e].next;
		if (q->entry[e].due > now->boot)
			continue;
		*full = q->in_flight >= WRITE_IN_FLIGHT && q->entry[e].state == WAITING;
		r = *full ? NULL : mark_sent(q, now, e, index);
		if (r || *full)
			return r;
	}
	return NULL;
}

const struct session_record *write_queue_next(struct write_queue *q, const struct instant *now,
		uint32_t *index)
{
	uint64_t present = now->boot / WHEEL_TICK;
	const struct session_record *r;
	bool full = false;

	while (q->sent.head && q->entry[q->sent.head].due <= now->boot)
		if ((r = mark_sent(q, now, q->sent.head, index)))
			return r;
	/* a pause longer than a turn: one turn meets every entry */
	if (present >= q->turned + WHEEL_SLOTS)
		q->turned = present - WHEEL_SLOTS + 1;
	for (;; q->turned++) {
		r = next_in_slot(q, now, &q->slot[q->turned % WHEEL_SLOTS], index, &full);
		if (r || full || q->turned >= present) /* more may come into the present slot */
			return r;
	}
}

size_t write_queue_length(const struct write_queue *q)
{
	return q->open;
}
