/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Between the files of the table of relays.
 *
 *	relays.c           entries, found by id, of an owner; what becomes of one that changes
 *	relays_ports.c     whose a port is; drawing free ones; who gives way
 *	relays_request.c   what a controller asks for
 *	relays_learn.c     what other servers and the registry say; latches
 *	relays_order.c     who comes next in a list
 *	relays_time.c      what ends, and when
 */
#ifndef MODE_RELAYS_INTERNAL_H
#define MODE_RELAYS_INTERNAL_H

#include <pthread.h>

#include "mode/relays.h"
#include "proto/table.h"
#include "proto/wire.h"

#define ENTRIES_MAX    (1u << 18) /* all that is remembered, the dead as well */
#define PAGE_ENTRIES   256
#define WHEEL_SLOTS    4096       /* of a second: longer than a lifetime */
#define DEAD_PER_LIVE  8          /* tombstones that a controller may have for each relay that it may have */
#define RESTATE_S      3600       /* a relay that never ends is published again after so long, see tick */
#define NONE           0          /* entries and owners count from 1 */

/* A place in a list of entries. */
struct entry_link {
	uint32_t next, previous;
};

/* In a tree of entries. */
enum order { ORDER_ALL, ORDER_OWNER, ORDERS };
struct entry_fork {
	uint32_t left, right;
};

struct entry {
	struct relay r;
	struct entry_fork order[ORDERS]; /* of one that lives */
	struct entry_link of_wheel;      /* .next also in the list of free entries */
	uint32_t owner;       /* struct owner */
	uint32_t met;         /* the reading in which it was learnt or shown last, relays_reading() */
	bool used, dead;      /* dead: removed, or expired */
	bool holds;           /* its ports lead here */
	bool said;            /* that it is settled: the registry has shown that, or it was published here */
	uint8_t note;         /* enum relay_status */
	uint64_t due;         /* Unix seconds, when it is to be looked at; 0: in no slot */
	uint64_t shown;       /* Unix seconds: the registry was last known to have it */
	ticks asked;          /* boot time: published again because its controller asked */
	ticks moved[2][RELAY_SPAN_MAX]; /* boot time: latched anew */
};

struct owner {
	uint32_t index;       /* of the client; in a free one: the next free one */
	uint32_t root;        /* of its tree */
	uint32_t live, dead;
};

struct relays {
	struct relays_options o;
	pthread_mutex_t turn, lock; /* turn: who is next */
	uint64_t hash_key[2];
	struct entry *page[ENTRIES_MAX / PAGE_ENTRIES];
	uint32_t room, free_entry;
	struct table by_id, by_owner;
	struct owner *owner;  /* [0] is not used */
	uint32_t owner_room, free_owner, owner_count;
	uint32_t root;        /* of the tree of all */
	uint32_t reading;     /* count of readings */
	uint32_t *port[2][2]; /* [v4][TCP][port]: the entry that holds it */
	size_t held[2][2];    /* of the range */
	uint32_t slot[WHEEL_SLOTS];
	uint64_t turned;      /* Unix seconds: every slot up to this has been looked at */
	bool turning;         /* but this last one not to its end */
	size_t live, pending, dead;
	struct relays_counts count;
};

static inline struct entry *entry_at(const struct relays *t, uint32_t e)
{
	return &t->page[e / PAGE_ENTRIES][e % PAGE_ENTRIES];
}

static inline bool entry_active(const struct entry *x)
{
	return x->used && x->r.settled && !x->dead && x->holds;
}

static inline bool relay_expired(const struct relay *r, uint64_t second)
{
	return r->expires && r->expires <= second;
}

/* ---- relays.c ---- */
uint32_t entry_find(const struct relays *t, const uint8_t id[RELAY_ID_SIZE]); /* NONE */
/* A new one, which takes its ports if nobody has a better right; NONE: no room. */
uint32_t entry_add(struct relays *t, uint64_t second, const struct relay *r);
/*
 * What the entry now is.  Ports follow and may be lost to others or taken from them; the
 * fast path is told; what has to be drawn again here is.  e may be gone after that.
 */
void entry_set(struct relays *t, uint64_t second, uint32_t e, const struct relay *r);
void entry_forget(struct relays *t, uint32_t e);
void entry_publish(struct relays *t, const struct entry *x);
void entry_say(struct relays *t, struct entry *x); /* that it is settled */
struct owner *owner_find(const struct relays *t, uint32_t index); /* NULL: has none */

/* ---- relays_ports.c ---- */
enum { RIGHT_CLAIM = 1, RIGHT_DEAD, RIGHT_SETTLED };
/* How good its right to its ports is: a claim, quarantine, or that it is settled. */
unsigned entry_right(const struct entry *x);
/* An entry other than e that has at least this right to one of these ports; NONE. */
uint32_t ports_holder(const struct relays *t, const struct relay *r, uint32_t e, unsigned right);
/* Free ports for both sides, in *r.  False: there are none. */
bool ports_draw(const struct relays *t, struct relay *r);
void ports_release(struct relays *t, uint32_t e);
#define EVICTED_MAX (2 * RELAY_SPAN_MAX)
/*
 * The entry takes its ports, if it has the best right to all of them.  Who had them stands in
 * evicted[], and holds nothing any more; count.  If not, *winner is who has one of them.
 */
unsigned ports_take(struct relays *t, uint32_t e, uint32_t evicted[EVICTED_MAX], uint32_t *winner);

/* ---- relays_order.c ---- */
void order_add(const struct relays *t, enum order order, uint32_t *root, uint32_t e);
void order_remove(const struct relays *t, enum order order, uint32_t *root, uint32_t e);
/* The one with the lowest id above this one; NONE. */
uint32_t order_above(const struct relays *t, enum order order, uint32_t root,
		const uint8_t id[RELAY_ID_SIZE]);

/* ---- relays_time.c ---- */
void wheel_put(struct relays *t, uint32_t e);
void wheel_remove(struct relays *t, uint32_t e);
/* When it is to be looked at next, Unix seconds; 0: never. */
uint64_t entry_due(const struct entry *x);

#endif
