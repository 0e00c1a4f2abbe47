/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The relays' slow path: what the fast path hands up (bpf/relay_shared.h), and
 * what becomes of it.  Sides are learnt here, SYNs answered, callers spliced, ICMP
 * errors translated.  No descriptors and no clock: packets and time come in,
 * whole IP packets go out.  The relay thread's, with relays->lock held.
 */
#ifndef MODE_RELAY_INPUT_H
#define MODE_RELAY_INPUT_H

#include "bpf/relay_shared.h"
#include "mode/relays.h"

struct relay_output {
	/* A whole IP packet with good checksums, to be routed as it is; borrowed for the call. */
	void (*send)(struct relay_output *out, const uint8_t *packet, size_t len);
	/* No relay with this port is known: the other servers are to be asked (at most so often). */
	void (*ask)(struct relay_output *out, bool v4, uint8_t protocol, uint16_t port);
	/*
	 * How many packets the fast path has sent on from this port here; may be NULL.  Whoever
	 * sends needs no more window updates: without it they end after their last repetition.
	 */
	uint64_t (*passed)(struct relay_output *out, bool v4, uint8_t protocol, uint16_t port);
	/*
	 * A side that has not answered is to be sent a packet, and it is within what its relay may
	 * send.  False: it is too much for this host, of all relays together.  May be NULL.
	 */
	bool (*admit)(struct relay_output *out, const uint8_t ip[16]);
};

struct relay_input;

struct relay_input_options {
	struct relays *relays;
	uint16_t server;        /* number of this one: it speaks first for the legs that it latched */
	const struct relay_keys *keys; /* borrowed; may be changed under the table's lock */
	bool has_v4, has_v6;
	uint8_t anycast4[16], anycast6[16];
	uint16_t mss;           /* clamp of SYNs, and what deferred callers are told */
	struct relay_output *out;
};

/* All memory that it will ever use is made here. */
struct relay_input *relay_input_new(const struct relay_input_options *o);
void relay_input_free(struct relay_input *in);

/* One packet, from its IP header on; e->len < e->whole: its end is missing. */
void relay_input(struct relay_input *in, const struct instant *now, const struct relay_event *e);
/*
 * A record has come or changed, here or elsewhere (as relays_options.changed: was NULL:
 * new, r NULL: gone), to be called from there.  Callers are answered; packets that waited
 * for it are tried by relay_input_tick(), which is due at once if this says true.
 */
bool relay_input_changed(struct relay_input *in, const struct instant *now,
		const struct relay *was, const struct relay *r);
/* Window updates, parked packets; boot time of the next call, at the latest. */
ticks relay_input_tick(struct relay_input *in, const struct instant *now);

/* X(name, key, text): how packets that came up ended, beside those that were sent on. */
#define RELAY_DROPS(X)                                                                             \
	X(UNKNOWN, "relay_unknown", "no server knows a relay with this port")                      \
	X(ADDRESS, "relay_address", "not from the address that was given for the side")            \
	X(TOKEN, "relay_token", "a token that is wrong, or of another relay or side")              \
	X(LIMITED, "relay_unanswered", "more than a side, or host, that has not answered is sent") \
	X(WAITING, "relay_waiting", "the other side of the relay is not known yet")                \
	X(SEQUENCE, "relay_sequence", "a TCP segment that its sender cannot have sent")            \
	X(ICMP, "relay_icmp", "an ICMP error that quotes nothing we have sent, or one too many")   \
	X(ROOM, "relay_room", "more packets wait for an answer than there is room for")            \
	X(MALFORMED, "relay_malformed", "headers that cannot be right")
enum relay_drop {
#define X(name, key, text) RELAY_DROP_##name,
	RELAY_DROPS(X)
#undef X
	RELAY_DROP_COUNT
};
void relay_input_drops(const struct relay_input *in, uint64_t drops[RELAY_DROP_COUNT]);

#endif
