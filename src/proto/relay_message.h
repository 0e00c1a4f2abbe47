/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * What a connection controller asks the cluster about relays, and what it is
 * told: the control messages RELAY and RELAY_ANSWER (PROTOCOL.md, "Relay
 * control").  Reading and writing them is here; server_relay.c takes questions,
 * uplink_relay.c asks them.
 *
 * A question may be repeated, to any server: what it is about is named by an id
 * that the controller has drawn, and its answer by a number.
 */
#ifndef PROTO_RELAY_MESSAGE_H
#define PROTO_RELAY_MESSAGE_H

#include "proto/relay.h"

/* X(name, value, key, text): the outcome of a request, as the controller is told.  0 … 255 on the wire. */
#define RELAY_STATUSES(X)                                                                          \
	X(OK, 0, "ok", "done")                                                                     \
	X(PENDING, 1, "pending", "not yet settled in the cluster: ask again")                      \
	X(UNKNOWN, 2, "unknown", "there is no relay with this id")                                 \
	X(NO_RIGHT, 3, "no_right", "this client does not have the right to make relays")           \
	X(NOT_YOURS, 4, "not_yours", "the relay belongs to another controller")                    \
	X(LIMIT, 5, "limit", "this controller has as many relays as it may have")                  \
	X(NO_PORTS, 6, "no_ports",                                                                 \
	  "no free ports are left for relays: those of relays that end are free 600 s later")      \
	X(DENIED, 7, "denied", "relays may not lead to this address")                              \
	X(FAMILY, 8, "family", "the cluster has no anycast address of this family")                \
	X(MALFORMED, 9, "malformed", "not a request that can be understood")                       \
	X(EXISTS, 10, "exists", "this id has been used for another relay, or one that has ended")  \
	X(OFF, 11, "off", "this cluster makes no relays")                                          \
	X(UNREACHABLE, 12, "unreachable", "the far side does not answer, or refuses")              \
	X(LOST, 13, "lost", "its ports turned out to be another relay's: make it again, with a new id")
enum relay_status {
#define X(name, value, key, text) RELAY_STATUS_##name = value,
	RELAY_STATUSES(X)
#undef X
};
/* Of one that is not in the list, from a server of a later version: "other". */
const char *relay_status_key(enum relay_status s);
const char *relay_status_text(enum relay_status s);

/* X(name, value, key) */
#define RELAY_OPS(X)                                                                               \
	X(ADD, 1, "add")                                                                           \
	X(REFRESH, 2, "refresh")                                                                   \
	X(REMOVE, 3, "del")                                                                        \
	X(GET, 4, "get")                                                                           \
	X(LIST, 5, "list")
enum relay_op {
#define X(name, value, key) RELAY_OP_##name = value,
	RELAY_OPS(X)
#undef X
};

#define RELAY_FOR_EVER UINT32_MAX /* of `left` */
#define RELAY_PAGE     8          /* relays in one answer, at most; as many as fit */

struct relay_request {
	uint8_t id[RELAY_ID_SIZE];
	uint8_t protocol, span;
	uint16_t lifetime; /* s; 0: for ever, the operator's alone */
	bool even;         /* with a span of 2: the first port is even (RTP) */
	struct relay_side side[2]; /* kind, v4, given; the rest is not looked at */
};

struct relay_question {
	uint8_t op;      /* enum relay_op, or one of a later version */
	uint32_t number; /* drawn for each question; its repetitions have the same one */
	/* Of ADD all; else the id, of REFRESH also the lifetime.  LIST: those above this id. */
	struct relay_request request;
};

/* What a controller is told of a relay. */
struct relay_view_side {
	uint8_t kind;          /* enum relay_side_kind */
	bool latched[RELAY_SPAN_MAX]; /* each port of the span is learnt apart */
	struct endpoint ours;  /* what the side is to talk to: an anycast address and a port */
	struct endpoint given; /* as in struct relay_side */
	struct endpoint at[RELAY_SPAN_MAX]; /* where it is; zeros until it is latched */
	char token[RELAY_TOKEN_SIZE]; /* TOKEN; else zeros */
};
struct relay_view {
	uint8_t id[RELAY_ID_SIZE];
	uint8_t protocol, span;
	uint8_t status; /* enum relay_status: OK, PENDING, UNREACHABLE */
	uint32_t left;  /* s until it ends if it is not refreshed */
	struct relay_view_side side[2];
};

struct relay_answer {
	uint8_t op;
	uint32_t number;
	uint8_t status; /* enum relay_status, or one of a later version */
	bool more;      /* LIST: there are others above the last of these */
	uint8_t count;  /* of ADD, REFRESH and GET: 1 if OK */
	struct relay_view relay[RELAY_PAGE];
};

#define RELAY_QUESTION_SIZE 68
#define RELAY_ANSWER_FIXED  9
#define RELAY_ANSWER_MAX    1184 /* fits every path that anytun uses, in one packet */

/* As those of wire.h.  A request that is read may still be unsound. */
bool relay_question_read(struct relay_question *q, const uint8_t *plain, size_t len);
size_t relay_question_write(uint8_t out[RELAY_QUESTION_SIZE], const struct relay_question *q);
bool relay_answer_read(struct relay_answer *a, const uint8_t *plain, size_t len);
/* As many relays as fit; `more` is set if some do not. */
size_t relay_answer_write(uint8_t out[RELAY_ANSWER_MAX], const struct relay_answer *a);

/* Of ADD: kinds, families, protocol and span are such as there are, and fit each other. */
bool relay_request_sound(const struct relay_request *q);

#endif
