/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "packets.h"
#include "proto/piece.h"

static struct pieces table;
static uint8_t packet[PIECE_PACKET_MAX];

/* The plaintext of one piece, with this many zeros behind it; its length. */
static size_t make(uint8_t *plain, unsigned index, uint16_t id, size_t cut0, size_t len,
		size_t padding)
{
	size_t n = index ? len - cut0 : cut0;

	piece_header(plain, index, id);
	memcpy(plain + PIECE_HEADER, packet + (index ? cut0 : 0), n);
	memset(plain + PIECE_HEADER + n, 0, padding);
	return PIECE_HEADER + n + padding;
}

static struct piece_result add(unsigned index, uint64_t key, uint16_t id, size_t cut0, size_t len,
		size_t padding, ticks now)
{
	uint8_t plain[4096];

	return pieces_add(&table, key, plain, make(plain, index, id, cut0, len, padding), now);
}

static int fresh(void **state)
{
	uint64_t seed = 4;

	(void)state;
	memset(&table, 0, sizeof table);
	for (size_t i = 0; i < sizeof packet; i++)
		packet[i] = (uint8_t)prng(&seed);
	return 0;
}

static void header_as_on_the_wire(void **state)
{
	uint8_t h[PIECE_HEADER];

	(void)state;
	piece_header(h, 0, 0xabcd);
	assert_memory_equal(h, "\x20\x00\xab\xcd", 4);
	piece_header(h, 1, 0xabcd);
	assert_memory_equal(h, "\x21\x01\xab\xcd", 4);
}

static void cuts(void **state)
{
	size_t cut[2];

	(void)state;
	for (size_t len = 0; len <= 1300; len++)
		for (size_t room = 0; room < 1300; room += 7) {
			if (!piece_split(len, room, cut)) {
				assert_true(len > 1280 || (len + 1) / 2 + 4 > room || len < 88);
				continue;
			}
			assert_in_range(len, 0, 1280);
			assert_int_equal(cut[0] + cut[1], len);
			assert_true(cut[0] >= cut[1]);
			assert_true(cut[0] + PIECE_HEADER <= room && cut[1] > 0);
			/* so that neither piece 0 nor what matters of piece 1 is ever padded */
			assert_true(cut[0] + PIECE_HEADER + PACKET_OVERHEAD >= UPSTREAM_MIN);
		}
	assert_true(piece_split(1280, 644, cut));
	assert_false(piece_split(1280, 643, cut));
	assert_false(piece_split(1281, 1400, cut));
}

static void joined_in_either_order(void **state)
{
	uint64_t seed = 5;

	(void)state;
	for (unsigned i = 0; i < 2000; i++) {
		size_t len = 100 + prng(&seed) % 1181, padding = prng(&seed) % 3 * 400;
		size_t cut0 = (len + 1) / 2 + prng(&seed) % (len / 2);
		unsigned first = prng(&seed) & 1;
		struct piece_result r = add(first, 9, (uint16_t)i, cut0, len, first ? padding : 0,
				0);

		assert_true(!r.refused && !r.packet && !r.lost);
		r = add(!first, 9, (uint16_t)i, cut0, len, first ? 0 : padding, 0);
		assert_true(!r.refused && !r.lost);
		assert_non_null(r.packet);
		assert_true(r.len >= len && r.len <= PIECE_PACKET_MAX);
		assert_memory_equal(r.packet, packet, len);
		for (size_t at = len; at < r.len; at++)
			assert_int_equal(r.packet[at], 0);
	}
}

static void keys_and_ids_do_not_mix(void **state)
{
	struct piece_result r;

	(void)state;
	assert_null(add(0, 1, 7, 700, 1280, 0, 0).packet);
	assert_null(add(1, 2, 7, 700, 1280, 0, 0).packet);
	assert_null(add(1, 1, 8, 700, 1280, 0, 0).packet);
	r = add(1, 1, 7, 700, 1280, 0, 0);
	assert_int_equal(r.len, 1280);
	assert_memory_equal(r.packet, packet, 1280);
}

static void duplicates_are_refused(void **state)
{
	struct piece_result r;

	(void)state;
	assert_false(add(0, 1, 7, 700, 1280, 0, 0).refused);
	assert_true(add(0, 1, 7, 700, 1280, 0, 0).refused);
	assert_true(add(0, 1, 7, 650, 1280, 0, 0).refused); /* conflicting: the first stays */
	r = add(1, 1, 7, 700, 1280, 0, 0);
	assert_memory_equal(r.packet, packet, 1280);
	assert_null(add(1, 1, 7, 700, 1280, 0, 0).packet); /* a new packet begins */
}

