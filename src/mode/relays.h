/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * All relays of the cluster, as this server knows them: who asked for what, which
 * ports are whose, and when each ends.  No descriptors and no clock.
 *
 * Threads.  Whoever calls holds the lock (relays_lock()): the relay thread (packets
 * from the fast path), workers (control messages of clients), the main thread
 * (tool, mesh, registry, relays_tick() once a second).  None of that is on the
 * packet path, and nothing here waits or makes a system call.
 *
 * A port is had by *being in the record*.  A server draws free ports and publishes
 * the record; the registry shows records in one order to all, and of two with one
 * port the first one shown has it, *settled*.  The other one's maker draws again.
 * Until then the controller is told PENDING and asks again, at whatever server; a
 * relay that is not settled carries nothing.  Ports are drawn from a hash of the id,
 * so two servers that are asked for the same relay draw the same ones.
 *
 *	relays_add ──► pending ──relays_shown──► settled ──expiry, relays_remove──► dead ──► forgotten
 *	                  │  ▲                      │
 *	                  └──┘ ports lost: drawn    └─ ports are also another settled one's (a registry
 *	                       again                   set back, a cluster that was apart): lost, dead
 *
 * Expiry is no event that is told: every server reads it from the record.
 */
#ifndef MODE_RELAYS_H
#define MODE_RELAYS_H

#include "proto/relay_keys.h"
#include "proto/relay_message.h" /* requests and their outcomes */

#define RELAY_LIFETIME_MAX 3600 /* s between refreshes */
#define RELAY_TOMBSTONE_S  600  /* dead ones are remembered for so long, and their ports not given again */
#define RELAY_PENDING_S    60   /* one that did not settle is forgotten */

struct relays;

struct relays_options {
	uint16_t server;                /* number of this one */
	const struct relay_keys *keys;  /* borrowed; may be changed under the lock */
	bool has_v4, has_v6;            /* anycast addresses that there are */
	uint8_t anycast4[16], anycast6[16];
	uint16_t port_first, port_last;
	unsigned per_client;            /* relays of one controller; a span of 2 counts once */
	bool allow_private;             /* sides in private networks */
	unsigned deny_count;            /* beside what is always denied: own addresses, loopback, … */
	const struct prefix *deny;      /* borrowed until relays_free() or relays_set_limits() */
	/*
	 * Both are called under the lock and may not call the table.
	 * Entries of the fast path are to follow; `was` NULL: new, `now` NULL: gone.  Only
	 * settled, living relays are told; so NULL to something is also "ask the registry no more".
	 */
	void (*changed)(void *arg, const struct relay *was, const struct relay *now);
	/* Changed here: other servers and the registry are to hear of it. */
	void (*publish)(void *arg, const struct relay *r);
	void *arg;
	bool alone;                     /* no registry shows anything back: what is made counts at once */
};

/* NULL: out of memory.  Makes its lock. */
struct relays *relays_new(const struct relays_options *o);
void relays_free(struct relays *t);
void relays_lock(struct relays *t);
void relays_unlock(struct relays *t);
/* At a reload.  What is there stays. */
void relays_set_limits(struct relays *t, unsigned per_client, bool allow_private,
		const struct prefix *deny, unsigned deny_count);

/* ---- requests of a controller ---- workers, main thread */

/*
 * Of OK: a copy of the relay.  PENDING: the same request is to be made again, here or at
 * any server, until it is something else; with the registry away it stays PENDING.
 */
enum relay_status relays_add(struct relays *t, const struct instant *now, uint32_t owner,
		const struct relay_request *q, struct relay *r);
/* owner 0 may do it to any relay.  lifetime as above. */
enum relay_status relays_refresh(struct relays *t, const struct instant *now, uint32_t owner,
		const uint8_t id[RELAY_ID_SIZE], uint16_t lifetime, struct relay *r);
enum relay_status relays_remove(struct relays *t, const struct instant *now, uint32_t owner,
		const uint8_t id[RELAY_ID_SIZE]);
/* Of OK and UNREACHABLE (see relays_note()): a copy of the relay. */
enum relay_status relays_get(struct relays *t, const struct instant *now, uint32_t owner,
		const uint8_t id[RELAY_ID_SIZE], struct relay *r);
struct relay_listed {
	struct relay relay;
	enum relay_status status; /* OK, PENDING or UNREACHABLE */
};
/*
 * The living relays of an owner (0: all) in the order of their ids, from the first above `after`; how
 * many.  It takes as long as those are many, however many there are in all.
 */
size_t relays_list(struct relays *t, const struct instant *now, uint32_t owner,
		const uint8_t after[RELAY_ID_SIZE], struct relay_listed *list, size_t room);
