/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "proto/pmtu.h"

#define REPEAT_AFTER TICKS_S(600)
#define FORGET_AFTER TICKS_S(600)

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

void pmtu_restart(struct pmtu *p, ticks now)
{
	p->low = PMTU_BASE;
	p->high = PMTU_FIRST;
	p->size = PMTU_FIRST;
	p->losses = 0;
	p->begun = false;
	p->next = now;
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

/* Everybody who may get the next packet has shown this size. */
static bool proven_by_all(const struct pmtu *p, uint16_t size, ticks now)
{
	bool any = false;

	for (unsigned i = 0; i < p->count; i++) {
		if (!alive(&p->path[i], now))
			continue;
		if (p->path[i].proven < size)
			return false;
		any = true;
	}
	return any;
}

/* The next size between low and high, or the end of the search. */
static void narrow(struct pmtu *p, ticks now)
{
	p->losses = 0;
	p->begun = false;
	if (p->high - p->low < PMTU_STEP) {
		p->size = 0;
		p->next = now + REPEAT_AFTER;
		return;
	}
	p->size = (uint16_t)((p->low + p->high + 1) / 2);
	p->next = now;
}

static void lost(struct pmtu *p, ticks now)
{
	/* too large for somebody: nobody keeps a larger one */
	for (unsigned i = 0; i < p->count; i++)
		if (p->path[i].proven >= p->size)
			p->path[i].proven = p->low;
	p->high = (uint16_t)(p->size - 1);
	narrow(p, now);
}

uint16_t pmtu_step(struct pmtu *p, ticks now, ticks rtt, uint32_t *id)
{
	if (now < p->next)
		return 0;
	if (p->size == 0)
		pmtu_restart(p, now);
	if (p->begun && ++p->losses >= PMTU_LOSSES) {
		lost(p, now);
		if (p->size == 0)
			return 0;
	}
	p->begun = true;
	p->next = now + MAX(2 * rtt, p->interval);
	*id = ++p->id;
	return p->size;
}

void pmtu_proven(struct pmtu *p, const uint8_t sender[SENDER_SIZE], uint16_t size, uint32_t id,
		ticks now)
{
	struct pmtu_path *path = find(p, sender);

	if (!path || id > p->id || p->id - id > 2 * PMTU_LOSSES || size > PMTU_FIRST)
		return;
	path->proven = MAX(path->proven, size);
	path->heard = now;
	if (p->size && size == p->size && proven_by_all(p, size, now)) {
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
