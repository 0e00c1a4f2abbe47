/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The table of active sessions: a pool of places reserved at start, of which
 * only those in use take memory, and a hash by session id.  Looking up takes no
 * lock; changing the table is the business of one thread at a time.
 */
#ifndef PROTO_ACTIVE_H
#define PROTO_ACTIVE_H

#include "proto/server.h"

struct active_table {
	unsigned capacity, used;
	size_t stride;      /* bytes of a place: whole pages, so that each can be given back */
	uint8_t *places;
	uint32_t *free;     /* stack of places not in use */
	uint64_t mask;      /* of buckets */
	_Atomic(struct active *) bucket[];
};

struct active_table *active_table_new(unsigned capacity);
void active_table_free(struct active_table *t);

static inline uint64_t active_bucket(const struct active_table *t, const uint8_t sid[SID_SIZE])
{
	return load_be64(sid) * UINT64_C(0x9e3779b97f4a7c15) >> 20 & t->mask;
}

static inline struct active *active_find(const struct active_table *t, const uint8_t sid[SID_SIZE])
{
	struct active *a = atomic_load_explicit(
			&t->bucket[active_bucket(t, sid)], memory_order_acquire);

	while (a && memcmp(a->sid, sid, SID_SIZE) != 0)
		a = atomic_load_explicit(&a->next, memory_order_acquire);
	return a;
}

/* A zeroed place, not yet to be found by anybody; NULL if all are taken. */
struct active *active_take(struct active_table *t);
/* Lets readers find it. */
void active_publish(struct active_table *t, struct active *a);
/* Readers that come later do not find it; it may be given back after a grace period. */
void active_unlink(struct active_table *t, struct active *a);
/* Wipes the place and gives its memory back to the system. */
void active_give_back(struct active_table *t, struct active *a);
#endif
