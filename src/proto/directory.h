/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The directory: every enrolled client, found by index, by public key and by
 * inner address (longest prefix).  A directory is built whole and then never
 * changes, so that workers read it without a lock; a reload builds a new one
 * and swaps the pointer (RCU).  What lives longer than a directory, a client's
 * session record, hangs on the client object, which directories share.
 */
#ifndef PROTO_DIRECTORY_H
#define PROTO_DIRECTORY_H

#include <stdatomic.h>
#include "base/util.h"
#include "proto/record.h"

struct session_record; /* server.h: where the client is; replaced whole, never changed */
struct active;         /* server.h: a session with expanded keys */

/*
 * One client, small on purpose: with its place in the tables and its session
 * record an idle client must cost a server less than 512 bytes.
 */
struct client {
	_Atomic(struct session_record *) session; /* NULL: never seen */
	struct active *actives;  /* its active sessions; under the server's lock */
	uint64_t version;
	uint64_t said_t;         /* a HELLO that said what is on record again: its full T, 0: none … */
	uint32_t said_number;    /* … and number, if newer than the record's; under the server's lock */
	uint32_t index;
	uint16_t rights;
	uint16_t port_first, port_count;
	_Atomic bool removed;    /* no longer enrolled, or replaced: every packet of it is refused */
	bool lent;               /* known from a ticket alone: until its session ends */
	uint8_t prefix_count;
	uint8_t name_len;
	_Atomic uint8_t ss_of;   /* serial of the cluster key for which ss has been made; 0: none yet */
	uint32_t references;     /* directories that hold it; only touched by who builds them */
	uint8_t public[KEY_SIZE], psk[KEY_SIZE];
	uint8_t ss[KEY_SIZE];    /* static-static DH with that key; written once, before ss_of */
	_Atomic uint32_t flood_copies; /* token buckets, refilled by the second; see mode/ */
	_Atomic uint32_t flood_second;
	_Atomic uint32_t rate_packets;
	_Atomic uint32_t rate_second;
	uint8_t data[];          /* prefixes: 17 bytes each; then the name, not terminated */
};

struct directory;

/*
 * Building.  add takes a record (borrowed) and the ss for it with the first
 * cluster key (NULL: the first handshake makes it); where `from` (the
 * directory in use, may be NULL) has the same client unchanged, its object is
 * shared, and where it has changed a new object takes its place and inherits
 * nothing but the session.  Two records with one index: the higher version
 * wins.  A prefix, key or name that another client has is refused: -EEXIST and
 * a sentence in error.  -ENOMEM.
 *
 * Of a removed client (tombstone) only index and version are kept, so that no
 * lower version comes back: key, addresses and position do not lead to it.
 */
struct directory *directory_new(size_t expected);
int directory_add(struct directory *d, const struct directory *from, const struct record *r,
		const uint8_t ss[KEY_SIZE], char *error, size_t error_size);
/*
 * All clients of `from`, tombstones too, but those with an index in `without`
 * (sorted, may be empty): for a new directory that differs in little.  -ENOMEM.
 */
int directory_share(struct directory *d, const struct directory *from, const uint32_t *without,
		size_t count);
/* Ready for readers; builds the tables. */
int directory_finish(struct directory *d);
/*
 * Right after readers have been given `new` in place of `old`: marks every
 * client object that only `old` holds as removed, and hands the session of a
 * changed client to its new object (where that has none yet).
 */
void directory_retire(struct directory *old, struct directory *new);
/*
 * After no reader can hold it: frees the clients that no other directory has,
 * and with free_session (may be NULL) the sessions that are still theirs.
 */
void directory_free(struct directory *d, void (*free_session)(struct session_record *));

/* Reading, from any thread. */
size_t directory_count(const struct directory *d); /* enrolled: tombstones are not counted */
/* Also a tombstone, which has removed set. */
struct client *directory_by_index(const struct directory *d, uint32_t index);
struct client *directory_by_key(const struct directory *d, const uint8_t public[KEY_SIZE]);
struct client *directory_route(const struct directory *d, const uint8_t ip[16]);
struct client *directory_at(const struct directory *d, size_t position); /* 0 … count - 1 */

/*
 * One of the client's own prefixes holds ip.  Another client may have a longer
 * one inside it: who must not be impersonated is found by directory_route().
 */
bool client_has_source(const struct client *c, const uint8_t ip[16]);
void client_prefix(const struct client *c, unsigned i, struct prefix *p);
static inline const char *client_name(const struct client *c)
{
	return (const char *)c->data + 17 * c->prefix_count; /* name_len bytes: print with %.*s */
}

#endif
