/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * From a key and a value of the registry to what they mean.  Whoever has the
 * registry's credentials may have written them: nothing is believed but what
 * the operator has signed or the cluster has sealed, under the key it is for.
 */
#ifndef CLUSTER_REGISTRY_VALUE_H
#define CLUSTER_REGISTRY_VALUE_H

#include "cluster/seal.h"
#include "cluster/session_value.h"
#include "proto/entry.h"
#include "proto/server.h"

#define BUCKET_CLIENTS  "anyrelay_clients"
#define BUCKET_SESSIONS "anyrelay_sessions"
#define BUCKET_SERVERS  "anyrelay_servers"
#define BUCKET_DIGESTS  "anyrelay_digests"

#define INDEX_KEY_SIZE 11 /* a client's index, or a server's number, as the key: decimal, with its NUL */
void index_key(char key[INDEX_KEY_SIZE], uint32_t index);
/* false for what index_key() does not write; index 0 is never given. */
bool index_from_key(const char *key, uint32_t *index);

/* The keys that values are checked with: for each key of the cluster one. */
struct value_keys {
	const struct operator_public *op;
	struct seal_keys record;
	unsigned count, write; /* sealed with seal[write], opened with any */
	uint8_t seal[CLUSTER_KEYS_MAX][KEY_SIZE]; /* registry_key() */
};
/* 0, or -EPROTO: the operator's sealing key is not usable.  Writes with the newest or the current one. */
int value_keys_make(struct value_keys *k, const struct cluster_secrets *c,
		const struct operator_public *op, bool newest);

/* 0; -EINVAL, -EBADMSG or -EKEYREJECTED as record_read(), -EBADMSG also for another key than its own. */
int client_value_read(const struct value_keys *k, const char *key, const uint8_t *value, size_t len,
		struct record *r);
/* The same for one whose signature is known to have been checked. */
int client_value_read_checked(const struct value_keys *k, const char *key, const uint8_t *value,
		size_t len, struct record *r);
/* 0; -EINVAL or -EBADMSG as entry_read(), -EBADMSG also for another key than its own. */
int server_value_read(const struct value_keys *k, const char *key, const uint8_t *value, size_t len,
		struct server_entry *e);
/* A new session record, to be freed.  NULL with *error -EINVAL, -EBADMSG or -ENOMEM. */
struct session_record *session_value_open(const struct value_keys *k, const char *key,
		const uint8_t *value, size_t len, uint32_t *index, int *error);
/* SESSION_SEALED_MAX bytes of room; the size. */
#define SESSION_SEALED_MAX (SESSION_VALUE_MAX + SEAL_OVERHEAD)
size_t session_value_seal(const struct value_keys *k, const char *key,
		const struct session_record *r, uint8_t *out);

#endif
