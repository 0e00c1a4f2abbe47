/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "proto/session.h"

#include "proto/epoch.h"

const struct key_limits key_limits = {
	.soft_packets = (uint64_t)1 << 31,
	.soft_blocks = (uint64_t)1 << 35,
	.hard_number = ((uint64_t)1 << 32) - 1,
	.hard_blocks = (uint64_t)1 << 36,
};

void rx_key_up(struct rx_key *rx, const uint8_t s[KEY_SIZE], enum aead aead)
{
	uint8_t raw[KEY_SIZE];

	session_key_up(s, aead, raw, rx->iv);
	aead_expand(&rx->key, aead, raw);
	wipe(raw, sizeof raw);
}

void rx_key_down(struct rx_key *rx, const uint8_t s[KEY_SIZE], enum aead aead,
		const uint8_t sender[SENDER_SIZE])
{
	uint8_t raw[KEY_SIZE];

	session_key_down(s, aead, sender, raw, rx->iv);
	aead_expand(&rx->key, aead, raw);
	wipe(raw, sizeof raw);
}

uint64_t tx_start_number(ticks now, uint64_t epoch)
{
	ticks start = TICKS_S(epoch * EPOCH_SECONDS);

	return now > start ? (now - start) / TX_NUMBER_TICKS : 0;
}

static void tx_begin(struct tx_key *tx, enum aead aead, const uint8_t raw[KEY_SIZE], uint8_t kid,
		uint64_t first)
{
	aead_expand(&tx->key, aead, raw);
	tx->header.kid = kid;
	tx->first = first;
	atomic_init(&tx->next, first);
	atomic_init(&tx->blocks, 0);
}

void tx_key_up(struct tx_key *tx, const uint8_t s[KEY_SIZE], enum aead aead, uint8_t kid,
		const uint8_t sid[SID_SIZE], ticks now, uint64_t epoch)
{
	uint8_t raw[KEY_SIZE];

	session_key_up(s, aead, raw, tx->iv);
	tx_begin(tx, aead, raw, kid, tx_start_number(now, epoch));
	tx->header.type = wire_type_data(aead, false);
	memcpy(tx->header.to, sid, SID_SIZE);
	wipe(raw, sizeof raw);
}

void tx_key_down(struct tx_key *tx, const uint8_t s[KEY_SIZE], enum aead aead, uint8_t kid,
		const uint8_t sid[SID_SIZE], const uint8_t sender[SENDER_SIZE], ticks now,
		uint64_t epoch)
{
	uint8_t raw[KEY_SIZE];

	session_key_down(s, aead, sender, raw, tx->iv);
	tx_begin(tx, aead, raw, kid, tx_start_number(now, epoch));
	tx->header.type = wire_type_data(aead, true);
	memcpy(tx->header.to, sender, SENDER_SIZE);
	memcpy(tx->header.to + SENDER_SIZE, sid + SENDER_SIZE, SID_SIZE - SENDER_SIZE);
	wipe(raw, sizeof raw);
}

bool tx_forgettable(const struct tx_key *tx, ticks now, uint64_t epoch)
{
	return tx_start_number(now, epoch) >
	       atomic_load_explicit(&tx->next, memory_order_relaxed);
}

ticks tx_passed_at(const struct tx_key *tx, uint64_t epoch)
{
	return TICKS_S(epoch * EPOCH_SECONDS) +
	       TX_NUMBER_TICKS * atomic_load_explicit(&tx->next, memory_order_relaxed);
}

bool tx_worn(const struct tx_key *tx, const struct key_limits *limits)
{
	uint64_t next = atomic_load_explicit(&tx->next, memory_order_relaxed);

	return next - tx->first >= limits->soft_packets || next >= limits->hard_number ||
	       atomic_load_explicit(&tx->blocks, memory_order_relaxed) >= limits->soft_blocks;
}

bool tx_number(struct tx_run *run, struct tx_key *tx, unsigned want, const struct key_limits *limits,
		uint32_t *number)
{
	uint64_t at;

	if (run->key != tx || run->next == run->end) {
		tx_run_end(run);
		at = atomic_fetch_add_explicit(&tx->next, want, memory_order_relaxed);
		if (at + want > limits->hard_number ||
				atomic_load_explicit(&tx->blocks, memory_order_relaxed) >=
						limits->hard_blocks)
			return false;
		*run = (struct tx_run){tx, (uint32_t)at, (uint32_t)(at + want)};
	}
	*number = run->next++;
	return true;
}

void tx_run_end(struct tx_run *run)
{
	if (run->key && run->next != run->end) {
		uint64_t at = atomic_load_explicit(&run->key->next, memory_order_relaxed);

		/* the low 32 bits tell whether it is still ours: a key never uses more numbers */
		if ((uint32_t)at == run->end)
			atomic_compare_exchange_strong_explicit(&run->key->next, &at,
					at - (run->end - run->next), memory_order_relaxed,
					memory_order_relaxed);
	}
	run->key = NULL;
}
