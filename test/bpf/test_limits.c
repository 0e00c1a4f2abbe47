/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * How much there may be: sent to who has not answered, handed up, taken in one poll; and that
 * what is counted stays so.
 */
#include <endian.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/util.h"
#include "scene.h"

static struct outcome o;

/* ---- who has not answered ---- */

/* Sends this packet until the limit is met; how many were sent before. */
static unsigned run_to_limit(const uint8_t *frame, size_t len)
{
	for (unsigned sent = 0; sent < 1000; sent++) {
		harness_run(frame, len, 0, 0, &o);
		if (o.verdict == DROPPED && o.reason == RELAY_BPF_DROP_LIMITED)
			return sent;
		EXPECT(&o, SENT, 0);
	}
	return UINT_MAX;
}

static void unanswered_is_limited(void **state)
{
	struct relay_key key;
	uint8_t frame[FRAME_MAX];
	struct scene s;
	unsigned sent;
	size_t len;

	(void)state;
	begin(&s, UDP, V44);
	s.entry.flags |= RELAY_ENTRY_LIMITED;
	run(&s, &o);
	EXPECT(&o, SENT, 0);
	len = spec_build(&s.in, frame);
	sent = 1 + run_to_limit(frame, len);
	assert_in_range(sent, RELAY_LIMIT, 2 * RELAY_LIMIT); /* a period may end meanwhile */
	key = key_of(&s);
	s.entry.flags &= (uint8_t)~RELAY_ENTRY_LIMITED; /* it has answered */
	assert_int_equal(relay_bpf_put(harness_bpf(), &key, &s.entry), 0);
	harness_run(frame, len, 0, 0, &o);
	EXPECT(&o, SENT, 0);
}

/* One relay after the other to ports of one host, until the host has enough of them. */
static unsigned send_by_many(struct scene *s, unsigned relays)
{
	uint8_t frame[FRAME_MAX];
	unsigned sent = 0;

	for (unsigned i = 0; i < relays; i++) {
		struct relay_key key;

		s->in.dport = (uint16_t)(5100 + i);
		s->entry.to_port = htobe16((uint16_t)(7100 + i));
		key = key_of(s);
		relay_bpf_delete(harness_bpf(), &key);
		assert_int_equal(relay_bpf_put(harness_bpf(), &key, &s->entry), 0);
		sent += run_to_limit(frame, spec_build(&s->in, frame));
	}
	return sent;
}

static void a_silent_host_is_spared(void **state)
{
	uint8_t host[16];
	unsigned sent;
	struct scene s;

	(void)state;
	for (unsigned pair = V44; pair < ALL; pair <<= 1) {
		begin(&s, UDP, pair);
		set_out(&s, s.out.v4 ? pair & FROM4 ? "203.0.113.80" : "203.0.113.81" :
				pair & FROM4 ? "2001:db8:80::1" : "2001:db8:81::1");
		s.entry.flags |= RELAY_ENTRY_LIMITED;
		sent = send_by_many(&s, 10);
		assert_in_range(sent, RELAY_HOST_LIMIT, 3 * RELAY_HOST_LIMIT); /* a period may end */
		memcpy(host, s.out.dst, sizeof host);
		if (!s.out.v4)
			host[15]++; /* of the same /64 */
		relay_bpf_heard(harness_bpf(), host);
		sent = send_by_many(&s, 10);
		assert_true(sent >= 10 * RELAY_LIMIT);
	}
}

/* What user space sends, and what the program does, is one sum. */
static void a_silent_host_is_spared_by_both(void **state)
{
	unsigned admitted = 0, sent;
	struct scene s;

	(void)state;
	begin(&s, UDP, V44);
	set_out(&s, "203.0.113.82");
	s.entry.flags |= RELAY_ENTRY_LIMITED;
	while (admitted < 1000 && relay_bpf_admit(harness_bpf(), s.out.dst))
		admitted++;
	sent = send_by_many(&s, 1);
	assert_in_range(admitted, RELAY_HOST_LIMIT, 2 * RELAY_HOST_LIMIT);
	assert_in_range(admitted + sent, RELAY_HOST_LIMIT, 2 * RELAY_HOST_LIMIT); /* a period may end */
	relay_bpf_heard(harness_bpf(), s.out.dst);
	for (unsigned i = 0; i < 2 * RELAY_HOST_LIMIT; i++)
		assert_true(relay_bpf_admit(harness_bpf(), s.out.dst));
}

