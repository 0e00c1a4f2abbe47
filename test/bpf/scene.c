/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/addr.h"
#include "base/util.h"
#include "scene.h"

void set_out(struct scene *s, const char *to)
{
	struct endpoint e = {.port = 0};

	addr_parse(to, e.ip);
	memcpy(s->entry.to, e.ip, 16);
	memcpy(s->out.dst, e.ip, 16);
}

void begin(struct scene *s, uint8_t protocol, unsigned pair)
{
	bool from4 = pair & FROM4, to4 = pair & TO4;

	*s = (struct scene){0};
	s->in = (struct spec){.v4 = from4, .sport = 4000, .dport = 5000, .protocol = protocol,
		.ttl = 64, .class = 0xb9, .label = 0x12345, .id = 77, .frag = from4 ? 0x4000 : 0,
		.seq = 0x12345678, .ack = 0x9abcdef0, .window = 500, .flags = SPEC_ACK,
		.payload = 100};
	addr_parse(from4 ? "198.51.100.7" : "2001:db8:7::7", s->in.src);
	addr_parse(from4 ? OWN4 : OWN6, s->in.dst);
	s->out = s->in;
	s->out.v4 = to4;
	s->out.ttl = 63;
	s->out.sport = 6000;
	s->out.dport = 7000;
	if (from4 != to4) {
		s->out.label = 0;
		s->out.id = s->out.frag = 0; /* see leaves_as_expected() */
	}
	addr_parse(to4 ? OWN4 : OWN6, s->out.src);
	s->entry = (struct relay_entry){.from_port = htobe16(4000), .to_port = htobe16(7000),
		.out_port = htobe16(6000), .flags = RELAY_ENTRY_LATCHED | RELAY_ENTRY_READY |
			(to4 ? RELAY_ENTRY_TO_V4 : 0)};
	memcpy(s->entry.from, s->in.src, 16);
	set_out(s, to4 ? "203.0.113.9" : "2001:db8:9::9");
}

struct relay_key key_of(const struct scene *s)
{
	return (struct relay_key){.v4 = s->in.v4, .protocol = s->in.protocol,
		.port = htobe16(s->in.dport)};
}

void run(const struct scene *s, struct outcome *o)
{
	struct relay_key key = key_of(s);
	uint8_t frame[FRAME_MAX];

	relay_bpf_delete(harness_bpf(), &key);
	if (!s->no_entry)
		assert_int_equal(relay_bpf_put(harness_bpf(), &key, &s->entry), 0);
	harness_run(frame, spec_build(&s->in, frame), s->gso_size, s->gso_segments, o);
}

void leaves_as_expected(const struct scene *s, struct outcome *o)
{
	struct spec out = s->out;
	uint8_t frame[FRAME_MAX];
	size_t len;

	if (!s->in.v4 && out.v4) { /* RFC 7915: a random id and no DF, or none and DF, by size */
		bool small = o->len - ETHER <= 1260 && !s->gso_size;

		out.id = small ? load_be16(o->frame + ETHER + 4) : 0;
		out.frag = small ? 0 : 0x4000;
	}
	len = spec_build(&out, frame);
	assert_int_equal(o->len, len);
	assert_memory_equal(o->frame + ETHER, frame + ETHER, len - ETHER);
}
