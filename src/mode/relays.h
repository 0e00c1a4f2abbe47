/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * All relays of the cluster, as this server knows them: who asked for what, which
 * ports are whose, and when each ends.  No descriptors and no clock.
 *
 * Threads.  Whoever calls holds relays->lock (relays_lock()): the relay thread
 * (packets from the fast path), workers (control messages of clients), the main
 * thread (tool, mesh, registry).  None of that is on the packet path.
 *
 * A port is had by *being in the record*: a server draws free ports, publishes the
 * record, and answers the controller when the registry has shown the record back.
 * The registry shows records in one order to all; of two relays with one port the
 * first one shown has it, and the other one's maker draws again (relays_shown()).
 * A repeated request, at whatever server, finds the record by its id.
 */
#ifndef MODE_RELAYS_H
#define MODE_RELAYS_H

#include <pthread.h>
#include "proto/relay.h"

#define RELAY_LIFETIME_MAX 3600 /* s between refreshes */
#define RELAY_TOMBSTONE_S  600  /* removed and expired relays are remembered for so long */

/* X(name, value, key, text): the outcome of a request, as the controller is told.  0 … 255 on the wire. */
#define RELAY_STATUSES(X)                                                                          \
	X(OK, 0, "ok", "done")                                                                     \
	X(PENDING, 1, "pending", "not yet settled in the cluster: ask again")                      \
	X(UNKNOWN, 2, "unknown", "there is no relay with this id")                                 \
	X(NO_RIGHT, 3, "no_right", "this client does not have the right to make relays")           \
	X(NOT_YOURS, 4, "not_yours", "the relay belongs to another controller")                    \
	X(LIMIT, 5, "limit", "this controller has as many relays as it may have")                  \
	X(NO_PORTS, 6, "no_ports", "no free ports are left for relays")                            \
	X(DENIED, 7, "denied", "relays may not lead to this address")                              \
	X(FAMILY, 8, "family", "the cluster has no anycast address of this family")                \
	X(MALFORMED, 9, "malformed", "not a request that can be understood")                       \
	X(EXISTS, 10, "exists", "another request has used this id for something else")             \
	X(OFF, 11, "off", "this cluster makes no relays")                                          \
	X(UNREACHABLE, 12, "unreachable", "the far side does not answer, or refuses")
enum relay_status {
#define X(name, value, key, text) RELAY_STATUS_##name = value,
	RELAY_STATUSES(X)
#undef X
};
const char *relay_status_key(enum relay_status s);
const char *relay_status_text(enum relay_status s);

struct relays;

struct relays_options {
	uint16_t server;                /* number of this one */
	uint8_t key[KEY_SIZE];          /* relay_key() */
	bool has_v4, has_v6;            /* anycast addresses that there are */
	uint8_t anycast4[16], anycast6[16];
	uint16_t port_first, port_last;
	unsigned per_client;            /* relays of one controller */
	bool allow_private;             /* sides in private networks */
	unsigned deny_count;            /* beside what is always denied: own addresses, loopback, … */
	const struct prefix *deny;
	/* Under the lock.  Entries of the fast path are to follow; `was` NULL: new, `now` NULL: gone. */
	void (*changed)(void *arg, const struct relay *was, const struct relay *now);
	/* Under the lock.  Changed here: other servers and the registry are to hear of it. */
	void (*publish)(void *arg, const struct relay *r);
	void *arg;
	bool alone;                     /* no registry shows anything back: what is made counts at once */
};

struct relays *relays_new(const struct relays_options *o);
void relays_free(struct relays *t);
void relays_lock(struct relays *t);
void relays_unlock(struct relays *t);

/* ---- requests of a controller ---- */

struct relay_request {
	uint8_t id[RELAY_ID_SIZE];
	uint8_t protocol, span;
	uint16_t lifetime; /* s; 0: for ever, the operator's alone */
	bool even;         /* with a span of 2: the first port is even (RTP) */
	struct relay_side side[2]; /* kind, v4, given; the rest is not looked at */
};
/* Of OK: a copy of the relay. */
enum relay_status relays_add(struct relays *t, const struct instant *now, uint32_t owner,
		const struct relay_request *q, struct relay *r);
/* owner 0 may do it to any relay.  lifetime as above. */
enum relay_status relays_refresh(struct relays *t, const struct instant *now, uint32_t owner,
		const uint8_t id[RELAY_ID_SIZE], uint16_t lifetime, struct relay *r);
enum relay_status relays_remove(struct relays *t, const struct instant *now, uint32_t owner,
		const uint8_t id[RELAY_ID_SIZE]);
enum relay_status relays_get(struct relays *t, uint32_t owner, const uint8_t id[RELAY_ID_SIZE],
		struct relay *r);
/* The relays of an owner (0: all) in the order of their ids, from the first above `after`; how many. */
size_t relays_list(struct relays *t, uint32_t owner, const uint8_t after[RELAY_ID_SIZE],
		struct relay *list, size_t room);
/* The far side's ICMP or RST: told with the next answer to GET and LIST; not stored in the record. */
void relays_note(struct relays *t, const uint8_t id[RELAY_ID_SIZE], enum relay_status s);

/* ---- other servers ---- */

/* A record from the mesh or the registry, merged; true: what we have is more than it, to be published. */
bool relays_learn(struct relays *t, const struct instant *now, const struct relay *r);
/* The registry has shown this record: first come, first served for its ports. */
void relays_shown(struct relays *t, const struct instant *now, const struct relay *r);
/* By its port on the anycast address; borrowed under the lock; NULL: none. */
const struct relay *relays_at(struct relays *t, bool v4, uint8_t protocol, uint16_t port,
		unsigned *side, unsigned *offset);

/* ---- packets (relay_input.h) ---- */

/*
 * A side has been learnt: *leg without generation and server, which are set here.
 * false: it was latched already and may not be again (no token was shown), or cannot be.
 */
bool relays_latch(struct relays *t, const struct instant *now, const uint8_t id[RELAY_ID_SIZE],
		unsigned side, const struct relay_leg *leg, bool token_shown);

/* ---- from time to time ---- */

/* Expiry, tombstones, requests that wait; boot time of the next call, at the latest. */
ticks relays_tick(struct relays *t, const struct instant *now);

struct relays_counts {
	size_t relays, ports_free, controllers;
	uint64_t made, removed, expired, latches, conflicts, redrawn;
};
void relays_count(struct relays *t, struct relays_counts *c);

#endif
