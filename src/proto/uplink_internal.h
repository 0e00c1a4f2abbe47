/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Between the uplink's own files: uplink.c (sessions, receiving, the clock of
 * everything), uplink_handshake.c, uplink_path.c (HELLO, challenges, MTU),
 * uplink_relay.c.
 */
#ifndef PROTO_UPLINK_INTERNAL_H
#define PROTO_UPLINK_INTERNAL_H

#include "proto/uplink.h"

static inline ticks uplink_cluster(const struct uplink *u, const struct instant *now)
{
	return (ticks)((int64_t)now->boot + u->offset);
}

/* x ± 25 % */
ticks uplink_jitter(struct uplink *u, ticks x);
/* Seals plain (HEADER_SIZE bytes of room before it, TAG_SIZE and padding after) in the newest session. */
void uplink_send(struct uplink *u, const struct instant *now, uint8_t *plain, size_t len,
		struct output *out);
void uplink_keepalive(struct uplink *u, const struct instant *now, struct output *out);

/* ---- uplink_handshake.c ---- */
void handshake_want(struct uplink *u, const struct instant *now);
/* The same, and without waiting for the next try: a server has just been heard. */
void handshake_hurry(struct uplink *u, const struct instant *now);
void handshake_step(struct uplink *u, const struct instant *now, struct output *out);
enum drop handshake_message2(struct uplink *u, const struct instant *now, const struct datagram *d,
		struct output *out);
enum drop handshake_retry(struct uplink *u, const struct instant *now, const struct datagram *d,
		struct output *out);
void session_end_now(struct uplink_session *s);
/* How long to wait for the renewal of a session that has so long to live. */
ticks uplink_renewal(struct uplink *u, ticks rest);

/* ---- uplink_path.c ---- */
enum drop uplink_control(struct uplink *u, const struct instant *now, struct uplink_session *s,
		const struct datagram *d, const uint8_t *plain, size_t len, struct output *out);
void hello_begin(struct uplink *u, const struct instant *now, uint8_t kind,
		const struct endpoint *address, const uint8_t cookie[COOKIE_SIZE],
		struct output *out);
/* What the cluster should know has changed: say it with the cookie we have. */
void hello_again(struct uplink *u, const struct instant *now, struct output *out);
/* A server does not know this client: show it the session's ticket, and then say HELLO again. */
void hello_with_ticket(struct uplink *u, const struct instant *now, struct output *out);
void hello_step(struct uplink *u, const struct instant *now, struct output *out);
/* A probe that passes everywhere: what is of interest is who answers. */
void ask_for_server(struct uplink *u, const struct instant *now, struct output *out);
void probe_step(struct uplink *u, const struct instant *now, struct output *out);
/* How long to wait after the n-th of a row: 0.2, 0.4, 0.8 s, then 2, 4 … 16 s ± 25 %. */
ticks uplink_interval(struct uplink *u, unsigned n);

/* ---- uplink_relay.c ---- */
void relay_step(struct uplink *u, const struct instant *now, struct output *out);
ticks relay_deadline(const struct uplink *u);
enum drop relay_take_answer(struct uplink *u, const struct instant *now, const uint8_t *plain,
		size_t len);

#endif
