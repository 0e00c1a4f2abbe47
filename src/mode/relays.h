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
#include "proto/relay_message.h" /* requests and their outcomes */

#define RELAY_LIFETIME_MAX 3600 /* s between refreshes */
#define RELAY_TOMBSTONE_S  600  /* removed and expired relays are remembered for so long */

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
