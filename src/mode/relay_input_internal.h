/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * What the files of the slow path share.  Nothing of a relay is kept here but
 * packets that wait for at most 100 ms and timers: whatever is lost with a
 * server, another one makes again from the record and the callers' own
 * retransmissions.
 */
#ifndef MODE_RELAY_INPUT_INTERNAL_H
#define MODE_RELAY_INPUT_INTERNAL_H

#include "mode/relay_input.h"
#include "mode/relay_input_packet.h"

/* The outcome for a packet: one of enum relay_drop, or this. */
#define RELAY_TAKEN RELAY_DROP_COUNT

/* So many events in a window of a second. */
struct relay_bucket {
	uint32_t second, count;
};
#define RELAY_BUCKETS 256 /* relays and senders share them by a hash: a stranger's share is bounded */

#define RELAY_PARKED     64                /* packets of each class that wait */
#define RELAY_PARK_TIME  TICKS_MS(100)
#define RELAY_PARK_SHARE 16                /* of them for one port */
struct relay_parked {
	ticks until;              /* 0: the place is free */
	uint8_t reason;           /* enum relay_drop, if nothing comes of it */
	struct relay_key key;
	uint16_t len;
	uint8_t data[RELAY_CAPTURE];
};

#define RELAY_WAKES 1024
/* Something that is said to a side again until it has been heard. */
struct relay_wake {
	ticks next;               /* 0: the place is free */
	uint8_t id[RELAY_ID_SIZE];
	uint8_t side, tries;
	struct relay_key key;
	uint64_t passed;
};

#define RELAY_ASKED 4096 /* ports for which the others have been asked lately, by a hash */
struct relay_asked {
	uint32_t port_key;
	ticks until;
};

struct relay_input {
	struct relay_input_options o;
	struct instant now;       /* of the call that is under way */
	bool busy, latching, again; /* in a packet; in relays_latch(); parked packets are to be tried */
	uint64_t drops[RELAY_DROP_COUNT];
	struct relay_parked parked[2 * RELAY_PARKED]; /* for unknown relays, then for known ones */
	unsigned parked_count;
	struct relay_wake wakes[RELAY_WAKES];
	unsigned wake_count;
	struct relay_asked asked[RELAY_ASKED];
	struct relay_bucket asks, errors;
	struct relay_bucket unanswered[RELAY_BUCKETS], errors_of[RELAY_BUCKETS];
	uint64_t salt;            /* of the hash: whom one shares with cannot be chosen */
	uint8_t segment[RELAY_CAPTURE];                   /* of a GSO frame that came */
	uint8_t out[RELAY_CAPTURE + RELAY_IPV6_HEADER];   /* what is being sent */
};

/* ---- relay_input.c ---- */

/* One packet, fresh or parked: sent on, answered, or what became of it. */
unsigned relay_input_take(struct relay_input *in, const struct relay_packet *p);
bool relay_bucket_pass(struct relay_bucket *b, const struct instant *now, uint32_t most);
/* A bucket of many, by what is hashed. */
struct relay_bucket *relay_bucket_of(const struct relay_input *in, struct relay_bucket *buckets,
		const void *what, size_t len);
/* One more packet to a side that has not answered?  Counts it. */
bool relay_input_admit(struct relay_input *in, const struct relay *r, const uint8_t ip[16]);
const uint8_t *relay_input_anycast(const struct relay_input *in, bool v4);
/*
 * The packet as the other side is to get it: rewritten, in TCP shifted, SYNs clamped.  The
 * other side is known.  RELAY_TAKEN or a drop.
 */
unsigned relay_input_forward(struct relay_input *in, const struct relay_packet *p,
		const struct relay *r, unsigned from, unsigned offset);
/* relays_latch(), which calls relay_input_changed(); pointers to relays are to be looked up again. */
bool relay_input_latch(struct relay_input *in, const struct relay *r, unsigned side,
		unsigned offset, const struct relay_leg *leg, bool token_shown);
/* The payload is a token for this side of this relay. */
bool relay_input_token(const struct relay_input *in, const struct relay_packet *p,
		const struct relay *r, unsigned side);
/* A packet from here may teach this side, if it has not been learnt. */
bool relay_input_fits(const struct relay_side *side, unsigned offset,
		const struct endpoint *from);

/* ---- relay_input_udp.c, relay_input_tcp.c ---- */

/* offset: of the port in a span. */
unsigned relay_input_udp(struct relay_input *in, const struct relay_packet *p, const struct relay *r,
		unsigned side, unsigned offset);
unsigned relay_input_tcp(struct relay_input *in, const struct relay_packet *p, const struct relay *r,
		unsigned side);

/* ---- relay_input_answer.c: TCP segments of our own ---- */

/* To a deferred caller: stateless. */
void relay_answer_deferred(struct relay_input *in, const struct relay_packet *syn,
		const struct relay *r, unsigned side);
/* To a held caller, from the other's SYN; tsval: the one to be echoed. */
void relay_answer_held(struct relay_input *in, const struct relay *r, unsigned side, uint32_t tsval);
/* To a caller before the splice: its keep-alive, its zero-window probe, its token. */
void relay_answer_wait(struct relay_input *in, const struct relay_packet *p, const struct relay *r,
		unsigned side, uint32_t ack, uint16_t window);
/* The splice is made: opens the window of this side, or ends its handshake. */
void relay_answer_open(struct relay_input *in, const struct relay *r, unsigned side);
/* To the listener of a token caller. */
void relay_answer_call(struct relay_input *in, const struct relay *r, unsigned side);
/* To a deferred caller whose listener refuses. */
void relay_answer_refuse(struct relay_input *in, const struct relay *r, unsigned side);

/* ---- relay_input_wake.c ---- */

/* What is due to each side after this change is said, and repeated. */
void relay_wake_changed(struct relay_input *in, const struct relay *was, const struct relay *r);
/* As long as a caller probes: the listener may not have heard us. */
void relay_wake_listener(struct relay_input *in, const struct relay *r, unsigned side);
/* Nothing more is to be said to this side. */
void relay_wake_end(struct relay_input *in, const struct relay *r, unsigned side);
ticks relay_wake_tick(struct relay_input *in);

/* ---- relay_input_parked.c ---- */

/* A copy waits for a record; false: no room. */
bool relay_park(struct relay_input *in, const struct relay_packet *p, enum relay_drop reason);
/* All that wait, in the order in which they came. */
void relay_park_retry(struct relay_input *in);
ticks relay_park_tick(struct relay_input *in);
/*
 * May another server know what this packet lacks here: the relay, the other side, or who has
 * shown the token of its own side (in TCP the caller shows it to every server that he reaches)?
 */
bool relay_may_wait(struct relay_input *in, const struct relay_packet *p, unsigned result);
/* The other servers are asked for a port, now and then. */
void relay_ask(struct relay_input *in, const struct relay_packet *p);

/* ---- relay_input_icmp.c ---- */

unsigned relay_input_icmp(struct relay_input *in, const struct relay_event *e);
/* To the sender of a relayed packet: hop limit used up, or larger than the way out takes (mtu > 0). */
unsigned relay_input_error(struct relay_input *in, const struct relay_packet *p, uint32_t mtu);

#endif
