/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "packets.h"
#include "path/inner.h"

static uint8_t data[65536];
static uint8_t buffer[70000];

static int setup(void **state)
{
	uint64_t seed = 6;

	(void)state;
	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)prng(&seed);
	return 0;
}

static struct inner read_packet(const uint8_t *p, size_t len)
{
	struct inner in;

	assert_true(inner_read(&in, p, len));
	return in;
}

/* ---- inner_read ---- */

static void reads_ipv4(void **state)
{
	struct flow f = flow_make(true, true);
	struct inner in;
	size_t len;

	(void)state;
	f.tos = 0xb9;
	f.ip_options = 8;
	len = flow_packet(buffer, &f, data, 100);
	in = read_packet(buffer, len + 30); /* with padding */
	assert_true(in.v4 && in.df && !in.fragment && !in.later);
	assert_int_equal(in.tos, 0xb9);
	assert_int_equal(in.ttl, 64);
	assert_int_equal(in.proto, IPPROTO_TCP);
	assert_int_equal(in.len, len);
	assert_int_equal(in.l4, 28);
	assert_memory_equal(in.src, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\1", 16);
	assert_memory_equal(in.dst, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\x9", 16);
}

static void reads_ipv4_fragments(void **state)
{
	struct flow f = flow_make(true, false);
	struct inner in;

	(void)state;
	f.fragment = 0x2000;
	in = read_packet(buffer, flow_packet(buffer, &f, data, 100));
	assert_true(in.fragment && !in.later && !in.df && in.l4 == 20);
	f.fragment = 0x2001;
	in = read_packet(buffer, flow_packet(buffer, &f, data, 100));
	assert_true(in.fragment && in.later && in.l4 == 0);
	f.fragment = 5;
	in = read_packet(buffer, flow_packet(buffer, &f, data, 100));
	assert_true(in.fragment && in.later && in.l4 == 0);
	f.fragment = 0x1fff; /* would end behind 65535 */
	assert_false(inner_read(&in, buffer, flow_packet(buffer, &f, data, 100)));
}

static void refuses_bad_ipv4(void **state)
{
	struct flow f = flow_make(true, true);
	size_t len = flow_packet(buffer, &f, data, 100);
	struct inner in;
	uint8_t keep;

	(void)state;
	for (size_t n = 0; n < len; n++)
		assert_false(inner_read(&in, buffer, n));
	for (size_t at = 0; at < 20; at++) { /* header checksum, or what it says, is wrong */
		keep = buffer[at];
		buffer[at] ^= 4;
		assert_false(inner_read(&in, buffer, len));
		buffer[at] = keep;
	}
	buffer[0] = 0x44;
	write_checksums(buffer, len, 20, IPPROTO_TCP);
	assert_false(inner_read(&in, buffer, len));
	buffer[0] = 0x45;
	store_be16(buffer + 2, 19); /* total length below the header's */
	write_checksums(buffer, len, 20, IPPROTO_TCP);
	assert_false(inner_read(&in, buffer, len));
	store_be16(buffer + 2, 20);
	write_checksums(buffer, len, 20, IPPROTO_TCP);
	in = read_packet(buffer, len);
	assert_true(in.len == 20 && in.l4 == 0);
}

static void reads_ipv6(void **state)
{
	struct flow f = flow_make(false, false);
	struct inner in;
	size_t len;

	(void)state;
	f.tos = 0xb9;
	f.extension = 24;
	len = flow_packet(buffer, &f, data, 100);
	in = read_packet(buffer, len + 3);
	assert_true(!in.v4 && in.df && !in.fragment && !in.later);
	assert_int_equal(in.tos, 0xb9);
	assert_int_equal(in.proto, IPPROTO_UDP);
	assert_int_equal(in.l4, 64);
	assert_int_equal(in.len, len);
	assert_memory_equal(in.src, buffer + 8, 16);
	assert_memory_equal(in.dst, buffer + 24, 16);
	for (size_t n = 0; n < len; n++)
		assert_false(inner_read(&in, buffer, n));
}

/* An IPv6 packet with these bytes behind the fixed header. */
static bool read_chain(struct inner *in, uint8_t next, const void *rest, size_t n)
{
	uint8_t p[512] = {0x60};

	store_be16(p + 4, (uint16_t)n);
	p[6] = next;
	memcpy(p + 40, rest, n);
	return inner_read(in, p, 40 + n);
}

static void walks_extension_headers(void **state)
{
	/* hop-by-hop, routing, destination options of 16 bytes, then UDP */
	static const char chain[] = "\x2b\0\1\4\0\0\0\0" "\x3c\0\0\0\0\0\0\0"
				    "\x11\1\1\2\0\0\1\6\0\0\0\0\0\0\0\0" "UDPUDPUD";
	static const char options[] = "\x3c\0\1\4\0\0\0\0";
	uint8_t many[9 * 8 + 1];
	struct inner in;

	(void)state;
	assert_true(read_chain(&in, IPPROTO_HOPOPTS, chain, 40));
	assert_true(in.proto == IPPROTO_UDP && in.l4 == 72);
	for (size_t n = 0; n < 32; n++)
		assert_false(read_chain(&in, IPPROTO_HOPOPTS, chain, n));
	assert_true(read_chain(&in, IPPROTO_HOPOPTS, chain, 32)); /* nothing after the headers */
	assert_true(in.proto == IPPROTO_UDP && in.l4 == 0);

	/* Hop-by-hop elsewhere than first is an upper protocol like any unknown one. */
	assert_true(read_chain(&in, IPPROTO_ROUTING, "\0\0\0\0\0\0\0\0" "\x11\0\1\4\0\0\0\0", 16));
	assert_true(in.proto == IPPROTO_HOPOPTS && in.l4 == 48);

	assert_true(read_chain(&in, IPPROTO_NONE, "abc", 3));
	assert_true(in.proto == IPPROTO_NONE && in.l4 == 0);
	assert_true(read_chain(&in, IPPROTO_ESP, "abc", 3));
	assert_true(in.proto == IPPROTO_ESP && in.l4 == 40);

	for (size_t i = 0; i < 9; i++)
		memcpy(many + i * 8, options, 8);
	many[72] = 0;
	many[7 * 8] = IPPROTO_TCP;
	assert_true(read_chain(&in, IPPROTO_DSTOPTS, many, 73));
	assert_true(in.proto == IPPROTO_TCP && in.l4 == 104);
	many[7 * 8] = IPPROTO_DSTOPTS;
	many[8 * 8] = IPPROTO_TCP;
	assert_false(read_chain(&in, IPPROTO_DSTOPTS, many, 73));

	/* Jumbogram: length 0, hop-by-hop with the option of RFC 2675. */
	uint8_t jumbo[80] = {0x60, [40] = IPPROTO_UDP, 0, 0xc2, 4, 0, 1, 0, 0};
	assert_false(inner_read(&in, jumbo, sizeof jumbo));
}

static void reads_ipv6_fragments(void **state)
{
	struct inner in;

	(void)state;
	assert_true(read_chain(&in, IPPROTO_FRAGMENT, "\x3c\0\0\1abcd" "\6\0\1\4\0\0\0\0" "T", 17));
	assert_true(in.fragment && !in.later && in.proto == IPPROTO_TCP && in.l4 == 56);
	assert_true(read_chain(&in, IPPROTO_FRAGMENT, "\x3c\0\0\x09" "abcd" "\6\xff", 10));
	assert_true(in.fragment && in.later && in.proto == IPPROTO_DSTOPTS && in.l4 == 0);
	assert_true(read_chain(&in, IPPROTO_FRAGMENT, "\x3c\0\0\x08" "abcd" "\6\xff", 10));
	assert_true(in.fragment && in.later);
	assert_true(read_chain(&in, IPPROTO_FRAGMENT, "\6\0\0\0abcdT", 9)); /* atomic */
	assert_true(!in.fragment && !in.later && in.l4 == 48);
	/* The first fragment must hold all headers (RFC 7112). */
	assert_false(read_chain(&in, IPPROTO_FRAGMENT, "\x3c\0\0\1abcd" "\6\1\1\4\0\0\0\0", 16));
	assert_false(read_chain(&in, IPPROTO_FRAGMENT, "\x3c\0\0\1abc", 7));
}

/* ---- TTL, ECN, MSS ---- */

static void decrements_ttl(void **state)
{
	struct flow f = flow_make(true, true);
	struct inner in;

	(void)state;
	for (unsigned i = 0; i < 2 * 254; i++) {
		f.v4 = i & 1;
		f.ttl = (uint8_t)(2 + i / 2);
		f.id = (uint16_t)(i * 771);
		size_t len = flow_packet(buffer, &f, data, 50);
		in = read_packet(buffer, len);
		inner_decrement_ttl(buffer, &in);
		in = read_packet(buffer, len);
		assert_int_equal(in.ttl, f.ttl - 1);
		assert_true(checksums_right(buffer, len, in.l4, in.proto));
	}
}

/* RFC 6040 figure 4, row by row: not-ECT, ECT(0), ECT(1), CE inside; outside in the same order. */
static void ecn_as_in_rfc_6040(void **state)
{
	enum { NOT = 0, ECT0 = 2, ECT1 = 1, CE = 3, DROP = -1 };
	static const uint8_t order[] = {NOT, ECT0, ECT1, CE};
	static const int figure[4][4] = {
		{NOT, NOT, NOT, DROP},
		{ECT0, ECT0, ECT1, CE},
		{ECT1, ECT1, ECT1, CE},
		{CE, CE, CE, CE},
	};

	(void)state;
	for (unsigned i = 0; i < 32; i++) {
		unsigned row = i % 4, column = i / 4 % 4;
		struct flow f = flow_make(true, true);
		size_t len;
		struct inner in;
		bool kept;

		f.tos = 0xb8 | order[row];
		f.v4 = i & 16;
		len = flow_packet(buffer, &f, data, 50);
		in = read_packet(buffer, len);
		kept = ecn_decapsulate(buffer, &in, 0x48 | order[column]);
		assert_int_equal(kept, figure[row][column] != DROP);
		if (!kept)
			continue;
		assert_int_equal(in.tos, 0xb8 | figure[row][column]);
		in = read_packet(buffer, len); /* v4 checksum is right */
		assert_int_equal(in.tos, 0xb8 | figure[row][column]);
		if (!f.v4)
			assert_int_equal(load_be32(buffer) & 0xfffff, 0x12345);
	}
	assert_int_equal(ecn_encapsulate(0xbb, false), 3);
	assert_int_equal(ecn_encapsulate(0xbb, true), 0xbb);
}

/* A SYN with these options; its length. */
static size_t make_syn(bool v4, uint8_t flags, const void *options, size_t n)
{
	struct flow f = flow_make(true, true);
	size_t len;

	f.options = n;
	f.v4 = v4;
	f.flags = flags;
	len = flow_packet(buffer, &f, data, 0);
	memcpy(buffer + flow_l4(&f) + 20, options, n);
	write_checksums(buffer, len, flow_l4(&f), IPPROTO_TCP);
	return len;
}

static void clamps_mss(void **state)
{
	static const char aligned[] = "\2\4\x05\xb4\1\3\3\7", odd[] = "\1\2\4\x05\xb4\3\3\7";

	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		bool v4 = i & 1, shifted = i & 2;
		size_t len = make_syn(v4, i & 4 ? 0x12 : 2, shifted ? odd : aligned, 8);
		struct inner in = read_packet(buffer, len);
		uint8_t *mss = buffer + in.l4 + 20 + (shifted ? 3 : 2);

		mss_clamp(buffer, &in, 1500);
		assert_int_equal(load_be16(mss), v4 ? 1460 : 1440); /* 0x5b4 is 1460 */
		mss_clamp(buffer, &in, 1301);
		assert_int_equal(load_be16(mss), v4 ? 1261 : 1241);
		mss_clamp(buffer, &in, 1500);
		assert_int_equal(load_be16(mss), v4 ? 1261 : 1241); /* never raised */
		assert_true(checksums_right(buffer, len, in.l4, IPPROTO_TCP));
	}
}

static void leaves_other_packets_alone(void **state)
{
	static const struct {
		uint8_t flags;
		const char *options;
	} cases[] = {
		{0x10, "\2\4\x05\xb4\1\3\3\7"}, /* no SYN */
		{0x02, "\1\1\1\1\1\3\3\7"},     /* no such option */
		{0x02, "\0\2\4\x05\xb4\1\1\1"}, /* behind the end */
		{0x02, "\2\3\x05\xb4\1\1\1\1"}, /* malformed, and so on */
		{0x02, "\3\0\2\4\x05\xb4\1\1"}, {0x02, "\3\1\2\4\x05\xb4\1\1"},
		{0x02, "\1\1\1\1\1\1\2\4"},     {0x02, "\1\1\1\1\1\1\1\2"},
		{0x02, "\x08\x0a\2\4\x05\xb4\1\1"},
	};
	uint8_t before[100];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t len = make_syn(true, cases[i].flags, cases[i].options, 8);
		struct inner in = read_packet(buffer, len);

		memcpy(before, buffer, len);
		mss_clamp(buffer, &in, 1300);
		assert_memory_equal(before, buffer, len);
	}
	size_t len = make_syn(true, 2, "\2\4\x05\xb4\1\1\1\1", 8);
	struct inner in = read_packet(buffer, len);
	memcpy(before, buffer, len);
	in.len = 20 + 26; /* the options are cut */
	mss_clamp(buffer, &in, 1300);
	in.len = (uint32_t)len;
	mss_clamp(buffer, &in, 40);
	in.later = true;
	in.l4 = 0;
	mss_clamp(buffer, &in, 1300);
	assert_memory_equal(before, buffer, len);
}

