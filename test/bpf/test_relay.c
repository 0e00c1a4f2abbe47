/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The relay program as tables: a packet and an entry in, what becomes of it and how it
 * leaves out.  Each row is run in the family pairs it names; what is expected to leave is
 * built anew, with its checksums computed from all bytes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/util.h"
#include "scene.h"

/* ---- the table ---- */

#define BOTH 0 /* protocols */

struct row {
	const char *name;
	unsigned pairs;
	uint8_t protocol;
	enum verdict verdict;
	int reason;
	void (*change)(struct scene *s); /* from what begin() made */
};

static void nothing(struct scene *s) { (void)s; }
static void other_port(struct scene *s) { s->in.dport = 4999; }
static void port_above(struct scene *s) { s->in.dport = 6000; }
static void other_address(struct scene *s) { s->in.dst[15] ^= 1; }
static void no_entry(struct scene *s) { s->no_entry = true; }
static void unlatched(struct scene *s) { s->entry.flags &= (uint8_t)~RELAY_ENTRY_LATCHED; }
static void waiting(struct scene *s) { s->entry.flags &= (uint8_t)~RELAY_ENTRY_READY; }
static void other_source(struct scene *s) { s->in.src[15] ^= 1; }
static void other_source_port(struct scene *s) { s->in.sport ^= 1; }
static void syn(struct scene *s) { s->in.flags = SPEC_SYN; }
static void syn_ack(struct scene *s) { s->in.flags = SPEC_SYN | SPEC_ACK; }
static void ttl_1(struct scene *s) { s->in.ttl = 1; }
static void ttl_0(struct scene *s) { s->in.ttl = 0; }
static void ttl_2(struct scene *s) { s->in.ttl = 2; s->out.ttl = 1; }
static void no_payload(struct scene *s) { s->in.payload = s->out.payload = 0; }
static void odd_payload(struct scene *s) { s->in.payload = s->out.payload = 101; }
static void no_checksum(struct scene *s) { s->in.no_checksum = s->out.no_checksum = true; }
static void bad_checksum(struct scene *s) { s->in.bad_checksum = s->out.bad_checksum = true; }
static void no_route(struct scene *s) { set_out(s, s->out.v4 ? NO_ROUTE4 : NO_ROUTE6); }

static void syn_stranger(struct scene *s)
{
	syn(s);
	other_source(s);
	s->entry.flags |= RELAY_ENTRY_TOKEN;
}

static void token_wanted(struct scene *s)
{
	other_source(s);
	s->entry.flags |= RELAY_ENTRY_TOKEN;
}


/* id and side, their zeros, and a MAC, in base64 */
static const uint8_t token_line[65] = "Nm9pcXl3ZXJ0eXVpb3BhcwEB" "AAAAAAAA"
	"c2RmZ2hqa2x6eGN2Ym5tcXdlcnR5dWlv";

static void token(struct scene *s)
{
	s->in.data = s->out.data = token_line;
	s->in.payload = s->out.payload = 64;
}

static void token_stranger(struct scene *s) { token_wanted(s); token(s); }
static void token_again(struct scene *s) { s->entry.flags |= RELAY_ENTRY_TOKEN; token(s); }
static void token_and_more(struct scene *s)
{
	token_again(s);
	s->in.payload = s->out.payload = 63;
}

static void too_big(struct scene *s)
{
	s->in.payload = 1501;
}

static void narrow(struct scene *s, size_t fits, size_t more)
{
	size_t headers = (s->out.v4 ? 20 : 40) + (s->in.protocol == TCP ? 20 : 8);

	set_out(s, s->out.v4 ? NARROW4 : NARROW6);
	s->in.payload = s->out.payload = fits - headers + more;
}
static void narrow_fits(struct scene *s) { narrow(s, 1300, 0); }
static void narrow_too_big(struct scene *s) { narrow(s, 1300, 1); }
static void fills_mtu(struct scene *s)
{
	s->in.payload = s->out.payload = 1500 - (s->out.v4 ? 20 : 40) - (s->in.protocol == TCP ? 20 : 8);
}
static void over_mtu(struct scene *s) { fills_mtu(s); s->in.payload++; }
static void gso_fits(struct scene *s)
{
	s->gso_size = 1200;
	s->gso_segments = 3;
	s->in.payload = s->out.payload = 3000;
}
static void gso_too_big(struct scene *s)
{
	narrow(s, 1300, 1);
	s->gso_size = (unsigned)s->in.payload;
	s->gso_segments = 2;
	s->in.payload += 300;
}

