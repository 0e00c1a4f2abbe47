/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "ctx.h"

#define LOOK          TICKS_MS(100)
#define LOOK_IF_ON    TICKS_MS(16)
#define SALT_LIFE     TICKS_S(1)
#define QUIET         TICKS_S(10)
#define LOST_MIN      16   /* messages between two looks: what a burst may lose unnoticed */
#define KNOWN_AT_ONCE 2048 /* clients looked through in one look */

/* ---- what there is to see ---- */

/* The fuller of the two sockets' queues. */
static struct udp_queue read_queues(struct overload_worker *o, const struct worker *w)
{
	struct udp_queue q, fuller = {.room = 1};

	for (int f = 0; f < FAMILY_COUNT; f++) {
		if (w->udp[f] < 0 || !udp_queue_read(w->udp[f], &q))
			continue;
		o->refused += q.dropped - o->refused_of[f];
		o->refused_of[f] = q.dropped;
		if ((double)q.used / q.room >= (double)fuller.used / fuller.room)
			fuller = q;
	}
	return fuller;
}

/* What the worker has taken out of its sockets so far, as the filter would count it. */
static uint64_t units_taken(const struct worker *w)
{
	const uint64_t *traffic = w->counters.traffic;

	return counter_read(&traffic[TRAFFIC_RX_BYTES]) +
		FAIR_OVERHEAD * counter_read(&traffic[TRAFFIC_RX_DATAGRAMS]);
}

/* Units of each source since the last look, strangers first; how many. */
static size_t read_arrivals(struct overload_worker *o, uint64_t list[1 + FAIR_SLOTS])
{
	const volatile struct fair_state *f = fair_bpf_state(o->filter);
	size_t count = 1;

	for (size_t i = 0; i <= FAIR_SLOTS; i++) {
		uint64_t now = i ? f->slot[0][i - 1].arrived : f->strangers.arrived;
		uint64_t since = now - o->arrived[i];

		o->arrived[i] = now;
		if (i == 0)
			list[0] = since;
		else if (since)
			list[count++] = since;
	}
	return count;
}

/*
 * Drops so far, put where no worker writes.  The sockets count the filter's as their
 * own, so theirs are read first: what was dropped in between does not look like a loss.
 */
static uint64_t count_drops(struct overload_worker *o, struct worker *w)
{
	const volatile struct fair_state *f = o->filter ? fair_bpf_state(o->filter) : NULL;
	uint64_t filtered = f ? f->dropped_messages : 0;
	uint64_t lost = o->refused > filtered ? o->refused - filtered : 0, fresh;

	fresh = lost > o->lost ? lost - o->lost : 0;
	o->lost += fresh;
	counter_add(&w->counters.drop[DROP_BUFFER], fresh);
	if (f)
		counter_add(&w->counters.drop[DROP_OVERLOAD],
				f->dropped - w->counters.drop[DROP_OVERLOAD]);
	return fresh;
}

/* ---- who is known ---- */

/* A part of the clients at a time: there may be very many. */
static void know_clients(struct daemon *d, struct overload_worker *o)
{
	const struct directory *dir = atomic_load(&d->server.directory);
	size_t count = directory_count(dir), end = MIN(o->cursor + KNOWN_AT_ONCE, count);

	for (size_t i = o->cursor; i < end; i++) {
		const struct session_record *r = atomic_load(&directory_at(dir, i)->session);

		if (r)
			fair_bpf_know(o->filter, &r->endpoint);
	}
	o->cursor = end;
	if (end < count)
		return;
	o->cursor = 0;
	fair_bpf_state(o->filter)->sorted = true;
}

/* ---- on and off ---- */

static void take_off(struct overload_worker *o, const struct worker *w)
{
	for (int f = 0; f < FAMILY_COUNT; f++)
		if (w->udp[f] >= 0)
			fair_bpf_detach(w->udp[f]);
	o->on = false;
}

static void put_on(struct daemon *d, struct overload_worker *o, const struct worker *w,
		const struct fair_look *look, ticks now)
{
	int failed = 0;

	fair_bpf_reset(o->filter);
	o->cursor = 0;
	read_arrivals(o, d->overload.rates);
	fair_begin(&o->pace, look);
	o->pressed = o->salted = now;
	o->on = true;
	for (int f = 0; !failed && f < FAMILY_COUNT; f++)
		failed = w->udp[f] < 0 ? 0 : fair_bpf_attach(o->filter, w->udp[f]);
	if (failed) {
		log_limited(LOG_ERROR, 1, "worker %u cannot keep up, and fair shares between its clients "
				"cannot be enforced: %s", w->id, strerror(-failed));
		take_off(o, w);
		return;
	}
	d->server.events[SERVER_OVERLOADS]++;
	log_limited(LOG_WARNING, 1, "worker %u cannot keep up with what it is sent: its clients are held "
			"to fair shares (drops: overload)", w->id);
}

