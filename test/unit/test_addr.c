/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/addr.h"
#include "base/util.h"

static void addresses_are_read_and_written(void **state)
{
	static const struct {
		const char *in, *out; /* out NULL: refused */
	} cases[] = {
			{"192.0.2.1", "192.0.2.1"},
			{"0.0.0.0", "0.0.0.0"},
			{"2001:db8::1", "2001:db8::1"},
			{"[2001:DB8:0::1]", "2001:db8::1"},
			{"::", "::"},
			{"::ffff:192.0.2.1", "192.0.2.1"},
			{"", NULL},
			{"192.0.2", NULL},
			{"192.0.2.256", NULL},
			{"[192.0.2.1]", NULL},
			{"[::1", NULL},
			{"::1]", NULL},
			{"[]", NULL},
			{"2001:db8::1%eth0", NULL},
			{"host.example", NULL},
			{"[2001:db8:0000:0000:0000:0000:0000:0001:0000:0000:0000:0000:0000:0000:0000]", NULL},
	};
	(void)state;

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		uint8_t ip[16] = {42}, before[16];
		char text[ENDPOINT_TEXT];

		memcpy(before, ip, 16);
		if (cases[i].out) {
			assert_int_equal(addr_parse(cases[i].in, ip), 0);
			assert_string_equal(addr_format(ip, text), cases[i].out);
		} else {
			assert_int_equal(addr_parse(cases[i].in, ip), -EINVAL);
			assert_memory_equal(ip, before, 16);
		}
	}
}

static void endpoints_are_read_and_written(void **state)
{
	static const struct {
		const char *in;
		uint16_t port;
		const char *out;
	} cases[] = {
			{"192.0.2.1:4444", 0, "192.0.2.1:4444"},
			{"192.0.2.1:4444", 1, "192.0.2.1:4444"},
			{"192.0.2.1", 4444, "192.0.2.1:4444"},
			{"[2001:db8::1]:65535", 0, "[2001:db8::1]:65535"},
			{"[2001:db8::1]", 4444, "[2001:db8::1]:4444"},
			{"2001:db8::1", 4444, "[2001:db8::1]:4444"},
			{"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", 0,
					"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"},
			{"192.0.2.1", 0, NULL},
			{"2001:db8::1", 0, NULL},
			{"192.0.2.1:", 4444, NULL},
			{"192.0.2.1:0", 4444, NULL},
			{"192.0.2.1:65536", 4444, NULL},
			{"192.0.2.1:99999999999999999999", 4444, NULL},
			{"192.0.2.1:+1", 4444, NULL},
			{"192.0.2.1: 1", 4444, NULL},
			{"192.0.2.1:1x", 4444, NULL},
			{"[2001:db8::1]4444", 4444, NULL},
			{"[2001:db8::1]:", 4444, NULL},
			{":4444", 1, NULL},
			{"", 4444, NULL},
	};
	(void)state;

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct endpoint e = {.port = 9};
		char text[ENDPOINT_TEXT];

		if (cases[i].out) {
			assert_int_equal(endpoint_parse(cases[i].in, cases[i].port, &e), 0);
			assert_string_equal(endpoint_format(&e, text), cases[i].out);
		} else {
			assert_int_equal(endpoint_parse(cases[i].in, cases[i].port, &e), -EINVAL);
			assert_int_equal(e.port, 9);
		}
	}
}

static void prefixes_are_read_and_written(void **state)
{
	static const struct {
		const char *in, *out;
		uint8_t len;
	} cases[] = {
			{"10.0.0.0/8", "10.0.0.0/8", 104},
			{"10.1.2.3/8", "10.1.2.3/8", 104}, /* host bits are kept */
			{"10.1.2.3", "10.1.2.3/32", 128},
			{"0.0.0.0/0", "0.0.0.0/0", 96},
			{"2001:db8::/32", "2001:db8::/32", 32},
			{"2001:db8::1", "2001:db8::1/128", 128},
			{"::/0", "::/0", 0},
			{"::ffff:0:0/96", "0.0.0.0/0", 96},
			{"10.0.0.0/33", NULL, 0},
			{"2001:db8::/129", NULL, 0},
			{"10.0.0.0/", NULL, 0},
			{"10.0.0.0/-1", NULL, 0},
			{"10.0.0.0/8/8", NULL, 0},
			{"/8", NULL, 0},
	};
	(void)state;

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct prefix p = {.len = 77};
		char text[PREFIX_TEXT];

		if (cases[i].out) {
			assert_int_equal(prefix_parse(cases[i].in, &p), 0);
			assert_int_equal(p.len, cases[i].len);
			assert_string_equal(prefix_format(&p, text), cases[i].out);
		} else {
			assert_int_equal(prefix_parse(cases[i].in, &p), -EINVAL);
			assert_int_equal(p.len, 77);
		}
	}
}