/* ---- IPv4 options, IPv6 extension headers, fragments ---- */

static void ip_options(struct scene *s)
{
	static const uint8_t record_route[8] = {1, 7, 7, 4};

	s->in.ip_options_len = s->out.ip_options_len = sizeof record_route;
	memcpy(s->in.ip_options, record_route, sizeof record_route);
	memcpy(s->out.ip_options, record_route, sizeof record_route);
}
static void source_route(struct scene *s)
{
	ip_options(s);
	s->in.ip_options[1] = 131;
}
static void first_fragment(struct scene *s)
{
	s->in.frag = s->out.frag = s->in.v4 ? 0x2000 : 1;
	s->in.extension = s->out.extension = !s->in.v4;
	s->in.payload = s->out.payload = 96;
}
static void later_fragment(struct scene *s)
{
	first_fragment(s);
	s->in.id++;
	s->in.frag = s->in.v4 ? 100 : 100 << 3;
	s->in.later = true;
}
static void fragment_syn(struct scene *s) { first_fragment(s); syn(s); }

/* ---- TCP numbers ---- */

static void spliced(struct scene *s, int8_t shift, uint16_t in, uint16_t out)
{
	s->entry.flags |= RELAY_ENTRY_SPLICED;
	s->entry.seq_add = 0xf0000001;
	s->entry.ack_add = 0x77777777;
	s->entry.window_shift = shift;
	s->in.window = in;
	s->out.window = out;
	s->out.seq = s->in.seq + s->entry.seq_add;
	s->out.ack = s->in.ack + s->entry.ack_add;
}
static void splice(struct scene *s) { spliced(s, 0, 500, 500); }
static void window_up(struct scene *s) { spliced(s, 3, 500, 4000); }
static void window_top(struct scene *s) { spliced(s, 14, 500, 65535); }
static void window_down(struct scene *s) { spliced(s, -3, 500, 62); }
static void window_gone(struct scene *s) { spliced(s, -14, 500, 0); }
static void window_zero(struct scene *s) { spliced(s, 7, 0, 0); }
static void no_ack(struct scene *s)
{
	splice(s);
	s->in.flags = s->out.flags = SPEC_RST;
	s->out.ack = s->in.ack;
}

/* A SACK option with so many blocks at an offset among the options, before and after. */
static void sack_at(struct scene *s, unsigned at, unsigned blocks)
{
	for (unsigned side = 0; side < 2; side++) {
		struct spec *p = side ? &s->out : &s->in;
		uint32_t add = side ? s->entry.ack_add : 0;

		p->options[at] = 5;
		p->options[at + 1] = (uint8_t)(2 + 8 * blocks);
		for (unsigned i = 0; i < 2 * blocks; i++)
			store_be32(p->options + at + 2 + 4 * i, 0x9abcdef0 + 1000003 * i + add);
	}
}
static void sack(struct scene *s, uint8_t len, const uint8_t *options)
{
	splice(s);
	s->in.options_len = s->out.options_len = len;
	memset(s->in.options, 1, sizeof s->in.options);
	if (options)
		memcpy(s->in.options, options, 12);
	memcpy(s->out.options, s->in.options, sizeof s->out.options);
}
static void sack_1(struct scene *s) { sack(s, 12, NULL); sack_at(s, 2, 1); }
static void sack_odd(struct scene *s) { sack(s, 12, NULL); sack_at(s, 1, 1); }
static void sack_4(struct scene *s) { sack(s, 36, NULL); sack_at(s, 2, 4); }
static void sack_last(struct scene *s) { sack(s, 40, NULL); sack_at(s, 30, 1); }
static void sack_twice(struct scene *s)
{
	sack(s, 40, NULL);
	sack_at(s, 2, 1);
	sack_at(s, 13, 3);
}
static void sack_timestamps(struct scene *s)
{
	static const uint8_t timestamps[12] = {1, 1, 8, 10, 0, 1, 2, 3, 4, 5, 6, 7};

	sack(s, 40, timestamps);
	sack_at(s, 14, 3);
}
static void sack_behind_end(struct scene *s)
{
	sack(s, 12, NULL);
	s->in.options[0] = s->out.options[0] = 0; /* end of options: what follows is not looked at */
	s->in.options[2] = s->out.options[2] = 5;
}
static void sack_short(struct scene *s) { sack_1(s); s->in.options[3] = 9; }
static void sack_long(struct scene *s) { sack_1(s); s->in.options[3] = 18; }
static void sack_empty(struct scene *s) { sack_1(s); s->in.options[3] = 2; }