/* ---- a look ---- */

static void set_levels(struct overload_worker *o, struct fair_look *look, ticks now)
{
	struct fair_state *f = fair_bpf_state(o->filter);

	fair_step(&o->pace, look);
	f->price = fair_price(o->pace.levels.client);
	f->strangers_price = fair_price(o->pace.levels.strangers);
	if (now < o->salted + SALT_LIFE)
		return;
	fair_bpf_salt(o->filter);
	o->salted = now;
}

static void look_on(struct daemon *d, struct overload_worker *o, const struct worker *w,
		struct fair_look *look, uint64_t lost, ticks now)
{
	uint64_t filtered = fair_bpf_state(o->filter)->dropped_messages;

	look->arrived = d->overload.rates;
	look->count = read_arrivals(o, look->arrived);
	set_levels(o, look, now);
	know_clients(d, o);
	if (lost || filtered != o->filtered)
		o->pressed = now;
	o->filtered = filtered;
	if (now < o->pressed + QUIET)
		return;
	take_off(o, w);
	log_limited(LOG_NOTICE, 1, "worker %u keeps up again: its clients are no longer held to fair "
			"shares", w->id);
}

static void look_at(struct daemon *d, struct overload_worker *o, struct worker *w)
{
	struct udp_queue q = read_queues(o, w);
	uint64_t lost = count_drops(o, w), taken = units_taken(w);
	struct fair_look look = {.taken = taken - o->taken, .queued = q.used, .room = q.room};
	struct instant now;

	clock_read(&now);
	look.ns = MAX((now.boot - o->looked) * 1000000000 / TICKS_PER_SEC, 1);
	o->looked = now.boot;
	o->taken = taken;
	if (o->on)
		look_on(d, o, w, &look, lost, now.boot);
	else if (lost >= LOST_MIN && o->filter && d->conf.fair_share)
		put_on(d, o, w, &look, now.boot);
}

void overload_role_tick(struct daemon *d)
{
	struct overload *all = &d->overload;
	struct instant now;

	clock_read(&now);
	if (now.boot < all->due)
		return;
	for (unsigned i = 0; i < d->path.worker_count; i++)
		look_at(d, &all->worker[i], d->path.worker[i]);
	all->due = now.boot + (overload_role_count(d) ? LOOK_IF_ON : LOOK);
}

/* ---- in the daemon ---- */

void overload_role_start(struct daemon *d)
{
	struct overload *all = &d->overload;

	all->worker = calloc(d->path.worker_count, sizeof *all->worker);
	if (!all->worker) {
		log_warning("there is no memory for fair shares between clients: a worker that cannot "
			    "keep up will lose packets of all alike");
		return;
	}
	for (unsigned i = 0; !all->why[0] && i < d->path.worker_count; i++) {
		all->worker[i].filter = fair_bpf_open(all->why, sizeof all->why);
		all->worker[i].looked = d->started.boot;
	}
	all->due = 0;
	overload_role_apply(d);
}

void overload_role_apply(struct daemon *d)
{
	struct overload *all = &d->overload;

	if (!all->worker)
		return;
	if (d->conf.fair_share && all->why[0] && !all->told)
		log_warning("FairShare: %s; a worker that cannot keep up will lose packets of all alike",
				all->why);
	all->told |= d->conf.fair_share;
	for (unsigned i = 0; !d->conf.fair_share && i < d->path.worker_count; i++)
		if (all->worker[i].on)
			take_off(&all->worker[i], d->path.worker[i]);
}

unsigned overload_role_count(const struct daemon *d)
{
	unsigned count = 0;

	for (unsigned i = 0; d->overload.worker && i < d->path.worker_count; i++)
		count += d->overload.worker[i].on;
	return count;
}

void overload_role_free(struct daemon *d)
{
	for (unsigned i = 0; d->overload.worker && i < d->path.worker_count; i++)
		fair_bpf_close(d->overload.worker[i].filter);
	free(d->overload.worker);
}
