/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Events of the fast path: which relay a packet is for, and that it ends as a
 * packet sent, an answer, a latch, or one counted drop.
 */
#include "mode/relay_input_internal.h"

#include <stdlib.h>

#define UNANSWERED_MOST RELAY_LIMIT /* packets a second to a side that has not answered */

struct relay_input *relay_input_new(const struct relay_input_options *o)
{
	struct relay_input *in = calloc(1, sizeof *in);

	if (!in)
		return NULL;
	in->o = *o;
	random_bytes(&in->salt, sizeof in->salt);
	return in;
}

void relay_input_free(struct relay_input *in)
{
	if (!in)
		return;
	wipe(in, sizeof *in);
	free(in);
}

void relay_input_drops(const struct relay_input *in, uint64_t drops[RELAY_DROP_COUNT])
{
	memcpy(drops, in->drops, sizeof in->drops);
}

bool relay_bucket_pass(struct relay_bucket *b, const struct instant *now, uint32_t most)
{
	uint32_t second = (uint32_t)(now->boot / TICKS_PER_SEC);

	if (b->second != second)
		*b = (struct relay_bucket){.second = second};
	if (b->count >= most)
		return false;
	b->count++;
	return true;
}

struct relay_bucket *relay_bucket_of(const struct relay_input *in, struct relay_bucket *buckets,
		const void *what, size_t len)
{
	const uint8_t *at = what;
	uint64_t hash = in->salt;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ at[i]) * 0x9e3779b97f4a7c15;
	return &buckets[(hash ^ hash >> 32) >> 8 & (RELAY_BUCKETS - 1)];
}

bool relay_input_admit(struct relay_input *in, const struct relay *r, const uint8_t ip[16])
{
	struct relay_output *out = in->o.out;

	return relay_bucket_pass(relay_bucket_of(in, in->unanswered, r->id, sizeof r->id), &in->now,
			UNANSWERED_MOST) && (!out->admit || out->admit(out, ip));
}

const uint8_t *relay_input_anycast(const struct relay_input *in, bool v4)
{
	return v4 ? in->o.anycast4 : in->o.anycast6;
}

bool relay_input_fits(const struct relay_side *side, unsigned offset, const struct endpoint *from)
{
	struct endpoint room;

	if (relay_latched(side, offset) || side->kind == RELAY_GIVEN)
		return endpoint_equal(relay_side_at(side, offset, &room), from);
	if (side->kind == RELAY_HOST)
		return memcmp(side->given.ip, from->ip, sizeof from->ip) == 0;
	return side->kind == RELAY_LEARNT || side->kind == RELAY_HINTED;
}

static bool check_token(const struct relay_input *in, const char *token,
		uint8_t id[RELAY_ID_SIZE], unsigned *side)
{
	const struct relay_keys *k = in->o.keys;

	for (unsigned i = 0; i < k->count; i++)
		if (relay_token_check(k->key[i], token, id, side))
			return true;
	return false;
}

bool relay_input_token(const struct relay_input *in, const struct relay_packet *p,
		const struct relay *r, unsigned side)
{
	uint8_t id[RELAY_ID_SIZE];
	unsigned of;

	return p->payload_len == RELAY_TOKEN_SIZE && p->len == p->whole &&
			check_token(in, (const char *)p->payload, id, &of) &&
			of == side && equal_secret(id, r->id, sizeof id);
}

bool relay_input_latch(struct relay_input *in, const struct relay *r, unsigned side,
		unsigned offset, const struct relay_leg *leg, bool token_shown)
{
	uint8_t id[RELAY_ID_SIZE];
	bool done;

	memcpy(id, r->id, sizeof id); /* r is the table's, which changes it */
	in->latching = true;
	done = relays_latch(in->o.relays, &in->now, id, side, offset, leg, token_shown);
	in->latching = false;
	return done;
}

/* ---- sending on ---- */

