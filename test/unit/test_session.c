/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "bytes.h"

#include <pthread.h>
#include <stdlib.h>

#include "proto/session.h"

#define EPOCH UINT64_C(5900000)
#define START TICKS_S(EPOCH * EPOCH_SECONDS)

/* The published vector of PROTOCOL.md, "Keys". */
static const char secret[] = "bc5eec046f4e144857ec9962246d21f84e8b265133bd2028c99849c6b33ef1a6";
static const char session_id[] = "f8b045a2a731af83";
static const uint8_t sender[SENDER_SIZE] = {0x00, 0x07, 0xab, 0xcd, 0xef};

static struct tx_key *new_tx(ticks now)
{
	struct tx_key *tx = aligned_alloc(64, (sizeof *tx + 63) / 64 * 64);
	uint8_t s[KEY_SIZE], sid[SID_SIZE];

	assert_non_null(tx);
	unhex(secret, s);
	unhex(session_id, sid);
	tx_key_up(tx, s, AEAD_AES_256_GCM, 0x3f, sid, now, EPOCH);
	return tx;
}

static void header_and_keys_of_each_direction(void **state)
{
	uint8_t s[KEY_SIZE], sid[SID_SIZE], packet[HEADER_SIZE + 5 + TAG_SIZE], plain[5];
	_Alignas(64) struct tx_key tx;
	_Alignas(64) struct rx_key rx;

	(void)state;
	unhex(secret, s);
	unhex(session_id, sid);
	for (unsigned i = 0; i < 2 * AEAD_COUNT; i++) {
		enum aead aead = (enum aead)(i / 2);
		bool down = i % 2;

		if (down) {
			tx_key_down(&tx, s, aead, 0x3f, sid, sender, START, EPOCH);
			rx_key_down(&rx, s, aead, sender);
		} else {
			tx_key_up(&tx, s, aead, 0x3f, sid, START, EPOCH);
			rx_key_up(&rx, s, aead);
		}
		assert_int_equal(tx_seal(&tx, 0x1234, 5, (const uint8_t *)"hello", 5, packet),
				sizeof packet);
		assert_int_equal(packet[0], WIRE_MAGIC | i);
		assert_hex(packet + 1, "3f123400000005");
		assert_hex(packet + HEADER_TO, down ? "0007abcdef31af83" : session_id);
		assert_true(rx_open(&rx, packet, sizeof packet, plain));
		assert_memory_equal(plain, "hello", 5);
		for (unsigned bit = 0; bit < 8 * sizeof packet; bit++) {
			packet[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_false(rx_open(&rx, packet, sizeof packet, plain));
			packet[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
	}
}

/* In place: the plaintext lies where the ciphertext will. */
static void seals_in_place(void **state)
{
	uint8_t a[HEADER_SIZE + 100 + TAG_SIZE], b[HEADER_SIZE + 100 + TAG_SIZE], plain[100];
	struct tx_key *tx = new_tx(START);
	uint64_t seed = 5;

	(void)state;
	fill(&seed, plain, sizeof plain);
	memcpy(a + HEADER_SIZE, plain, sizeof plain);
	tx_seal(tx, 1, 2, a + HEADER_SIZE, sizeof plain, a);
	tx_seal(tx, 1, 2, plain, sizeof plain, b);
	assert_memory_equal(a, b, sizeof a);
	free(tx);
}

/* 2^22 numbers a second from the beginning of the session's epoch; 0 before it. */
static void numbers_begin_on_the_line_of_time(void **state)
{
	struct tx_key *tx;

	(void)state;
	assert_int_equal(tx_start_number(START, EPOCH), 0);
	assert_int_equal(tx_start_number(START - 1, EPOCH), 0);
	assert_int_equal(tx_start_number(0, EPOCH), 0);
	assert_int_equal(tx_start_number(START + TX_NUMBER_TICKS - 1, EPOCH), 0);
	assert_int_equal(tx_start_number(START + TX_NUMBER_TICKS, EPOCH), 1);
	assert_int_equal(tx_start_number(START + TICKS_S(1), EPOCH), 1 << 22);
	/* the whole life of a session fits into 32 bits */
	assert_true(tx_start_number(START + TICKS_S(600), EPOCH) < key_limits.hard_number);
	tx = new_tx(START + TICKS_S(7));
	assert_int_equal(tx->first, 7 << 22);
	assert_int_equal(tx->next, 7 << 22);
	free(tx);
}

static void a_state_may_be_forgotten_once_time_has_passed_its_numbers(void **state)
{
	struct tx_key *tx = new_tx(START + TICKS_S(1));
	struct tx_run run = {0};
	uint32_t number;

	(void)state;
	assert_false(tx_forgettable(tx, START + TICKS_S(1), EPOCH));
	for (unsigned i = 0; i < 1000; i++)
		assert_true(tx_number(&run, tx, 1, &key_limits, &number));
	assert_int_equal(number, (1 << 22) + 999);
	assert_false(tx_forgettable(tx, START + TICKS_S(1) + 1000 * TX_NUMBER_TICKS, EPOCH));
	assert_true(tx_forgettable(tx, START + TICKS_S(1) + 1001 * TX_NUMBER_TICKS, EPOCH));
	free(tx);
}

static void a_run_gives_back_what_nobody_has_passed(void **state)
{
	struct tx_key *tx = new_tx(START), *other = new_tx(START + TICKS_S(1));
	struct tx_run a = {0}, b = {0};
	uint32_t number;

	(void)state;
	assert_true(tx_number(&a, tx, 64, &key_limits, &number));
	assert_int_equal(number, 0);
	assert_int_equal(tx->next, 64);
	tx_run_end(&a);
	assert_int_equal(tx->next, 1);
	/* another worker has gone on: these numbers are behind, and lost */
	assert_true(tx_number(&a, tx, 10, &key_limits, &number));
	assert_int_equal(number, 1);
	assert_true(tx_number(&b, tx, 10, &key_limits, &number));
	assert_int_equal(number, 11);
	tx_run_end(&a);
	assert_int_equal(tx->next, 21);
	tx_run_end(&b);
	assert_int_equal(tx->next, 12);
	/* with another key the run ends by itself */
	assert_true(tx_number(&a, tx, 8, &key_limits, &number));
	assert_true(tx_number(&a, other, 8, &key_limits, &number));
	assert_int_equal(number, 1 << 22);
	assert_int_equal(tx->next, 13);
	/* and a run that is used up is followed by the next */
	for (unsigned i = 1; i <= 8; i++)
		assert_true(tx_number(&a, other, 8, &key_limits, &number));
	assert_int_equal(number, (1 << 22) + 8);
	tx_run_end(&a);
	tx_run_end(&a); /* no harm */
	free(tx);
	free(other);
}

static void hard_limits_are_hard(void **state)
{
	struct key_limits limits = key_limits;
	struct tx_key *tx = new_tx(START);
	struct tx_run run = {0};
	uint32_t number, last = 0;
	unsigned given = 0;

	(void)state;
	tx->next = tx->first = key_limits.hard_number - 100;
	for (unsigned i = 0; i < 1000; i++)
		if (tx_number(&run, tx, 7, &limits, &number)) {
			assert_true(!given || number == last + 1);
			last = number;
			given++;
		}
	assert_in_range(given, 93, 100);
	assert_true(last < limits.hard_number);
	tx_run_end(&run);
	assert_false(tx_number(&run, tx, 1, &limits, &number));
	tx->next = tx->first = 0;
	limits.hard_blocks = 1000;
	for (given = 0; tx_number(&run, tx, 1, &limits, &number); given++)
		tx_count(tx, 1420, 1);
	assert_int_equal(given, 1000 / (1420 / 16 + 3) + 1);
	free(tx);
}

static void worn_at_either_soft_limit(void **state)
{
	struct key_limits limits = {.soft_packets = 100, .soft_blocks = 5000,
			.hard_number = UINT32_MAX, .hard_blocks = 6000};
	struct tx_key *tx = new_tx(START + TICKS_S(50));
	struct tx_run run = {0};
	uint32_t number;

	(void)state;
	/* packets are counted, not the number, which begins high */
	for (unsigned i = 0; i < 100; i++) {
		assert_false(tx_worn(tx, &limits));
		assert_true(tx_number(&run, tx, 1, &limits, &number));
	}
	assert_true(tx_worn(tx, &limits));
	free(tx);
	tx = new_tx(START);
	tx_count(tx, 16 * 4990, 3);
	assert_false(tx_worn(tx, &limits));
	tx_count(tx, 16, 1);
	assert_true(tx_worn(tx, &limits));
	free(tx);
}

/* ---- many workers, one counter ---- */

enum { THREADS = 16, EACH = 20000, ROOM = THREADS * EACH * 64 };

static struct tx_key *shared;
static _Atomic uint64_t *taken;
static _Atomic unsigned repeats;

static void *take_numbers(void *arg)
{
	uint64_t seed = (uint64_t)(uintptr_t)arg;
	struct tx_run run = {0};
	uint32_t number;

	for (unsigned i = 0; i < EACH; i++) {
		unsigned want = 1 + next_random(&seed) % 64;
		uint64_t bit;

		if (!tx_number(&run, shared, want, &key_limits, &number) || number >= ROOM) {
			repeats++;
			break;
		}
		bit = (uint64_t)1 << number % 64;
		if (atomic_fetch_or(&taken[number / 64], bit) & bit)
			repeats++;
		if (next_random(&seed) % 8 == 0)
			tx_run_end(&run);
	}
	tx_run_end(&run);
	return NULL;
}

static void sixteen_workers_never_get_one_number_twice(void **state)
{
	pthread_t thread[THREADS];
	unsigned count = 0;

	(void)state;
	shared = new_tx(START);
	taken = calloc(ROOM / 64, sizeof *taken);
	assert_non_null(taken);
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, take_numbers, (void *)(i + 1)),
				0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(repeats, 0);
	for (unsigned i = 0; i < ROOM / 64; i++)
		count += (unsigned)__builtin_popcountll(taken[i]);
	assert_int_equal(count, THREADS * EACH);
	free(taken);
	free(shared);
}

static int setup(void **state)
{
	(void)state;
	return crypto_init(CRYPTO_AUTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(header_and_keys_of_each_direction),
		cmocka_unit_test(seals_in_place),
		cmocka_unit_test(numbers_begin_on_the_line_of_time),
		cmocka_unit_test(a_state_may_be_forgotten_once_time_has_passed_its_numbers),
		cmocka_unit_test(a_run_gives_back_what_nobody_has_passed),
		cmocka_unit_test(hard_limits_are_hard),
		cmocka_unit_test(worn_at_either_soft_limit),
		cmocka_unit_test(sixteen_workers_never_get_one_number_twice),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
