/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * A session record as bytes: the plaintext of a value in the bucket of sessions
 * (PROTOCOL.md, "Registry values").
 *
 *	 0  format 1 (= 1) | AEAD 1 | kid 1 | hold 1
 *	 4  writer 2                           number of the server that took the HELLO
 *	 6  down MTU 2 | keep-alive 2
 *	10  full T 8 | epoch 8 | number 4      the record's version
 *	30  sid 8
 *	38  endpoint 18
 *	56  since 8 | moved 8                  cluster time, 2^-24 s
 *	72  group count 1 | MAC count 1
 *	74  groups 16 each | MACs 6 each
 */
#ifndef CLUSTER_SESSION_VALUE_H
#define CLUSTER_SESSION_VALUE_H

#include "proto/server.h"

#define SESSION_VALUE_FIXED 74
#define SESSION_VALUE_MAX   (SESSION_VALUE_FIXED + 16 * GROUPS_MAX + MAC_ADDR_SIZE * MACS_MAX)

/* The size. */
size_t session_value_write(uint8_t out[SESSION_VALUE_MAX], const struct session_record *r);
/* A new record, to be freed.  NULL with *error -EINVAL (malformed) or -ENOMEM. */
struct session_record *session_value_read(const uint8_t *in, size_t len, int *error);

#endif
