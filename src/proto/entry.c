/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The bytes of a server entry (PROTOCOL.md, "Server entry"):
 *
 *	 0   format 1         1, the only one
 *	 1   flags 1          bit 0: removed (a tombstone); the others are 0
 *	 2   number 2
 *	 4   version 8
 *	12   public key 32
 *	44   mesh address 18
 *	62   name length 1 (1 … 32), name     [A-Za-z0-9._-]
 *	     Ed25519 signature 64, over "anyrelay server entry" and all bytes before it
 */
#include "proto/entry.h"

#include <errno.h>

#include "base/cursor.h"
#include "proto/signed.h"

#define FORMAT       1
#define FLAG_REMOVED 1
#define ENTRY_FIXED  (63 + SIGNATURE_SIZE)

static const char label[] = "anyrelay server entry";

_Static_assert(ENTRY_FIXED + RECORD_NAME_MAX == ENTRY_MAX, "the largest entry fits");

static bool is_unicast(const struct endpoint *e)
{
	static const uint8_t zeros[16];
	bool v4 = addr_is_v4(e->ip);

	return e->port && !addr_is_multicast(e->ip) &&
	       memcmp(v4 ? e->ip + 12 : e->ip, zeros, v4 ? 4 : 16) != 0;
}

static bool entry_valid(const struct server_entry *e)
{
	return e->number && record_name_valid(e->name) && (e->removed || is_unicast(&e->mesh));
}

/* All but the signature. */
static size_t write_signed(uint8_t out[ENTRY_MAX], const struct server_entry *e)
{
	struct writer w = writer_over(out, ENTRY_MAX);
	uint8_t mesh[ENDPOINT_WIRE];

	endpoint_store(mesh, &e->mesh);
	write_u16(&w, FORMAT << 8 | (e->removed ? FLAG_REMOVED : 0));
	write_u16(&w, e->number);
	write_u64(&w, e->version);
	write_bytes(&w, e->public, KEY_SIZE);
	write_bytes(&w, mesh, sizeof mesh);
	write_u8(&w, (uint8_t)strlen(e->name));
	write_bytes(&w, e->name, strlen(e->name));
	return (size_t)(w.at - out);
}

bool entry_sign(struct server_entry *e, const uint8_t operator_seed[KEY_SIZE])
{
	uint8_t bytes[ENTRY_MAX];

	if (!entry_valid(e))
		return false;
	operator_sign(label, bytes, write_signed(bytes, e), operator_seed, e->signature);
	return true;
}

size_t entry_write(uint8_t out[ENTRY_MAX], const struct server_entry *e)
{
	size_t len = write_signed(out, e);

	memcpy(out + len, e->signature, SIGNATURE_SIZE);
	return len + SIGNATURE_SIZE;
}

/* All but the signature. */
static bool parse(struct server_entry *e, const uint8_t *in, size_t len)
{
	struct reader b = reader_over(in, len);
	uint8_t mesh[ENDPOINT_WIRE];

	if (read_u8(&b) != FORMAT)
		return false;
	uint8_t flags = read_u8(&b);
	if (flags & ~FLAG_REMOVED)
		return false;
	e->removed = flags & FLAG_REMOVED;
	e->number = read_u16(&b);
	e->version = read_u64(&b);
	read_copy(&b, e->public, KEY_SIZE);
	read_copy(&b, mesh, sizeof mesh);
	endpoint_load(&e->mesh, mesh);
	uint8_t name_len = read_u8(&b);
	if (name_len > RECORD_NAME_MAX)
		return false;
	read_copy(&b, e->name, name_len);
	return !b.bad && reader_left(&b) == 0 && strlen(e->name) == name_len && entry_valid(e);
}

int entry_read(struct server_entry *e, const uint8_t *in, size_t len,
		const uint8_t operator_public[KEY_SIZE])
{
	struct server_entry found = {0};

	if (len < ENTRY_FIXED || len > ENTRY_MAX || !parse(&found, in, len - SIGNATURE_SIZE))
		return -EINVAL;
	if (!operator_signed(label, in, len - SIGNATURE_SIZE, operator_public,
			in + len - SIGNATURE_SIZE))
		return -EBADMSG;
	memcpy(found.signature, in + len - SIGNATURE_SIZE, SIGNATURE_SIZE);
	*e = found;
	return 0;
}

bool entry_peek_number(uint16_t *number, const uint8_t *in, size_t len)
{
	if (len < ENTRY_FIXED || len > ENTRY_MAX || in[0] != FORMAT)
		return false;
	*number = load_be16(in + 2);
	return true;
}
