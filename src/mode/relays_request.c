/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* What a controller asks for.  Each may be asked again, anywhere, with the same outcome. */
#include "mode/relays_internal.h"

#define ASKED_AGAIN TICKS_S(3)  /* a claim is published again for its controller at most so often */

/* ---- add ---- */

static uint64_t end_of(uint64_t second, uint16_t lifetime)
{
	return lifetime ? second + MIN(lifetime, RELAY_LIFETIME_MAX) : 0;
}

static struct relay relay_of_request(const struct relays *t, uint64_t second, uint32_t owner,
		const struct relay_request *q)
{
	struct relay r = {
		.version = 1, .server = t->o.server, .protocol = q->protocol, .span = q->span,
		.even = q->even, .owner = owner, .created = second,
		.expires = end_of(second, q->lifetime), .settled = t->o.alone,
	};

	memcpy(r.id, q->id, RELAY_ID_SIZE);
	for (unsigned i = 0; i < 2; i++) {
		const struct relay_side *s = &q->side[i];

		r.side[i] = (struct relay_side){.kind = s->kind, .v4 = s->v4};
		if (s->kind == RELAY_GIVEN || s->kind == RELAY_HOST)
			memcpy(r.side[i].given.ip, s->given.ip, 16);
		if (s->kind == RELAY_GIVEN)
			r.side[i].given.port = s->given.port;
	}
	return r;
}

static enum relay_status check_request(const struct relays *t, uint32_t owner,
		const struct relay *r)
{
	const struct owner *o = owner_find(t, owner);

	for (unsigned i = 0; i < 2; i++) {
		const struct relay_side *s = &r->side[i];

		if (s->v4 ? !t->o.has_v4 : !t->o.has_v6)
			return RELAY_STATUS_FAMILY;
		if ((s->kind == RELAY_GIVEN || s->kind == RELAY_HOST) && relays_denied(t, s->given.ip))
			return RELAY_STATUS_DENIED;
	}
	if (owner && (!t->o.per_client || (o && (o->live >= t->o.per_client ||
			o->live + o->dead >= (uint64_t)t->o.per_client * DEAD_PER_LIVE))))
		return RELAY_STATUS_LIMIT;
	return RELAY_STATUS_OK;
}

static enum relay_status make(struct relays *t, uint64_t second, struct relay *r)
{
	enum relay_status status = check_request(t, r->owner, r);
	uint32_t e;

	if (status != RELAY_STATUS_OK)
		return status;
	if (!ports_draw(t, r))
		return RELAY_STATUS_NO_PORTS;
	if (!relay_sound(r))
		return RELAY_STATUS_MALFORMED;
	e = entry_add(t, second, r);
	if (!e)
		return RELAY_STATUS_LIMIT;
	t->count.made++;
	entry_at(t, e)->said = r->settled;
	entry_publish(t, entry_at(t, e));
	return t->o.alone ? RELAY_STATUS_OK : RELAY_STATUS_PENDING;
}

/*
 * Its controller still waits: so it lives on, with ports if others took those of its maker,
 * who may be dead, and is published from here as well.
 */
static enum relay_status ask_again(struct relays *t, const struct instant *now, uint32_t e)
{
	uint64_t second = time_seconds(now->cluster);
	struct entry *x = entry_at(t, e);
	struct relay r = x->r;

	if (x->asked && now->boot < x->asked + ASKED_AGAIN)
		return RELAY_STATUS_PENDING;
	x->asked = now->boot;
	if (!x->holds) {
		if (!ports_draw(t, &r))
			return RELAY_STATUS_NO_PORTS;
		relay_raise(&r);
		r.server = t->o.server;
		t->count.redrawn++;
	}
	if (!x->holds || r.created + RELAY_PENDING_S / 2 < second) {
		r.created = second;
		entry_set(t, second, e, &r);
	}
	entry_publish(t, x);
	return RELAY_STATUS_PENDING;
}

static enum relay_status end_status(const struct relay *r, enum relay_status ended)
{
	return r->lost ? RELAY_STATUS_LOST : ended;
}

enum relay_status relays_add(struct relays *t, const struct instant *now, uint32_t owner,
		const struct relay_request *q, struct relay *r)
{
	uint64_t second = time_seconds(now->cluster);
	uint32_t e = entry_find(t, q->id);
	struct entry *x = e ? entry_at(t, e) : NULL;
	struct relay wanted;
	enum relay_status status;

	if (!relay_request_sound(q) || (q->lifetime == 0 && owner))
		return RELAY_STATUS_MALFORMED;
	wanted = relay_of_request(t, second, owner, q);
	if (!x) {
		status = make(t, second, &wanted);
		*r = wanted;
		return status;
	}
	if (x->r.owner != owner)
		return RELAY_STATUS_NOT_YOURS;
	if (x->dead || !relay_same_request(&x->r, &wanted))
		return end_status(&x->r, RELAY_STATUS_EXISTS);
	if (!x->r.settled)
		return ask_again(t, now, e);
	if (!x->said) /* what a controller is told must not hang on this server's memory */
		entry_say(t, x);
	*r = x->r;
	return RELAY_STATUS_OK;
}

