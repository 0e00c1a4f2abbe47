/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * What servers say to each other about relays (PROTOCOL.md, "Relays"): a record
 * that has changed goes to all living servers at once; who gets a packet for a port
 * that it does not know asks them all.  Nothing is repeated: what is lost comes
 * by the registry, or by the next question.  No descriptors and no clock.
 *
 * The main thread's, without the table's lock, which is taken here.
 */
#ifndef CLUSTER_RELAY_MESH_H
#define CLUSTER_RELAY_MESH_H

#include "cluster/servers_file.h"
#include "mode/relays.h"
#include "proto/mesh_message.h"

/* X(name, value, key): the first byte of a message of the mesh. */
#define RELAY_MESH_MESSAGES(X)                                                                     \
	X(RECORD, MESH_RELAYS, "record") /* a relay, as it is known now */                         \
	X(ASK, MESH_RELAYS + 1, "ask")   /* who has this port? */                                  \
	X(NONE, MESH_RELAYS + 2, "none") /* not this server */
enum relay_mesh_message {
#define X(name, value, key) RELAY_MESH_##name = value,
	RELAY_MESH_MESSAGES(X)
#undef X
};
#define RELAY_MESH_MAX (1 + RELAY_RECORD_MAX)
#define RELAY_QUESTIONS 64       /* open at once */
#define RELAY_QUESTION_LIFE TICKS_MS(200)
#define RELAY_ASK_RATE    500    /* questions a second, to all servers */
#define RELAY_ANSWER_RATE 2000   /* answers a second, to each server; records sent back as well */

/* X(key, text) */
#define RELAY_MESH_COUNTERS(X)                                                                     \
	X(records, "records of relays that came over the mesh")                                    \
	X(asked, "ports that other servers were asked for")                                        \
	X(answers, "ports that others asked for, and this server knew")                            \
	X(nobody, "ports that no living server knew")                                              \
	X(limited, "questions and answers beyond their rate")                                      \
	X(malformed, "messages about relays that could not be read")
struct relay_mesh_counts {
#define X(key, text) uint64_t key;
	RELAY_MESH_COUNTERS(X)
#undef X
};

struct relay_port {
	bool v4;
	uint8_t protocol;
	uint16_t port;
};

struct relay_mesh_options {
	struct relays *relays;
	/* To one server (peers_send()); it is lost if there is no session with it. */
	void (*send)(void *arg, uint16_t to, const uint8_t *message, size_t len);
	/* The numbers of the other servers that live; how many. */
	unsigned (*living)(void *arg, uint16_t list[SERVERS_MAX]);
	void *arg;
};

struct relay_question_open {
	struct relay_port port;
	ticks until; /* boot time; 0: free */
	unsigned waits;
	uint16_t from[SERVERS_MAX]; /* who has not answered yet: `waits` of them */
};
struct relay_rate {
	uint64_t second;
	unsigned count;
};

struct relay_mesh {
	struct relay_mesh_options o;
	struct relay_question_open question[RELAY_QUESTIONS];
	struct relay_rate asks, answers[SERVERS_MAX]; /* answers: of number modulo SERVERS_MAX */
	struct relay_mesh_counts count;
};

void relay_mesh_init(struct relay_mesh *m, const struct relay_mesh_options *o);
/* A relay has changed here (relays_options.publish). */
void relay_mesh_publish(struct relay_mesh *m, const struct relay *r);
/* relay_output.ask; one that is open already is not asked again. */
void relay_mesh_ask(struct relay_mesh *m, const struct instant *now, const struct relay_port *port);
/* peers_options.receive; false: not a message about relays. */
bool relay_mesh_receive(struct relay_mesh *m, const struct instant *now, uint16_t from,
		const uint8_t *message, size_t len);

/* Reading and writing, for tests.  False: malformed, and nothing was touched. */
size_t relay_port_write(uint8_t out[RELAY_MESH_MAX], enum relay_mesh_message type,
		const struct relay_port *port);
bool relay_port_read(struct relay_port *port, const uint8_t *message, size_t len);

#endif
