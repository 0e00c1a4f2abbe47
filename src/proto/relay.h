/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * A relay: two sides, two ports on the anycast address.  What side 1 sends to
 * port 1 leaves from port 2 to side 2, and the other way round; nothing is
 * encapsulated and no flow is terminated (PROTOCOL.md, "Relays").
 *
 * Here: what a relay is, its record (registry, mesh), how two records of one
 * relay become one, the token, and the numbers by which the two halves of a
 * spliced TCP connection differ.  Pure: no tables, no clock.
 *
 * Any server carries any packet of any relay, because all that it must know is
 * in the record, and the record changes only when the controller asks, and once
 * when a side is learnt (a "latch").  What the record does not hold is computed
 * from it, so all servers compute the same.
 */
#ifndef PROTO_RELAY_H
#define PROTO_RELAY_H

#include "base/addr.h"
#include "base/cursor.h"
#include "proto/crypto.h"

#define RELAY_ID_SIZE    16 /* the controller's request id, drawn at random */
#define RELAY_TOKEN_SIZE 64 /* ASCII, so that a shell can send it */
#define RELAY_SPAN_MAX   2  /* consecutive ports of one side: RTP and RTCP */

enum relay_protocol { RELAY_TCP = 6, RELAY_UDP = 17 }; /* IANA numbers */

/*
 * No controller's changes, one a second at most, come so far.  A record that claims to be beyond it
 * is refused; at it a version stays, and what else the order of records looks at decides.
 */
#define RELAY_VERSION_MAX (1ull << 32)

/* X(name, value, key, text): how the cluster knows a side. */
#define RELAY_SIDE_KINDS(X)                                                                        \
	X(GIVEN, 1, "given", "address and port are given")                                         \
	X(HOST, 2, "host", "the address is given, the port is learnt from its first packet")       \
	X(LEARNT, 3, "learnt", "learnt from the first packet, whoever sends it")                   \
	X(TOKEN, 4, "token", "learnt from whoever shows the token first")                          \
	X(HINTED, 5, "hinted", "sent to where its controller says, and learnt from the first packet; UDP")
enum relay_side_kind {
#define X(name, value, key, text) RELAY_##name = value,
	RELAY_SIDE_KINDS(X)
#undef X
};
const char *relay_side_kind_key(enum relay_side_kind kind);

/*
 * What was learnt of a side, by the server that latched it.  In TCP GIVEN sides
 * listen and the others call.  A caller is answered either when the other side
 * is known (held) or at once (deferred: those that show a token).
 */
struct relay_leg {
	/*
	 * 0: not latched; a side that shows its token again gets the next one.  HINTED: odd while the
	 * place is only what the controller has said, even once a packet has come.
	 */
	uint8_t generation;
	uint16_t server;     /* who latched it; the lower one of two in the same generation wins */
	struct endpoint at;
	/* TCP, from its SYN or SYN-ACK */
	uint32_t isn;        /* its own initial sequence number */
	uint32_t ours;       /* the one that it was, or is to be, told as the other side's */
	uint8_t skip;        /* bytes of its stream that servers consumed: RELAY_TOKEN_SIZE or 0 */
	uint8_t wscale;      /* it offered; RELAY_NO_WSCALE: none */
	uint8_t our_wscale;  /* it was promised; meaningless without its own */
	bool sack, timestamps; /* it offered */
	uint16_t mss, window;
	uint32_t tsval;
};
#define RELAY_NO_WSCALE  15
#define RELAY_OUR_WSCALE 7 /* promised to a deferred caller that offers scaling, before its peer is known */

struct relay_side {
	uint8_t kind;         /* enum relay_side_kind */
	bool v4;              /* family of the side, and of the anycast address that it talks to */
	struct endpoint given; /* GIVEN, with a span the first port; of HOST the address; else zeros */
	uint16_t port;        /* on the anycast address; with a span the first of them */
	/* One for each port of the span, learnt apart: a NAT may give RTP and RTCP unrelated ports. */
	struct relay_leg leg[RELAY_SPAN_MAX];
};

struct relay {
	uint8_t id[RELAY_ID_SIZE];
	uint64_t version;    /* raised by each change that the controller asks for; 1 … RELAY_VERSION_MAX */
	uint16_t server;     /* that made this version */
	uint8_t protocol;    /* enum relay_protocol */
	uint8_t span;        /* 1 or 2 */
	bool even;           /* with a span of 2: the first port of each side is even (RTP) */
	bool settled;        /* its ports are its own: the registry has shown it as the first one */
	bool removed;        /* tombstone: kept for a while so that no older record comes back */
	bool lost;           /* removed because its ports turned out to be another one's */
	uint32_t owner;      /* client index of its controller; 0: the operator */
	uint64_t created;    /* Unix seconds */
	/* Unix seconds, 0: never; moved on by the controller's refresh alone.  Removed: to be forgotten then. */
	uint64_t expires;
	struct relay_side side[2];
};

static inline bool relay_latched(const struct relay_side *s, unsigned offset)
{
	uint8_t generation = s->leg[offset].generation;

	return generation != 0 && (s->kind != RELAY_HINTED || generation % 2 == 0);
}

/* Packets are sent there, a few, though nothing has come from there. */
static inline bool relay_unanswered(const struct relay_side *s, unsigned offset)
{
	return s->kind == RELAY_GIVEN ? !relay_latched(s, offset) :
			s->kind == RELAY_HINTED && s->leg[offset].generation % 2 == 1;
}

static inline void relay_raise(struct relay *r)
{
	r->version += r->version < RELAY_VERSION_MAX;
}

