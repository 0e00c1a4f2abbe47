/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * RELAY: a connection controller asks, and gets one packet back (PROTOCOL.md,
 * "Relay control").  What relays there are is not known here: the callback
 * relay_control() is.  Here is who may ask, from where, and how often.
 *
 * The answer may be larger than the question, so it goes to a proven endpoint
 * alone.  From any other the packet has already caused a challenge; once that is
 * answered, the question's next repetition finds the endpoint proven.
 */
#include "proto/server_internal.h"

#define QUESTIONS_A_SECOND 50 /* of one client: a relay each, or a change of one in the registry */

struct answer_room {
	uint8_t header[HEADER_SIZE];
	uint8_t plain[RELAY_ANSWER_MAX];
	uint8_t tag[TAG_SIZE];
};

static void answer(const struct server *s, const struct instant *now, const struct client *c,
		const struct relay_question *q, struct relay_answer *a)
{
	*a = (struct relay_answer){.op = q->op, .number = q->number};
	if (!(c->rights & RIGHT_RELAY))
		a->status = RELAY_STATUS_NO_RIGHT;
	else if (!s->relay_control)
		a->status = RELAY_STATUS_OFF;
	else
		s->relay_control(s->relay_control_arg, now, c->index, q, a);
}

enum drop server_relay(struct server *s, const struct instant *now, struct active *a,
		const struct arrival *p, struct output *out)
{
	const struct client *c = a->client;
	const struct session_record *r = atomic_load_explicit(&c->session, memory_order_acquire);
	struct relay_answer told;
	struct answer_room room;
	struct relay_question q;

	if (!relay_question_read(&q, p->plain, p->len))
		return DROP_MALFORMED;
	if (!r || !endpoint_equal(&r->endpoint, p->d->from))
		return DROP_BUDGET;
	if (!limiter_pass(&s->relay_questions, server_hash(s, &c->index, sizeof c->index),
			(uint32_t)(now->boot / TICKS_PER_SEC), QUESTIONS_A_SECOND))
		return DROP_RATE;
	answer(s, now, c, &q, &told);
	server_event(s, SERVER_RELAY_QUESTIONS);
	server_need_tx(s, now, a);
	server_reply(s, now, &a->tx, &r->endpoint, room.plain, relay_answer_write(room.plain, &told),
			out);
	wipe(&told, sizeof told); /* tokens */
	return DROP_NONE;
}
