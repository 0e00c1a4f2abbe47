/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Between the server's own files: server.c (packet path), server_handshake.c,
 * server_path.c and server_relay.c (control messages), server_record.c (where a
 * client is) and server_state.c (tables, epochs, eviction).
 */
#ifndef PROTO_SERVER_INTERNAL_H
#define PROTO_SERVER_INTERNAL_H

#include "proto/active.h"
#include "proto/server.h"

#define PROBE_SIZE_MAX 1500

/* A data packet that has been opened. */
struct arrival {
	const struct datagram *d;
	uint64_t full_t;
	int64_t age; /* 1/16 s */
	uint32_t number;
	uint8_t *plain;
	size_t len;
};

static inline void server_event(struct server *s, enum server_event e)
{
	atomic_fetch_add_explicit(&s->events[e], 1, memory_order_relaxed);
}

/* At most `most` a window for this hash. */
bool limiter_pass(struct limiter *l, uint64_t hash, uint32_t window, uint32_t most);
/* The same for everybody together. */
bool limiter_pass_all(_Atomic uint64_t *slot, uint32_t window, uint32_t most);
uint64_t server_hash(const struct server *s, const void *p, size_t n);

/* message 1 */
enum drop server_handshake(struct server *s, const struct instant *now, const struct datagram *d,
		struct output *out);

/* a HELLO with a ticket */
enum drop server_ticket(struct server *s, const struct instant *now, const struct datagram *d,
		enum aead aead);

/* control message in an accepted packet */
enum drop server_control(struct server *s, const struct instant *now, struct active *a,
		const struct arrival *p, struct output *out);
/* … a RELAY (server_relay.c) */
enum drop server_relay(struct server *s, const struct instant *now, struct active *a,
		const struct arrival *p, struct output *out);
/* Seals plain, which has HEADER_SIZE bytes of room before it and TAG_SIZE after, and sends it. */
void server_reply(struct server *s, const struct instant *now, struct tx_key *tx,
		const struct endpoint *to, uint8_t *plain, size_t len, struct output *out);
/* a HELLO of kind TIME: exempt from the age test, so it comes before acceptance */
enum drop server_time_hello(struct server *s, const struct instant *now, struct active *a,
		const struct arrival *p, struct output *out);
/* its age and its cookie: to be known before a table may change for it */
enum drop server_time_hello_check(const struct instant *now, const struct epoch_keys *k,
		const uint8_t sid[SID_SIZE], const struct arrival *p);
bool is_time_hello(const uint8_t *plain, size_t len);
/* an accepted packet from an address that is not the endpoint on record */
void server_unproven(struct server *s, const struct instant *now, struct active *a,
		const struct arrival *p, const struct session_record *record, struct output *out);
/* Under the lock; the cookie was good: takes over what the HELLO says.  DROP_NONE: acknowledge. */
enum drop server_hello_apply(struct server *s, const struct instant *now, struct active *a,
		const struct arrival *p, const struct hello *h);
/* The record says already what this HELLO says: acknowledge. */
bool server_hello_known(struct server *s, const struct active *a, const struct arrival *p,
		const struct hello *h);
/* (full T, epoch, number): the client alone makes it, so it orders all its packets. */
bool server_version_newer(uint64_t full_t, uint64_t epoch, uint32_t number,
		const struct session_record *than);
/*
 * The epoch keys of a client's session, while they live.  Two lineages may share
 * kid and epoch: the session id tells them apart.
 */
const struct epoch_keys *server_epoch_keys(const struct server *s, uint8_t kid, uint64_t epoch,
		const uint8_t sid[SID_SIZE], uint32_t index);
static inline const struct epoch_keys *active_epoch_keys(const struct server *s,
		const struct active *a)
{
	return server_epoch_keys(s, a->kid, a->epoch, a->sid, a->client->index);
}
/* Under the lock: goes forward to the present epoch. */
void server_step_epochs(struct server *s, const struct instant *now);
/* Makes the sending state if it is not there yet. */
void server_need_tx(struct server *s, const struct instant *now, struct active *a);

struct sighting {
	const struct epoch_keys *keys;
	struct client *client;
	uint8_t sid[SID_SIZE];
	enum aead aead;
	uint8_t s[KEY_SIZE];
};
/*
 * The active session for a sighting: the one in the table, or a new one.  NULL:
 * no place.  Takes the lock.
 */
struct active *server_activate(struct server *s, const struct instant *now,
		const struct sighting *g);
/*
 * A sending state for one packet of a session that is not active here; false if
 * there can be none.  Takes the lock.
 */
bool server_tx_once(struct server *s, const struct instant *now, const struct sighting *g,
		struct tx_key *tx);
/* A packet whose tag is right and whose age is not; a: the active session, if it is in the table. */
void server_time_challenge(struct server *s, const struct instant *now, struct active *a,
		const struct sighting *g, const struct arrival *p, struct output *out);

#endif
