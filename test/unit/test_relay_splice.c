/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* The numbers of spliced connections: what any server recovers from one segment, and what it shifts. */
#include "bytes.h"

#include <arpa/inet.h>

#include "mode/relay_entry.h"

static const uint8_t key[KEY_SIZE] = {1, 2, 3};

static struct endpoint at(const char *text)
{
	struct endpoint e;

	assert_int_equal(endpoint_parse(text, 0, &e), 0);
	return e;
}

/* Every offer comes back from each segment that a caller sends before the splice. */
static void an_offer_is_recovered_from_any_segment(void **state)
{
	const struct endpoint caller = at("198.51.100.7:40001");
	uint64_t seed = 1;
	struct relay_leg leg;
	(void)state;

	for (unsigned i = 0; i < 4096; i++) {
		uint32_t isn = (uint32_t)next_random(&seed), ours;
		uint8_t wscale = i & 15;
		bool sack = i & 16, small = i & 32;

		ours = relay_isn(key, &caller, 5000, isn, wscale, sack, small);
		assert_int_equal((ours - isn) & 1, 0);
		/* token, the handshake's third segment, a keep-alive */
		assert_true(relay_isn_recover(key, &caller, 5000, isn + 1, ours + 1, 64, &leg));
		assert_int_equal(leg.isn, isn);
		assert_true(relay_isn_recover(key, &caller, 5000, isn + 1, ours + 1, 0, &leg));
		assert_int_equal(leg.isn, isn);
		assert_true(relay_isn_recover(key, &caller, 5000, isn, ours + 1, 0, &leg));
		assert_int_equal(leg.isn, isn);
		assert_int_equal(leg.ours, ours);
		assert_int_equal(leg.wscale, wscale);
		assert_int_equal(leg.sack, sack);
		assert_int_equal(leg.mss, small ? 536 : 0);
		assert_int_equal(leg.skip, RELAY_TOKEN_SIZE);
		assert_false(leg.timestamps);
	}
}

static void a_segment_of_another_flow_is_not_recovered(void **state)
{
	const struct endpoint caller = at("198.51.100.7:40001");
	const struct endpoint others[] = {at("198.51.100.7:40002"), at("198.51.100.8:40001"),
			at("[2001:db8::7]:40001")};
	uint32_t isn = 0xfffffff0, ours = relay_isn(key, &caller, 5000, isn, 7, true, false);
	static const uint8_t other_key[KEY_SIZE] = {1, 2, 4};
	struct relay_leg leg = {.isn = 77};
	(void)state;

	for (unsigned i = 0; i < ARRAY_SIZE(others); i++)
		assert_false(relay_isn_recover(key, &others[i], 5000, isn + 1, ours + 1, 64, &leg));
	assert_false(relay_isn_recover(key, &caller, 5001, isn + 1, ours + 1, 64, &leg));
	assert_false(relay_isn_recover(other_key, &caller, 5000, isn + 1, ours + 1, 64, &leg));
	assert_false(relay_isn_recover(key, &caller, 5000, isn, ours + 1, 64, &leg));
	assert_false(relay_isn_recover(key, &caller, 5000, isn + 1, ours + 1 + 128, 64, &leg));
	assert_int_equal(leg.isn, 77);
}

/* A relay of two TCP callers, each latched as it would be; skip is RELAY_TOKEN_SIZE for deferred ones. */
static struct relay spliced(uint8_t skip0, uint8_t skip1, uint8_t wscale0, uint8_t wscale1)
{
	struct relay r = {.protocol = RELAY_TCP, .span = 1};

	for (unsigned i = 0; i < 2; i++) {
		uint8_t skip = i ? skip1 : skip0;

		r.side[i] = (struct relay_side){.kind = skip ? RELAY_TOKEN : RELAY_LEARNT, .v4 = true,
			.port = (uint16_t)(5000 + i), .leg[0] = {.generation = 1, .skip = skip,
				.wscale = i ? wscale1 : wscale0, .our_wscale = RELAY_OUR_WSCALE,
				.isn = 1000000 * (i + 1), .ours = skip ? 77000000 * (i + 1) : 0}};
		r.side[i].leg[0].at = at(i ? "198.51.100.2:22" : "198.51.100.1:11");
	}
	return r;
}

