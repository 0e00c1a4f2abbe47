/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * A relay as a value in the registry's bucket: its record, sealed, under its id as 32 digits
 * of lower-case hexadecimal (PROTOCOL.md, "Relays").
 */
#ifndef CLUSTER_RELAY_VALUE_H
#define CLUSTER_RELAY_VALUE_H

#include "cluster/registry_value.h"
#include "proto/relay.h"

#define BUCKET_RELAYS    "anyrelay_relays"
#define RELAY_KEY_SIZE   33 /* with its NUL */
#define RELAY_SEALED_MAX (RELAY_RECORD_MAX + SEAL_OVERHEAD)

void relay_value_key(char key[RELAY_KEY_SIZE], const uint8_t id[RELAY_ID_SIZE]);
/* False for what relay_value_key() does not write. */
bool relay_value_id(const char *key, uint8_t id[RELAY_ID_SIZE]);
/* The size; 0: the record is not sound. */
size_t relay_value_seal(const struct value_keys *k, const struct relay *r,
		uint8_t out[RELAY_SEALED_MAX]);
/* 0, -EINVAL (malformed) or -EBADMSG (not sealed by a server of this cluster, or under another's key). */
int relay_value_open(const struct value_keys *k, const char *key, const uint8_t *value, size_t len,
		struct relay *r);

#endif
