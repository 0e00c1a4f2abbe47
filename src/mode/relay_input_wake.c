/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * What servers say when a splice is made, and again until it has been heard:
 * SYN-ACKs to held callers, window updates to deferred ones, SYNs to listeners.
 * Only the server that learnt a leg does it.  If it dies, the callers' own
 * repetitions bring others to do the same, so a timer that is lost, or found no
 * room, costs time alone.
 */
#include "mode/relay_input_internal.h"

#include <arpa/inet.h>

#define WINDOW_FIRST TICKS_MS(200)
#define WINDOW_TRIES 6
#define SYN_FIRST    TICKS_S(1) /* RFC 6298 section 2 */
#define SYN_TRIES    3

static struct relay_key key_of(const struct relay *r, unsigned side)
{
	return (struct relay_key){.v4 = r->side[side].v4, .protocol = r->protocol,
		.port = htons(r->side[side].port)};
}

static uint64_t passed(struct relay_input *in, const struct relay_key *k)
{
	struct relay_output *out = in->o.out;

	return out->passed ? out->passed(out, k->v4, k->protocol, ntohs(k->port)) : 0;
}

static struct relay_wake *find(struct relay_input *in, const struct relay *r, unsigned side)
{
	for (unsigned i = 0; in->wake_count && i < RELAY_WAKES; i++) {
		struct relay_wake *w = &in->wakes[i];

		if (w->next && w->side == side && memcmp(w->id, r->id, sizeof w->id) == 0)
			return w;
	}
	return NULL;
}

static void release(struct relay_input *in, struct relay_wake *w)
{
	w->next = 0;
	in->wake_count--;
}

static ticks first_pause(const struct relay_side *side)
{
	return side->leg[0].skip ? WINDOW_FIRST : SYN_FIRST;
}

static void begin(struct relay_input *in, const struct relay *r, unsigned side)
{
	struct relay_wake *w = find(in, r, side);

	for (unsigned i = 0; !w && i < RELAY_WAKES; i++)
		if (!in->wakes[i].next)
			w = &in->wakes[i];
	if (!w)
		return;
	if (!w->next)
		in->wake_count++;
	*w = (struct relay_wake){.next = in->now.boot + first_pause(&r->side[side]),
		.side = (uint8_t)side, .key = key_of(r, side)};
	memcpy(w->id, r->id, sizeof w->id);
	w->passed = passed(in, &w->key);
}

void relay_wake_end(struct relay_input *in, const struct relay *r, unsigned side)
{
	struct relay_wake *w = find(in, r, side);

	if (w)
		release(in, w);
}

void relay_wake_listener(struct relay_input *in, const struct relay *r, unsigned side)
{
	if (find(in, r, side))
		return;
	relay_answer_call(in, r, side);
	begin(in, r, side);
}

/* ---- a record has changed ---- */

static bool leg_changed(const struct relay_leg *a, const struct relay_leg *b)
{
	return a->generation != b->generation || a->isn != b->isn || a->ours != b->ours ||
			!endpoint_equal(&a->at, &b->at);
}

/* A token caller waits for this listener, which has not answered this call. */
static bool to_be_called(const struct relay *r, unsigned side)
{
	return relay_listens(&r->side[side]) && relay_latched(&r->side[!side], 0) &&
			r->side[!side].leg[0].skip && !relay_ready(r, side, 0);
}

static void speak(struct relay_input *in, const struct relay *r, unsigned side)
{
	if (to_be_called(r, side)) {
		relay_answer_call(in, r, side);
		begin(in, r, side);
	} else if (relay_ready(r, side, 0)) {
		relay_answer_open(in, r, side);
		if (!relay_listens(&r->side[side])) /* it repeats its SYN-ACK until it hears us */
			begin(in, r, side);
	}
}

/* Is it for this server to speak to the side?  Who made the latch speaks to both. */
static bool is_ours(const struct relay_input *in, const struct relay *r, unsigned side)
{
	unsigned knows = relay_latched(&r->side[side], 0) && !to_be_called(r, side) ? side : !side;

	return in->latching || r->side[knows].leg[0].server == in->o.server;
}

void relay_wake_changed(struct relay_input *in, const struct relay *was, const struct relay *r)
{
	bool spliced = r->side[0].leg[0].skip || r->side[1].leg[0].skip ||
			(!relay_listens(&r->side[0]) && !relay_listens(&r->side[1]));

	if (r->protocol != RELAY_TCP || !spliced || !was ||
			(!leg_changed(&was->side[0].leg[0], &r->side[0].leg[0]) &&
			!leg_changed(&was->side[1].leg[0], &r->side[1].leg[0])))
		return;
	/* Whoever is still in its handshake first: it could not take what the other sends. */
	for (unsigned deferred = 0; deferred < 2; deferred++)
		for (unsigned side = 0; side < 2; side++)
			if ((r->side[side].leg[0].skip != 0) == deferred && is_ours(in, r, side))
				speak(in, r, side);
}

/* ---- time ---- */

static void repeat(struct relay_input *in, struct relay_wake *w)
{
	unsigned side, offset;
	const struct relay *r = relays_at(in->o.relays, &in->now, w->key.v4, w->key.protocol,
			ntohs(w->key.port), &side, &offset);
	ticks pause;

	if (!r || memcmp(r->id, w->id, sizeof w->id) != 0 || side != w->side ||
			passed(in, &w->key) != w->passed)
		return release(in, w);
	if (to_be_called(r, side))
		relay_answer_call(in, r, side);
	else if (relay_ready(r, side, 0) && !relay_listens(&r->side[side]))
		relay_answer_open(in, r, side);
	else
		return release(in, w);
	pause = first_pause(&r->side[side]);
	w->tries++;
	if (w->tries >= (pause == WINDOW_FIRST ? WINDOW_TRIES : SYN_TRIES))
		return release(in, w);
	w->next = in->now.boot + (pause << w->tries);
}

ticks relay_wake_tick(struct relay_input *in)
{
	ticks next = UINT64_MAX;

	for (unsigned i = 0; in->wake_count && i < RELAY_WAKES; i++) {
		struct relay_wake *w = &in->wakes[i];

		if (w->next && w->next <= in->now.boot)
			repeat(in, w);
		if (w->next)
			next = MIN(next, w->next);
	}
	return next;
}
