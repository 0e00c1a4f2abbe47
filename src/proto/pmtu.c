/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "proto/pmtu.h"

#define REPEAT_AFTER TICKS_S(600)
#define FORGET_AFTER TICKS_S(660) /* a minute for the repeat to prove it again */
#define HEARD_BEFORE TICKS_S(10)
#define LATE_PROBES  64 /* an answer to one of the last is still good */

static struct pmtu_path *find(struct pmtu *p, const uint8_t sender[SENDER_SIZE])
{
	for (unsigned i = 0; i < p->count; i++)
		if (!memcmp(p->path[i].sender, sender, SENDER_SIZE))
			return &p->path[i];
	return NULL;
}

static bool alive(const struct pmtu_path *path, ticks now)
{
	return now - path->heard < FORGET_AFTER;
}

void pmtu_begin(struct pmtu *p, ticks interval, ticks now)
{
	memset(p, 0, sizeof *p);
	p->interval = interval;
	pmtu_restart(p, now);
}

static ticks after_pause(const struct pmtu *p, ticks now)
{
	return p->id ? MAX(now, p->sent + p->interval) : now;
}

static void try_size(struct pmtu *p, uint16_t size, ticks now)
{
	p->size = size;
	p->losses = 0;
	p->tries = 0;
	p->answered = false;
	p->next = after_pause(p, now);
}

void pmtu_restart(struct pmtu *p, ticks now)
{
	p->low = PMTU_BASE;
	p->high = PMTU_FIRST;
	p->since = now > HEARD_BEFORE ? now - HEARD_BEFORE : 0;
	try_size(p, PMTU_FIRST, now);
}

void pmtu_doubt(struct pmtu *p, ticks now)
{
	if (p->size == 0)
		pmtu_restart(p, now);
}

bool pmtu_heard(struct pmtu *p, const uint8_t sender[SENDER_SIZE], ticks now)
{
	struct pmtu_path *path = find(p, sender), *oldest = p->path;

	if (path) {
		path->heard = now;
		return false;
	}
	if (p->count < PMTU_SENDERS) {
		path = &p->path[p->count++];
	} else {
		for (unsigned i = 1; i < p->count; i++)
			if (p->path[i].heard < oldest->heard)
				oldest = &p->path[i];
		path = oldest;
	}
	memcpy(path->sender, sender, SENDER_SIZE);
	path->proven = PMTU_BASE;
	path->heard = now;
	pmtu_restart(p, now);
	return true;
}

static bool takes_part(const struct pmtu *p, const struct pmtu_path *path)
{
	return path->heard >= p->since;
}

static unsigned participants(const struct pmtu *p)
{
	unsigned n = 0;

	for (unsigned i = 0; i < p->count; i++)
		n += takes_part(p, &p->path[i]);
	return n;
}

/* Everybody who is being heard has shown this size. */
static bool proven_by_all(const struct pmtu *p, uint16_t size)
{
	for (unsigned i = 0; i < p->count; i++)
		if (takes_part(p, &p->path[i]) && p->path[i].proven < size)
			return false;
	return true;
}

/* The next size between low and high, or the end of the search. */
static void narrow(struct pmtu *p, ticks now)
{
	if (p->high - p->low < PMTU_STEP) {
		p->size = 0;
		p->next = now + REPEAT_AFTER;
		return;
	}
	try_size(p, (uint16_t)((p->low + p->high + 1) / 2), now);
}

/*
 * Too large for somebody.  It could be any of those who take part: nobody keeps a
 * larger size.  The others cannot be asked now; they were not better than this.
 */
static void lost(struct pmtu *p, ticks now)
{
	p->high = (uint16_t)(p->size - 1);
	for (unsigned i = 0; i < p->count; i++) {
		uint16_t most = takes_part(p, &p->path[i]) ? p->low : p->high;

		p->path[i].proven = MIN(p->path[i].proven, most);
	}
	narrow(p, now);
}

/* The last probe came to nothing, or not every server has answered yet. */
static bool give_up(struct pmtu *p)
{
	if (!p->tries)
		return false;
	p->losses = p->answered ? 0 : (uint8_t)(p->losses + 1);
	return p->losses >= PMTU_LOSSES || p->tries >= PMTU_TRIES * MAX(participants(p), 1);
}

uint16_t pmtu_step(struct pmtu *p, ticks now, ticks rtt, uint32_t *id)
{
	if (now < p->next)
		return 0;
	if (p->size == 0) {
		pmtu_restart(p, now);
	} else if (give_up(p)) {
		lost(p, now);
		if (now < p->next)
			return 0;
	}
	p->tries++;
	p->answered = false;
	p->sent = now;
	p->next = now + MAX(2 * rtt, p->interval);
	*id = ++p->id;
	return p->size;
}

void pmtu_proven(struct pmtu *p, const uint8_t sender[SENDER_SIZE], uint16_t size, uint32_t id,
		ticks now)
{
	struct pmtu_path *path = find(p, sender);

	if (!path || id > p->id || p->id - id > LATE_PROBES || size > PMTU_FIRST)
		return;
	path->proven = MAX(path->proven, size);
	path->heard = now;
	if (!p->size || size != p->size)
		return;
	p->answered = true;
	if (proven_by_all(p, size)) {
		p->low = size;
		narrow(p, now);
	}
}

uint16_t pmtu_value(const struct pmtu *p, ticks now)
{
	uint16_t least = PMTU_FIRST;
	bool any = false;

	for (unsigned i = 0; i < p->count; i++)
		if (alive(&p->path[i], now)) {
			least = MIN(least, p->path[i].proven);
			any = true;
		}
	return any ? least : PMTU_BASE;
}
