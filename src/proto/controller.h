/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * A client as connection controller: it keeps the relays that it has asked for
 * alive as long as it runs, and finds them again when it starts.  The cluster is
 * the only one to remember them; here is nothing that a restart could lose.
 *
 *   start      LIST, once the session is confirmed, and again a minute later: a
 *              server that has only just started may not have known all
 *   refresh    at a third of the lifetime; not answered, or unknown: soon again,
 *              until the relay must have ended
 *
 * It belongs to the uplink's thread, and asks through the uplink.
 */
#ifndef PROTO_CONTROLLER_H
#define PROTO_CONTROLLER_H

#include "proto/uplink.h"

#define CONTROLLER_LIFETIME 600 /* s: of relays found at the start, unless said otherwise */
#define CONTROLLER_OWN      8   /* questions of its own, the others are for those who ask */

struct controlled {
	uint8_t id[RELAY_ID_SIZE];
	uint16_t lifetime;     /* s */
	bool asking;
	ticks refresh, expires; /* boot time */
};

/* A question on its way, from whomever. */
struct controller_question {
	bool used;
	struct controller *c;
	uint8_t op;
	struct relay_request request;
	relay_answered *answered; /* NULL: its own */
	void *arg;
};

struct controller {
	struct uplink *u;
	size_t count, room;
	struct controlled *list;
	unsigned listings; /* complete ones so far */
	bool listing;
	ticks list_at;     /* boot time of the next; UINT64_MAX: no more */
	uint8_t after[RELAY_ID_SIZE];
	uint64_t lost;     /* relays that ended although they were to be refreshed */
	struct controller_question question[UPLINK_QUESTIONS];
};

void controller_init(struct controller *c, struct uplink *u);
void controller_free(struct controller *c);
/* As uplink_relay_ask(); what is added is refreshed from then on, what is removed no more. */
bool controller_ask(struct controller *c, const struct instant *now, enum relay_op op,
		const struct relay_request *request, ticks patience, relay_answered *answered, void *arg);
/* Whatever is due; at least each second, before uplink_tick(), which sends it. */
void controller_tick(struct controller *c, const struct instant *now);

#endif
