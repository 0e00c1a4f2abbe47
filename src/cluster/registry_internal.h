/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Between the files of the NATS registry.
 *
 *	bucket's thread            main thread                     writer's thread
 *	registry_nats.c: values    registry_clients.c: directory   registry_writer.c
 *	are checked           ──►  registry_sessions.c: records ─► session records, and
 *	                    inbox  registry_servers.c: peers queue what has to be healed
 */
#ifndef CLUSTER_REGISTRY_INTERNAL_H
#define CLUSTER_REGISTRY_INTERNAL_H

#include "cluster/client_cache.h"
#include "cluster/inbox.h"
#include "cluster/index_set.h"
#include "cluster/nats_bucket.h"
#include "cluster/registry_value.h"
#include "cluster/registry_verified.h"
#include "cluster/relay_queue.h"
#include "cluster/write_queue.h"

struct registry_nats;

/* Main thread: what comes of one bucket. */
struct feed {
	bool reading, ready;   /* between begin and complete; complete once */
	struct index_set seen; /* since the last begin */
	struct index_set lost; /* to be written again */
	ticks next_heal;       /* boot time */
};
/* ---- registry_feed.c ---- */
int feed_open(struct feed *f); /* 0 or -ENOMEM */
void feed_close(struct feed *f);
/* The registry has not got this: after this server's delay it is to be written, unless it is there by then. */
void feed_lost(struct registry_nats *n, const struct instant *now, struct feed *f, uint32_t index);
/* It has. */
void feed_seen(struct feed *f, uint32_t index);

/* What a feed makes of its changes; reading and counting are the same for all. */
struct feed_ops {
	struct feed *(*feed)(struct registry_nats *n);
	/* Consumes the value. */
	void (*value)(struct registry_nats *n, const struct instant *now, uint32_t index, void *value);
	void (*known)(struct registry_nats *n, uint32_t index); /* NULL: never happens */
	/* NULL: never happens; of relays it is a value. */
	void (*deleted)(struct registry_nats *n, const struct instant *now, uint32_t index);
	/* Everything there is has come. */
	void (*complete)(struct registry_nats *n, const struct instant *now);
	void (*discard)(void *value);
};
extern const struct feed_ops clients_feed_ops, sessions_feed_ops, servers_feed_ops,
		relays_feed_ops;
extern const struct feed_ops *const feed_ops[CHANGE_OF_COUNT];
/* Consumes the change's value. */
void feed_take(struct registry_nats *n, const struct instant *now, const struct change *c);

/* A client record that has been checked. */
struct known_client {
	struct record record;
	size_t len;
	uint8_t bytes[RECORD_MAX];
};
void known_client_free(void *known_client);

/* Main thread: client records on their way into the directory. */
struct clients_feed {
	struct known_client **pending, **held; /* held: in conflict with another client */
	size_t pending_count, pending_room, held_count, held_room;
	struct feed feed;
	ticks next_rebuild, ready_at;
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
	struct feed feed; /* lost ones wait in the writer's queue */
};

/* Main thread: entries of the list of servers. */
struct servers_feed {
	struct feed feed;
	bool changed; /* the list, while all of it is read */
	int cache;    /* descriptor of the servers last known, -1: there is no mesh */
};

/* Main thread: relays. */
struct relays_feed {
	struct feed feed; /* its sets are not used: the table remembers */
	bool marked;      /* the table knows of the reading */
};

/* The writer's thread, and what others leave for it under the lock. */
struct raw_value {
	struct raw_value *next;
	const struct bucket *bucket;
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
	struct raw_value *values;
	struct relay_queue *relays;
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
	pthread_mutex_t keys_lock;
	struct value_keys keys; /* under the lock; only the main thread changes them */
	uint8_t beat_key[KEY_SIZE]; /* our heartbeats are for ourselves alone */
	struct bucket *bucket[CHANGE_OF_COUNT]; /* NULL: servers without a mesh, relays if there are none */
	struct inbox inbox;
	int epoll, timer;
	struct clients_feed clients;
	struct sessions_feed sessions;
	struct servers_feed servers;
	struct relays_feed relays;
	struct registry_writer writer;
	struct verified *verified; /* the clients bucket's thread: what it has checked before */
	struct digests digests;    /* likewise, while it reads: what the operator has signed by the page */
	ticks heal_delay;          /* of this server: others may be faster, and then it need not */
	int64_t contact;           /* boot time when the directory was last known to be current */
	ticks next_stamp;
	_Atomic uint64_t counter[COUNT_END];
};

/* For any thread; to be wiped. */
static inline void registry_keys(struct registry_nats *n, struct value_keys *copy)
{
	pthread_mutex_lock(&n->keys_lock);
	*copy = n->keys;
	pthread_mutex_unlock(&n->keys_lock);
}

static inline void registry_count(struct registry_nats *n, enum registry_counter c)
{
	atomic_fetch_add_explicit(&n->counter[c], 1, memory_order_relaxed);
}

/* ---- registry_load.c ---- main thread */
int clients_feed_open(struct registry_nats *n, const struct instant *now, char *error,
		size_t error_size);
void clients_feed_close(struct registry_nats *n);
/* The cluster's current key is another one: the cache is written anew under it. */
void clients_feed_rekey(struct registry_nats *n, const struct instant *now);

/* ---- registry_clients.c ---- main thread */
/* What time has come for.  Returns when it wants to be called again (boot time), 0: no wish. */
ticks clients_feed_serve(struct registry_nats *n, const struct instant *now);

/* ---- registry_sessions.c ---- main thread */
int sessions_feed_open(struct registry_nats *n);
void sessions_feed_close(struct registry_nats *n);
/* Those whose client may be there now. */
void sessions_feed_retry(struct registry_nats *n, const struct instant *now);

/* ---- registry_servers.c ---- main thread */
int servers_feed_open(struct registry_nats *n, char *error, size_t error_size);
void servers_feed_close(struct registry_nats *n);
void servers_feed_serve(struct registry_nats *n, const struct instant *now);

/* ---- registry_relays.c ---- */
/* The bucket's thread: what it has brought, to be freed; value NULL: the key was deleted.  NULL: no good. */
struct relay *relay_change_new(struct registry_nats *n, const char *key, const uint8_t *value,
		size_t len);
/* Main thread. */
/* All servers have the key that is now written with: what lies in the registry is to be sealed with it. */
void relays_feed_rekey(struct registry_nats *n, const struct instant *now);
void relays_feed_put(struct registry_nats *n, const struct instant *now, const struct relay *r);
/* The writer's thread: one write; false: there is nothing to write now. */
bool relays_feed_write(struct registry_nats *n, const struct instant *now);

/* ---- registry_writer.c ---- any thread; 0 or a negative errno */
int writer_open(struct registry_nats *n);
int writer_start(struct registry_nats *n);
void writer_close(struct registry_nats *n);
int writer_put_session(struct registry_nats *n, const struct instant *now, uint32_t index,
		const struct session_record *r, ticks due);
void writer_seen_session(struct registry_nats *n, const struct instant *now, uint32_t index,
		const struct session_record *r);
int writer_put_value(struct registry_nats *n, enum change_of of, uint32_t index,
		const uint8_t *bytes, size_t len);
size_t writer_queue_length(struct registry_nats *n);

/* ---- registry_nats.c ---- once no thread of it runs, nor has the writer been left open */
void registry_nats_free(struct registry_nats *n);

#endif
