/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * What takes more than one packet, or is no packet of a relay: fragments that follow, ICMP,
 * extension headers, packets cut off anywhere, and random ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/addr.h"
#include "base/csum.h"
#include "base/util.h"
#include "scene.h"

static struct outcome o;

/* ---- fragments ---- */

static void make_first(struct scene *s, uint16_t id)
{
	s->in.id = s->out.id = id;
	s->in.frag = s->out.frag = s->in.v4 ? 0x2000 : 1;
	s->in.extension = s->out.extension = !s->in.v4;
	s->in.payload = s->out.payload = 96;
}

static void make_later(struct scene *s)
{
	s->in.frag = s->out.frag = s->in.v4 ? 13 : 13 << 3;
	s->in.later = s->out.later = true;
	s->in.payload = s->out.payload = 51;
}

static void fragments_follow(void **state)
{
	struct scene s;

	(void)state;
	for (unsigned pair = V44; pair <= V66; pair <<= 1) {
		begin(&s, UDP, pair);
		make_first(&s, (uint16_t)(1000 + pair));
		run(&s, &o);
		EXPECT(&o, SENT, 0);
		leaves_as_expected(&s, &o);
		make_later(&s);
		run(&s, &o);
		EXPECT(&o, SENT, 0);
		leaves_as_expected(&s, &o);
		s.in.src[15] ^= 1; /* another host's, with the same id */
		run(&s, &o);
		EXPECT(&o, DROPPED, RELAY_BPF_DROP_FRAGMENT);
		s.in.src[15] ^= 1;
		s.in.id ^= 1;
		run(&s, &o);
		EXPECT(&o, DROPPED, RELAY_BPF_DROP_FRAGMENT);
		s.in.id ^= 1;
		s.no_entry = true; /* the relay is gone meanwhile */
		run(&s, &o);
		EXPECT(&o, DROPPED, RELAY_BPF_DROP_FRAGMENT);
	}
}

/* Those of the tunnel, and of whoever else has the address, still reach the kernel whole. */
static void fragments_of_others_pass(void **state)
{
	struct scene s;

	(void)state;
	for (unsigned pair = V44; pair <= V66; pair <<= 1) {
		begin(&s, UDP, pair);
		make_first(&s, (uint16_t)(2000 + pair));
		s.in.dport = 4444;
		s.no_entry = true;
		run(&s, &o);
		EXPECT(&o, PASSED, 0);
		make_later(&s);
		run(&s, &o);
		EXPECT(&o, PASSED, 0);
	}
}

static void first_fragment_goes_up(void **state)
{
	struct scene s;

	(void)state;
	begin(&s, UDP, V44);
	make_first(&s, 3000);
	s.no_entry = true;
	run(&s, &o);
	EXPECT(&o, UP, RELAY_UP_UNKNOWN);
	make_later(&s);
	run(&s, &o);
	EXPECT(&o, DROPPED, RELAY_BPF_DROP_FRAGMENT);
}

/* ---- ICMP ---- */

/* An error of a router about a packet from `sport` of the anycast address. */
static size_t icmp_error(uint8_t *frame, bool v4, uint8_t type, uint16_t sport, uint8_t protocol,
		const char *quoted_source)
{
	uint8_t *ip = frame + ETHER, *icmp = ip + (v4 ? 20 : 40), quote[FRAME_MAX];
	struct scene s;
	size_t len;

	begin(&s, protocol, v4 ? V44 : V66);
	s.out.sport = sport;
	s.out.payload = 0;
	addr_parse(quoted_source, s.out.src);
	len = spec_build(&s.out, quote) - ETHER;
	s.in.protocol = v4 ? 1 : 58;
	s.in.later = true; /* no TCP or UDP header of its own */
	s.in.frag = 0;
	s.in.payload = 8 + len;
	spec_build(&s.in, frame);
	memset(icmp, 0, 8);
	icmp[0] = type;
	memcpy(icmp + 8, quote + ETHER, len);
	return ETHER + (v4 ? 20u : 40u) + 8 + len;
}