/* ---- fragments ---- */

struct reassembly {
	uint8_t payload[65536];
	uint8_t seen[8192];
	unsigned count;
	unsigned mtu;
	size_t end;
	bool more; /* of the one with the highest offset */
};

static void take(void *arg, uint8_t *p, size_t len)
{
	struct reassembly *r = arg;
	struct inner in = read_packet(p, len);
	size_t header = (p[0] & 15) * 4u, n = len - header;
	size_t offset = (load_be16(p + 6) & 0x1fff) * 8u;

	assert_int_equal(in.len, len);
	assert_true(len <= r->mtu);
	memcpy(r->payload + offset, p + header, n);
	for (size_t i = offset / 8; i < (offset + n + 7) / 8; i++)
		assert_int_equal(r->seen[i]++, 0);
	if (offset + n > r->end) {
		r->end = offset + n;
		r->more = load_be16(p + 6) & 0x2000;
	}
	if (load_be16(p + 6) & 0x2000)
		assert_int_equal(n % 8, 0);
	r->count++;
}

static struct reassembly joined;

static void fragments_join_again(void **state)
{
	uint64_t seed = 7;
	uint8_t scratch[2048];

	(void)state;
	for (unsigned i = 0; i < 500; i++) {
		struct flow f = flow_make(true, false);
		size_t n = prng(&seed) % 4000, len, header;
		struct inner in;
		unsigned count;

		f.ip_options = prng(&seed) % 11 * 4;
		f.fragment = 0;
		header = 20 + f.ip_options;
		len = flow_packet(buffer, &f, data, n);
		in = read_packet(buffer, len);
		memset(&joined, 0, sizeof joined);
		joined.mtu = 68 + prng(&seed) % 1500;
		count = ipv4_fragment(buffer, &in, joined.mtu, scratch, take, &joined);
		assert_int_equal(count, joined.count);
		assert_true(len > joined.mtu ? joined.count > 1 : joined.count == 1);
		assert_false(joined.more);
		assert_int_equal(joined.end, len - header);
		assert_memory_equal(joined.payload, buffer + header, len - header);
	}
}

