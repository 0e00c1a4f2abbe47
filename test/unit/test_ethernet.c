/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "bytes.h"

#include <stdlib.h>

#include "mode/ethernet.h"

static struct ethernet *table;
static ticks now;

static int setup(void **state)
{
	(void)state;
	table = ethernet_new();
	now = TICKS_S(100000);
	return table ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	ethernet_free(table);
	return 0;
}

static void make_mac(uint8_t mac[6], uint32_t n)
{
	mac[0] = 2;
	mac[1] = 0;
	store_be32(mac + 2, n);
}

static enum mac_verdict learn(uint32_t n, uint32_t port)
{
	uint8_t mac[6];

	make_mac(mac, n);
	return mac_learn(table, mac, port, now);
}

/* The port, or -1. */
static int64_t find(uint32_t n)
{
	uint8_t mac[6];
	uint32_t port = 0;

	make_mac(mac, n);
	return mac_find(table, mac, now, &port) ? (int64_t)port : -1;
}

static void learns_and_finds(void **state)
{
	(void)state;
	assert_int_equal(find(1), -1);
	assert_int_equal(learn(1, 7), MAC_LEARNT);
	assert_int_equal(learn(2, 0), MAC_LEARNT);
	assert_int_equal(find(1), 7);
	assert_int_equal(find(2), 0);
	assert_int_equal(find(3), -1);
}

/* The group bit in a source is nobody's address (IEEE 802.3 3.2.3). */
static void a_group_address_is_no_source(void **state)
{
	static const uint8_t group[][6] = {
		{0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		{1, 0, 0x5e, 0, 0, 1},
		{0x33, 0x33, 0, 0, 0, 1},
	};
	uint32_t port;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(group); i++) {
		assert_int_equal(mac_learn(table, group[i], 5, now), MAC_REFUSED);
		assert_false(mac_find(table, group[i], now, &port));
	}
}

/* Another client claims the address of a living one: it would get its frames. */
static void a_living_address_is_not_taken_over(void **state)
{
	(void)state;
	assert_int_equal(learn(1, 7), MAC_LEARNT);
	for (unsigned second = 0; second < 1000; second++) {
		assert_int_equal(learn(1, 8), MAC_REFUSED);
		assert_int_equal(find(1), 7);
		if (second % 100 == 0)
			assert_int_equal(learn(1, 7), MAC_LEARNT); /* it is used, and lives on */
		now += TICKS_S(1);
	}
}

/* A worker whose clock is a moment behind the one that has just written. */
static void a_stale_clock_does_not_kill_an_address(void **state)
{
	(void)state;
	assert_int_equal(learn(1, 7), MAC_LEARNT);
	now -= 1; /* the second before */
	assert_int_equal(find(1), 7);
	assert_int_equal(learn(1, 8), MAC_REFUSED);
	assert_int_equal(find(1), 7);
}

static void a_silent_address_is_free_after_300_s(void **state)
{
	(void)state;
	assert_int_equal(learn(1, 7), MAC_LEARNT);
	now += TICKS_S(299);
	assert_int_equal(find(1), 7);
	assert_int_equal(learn(1, 8), MAC_REFUSED);
	now += TICKS_S(1);
	assert_int_equal(find(1), -1);
	assert_int_equal(learn(1, 8), MAC_LEARNT);
	assert_int_equal(find(1), 8);
}

static void a_client_has_16_addresses_at_most(void **state)
{
	(void)state;
	for (uint32_t n = 0; n < MACS_MAX; n++)
		assert_int_equal(learn(n, 7), MAC_LEARNT);
	assert_int_equal(learn(MACS_MAX, 7), MAC_REFUSED);
	assert_int_equal(find(MACS_MAX), -1);
	assert_int_equal(learn(3, 7), MAC_LEARNT); /* those it has stay */
	assert_int_equal(learn(MACS_MAX, 8), MAC_LEARNT);
	now += TICKS_S(200);
	assert_int_equal(learn(0, 7), MAC_LEARNT);
	now += TICKS_S(150); /* fifteen are gone */
	for (uint32_t n = 100; n < 100 + MACS_MAX - 1; n++)
		assert_int_equal(learn(n, 7), MAC_LEARNT);
	assert_int_equal(learn(200, 7), MAC_REFUSED);
}

/* The server's own network is a bridge: it may have many. */
static void the_servers_port_has_no_such_limit(void **state)
{
	unsigned learnt = 0;

	(void)state;
	for (uint32_t n = 0; n < 1000; n++)
		learnt += learn(n, 0) == MAC_LEARNT;
	assert_int_equal(learnt, 1000);
	for (uint32_t n = 0; n < 1000; n++)
		assert_int_equal(find(n), 0);
}

/* ---- what records say ---- */

