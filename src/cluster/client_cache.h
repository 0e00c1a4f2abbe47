/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The clients last known, on disk: so that a server which starts while the
 * registry is away knows them, and so that what the registry has lost can be
 * written to it again.  A line file (line_file.h) of records, each with 16 bytes
 * of HMAC behind it: a signature was checked before a record came here, and
 * costs a hundred times as much to check again.  New records are appended (of
 * several with one index the highest version counts); the first line says when
 * the whole was last known to be current.  A cache that cannot be read is a
 * warning, and begun anew.
 */
#ifndef CLUSTER_CLIENT_CACHE_H
#define CLUSTER_CLIENT_CACHE_H

#include <sys/types.h>

#include "base/util.h"
#include "cluster/line_file.h"
#include "proto/record.h"

struct client_cache {
	const char *path;
	int fd;
	off_t end;
	uint8_t mac_key[KEY_SIZE];
};

/* A record's bytes.  Not 0 ends the reading, with a sentence. */
typedef int cache_visit(void *arg, const uint8_t *bytes, size_t len, char why[LINE_FILE_ERROR]);


/*
 * Opens or makes it; what it holds is authenticated with the cluster's secret, and
 * belongs to one operator.  *age_s: since when it has not been current, -1: never was.
 * 0 or a negative errno and a sentence.
 */
int client_cache_open(struct client_cache *c, const char *path,
		const uint8_t cluster_secret[KEY_SIZE], const struct operator_public *op, uint64_t now_s,
		int64_t *age_s, char *error, size_t error_size);
/* Every record in the order of the file.  0 or a negative errno and a sentence; -EBADMSG: not ours. */
int client_cache_read(const struct client_cache *c, cache_visit *visit, void *arg,
		char error[LINE_FILE_ERROR]);
void client_cache_close(struct client_cache *c);
/* Forgets all. */
int client_cache_clear(struct client_cache *c);
/* 0 or a negative errno; then the record is missing, which costs no more than what a cache is for. */
int client_cache_append(struct client_cache *c, const uint8_t *bytes, size_t len, const char *name);
int client_cache_stamp(const struct client_cache *c, uint64_t now_s);

#endif
