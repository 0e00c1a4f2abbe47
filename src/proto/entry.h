/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Server entries: what every server knows of another, signed by the operator
 * (PROTOCOL.md, "Server entry").  There is no secret in them.
 */
#ifndef PROTO_ENTRY_H
#define PROTO_ENTRY_H

#include "base/addr.h"
#include "proto/crypto.h"
#include "proto/record.h"

#define ENTRY_MAX 159

struct server_entry {
	uint16_t number;  /* not 0 */
	uint64_t version; /* of this entry: the higher one wins */
	bool removed;     /* tombstone */
	uint8_t public[KEY_SIZE]; /* X25519, for the mesh */
	struct endpoint mesh;     /* unicast; not looked at in a tombstone */
	char name[RECORD_NAME_MAX + 1];
	uint8_t signature[SIGNATURE_SIZE]; /* of all the others, by the operator */
};

/* false: the entry breaks a limit: its number, its name, an endpoint that is none. */
bool entry_sign(struct server_entry *e, const uint8_t operator_seed[KEY_SIZE]);
/* The size; the signature is written as it is. */
size_t entry_write(uint8_t out[ENTRY_MAX], const struct server_entry *e);
/* 0; -EINVAL malformed, -EBADMSG signature. */
int entry_read(struct server_entry *e, const uint8_t *in, size_t len,
		const uint8_t operator_public[KEY_SIZE]);
/* The number alone, of an entry that need not be ours; false if it cannot be an entry. */
bool entry_peek_number(uint16_t *number, const uint8_t *in, size_t len);

#endif
