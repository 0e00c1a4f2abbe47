/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Pieces (PROTOCOL.md, "Pieces"): an inner packet of at most 1280 bytes that
 * does not fit the path crosses it in two plaintexts, because IPv6 promises its
 * users that 1280 bytes pass (RFC 8200 section 5).
 *
 *	0x20 + last | index | id u16 | bytes
 *
 * Piece 0 holds at least half of the packet and is never padded; piece 1, the
 * last, may be.  So the joined packet may end in padding, and is cut to the
 * length in its IP header like any other.
 */
#ifndef PROTO_PIECE_H
#define PROTO_PIECE_H

#include "base/util.h"
#include "proto/wire.h"

#define PIECE_PACKET_MAX 1280
#define PIECE_ENTRIES    64
#define PIECE_LIFETIME   TICKS_S(1)

/*
 * How to cut a packet of len bytes for plaintexts of at most room bytes (with
 * the piece header): cut[i] bytes go into piece i.  false if two pieces cannot
 * carry it.
 */
bool piece_split(size_t len, size_t room, size_t cut[2]);
void piece_header(uint8_t out[PIECE_HEADER], unsigned index, uint16_t id);

/* Packets of which one piece is there.  Of one thread; about 130 KB, zeroed by its owner. */
struct pieces {
	struct piece_entry {
		uint64_t key;
		ticks since;
		uint16_t id;
		uint16_t len; /* of the piece that is there; 0: the entry is free */
		uint8_t index;
	} entry[PIECE_ENTRIES];
	/* Room for piece 0, and behind it for piece 1, which is at most half of a packet. */
	uint8_t data[PIECE_ENTRIES][PIECE_PACKET_MAX + PIECE_PACKET_MAX / 2];
};

struct piece_result {
	bool refused;          /* malformed, or this piece is there already */
	unsigned lost;         /* packets given up: too old, or no room for all */
	const uint8_t *packet; /* both pieces are there: the packet, until the next call; or NULL */
	size_t len;            /* its length with padding */
};

/*
 * plain is a verified plaintext whose first nibble is INNER_PIECE.  key says
 * whose ids these are: one session and sender.  now: boot time.
 */
struct piece_result pieces_add(struct pieces *p, uint64_t key, const uint8_t *plain, size_t len,
		ticks now);
/* Gives up what is too old; the number of packets lost. */
unsigned pieces_expire(struct pieces *p, ticks now);

#endif