/* For tables: ids are chosen by controllers, so the key is random. */
static inline uint32_t relay_id_hash(const uint64_t key[2], const uint8_t id[RELAY_ID_SIZE])
{
	uint64_t half[2];
	unsigned __int128 product;

	memcpy(half, id, sizeof half);
	product = (unsigned __int128)(half[0] ^ key[0]) * (half[1] ^ key[1]);
	return (uint32_t)((uint64_t)product ^ (uint64_t)(product >> 64));
}

/* TCP: GIVEN sides listen, the others call. */
static inline bool relay_listens(const struct relay_side *s)
{
	return s->kind == RELAY_GIVEN;
}

/* Where packets to this port of the side are sent; NULL: not known yet.  May be put in *room. */
static inline const struct endpoint *relay_side_at(const struct relay_side *s, unsigned offset,
		struct endpoint *room)
{
	if (s->leg[offset].generation)
		return &s->leg[offset].at;
	if (s->kind != RELAY_GIVEN)
		return NULL;
	*room = s->given;
	room->port = (uint16_t)(room->port + offset);
	return room;
}

/* ---- record (relay_record.c) ---- */

#define RELAY_RECORD_SIZE 176 /* of one port a side */
#define RELAY_RECORD_MAX  256 /* of two */
/* Bytes written; 0: not sound, see below. */
size_t relay_write(uint8_t out[RELAY_RECORD_MAX], const struct relay *r);
/* False: malformed, and *r is untouched.  What is read is sound. */
bool relay_read(struct relay *r, const uint8_t *in, size_t len);
/*
 * Kinds, families, ports and spans fit each other, legs fit their sides (a GIVEN one is at the
 * given endpoint, a HOST one at the given address), what is not used is zero.
 */
bool relay_sound(const struct relay *r);
bool relay_equal(const struct relay *a, const struct relay *b);
/* Of one request: the same owner, protocol, span and sides, as far as they were given. */
bool relay_same_request(const struct relay *a, const struct relay *b);
/*
 * Two sound records of one id: what each knows best.  The controller's part comes from the higher
 * version (see relay_record.c for ties), each leg from the higher generation, then the lower server.
 * Commutative, associative, idempotent: servers that have exchanged records have the same one,
 * in whatever order those came.  False: *a was the result already.
 */
bool relay_merge(struct relay *a, const struct relay *b);

/* ---- token (relay_token.c) ---- */

/*
 * key: relay_key(), proto/epoch.h.  base64url without padding of
 * id 16 | side 1 | zeros 7 | HMAC(key, "token" | the 24 bytes before)[0..23]
 */
void relay_token(const uint8_t key[KEY_SIZE], const uint8_t id[RELAY_ID_SIZE], unsigned side,
		char token[RELAY_TOKEN_SIZE]);
/* Any server can check any token, with no record; constant time.  side: 0 or 1. */
bool relay_token_check(const uint8_t key[KEY_SIZE], const char token[RELAY_TOKEN_SIZE],
		uint8_t id[RELAY_ID_SIZE], unsigned *side);

/* ---- TCP (relay_splice.c) ---- */

/*
 * A deferred caller is answered with an initial sequence number from which, with the
 * caller's own, any server recovers what its SYN offered, with nothing stored:
 *
 *	ours − isn = H25 | wscale 4 | sack 1 | small 1 | 0      H25: keyed hash of the four-tuple
 *
 * small: its MSS is below ours, and so its peer is told the least there is.  It proves
 * nothing by itself: who has seen one answer can compute others.  The token authorises.
 */
uint32_t relay_isn(const uint8_t key[KEY_SIZE], const struct endpoint *caller, uint16_t port,
		uint32_t isn, uint8_t wscale, bool sack, bool small);
/*
 * From a segment of a deferred caller (seq and ack in host order, len bytes of payload):
 * what its leg will be, but for the window.  mss is 0, or 536 if it was small.  False: not a
 * segment that this caller sends before the splice.  With len > 0 seq is isn + 1; a pure ACK
 * has isn + 1, a keep-alive isn: the last bit tells which.  What comes once the token is
 * acknowledged is known from the leg.
 */
bool relay_isn_recover(const uint8_t key[KEY_SIZE], const struct endpoint *caller, uint16_t port,
		uint32_t seq, uint32_t ack, size_t len, struct relay_leg *leg);

/*
 * Packets from side `from` may be sent on: the other side is known and, in TCP, has been
 * or will be told numbers that fit.  A listener that answered an earlier call of its token
 * caller does not fit: leg.ours tells which call it answered.  offset: of the port in the span.
 */
bool relay_ready(const struct relay *r, unsigned from, unsigned offset);

/* The initial sequence number that this side is told as the other side's; both are latched. */
uint32_t relay_told_isn(const struct relay *r, unsigned side);
/* The window scale that it is told, and that its own windows have; RELAY_NO_WSCALE, 0: none. */
uint8_t relay_told_wscale(const struct relay *r, unsigned side);
uint8_t relay_own_wscale(const struct relay *r, unsigned side);

/*
 * What is done to a segment from side `from` on its way to the other, once both are latched.
 * All zero where the two kernels talk to each other as they are (listeners, two held callers).
 */
struct relay_shift {
	uint32_t seq;   /* added to SEQ */
	uint32_t ack;   /* added to ACK and to SACK blocks */
	int8_t window;  /* the window is shifted left by this, right if negative, at most 65535 */
	bool any;       /* not all zero */
};
void relay_shift(const struct relay *r, unsigned from, struct relay_shift *shift);

#endif
