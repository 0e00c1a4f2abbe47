/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Client records: what every server knows of a client, signed by the operator
 * (PROTOCOL.md, "Client record").  The pre-shared key inside is sealed to the
 * cluster: under a key that operator and cluster get from their X25519 keys.
 */
#ifndef PROTO_RECORD_H
#define PROTO_RECORD_H

#include "base/addr.h"
#include "proto/cluster_keys.h"

#define RECORD_NAME_MAX     32
#define RECORD_PREFIXES_MAX 8
#define RECORD_MAX          371 /* so that a ticket with it fits TICKET_MAX */

/* X(name, bit, key, text): what a client may do beyond unicast. */
#define CLIENT_RIGHTS(X)                                                                           \
	X(MULTICAST, 0, "multicast", "send IP multicast to the tunnel's network")                  \
	X(BROADCAST, 1, "broadcast", "send IPv4 broadcast to the tunnel's network")                \
	X(ETHERNET, 2, "ethernet", "send and receive Ethernet frames")                             \
	X(RELAY, 3, "relay", "create relays (connection controller)")
enum client_right {
#define X(name, bit, key, text) RIGHT_##name = 1 << bit,
	CLIENT_RIGHTS(X)
#undef X
};

struct record {
	uint32_t index;
	uint64_t version; /* of this record: the higher one wins */
	bool lent;        /* from a ticket, not from the registry; no part of what is signed */
	bool removed;     /* tombstone */
	uint16_t rights;
	uint16_t port_first, port_count; /* port block on the anycast address */
	uint8_t public[KEY_SIZE];
	uint8_t psk[KEY_SIZE]; /* zeros in a tombstone: it is not written there */
	uint8_t prefix_count;
	struct prefix prefixes[RECORD_PREFIXES_MAX];
	char name[RECORD_NAME_MAX + 1];
};

/* The operator's keys, all from one 32-byte seed. */
struct operator_key {
	uint8_t seed[KEY_SIZE];
	uint8_t sign_public[KEY_SIZE];                   /* Ed25519 */
	uint8_t seal_secret[KEY_SIZE], seal_public[KEY_SIZE]; /* X25519 */
};
struct operator_public {
	uint8_t sign[KEY_SIZE], seal[KEY_SIZE];
};
void operator_key_from_seed(struct operator_key *key, const uint8_t seed[KEY_SIZE]);

/* The key under which psk is sealed; the same from both sides.  0 or -EPROTO. */
int record_seal_key(const uint8_t own_secret[KEY_SIZE], const uint8_t peer_public[KEY_SIZE],
		uint8_t seal_key[KEY_SIZE]);
/* Those of all cluster keys that a record may be sealed for. */
struct seal_keys {
	unsigned count;
	uint8_t key[CLUSTER_KEYS_MAX][KEY_SIZE];
};
/* At a server.  0 or -EPROTO. */
int seal_keys_make(struct seal_keys *k, const struct cluster_secrets *c,
		const uint8_t operator_seal[KEY_SIZE]);
/* Size, or 0 if the record breaks a limit above. */
size_t record_write(uint8_t out[RECORD_MAX], const struct record *r,
		const struct operator_key *op, const uint8_t seal_key[KEY_SIZE]);
/* 0; -EINVAL malformed, -EBADMSG signature, -EKEYREJECTED sealed for another cluster. */
int record_read(struct record *r, const uint8_t *in, size_t len, const struct operator_public *op,
		const struct seal_keys *keys);
/* The same for a record whose signature is known to have been checked. */
int record_read_checked(struct record *r, const uint8_t *in, size_t len,
		const struct seal_keys *keys);
/* The index alone, of a record that need not be ours; false if it cannot be a record. */
bool record_peek_index(uint32_t *index, const uint8_t *in, size_t len);
/* Likewise its version. */
bool record_peek_version(uint64_t *version, const uint8_t *in, size_t len);
/* 1 to 32 of A-Z a-z 0-9 . _ - */
bool record_name_valid(const char *name);

#endif
