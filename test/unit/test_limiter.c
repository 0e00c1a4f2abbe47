/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* The server's limiters: what they count, and that strangers do not share a slot by design. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "proto/server_internal.h"

static void a_window_lets_so_many_pass(void **state)
{
	static struct limiter l;
	(void)state;

	for (int i = 0; i < 3; i++)
		assert_true(limiter_pass(&l, 5, 100, 3));
	assert_false(limiter_pass(&l, 5, 100, 3));
	assert_true(limiter_pass(&l, 6, 100, 3)); /* another slot */
	assert_true(limiter_pass(&l, 5, 101, 3)); /* the next window */
}

/*
 * Addresses differ in few bits.  If they met in few slots, one network at its
 * limit would take everybody's share.
 */
static void networks_spread_over_the_slots(void **state)
{
	static struct server s = {.hash_key = {0x0123456789abcdef, 0xfedcba9876543210}};
	static uint16_t used[LIMITER_SLOTS];
	unsigned occupied = 0, most = 0;
	(void)state;

	for (unsigned i = 0; i < 4 * LIMITER_SLOTS; i++) { /* 10.x.y.0/24 */
		uint8_t ip[16] = {[10] = 0xff, [11] = 0xff, [12] = 10, [13] = (uint8_t)(i >> 8),
				[14] = (uint8_t)i};
		unsigned slot = server_hash(&s, ip, sizeof ip) % LIMITER_SLOTS;

		occupied += !used[slot]++;
		most = MAX(most, used[slot]);
	}
	assert_true(occupied > LIMITER_SLOTS * 9 / 10); /* 98 % for a random function */
	assert_true(most < 24);                         /* 4 on average */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_window_lets_so_many_pass),
		cmocka_unit_test(networks_spread_over_the_slots),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