/* What one side sends first is what the other expects first, and its acknowledgement comes back. */
static void positions_in_both_streams_fit(void **state)
{
	(void)state;
	for (unsigned kinds = 0; kinds < 4; kinds++) {
		struct relay r = spliced(kinds & 1 ? 64 : 0, kinds & 2 ? 64 : 0, 7, 9);

		for (unsigned i = 0; i < 2; i++) {
			const struct relay_leg *leg = &r.side[i].leg[0];
			struct relay_shift there, back;
			uint32_t first = leg->isn + 1 + leg->skip;

			relay_shift(&r, i, &there);
			relay_shift(&r, !i, &back);
			assert_int_equal((uint32_t)(first + there.seq), relay_told_isn(&r, !i) + 1);
			assert_int_equal((uint32_t)(relay_told_isn(&r, !i) + 1 + back.ack), first);
			assert_int_equal((uint32_t)(there.seq + back.ack), 0);
			assert_int_equal(there.any, there.seq || there.ack || there.window);
			if (!kinds)
				assert_false(there.any);
		}
	}
	/* The plain one of a mixed pair is told numbers that need no shift in its direction. */
	struct relay mixed = spliced(64, 0, 7, 9);
	struct relay_shift shift;

	relay_shift(&mixed, 0, &shift);
	assert_int_equal(shift.seq, 0);
}

static void windows_mean_the_same_to_both(void **state)
{
	static const struct {
		uint8_t skip[2], wscale[2];
		int from0, from1;
	} cases[] = {
		{{0, 0}, {7, 9}, 0, 0},
		{{0, 0}, {7, RELAY_NO_WSCALE}, 0, 0},
		{{64, 64}, {10, 3}, 3, -4},                    /* both were promised 7 */
		{{64, 64}, {10, RELAY_NO_WSCALE}, 10, -7},
		{{64, 64}, {RELAY_NO_WSCALE, RELAY_NO_WSCALE}, 0, 0},
		{{64, 0}, {10, 3}, 0, -4},                     /* the plain one is told the truth: 10 */
		{{64, 0}, {10, RELAY_NO_WSCALE}, 10, -7},
		{{64, 0}, {RELAY_NO_WSCALE, 3}, 0, 0},
	};
	(void)state;

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct relay r = spliced(cases[i].skip[0], cases[i].skip[1], cases[i].wscale[0],
				cases[i].wscale[1]);
		struct relay_shift shift;

		relay_shift(&r, 0, &shift);
		assert_int_equal(shift.window, cases[i].from0);
		relay_shift(&r, 1, &shift);
		assert_int_equal(shift.window, cases[i].from1);
	}
}

static void a_listener_that_answered_an_earlier_call_is_not_ready(void **state)
{
	struct relay r = spliced(64, 0, 7, 7);
	(void)state;

	r.side[1].kind = RELAY_GIVEN;
	r.side[1].given = r.side[1].leg[0].at;
	r.side[1].leg[0].ours = r.side[0].leg[0].isn + 64;
	assert_true(relay_ready(&r, 0, 0) && relay_ready(&r, 1, 0));
	r.side[0].leg[0].isn += 1000; /* the caller called again */
	assert_false(relay_ready(&r, 0, 0) || relay_ready(&r, 1, 0));
	r.side[1].leg[0].generation = 0;
	assert_false(relay_ready(&r, 0, 0) || relay_ready(&r, 1, 0));
	/* A plain caller's SYN goes through: the listener need not have answered. */
	r.side[0].kind = RELAY_LEARNT;
	r.side[0].leg[0].skip = 0;
	assert_true(relay_ready(&r, 0, 0) && relay_ready(&r, 1, 0));
	r.side[0].leg[0].generation = 0;
	assert_false(relay_ready(&r, 0, 0) || relay_ready(&r, 1, 0));
}

