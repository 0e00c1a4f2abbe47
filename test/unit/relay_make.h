/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* For tests: relays from a seeded generator, sound and few enough kinds of each part to meet often. */
#ifndef TEST_RELAY_MAKE_H
#define TEST_RELAY_MAKE_H

#include "bytes.h"
#include "proto/relay.h"

static inline struct endpoint make_endpoint(uint64_t *seed, bool v4)
{
	struct endpoint e = {.port = (uint16_t)(1024 + next_random(seed) % 60000)};

	fill(seed, e.ip, sizeof e.ip);
	e.ip[0] = 0x20;
	if (v4)
		addr_from_v4(e.ip, (uint8_t[]){198, 51, 100, (uint8_t)next_random(seed)});
	return e;
}

static inline struct relay_leg make_leg(uint64_t *seed, const struct relay *r,
		const struct relay_side *s, unsigned offset)
{
	struct relay_leg l = {.generation = (uint8_t)(next_random(seed) % 4)};

	if (l.generation == 0)
		return l;
	l.server = (uint16_t)(1 + next_random(seed) % 3);
	l.at = make_endpoint(seed, s->v4);
	if (s->kind == RELAY_GIVEN || s->kind == RELAY_HOST)
		memcpy(l.at.ip, s->given.ip, 16);
	if (s->kind == RELAY_GIVEN)
		l.at.port = (uint16_t)(s->given.port + offset);
	if (r->protocol == RELAY_UDP)
		return l;
	l.isn = (uint32_t)next_random(seed);
	l.ours = (uint32_t)next_random(seed);
	l.skip = next_random(seed) % 2 ? RELAY_TOKEN_SIZE : 0;
	l.wscale = next_random(seed) % 16;
	l.our_wscale = next_random(seed) % 16;
	l.sack = next_random(seed) % 2;
	l.timestamps = next_random(seed) % 2;
	l.mss = (uint16_t)next_random(seed);
	l.window = (uint16_t)next_random(seed);
	l.tsval = (uint32_t)next_random(seed);
	return l;
}

static inline struct relay_side make_side(uint64_t *seed)
{
	struct relay_side s = {
		.kind = (uint8_t)(RELAY_GIVEN + next_random(seed) % 4),
		.v4 = next_random(seed) % 2,
	};

	if (s.kind == RELAY_GIVEN || s.kind == RELAY_HOST)
		s.given = make_endpoint(seed, s.v4);
	if (s.kind == RELAY_HOST)
		s.given.port = 0;
	return s;
}

/* What changes of a relay in its life. */
static inline void make_news(uint64_t *seed, struct relay *r)
{
	r->version = 1 + next_random(seed) % 3;
	r->server = (uint16_t)(1 + next_random(seed) % 3);
	r->settled = next_random(seed) % 2;
	r->removed = next_random(seed) % 4 == 0;
	r->lost = r->removed && next_random(seed) % 2;
	r->created = 1770000000 + next_random(seed) % 2;
	r->expires = r->removed || next_random(seed) % 3 ? r->created + 600 + next_random(seed) % 2 : 0;
	for (unsigned i = 0; i < 2; i++) {
		r->side[i].port = (uint16_t)(20000 + 1000 * i + 2 * (next_random(seed) % 3));
		for (unsigned offset = 0; offset < r->span; offset++)
			r->side[i].leg[offset] = make_leg(seed, r, &r->side[i], offset);
	}
}

/* which: of few requests under the same id. */
static inline struct relay make_relay(uint64_t *seed, unsigned which)
{
	uint64_t of_request = 7 + which;
	struct relay r = {.id = {1, 2, 3}, .owner = which};

	r.protocol = which % 2 ? RELAY_TCP : RELAY_UDP;
	r.span = which % 4 == 2 ? 2 : 1;
	r.even = which % 8 == 2;
	for (unsigned i = 0; i < 2; i++)
		r.side[i] = make_side(&of_request);
	make_news(seed, &r);
	return r;
}

#endif