static uint8_t kept_fragment[5][1500];
static size_t kept_len[5];

static void keep_fragment(void *arg, uint8_t *p, size_t len)
{
	unsigned *count = arg;

	assert_in_range(*count, 0, 4);
	memcpy(kept_fragment[*count], p, len);
	kept_len[(*count)++] = len;
}

static void fragments_of_fragments(void **state)
{
	struct flow f = flow_make(true, false);
	uint8_t scratch[1500], whole[4000];
	struct inner in;
	unsigned count = 0;
	size_t len;

	(void)state;
	f.fragment = 0;
	len = flow_packet(whole, &f, data, 3000);
	in = read_packet(whole, len);
	assert_int_equal(ipv4_fragment(whole, &in, 1000, scratch, keep_fragment, &count), 4);
	memset(&joined, 0, sizeof joined);
	joined.mtu = 300;
	for (unsigned i = 4; i-- > 0;) { /* in any order */
		in = read_packet(kept_fragment[i], kept_len[i]);
		ipv4_fragment(kept_fragment[i], &in, 300, scratch, take, &joined);
	}
	assert_false(joined.more);
	assert_int_equal(joined.end, len - 20);
	assert_memory_equal(joined.payload, whole + 20, len - 20);
}

/* RFC 791: only options with the copied flag go into later fragments. */
static void options_in_fragments(void **state)
{
	/* record route (not copied), NOP, loose source route (copied), stream id (copied), end */
	static const uint8_t options[20] = {7, 7, 4, 0, 0, 0, 0, 1, 0x83, 3, 4, 0x88, 4, 0, 9, 0};
	static const uint8_t copied[8] = {0x83, 3, 4, 0x88, 4, 0, 9, 0};
	struct flow f = flow_make(true, false);
	uint8_t scratch[1500];
	unsigned count = 0;
	size_t len;
	struct inner in;

	(void)state;
	f.ip_options = 20;
	f.fragment = 0;
	len = flow_packet(buffer, &f, data, 500);
	memcpy(buffer + 20, options, 20);
	write_checksums(buffer, len, 40, IPPROTO_UDP);
	in = read_packet(buffer, len);
	assert_int_equal(ipv4_fragment(buffer, &in, 300, scratch, keep_fragment, &count), 2);
	assert_int_equal(kept_fragment[0][0], 0x4a);
	assert_memory_equal(kept_fragment[0] + 20, options, 20);
	assert_int_equal(kept_fragment[1][0], 0x47);
	assert_memory_equal(kept_fragment[1] + 20, copied, 8);
	assert_memory_equal(kept_fragment[1] + 28, buffer + kept_len[0], kept_len[1] - 28);

	buffer[20 + 9] = 200; /* an option longer than its header: nothing is copied */
	write_checksums(buffer, len, 40, IPPROTO_UDP);
	count = 0;
	assert_int_equal(ipv4_fragment(buffer, &in, 300, scratch, keep_fragment, &count), 2);
	assert_int_equal(kept_fragment[1][0], 0x45);
}

