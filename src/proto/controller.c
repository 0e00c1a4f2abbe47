/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "proto/controller.h"

#include <stdlib.h>

#define LIST_PATIENCE TICKS_S(30)
#define LIST_AGAIN    TICKS_S(60)
#define LISTINGS      2

void controller_init(struct controller *c, struct uplink *u)
{
	*c = (struct controller){.u = u};
}

void controller_free(struct controller *c)
{
	free(c->list);
	*c = (struct controller){0};
}

/* ---- the list ---- */

static struct controlled *find(struct controller *c, const uint8_t id[RELAY_ID_SIZE])
{
	for (size_t i = 0; i < c->count; i++)
		if (!memcmp(c->list[i].id, id, RELAY_ID_SIZE))
			return &c->list[i];
	return NULL;
}

static void forget(struct controller *c, struct controlled *r)
{
	if (r)
		*r = c->list[--c->count];
}

static struct controlled *new_one(struct controller *c)
{
	if (c->count == c->room) {
		size_t room = c->room ? 2 * c->room : 16;
		struct controlled *more = realloc(c->list, room * sizeof *more);

		if (!more)
			return NULL; /* it will end, as if this client had gone */
		c->list = more;
		c->room = room;
	}
	return &c->list[c->count++];
}

static void keep(struct controller *c, const struct instant *now, const struct relay_view *v,
		uint16_t lifetime)
{
	struct controlled *r = find(c, v->id);

	if (!r)
		r = new_one(c);
	if (!r)
		return;
	*r = (struct controlled){
		.lifetime = lifetime,
		.refresh = now->boot + MIN(TICKS_S(v->left), TICKS_S(lifetime)) / 3,
		.expires = now->boot + TICKS_S(v->left),
	};
	memcpy(r->id, v->id, RELAY_ID_SIZE);
}

/* ---- answers ---- */

/*
 * Nobody answered, or a server that does not know the relay: it may have started
 * a moment ago.  Only when it must have ended is it given up.
 */
static void not_refreshed(struct controller *c, const struct instant *now,
		const struct relay_answer *a, struct controlled *r)
{
	bool unknown = a && (a->status == RELAY_STATUS_UNKNOWN || a->status == RELAY_STATUS_NOT_YOURS);
	bool lost = a && a->status == RELAY_STATUS_LOST;

	if (!r)
		return; /* removed meanwhile */
	if (lost || (unknown && now->boot >= r->expires)) {
		c->lost++;
		forget(c, r);
		return;
	}
	r->asking = false;
	r->refresh = now->boot + TICKS_S(r->lifetime) / 12;
}

static void listed(struct controller *c, const struct instant *now, const struct relay_answer *a)
{
	c->listing = false;
	if (!a) {
		c->list_at = now->boot + LIST_AGAIN;
		return;
	}
	for (unsigned i = 0; i < a->count; i++)
		if (!find(c, a->relay[i].id))
			keep(c, now, &a->relay[i], CONTROLLER_LIFETIME);
	if (a->status == RELAY_STATUS_OK && a->more && a->count) {
		memcpy(c->after, a->relay[a->count - 1].id, RELAY_ID_SIZE);
		c->list_at = now->boot;
		return;
	}
	memset(c->after, 0, sizeof c->after);
	c->listings++;
	/* who has no right to make relays has none */
	c->list_at = a->status == RELAY_STATUS_OK && c->listings < LISTINGS ? now->boot + LIST_AGAIN :
									      UINT64_MAX;
}

static void take_note(struct controller *c, const struct instant *now, const struct relay_answer *a,
		const struct controller_question *q)
{
	bool done = a && a->status == RELAY_STATUS_OK;

	switch (q->op) {
	case RELAY_OP_ADD:
	case RELAY_OP_REFRESH:
		if (done && a->count)
			keep(c, now, &a->relay[0], q->request.lifetime);
		else if (q->op == RELAY_OP_REFRESH)
			not_refreshed(c, now, a, find(c, q->request.id));
		break;
	case RELAY_OP_REMOVE:
		if (done || (a && a->status == RELAY_STATUS_UNKNOWN))
			forget(c, find(c, q->request.id));
		break;
	default:
		if (q->op == RELAY_OP_LIST && !q->answered)
			listed(c, now, a);
	}
}

static void on_answer(void *arg, const struct instant *now, const struct relay_answer *a)
{
	struct controller_question *q = arg, was = *q;

	q->used = false;
	take_note(was.c, now, a, &was);
	if (was.answered)
		was.answered(was.arg, now, a);
}

/* ---- questions ---- */

bool controller_ask(struct controller *c, const struct instant *now, enum relay_op op,
		const struct relay_request *request, ticks patience, relay_answered *answered, void *arg)
{
	unsigned own = 0;

	for (unsigned i = 0; i < UPLINK_QUESTIONS; i++)
		own += c->question[i].used && !c->question[i].answered;
	if (!answered && own >= CONTROLLER_OWN)
		return false;
	for (unsigned i = 0; i < UPLINK_QUESTIONS; i++) {
		struct controller_question *q = &c->question[i];

		if (q->used)
			continue;
		*q = (struct controller_question){.c = c, .op = (uint8_t)op, .request = *request,
				.answered = answered, .arg = arg};
		q->used = uplink_relay_ask(c->u, now, op, request, patience, on_answer, q);
		return q->used;
	}
	return false;
}

static void step_list(struct controller *c, const struct instant *now)
{
	struct relay_request from = {0};

	if (c->listing || now->boot < c->list_at || !c->u->newest || !c->u->newest->confirmed)
		return;
	memcpy(from.id, c->after, RELAY_ID_SIZE);
	c->listing = controller_ask(c, now, RELAY_OP_LIST, &from, LIST_PATIENCE, NULL, NULL);
}

static void step_refresh(struct controller *c, const struct instant *now)
{
	for (size_t i = 0; i < c->count; i++) {
		struct controlled *r = &c->list[i];
		struct relay_request q = {.lifetime = r->lifetime};

		if (r->asking || now->boot < r->refresh)
			continue;
		memcpy(q.id, r->id, RELAY_ID_SIZE);
		r->asking = controller_ask(c, now, RELAY_OP_REFRESH, &q, TICKS_S(r->lifetime) / 3, NULL,
				NULL);
		if (!r->asking)
			return; /* as soon as others are answered */
	}
}

void controller_tick(struct controller *c, const struct instant *now)
{
	step_list(c, now);
	step_refresh(c, now);
}