/* ---- counters ---- */

static void put_keeps_counters(void **state)
{
	struct scene s;
	struct relay_key key;
	uint64_t packets, bytes;

	(void)state;
	begin(&s, UDP, V66);
	run(&s, &o);
	key = key_of(&s);
	s.entry.to_port = 0;
	s.entry.packets = 99;
	assert_int_equal(relay_bpf_put(harness_bpf(), &key, &s.entry), 0);
	assert_int_equal(relay_bpf_counters(harness_bpf(), &key, &packets, &bytes), 0);
	assert_int_equal(packets, 1);
	assert_int_equal(bytes, o.len - ETHER);
	assert_int_equal(relay_bpf_delete(harness_bpf(), &key), 0);
	assert_int_equal(relay_bpf_delete(harness_bpf(), &key), -2); /* ENOENT */
	assert_int_equal(relay_bpf_counters(harness_bpf(), &key, &packets, &bytes), -2);
}

/* ---- the ring ---- */

/* A flood goes up by its budget, and the rest is counted. */
static void flood_goes_up_within_its_budget(void **state)
{
	unsigned up = 0, over = 0;
	struct scene s;

	(void)state;
	begin(&s, UDP, V44);
	s.in.ttl = 1;
	for (unsigned i = 0; i < 10000 && over == 0; i++) {
		run(&s, &o);
		up += o.verdict == UP;
		over += o.verdict == DROPPED && o.reason == RELAY_BPF_DROP_RING;
	}
	assert_int_equal(over, 1);
	assert_true(up > 0);
}

static void a_poll_takes_a_round(void **state)
{
	uint8_t frame[FRAME_MAX];
	unsigned up, taken = 0;
	struct scene s;
	bool more = true;

	(void)state;
	begin(&s, UDP, V44);
	s.no_entry = true;
	run(&s, &o);
	up = harness_flood(frame, spec_build(&s.in, frame), 2 * RELAY_BPF_ROUND + 20);
	assert_true(up > RELAY_BPF_ROUND); /* a period's budget is 100 */
	while (more) {
		unsigned n = harness_poll(&more);

		assert_true(n == RELAY_BPF_ROUND || (n < RELAY_BPF_ROUND && !more));
		taken += n;
	}
	assert_int_equal(taken, up);
	assert_int_equal(harness_poll(&more), 0);
	assert_false(more);
}

/* Strangers flood one port of a relay: the callers of others are heard all the same. */
static void one_port_has_a_share(void **state)
{
	static const struct {
		enum relay_up reason;
		unsigned budget;
	} reasons[] = {
#define X(name, key, most, text) {RELAY_UP_##name, most},
		RELAY_UP_REASONS(X)
#undef X
	};
	const unsigned share = reasons[RELAY_UP_UNLATCHED].budget / 16 / RELAY_UP_SHARES;
	unsigned up = 0, over = 0;
	struct scene s, other;

	(void)state;
	begin(&s, UDP, V44);
	s.entry.flags &= (uint8_t)~RELAY_ENTRY_LATCHED;
	other = s;
	other.in.dport = s.in.dport + 1;
	run(&s, &o); /* puts its entry */
	for (unsigned i = 0; i < 10000 && over < 20; i++) {
		uint8_t frame[FRAME_MAX];

		harness_run(frame, spec_build(&s.in, frame), 0, 0, &o);
		up += o.verdict == UP;
		over += o.verdict == DROPPED && o.reason == RELAY_BPF_DROP_RING;
		if (!over)
			continue;
		run(&other, &o);
		EXPECT(&o, UP, RELAY_UP_UNLATCHED);
	}
	assert_int_equal(over, 20);
	assert_true(up >= share - 1);
}

const struct CMUnitTest limit_tests[] = {
	cmocka_unit_test(unanswered_is_limited),
	cmocka_unit_test(a_silent_host_is_spared),
	cmocka_unit_test(a_silent_host_is_spared_by_both),
	cmocka_unit_test(put_keeps_counters),
	cmocka_unit_test(flood_goes_up_within_its_budget),
	cmocka_unit_test(one_port_has_a_share),
	cmocka_unit_test(a_poll_takes_a_round),
};
const size_t limit_test_count = ARRAY_SIZE(limit_tests);