/*
 * The far side's ICMP or RST: told with the next answers to GET and LIST, until a latch or OK
 * (a packet from there).  Not stored in the record: only this server says it.
 */
void relays_note(struct relays *t, const uint8_t id[RELAY_ID_SIZE], enum relay_status s);

/* ---- other servers ---- main thread */

/* What we have is what it said, or more than it, which is to be published again. */
enum relay_news { RELAY_NEWS_SAME, RELAY_NEWS_MORE };
/* A record from the mesh, or one that the registry held when it was read; merged. */
enum relay_news relays_learn(struct relays *t, const struct instant *now, const struct relay *r);
/* The registry has shown this record as its latest change: first come, first served for its ports. */
enum relay_news relays_shown(struct relays *t, const struct instant *now, const struct relay *r);
/* What this server knows of an id, dead or alive; borrowed under the lock; NULL: nothing. */
const struct relay *relays_known(struct relays *t, const uint8_t id[RELAY_ID_SIZE]);
/* A reading of the whole registry begins: see RELAY_NOT_MET. */
void relays_reading(struct relays *t);

/* ---- all of them, the dead as well, in no order ---- main thread */

enum {
	RELAY_CARRIES = 1, /* settled, alive, its ports its own */
	RELAY_NOT_MET = 2, /* neither learnt nor shown since relays_reading() */
};
typedef void relay_visit(void *arg, const struct relay *r, unsigned state);
#define RELAYS_VISIT 256
/*
 * Some, RELAYS_VISIT at most, from place *at on, which is 0 at first; false: those were the last.
 * Between two calls the lock may be let go: who is known all the time is visited once, who comes
 * or goes meanwhile at most once.
 */
bool relays_visit(struct relays *t, uint32_t *at, relay_visit *visit, void *arg);
/* All, with the lock taken for each RELAYS_VISIT of them; the caller does not hold it. */
void relays_each(struct relays *t, relay_visit *visit, void *arg);

/* ---- packets (relay_input.h) ---- relay thread */

/*
 * By its port on the anycast address; borrowed under the lock; NULL: none.  Settled and alive.
 * offset: of the port in the span.
 */
const struct relay *relays_at(struct relays *t, const struct instant *now, bool v4,
		uint8_t protocol, uint16_t port, unsigned *side, unsigned *offset);
/*
 * A side has been learnt: *leg without generation and server, which are set here.  `again`: a
 * TOKEN side has shown its token, or a GIVEN one has answered another call, and takes the
 * place of what was latched before.  A TOKEN side latches by its token alone, a GIVEN one when
 * it has answered.  True also if it was latched just so already.  False: it was latched
 * otherwise and may not be again (or was, less than a second ago), or it cannot be: denied, not
 * the given address, of the wrong family.
 */
bool relays_latch(struct relays *t, const struct instant *now, const uint8_t id[RELAY_ID_SIZE],
		unsigned side, unsigned offset, const struct relay_leg *leg, bool again);
/*
 * The controller says where a HINTED side is likely to be: it is sent a few packets there until
 * its own first packet shows where it is.  Said anew with another place, it is learnt anew.
 * DENIED: not such a side, or relays may not lead there.  Of OK: a copy of the relay.
 */
enum relay_status relays_hint(struct relays *t, const struct instant *now, uint32_t owner,
		const uint8_t id[RELAY_ID_SIZE], unsigned side, const struct endpoint *at, struct relay *r);
/* May a relay lead there? */
bool relays_denied(const struct relays *t, const uint8_t ip[16]);

/* ---- from time to time ---- main thread */

/*
 * Expiry, tombstones, requests that wait; boot time of the next call, at the latest.  At most
 * RELAYS_TICK relays at once: the next call is then due at once, but others get the lock before.
 */
#define RELAYS_TICK 512
ticks relays_tick(struct relays *t, const struct instant *now);

/* X(key, text): what the table counts. */
#define RELAYS_COUNTERS(X)                                                                         \
	X(made, "relays made here")                                                                \
	X(removed, "relays removed")                                                               \
	X(expired, "relays that their controllers did not refresh")                                \
	X(latches, "sides learnt here")                                                            \
	X(conflicts, "relays lost because their ports were another one's")                         \
	X(redrawn, "ports drawn again because another server was faster")                          \
	X(refused, "records of other servers for which there is no room")                          \
	X(implausible, "records that no server can have written by now")
struct relays_counts {
	size_t relays, pending, dead, controllers; /* now */
	size_t ports_free[2][2]; /* [v4][TCP] */
#define X(key, text) uint64_t key;
	RELAYS_COUNTERS(X)
#undef X
};
void relays_count(struct relays *t, struct relays_counts *c);

#endif
