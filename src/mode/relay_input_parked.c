/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Packets that wait for a record: of relays that this server does not know (yet), or
 * of a side of which it does not know that it has shown its token; and for the other side
 * of one that it knows.  Each class has room of its own, because anybody can fill the first.
 */
#include "mode/relay_input_internal.h"

#include <arpa/inet.h>

#define ASK_AGAIN TICKS_S(1)
#define ASK_MOST  1000 /* a second, whatever strangers send */

static struct relay_key key_of(const struct relay_packet *p)
{
	return (struct relay_key){.v4 = p->v4, .protocol = p->protocol, .port = htons(p->dst.port)};
}

bool relay_park(struct relay_input *in, const struct relay_packet *p, enum relay_drop reason)
{
	struct relay_parked *ring = in->parked + (reason == RELAY_DROP_WAITING ? RELAY_PARKED : 0);
	struct relay_parked *place = NULL;
	struct relay_key key = key_of(p);
	unsigned same = 0;

	if (p->len < p->whole || p->len > sizeof place->data)
		return false;
	for (unsigned i = 0; i < RELAY_PARKED; i++) {
		if (!ring[i].until) {
			if (!place)
				place = &ring[i];
		} else if (memcmp(&ring[i].key, &key, sizeof key) == 0)
			same++;
	}
	if (!place || same >= RELAY_PARK_SHARE)
		return false;
	place->until = in->now.boot + RELAY_PARK_TIME;
	place->reason = reason;
	place->key = key;
	place->len = (uint16_t)p->len;
	memcpy(place->data, p->ip, p->len);
	in->parked_count++;
	return true;
}

static void release(struct relay_input *in, struct relay_parked *place)
{
	place->until = 0;
	in->parked_count--;
}

static void try_again(struct relay_input *in, struct relay_parked *place)
{
	struct relay_packet p;
	unsigned result;

	if (!relay_packet_read(&p, place->data, place->len, place->len))
		return release(in, place); /* it could be read when it came */
	result = relay_input_take(in, &p);
	if (relay_may_wait(in, &p, result)) {
		place->reason = (uint8_t)result;
		return;
	}
	if (result != RELAY_TAKEN)
		in->drops[result]++;
	release(in, place);
}

/* Deadlines are in the order of arrival; places need not be. */
static struct relay_parked *next_after(struct relay_input *in, ticks after, unsigned from)
{
	struct relay_parked *best = NULL, *all = in->parked;

	for (unsigned i = 0; i < 2 * RELAY_PARKED; i++) {
		if (!all[i].until || all[i].until < after || (all[i].until == after && i < from))
			continue;
		if (!best || all[i].until < best->until)
			best = &all[i];
	}
	return best;
}

void relay_park_retry(struct relay_input *in)
{
	struct relay_parked *place = next_after(in, 0, 0);

	while (place) {
		ticks until = place->until;
		unsigned from = (unsigned)(place - in->parked) + 1;

		try_again(in, place);
		place = next_after(in, until, from);
	}
}

ticks relay_park_tick(struct relay_input *in)
{
	ticks next = UINT64_MAX;

	for (unsigned i = 0; in->parked_count && i < 2 * RELAY_PARKED; i++) {
		struct relay_parked *place = &in->parked[i];

		if (!place->until)
			continue;
		if (in->now.boot >= place->until) {
			in->drops[place->reason]++;
			release(in, place);
		} else
			next = MIN(next, place->until);
	}
	return next;
}

void relay_ask(struct relay_input *in, const struct relay_packet *p)
{
	uint32_t port_key = (uint32_t)p->v4 << 24 | (uint32_t)p->protocol << 16 | p->dst.port;
	struct relay_asked *asked = &in->asked[(port_key * 0x9e3779b1u) >> 20 & (RELAY_ASKED - 1)];

	if (asked->port_key == port_key && in->now.boot < asked->until)
		return;
	if (!relay_bucket_pass(&in->asks, &in->now, ASK_MOST))
		return;
	*asked = (struct relay_asked){port_key, in->now.boot + ASK_AGAIN};
	in->o.out->ask(in->o.out, p->v4, p->protocol, p->dst.port);
}
