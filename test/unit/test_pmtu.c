/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "bytes.h"

#include "proto/pmtu.h"

#define INTERVAL TICKS_MS(100)
#define RTT      TICKS_MS(20)

static struct pmtu p;
static ticks now;
static const uint8_t a[SENDER_SIZE] = {0, 1, 1, 1, 1}, b[SENDER_SIZE] = {0, 2, 2, 2, 2};

static int begin(void **state)
{
	(void)state;
	now = TICKS_S(1000);
	pmtu_begin(&p, INTERVAL, now);
	return 0;
}

/* Probes for so long, on a path of this MTU to this server; the number of probes. */
static unsigned search(const uint8_t *server, unsigned mtu, ticks duration)
{
	unsigned probes = 0;

	for (ticks end = now + duration; now < end; now += TICKS_MS(10)) {
		uint32_t id;
		uint16_t size = pmtu_step(&p, now, RTT, &id);

		if (!size)
			continue;
		probes++;
		if (size <= mtu) {
			pmtu_heard(&p, server, now);
			pmtu_proven(&p, server, size, id, now);
		}
	}
	return probes;
}

static void nothing_is_assumed_but_the_base(void **state)
{
	uint32_t id;

	(void)state;
	assert_int_equal(pmtu_value(&p, now), PMTU_BASE);
	assert_true(pmtu_heard(&p, a, now));
	assert_false(pmtu_heard(&p, a, now));
	assert_int_equal(pmtu_value(&p, now), PMTU_BASE);
	assert_int_equal(pmtu_step(&p, now, RTT, &id), PMTU_FIRST);
	assert_int_equal(pmtu_value(&p, now), PMTU_BASE);
	pmtu_proven(&p, a, PMTU_FIRST, id, now);
	assert_int_equal(pmtu_value(&p, now), PMTU_FIRST);
}

/* Every width there is: found to within the step, in at most 6 sizes thrice. */
static void every_width_is_found(void **state)
{
	for (unsigned mtu = PMTU_BASE; mtu <= 1600; mtu++) {
		unsigned probes, most = MIN(mtu, 1500u);

		begin(state);
		pmtu_heard(&p, a, now);
		probes = search(a, mtu, TICKS_S(10));
		assert_in_range(pmtu_value(&p, now), most - PMTU_STEP + 1, most);
		assert_in_range(probes, 1, 18);
	}
}

static void probes_keep_their_distance(void **state)
{
	ticks last = 0;
	uint32_t id;

	(void)state;
	pmtu_heard(&p, a, now);
	for (unsigned i = 0; i < 3000; i++, now += TICKS_MS(1)) {
		if (i % 7 == 0)
			pmtu_restart(&p, now); /* somebody forges reasons to look again */
		if (!pmtu_step(&p, now, RTT, &id))
			continue;
		assert_true(!last || now - last >= INTERVAL);
		last = now;
	}
}

/* Three on end count, not three in all; the fourth size down is the next one. */
static void a_size_is_given_up_after_three_losses_on_end(void **state)
{
	uint32_t id;

	(void)state;
	pmtu_heard(&p, a, now);
	for (unsigned i = 0; i < 3; i++, now += TICKS_S(1))
		assert_int_equal(pmtu_step(&p, now, RTT, &id), PMTU_FIRST);
	assert_int_equal(pmtu_step(&p, now, RTT, &id), (PMTU_BASE + PMTU_FIRST - 1 + 1) / 2);
}

static void answers_that_do_not_fit_prove_nothing(void **state)
{
	uint32_t id;

	(void)state;
	pmtu_heard(&p, a, now);
	assert_int_equal(pmtu_step(&p, now, RTT, &id), PMTU_FIRST);
	pmtu_proven(&p, a, PMTU_FIRST, id + 1, now); /* never sent */
	pmtu_proven(&p, b, PMTU_FIRST, id, now);     /* of a server that was not heard */
	pmtu_proven(&p, a, PMTU_FIRST + 1, id, now); /* larger than any */
	pmtu_proven(&p, a, UINT16_MAX, id, now);
	assert_int_equal(pmtu_value(&p, now), PMTU_BASE);
	pmtu_proven(&p, a, PMTU_FIRST, id, now);
	assert_int_equal(pmtu_value(&p, now), PMTU_FIRST);
	pmtu_proven(&p, a, PMTU_BASE, id, now); /* a late, smaller one takes nothing back */
	assert_int_equal(pmtu_value(&p, now), PMTU_FIRST);
}

