/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * One key-value bucket of NATS, watched by a thread of its own: it makes the
 * bucket if there is none, reads all of it, and goes on with every change.
 *
 * A watcher that has died looks like one that has nothing to tell.  So the
 * thread writes a heartbeat, numbered, under a key of its own (alive.NUMBER),
 * and waits for it to come back.  Nothing heard for 5 s while connected: the
 * watcher is made anew, with back-off.  A heartbeat missing between two others:
 * the bucket may have lost acknowledged writes (a change of leader, a restored
 * store), so all of it is read again.
 */
#ifndef CLUSTER_NATS_BUCKET_H
#define CLUSTER_NATS_BUCKET_H

#include "cluster/nats_link.h"

struct bucket_options {
	const char *name;
	unsigned replicas;
	unsigned ttl_s; /* the registry forgets a value after so long; 0: never */
	uint16_t server_number;
	const uint8_t *seal_key; /* of the heartbeat */
	/* In the bucket's thread, before it is read from the beginning; NULL: there is nothing to prepare. */
	void (*prepare)(void *arg);
	/* Both in the bucket's thread.  A value, borrowed; NULL: the key has been deleted. */
	void (*value)(void *arg, const char *key, const uint8_t *value, size_t len);
	/* A reading from the beginning starts (false); it has brought everything (true). */
	void (*snapshot)(void *arg, bool complete);
	void *arg;
};

/* The bucket of this name, which is made if there is none. */
natsStatus bucket_find(kvStore **store, jsCtx *js, const char *name, unsigned replicas,
		unsigned ttl_s);

/* Each entry of it, of which there is one a key.  Not 0 ends the reading and goes to *result. */
typedef int bucket_visit(void *arg, kvEntry *e);
natsStatus bucket_read(kvStore *store, bucket_visit *visit, void *arg, int *result);

struct bucket;

/* Starts the thread.  The link and what the options point to outlive it.  NULL: out of memory or threads. */
struct bucket *bucket_open(const struct nats_link *link, const struct bucket_options *o);
void bucket_close(struct bucket *b);
/* Hands a value to libnats, which sends it when it can: whether it arrives, only the watcher tells. */
void bucket_write(const struct bucket *b, const char *key, const uint8_t *value, size_t len);

struct bucket_status {
	bool alive;    /* connected, all was read, and the last heartbeat came back */
	long lag_ms;   /* of the last heartbeat; -1: none yet */
	ticks contact; /* boot time of the last heartbeat that came back after all was read; 0: never */
};
void bucket_status(const struct bucket *b, struct bucket_status *status);

#endif
