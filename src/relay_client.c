/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/fail.h"
#include "ctx.h"

/* ---- the worker's thread ---- */

static void answered(void *arg, const struct instant *now, const struct relay_answer *a)
{
	struct relay_caller *caller = arg;
	uint64_t one = 1;

	(void)now;
	caller->state = a ? CALLER_ANSWERED : CALLER_SILENCE;
	if (a)
		caller->answer = *a;
	if (write(caller->client->bell, &one, sizeof one) < 0) {
		/* EAGAIN: it has rung 2^64 - 2 times, and will be heard */
	}
}

struct handover {
	struct relay_client *client;
	const struct relay_question *q; /* in */
	bool taken;
	struct relay_caller caller;     /* out; state NONE: there is none that has been answered */
};

static void put_question(void *arg, struct worker *w)
{
	struct handover *h = arg;
	struct relay_client *c = h->client;

	for (unsigned i = 0; i < RELAY_CALLERS && !h->taken; i++) {
		if (c->caller[i].state != CALLER_NONE)
			continue;
		c->caller[i] = (struct relay_caller){.state = CALLER_WAITS, .client = c,
				.fd = h->caller.fd};
		h->taken = controller_ask(&c->controller, &w->now, (enum relay_op)h->q->op,
				&h->q->request, TICKS_S(RELAY_PATIENCE), answered, &c->caller[i]);
		if (!h->taken)
			c->caller[i].state = CALLER_NONE;
		break;
	}
}

static void fetch_answer(void *arg, struct worker *w)
{
	struct handover *h = arg;

	(void)w;
	h->caller.state = CALLER_NONE;
	for (unsigned i = 0; i < RELAY_CALLERS; i++) {
		struct relay_caller *caller = &h->client->caller[i];

		if (caller->state != CALLER_ANSWERED && caller->state != CALLER_SILENCE)
			continue;
		h->caller = *caller;
		wipe(caller, sizeof *caller); /* tokens; it is nobody's now */
		return;
	}
}

void relay_client_tick(struct daemon *d, struct worker *w)
{
	struct relay_client *c = &d->relay_client;

	controller_tick(&c->controller, &w->now);
	if (c->controller.lost == c->lost)
		return;
	c->lost = c->controller.lost;
	log_limited(LOG_WARNING, 1, "a relay that this client kept alive has ended: removed by the "
			"operator, or not refreshed in time (%llu so far)", (unsigned long long)c->lost);
}

/* ---- the main thread ---- */

bool relay_client_ask(struct daemon *d, const struct relay_question *q, int fd)
{
	struct handover h = {.client = &d->relay_client, .q = q, .caller.fd = fd};

	worker_do(d->path.worker[0], put_question, &h);
	return h.taken;
}

static void answers_ready(struct daemon *d, const struct instant *now)
{
	struct handover h = {.client = &d->relay_client};
	uint64_t count;

	(void)now;
	if (read(d->relay_client.bell, &count, sizeof count) < 0)
		return; /* it has been heard already */
	for (;;) {
		worker_do(d->path.worker[0], fetch_answer, &h);
		if (h.caller.state == CALLER_NONE)
			break;
		control_answer(h.caller.fd, relay_answer_text(
				h.caller.state == CALLER_ANSWERED ? &h.caller.answer : NULL));
	}
	wipe(&h, sizeof h);
}

int relay_client_start(struct daemon *d, char error[SENTENCE])
{
	struct relay_client *c = &d->relay_client;

	controller_init(&c->controller, &d->uplink);
	c->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->bell < 0)
		return fail(-errno, error, SENTENCE, "no descriptor for answers about relays: %s",
				strerror(errno));
	control_watch(d, c->bell, answers_ready);
	return 0;
}
