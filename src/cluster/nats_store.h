/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The registry's buckets for the tool, which waits: read once, and written one
 * value at a time by compare-and-set, so that of two operators who change the
 * same thing at the same time one is told to try again.
 */
#ifndef CLUSTER_NATS_STORE_H
#define CLUSTER_NATS_STORE_H

#include "cluster/line_file.h"
#include "cluster/registry.h"

#define STORE_ERROR LINE_FILE_ERROR

struct nats_store;

/* Connects.  0 or a negative errno and a sentence. */
int nats_store_open(struct nats_store **s, const struct registry_options *o,
		char error[STORE_ERROR]);
void nats_store_close(struct nats_store *s);

/* A value, borrowed.  Not 0 ends the reading, with a sentence. */
typedef int store_visit(void *arg, const char *key, const uint8_t *value, size_t len,
		char error[STORE_ERROR]);
/* All of a bucket, which is made if there is none.  Likewise. */
int nats_store_read(struct nats_store *s, const char *bucket, store_visit *visit, void *arg,
		char error[STORE_ERROR]);

struct store_put {
	const char *bucket, *key;
	const uint8_t *bytes;
	size_t len;
	/* Whether they may take the place of what is there. */
	bool (*newer)(const void *arg, const struct store_put *put, const uint8_t *there, size_t len);
	const void *arg;
	const char *what; /* for the sentence: "client 7" */
};
/* Likewise; -EAGAIN: somebody else was faster. */
int nats_store_put(struct nats_store *s, const struct store_put *put, char error[STORE_ERROR]);

#endif
