/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The cluster's keys.  It has one, and at times a next one, which is to take its
 * place: then servers accept message 1 for either, and tell clients of both in an
 * announcement that the operator has signed (PROTOCOL.md, "Cluster keys").
 */
#ifndef PROTO_CLUSTER_KEYS_H
#define PROTO_CLUSTER_KEYS_H

#include "proto/crypto.h"

#define CLUSTER_KEYS_MAX 2

/* Which public keys are good, the newest first; a higher version replaces a lower one. */
struct announcement {
	uint64_t version;
	uint8_t count; /* 1 … CLUSTER_KEYS_MAX */
	uint8_t keys[CLUSTER_KEYS_MAX][KEY_SIZE];
};
#define ANNOUNCEMENT_MAX (1 + 8 + 1 + CLUSTER_KEYS_MAX * KEY_SIZE + SIGNATURE_SIZE)

/* Its size. */
size_t announcement_write(uint8_t out[ANNOUNCEMENT_MAX], const struct announcement *a,
		const uint8_t operator_seed[KEY_SIZE]);
/* 0; -EINVAL malformed, -EBADMSG not signed by this operator: *a is then as it was. */
int announcement_read(struct announcement *a, const uint8_t *in, size_t len,
		const uint8_t operator_public[KEY_SIZE]);
/* The version alone, of an announcement that need not be signed by anybody; 0: it is none. */
uint64_t announcement_version(const uint8_t *in, size_t len);

/* What a server holds of them: secret. */
struct cluster_secrets {
	unsigned count; /* [0] is the current one, [1] the next */
	uint8_t secret[CLUSTER_KEYS_MAX][KEY_SIZE];
	bool has_past;
	uint8_t past[KEY_SIZE]; /* relay_key() of the key before the current one, see relay_keys.h */
	uint16_t announcement_len; /* 0: the key has never been changed */
	uint8_t announcement[ANNOUNCEMENT_MAX];
};
static inline const uint8_t *cluster_newest(const struct cluster_secrets *c)
{
	return c->secret[c->count - 1];
}
/* By which servers tell each other which keys they hold; never 0. */
uint64_t cluster_key_name(const uint8_t cluster_secret[KEY_SIZE]);

#endif
