/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "proto/pmtu.h"

#define REPEAT_AFTER TICKS_S(600)
#define FORGET_AFTER TICKS_S(660) /* a minute for the repeat to prove it again */
#define UNPROVEN     TICKS_S(10) /* who has shown nothing is forgotten after this */
#define PRESENT      TICKS_S(2)  /* who was heard within this has to show the size that is tried */
#define PATIENCE     TICKS_S(4)  /* … and has at least so long for it */
#define LATE_PROBES  64 /* an answer to one of the last is still good */

static struct pmtu_path *find(struct pmtu *p, const uint8_t sender[SENDER_SIZE])
{
	for (unsigned i = 0; i < p->count; i++)
		if (load_be16(p->path[i].sender) == load_be16(sender))
			return &p->path[i];
	return NULL;
}

static bool alive(const struct pmtu_path *path, ticks now)
{
	return now < path->heard + (path->proven > PMTU_BASE ? FORGET_AFTER : UNPROVEN);
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

	if (path && alive(path, now)) {
		bool recalled = path->recalled;

		path->recalled = false;
		path->heard = now;
		if (recalled)
			pmtu_restart(p, now);
		return recalled;
	}
	if (path) {
		/* as good as new */
	} else if (p->count < PMTU_SENDERS) {
		path = &p->path[p->count++];
	} else {
		for (unsigned i = 1; i < p->count; i++)
			if (p->path[i].heard < oldest->heard)
				oldest = &p->path[i];
		path = oldest;
	}
	memcpy(path->sender, sender, SENDER_SIZE);
	path->proven = PMTU_BASE;
	path->doubted = path->recalled = false;
	path->heard = now;
	pmtu_restart(p, now);
	return true;
}

/* After a flip of the route the former server cannot be asked any more, and has no say. */
static bool takes_part(const struct pmtu_path *path, ticks now)
{
	return now < path->heard + PRESENT;
}

static unsigned participants(const struct pmtu *p, ticks now)
{
	unsigned n = 0;

	for (unsigned i = 0; i < p->count; i++)
		n += takes_part(&p->path[i], now);
	return n;
}

/* Everybody who is being heard has shown this size. */
static bool proven_by_all(const struct pmtu *p, uint16_t size, ticks now)
{
	for (unsigned i = 0; i < p->count; i++)
		if (takes_part(&p->path[i], now) && p->path[i].proven < size)
			return false;
	return true;
}

/* The next size between low and high, or the end of the search. */
static void narrow(struct pmtu *p, ticks now)
{
	if (p->high - p->low < PMTU_STEP) {
		for (unsigned i = 0; i < p->count; i++)
			if (p->path[i].doubted)
				p->path[i].proven = p->low;
		p->size = 0;
		p->next = now + REPEAT_AFTER;
		return;
	}
	try_size(p, (uint16_t)((p->low + p->high + 1) / 2), now);
}

/*
 * Too large for somebody.  It could be any of those who were thought to take it:
 * who is there goes back to what is certain and has to show more again; who
 * cannot be asked now was not better than this.
 */
static void lost(struct pmtu *p, ticks now)
{
	p->high = (uint16_t)(p->size - 1);
	for (unsigned i = 0; i < p->count; i++) {
		struct pmtu_path *path = &p->path[i];

		if (path->proven < p->size)
			continue;
		path->doubted = !takes_part(path, now);
		path->proven = path->doubted ? p->high : p->low;
	}
	narrow(p, now);
}

/* The last probe came to nothing, or not every server has answered yet. */
static bool give_up(struct pmtu *p, ticks now)
{
	if (!p->tries)
		return false;
	p->losses = p->answered ? 0 : (uint8_t)(p->losses + 1);
	return p->losses >= PMTU_LOSSES ||
	       (p->tries >= PMTU_TRIES * participants(p, now) && now >= p->first + PATIENCE);
}

uint16_t pmtu_step(struct pmtu *p, ticks now, ticks rtt, uint32_t *id)
{
	if (now < p->next)
		return 0;
	if (p->size == 0) {
		pmtu_restart(p, now);
	} else if (give_up(p, now)) {
		lost(p, now);
		if (now < p->next)
			return 0;
	}
	if (!p->tries++)
		p->first = now;
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
	path->proven = path->doubted ? size : MAX(path->proven, size);
	path->doubted = false;
	path->heard = now;
	if (!p->size || size != p->size)
		return;
	p->answered = true;
	if (proven_by_all(p, size, now)) {
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

/* ---- from one run of the client to the next ---- */

void pmtu_recall(struct pmtu *p, const struct pmtu_memory *m, ticks now)
{
	for (unsigned i = 0; i < m->count && p->count < PMTU_SENDERS; i++) {
		struct pmtu_path path = {
			.proven = m->path[i].size,
			.recalled = true,
			.heard = now > PRESENT ? now - PRESENT : 0, /* it has no say in a search */
		};

		store_be16(path.sender, m->path[i].server);
		if (!find(p, path.sender))
			p->path[p->count++] = path;
	}
}

/* The last one found is the last one in it. */
static bool remember(struct pmtu_memory *m, uint16_t server, uint16_t size)
{
	unsigned i = 0;

	while (i < m->count && m->path[i].server != server)
		i++;
	if (i < m->count && m->path[i].size == size)
		return false;
	if (i == m->count && size == PMTU_BASE)
		return false;
	if (i == m->count && i == PMTU_SENDERS)
		i = 0; /* the oldest gives way */
	if (i < m->count)
		memmove(&m->path[i], &m->path[i + 1], (--m->count - i) * sizeof m->path[0]);
	if (size > PMTU_BASE) {
		m->path[m->count].server = server;
		m->path[m->count++].size = size;
	}
	return true;
}

bool pmtu_remember(const struct pmtu *p, struct pmtu_memory *m, ticks now)
{
	bool changed = false;

	for (unsigned i = 0; !p->size && i < p->count; i++) {
		const struct pmtu_path *path = &p->path[i];

		if (alive(path, now) && !path->recalled && !path->doubted)
			changed |= remember(m, load_be16(path->sender), path->proven);
	}
	return changed;
}