static void icmp_errors(void **state)
{
	static const struct {
		bool v4;
		uint8_t type, protocol;
		uint16_t sport;
		const char *source;
		enum verdict verdict;
	} rows[] = {
		{true, 3, UDP, 5000, OWN4, UP}, {true, 11, TCP, 5999, OWN4, UP},
		{true, 12, UDP, 5500, OWN4, UP}, {true, 3, UDP, 4999, OWN4, PASSED},
		{true, 3, UDP, 6000, OWN4, PASSED}, {true, 3, UDP, 5500, "192.0.2.2", PASSED},
		{true, 8, UDP, 5500, OWN4, PASSED}, {true, 0, UDP, 5500, OWN4, PASSED},
		{true, 5, UDP, 5500, OWN4, PASSED}, {true, 3, 132, 5500, OWN4, PASSED},
		{false, 1, UDP, 5000, OWN6, UP}, {false, 2, TCP, 5999, OWN6, UP},
		{false, 3, UDP, 5500, OWN6, UP}, {false, 4, UDP, 5500, OWN6, UP},
		{false, 2, UDP, 4999, OWN6, PASSED}, {false, 2, UDP, 5500, "2001:db8::2", PASSED},
		{false, 128, UDP, 5500, OWN6, PASSED}, {false, 135, UDP, 5500, OWN6, PASSED},
	};
	uint8_t frame[FRAME_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t len = icmp_error(frame, rows[i].v4, rows[i].type, rows[i].sport,
				rows[i].protocol, rows[i].source);

		harness_run(frame, len, 0, 0, &o);
		if (o.verdict != rows[i].verdict)
			print_message("# row %zu: %s\n", i, outcome_text(&o));
		EXPECT(&o, rows[i].verdict, RELAY_UP_ICMP);
	}
}

/* ---- extension headers ---- */

static void extension_headers(void **state)
{
	static const uint8_t kinds[] = {0, 43, 60};
	uint8_t frame[FRAME_MAX], plain[FRAME_MAX];
	struct scene s;
	size_t len;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++) {
		for (unsigned ours = 0; ours < 2; ours++) {
			begin(&s, TCP, V66);
			s.in.dport = ours ? 5000 : 80;
			len = spec_build(&s.in, plain);
			memcpy(frame, plain, ETHER + 40);
			memset(frame + ETHER + 40, 0, 16);
			frame[ETHER + 6] = kinds[i];
			frame[ETHER + 40] = TCP;
			frame[ETHER + 41] = 1; /* 16 bytes */
			memcpy(frame + ETHER + 56, plain + ETHER + 40, len - ETHER - 40);
			store_be16(frame + ETHER + 4, (uint16_t)(len + 16 - ETHER - 40));
			harness_run(frame, len + 16, 0, 0, &o);
			EXPECT(&o, ours ? DROPPED : PASSED, RELAY_BPF_DROP_SHAPE);
		}
	}
}

/* ---- malformed ---- */

/* Shorter than its IP header says: no IP packet, the kernel's to drop. */
static void cut_packets_pass(void **state)
{
	uint8_t frame[FRAME_MAX];
	struct relay_key key;
	struct scene s;

	(void)state;
	for (unsigned pair = V44; pair <= V64; pair <<= 1) {
		for (unsigned protocol = TCP; protocol <= UDP; protocol += UDP - TCP) {
			size_t len;

			begin(&s, (uint8_t)protocol, pair);
			key = key_of(&s);
			relay_bpf_put(harness_bpf(), &key, &s.entry);
			len = spec_build(&s.in, frame);
			/* The kernel runs none that lack some of the IP header. */
			for (size_t cut = ETHER + (s.in.v4 ? 20 : 40); cut < len; cut++) {
				harness_run(frame, cut, 0, 0, &o);
				EXPECT(&o, PASSED, 0);
			}
		}
	}
}

static void set_length(uint8_t *frame, bool v4, size_t len)
{
	uint16_t check;

	if (!v4) {
		store_be16(frame + ETHER + 4, (uint16_t)(len - 40));
		return;
	}
	store_be16(frame + ETHER + 2, (uint16_t)len);
	memset(frame + ETHER + 10, 0, 2);
	check = csum_finish(csum_add(0, frame + ETHER, 20));
	memcpy(frame + ETHER + 10, &check, 2);
}

/* The IP header is right, what is in it is cut off. */
static void short_packets_are_dropped(void **state)
{
	uint8_t frame[FRAME_MAX];
	struct relay_key key;
	struct scene s;

	(void)state;
	for (unsigned pair = V44; pair <= V64; pair <<= 1) {
		for (unsigned protocol = TCP; protocol <= UDP; protocol += UDP - TCP) {
			size_t whole, header = pair & FROM4 ? 20 : 40;

			begin(&s, (uint8_t)protocol, pair);
			key = key_of(&s);
			relay_bpf_put(harness_bpf(), &key, &s.entry);
			whole = spec_build(&s.in, frame) - ETHER;
			for (size_t len = header; len < whole; len++) {
				enum verdict wanted = len < header + 8 ? PASSED : protocol == UDP ||
					len < header + 20 ? DROPPED : SENT;

				set_length(frame, s.in.v4, len);
				harness_run(frame, ETHER + len, 0, 0, &o);
				EXPECT(&o, wanted, RELAY_BPF_DROP_SHAPE);
			}
		}
	}
}

