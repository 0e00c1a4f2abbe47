/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "mode/relay_control.h"

#include "base/util.h"
#include "proto/wire.h"

static void view_side(const struct relay_desk *d, const struct relay *r, unsigned which,
		struct relay_view_side *v)
{
	const struct relay_side *s = &r->side[which];

	*v = (struct relay_view_side){.kind = s->kind, .given = s->given};
	memcpy(v->ours.ip, s->v4 ? d->anycast4 : d->anycast6, sizeof v->ours.ip);
	v->ours.port = s->port;
	for (unsigned port = 0; port < r->span; port++) {
		v->latched[port] = relay_latched(s, port);
		if (v->latched[port])
			v->at[port] = s->leg[port].at;
	}
	if (s->kind == RELAY_TOKEN)
		relay_token(relay_keys_own(d->keys), r->id, which, v->token);
}

static uint32_t left(const struct relay *r, const struct instant *now)
{
	uint64_t second = time_seconds(now->cluster);

	if (r->expires == 0)
		return RELAY_FOR_EVER;
	return (uint32_t)MIN(r->expires - MIN(second, r->expires), RELAY_FOR_EVER - 1);
}

static void view(const struct relay_desk *d, const struct instant *now, const struct relay *r,
		enum relay_status status, struct relay_view *v)
{
	*v = (struct relay_view){.protocol = r->protocol, .span = r->span,
			.status = (uint8_t)status, .left = left(r, now)};
	memcpy(v->id, r->id, RELAY_ID_SIZE);
	for (unsigned i = 0; i < 2; i++)
		view_side(d, r, i, &v->side[i]);
}

static void list(const struct relay_desk *d, const struct instant *now, uint32_t owner,
		const uint8_t after[RELAY_ID_SIZE], struct relay_answer *a)
{
	struct relay_listed page[RELAY_PAGE + 1];
	size_t count = relays_list(d->relays, now, owner, after, page, ARRAY_SIZE(page));

	a->status = RELAY_STATUS_OK;
	a->more = count > RELAY_PAGE;
	a->count = (uint8_t)MIN(count, RELAY_PAGE);
	for (unsigned i = 0; i < a->count; i++)
		view(d, now, &page[i].relay, page[i].status, &a->relay[i]);
}

static enum relay_status change(const struct relay_desk *d, const struct instant *now, uint32_t owner,
		const struct relay_question *q, struct relay *r)
{
	const struct relay_request *request = &q->request;

	switch (q->op) {
	case RELAY_OP_ADD:
		return relay_request_sound(request) ? relays_add(d->relays, now, owner, request, r) :
						      RELAY_STATUS_MALFORMED;
	case RELAY_OP_REFRESH:
		return relays_refresh(d->relays, now, owner, request->id, request->lifetime, r);
	case RELAY_OP_REMOVE:
		return relays_remove(d->relays, now, owner, request->id);
	case RELAY_OP_GET:
		return relays_get(d->relays, now, owner, request->id, r);
	default:
		return RELAY_STATUS_MALFORMED;
	}
}

void relay_desk_answer(void *arg, const struct instant *now, uint32_t owner,
		const struct relay_question *q, struct relay_answer *a)
{
	const struct relay_desk *d = arg;
	enum relay_status status;
	struct relay r;

	*a = (struct relay_answer){.op = q->op, .number = q->number, .status = RELAY_STATUS_OFF};
	if (!d->relays)
		return;
	relays_lock(d->relays);
	if (q->op == RELAY_OP_LIST) {
		list(d, now, owner, q->request.id, a);
	} else {
		status = change(d, now, owner, q, &r);
		/* that the far side is not there is said of a relay, not of what was asked */
		a->status = status == RELAY_STATUS_UNREACHABLE ? RELAY_STATUS_OK : (uint8_t)status;
		if (a->status == RELAY_STATUS_OK && q->op != RELAY_OP_REMOVE) {
			a->count = 1;
			view(d, now, &r, status, &a->relay[0]);
		}
	}
	relays_unlock(d->relays);
}