/* ---- ICMP errors ---- */

static const uint8_t from_v4[16] = {[10] = 0xff, 0xff, 10, 9, 8, 7}, from_v6[16] = {0xfd, [15] = 7};

static void icmp_error_contents(void **state)
{
	static const struct {
		enum icmp_error what;
		uint8_t v4_type, v4_code, v6_type, v6_code;
	} cases[] = {
		{ICMP_ERROR_TOO_BIG, 3, 4, 2, 0},
		{ICMP_ERROR_TIME_EXCEEDED, 11, 0, 3, 0},
		{ICMP_ERROR_NO_ROUTE, 3, 0, 1, 0},
		{ICMP_ERROR_DENIED, 3, 13, 1, 1},
	};
	static const size_t sizes[] = {0, 1, 501, 1452};
	uint8_t out[ICMP_ERROR_MAX];

	(void)state;
	for (unsigned i = 0; i < 32; i++) {
		struct flow f = flow_make(true, true);
		unsigned c = i / 8;
		size_t len, got, header, most;
		struct inner in, about;

		f.v4 = i & 1;
		header = f.v4 ? 20 : 40;
		most = f.v4 ? 576 : 1280;
		len = flow_packet(buffer, &f, data, sizes[i / 2 % 4]);
		about = read_packet(buffer, len);
		got = icmp_error(out, buffer, &about, cases[c].what, 1300, f.v4
				? from_v4 : from_v6);
		assert_int_equal(got, MIN(len + header + 8, most));
		in = read_packet(out, got);
		assert_int_equal(in.len, got);
		assert_int_equal(in.proto, f.v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
		assert_memory_equal(in.src, f.v4 ? from_v4 : from_v6, 16);
		assert_memory_equal(in.dst, about.src, 16);
		assert_memory_equal(out + header + 8, buffer, got - header - 8);
		assert_int_equal(naive_sum(f.v4 ? 0 : naive_pseudo(out, IPPROTO_ICMPV6, got - 40),
				out + header, got - header), 0xffff);
		assert_int_equal(out[header], f.v4 ? cases[c].v4_type : cases[c].v6_type);
		assert_int_equal(out[header + 1], f.v4 ? cases[c].v4_code : cases[c].v6_code);
		assert_int_equal(load_be32(out + header + 4), c ? 0 : 1300);
	}
}

/* Asks for an error about buffer after one byte has been changed. */
static size_t error_after(const struct flow *f, size_t at, uint8_t value, enum icmp_error what)
{
	uint8_t out[ICMP_ERROR_MAX];
	size_t len = flow_packet(buffer, f, data, 64);
	struct inner in;

	buffer[at] = value;
	if (f->v4)
		write_checksums(buffer, len, 20, IPPROTO_UDP);
	in = read_packet(buffer, len);
	return icmp_error(out, buffer, &in, what, 1280, f->v4 ? from_v4 : from_v6);
}

static void icmp_errors_not_sent_v4(void **state)
{
	static const uint8_t sources[] = {0, 127, 224, 239, 240, 255}, errors[] = {3, 4, 5, 11, 12};
	struct flow f = flow_make(true, false);
	uint8_t out[ICMP_ERROR_MAX];
	struct inner in;
	size_t len;

	(void)state;
	assert_true(error_after(&f, 12, 10, ICMP_ERROR_TOO_BIG) > 0);
	for (size_t i = 0; i < ARRAY_SIZE(sources); i++)
		assert_int_equal(error_after(&f, 12, sources[i], ICMP_ERROR_TOO_BIG), 0);
	assert_int_equal(error_after(&f, 16, 230, ICMP_ERROR_TOO_BIG), 0);
	assert_true(error_after(&f, 16, 255, ICMP_ERROR_TOO_BIG) > 0); /* 255.0.0.9 */
	f.fragment = 0x4001;
	assert_int_equal(error_after(&f, 12, 10, ICMP_ERROR_TOO_BIG), 0);
	f.fragment = 0;
	len = flow_packet(buffer, &f, data, 64);
	memset(buffer + 16, 255, 4);
	write_checksums(buffer, len, 20, IPPROTO_UDP);
	in = read_packet(buffer, len);
	assert_int_equal(icmp_error(out, buffer, &in, ICMP_ERROR_DENIED, 0, from_v4), 0);

	for (unsigned type = 0; type < 256; type++) {
		len = flow_packet(buffer, &f, data, 64);
		buffer[9] = IPPROTO_ICMP;
		buffer[20] = (uint8_t)type;
		write_checksums(buffer, len, 20, IPPROTO_UDP);
		in = read_packet(buffer, len);
		assert_int_equal(icmp_error(out, buffer, &in, ICMP_ERROR_NO_ROUTE, 0, from_v4) == 0,
				memchr(errors, (int)type, sizeof errors) != NULL);
	}
	store_be16(buffer + 2, 20); /* ICMP whose type is not there */
	write_checksums(buffer, len, 20, IPPROTO_UDP);
	in = read_packet(buffer, 20);
	assert_int_equal(icmp_error(out, buffer, &in, ICMP_ERROR_NO_ROUTE, 0, from_v4), 0);
}

static void icmp_errors_not_sent_v6(void **state)
{
	struct flow f = flow_make(false, false);
	uint8_t out[ICMP_ERROR_MAX];
	struct inner in;
	size_t len;

	(void)state;
	assert_true(error_after(&f, 24, 0x20, ICMP_ERROR_NO_ROUTE) > 0);
	assert_int_equal(error_after(&f, 8, 0xff, ICMP_ERROR_TOO_BIG), 0);
	assert_int_equal(error_after(&f, 24, 0xff, ICMP_ERROR_NO_ROUTE), 0);
	assert_true(error_after(&f, 24, 0xff, ICMP_ERROR_TOO_BIG) > 0);
	for (unsigned last = 0; last < 3; last++) { /* ::, ::1, but not ::2 */
		len = flow_packet(buffer, &f, data, 64);
		memset(buffer + 8, 0, 16);
		buffer[23] = (uint8_t)last;
		in = read_packet(buffer, len);
		assert_int_equal(icmp_error(out, buffer, &in, ICMP_ERROR_NO_ROUTE, 0, from_v6) == 0,
				last < 2);
	}
	for (unsigned type = 0; type < 256; type++) {
		len = flow_packet(buffer, &f, data, 64);
		buffer[6] = IPPROTO_ICMPV6;
		buffer[40] = (uint8_t)type;
		in = read_packet(buffer, len);
		assert_int_equal(icmp_error(out, buffer, &in, ICMP_ERROR_TOO_BIG, 1280,
				from_v6) == 0,
				type < 128 || type == 137);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_ipv4),
		cmocka_unit_test(reads_ipv4_fragments),
		cmocka_unit_test(refuses_bad_ipv4),
		cmocka_unit_test(reads_ipv6),
		cmocka_unit_test(walks_extension_headers),
		cmocka_unit_test(reads_ipv6_fragments),
		cmocka_unit_test(decrements_ttl),
		cmocka_unit_test(ecn_as_in_rfc_6040),
		cmocka_unit_test(clamps_mss),
		cmocka_unit_test(leaves_other_packets_alone),
		cmocka_unit_test(fragments_join_again),
		cmocka_unit_test(fragments_of_fragments),
		cmocka_unit_test(options_in_fragments),
		cmocka_unit_test(icmp_error_contents),
		cmocka_unit_test(icmp_errors_not_sent_v4),
		cmocka_unit_test(icmp_errors_not_sent_v6),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}
