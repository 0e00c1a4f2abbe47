/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* What other servers say, what the registry shows, and what packets tell: latches. */
#include "mode/relays_internal.h"

#define CLOCKS_APART 3600 /* s: far more than servers whose clocks are right */
#define MOVE_SPACING TICKS_S(1) /* between two latches of one place */

/* ---- other servers ---- */

/* So old that who knew it has forgotten it. */
static bool forgotten(const struct relay *r, uint64_t second)
{
	if (r->removed)
		return r->expires <= second;
	if (!r->settled)
		return r->created + RELAY_PENDING_S <= second;
	return r->expires && r->expires + RELAY_TOMBSTONE_S <= second;
}

/*
 * Times that no server can have written by now would stay for ever and win each conflict.  So
 * who has stolen a server's keys makes at most what ends by itself, or what the operator can remove.
 */
static bool implausible(const struct relay *r, uint64_t second)
{
	uint64_t latest = second + CLOCKS_APART;

	return r->created > latest || r->expires > latest + RELAY_LIFETIME_MAX + RELAY_TOMBSTONE_S;
}

static uint32_t learn(struct relays *t, uint64_t second, const struct relay *r)
{
	uint32_t e = entry_find(t, r->id);
	struct relay merged;

	if (implausible(r, second)) {
		t->count.implausible++;
		return e;
	}
	if (!e) {
		if (forgotten(r, second))
			return NONE;
		e = entry_add(t, second, r);
		t->count.refused += !e;
	} else {
		merged = entry_at(t, e)->r;
		if (relay_merge(&merged, r))
			entry_set(t, second, e, &merged);
	}
	e = entry_find(t, r->id);
	if (e)
		entry_at(t, e)->met = t->reading;
	return e;
}

static enum relay_news news(const struct relays *t, uint32_t e, const struct relay *r)
{
	return e && !relay_equal(&entry_at(t, e)->r, r) ? RELAY_NEWS_MORE : RELAY_NEWS_SAME;
}

enum relay_news relays_learn(struct relays *t, const struct instant *now, const struct relay *r)
{
	return news(t, learn(t, time_seconds(now->cluster), r), r);
}

/*
 * A claim has been shown.  Whether it is the first one on its ports follows from what was
 * shown before alone, at all servers the same; that another server has meanwhile drawn
 * other ports for this relay, of which some have heard and others not, changes nothing.
 */
static void decide(struct relays *t, uint64_t second, uint32_t e, const struct relay *claim)
{
	struct entry *x = entry_at(t, e);
	struct relay r = x->r, settled = *claim;

	if (!ports_holder(t, claim, e, RIGHT_DEAD)) {
		settled.settled = true;
		relay_merge(&r, &settled);
		entry_set(t, second, e, &r);
		/*
		 * Its maker says so for good: a server that begins later does not see who came first.
		 * If the maker is dead, it is whoever tells the controller.
		 */
		if (r.server == t->o.server)
			entry_say(t, x);
	} else if (x->r.version == claim->version && r.server == t->o.server && ports_draw(t, &r)) {
		relay_raise(&r);
		t->count.redrawn++;
		entry_set(t, second, e, &r);
		entry_publish(t, x);
	}
}

enum relay_news relays_shown(struct relays *t, const struct instant *now, const struct relay *r)
{
	uint64_t second = time_seconds(now->cluster);
	uint32_t e = learn(t, second, r);
	struct entry *x = e ? entry_at(t, e) : NULL;

	if (!x)
		return RELAY_NEWS_SAME;
	x->shown = second;
	x->said |= r->settled;
	if (!x->r.settled && !x->dead && relay_same_request(&x->r, r))
		decide(t, second, e, r);
	return news(t, e, r);
}

void relays_reading(struct relays *t)
{
	t->reading++;
}

/* ---- latches ---- */

static bool same_place(const struct relay_leg *a, const struct relay_leg *b)
{
	return endpoint_equal(&a->at, &b->at) && a->isn == b->isn && a->ours == b->ours &&
		a->skip == b->skip;
}

/* May this leg take the place of the one that was latched before? */
static bool may_move(const struct entry *x, const struct instant *now, unsigned side,
		unsigned offset, bool again)
{
	const struct relay_side *s = &x->r.side[side];
	ticks moved = x->moved[side][offset];

	return again && (s->kind == RELAY_TOKEN || s->kind == RELAY_GIVEN) &&
		s->leg[offset].generation < UINT8_MAX && (!moved || now->boot >= moved + MOVE_SPACING);
}

/* 0: there is none left. */
static uint8_t next_generation(const struct relay_side *s, unsigned offset, bool learnt)
{
	unsigned next = s->leg[offset].generation + 1u;

	if (s->kind == RELAY_HINTED && next % 2 == learnt)
		next++;
	return next > UINT8_MAX ? 0 : (uint8_t)next;
}

enum relay_status relays_hint(struct relays *t, const struct instant *now, uint32_t owner,
		const uint8_t id[RELAY_ID_SIZE], unsigned side, const struct endpoint *at, struct relay *r)
{
	enum relay_status status = relays_get(t, now, owner, id, r);
	uint32_t e = entry_find(t, id);
	struct relay_side *s = &r->side[side];
	bool changed = false;

	if (status != RELAY_STATUS_OK && status != RELAY_STATUS_UNREACHABLE)
		return status;
	if (s->kind != RELAY_HINTED || !at->port || at->port + r->span - 1 > UINT16_MAX ||
			addr_is_v4(at->ip) != s->v4 || relays_denied(t, at->ip))
		return RELAY_STATUS_DENIED;
	for (unsigned i = 0; i < r->span; i++) {
		struct relay_leg leg = {.generation = next_generation(s, i, false),
			.server = t->o.server, .at = *at};

		leg.at.port = (uint16_t)(at->port + i);
		if (!leg.generation || (s->leg[i].generation && endpoint_equal(&s->leg[i].at, &leg.at)))
			continue;
		s->leg[i] = leg;
		changed = true;
	}
	if (changed) {
		entry_set(t, time_seconds(now->cluster), e, r);
		entry_publish(t, entry_at(t, e));
	}
	return RELAY_STATUS_OK;
}

bool relays_latch(struct relays *t, const struct instant *now, const uint8_t id[RELAY_ID_SIZE],
		unsigned side, unsigned offset, const struct relay_leg *leg, bool again)
{
	uint32_t e = entry_find(t, id);
	struct entry *x = e ? entry_at(t, e) : NULL;
	struct relay_leg *place;
	struct relay r;
	bool moves;

	if (!x || !entry_active(x) || offset >= x->r.span)
		return false;
	r = x->r;
	place = &r.side[side].leg[offset];
	moves = relay_latched(&r.side[side], offset);
	if (moves && same_place(place, leg))
		return true;
	if (moves ? !may_move(x, now, side, offset, again) :
			r.side[side].kind == RELAY_TOKEN && !again)
		return false;
	*place = *leg;
	place->generation = next_generation(&x->r.side[side], offset, true);
	if (!place->generation)
		return false;
	place->server = t->o.server;
	if (!relay_sound(&r) || relays_denied(t, leg->at.ip))
		return false;
	if (moves)
		x->moved[side][offset] = now->boot;
	x->note = RELAY_STATUS_OK;
	t->count.latches++;
	entry_set(t, time_seconds(now->cluster), e, &r);
	entry_publish(t, x);
	return true;
}