/* Of a client with so many addresses from the first on; to be freed. */
static struct session_record *record_with(uint32_t first, uint8_t count)
{
	struct session_record *r = calloc(1, sizeof *r + MAC_ADDR_SIZE * (size_t)count);

	assert_non_null(r);
	r->mac_count = count;
	for (uint8_t i = 0; i < count; i++)
		make_mac(r->data + MAC_ADDR_SIZE * (size_t)i, first + i);
	return r;
}

/* Heard by another server only: known here for as long as the session lives, and not to be stolen. */
static void what_a_record_says_is_known_without_a_frame(void **state)
{
	struct session_record *two = record_with(1, 2), *other = record_with(2, 2);
	struct client c = {.index = 7, .rights = RIGHT_ETHERNET}, thief = {.index = 8};
	ticks end = now + TICKS_S(595);

	(void)state;
	ethernet_record_changed(table, &thief, NULL, two, now, end); /* without the right */
	assert_int_equal(find(1), -1);
	ethernet_record_changed(table, &c, NULL, two, now, end);
	now += TICKS_S(594);
	assert_int_equal(find(1), 7);
	assert_int_equal(learn(1, 8), MAC_REFUSED);
	thief.rights = RIGHT_ETHERNET;
	ethernet_record_changed(table, &thief, NULL, two, now, now + TICKS_S(500));
	assert_int_equal(find(2), 7);
	now += TICKS_S(1);
	assert_int_equal(find(1), -1);

	/* renewed with another list: what is no longer in it is free at once */
	ethernet_record_changed(table, &c, NULL, two, now, now + TICKS_S(400));
	ethernet_record_changed(table, &c, two, other, now, now + TICKS_S(500));
	assert_int_equal(find(1), -1);
	assert_int_equal(find(2), 7);
	assert_int_equal(find(3), 7);
	ethernet_record_changed(table, &c, other, NULL, now, 0);
	assert_int_equal(find(3), -1);
	assert_int_equal(learn(3, 8), MAC_LEARNT);
	free(two);
	free(other);
}

/* Far more addresses than places: what was learnt is found, and nothing is found wrongly. */
static void a_full_table_refuses_and_never_mixes_up(void **state)
{
	enum { ADDRESSES = 4 * ETHERNET_MACS };
	static int64_t model[ADDRESSES];
	unsigned refused = 0;

	(void)state;
	for (uint32_t n = 0; n < ADDRESSES; n++) {
		uint32_t port = n / MACS_MAX + 1;

		model[n] = learn(n, port) == MAC_LEARNT ? (int64_t)port : -1;
		refused += model[n] < 0;
	}
	assert_in_range(refused, ADDRESSES - ETHERNET_MACS, ADDRESSES - ETHERNET_MACS / 2);
	for (uint32_t n = 0; n < ADDRESSES; n++)
		assert_int_equal(find(n), model[n]);
}

/* Against a model with time. */
static void any_order_of_frames(void **state)
{
	enum { ADDRESSES = 200, PORTS = 20 };
	struct {
		uint32_t port;
		ticks at;
		bool known;
	} model[ADDRESSES] = {0};
	uint64_t seed = 8;

	(void)state;
	for (unsigned i = 0; i < 50000; i++) {
		uint32_t n = next_random(&seed) % ADDRESSES;
		uint32_t port = next_random(&seed) % PORTS, of = 0;
		bool alive;

		now += next_random(&seed) % TICKS_S(2);
		alive = model[n].known && now / TICKS_PER_SEC - model[n].at / TICKS_PER_SEC < 300;
		for (unsigned k = 0; k < ADDRESSES; k++)
			of += model[k].known && model[k].port == port &&
			      now / TICKS_PER_SEC - model[k].at / TICKS_PER_SEC < 300;
		if ((alive && model[n].port != port) || (!alive && port && of >= MACS_MAX)) {
			assert_int_equal(learn(n, port), MAC_REFUSED);
			assert_int_equal(find(n), alive ? (int64_t)model[n].port : -1);
			continue;
		}
		assert_int_equal(learn(n, port), MAC_LEARNT);
		assert_int_equal(find(n), port);
		/* it is written again after 10 s only */
		if (!alive || now / TICKS_PER_SEC - model[n].at / TICKS_PER_SEC >= 10)
			model[n].at = now;
		model[n].port = port;
		model[n].known = true;
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(learns_and_finds),
		TEST(a_group_address_is_no_source),
		TEST(a_living_address_is_not_taken_over),
		TEST(a_stale_clock_does_not_kill_an_address),
		TEST(a_silent_address_is_free_after_300_s),
		TEST(a_client_has_16_addresses_at_most),
		TEST(the_servers_port_has_no_such_limit),
		TEST(what_a_record_says_is_known_without_a_frame),
		TEST(a_full_table_refuses_and_never_mixes_up),
		TEST(any_order_of_frames),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
