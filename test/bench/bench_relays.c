/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Relays in one process: how many a second are made, found by port, latched,
 * refreshed and merged, and what one costs in memory.  Without network and registry.
 *
 *	bench_relays [NUMBER]     100,000 by default; four port ranges hold 129,000
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "mode/relays.h"
#include "proto/wire.h"

#define FIRST 1024
#define LAST  65535

static unsigned told;

static void changed(void *arg, const struct relay *was, const struct relay *now)
{
	(void)arg;
	told += was || now;
}

static void publish(void *arg, const struct relay *r)
{
	(void)arg;
	told += r->settled;
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static size_t heap(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

static void said(const char *what, unsigned long number, double since)
{
	double took = seconds() - since;

	printf("%-28s %10.0f a second  (%.2f µs each)\n", what, (double)number / took,
			took * 1e6 / (double)number);
}

/* All four of family and protocol in turn, both sides of one family. */
static struct relay_request request(unsigned long i)
{
	struct relay_request q = {.protocol = i % 2 ? RELAY_TCP : RELAY_UDP, .span = 1, .lifetime = 3600};

	random_bytes(q.id, sizeof q.id);
	for (unsigned side = 0; side < 2; side++)
		q.side[side] = (struct relay_side){.kind = RELAY_LEARNT, .v4 = i / 2 % 2};
	return q;
}

static void make_all(struct relays *t, const struct instant *now, struct relay *all, unsigned long number)
{
	for (unsigned long i = 0; i < number; i++) {
		struct relay_request q = request(i);
		enum relay_status s = relays_add(t, now, (uint32_t)(1 + i / 64), &q, &all[i]);

		if (s != RELAY_STATUS_OK) {
			fprintf(stderr, "relay %lu: %s\n", i + 1, relay_status_text(s));
			exit(1);
		}
	}
}

static void find_all(struct relays *t, const struct instant *now, const struct relay *all,
		unsigned long number)
{
	unsigned side, offset;

	for (unsigned long i = 0; i < number; i++)
		for (unsigned k = 0; k < 2; k++)
			if (!relays_at(t, now, all[i].side[k].v4, all[i].protocol, all[i].side[k].port,
					&side, &offset) || side != k)
				abort();
}

static void latch_all(struct relays *t, const struct instant *now, const struct relay *all,
		unsigned long number)
{
	for (unsigned long i = 0; i < number; i++) {
		struct relay_leg leg = {.at = {.ip = {0x2a, 1, 2, 3}, .port = 9}};

		if (all[i].side[0].v4)
			addr_from_v4(leg.at.ip, (const uint8_t[]){8, 8, 8, 8});
		if (!relays_latch(t, now, all[i].id, 0, 0, &leg, false))
			abort();
	}
}

static void refresh_all(struct relays *t, const struct instant *now, struct relay *all,
		unsigned long number)
{
	for (unsigned long i = 0; i < number; i++)
		if (relays_refresh(t, now, 0, all[i].id, 1800, &all[i]) != RELAY_STATUS_OK)
			abort();
}

static void learn_all(struct relays *t, const struct instant *now, const struct relay *all,
		unsigned long number)
{
	for (unsigned long i = 0; i < number; i++)
		relays_learn(t, now, &all[i]);
}

int main(int argc, char **argv)
{
	unsigned long number = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000;
	struct relays_options o = {
		.server = 1, .key = {1}, .has_v4 = true, .has_v6 = true, .port_first = FIRST,
		.port_last = LAST, .per_client = 64, .changed = changed, .publish = publish, .alone = true,
	};
	struct instant now = {TICKS_S((ticks)1770000000), TICKS_S(1000)};
	struct relay *all = calloc(number, sizeof *all);
	struct relays *t, *other;
	size_t before;
	double since;

	crypto_init(CRYPTO_AUTO);
	t = relays_new(&o);
	o.server = 2;
	other = relays_new(&o);
	if (!all || !t || !other)
		return 1;
	before = heap();
	since = seconds();
	make_all(t, &now, all, number);
	said("made", number, since);
	printf("%-28s %10.0f bytes each, and 1 MB for all ports\n", "memory",
			(double)(heap() - before) / (double)number);
	since = seconds();
	find_all(t, &now, all, number);
	said("found by port", 2 * number, since);
	since = seconds();
	latch_all(t, &now, all, number);
	said("latched", number, since);
	now.cluster += TICKS_S(5);
	since = seconds();
	refresh_all(t, &now, all, number);
	said("refreshed", number, since);
	since = seconds();
	learn_all(other, &now, all, number);
	said("learnt by another server", number, since);
	since = seconds();
	learn_all(other, &now, all, number);
	said("heard once more", number, since);
	now.cluster += TICKS_S(1800);
	since = seconds();
	while (relays_tick(t, &now) <= now.boot)
		;
	said("expired", number, since);
	now.cluster += TICKS_S(RELAY_TOMBSTONE_S);
	since = seconds();
	while (relays_tick(t, &now) <= now.boot)
		;
	said("forgotten", number, since);
	relays_free(other);
	relays_free(t);
	free(all);
	return told == 0;
}
