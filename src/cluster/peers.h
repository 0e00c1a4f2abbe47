/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The other servers of the cluster: who lives, what their clocks say, and that
 * all have the same epoch keys.  No descriptors and no clock: packets and time
 * come in, packets go out through struct output (mesh_io.c has the socket).
 * One thread.  Nothing here is on the packet path.
 *
 * Each server sends each other one a heartbeat every 100 ms.  All the rest
 * follows from what heartbeats say: whose digest of lineages differs from ours
 * gets our keys, until it no longer differs; who has not been heard for three
 * of them is dead.  So there is nothing to repeat and nothing to acknowledge.
 *
 * Joining.  A server that starts has no keys and answers no client.  It asks, by
 * saying so in its heartbeats.  When it has heard nobody with keys for 5 s it
 * begins a lineage; of several that join, the one of the lowest number does.
 */
#ifndef CLUSTER_PEERS_H
#define CLUSTER_PEERS_H

#include "cluster/servers_file.h"
#include "proto/mesh.h"
#include "proto/mesh_message.h"

#define PEERS_ERROR   512
#define CLOCK_SAMPLES 8

/* One measurement, in the manner of NTP (RFC 5905, 8). */
struct clock_sample {
	ticks rtt;
	int64_t offset; /* the peer's clock less ours */
};

struct peer {
	struct server_entry entry;
	bool alive;
	ticks heard;           /* boot time of the last heartbeat */
	struct heartbeat last;
	ticks got;             /* cluster time of its arrival */
	unsigned samples;      /* taken so far, of which the last CLOCK_SAMPLES are kept */
	struct clock_sample sample[CLOCK_SAMPLES];
	bool clock_far;        /* it refuses us for our clock: far_offset is all that is known */
	int64_t far_offset;
	ticks far_at;          /* boot time */
	bool has_keys_sent;
	ticks keys_sent;       /* boot time */
	enum mesh_status told; /* its last answer to an init */
	ticks told_at, told_since; /* boot times: of the last such answer, of the first in a row */
	struct mesh_link link;
};

/* X(name, key, text) */
#define PEERS_EVENTS(X)                                                                            \
	X(INITS, "inits", "sessions with other servers that were asked for")                       \
	X(SESSIONS, "sessions", "sessions with other servers that were begun here")                \
	X(HEARTBEATS, "heartbeats", "heartbeats heard")                                            \
	X(KEYS_SENT, "keys_sent", "epoch keys sent to another server")                             \
	X(KEYS_TAKEN, "keys_taken", "lineages of epoch keys taken from another server")            \
	X(KEYS_REFUSED, "keys_refused", "lineages that were not taken: of a far epoch or generation") \
	X(DEATHS, "deaths", "servers that were no longer heard")                                   \
	X(ASKED, "asked", "clients whose session records other servers were asked for")            \
	X(TOLD, "told", "session records told to servers that asked")           
enum peers_event {
#define X(name, key, text) PEERS_##name,
	PEERS_EVENTS(X)
#undef X
	PEERS_EVENT_COUNT
};
const char *peers_event_key(enum peers_event e);

struct peers_options {
	uint16_t number;
	const uint8_t *secret;  /* X25519, this server's own */
	struct server *server;  /* whose lineages these are */
	struct output *out;
	uint8_t version[3];     /* of the program */
	bool waits;             /* it may be listed later: until then it begins no lineage */
	/* a message that is not of this layer (MESH_FIRST_FREE …), or NULL; false: malformed */
	bool (*receive)(void *arg, uint16_t from, const uint8_t *message, size_t len);
	void *receive_arg;
};

struct peers {
	struct peers_options o; /* without the secret */
	struct key_pair pair;
	unsigned count;
	struct peer *peer[SERVERS_MAX]; /* in the order of their numbers */
	bool listed;       /* this server is in the list, with its own key */
	bool draining;
	uint16_t withdrawn; /* of this server, for its heartbeats (mesh_message.h) */
	uint64_t cluster_keys[CLUSTER_KEYS_MAX]; /* this server's: cluster_key_name(), the newest first; 0: none */
	ticks next_beat;   /* boot time */
	ticks ticked;      /* boot time of the last tick */
	ticks quiet_since; /* boot time: no living server with keys has been heard since */
	unsigned lineages;
	struct lineage_name highest; /* zeros without lineages */
	uint64_t digest;
	int64_t clock_off; /* the median of all servers' clocks less ours */
	unsigned clocks;   /* of so many */
	_Atomic bool withdraw;
	uint16_t taken_at; /* not 0: the server where another one lives under our number */
	uint64_t results[MESH_RESULT_COUNT], events[PEERS_EVENT_COUNT];
};

void peers_init(struct peers *p, const struct peers_options *o, const struct instant *now);
void peers_free(struct peers *p);
/* NULL: this server is in the list, with its own key.  Or why not: "this server has …". */
const char *peers_unlisted(const struct peers *p, const struct server_list *list);
/* May this be the list?  Else -EINVAL and a sentence: this server is not in it and does not wait for that. */
int peers_check(const struct peers *p, const struct server_list *list, char error[PEERS_ERROR]);
/*
 * The servers.  At the start and at each change.  Sessions with servers that have gone or have another key
 * are over at once.  0, or a negative errno with a sentence and nothing changed.
 */
int peers_set(struct peers *p, const struct server_list *list, char error[PEERS_ERROR]);

/* Any datagram; borrowed. */
enum mesh_result peers_receive(struct peers *p, const struct instant *now,
		const struct endpoint *from, const uint8_t *packet, size_t len);
/* What is due.  The boot time of the next call, at the latest. */
ticks peers_tick(struct peers *p, const struct instant *now);
/* A message to one server, for other parts of the cluster; false: there is no session with it. */
bool peers_send(struct peers *p, uint16_t number, const uint8_t *message, size_t len);
void peers_goodbye(struct peers *p);
/* Do others have the newest cluster key of this server?  This one; all that live. */
bool peer_has_newest_key(const struct peers *p, const struct peer *r);
bool peers_have_newest_key(const struct peers *p);

/* ---- session records (peers_sessions.c) ---- */

/* Asks every living server for the session records of these clients. */
void peers_ask(struct peers *p, const uint32_t *index, unsigned count);

/* ---- epoch keys (peers_keys.c) ---- */

/* A new generation from fresh randomness, which goes to every living server at once. */
int peers_rotate(struct peers *p, const struct instant *now);

/* ---- clocks (peers_clock.c) ---- */

/* The measurement with the shortest round trip of the last ones; false: there is none. */
bool peer_clock(const struct peer *r, struct clock_sample *best);
/*
 * This server's clock is more than 1 s off the median of at least three servers:
 * it should not announce itself.  From any thread.
 */
bool peers_withdraw(const struct peers *p);

#endif