static void the_smallest_of_those_heard_counts(void **state)
{
	(void)state;
	pmtu_heard(&p, a, now);
	search(a, 1500, TICKS_S(1));
	assert_int_equal(pmtu_value(&p, now), 1500);
	assert_true(pmtu_heard(&p, b, now));
	assert_int_equal(pmtu_value(&p, now), PMTU_BASE);
	search(b, 1400, TICKS_S(30)); /* a is not heard any more, and has no say */
	assert_in_range(pmtu_value(&p, now), 1393, 1400);
	/* b goes, and what it could not is forgotten with it */
	now += TICKS_S(600);
	search(a, 1500, TICKS_S(100));
	assert_int_equal(pmtu_value(&p, now), 1500);
}

/* Two that answer in turn: the size stands when both have shown it. */
static void all_who_are_heard_have_to_show_a_size(void **state)
{
	uint32_t id;

	(void)state;
	pmtu_heard(&p, a, now);
	pmtu_heard(&p, b, now);
	for (unsigned i = 0; i < 3; i++, now += TICKS_MS(200)) {
		assert_int_equal(pmtu_step(&p, now, RTT, &id), 1500);
		pmtu_proven(&p, a, 1500, id, now);
		pmtu_heard(&p, b, now);
		assert_int_equal(pmtu_value(&p, now), PMTU_BASE);
	}
	assert_int_equal(pmtu_step(&p, now, RTT, &id), 1500);
	pmtu_proven(&p, b, 1500, id, now);
	assert_int_equal(pmtu_value(&p, now), 1500);
	assert_int_equal(pmtu_step(&p, now + TICKS_S(1), RTT, &id), 0);
}

/* The path has become narrow: what was proven goes, and the search ends at what there is. */
static void what_was_proven_is_taken_back(void **state)
{
	(void)state;
	for (unsigned heard = 0; heard < 2; heard++)
		for (unsigned mtu = PMTU_BASE; mtu < 1500; mtu += 11) {
			begin(state);
			pmtu_heard(&p, a, now);
			search(a, 1500, TICKS_S(1));
			now += TICKS_S(20);
			if (heard) /* small packets go on coming, or nothing at all */
				pmtu_heard(&p, a, now);
			pmtu_doubt(&p, now);
			search(a, mtu, TICKS_S(10));
			assert_in_range(pmtu_value(&p, now), mtu - PMTU_STEP + 1, mtu);
		}
}

static void a_repeated_search_does_not_flap(void **state)
{
	(void)state;
	pmtu_heard(&p, a, now);
	search(a, 1400, TICKS_S(5));
	for (unsigned i = 0; i < 2000; i++) {
		pmtu_heard(&p, a, now);
		search(a, 1400, TICKS_S(1));
		assert_in_range(pmtu_value(&p, now), 1393, 1400);
	}
}

static void doubt_begins_no_second_search(void **state)
{
	uint32_t id;

	(void)state;
	pmtu_heard(&p, a, now);
	for (unsigned i = 0; i < 3; i++, now += TICKS_S(1))
		pmtu_step(&p, now, RTT, &id);
	assert_int_equal(pmtu_step(&p, now, RTT, &id), 1390);
	pmtu_doubt(&p, now);
	now += TICKS_S(1);
	assert_int_equal(pmtu_step(&p, now, RTT, &id), 1390);
}

/* More servers than there is room for: the one that was not heard for longest gives way. */
static void more_senders_than_room(void **state)
{
	uint8_t sender[SENDER_SIZE] = {9};

	(void)state;
	for (unsigned i = 0; i < 3 * PMTU_SENDERS; i++, now += TICKS_S(1)) {
		sender[1] = (uint8_t)i;
		assert_true(pmtu_heard(&p, sender, now));
	}
	assert_int_equal(p.count, PMTU_SENDERS);
	sender[1] = 3 * PMTU_SENDERS - 1;
	assert_false(pmtu_heard(&p, sender, now));
	sender[1] = 0;
	assert_true(pmtu_heard(&p, sender, now));
}

/* A server that was restarted stands where it stood. */
static void a_restarted_server_is_not_new(void **state)
{
	static const uint8_t again[SENDER_SIZE] = {0, 1, 7, 7, 7};

	(void)state;
	search(a, 1500, TICKS_S(2));
	assert_int_equal(pmtu_value(&p, now), 1500);
	assert_false(pmtu_heard(&p, again, now));
	assert_int_equal(pmtu_value(&p, now), 1500);
}

