/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Between the files of the NATS registry.
 *
 *	bucket's thread            main thread                     writer's thread
 *	registry_nats.c: values    registry_clients.c: directory   registry_writer.c
 *	are checked           ──►  registry_sessions.c: records ─► session records, and
 *	                    inbox                            queue what has to be healed
 */
#ifndef CLUSTER_REGISTRY_INTERNAL_H
#define CLUSTER_REGISTRY_INTERNAL_H

#include "cluster/client_cache.h"
#include "cluster/inbox.h"
#include "cluster/index_set.h"
#include "cluster/nats_bucket.h"
#include "cluster/registry_value.h"
#include "cluster/write_queue.h"

/* A client record that has been checked. */
struct known_client {
	struct record record;
	size_t len;
	uint8_t bytes[RECORD_MAX];
};
void known_client_free(struct known_client *k);

/* Main thread: client records on their way into the directory. */
struct clients_feed {
	struct known_client **pending, **held; /* held: in conflict with another client */
	size_t pending_count, pending_room, held_count, held_room;
	bool reading, ready;       /* between begin and complete; complete once */
	struct index_set seen;     /* since the last begin */
	struct index_set lost;     /* to be written again from the cache */
	ticks next_rebuild, next_heal, ready_at;
	struct client_cache cache;
};

/* Main thread: session records of other servers. */
struct orphan {
	uint32_t index;
	ticks arrived;
	struct session_record *record;
};
struct sessions_feed {
	struct orphan *orphan; /* whose client is not in the directory yet */
	size_t orphan_count, orphan_room;
	bool reading, ready; /* as of the clients */
	struct index_set seen;
};

/* The writer's thread, and what others leave for it under the lock. */
struct raw_client {
	struct raw_client *next;
	uint32_t index;
	size_t len;
	uint8_t bytes[];
};
struct registry_writer {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool stop;
	struct write_queue *queue;
	struct raw_client *clients;
};

enum registry_counter {
#define X(key, text) COUNT_##key,
	REGISTRY_COUNTERS(X)
#undef X
	COUNT_END
};

struct registry_nats {
	struct registry *r;
	struct nats_link link;
	struct value_keys keys;
	struct bucket *clients_bucket, *sessions_bucket;
	struct inbox inbox;
	int epoll, timer;
	struct clients_feed clients;
	struct sessions_feed sessions;
	struct registry_writer writer;
	struct verified *verified; /* the clients bucket's thread: what it has checked before */
	ticks heal_delay;          /* of this server: others may be faster, and then it need not */
	int64_t contact;           /* boot time when the directory was last known to be current */
	ticks next_stamp;
	_Atomic uint64_t counter[COUNT_END];
};

static inline void registry_count(struct registry_nats *n, enum registry_counter c)
{
	atomic_fetch_add_explicit(&n->counter[c], 1, memory_order_relaxed);
}

/* ---- registry_load.c ---- main thread */
int clients_feed_open(struct registry_nats *n, const struct instant *now, char *error,
		size_t error_size);
void clients_feed_close(struct registry_nats *n);

/* ---- registry_clients.c ---- main thread */
/* Consumes the change's value. */
void clients_feed_take(struct registry_nats *n, const struct instant *now, struct change *c);
/* What time has come for.  Returns when it wants to be called again (boot time), 0: no wish. */
ticks clients_feed_serve(struct registry_nats *n, const struct instant *now);

/* ---- registry_verified.c ---- the clients bucket's thread */
struct verified *verified_new(void);
void verified_free(struct verified *v);
/* The very bytes that were checked last for this index. */
bool verified_has(const struct verified *v, uint32_t index, const uint8_t *bytes, size_t len);
/* To be remembered, unless a higher version is. */
void verified_add(struct verified *v, const struct known_client *k);

/* ---- registry_sessions.c ---- main thread */
int sessions_feed_open(struct registry_nats *n);
void sessions_feed_close(struct registry_nats *n);
void sessions_feed_take(struct registry_nats *n, const struct instant *now, struct change *c);
/* Those whose client may be there now. */
void sessions_feed_retry(struct registry_nats *n, const struct instant *now);

/* ---- registry_writer.c ---- any thread; 0 or a negative errno */
int writer_open(struct registry_nats *n);
int writer_start(struct registry_nats *n);
void writer_close(struct registry_nats *n);
int writer_put_session(struct registry_nats *n, const struct instant *now, uint32_t index,
		const struct session_record *r, ticks due);
void writer_seen_session(struct registry_nats *n, const struct instant *now, uint32_t index,
		const struct session_record *r);
int writer_put_client(struct registry_nats *n, uint32_t index, const uint8_t *bytes, size_t len);
size_t writer_queue_length(struct registry_nats *n);

#endif