static void padding_of_ethernet_is_no_data(void **state)
{
	uint8_t frame[FRAME_MAX] = {0};
	struct relay_key key;
	struct scene s;
	size_t len;

	(void)state;
	for (unsigned pair = V44; pair <= V64; pair <<= 1) {
		begin(&s, UDP, pair);
		s.in.payload = s.out.payload = 1;
		key = key_of(&s);
		relay_bpf_put(harness_bpf(), &key, &s.entry);
		len = spec_build(&s.in, frame);
		memset(frame + len, 0xee, 17);
		harness_run(frame, len + 17, 0, 0, &o);
		EXPECT(&o, SENT, 0);
		o.len -= 17;
		leaves_as_expected(&s, &o);
	}
}

static void bad_ip_headers_pass(void **state)
{
	static const struct {
		unsigned at;
		uint8_t value;
	} bad[] = {{0, 0x44}, {0, 0x65}, {0, 0x35}, {8, 1}, {10, 0}};
	uint8_t frame[FRAME_MAX];
	struct scene s;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		size_t len;

		begin(&s, UDP, V44);
		len = spec_build(&s.in, frame);
		frame[ETHER + bad[i].at] = bad[i].value; /* and the checksum with it */
		harness_run(frame, len, 0, 0, &o);
		EXPECT(&o, PASSED, 0);
	}
}

/* ---- random packets ---- */

static uint32_t random32(void)
{
	static uint64_t x = 88172645463325252u;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return (uint32_t)(x >> 16);
}

static void randomize(struct scene *s)
{
	s->in.ttl = (uint8_t)(2 + random32() % 254);
	s->out.ttl = (uint8_t)(s->in.ttl - 1);
	s->in.class = s->out.class = (uint8_t)random32();
	s->in.fill = s->out.fill = (uint8_t)random32();
	s->in.payload = s->out.payload = random32() % 1300;
	s->in.seq = random32();
	s->in.ack = random32();
	s->in.window = s->out.window = (uint16_t)random32();
	s->in.flags = s->out.flags = (uint8_t)(random32() & ~SPEC_SYN);
	s->in.urgent = s->out.urgent = (uint16_t)random32();
	s->entry.flags |= RELAY_ENTRY_SPLICED;
	s->entry.seq_add = random32();
	s->entry.ack_add = random32();
	s->out.seq = s->in.seq + s->entry.seq_add;
	s->out.ack = s->in.ack + (s->in.flags & SPEC_ACK ? s->entry.ack_add : 0);
	for (unsigned i = 0; i < 4; i++) {
		s->in.src[12 + i] = s->entry.from[12 + i] = (uint8_t)random32();
		s->entry.to[12 + i] = s->out.dst[12 + i] = (uint8_t)(i ? random32() : 203);
	}
}

static void random_packets_leave_with_good_checksums(void **state)
{
	struct scene s;

	(void)state;
	for (unsigned i = 0; i < 5000; i++) {
		begin(&s, i & 4 ? TCP : UDP, 1u << (i & 3));
		randomize(&s);
		run(&s, &o);
		if (o.verdict != SENT)
			print_message("# packet %u: %s\n", i, outcome_text(&o));
		EXPECT(&o, SENT, 0);
		leaves_as_expected(&s, &o);
	}
}

const struct CMUnitTest more_tests[] = {
	cmocka_unit_test(fragments_follow),
	cmocka_unit_test(fragments_of_others_pass),
	cmocka_unit_test(first_fragment_goes_up),
	cmocka_unit_test(icmp_errors),
	cmocka_unit_test(extension_headers),
	cmocka_unit_test(cut_packets_pass),
	cmocka_unit_test(short_packets_are_dropped),
	cmocka_unit_test(padding_of_ethernet_is_no_data),
	cmocka_unit_test(bad_ip_headers_pass),
	cmocka_unit_test(random_packets_leave_with_good_checksums),
};
const size_t more_test_count = ARRAY_SIZE(more_tests);
