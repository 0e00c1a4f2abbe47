/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The keys from which tokens, the initial sequence numbers of deferred callers and the ids
 * of SIP calls' relays are derived.  All of these are in somebody's hands while the cluster's
 * key is changed, and servers do not change at one moment.  So what is made is made with one
 * key, and what comes is taken by any: the next one's, the current one's, and that of the one
 * before, which the file of keys holds until the next change (ADR 36).
 */
#ifndef PROTO_RELAY_KEYS_H
#define PROTO_RELAY_KEYS_H

#include "proto/cluster_keys.h"

#define RELAY_KEYS_MAX (CLUSTER_KEYS_MAX + 1)

struct relay_keys {
	unsigned count, own;                   /* key[own] is the one with which things are made */
	uint8_t key[RELAY_KEYS_MAX][KEY_SIZE]; /* relay_key(), the newest first, as at all servers */
};

void relay_keys_make(struct relay_keys *k, const struct cluster_secrets *c);

static inline const uint8_t *relay_keys_own(const struct relay_keys *k)
{
	return k->key[k->own];
}

#endif
