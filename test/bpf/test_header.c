/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * What of an IP header is kept, for each of its values: DSCP and ECN, hop limit, options, fragment
 * headers; what the way out takes; and what hangs at the uplink.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "base/addr.h"
#include "base/util.h"
#include "scene.h"

static struct outcome o;

static void leaves(struct scene *s)
{
	run(s, &o);
	EXPECT(&o, SENT, 0);
	leaves_as_expected(s, &o);
}

/* ---- the class, the hop limit ---- */

static void dscp_and_ecn_are_kept(void **state)
{
	struct scene s;

	(void)state;
	for (unsigned pair = V44; pair < ALL; pair <<= 1) {
		for (unsigned class = 0; class < 256; class++) {
			begin(&s, class & 1 ? TCP : UDP, pair);
			s.in.class = s.out.class = (uint8_t)class;
			leaves(&s);
		}
	}
}

static void hop_limit_ends(void **state)
{
	struct scene s;

	(void)state;
	for (unsigned pair = V44; pair < ALL; pair <<= 1) {
		for (unsigned ttl = 2; ttl < 256; ttl++) {
			begin(&s, ttl & 1 ? TCP : UDP, pair);
			s.in.ttl = (uint8_t)ttl;
			s.out.ttl = (uint8_t)(ttl - 1);
			leaves(&s);
		}
	}
}

/* ---- options of IPv4 ---- */

/* A timestamp option (RFC 791) that fills the room but for its end, of bytes that vary. */
static void set_options(struct scene *s, unsigned len)
{
	uint8_t *options = s->in.ip_options;

	s->in.ip_options_len = s->out.ip_options_len = (uint8_t)len;
	memset(options, 0, sizeof s->in.ip_options);
	options[0] = 68;
	options[1] = (uint8_t)(len - 1);
	for (unsigned i = 2; i < len - 1; i++)
		options[i] = (uint8_t)(i * 83 + len);
	memcpy(s->out.ip_options, options, sizeof s->out.ip_options);
}

static void checksums_with_options(void **state)
{
	uint8_t frame[FRAME_MAX];
	struct scene s;

	(void)state;
	for (unsigned len = 4; len <= 40; len += 4) {
		for (unsigned protocol = TCP; protocol <= UDP; protocol += UDP - TCP) {
			size_t whole;

			begin(&s, (uint8_t)protocol, V44);
			set_options(&s, len);
			leaves(&s);
			whole = spec_build(&s.in, frame);
			for (unsigned i = ETHER + 20; i < ETHER + 20 + len; i++) {
				frame[i] ^= 0x10; /* the header's checksum is wrong then: the kernel's to drop */
				harness_run(frame, whole, 0, 0, &o);
				EXPECT(&o, PASSED, 0);
				frame[i] ^= 0x10;
			}
		}
	}
}

/* ---- fragments of IPv6 ---- */

static void make_fragment(struct scene *s, uint16_t frag, bool later, size_t payload)
{
	s->in.extension = s->out.extension = true;
	s->in.frag = s->out.frag = frag;
	s->in.later = s->out.later = later;
	s->in.payload = s->out.payload = payload;
}

/* In whatever order the later ones come, the last one with them; class and hop limit as ever. */
static void fragments_of_ipv6(void **state)
{
	static const uint16_t later[] = {0x500, 0x308 | 1, 0x408 | 1};
	struct scene s;

	(void)state;
	begin(&s, UDP, V66);
	s.in.id = s.out.id = 4242;
	make_fragment(&s, 1, false, 768);
	leaves(&s);
	for (unsigned i = 0; i < ARRAY_SIZE(later); i++) {
		make_fragment(&s, later[i], true, 256);
		s.in.class = s.out.class = (uint8_t)(3 * i);
		leaves(&s);
	}
	s.in.ttl = 1; /* a later one is no packet that an ICMP error could quote */
	run(&s, &o);
	EXPECT(&o, DROPPED, RELAY_BPF_DROP_FRAGMENT);
	s.in.ttl = 64;
	make_fragment(&s, 0x600, true, 1460); /* with both headers above the MTU */
	run(&s, &o);
	EXPECT(&o, DROPPED, RELAY_BPF_DROP_FRAGMENT);
}