#define UP_(reason)   UP, RELAY_UP_##reason
#define DROP_(reason) DROPPED, RELAY_BPF_DROP_##reason

static const struct row rows[] = {
	{"a packet of the side that was learnt", ALL, BOTH, SENT, 0, nothing},
	{"without payload", ALL, BOTH, SENT, 0, no_payload},
	{"with an odd length", ALL, BOTH, SENT, 0, odd_payload},
	{"the checksum was wrong and stays so", ALL, BOTH, SENT, 0, bad_checksum},
	{"port below the range", ALL, BOTH, PASSED, 0, other_port},
	{"port above the range", ALL, BOTH, PASSED, 0, port_above},
	{"another address of this machine", ALL, BOTH, PASSED, 0, other_address},
	{"no such relay", ALL, BOTH, UP_(UNKNOWN), no_entry},
	{"side not learnt", ALL, BOTH, UP_(UNLATCHED), unlatched},
	{"other side not learnt", ALL, BOTH, UP_(WAITING), waiting},
	{"wrong source address", ALL, BOTH, DROP_(STRANGER), other_source},
	{"wrong source port", ALL, BOTH, DROP_(STRANGER), other_source_port},
	{"stranger, may show the token, does not", ALL, UDP, DROP_(STRANGER), token_wanted},
	{"stranger, may show the token later", ALL, TCP, UP_(STRANGER), token_wanted},
	{"stranger with a token", ALL, BOTH, UP_(STRANGER), token_stranger},
	{"the same side with its token", ALL, BOTH, UP_(TOKEN), token_again},
	{"what looks like a token but for its length", ALL, BOTH, SENT, 0, token_and_more},
	{"a token where none is wanted is data", ALL, BOTH, SENT, 0, token},
	{"SYN", ALL, TCP, UP_(SYN), syn},
	{"SYN-ACK", ALL, TCP, UP_(SYN), syn_ack},
	{"SYN of a stranger", ALL, TCP, UP_(STRANGER), syn_stranger},
	{"TTL 2", ALL, BOTH, SENT, 0, ttl_2},
	{"TTL 1", ALL, UDP, UP_(TTL), ttl_1},
	{"TTL 0", V44, UDP, UP_(TTL), ttl_0},
	{"no route", ALL, BOTH, DROP_(ROUTE), no_route},
	{"fills the MTU", ALL, BOTH, SENT, 0, fills_mtu},
	{"above the MTU", ALL, BOTH, UP_(TOO_BIG), over_mtu},
	{"far above the MTU", ALL, BOTH, UP_(TOO_BIG), too_big},
	{"fills the MTU of its device", ALL, BOTH, SENT, 0, narrow_fits},
	{"above the MTU of its device", ALL, BOTH, UP_(TOO_BIG), narrow_too_big},
	{"GSO frame", ALL, BOTH, SENT, 0, gso_fits},
	{"GSO frame with segments above the MTU", ALL, BOTH, UP_(TOO_BIG), gso_too_big},
	{"UDP without checksum", V44, UDP, SENT, 0, no_checksum},
	{"UDP without checksum to IPv6", V46, UDP, UP_(CHECKSUM), no_checksum},
	{"IPv4 options", V44, BOTH, SENT, 0, ip_options},
	{"IPv4 options to IPv6", V46, BOTH, DROP_(SHAPE), ip_options},
	{"source route: the kernel's to refuse", FROM4, BOTH, PASSED, 0, source_route},
	{"first fragment", SAME, BOTH, SENT, 0, first_fragment},
	{"first fragment to the other family", CROSS, BOTH, DROP_(FRAGMENT), first_fragment},
	{"later fragment of an unknown packet", ALL, BOTH, DROP_(FRAGMENT), later_fragment},
	{"SYN in a fragment", ALL, TCP, DROP_(FRAGMENT), fragment_syn},
	{"spliced", ALL, TCP, SENT, 0, splice},
	{"spliced, without ACK", ALL, TCP, SENT, 0, no_ack},
	{"window scaled up", ALL, TCP, SENT, 0, window_up},
	{"window at most 65535", ALL, TCP, SENT, 0, window_top},
	{"window scaled down", ALL, TCP, SENT, 0, window_down},
	{"window scaled to nothing", ALL, TCP, SENT, 0, window_gone},
	{"no window stays none", ALL, TCP, SENT, 0, window_zero},
	{"SACK", ALL, TCP, SENT, 0, sack_1},
	{"SACK at an odd place", ALL, TCP, SENT, 0, sack_odd},
	{"four SACK blocks", ALL, TCP, SENT, 0, sack_4},
	{"SACK behind padding", ALL, TCP, SENT, 0, sack_last},
	{"two SACK options", ALL, TCP, SENT, 0, sack_twice},
	{"SACK behind timestamps", ALL, TCP, SENT, 0, sack_timestamps},
	{"options behind their end", ALL, TCP, SENT, 0, sack_behind_end},
	{"SACK with half a block", ALL, TCP, DROP_(SHAPE), sack_short},
	{"SACK beyond the header", ALL, TCP, DROP_(SHAPE), sack_long},
	{"SACK without blocks", ALL, TCP, DROP_(SHAPE), sack_empty},
};

