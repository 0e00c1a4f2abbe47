/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Questions about relays (PROTOCOL.md, "Relay control"): each is repeated until
 * a server answers it, whichever gets it.  That a question was taken and its
 * answer lost makes no difference: the next server finds the relay by its id.
 */
#include "proto/uplink_internal.h"

/* What is asked before the session is confirmed comes from an endpoint that is not proven. */
static bool may_ask(const struct uplink *u)
{
	return u->newest && u->newest->confirmed;
}

bool uplink_relay_ask(struct uplink *u, const struct instant *now, enum relay_op op,
		const struct relay_request *request, ticks patience, relay_answered *answered, void *arg)
{
	for (unsigned i = 0; i < UPLINK_QUESTIONS; i++) {
		struct uplink_question *n = &u->question[i];

		if (n->used)
			continue;
		*n = (struct uplink_question){
			.used = true,
			.next = now->boot,
			.end = now->boot + MAX(patience, TICKS_S(1)),
			.q = {.op = (uint8_t)op, .request = *request},
			.answered = answered,
			.arg = arg,
		};
		random_bytes(&n->q.number, sizeof n->q.number);
		if (!u->newest)
			handshake_want(u, now);
		return true;
	}
	return false;
}

static void ask(struct uplink *u, const struct instant *now, struct uplink_question *n,
		struct output *out)
{
	uint8_t room[HEADER_SIZE + RELAY_QUESTION_SIZE + TAG_SIZE];

	n->tries++;
	n->next = now->boot + uplink_interval(u, n->tries);
	u->events[UPLINK_EV_RELAY_QUESTIONS]++;
	uplink_send(u, now, room + HEADER_SIZE, relay_question_write(room + HEADER_SIZE, &n->q), out);
}

/* Its place is free before the callback, which may need it for another. */
static void finish(struct uplink_question *n, const struct instant *now,
		const struct relay_answer *a)
{
	n->used = false;
	n->answered(n->arg, now, a);
}

static void give_up(struct uplink_question *n, const struct instant *now)
{
	struct relay_answer a = {.op = n->q.op, .number = n->q.number, .status = RELAY_STATUS_PENDING};

	finish(n, now, n->pending ? &a : NULL);
}

void relay_step(struct uplink *u, const struct instant *now, struct output *out)
{
	for (unsigned i = 0; i < UPLINK_QUESTIONS; i++) {
		struct uplink_question *n = &u->question[i];

		if (n->used && now->boot >= n->end)
			give_up(n, now);
		else if (n->used && now->boot >= n->next && may_ask(u))
			ask(u, now, n, out);
	}
}

ticks relay_deadline(const struct uplink *u)
{
	ticks least = UINT64_MAX;

	for (unsigned i = 0; i < UPLINK_QUESTIONS; i++) {
		const struct uplink_question *n = &u->question[i];

		if (n->used)
			least = MIN(least, may_ask(u) ? MIN(n->next, n->end) : n->end);
	}
	return least;
}

enum drop relay_take_answer(struct uplink *u, const struct instant *now, const uint8_t *plain,
		size_t len)
{
	struct uplink_question *n = NULL;
	struct relay_answer a;

	if (!relay_answer_read(&a, plain, len))
		return DROP_MALFORMED;
	for (unsigned i = 0; i < UPLINK_QUESTIONS && !n; i++)
		if (u->question[i].used && u->question[i].q.number == a.number &&
				u->question[i].q.op == a.op)
			n = &u->question[i];
	if (!n)
		return DROP_STALE;
	if (a.status == RELAY_STATUS_PENDING) { /* settled soon: ask as if for the first time */
		n->pending = true;
		n->tries = 1;
		n->next = now->boot + uplink_interval(u, n->tries);
	} else {
		finish(n, now, &a);
	}
	wipe(&a, sizeof a); /* tokens */
	return DROP_NONE;
}