static void rewrite_tcp(const struct relay_input *in, const struct relay_packet *p,
		const struct relay *r, unsigned from, uint8_t *upper)
{
	struct relay_shift shift;

	if (p->protocol != RELAY_TCP)
		return;
	if (relay_ready(r, from, 0)) {
		relay_shift(r, from, &shift);
		relay_tcp_shift(upper, p->upper_len, &shift);
	}
	if (p->flags & TCP_SYN)
		relay_tcp_clamp(upper, p->upper_len, in->o.mss);
}

unsigned relay_input_forward(struct relay_input *in, const struct relay_packet *p,
		const struct relay *r, unsigned from, unsigned offset)
{
	const struct relay_side *other = &r->side[!from];
	struct endpoint room;
	const struct endpoint *to = relay_side_at(other, offset, &room);
	struct relay_ip h = {.v4 = other->v4, .df = p->df || p->protocol == RELAY_TCP,
		.tos = p->tos, .ttl = p->ttl - 1, .protocol = p->protocol, .id = p->id,
		.src = relay_input_anycast(in, other->v4), .dst = to->ip};
	size_t ip = h.v4 ? RELAY_IPV4_HEADER : RELAY_IPV6_HEADER;
	uint8_t *upper = in->out + ip;

	if (p->len < p->whole || ip + p->upper_len > sizeof in->out)
		return RELAY_DROP_ROOM; /* its sender repeats it */
	if (p->ttl <= 1)
		return relay_input_error(in, p, 0);
	if (relay_unanswered(other, offset) && !relay_input_admit(in, r, to->ip))
		return RELAY_DROP_LIMITED;
	relay_ip_write(in->out, &h, p->upper_len);
	memcpy(upper, p->upper, p->upper_len);
	store_be16(upper, (uint16_t)(other->port + offset));
	store_be16(upper + 2, to->port);
	rewrite_tcp(in, p, r, from, upper);
	if (!p->no_checksum || !h.v4)
		relay_upper_checksum(upper, p->upper_len, &h);
	in->o.out->send(in->o.out, in->out, ip + p->upper_len);
	return RELAY_TAKEN;
}

/* ---- coming in ---- */

static const struct relay *relay_of(struct relay_input *in, const struct relay_packet *p,
		unsigned *side, unsigned *offset)
{
	if (!(p->v4 ? in->o.has_v4 : in->o.has_v6) ||
			memcmp(p->dst.ip, relay_input_anycast(in, p->v4), sizeof p->dst.ip) != 0)
		return NULL;
	return relays_at(in->o.relays, &in->now, p->v4, p->protocol, p->dst.port, side, offset);
}

unsigned relay_input_take(struct relay_input *in, const struct relay_packet *p)
{
	const struct relay *r;
	unsigned side, offset;

	r = relay_of(in, p, &side, &offset);
	if (!r)
		return RELAY_DROP_UNKNOWN;
	if (p->protocol == RELAY_TCP)
		return relay_input_tcp(in, p, r, side);
	return relay_input_udp(in, p, r, side, offset);
}

/* The fast path could not send it on: its sender is told, if it is the side's. */
static unsigned refuse(struct relay_input *in, const struct relay_packet *p, uint32_t mtu)
{
	const struct relay *r;
	unsigned side, offset;

	r = relay_of(in, p, &side, &offset);
	if (!r)
		return RELAY_DROP_UNKNOWN;
	if (!relay_input_fits(&r->side[side], offset, &p->src) || !relay_ready(r, side, offset))
		return RELAY_DROP_ADDRESS;
	return relay_input_error(in, p, mtu);
}

bool relay_may_wait(struct relay_input *in, const struct relay_packet *p, unsigned result)
{
	const struct relay *r;
	unsigned side, offset;

	if (result == RELAY_DROP_UNKNOWN || result == RELAY_DROP_WAITING)
		return true;
	if (result != RELAY_DROP_TOKEN || p->protocol != RELAY_UDP ||
			p->payload_len == RELAY_TOKEN_SIZE)
		return false;
	r = relay_of(in, p, &side, &offset);
	return r && !relay_latched(&r->side[side], offset);
}

