/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * What servers say to each other inside a session of the mesh (PROTOCOL.md,
 * "Mesh"): reading and writing, nothing else.  None of it needs an answer or is
 * repeated for want of one: a heartbeat says how things are, and what it says is
 * what the other side acts on.
 */
#ifndef PROTO_MESH_MESSAGE_H
#define PROTO_MESH_MESSAGE_H

#include "proto/server.h"

/* The first byte.  From MESH_FIRST_FREE on they belong to other parts of the cluster. */
enum mesh_message {
	MESH_HEARTBEAT = 1,
	MESH_KEYS = 2,
	MESH_GOODBYE = 3,
	MESH_ASK = 4, /* for session records; answered by NOTICE_RECORD */
	MESH_FIRST_FREE = 16,
	MESH_NOTICES = 16, /* two of them: cluster/notices.h */
	MESH_RELAYS = 18,  /* three: cluster/relay_mesh.h */
	MESH_TOO_BIG = 21  /* cluster/notices.h */
};

enum heartbeat_flag { HEARTBEAT_JOINING = 1, HEARTBEAT_DRAINING = 2 };

/*
 * Why the sender does not announce the anycast address: 0, it does; bits of enum
 * anycast_reason (path/anycast.h); or that it is not its business.
 */
#define WITHDRAWN_NEVER 0x8000

struct heartbeat {
	uint8_t flags;
	uint8_t version[3]; /* of the program */
	uint8_t boot_random[3];
	ticks sent;         /* cluster time of the sender */
	ticks echo;         /* `sent` of the last heartbeat that it got from us, 0: none */
	ticks echo_got;     /* and when, by its clock */
	struct lineage_name highest; /* the one that issues; zeros while joining */
	uint64_t digest;    /* of all lineages */
	uint16_t withdrawn; /* WITHDRAWN_… */
	uint64_t cluster_keys[CLUSTER_KEYS_MAX]; /* names of those that it holds, 0: none */
};
#define HEARTBEAT_SIZE (1 + 1 + 3 + 3 + 8 * 3 + 8 * 3 + 8 + 2 + 8 * CLUSTER_KEYS_MAX)

#define KEYS_SEED_SIZE (8 + 8 + 8 + 8 + KEY_SIZE)
#define KEYS_SIZE_MAX  (2 + KEYRING_LINEAGES * KEYS_SEED_SIZE)
struct lineage_seeds {
	unsigned count;
	struct lineage_seed seed[KEYRING_LINEAGES];
};

/* Bytes written. */
size_t heartbeat_write(uint8_t out[HEARTBEAT_SIZE], const struct heartbeat *h);
size_t keys_write(uint8_t out[KEYS_SIZE_MAX], const struct lineage_seeds *seeds);
/* False: malformed, and nothing was touched.  What follows the known fields is of later versions. */
bool heartbeat_read(struct heartbeat *h, const uint8_t *in, size_t len);
/* The caller wipes them.  More than fit here: the first ones, which are the highest. */
bool keys_read(struct lineage_seeds *seeds, const uint8_t *in, size_t len);

/* The same for the same lineages, whatever their epoch. */
uint64_t lineages_digest(const struct lineage_name *names, unsigned count);

#endif
