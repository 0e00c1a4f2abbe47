/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Relays in one process: how many a second are made, found by port, latched,
 * refreshed, listed and merged, what one costs in memory, how many there can be, and
 * how long others wait for the table while a server without NATS writes its file anew.
 *
 *	bench_relays [NUMBER]     100,000 by default
 */
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "cluster/relays_file.h"
#include "mode/relays.h"
#include "proto/wire.h"

#define FIRST 1024
#define LAST  65535

static const struct relay_keys keys = {.count = 1, .key = {{1}}};
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

static void list_all(struct relays *t, const struct instant *now, unsigned long number)
{
	struct relay_listed page[RELAY_PAGE];
	uint8_t after[RELAY_ID_SIZE] = {0};
	size_t count, sum = 0;

	while ((count = relays_list(t, now, 0, after, page, RELAY_PAGE))) {
		memcpy(after, page[count - 1].relay.id, sizeof after);
		sum += count;
	}
	if (sum != number)
		abort();
}

/* ---- who waits while the file is written anew ---- */

struct waiter {
	struct relays *t;
	atomic_bool stop;
	double longest;
	unsigned long turns;
};

static void *wait_for_turns(void *arg)
{
	struct waiter *w = arg;

	while (!w->stop) {
		double since = seconds();

		relays_lock(w->t);
		relays_unlock(w->t);
		w->longest = MAX(w->longest, seconds() - since);
		w->turns++;
		usleep(50);
	}
	return NULL;
}

static void write_anew(struct relays *t, struct instant now, const struct relay *all, unsigned long number)
{
	char path[] = "bench-relays-XXXXXX", error[512];
	struct waiter w = {.t = t};
	struct relays_file file;
	pthread_t thread;
	double since, longest = 0, sum = 0;
	int fd = mkstemp(path);

	if (fd < 0 || relays_file_open(&file, path, t, &now, error, sizeof error))
		abort();
	close(fd);
	since = seconds();
	for (unsigned long i = 0; i < number; i++)
		if (relays_file_put(&file, &all[i]))
			abort();
	said("written to the file", number, since);
	file.compact_at = 0;
	if (pthread_create(&thread, NULL, wait_for_turns, &w))
		abort();
	do {
		double took = seconds();

		now.boot += TICKS_S(1);
		relays_file_sync(&file, t, &now);
		took = seconds() - took;
		longest = MAX(longest, took);
		sum += took;
	} while (file.anew.under_way);
	w.stop = true;
	pthread_join(thread, NULL);
	printf("%-28s %10.3f s in all, %.1f ms at a time at most, with the disk's\n", "file written anew",
			sum, longest * 1e3);
	printf("%-28s %10.3f ms at most, of %lu turns\n", "waited for the table meanwhile",
			w.longest * 1e3, w.turns);
	relays_file_close(&file);
	unlink(path);
}

/* ---- how many there can be ---- */

/* Until one is refused, which must be for want of ports. */
static void make_until_refused(struct relays *t, const struct instant *now, unsigned long number)
{
	unsigned long refused = 0;
	double since = seconds();
	struct relay r;

	/* each of the four spaces of ports is filled, whichever is first */
	for (unsigned long i = number; refused < 4; i++) {
		struct relay_request q = request(i);
		enum relay_status s = relays_add(t, now, (uint32_t)(1 + i / 64), &q, &r);

		number += s == RELAY_STATUS_OK;
		refused = s == RELAY_STATUS_NO_PORTS ? refused + 1 : 0;
		if (s != RELAY_STATUS_OK && s != RELAY_STATUS_NO_PORTS) {
			fprintf(stderr, "relay %lu: %s\n", i + 1, relay_status_text(s));
			exit(1);
		}
	}
	printf("%-28s %10lu relays of ports %d to %d, the last of them in %.1f s; then: %s\n", "room for",
			number, FIRST, LAST, seconds() - since, relay_status_text(RELAY_STATUS_NO_PORTS));
}

int main(int argc, char **argv)
{
	unsigned long number = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000;
	struct relays_options o = {
		.server = 1, .keys = &keys, .has_v4 = true, .has_v6 = true, .port_first = FIRST,
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
	since = seconds();
	list_all(t, &now, number);
	said("listed", number, since);
	write_anew(t, now, all, number);
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
	make_until_refused(t, &now, 0);
	relays_free(other);
	relays_free(t);
	free(all);
	return told == 0;
}