static unsigned take_or_park(struct relay_input *in, const struct relay_packet *p)
{
	unsigned result = relay_input_take(in, p);

	if (!relay_may_wait(in, p, result))
		return result;
	relay_ask(in, p);
	return relay_park(in, p, result) ? RELAY_TAKEN : RELAY_DROP_ROOM;
}

/* One packet of a GSO frame, with len bytes of its payload from at on; written to in->segment. */
static size_t write_segment(struct relay_input *in, const struct relay_packet *p, size_t at,
		size_t len)
{
	struct relay_ip h = {.v4 = p->v4, .df = p->df, .tos = p->tos, .ttl = p->ttl,
		.protocol = p->protocol, .id = p->id, .src = p->src.ip, .dst = p->dst.ip};
	size_t header = (size_t)(p->payload - p->upper);
	size_t ip = relay_ip_write(in->segment, &h, header + len);
	uint8_t *upper = in->segment + ip;

	memcpy(upper, p->upper, header);
	memcpy(upper + header, p->payload + at, len);
	if (p->protocol == RELAY_UDP) {
		store_be16(upper + 4, (uint16_t)(header + len));
	} else {
		store_be32(upper + 4, p->seq + (uint32_t)at);
		if (at + len < p->payload_len)
			upper[13] &= (uint8_t)~(TCP_FIN | TCP_PSH);
	}
	relay_upper_checksum(upper, header + len, &h);
	return ip + header + len;
}

/* A GSO frame is many packets: those of them that are captured whole. */
static unsigned take_segments(struct relay_input *in, const struct relay_packet *p, size_t size)
{
	size_t have = p->len - (size_t)(p->payload - p->ip), len;

	for (size_t at = 0; at < p->payload_len; at += len) {
		struct relay_packet one;
		unsigned result = RELAY_DROP_ROOM;

		len = MIN(size, p->payload_len - at);
		if (at + len <= have) {
			size_t whole = write_segment(in, p, at, len);

			result = relay_packet_read(&one, in->segment, whole, whole) ?
					take_or_park(in, &one) : RELAY_DROP_MALFORMED;
		}
		if (result != RELAY_TAKEN)
			in->drops[result]++;
	}
	return RELAY_TAKEN;
}

static unsigned take_event(struct relay_input *in, const struct relay_event *e)
{
	struct relay_packet p;

	if (e->len > sizeof e->data)
		return RELAY_DROP_MALFORMED;
	if (e->reason == RELAY_UP_ICMP)
		return relay_input_icmp(in, e);
	if (!relay_packet_read(&p, e->data, e->len, e->whole))
		return RELAY_DROP_MALFORMED;
	if (e->reason == RELAY_UP_TTL)
		return refuse(in, &p, 0);
	if (e->reason == RELAY_UP_TOO_BIG)
		return refuse(in, &p, e->mtu);
	if (e->segment && p.payload_len > e->segment)
		return take_segments(in, &p, e->segment);
	return take_or_park(in, &p);
}

/* Packets that waited are tried when nothing else is under way: they may latch sides too. */
static void retry(struct relay_input *in)
{
	while (in->again && !in->busy) {
		in->again = false;
		in->busy = true;
		relay_park_retry(in);
		in->busy = false;
	}
}

void relay_input(struct relay_input *in, const struct instant *now, const struct relay_event *e)
{
	unsigned result;

	in->now = *now;
	in->busy = true;
	result = take_event(in, e);
	in->busy = false;
	if (result != RELAY_TAKEN)
		in->drops[result]++;
	retry(in);
}

bool relay_input_changed(struct relay_input *in, const struct instant *now,
		const struct relay *was, const struct relay *r)
{
	if (!in || !r)
		return false; /* timers of what is gone find that out */
	in->now = *now;
	relay_wake_changed(in, was, r);
	in->again = in->parked_count > 0;
	return in->again || in->wake_count > 0;
}

ticks relay_input_tick(struct relay_input *in, const struct instant *now)
{
	ticks wake, parked;

	in->now = *now;
	retry(in);
	wake = relay_wake_tick(in);
	parked = relay_park_tick(in);
	return MIN(wake, parked);
}
