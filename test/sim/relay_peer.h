/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * A small model of a host's TCP (RFC 9293, with what of RFC 7323 and RFC 2018 two
 * hosts agree on), as strict as Linux where relays could go wrong: it fails the
 * test on an ACK of data that it never sent, a TSecr that it never had, a SACK
 * block outside of what is in flight, or a byte in the wrong place.
 */
#ifndef TEST_SIM_RELAY_PEER_H
#define TEST_SIM_RELAY_PEER_H

#include "mode/relay_input_packet.h"
#include "net.h"

struct peer_options {
	bool listens;
	const char *token;     /* what its stream begins with, and servers take; NULL: none */
	uint8_t wscale;        /* offered; RELAY_NO_WSCALE: none */
	bool sack, timestamps;
	uint16_t mss;
	uint32_t bytes;        /* of its stream, after the token */
	uint32_t room;         /* of its receive buffer */
	ticks delay;           /* before it calls */
};

enum peer_state { PEER_CLOSED, PEER_SYN_SENT, PEER_SYN_RECEIVED, PEER_ESTABLISHED, PEER_RESET };

struct peer {
	struct net *net;
	struct peer_options o;
	struct endpoint at, to;
	unsigned side;
	void (*send)(void *arg, const uint8_t *packet, size_t len);
	void *arg;
	struct peer *other;    /* whose stream comes: its bytes are known by their place */

	enum peer_state state;
	uint32_t iss, una, nxt, max; /* max: what was ever sent */
	uint32_t irs, rcv_nxt, used;
	uint32_t window, wl1, wl2;   /* of the other, in bytes */
	uint8_t own_scale, peer_scale;
	bool sack_ok, ts_ok, fin_received;
	uint32_t ts_offset, ts_recent;
	uint16_t send_mss;
	ticks began, due, pause, answered;
	unsigned syns, probes, resets;
};

void peer_begin(struct peer *p);
void peer_take(struct peer *p, const struct relay_packet *in);
/* All sent and acknowledged, all received, both ends of both streams. */
bool peer_done(const struct peer *p);

#endif
