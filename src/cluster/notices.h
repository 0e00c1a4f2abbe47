/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * What one other server needs to know at once, and nobody else.
 *
 * Session records that somebody needs before the registry brings them: a server
 * that is sending to a client hears over the mesh at once where the client has
 * gone, or that it has a new session (PROTOCOL.md, "Mesh").
 *
 *	B, which sends to the client    ─ SENDING, each 10 s ─►  W, which wrote its record
 *	X, which takes a HELLO of it    ─ RECORD ────────────►  W  ─ RECORD ─►  B
 *	W, if it takes the HELLO itself ─ RECORD ────────────────────────────►  B
 *
 * Nothing of it is repeated or acknowledged: what is lost comes by the registry.
 * It costs nothing for a packet, and nothing for a client to whom only one server
 * sends.
 *
 * And an ICMP "too big" about a packet that another server has sent: TOO_BIG, with
 * the header that it quotes.  Anybody can cause it, so there are few.
 */
#ifndef CLUSTER_NOTICES_H
#define CLUSTER_NOTICES_H

#include "proto/mesh_message.h"
#include "proto/server.h"

#define NOTICE_SENDING MESH_NOTICES
#define NOTICE_RECORD  (MESH_NOTICES + 1)
#define NOTICE_TOO_BIG MESH_TOO_BIG
#define NOTICE_KEPT    TICKS_S(12) /* who was sending is told for so long */

struct notices_options {
	uint16_t number;
	struct server *server;
	/* To another server; false: it cannot be reached now. */
	bool (*send)(void *arg, uint16_t to, const uint8_t *message, size_t len);
	void *send_arg;
	/* ICMP says so of a packet that may be this server's (server_too_big()). */
	void (*too_big)(void *arg, const uint8_t quoted[HEADER_SIZE]);
	void *too_big_arg;
};

struct notices;

/* NULL: out of memory or descriptors. */
struct notices *notices_new(const struct notices_options *o);
void notices_free(struct notices *n);
/* To be polled by the main thread. */
int notices_event(const struct notices *n);
/* A record_written function (server.h): any thread, under the server's lock. */
void notices_written(void *arg, const struct client *client, const struct session_record *old,
		const struct session_record *now);
/* An others_too_big function (server.h): any worker. */
void notices_too_big(void *arg, uint16_t server, const uint8_t quoted[HEADER_SIZE]);

/* The rest in the main thread. */

/* A server_sending function (server.h). */
void notices_sending(void *arg, const struct client *client, uint16_t writer);
/* What has been left by the three above; when the descriptor is readable, and after each server_tick(). */
void notices_serve(struct notices *n, const struct instant *now);
/* A message of the mesh.  False: malformed. */
bool notices_take(struct notices *n, const struct instant *now, uint16_t from,
		const uint8_t *message, size_t len);
/* X(name, key, text) */
#define NOTICES_COUNTERS(X)                                                                        \
	X(SENT, "records_sent", "session records sent to servers that send to the client")         \
	X(TAKEN, "records_taken", "session records that came from another server")
enum notices_counter {
#define X(name, key, text) NOTICES_##name,
	NOTICES_COUNTERS(X)
#undef X
	NOTICES_COUNTER_COUNT
};
const char *notices_counter_key(enum notices_counter c);
/* By their enum; zeros if there are no notices. */
const uint64_t *notices_counters(const struct notices *n);

#endif
