/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * For tests: one server's slow path with one relay, packets as hosts would write
 * them, and what came out of it.
 */
#ifndef TEST_RELAY_SLOW_H
#define TEST_RELAY_SLOW_H

#include "bytes.h"

#include <netinet/in.h>

#include "mode/relay_input_internal.h"
#include "packets.h"

#define SENT_MAX 256
#define PORT     5000 /* of side 0; that of side 1 is 100 above */

struct slow {
	struct relay_keys keys;
	struct relays *relays;
	struct relay_input *input;
	struct relay_output out;
	struct instant now;
	struct relay relay;
	char token[2][RELAY_TOKEN_SIZE];
	unsigned sent, asks;
	bool due; /* a change has something to do for relay_input_tick() */
	size_t len[SENT_MAX];
	uint8_t packet[SENT_MAX][RELAY_CAPTURE + 40];
};

static const uint8_t slow_key[KEY_SIZE] = {0x5a};
static const char *const slow_hosts[2][2] = {
	{"[2001:db8:1::1]:1111", "[2001:db8:2::2]:2222"}, {"198.51.100.1:1111", "203.0.113.2:2222"}};

static inline struct endpoint slow_endpoint(const char *text)
{
	struct endpoint e;

	assert_int_equal(endpoint_parse(text, 0, &e), 0);
	return e;
}

static inline void slow_anycast(bool v4, uint8_t ip[16])
{
	assert_int_equal(addr_parse(v4 ? "192.0.2.1" : "2001:db8::1", ip), 0);
}

static inline void slow_send(struct relay_output *out, const uint8_t *packet, size_t len)
{
	struct slow *s = container_of(out, struct slow, out);

	assert_in_range(s->sent, 0, SENT_MAX - 1);
	s->len[s->sent] = len;
	memcpy(s->packet[s->sent++], packet, len);
}

static inline void slow_ask(struct relay_output *out, bool v4, uint8_t protocol, uint16_t port)
{
	(void)v4;
	(void)protocol;
	(void)port;
	container_of(out, struct slow, out)->asks++;
}

static inline void slow_changed(void *arg, const struct relay *was, const struct relay *r)
{
	struct slow *s = arg;

	s->due |= relay_input_changed(s->input, &s->now, was, r);
}

static inline void slow_publish(void *arg, const struct relay *r)
{
	(void)arg;
	(void)r;
}

/* The host of a side, of its family. */
static inline struct endpoint slow_host(const struct slow *s, unsigned side)
{
	return slow_endpoint(slow_hosts[s->relay.side[side].v4][side]);
}

static inline void slow_learn(struct slow *s)
{
	s->due = false;
	relays_learn(s->relays, &s->now, &s->relay);
	if (s->due)
		relay_input_tick(s->input, &s->now);
}

/* Everything but that the table knows the relay. */
static inline void slow_prepare(struct slow *s, uint8_t protocol, enum relay_side_kind first,
		enum relay_side_kind second, bool v4_first, bool v4_second)
{
	struct relays_options table = {.server = 1, .has_v4 = true, .has_v6 = true,
		.port_first = 4000, .port_last = 6000, .keys = &s->keys, .changed = slow_changed,
		.publish = slow_publish, .arg = s, .per_client = 64, .alone = true};
	struct relay_input_options o = {.server = 1, .keys = &s->keys, .has_v4 = true, .has_v6 = true,
		.mss = 1220, .out = &s->out};

	memset(s, 0, sizeof *s);
	s->keys = (struct relay_keys){.count = 1, .key = {{0x5a}}};
	s->out = (struct relay_output){.send = slow_send, .ask = slow_ask};
	s->now = (struct instant){TICKS_S(1770000000), TICKS_S(1000)};
	slow_anycast(true, o.anycast4);
	slow_anycast(false, o.anycast6);
	memcpy(table.anycast4, o.anycast4, 16);
	memcpy(table.anycast6, o.anycast6, 16);
	s->relays = relays_new(&table);
	o.relays = s->relays;
	s->input = relay_input_new(&o);
	assert_non_null(s->input);
	s->relay = (struct relay){.id = {1, 2, 3}, .version = 1, .server = 1, .protocol = protocol,
		.span = 1, .settled = true, .created = 1770000000};
	for (unsigned i = 0; i < 2; i++) {
		struct relay_side *side = &s->relay.side[i];

		*side = (struct relay_side){.kind = (uint8_t)(i ? second : first),
			.v4 = i ? v4_second : v4_first, .port = (uint16_t)(PORT + 100 * i)};
		if (side->kind == RELAY_GIVEN || side->kind == RELAY_HOST)
			side->given = slow_host(s, i);
		if (side->kind == RELAY_HOST)
			side->given.port = 0;
		relay_token(slow_key, s->relay.id, i, s->token[i]);
	}
}

static inline void slow_make(struct slow *s, uint8_t protocol, enum relay_side_kind first,
		enum relay_side_kind second, bool v4_first, bool v4_second)
{
	slow_prepare(s, protocol, first, second, v4_first, v4_second);
	slow_learn(s);
}

