/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * All entries of one list wait equally long, so each list is in the order in which
 * they are due, and only its head is looked at.
 */
#include "cluster/relay_queue.h"

#include <errno.h>
#include <stdlib.h>

#define NONE 0 /* entries count from 1 */

enum list {
	LIST_FREE,
	LIST_NOW,    /* to be written at once */
	LIST_SPACED, /* written less than RELAY_WRITE_SPACING ago, and changed since */
	LIST_SENT,   /* to be written again, unless it is shown */
	LIST_HEAL,   /* lost by the registry: others may be faster */
	LISTS
};

struct waiting {
	uint8_t id[RELAY_ID_SIZE];
	enum list list;
	uint32_t next, previous;
	ticks due, written; /* written: 0: never */
};

struct relay_queue {
	uint64_t hash_key[2];
	struct table by_id;
	struct waiting *entry; /* [0] is not used */
	uint32_t room;
	struct { uint32_t head, tail; size_t count; } list[LISTS];
	ticks heal_delay;
};

struct relay_queue *relay_queue_new(ticks heal_delay)
{
	struct relay_queue *q = calloc(1, sizeof *q);

	if (!q || table_init(&q->by_id, 0) != 0) {
		free(q);
		return NULL;
	}
	q->heal_delay = heal_delay;
	random_bytes(q->hash_key, sizeof q->hash_key);
	return q;
}

void relay_queue_free(struct relay_queue *q)
{
	if (!q)
		return;
	table_free(&q->by_id);
	free(q->entry);
	free(q);
}

static uint32_t find(const struct relay_queue *q, const uint8_t id[RELAY_ID_SIZE])
{
	uint32_t hash = relay_id_hash(q->hash_key, id), at = hash, e;

	while ((e = table_next(&q->by_id, hash, &at)) != NONE)
		if (memcmp(q->entry[e].id, id, RELAY_ID_SIZE) == 0)
			return e;
	return NONE;
}

/* ---- lists ---- */

static void leave(struct relay_queue *q, uint32_t e)
{
	struct waiting *x = &q->entry[e];

	*(x->previous ? &q->entry[x->previous].next : &q->list[x->list].head) = x->next;
	*(x->next ? &q->entry[x->next].previous : &q->list[x->list].tail) = x->previous;
	q->list[x->list].count--;
}

static void enter(struct relay_queue *q, uint32_t e, enum list list, ticks due)
{
	struct waiting *x = &q->entry[e];

	x->list = list;
	x->due = due;
	x->next = NONE;
	x->previous = q->list[list].tail;
	*(x->previous ? &q->entry[x->previous].next : &q->list[list].head) = e;
	q->list[list].tail = e;
	q->list[list].count++;
}

static bool grow(struct relay_queue *q)
{
	uint32_t room = q->room ? 2 * q->room : 64;
	struct waiting *larger = reallocarray(q->entry, room, sizeof *larger);

	if (!larger)
		return false;
	q->entry = larger;
	for (uint32_t e = MAX(q->room, 1); e < room; e++)
		enter(q, e, LIST_FREE, 0);
	q->room = room;
	return true;
}

static uint32_t add(struct relay_queue *q, const uint8_t id[RELAY_ID_SIZE])
{
	uint32_t e;

	if (!q->list[LIST_FREE].count && !grow(q))
		return NONE;
	e = q->list[LIST_FREE].head;
	if (table_add(&q->by_id, relay_id_hash(q->hash_key, id), e) != 0)
		return NONE;
	memcpy(q->entry[e].id, id, RELAY_ID_SIZE);
	q->entry[e].written = 0;
	return e;
}

int relay_queue_put(struct relay_queue *q, ticks now, const uint8_t id[RELAY_ID_SIZE], bool heal)
{
	uint32_t e = find(q, id);
	struct waiting *x;

	if (e && (heal || q->entry[e].list == LIST_NOW || q->entry[e].list == LIST_SPACED))
		return 0;
	if (!e)
		e = add(q, id);
	if (!e)
		return -ENOMEM;
	x = &q->entry[e];
	leave(q, e);
	if (heal)
		enter(q, e, LIST_HEAL, now + q->heal_delay);
	else if (x->written && now < x->written + RELAY_WRITE_SPACING)
		enter(q, e, LIST_SPACED, x->written + RELAY_WRITE_SPACING);
	else
		enter(q, e, LIST_NOW, now);
	return 0;
}

void relay_queue_done(struct relay_queue *q, const uint8_t id[RELAY_ID_SIZE])
{
	uint32_t e = find(q, id);

	if (!e)
		return;
	table_remove(&q->by_id, relay_id_hash(q->hash_key, id), e);
	leave(q, e);
	enter(q, e, LIST_FREE, 0);
}

bool relay_queue_next(struct relay_queue *q, ticks now, uint8_t id[RELAY_ID_SIZE])
{
	static const enum list order[] = {LIST_SENT, LIST_SPACED, LIST_NOW, LIST_HEAL};

	for (unsigned i = 0; i < ARRAY_SIZE(order); i++) {
		uint32_t e = q->list[order[i]].head;

		if (!e || q->entry[e].due > now ||
				(order[i] != LIST_SENT && q->list[LIST_SENT].count >= RELAY_WRITE_FLIGHT))
			continue;
		memcpy(id, q->entry[e].id, RELAY_ID_SIZE);
		leave(q, e);
		q->entry[e].written = now;
		enter(q, e, LIST_SENT, now + RELAY_WRITE_RETRY);
		return true;
	}
	return false;
}

size_t relay_queue_length(const struct relay_queue *q)
{
	return q->by_id.used;
}