/* RFC 6946: a packet that has the header and is whole all the same. */
static void atomic_fragments(void **state)
{
	struct scene s;

	(void)state;
	begin(&s, UDP, V66);
	make_fragment(&s, 0, false, 100);
	leaves(&s);
	begin(&s, TCP, V64);
	make_fragment(&s, 0, false, 100);
	run(&s, &o);
	EXPECT(&o, DROPPED, RELAY_BPF_DROP_FRAGMENT);
	begin(&s, UDP, V66);
	make_fragment(&s, 1, false, 1500);
	run(&s, &o);
	EXPECT(&o, UP, RELAY_UP_TOO_BIG);
}

/* ---- the way out ---- */

static bool holds_exception(const char *host)
{
	char words[200];

	snprintf(words, sizeof words, "ip route get %s | grep -q ' mtu '", host);
	return system(words) == 0;
}

/* "Too big" about an echo reply of the machine to this host: nothing is needed for that but to send it. */
static void forge_too_big(bool v4, const char *host)
{
	struct spec echo = {.v4 = v4, .protocol = v4 ? 1 : 58, .ttl = 64, .later = true, .payload = 64};
	struct spec error = {.v4 = v4};
	uint8_t reply[64] = {v4 ? 0 : 129}, quoted[FRAME_MAX], frame[FRAME_MAX];
	size_t len;

	addr_parse(v4 ? "10.0.0.1" : "fd00::1", echo.src);
	addr_parse(host, echo.dst);
	addr_parse(v4 ? "10.0.0.2" : "fd00::2", error.src);
	memcpy(error.dst, echo.src, 16);
	echo.data = reply;
	len = spec_build(&echo, quoted) - ETHER;
	len = spec_build_error(&error, v4 ? 3 : 2, v4 ? 4 : 0, v4 ? 600 : 1280, quoted + ETHER, len, frame);
	harness_arrive(frame, len);
}

/* What the kernel has been told about the path to a host does not count: whoever likes can tell it. */
static void forged_path_mtu(void **state)
{
	const struct timespec pause = {.tv_nsec = 10000000};
	struct scene s;

	(void)state;
	for (unsigned pair = V44; pair < ALL; pair <<= 1) {
		bool v4 = pair & TO4;
		const char *host = v4 ? "203.0.113.70" : "2001:db8:9::70";

		forge_too_big(v4, host);
		for (unsigned i = 0; i < 500 && !holds_exception(host); i++)
			nanosleep(&pause, NULL);
		assert_true(holds_exception(host));
		begin(&s, UDP, pair);
		set_out(&s, host);
		s.in.payload = s.out.payload = 1440;
		leaves(&s);
	}
}

/* ---- the uplink ---- */

/* Attached again where nothing hangs, and only there: the ousted one lets the other be. */
static void what_has_gone_is_attached_again(void **state)
{
	uint32_t program = harness_attached();
	uint64_t before = relay_bpf_reattached(harness_bpf());

	(void)state;
	assert_true(program != 0);
	relay_bpf_tend(harness_bpf());
	relay_bpf_tend(harness_ousted());
	assert_int_equal(harness_attached(), program);
	assert_int_equal(system("tc qdisc del dev up0 clsact"), 0);
	assert_int_equal(harness_attached(), 0);
	relay_bpf_tend(harness_bpf());
	assert_int_equal(harness_attached(), program);
	assert_int_equal(relay_bpf_reattached(harness_bpf()), before + 1);
	assert_int_equal(relay_bpf_reattached(harness_ousted()), 0);
}

const struct CMUnitTest header_tests[] = {
	cmocka_unit_test(dscp_and_ecn_are_kept),
	cmocka_unit_test(hop_limit_ends),
	cmocka_unit_test(checksums_with_options),
	cmocka_unit_test(fragments_of_ipv6),
	cmocka_unit_test(atomic_fragments),
	cmocka_unit_test(forged_path_mtu),
	cmocka_unit_test(what_has_gone_is_attached_again),
};
const size_t header_test_count = ARRAY_SIZE(header_tests);
