/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Ports of the anycast addresses: an array for each family and protocol says who
 * holds which.  An entry holds all of its ports or none.
 */
#include "mode/relays_internal.h"

#define DRAWS      64

static uint32_t *place(const struct relays *t, const struct relay *r, unsigned side, unsigned offset)
{
	const struct relay_side *s = &r->side[side];

	return &t->port[s->v4][r->protocol == RELAY_TCP][s->port + offset];
}

/* ---- holding ---- */

static void set_port(struct relays *t, const struct relay *r, unsigned side, unsigned offset,
		uint32_t e)
{
	unsigned port = r->side[side].port + offset;

	*place(t, r, side, offset) = e;
	if (port >= t->o.port_first && port <= t->o.port_last)
		t->held[r->side[side].v4][r->protocol == RELAY_TCP] += e ? 1u : (size_t)-1;
}

static void set_ports(struct relays *t, const struct relay *r, uint32_t e)
{
	for (unsigned side = 0; side < 2; side++)
		for (unsigned offset = 0; offset < r->span; offset++)
			set_port(t, r, side, offset, e);
}

void ports_release(struct relays *t, uint32_t e)
{
	struct entry *x = entry_at(t, e);

	if (x->holds)
		set_ports(t, &x->r, NONE);
	x->holds = false;
}

const struct relay *relays_at(struct relays *t, const struct instant *now, bool v4,
		uint8_t protocol, uint16_t port, unsigned *side, unsigned *offset)
{
	uint32_t e = t->port[v4][protocol == RELAY_TCP][port];
	const struct entry *x = e ? entry_at(t, e) : NULL;

	if (!x || !entry_active(x) || relay_expired(&x->r, time_seconds(now->cluster)))
		return NULL;
	*side = x->r.side[0].v4 == v4 && port >= x->r.side[0].port &&
		port < x->r.side[0].port + x->r.span ? 0 : 1;
	*offset = port - x->r.side[*side].port;
	return &x->r;
}

/* ---- rights ---- */

unsigned entry_right(const struct entry *x)
{
	return x->dead ? RIGHT_DEAD : x->r.settled ? RIGHT_SETTLED : RIGHT_CLAIM;
}

/*
 * Of two that are settled the one made later: where a registry was set back to what
 * it was, the later one is who has the ports in truth.  All servers see the same.
 */
static bool later(const struct relay *a, const struct relay *b)
{
	if (a->created != b->created)
		return a->created > b->created;
	return memcmp(a->id, b->id, RELAY_ID_SIZE) < 0;
}

/* Does a take the ports from b, who holds them?  A claim and a quarantine stay with the first. */
static bool beats(const struct entry *a, const struct entry *b)
{
	unsigned right_a = entry_right(a), right_b = entry_right(b);

	if (right_a != right_b)
		return right_a > right_b;
	return right_a == RIGHT_SETTLED && later(&a->r, &b->r);
}

/* The entries other than e that hold one of these ports. */
static unsigned holders(const struct relays *t, const struct relay *r, uint32_t e,
		uint32_t found[EVICTED_MAX])
{
	unsigned count = 0;

	for (unsigned i = 0; i < 2u * r->span; i++) {
		uint32_t holder = *place(t, r, i % 2, i / 2);
		bool known = holder == NONE || holder == e;

		for (unsigned k = 0; k < count; k++)
			known |= found[k] == holder;
		if (!known)
			found[count++] = holder;
	}
	return count;
}

uint32_t ports_holder(const struct relays *t, const struct relay *r, uint32_t e, unsigned right)
{
	uint32_t found[EVICTED_MAX];
	unsigned count = holders(t, r, e, found);

	for (unsigned i = 0; i < count; i++)
		if (entry_right(entry_at(t, found[i])) >= right)
			return found[i];
	return NONE;
}

unsigned ports_take(struct relays *t, uint32_t e, uint32_t evicted[EVICTED_MAX], uint32_t *winner)
{
	struct entry *x = entry_at(t, e);
	unsigned count = holders(t, &x->r, e, evicted);

	for (unsigned i = 0; i < count; i++) {
		if (!beats(x, entry_at(t, evicted[i]))) {
			*winner = evicted[i];
			return 0;
		}
	}
	for (unsigned i = 0; i < count; i++) {
		struct entry *y = entry_at(t, evicted[i]);
		bool active = entry_active(y);

		ports_release(t, evicted[i]);
		if (active) /* before the winner's entries are made */
			t->o.changed(t->o.arg, &y->r, NULL);
	}
	set_ports(t, &x->r, e);
	x->holds = true;
	return count;
}

/* ---- drawing ---- */

/* A row of numbers for each side of an id, the same at every server, that nobody else can foretell. */
static uint32_t draw(const struct relays *t, const struct relay *r, unsigned side, unsigned turn)
{
	const uint8_t which[2] = {(uint8_t)side, (uint8_t)turn};
	const struct part parts[] = {PART("port", 4), PART(r->id, RELAY_ID_SIZE), PART(which, 2)};
	uint8_t hash[HASH_SIZE];

	hmac_parts(relay_keys_own(t->o.keys), KEY_SIZE, parts, ARRAY_SIZE(parts), hash);
	return load_be32(hash);
}

static bool usable(const struct relays *t, struct relay *r, unsigned side, unsigned port)
{
	const struct relay_side *other = &r->side[!side];

	if (port < t->o.port_first || port + r->span - 1 > t->o.port_last || (r->even && port % 2))
		return false;
	if (side == 1 && other->v4 == r->side[1].v4 && port < other->port + r->span &&
			other->port < port + r->span)
		return false;
	r->side[side].port = (uint16_t)port;
	for (unsigned offset = 0; offset < r->span; offset++)
		if (*place(t, r, side, offset) != NONE)
			return false;
	return true;
}

static bool draw_side(const struct relays *t, struct relay *r, unsigned side)
{
	unsigned range = t->o.port_last - t->o.port_first + 1u, port = t->o.port_first;

	if (t->held[r->side[side].v4][r->protocol == RELAY_TCP] >= range)
		return false;
	for (unsigned turn = 0; turn < DRAWS; turn++) {
		port = t->o.port_first + draw(t, r, side, turn) % range;
		port += r->even && port % 2;
		if (usable(t, r, side, port))
			return true;
	}
	/* The range is nearly full: the next one that is free. */
	for (unsigned i = 0; i < range; i++)
		if (usable(t, r, side, t->o.port_first + (port - t->o.port_first + i) % range))
			return true;
	return false;
}

bool ports_draw(const struct relays *t, struct relay *r)
{
	return draw_side(t, r, 0) && draw_side(t, r, 1);
}