/* ---- one row ---- */

static void check_event(const struct scene *s, const struct outcome *o)
{
	const struct relay_event *e = &o->event;
	uint8_t frame[FRAME_MAX];
	size_t len = spec_build(&s->in, frame) - ETHER;

	assert_int_equal(e->whole, len);
	assert_int_equal(e->len, MIN(len, RELAY_CAPTURE));
	assert_memory_equal(e->data, frame + ETHER, e->len);
	assert_int_equal(e->segment, s->gso_size);
	if (o->reason == RELAY_UP_TOO_BIG) {
		bool narrow_way = s->entry.to[15] == 0x50 || s->entry.to[15] == 50;
		int growth = s->in.v4 == s->out.v4 ? 0 : s->in.v4 ? 20 : -20;

		assert_int_equal(e->mtu, (narrow_way ? 1300 : 1500) - growth);
	}
}

static void check_counters(const struct scene *s)
{
	struct relay_key key = key_of(s);
	uint64_t packets, bytes, count = s->gso_size ? s->gso_segments : 1;
	uint8_t frame[FRAME_MAX];
	size_t len = spec_build(&s->in, frame) - ETHER;

	assert_int_equal(relay_bpf_counters(harness_bpf(), &key, &packets, &bytes), 0);
	assert_int_equal(packets, count);
	assert_int_equal(bytes, len + (count - 1) * (len - s->in.payload));
}

static void check_row(const struct row *r, uint8_t protocol, unsigned pair)
{
	static struct outcome o;
	struct scene s;

	begin(&s, protocol, pair);
	r->change(&s);
	run(&s, &o);
	if (o.verdict != r->verdict || (o.verdict != SENT && o.verdict != PASSED &&
			o.reason != r->reason)) {
		struct outcome want = {.verdict = r->verdict, .reason = r->reason};

		print_message("# %s, IPv%d to IPv%d, %s: %s", r->name, s.in.v4 ? 4 : 6, s.out.v4 ? 4 : 6,
				protocol == TCP ? "TCP" : "UDP", outcome_text(&o));
		print_message(" instead of %s\n", outcome_text(&want));
		fail();
	}
	if (o.verdict == SENT) {
		leaves_as_expected(&s, &o);
		check_counters(&s);
	}
	if (o.verdict == UP)
		check_event(&s, &o);
}

static void table(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		for (unsigned pair = 1; pair < ALL; pair <<= 1) {
			if (!(rows[i].pairs & pair))
				continue;
			if (rows[i].protocol != TCP)
				check_row(&rows[i], UDP, pair);
			if (rows[i].protocol != UDP)
				check_row(&rows[i], TCP, pair);
		}
	}
}

int main(void)
{
	static struct CMUnitTest tests[32] = {cmocka_unit_test(table)};
	size_t count = 1;
	bool permitted;
	const char *wrong = harness_open(&permitted);
	int result;

	if (wrong) {
		printf(permitted ? "Bail out! %s\n" : "1..0 # SKIP %s\n", wrong);
		return permitted ? 1 : 0;
	}
	memcpy(tests + count, more_tests, more_test_count * sizeof tests[0]);
	count += more_test_count;
	memcpy(tests + count, header_tests, header_test_count * sizeof tests[0]);
	count += header_test_count;
	memcpy(tests + count, limit_tests, limit_test_count * sizeof tests[0]);
	count += limit_test_count;
	result = _cmocka_run_group_tests("relay", tests, count, NULL, NULL);
	harness_close();
	return result;
}