/* ---- of one that is there ---- */

static bool may(const struct relay *r, uint32_t owner)
{
	return owner == 0 || r->owner == owner;
}

/* OK, or why not. */
static enum relay_status find_living(const struct relays *t, uint32_t owner,
		const uint8_t id[RELAY_ID_SIZE], uint64_t second, uint32_t *e)
{
	const struct entry *x;

	*e = entry_find(t, id);
	if (!*e)
		return RELAY_STATUS_UNKNOWN;
	x = entry_at(t, *e);
	if (!may(&x->r, owner))
		return RELAY_STATUS_NOT_YOURS;
	if (x->dead || relay_expired(&x->r, second))
		return end_status(&x->r, RELAY_STATUS_UNKNOWN);
	return x->r.settled ? RELAY_STATUS_OK : RELAY_STATUS_PENDING;
}

enum relay_status relays_refresh(struct relays *t, const struct instant *now, uint32_t owner,
		const uint8_t id[RELAY_ID_SIZE], uint16_t lifetime, struct relay *r)
{
	uint64_t second = time_seconds(now->cluster), expires = end_of(second, lifetime);
	enum relay_status status;
	uint32_t e;

	if (lifetime == 0 && owner)
		return RELAY_STATUS_MALFORMED;
	status = find_living(t, owner, id, second, &e);
	if (status != RELAY_STATUS_OK)
		return status;
	*r = entry_at(t, e)->r;
	if (r->expires == expires) /* so it is at most one change a second */
		return RELAY_STATUS_OK;
	r->expires = expires;
	relay_raise(r);
	r->server = t->o.server;
	entry_set(t, second, e, r);
	entry_publish(t, entry_at(t, e));
	return RELAY_STATUS_OK;
}

enum relay_status relays_remove(struct relays *t, const struct instant *now, uint32_t owner,
		const uint8_t id[RELAY_ID_SIZE])
{
	uint64_t second = time_seconds(now->cluster);
	uint32_t e = entry_find(t, id);
	struct relay r;

	if (!e)
		return RELAY_STATUS_UNKNOWN;
	r = entry_at(t, e)->r;
	if (!may(&r, owner))
		return RELAY_STATUS_NOT_YOURS;
	if (entry_at(t, e)->dead)
		return RELAY_STATUS_OK;
	r.removed = true;
	r.expires = second + RELAY_TOMBSTONE_S;
	relay_raise(&r);
	r.server = t->o.server;
	t->count.removed++;
	entry_set(t, second, e, &r);
	entry_publish(t, entry_at(t, e));
	return RELAY_STATUS_OK;
}

/* ---- looking ---- */

static enum relay_status living_status(const struct entry *x)
{
	if (!x->r.settled)
		return RELAY_STATUS_PENDING;
	return x->note ? (enum relay_status)x->note : RELAY_STATUS_OK;
}

enum relay_status relays_get(struct relays *t, const struct instant *now, uint32_t owner,
		const uint8_t id[RELAY_ID_SIZE], struct relay *r)
{
	uint32_t e;
	enum relay_status status = find_living(t, owner, id, time_seconds(now->cluster), &e);

	if (status != RELAY_STATUS_OK)
		return status;
	*r = entry_at(t, e)->r;
	return living_status(entry_at(t, e));
}

/* The next one that has not ended: what expires is listed until the tick of its second. */
static uint32_t list_next(const struct relays *t, uint32_t owner, uint64_t second,
		const uint8_t after[RELAY_ID_SIZE])
{
	const struct owner *o = owner ? owner_find(t, owner) : NULL;
	enum order order = owner ? ORDER_OWNER : ORDER_ALL;
	uint32_t root = owner ? (o ? o->root : NONE) : t->root, e;

	while ((e = order_above(t, order, root, after)) != NONE) {
		if (!relay_expired(&entry_at(t, e)->r, second))
			break;
		after = entry_at(t, e)->r.id;
	}
	return e;
}

size_t relays_list(struct relays *t, const struct instant *now, uint32_t owner,
		const uint8_t after[RELAY_ID_SIZE], struct relay_listed *list, size_t room)
{
	uint64_t second = time_seconds(now->cluster);
	size_t count = 0;
	uint32_t e;

	while (count < room && (e = list_next(t, owner, second, after)) != NONE) {
		const struct entry *x = entry_at(t, e);

		list[count++] = (struct relay_listed){x->r, living_status(x)};
		after = x->r.id;
	}
	return count;
}

void relays_note(struct relays *t, const uint8_t id[RELAY_ID_SIZE], enum relay_status s)
{
	uint32_t e = entry_find(t, id);

	if (e)
		entry_at(t, e)->note = (uint8_t)s;
}
