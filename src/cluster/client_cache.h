/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The clients last known, on disk, in the form of a clients file: so that a
 * server which starts while the registry is away knows them, and so that what
 * the registry has lost can be written to it again.  New records are appended
 * (of several with one index the highest version counts); the first line says
 * when the whole was last known to be current.  A cache that cannot be read is
 * a warning, and begun anew.
 */
#ifndef CLUSTER_CLIENT_CACHE_H
#define CLUSTER_CLIENT_CACHE_H

#include <sys/types.h>

#include "base/util.h"

struct client_cache {
	const char *path;
	int fd;
	off_t end;
};

/*
 * Opens or makes it; *age_s: since when it has not been current, -1: never was.
 * 0 or a negative errno and a sentence.
 */
int client_cache_open(struct client_cache *c, const char *path, uint64_t now_s, int64_t *age_s,
		char *error, size_t error_size);
void client_cache_close(struct client_cache *c);
/* Forgets all. */
int client_cache_clear(struct client_cache *c);
/* 0 or a negative errno; then the record is missing, which costs no more than what a cache is for. */
int client_cache_append(struct client_cache *c, const uint8_t *bytes, size_t len, const char *name);
int client_cache_stamp(const struct client_cache *c, uint64_t now_s);

#endif