static void malformed_is_refused(void **state)
{
	static const uint8_t bad[][4] = {
		{0x20, 1, 0, 1}, {0x21, 0, 0, 1}, {0x20, 2, 0, 1}, {0x21, 2, 0, 1},
		{0x22, 0, 0, 1}, {0x23, 1, 0, 1}, {0x30, 0, 0, 1}, {0x28, 0, 0, 1},
	};
	uint8_t plain[2000] = {0x20};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		memcpy(plain, bad[i], 4);
		assert_true(pieces_add(&table, 1, plain, 600, 0).refused);
	}
	memcpy(plain, "\x20\0\0\1", 4);
	for (size_t len = 0; len <= PIECE_HEADER; len++)
		assert_true(pieces_add(&table, 1, plain, len, 0).refused);
	assert_true(pieces_add(&table, 1, plain, PIECE_HEADER + PIECE_PACKET_MAX + 1, 0).refused);
	assert_false(pieces_add(&table, 1, plain, PIECE_HEADER + PIECE_PACKET_MAX, 0).refused);
	assert_int_equal(pieces_expire(&table, TICKS_S(10)), 1); /* no refused one took a place */
}

/* Both pieces as large as can be: the joined packet is cut, nothing is written past the room. */
static void largest_pieces(void **state)
{
	uint8_t plain[PIECE_HEADER + PIECE_PACKET_MAX];
	struct piece_result r;

	(void)state;
	for (unsigned first = 0; first < 2; first++) {
		for (unsigned i = 0; i < 2; i++) {
			memset(plain, 0x11 * (int)(1 + (i ^ first)), sizeof plain);
			piece_header(plain, i ^ first, 3);
			r = pieces_add(&table, 1, plain, sizeof plain, 0);
		}
		assert_int_equal(r.len, PIECE_PACKET_MAX);
		assert_int_equal(r.packet[PIECE_PACKET_MAX - 1], 0x11);
	}
}

static void too_late(void **state)
{
	struct piece_result r;

	(void)state;
	add(0, 1, 7, 700, 1280, 0, 100);
	add(0, 1, 8, 700, 1280, 0, 100);
	r = add(1, 1, 7, 700, 1280, 0, 100 + PIECE_LIFETIME);
	assert_non_null(r.packet);
	assert_int_equal(r.lost, 0);
	r = add(1, 1, 8, 700, 1280, 0, 101 + PIECE_LIFETIME);
	assert_null(r.packet);
	assert_int_equal(r.lost, 1);
	assert_int_equal(pieces_expire(&table, 101 + PIECE_LIFETIME), 0);
	assert_int_equal(pieces_expire(&table, 102 + 2 * PIECE_LIFETIME), 1);
}

static void the_oldest_gives_way(void **state)
{
	struct piece_result r;

	(void)state;
	for (unsigned i = 0; i < PIECE_ENTRIES; i++)
		assert_int_equal(add(0, 1, (uint16_t)i, 700, 1280, 0,
				10 + (i + 5) % PIECE_ENTRIES).lost, 0);
	assert_int_equal(add(0, 1, 1000, 700, 1280, 0, 200).lost, 1);
	r = add(1, 1, PIECE_ENTRIES - 5, 700, 1280, 0,
			200); /* was the oldest; pushes the next out */
	assert_null(r.packet);
	assert_int_equal(r.lost, 1);
	assert_non_null(add(1, 1, 0, 700, 1280, 0, 200).packet);
	assert_non_null(add(1, 1, 1000, 700, 1280, 0, 200).packet);
	assert_null(add(1, 1, PIECE_ENTRIES - 4, 700, 1280, 0, 200).packet);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(header_as_on_the_wire),
		cmocka_unit_test(cuts),
		cmocka_unit_test_setup(joined_in_either_order, fresh),
		cmocka_unit_test_setup(keys_and_ids_do_not_mix, fresh),
		cmocka_unit_test_setup(duplicates_are_refused, fresh),
		cmocka_unit_test_setup(malformed_is_refused, fresh),
		cmocka_unit_test_setup(largest_pieces, fresh),
		cmocka_unit_test_setup(too_late, fresh),
		cmocka_unit_test_setup(the_oldest_gives_way, fresh),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