static inline void slow_free(struct slow *s)
{
	relay_input_free(s->input);
	relays_free(s->relays);
}

static inline const struct relay *slow_record(struct slow *s)
{
	unsigned side, offset;

	return relays_at(s->relays, &s->now, s->relay.side[0].v4, s->relay.protocol, PORT, &side,
			&offset);
}

static inline void slow_event(struct slow *s, unsigned reason, const uint8_t *packet, size_t len)
{
	struct relay_event e = {.reason = (uint8_t)reason, .len = (uint16_t)len,
		.whole = (uint32_t)len};

	memcpy(e.data, packet, len);
	relay_input(s->input, &s->now, &e);
}

/* A packet of a host to a port on the anycast address, in out; its size. */
static inline size_t slow_udp_packet(uint8_t *out, const struct endpoint *from, uint16_t port,
		const void *payload, size_t len)
{
	bool v4 = addr_is_v4(from->ip);
	size_t ip = v4 ? 20 : 40;
	uint8_t to[16];

	slow_anycast(v4, to);
	memset(out, 0, ip + 8);
	if (v4) {
		out[0] = 0x45;
		store_be16(out + 2, (uint16_t)(ip + 8 + len));
		out[8] = 64;
		out[9] = IPPROTO_UDP;
		memcpy(out + 12, from->ip + 12, 4);
		memcpy(out + 16, to + 12, 4);
	} else {
		out[0] = 0x60;
		store_be16(out + 4, (uint16_t)(8 + len));
		out[6] = IPPROTO_UDP;
		out[7] = 64;
		memcpy(out + 8, from->ip, 16);
		memcpy(out + 24, to, 16);
	}
	store_be16(out + ip, from->port);
	store_be16(out + ip + 2, port);
	store_be16(out + ip + 4, (uint16_t)(8 + len));
	memcpy(out + ip + 8, payload, len);
	write_checksums(out, ip + 8 + len, ip, IPPROTO_UDP);
	return ip + 8 + len;
}

static inline void slow_udp(struct slow *s, const struct endpoint *from, unsigned side,
		const void *payload, size_t len)
{
	uint8_t packet[2048];
	size_t n = slow_udp_packet(packet, from, s->relay.side[side].port, payload, len);

	slow_event(s, RELAY_UP_UNLATCHED, packet, n);
}

/* A segment with this offer (options of a SYN only) and payload. */
static inline size_t slow_tcp_packet(uint8_t *out, const struct endpoint *from, uint16_t port,
		uint8_t flags, uint32_t seq, uint32_t ack, const void *payload, size_t len)
{
	uint8_t segment[2048] = {0};
	size_t header = flags & TCP_SYN ? 40 : 20, ip;
	static const uint8_t offer[] = {2, 4, 0x05, 0xb4, 4, 2, 8, 10, 0, 0, 0, 99, 0, 0, 0, 0, 1, 3, 3, 7};

	store_be32(segment + 4, seq);
	store_be32(segment + 8, ack);
	segment[12] = (uint8_t)(header / 4 << 4);
	segment[13] = flags;
	store_be16(segment + 14, 60000);
	if (flags & TCP_SYN)
		memcpy(segment + 20, offer, sizeof offer);
	memcpy(segment + header, payload ? payload : "", payload ? len : 0);
	len = payload ? len : 0;
	/* As UDP, whose header is as long as what is written over it. */
	ip = slow_udp_packet(out, from, port, segment + 8, header - 8 + len) - header - len;
	memcpy(out + ip + 4, segment + 4, 4);
	out[addr_is_v4(from->ip) ? 9 : 6] = IPPROTO_TCP;
	write_checksums(out, ip + header + len, ip, IPPROTO_TCP);
	return ip + header + len;
}

static inline void slow_tcp(struct slow *s, const struct endpoint *from, unsigned side,
		uint8_t flags, uint32_t seq, uint32_t ack, const void *payload, size_t len)
{
	uint8_t packet[2048];
	size_t n = slow_tcp_packet(packet, from, s->relay.side[side].port, flags, seq, ack, payload, len);

	slow_event(s, flags & TCP_SYN ? RELAY_UP_SYN : RELAY_UP_UNLATCHED, packet, n);
}

/* The last packet that came out, read, its checksums verified by other means. */
static inline struct relay_packet slow_last(const struct slow *s)
{
	const uint8_t *packet = s->packet[s->sent - 1];
	size_t len = s->len[s->sent - 1];
	struct relay_packet p;

	assert_true(s->sent > 0);
	assert_true(relay_packet_read(&p, packet, len, len));
	assert_int_equal(p.whole, len);
	assert_true(p.no_checksum || checksums_right(packet, len, (size_t)(p.upper - p.ip), p.protocol));
	return p;
}

static inline uint64_t slow_drops(const struct slow *s, enum relay_drop why)
{
	uint64_t drops[RELAY_DROP_COUNT];

	relay_input_drops(s->input, drops);
	return drops[why];
}

static inline void slow_wait(struct slow *s, ticks time)
{
	s->now.boot += time;
	s->now.cluster += time;
	relay_input_tick(s->input, &s->now);
}

#endif
