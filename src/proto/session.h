/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * One direction of one session: the expanded key with what belongs to it.  A
 * sending state gives out packet numbers in runs, so that several workers can
 * seal at once without ever sharing one (PROTOCOL.md, "Nonces and limits").
 */
#ifndef PROTO_SESSION_H
#define PROTO_SESSION_H

#include <stdatomic.h>
#include "proto/crypto.h"
#include "proto/wire.h"

struct rx_key {
	struct aead_key key;
	uint8_t iv[NONCE_SIZE];
};

struct tx_key {
	struct aead_key key;
	uint8_t iv[NONCE_SIZE];
	struct header header; /* type, kid and addressee of every packet */
	uint64_t first;       /* number it began with */
	_Atomic uint64_t next;
	_Atomic uint64_t blocks; /* AES blocks used, counted generously */
};

/* Limits of one key.  A new handshake at the soft ones, silence at the hard ones. */
struct key_limits {
	uint64_t soft_packets, soft_blocks, hard_number, hard_blocks;
};
extern const struct key_limits key_limits;

/*
 * A run of reserved numbers, local to one worker and one batch.  What is left
 * of it goes back if nobody has reserved since, else it is never used: later it
 * would lie behind newer numbers.
 */
struct tx_run {
	struct tx_key *key;
	uint32_t next, end;
};

void rx_key_up(struct rx_key *rx, const uint8_t s[KEY_SIZE], enum aead aead);
void rx_key_down(struct rx_key *rx, const uint8_t s[KEY_SIZE], enum aead aead,
		const uint8_t sender[SENDER_SIZE]);
/* The number line, 2^22 a second: a sending state made now begins where no earlier one of the session can have been. */
#define TX_NUMBER_TICKS 4
uint64_t tx_start_number(ticks now, uint64_t epoch);
void tx_key_up(struct tx_key *tx, const uint8_t s[KEY_SIZE], enum aead aead, uint8_t kid,
		const uint8_t sid[SID_SIZE], ticks now, uint64_t epoch);
void tx_key_down(struct tx_key *tx, const uint8_t s[KEY_SIZE], enum aead aead, uint8_t kid,
		const uint8_t sid[SID_SIZE], const uint8_t sender[SENDER_SIZE], ticks now,
		uint64_t epoch);
/* True once the number line has passed what was used: the state may be forgotten. */
bool tx_forgettable(const struct tx_key *tx, ticks now, uint64_t epoch);
/* The cluster time at which the line is where this state is now. */
ticks tx_passed_at(const struct tx_key *tx, uint64_t epoch);
bool tx_worn(const struct tx_key *tx, const struct key_limits *limits);

/*
 * A number for a packet of len plaintext bytes: from the run, which is renewed
 * with `want` numbers when it is empty or belongs to another key.  false: the
 * key is used up.
 */
bool tx_number(struct tx_run *run, struct tx_key *tx, unsigned want, const struct key_limits *limits,
		uint32_t *number);
void tx_run_end(struct tx_run *run);
static inline void tx_count(struct tx_key *tx, size_t bytes, unsigned packets)
{
	atomic_fetch_add_explicit(&tx->blocks, bytes / 16 + 3 * (uint64_t)packets,
			memory_order_relaxed);
}

/* header | ciphertext | tag into out, which may be plain - HEADER_SIZE; returns the size. */
static inline size_t tx_seal(const struct tx_key *tx, uint16_t t, uint32_t number,
		const uint8_t *plain, size_t len, uint8_t *out)
{
	struct header h = tx->header;
	uint8_t nonce[NONCE_SIZE];

	h.t = t;
	h.number = number;
	header_store(out, &h);
	packet_nonce(nonce, tx->iv, t, number);
	aead_seal(&tx->key, nonce, out, HEADER_SIZE, plain, len, out + HEADER_SIZE);
	return len + PACKET_OVERHEAD;
}

/* Opens a packet of at least PACKET_OVERHEAD bytes into out, which may be packet + HEADER_SIZE. */
static inline bool rx_open(const struct rx_key *rx, const uint8_t *packet, size_t len, uint8_t *out)
{
	uint8_t nonce[NONCE_SIZE];

	packet_nonce(nonce, rx->iv, load_be16(packet + HEADER_T), load_be32(packet + HEADER_NUMBER));
	return aead_open(&rx->key, nonce, packet, HEADER_SIZE, packet + HEADER_SIZE,
			len - HEADER_SIZE, out);
}

#endif
