/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Clocks of the cluster.  Each heartbeat brings back when the last one of ours
 * was sent and got, which makes a measurement of offset and round trip; of the
 * last eight the one with the shortest round trip is believed (RFC 5905, 10).
 *
 * A server judges only itself: its own clock against the median of all, itself
 * among them.
 */
#include "cluster/peers_internal.h"

#include <stdlib.h>

#include "base/log.h"

#define RTT_MOST      TICKS_S(5)     /* longer: a clock was set meanwhile */
#define ALARM         TICKS_MS(250)
#define WITHDRAW      TICKS_S(1)
#define COME_BACK     TICKS_MS(500)
#define REFUSAL_LASTS TICKS_S(3)
#define QUORUM        3

void clock_measure(struct peer *r, const struct instant *now, const struct heartbeat *h)
{
	/* The times of another server may be anything: differences are taken modulo 2^64. */
	int64_t round = (int64_t)(now->cluster - h->echo - (h->sent - h->echo_got));
	int64_t there = (int64_t)(h->echo_got - h->echo);
	int64_t back = (int64_t)(h->sent - now->cluster);

	if (round < 0 || round > (int64_t)RTT_MOST)
		return;
	r->sample[r->samples++ % CLOCK_SAMPLES] =
			(struct clock_sample){(ticks)round, there / 2 + back / 2};
	r->clock_far = false;
}

void clock_refused(struct peer *r, const struct instant *now, ticks peer_time)
{
	r->clock_far = true;
	r->far_offset = (int64_t)(peer_time - now->cluster);
	r->far_at = now->boot;
}

void clock_forget(struct peer *r)
{
	r->samples = 0;
	r->clock_far = false;
}

bool peer_clock(const struct peer *r, struct clock_sample *best)
{
	unsigned count = MIN(r->samples, (unsigned)CLOCK_SAMPLES);

	for (unsigned i = 0; i < count; i++)
		if (i == 0 || r->sample[i].rtt < best->rtt)
			*best = r->sample[i];
	return count > 0;
}

bool peers_withdraw(const struct peers *p)
{
	return atomic_load_explicit(&p->withdraw, memory_order_relaxed);
}

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* All offsets that are known, ours (0) among them; their number. */
static unsigned offsets(const struct peers *p, const struct instant *now,
		int64_t list[SERVERS_MAX + 1])
{
	struct clock_sample sample;
	unsigned n = 0;

	list[n++] = 0;
	for (unsigned i = 0; i < p->count; i++) {
		const struct peer *r = p->peer[i];

		if (r->alive && peer_clock(r, &sample))
			list[n++] = sample.offset;
		else if (r->clock_far && now->boot < r->far_at + REFUSAL_LASTS)
			list[n++] = r->far_offset;
	}
	return n;
}

static uint64_t size_of(int64_t offset)
{
	return offset < 0 ? -(uint64_t)offset : (uint64_t)offset;
}

/* Of an even number the middle one nearer to us: more than half must disagree before we are wrong. */
static int64_t median(int64_t *list, unsigned n)
{
	int64_t low, high;

	qsort(list, n, sizeof list[0], compare);
	low = list[(n - 1) / 2];
	high = list[n / 2];
	return size_of(low) < size_of(high) ? low : high;
}

static void set_withdraw(struct peers *p, bool withdraw)
{
	if (withdraw == peers_withdraw(p))
		return;
	atomic_store_explicit(&p->withdraw, withdraw, memory_order_relaxed);
	if (withdraw)
		log_error("this server's clock is %.3f s off the median of %u servers: it should not "
				"be announced until its clock is right (NTP)",
				-(double)p->clock_off / TICKS_PER_SEC, p->clocks);
	else
		log_notice("this server's clock agrees with the other servers again");
}

void clock_judge(struct peers *p, const struct instant *now)
{
	int64_t list[SERVERS_MAX + 1];
	ticks off;

	p->clocks = offsets(p, now, list);
	p->clock_off = median(list, p->clocks);
	off = size_of(p->clock_off);
	if (off > ALARM)
		log_limited(LOG_WARNING, 1, "this server's clock is %.3f s off the median of %u "
				"servers; is NTP running everywhere?",
				-(double)p->clock_off / TICKS_PER_SEC, p->clocks);
	if (p->clocks >= QUORUM && off > WITHDRAW)
		set_withdraw(p, true);
	else if (off < COME_BACK)
		set_withdraw(p, false);
}
