/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Sealed registry values (PROTOCOL.md, "Registry values"): whoever may write to
 * the registry, but has not got the cluster's secret key, can neither make one
 * nor read one nor put one under another key.
 *
 *	salt 32 | ciphertext | tag 16
 *
 * AES-256-GCM with a zero nonce under HKDF-Expand(X(cluster secret, "registry"),
 * salt), AD = bucket | "." | key.  The salt is random for each value, so no
 * sealing key serves two: a cluster writes far more values than one key with
 * random nonces may seal.
 */
#ifndef CLUSTER_SEAL_H
#define CLUSTER_SEAL_H

#include "proto/crypto.h"

#define SEAL_SALT_SIZE 32
#define SEAL_OVERHEAD  (SEAL_SALT_SIZE + TAG_SIZE)
#define SEAL_NAME_MAX  128 /* of bucket and key together, with the dot */

/* seal_key is registry_key() of proto/epoch.h.  Writes len + SEAL_OVERHEAD bytes.  false: the name is too long. */
bool seal_value(const uint8_t seal_key[KEY_SIZE], const char *bucket, const char *key,
		const void *plain, size_t len, uint8_t *out);
/* The number of bytes in plain (room for len - SEAL_OVERHEAD), or -EBADMSG; then plain is undefined. */
long seal_open(const uint8_t seal_key[KEY_SIZE], const char *bucket, const char *key,
		const uint8_t *value, size_t len, uint8_t *plain);

#endif