static void entries_say_what_the_record_says(void **state)
{
	struct relay r = spliced(64, 0, 7, 9);
	struct relay_entry e;
	struct relay_key k;
	(void)state;

	r.side[1].v4 = false;
	r.side[1].leg[0].at = at("[2001:db8::2]:22");
	relay_entry_make(&r, 0, 0, &e, &k);
	assert_int_equal(k.v4, 1);
	assert_int_equal(k.protocol, 6);
	assert_int_equal(k.port, htons(5000));
	assert_int_equal(e.flags, RELAY_ENTRY_LATCHED | RELAY_ENTRY_READY | RELAY_ENTRY_SPLICED |
			RELAY_ENTRY_TOKEN);
	assert_memory_equal(e.from, r.side[0].leg[0].at.ip, 16);
	assert_memory_equal(e.to, r.side[1].leg[0].at.ip, 16);
	assert_int_equal(e.from_port, htons(11));
	assert_int_equal(e.to_port, htons(22));
	assert_int_equal(e.out_port, htons(5001));
	assert_int_equal(e.seq_add, 0);
	assert_int_equal(e.ack_add, (uint32_t)(2000000 - 77000000));
	assert_int_equal(e.window_shift, 0);
	relay_entry_make(&r, 1, 0, &e, &k);
	assert_int_equal(k.v4, 0);
	assert_int_equal(e.flags, RELAY_ENTRY_LATCHED | RELAY_ENTRY_READY | RELAY_ENTRY_SPLICED |
			RELAY_ENTRY_TO_V4);
	assert_int_equal(e.seq_add, 77000000 - 2000000);
}

static void entries_of_udp(void **state)
{
	struct relay r = {.protocol = RELAY_UDP, .span = 1, .side = {
		{.kind = RELAY_GIVEN, .v4 = true, .port = 6000, .given = at("198.51.100.1:53")},
		{.kind = RELAY_LEARNT, .v4 = true, .port = 6001}}};
	struct relay_entry e;
	struct relay_key k;
	(void)state;

	relay_entry_make(&r, 0, 0, &e, &k); /* known, but nobody is there to send to */
	assert_int_equal(e.flags, RELAY_ENTRY_TO_V4);
	assert_memory_equal(e.from, r.side[0].given.ip, 16);
	relay_entry_make(&r, 1, 0, &e, &k); /* may send on as soon as it is latched, but not at line rate */
	assert_int_equal(e.flags, RELAY_ENTRY_READY | RELAY_ENTRY_LIMITED | RELAY_ENTRY_TO_V4);
	assert_int_equal(e.from_port, 0);
	r.side[0].leg[0] = (struct relay_leg){.generation = 1, .at = r.side[0].given};
	r.side[1].leg[0] = (struct relay_leg){.generation = 1, .at = at("198.51.100.2:999")};
	relay_entry_make(&r, 1, 0, &e, &k);
	assert_int_equal(e.flags, RELAY_ENTRY_LATCHED | RELAY_ENTRY_READY | RELAY_ENTRY_TO_V4);
	relay_entry_make(&r, 0, 0, &e, &k);
	assert_int_equal(e.flags, RELAY_ENTRY_LATCHED | RELAY_ENTRY_READY | RELAY_ENTRY_TO_V4);
	assert_int_equal(e.seq_add | e.ack_add, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_offer_is_recovered_from_any_segment),
		cmocka_unit_test(a_segment_of_another_flow_is_not_recovered),
		cmocka_unit_test(positions_in_both_streams_fit),
		cmocka_unit_test(windows_mean_the_same_to_both),
		cmocka_unit_test(a_listener_that_answered_an_earlier_call_is_not_ready),
		cmocka_unit_test(entries_say_what_the_record_says),
		cmocka_unit_test(entries_of_udp),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