/* What one run has found is where the next begins; it is searched again when the server is heard. */
static void what_is_remembered_is_verified(void **state)
{
	struct pmtu_memory m = {.count = 0}, same;
	static const uint8_t again[SENDER_SIZE] = {0, 1, 7, 7, 7};

	(void)state;
	pmtu_heard(&p, a, now);
	assert_false(pmtu_remember(&p, &m, now)); /* under way */
	search(a, 1400, TICKS_S(10));
	uint16_t found = pmtu_value(&p, now);
	assert_in_range(found, 1393, 1400);
	assert_true(pmtu_remember(&p, &m, now));
	assert_false(pmtu_remember(&p, &m, now));
	assert_int_equal(m.count, 1);
	assert_int_equal(m.path[0].server, 1);
	assert_int_equal(m.path[0].size, found);

	pmtu_begin(&p, INTERVAL, now);
	pmtu_recall(&p, &m, now);
	assert_int_equal(pmtu_value(&p, now), found);
	same = m;
	assert_false(pmtu_remember(&p, &same, now)); /* nothing has been found */
	assert_true(pmtu_heard(&p, again, now));
	assert_false(pmtu_heard(&p, again, now));
	assert_int_equal(pmtu_value(&p, now), found);
	search(again, 1350, TICKS_S(10)); /* the path is another one now */
	assert_in_range(pmtu_value(&p, now), 1343, 1350);
	assert_true(pmtu_remember(&p, &m, now));
	assert_int_equal(m.count, 1);

	/* and one that takes only the base is not worth a place */
	for (unsigned i = 0; i < 620; i++) {
		pmtu_heard(&p, again, now);
		search(again, 1280, TICKS_S(1));
	}
	assert_int_equal(pmtu_value(&p, now), PMTU_BASE);
	assert_true(pmtu_remember(&p, &m, now));
	assert_int_equal(m.count, 0);
}

/* Servers that are remembered and never heard keep the value low for 11 minutes, no longer. */
static void what_is_not_confirmed_is_forgotten(void **state)
{
	struct pmtu_memory m = {.count = 1};

	(void)state;
	m.path[0].server = 2;
	m.path[0].size = 1400;
	pmtu_recall(&p, &m, now);
	search(a, 1500, TICKS_S(2));
	assert_int_equal(pmtu_value(&p, now), 1400);
	now += TICKS_S(660);
	pmtu_heard(&p, a, now);
	search(a, 1500, TICKS_S(2));
	assert_int_equal(pmtu_value(&p, now), 1500);
}

/* More than it has room for: the one that was found first gives way. */
static void a_full_memory(void **state)
{
	struct pmtu_memory m = {.count = 0};
	uint8_t sender[SENDER_SIZE] = {9};

	(void)state;
	for (unsigned i = 0; i < PMTU_SENDERS + 2; i++) {
		sender[1] = (uint8_t)i;
		pmtu_heard(&p, sender, now);
		search(sender, 1500, TICKS_S(3));
		pmtu_remember(&p, &m, now);
	}
	assert_int_equal(m.count, PMTU_SENDERS);
	assert_int_equal(m.path[0].server, 0x902);
	assert_int_equal(m.path[PMTU_SENDERS - 1].server, 0x900 + PMTU_SENDERS + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(nothing_is_assumed_but_the_base, begin),
		cmocka_unit_test_setup(every_width_is_found, begin),
		cmocka_unit_test_setup(probes_keep_their_distance, begin),
		cmocka_unit_test_setup(a_size_is_given_up_after_three_losses_on_end, begin),
		cmocka_unit_test_setup(answers_that_do_not_fit_prove_nothing, begin),
		cmocka_unit_test_setup(the_smallest_of_those_heard_counts, begin),
		cmocka_unit_test_setup(all_who_are_heard_have_to_show_a_size, begin),
		cmocka_unit_test_setup(what_was_proven_is_taken_back, begin),
		cmocka_unit_test_setup(a_repeated_search_does_not_flap, begin),
		cmocka_unit_test_setup(doubt_begins_no_second_search, begin),
		cmocka_unit_test_setup(more_senders_than_room, begin),
		cmocka_unit_test_setup(a_restarted_server_is_not_new, begin),
		cmocka_unit_test_setup(what_is_remembered_is_verified, begin),
		cmocka_unit_test_setup(what_is_not_confirmed_is_forgotten, begin),
		cmocka_unit_test_setup(a_full_memory, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