static void kinds_are_told(void **state)
{
	static const struct {
		const char *text;
		bool v4, multicast, link_local;
	} cases[] = {
			{"192.0.2.1", true, false, false},
			{"169.254.1.1", true, false, true},
			{"169.253.1.1", true, false, false},
			{"223.255.255.255", true, false, false},
			{"224.0.0.251", true, true, true},
			{"224.0.1.1", true, true, false},
			{"239.255.255.255", true, true, false},
			{"240.0.0.1", true, false, false},
			{"2001:db8::1", false, false, false},
			{"fe80::1", false, false, true},
			{"febf::1", false, false, true},
			{"fec0::1", false, false, false},
			{"ff02::fb", false, true, true},
			{"ff05::1", false, true, false},
			{"::1", false, false, false},
	};
	uint8_t ip[16];
	(void)state;

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(addr_parse(cases[i].text, ip), 0);
		assert_int_equal(addr_is_v4(ip), cases[i].v4);
		assert_int_equal(addr_is_multicast(ip), cases[i].multicast);
		assert_int_equal(addr_is_link_local(ip), cases[i].link_local);
	}
}

static void prefixes_contain_and_overlap(void **state)
{
	static const struct {
		const char *a, *b;
		bool contains, overlaps; /* a contains b's address; a and b overlap */
	} cases[] = {
			{"10.0.0.0/8", "10.255.0.1", true, true},
			{"10.0.0.0/8", "11.0.0.1", false, false},
			{"10.1.2.3/31", "10.1.2.2", true, true},
			{"10.1.2.3/32", "10.1.2.2", false, false},
			{"10.1.0.0/16", "10.0.0.0/8", false, true},
			{"0.0.0.0/0", "255.255.255.255", true, true},
			{"0.0.0.0/0", "2001:db8::1", false, false},
			{"::/0", "2001:db8::1", true, true},
			{"::/0", "10.0.0.1", false, false},
			{"2001:db8::/33", "2001:db8:7fff::", true, true},
			{"2001:db8::/33", "2001:db8:8000::", false, false},
	};
	struct prefix a, b;
	(void)state;

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(prefix_parse(cases[i].a, &a), 0);
		assert_int_equal(prefix_parse(cases[i].b, &b), 0);
		assert_int_equal(prefix_contains(&a, b.ip), cases[i].contains);
		assert_int_equal(prefix_overlaps(&a, &b), cases[i].overlaps);
		assert_int_equal(prefix_overlaps(&b, &a), cases[i].overlaps);
	}
}

static void every_mask_keeps_its_bits(void **state)
{
	(void)state;

	for (unsigned len = 0; len <= 128; len++) {
		uint8_t ip[16];

		memset(ip, 0xff, sizeof ip);
		addr_mask(ip, (uint8_t)len);
		for (unsigned bit = 0; bit < 128; bit++)
			assert_int_equal(ip[bit / 8] >> (7 - bit % 8) & 1, bit < len);
	}
}

static void wire_and_kernel_forms_go_round(void **state)
{
	static const uint8_t wire[ENDPOINT_WIRE] = {[10] = 0xff, 0xff, 192, 0, 2, 1, 0x11, 0x5c};
	static const char *const texts[] = {"192.0.2.1:4444", "[2001:db8::1]:53"};
	struct sockaddr_storage ss;
	struct sockaddr other = {.sa_family = AF_UNIX};
	struct endpoint e, back;
	uint8_t out[ENDPOINT_WIRE];
	(void)state;

	endpoint_load(&e, wire);
	assert_int_equal(e.port, 4444);
	endpoint_store(out, &e);
	assert_memory_equal(out, wire, sizeof wire);

	for (unsigned i = 0; i < ARRAY_SIZE(texts); i++) {
		socklen_t len;

		assert_int_equal(endpoint_parse(texts[i], 0, &e), 0);
		len = endpoint_to_sockaddr(&e, &ss);
		assert_int_equal(ss.ss_family, i == 0 ? AF_INET : AF_INET6);
		assert_int_equal(len, i == 0 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
		assert_true(endpoint_from_sockaddr(&back, (struct sockaddr *)&ss));
		assert_true(endpoint_equal(&e, &back));
		back.port++;
		assert_false(endpoint_equal(&e, &back));
	}
	assert_false(endpoint_from_sockaddr(&back, &other));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(addresses_are_read_and_written),
			cmocka_unit_test(endpoints_are_read_and_written),
			cmocka_unit_test(prefixes_are_read_and_written),
			cmocka_unit_test(kinds_are_told),
			cmocka_unit_test(prefixes_contain_and_overlap),
			cmocka_unit_test(every_mask_keeps_its_bits),
			cmocka_unit_test(wire_and_kernel_forms_go_round),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
