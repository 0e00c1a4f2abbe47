/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Input: what kind of relay (bit 0 TCP, 1–2 and 3–4 the kinds of its sides, 5 and 6
 * IPv4), then events: reason, what is to be made right (bit 0 checksums, 1 destination and
 * port, 2 the end is missing, 3 it is a GSO frame, 4 half a second passes, 5 it is an error that
 * quotes the last packet sent, 6 it ends in the token of its side, 7 SEQ and ACK answer the last
 * packet sent), length u16, bytes.  Whatever comes, what goes out are whole packets from the
 * anycast address.
 */
#include <stdlib.h>

#include "base/cursor.h"
#include "relay_slow.h"

#define CHECK(condition) do { if (!(condition)) abort(); } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct slow s;

static void check_sent(void)
{
	for (unsigned i = 0; i < s.sent; i++) {
		struct relay_packet p;
		uint8_t anycast[16];

		CHECK(relay_packet_read(&p, s.packet[i], s.len[i], s.len[i]) ||
				relay_packet_read_icmp(&p, s.packet[i], s.len[i], s.len[i]));
		CHECK(p.whole == s.len[i]);
		slow_anycast(p.v4, anycast);
		CHECK(memcmp(p.src.ip, anycast, 16) == 0);
	}
	if (s.sent) { /* of many the last, for bit 5 */
		memmove(s.packet[0], s.packet[s.sent - 1], s.len[s.sent - 1]);
		s.len[0] = s.len[s.sent - 1];
	}
	s.sent = 0;
}

/* Destination and checksums as the fast path would have seen them. */
static void make_right(uint8_t *p, size_t len, uint8_t what)
{
	bool v4 = len && p[0] >> 4 == 4;
	size_t ip = v4 ? 20 : 40;
	uint8_t anycast[16], protocol;

	if (len < ip + 20)
		return;
	if (v4) {
		p[0] = 0x45;
		store_be16(p + 2, (uint16_t)len);
		store_be16(p + 6, 0);
	} else {
		p[0] = 0x60;
		store_be16(p + 4, (uint16_t)(len - ip));
	}
	protocol = p[v4 ? 9 : 6];
	if (what & 2) {
		slow_anycast(v4, anycast);
		memcpy(p + (v4 ? 16 : 24), anycast + (v4 ? 12 : 0), v4 ? 4 : 16);
		if (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP)
			store_be16(p + ip + 2, (uint16_t)(PORT + (p[ip + 3] & 1) * 100));
	}
	if (protocol == IPPROTO_UDP)
		store_be16(p + ip + 4, (uint16_t)(len - ip));
	if (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP)
		write_checksums(p, len, ip, protocol);
	else if (protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6) {
		uint16_t start = v4 ? 0 : naive_pseudo(p, protocol, len - ip);

		if (v4) {
			store_be16(p + 10, 0);
			store_be16(p + 10, (uint16_t)~naive_sum(0, p, ip));
		}
		store_be16(p + ip + 2, 0);
		store_be16(p + ip + 2, (uint16_t)~naive_sum(start, p + ip, len - ip));
	}
}

static void make_numbers(uint8_t *p, size_t len, uint8_t what)
{
	size_t ip = len && p[0] >> 4 == 4 ? 20 : 40, last = s.packet[0][0] >> 4 == 4 ? 20 : 40;

	if (what & 64 && len >= ip + 20 + RELAY_TOKEN_SIZE)
		memcpy(p + len - RELAY_TOKEN_SIZE, s.token[p[ip + 3] & 1], RELAY_TOKEN_SIZE);
	if (what & 128 && len >= ip + 20 && s.len[0] >= last + 20) {
		memcpy(p + ip + 4, s.packet[0] + last + 8, 4);
		store_be32(p + ip + 8, load_be32(s.packet[0] + last + 4) + 1);
	}
}

/* The last packet that was sent, behind the ICMP header of the input. */
static size_t quote(uint8_t *p, size_t len, size_t room)
{
	bool v4 = len && p[0] >> 4 == 4;
	size_t at = (v4 ? 20 : 40) + 8, n = MIN(s.len[0], room - at);

	if (len < at)
		return len;
	p[v4 ? 9 : 6] = v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
	memcpy(p + at, s.packet[0], n);
	return MAX(at + n, at + 12);
}

static void run(struct reader *r)
{
	struct relay_event e = {.reason = read_u8(r) % RELAY_UP_COUNT, .mtu = 1300};
	uint8_t what = read_u8(r);
	size_t len = MIN(read_u16(r), sizeof e.data);
	const uint8_t *bytes;

	len = MIN(len, reader_left(r));
	bytes = read_bytes(r, len);
	if (bytes)
		memcpy(e.data, bytes, len);
	if (what & 32) {
		e.reason = RELAY_UP_ICMP;
		len = quote(e.data, len, sizeof e.data);
	}
	make_numbers(e.data, len, what);
	if (what & 3)
		make_right(e.data, len, what);
	e.whole = (uint32_t)len;
	e.len = (uint16_t)(what & 4 ? len / 2 : len);
	e.segment = what & 8 ? 1 + what : 0;
	if (what & 16)
		slow_wait(&s, TICKS_MS(500));
	relay_input(s.input, &s.now, &e);
	check_sent();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reader r = reader_over(data, size);
	uint8_t kind = read_u8(&r);

	slow_make(&s, kind & 1 ? RELAY_TCP : RELAY_UDP, RELAY_GIVEN + (kind >> 1 & 3),
			RELAY_GIVEN + (kind >> 3 & 3), kind & 32, kind & 64);
	while (reader_left(&r) && !r.bad)
		run(&r);
	slow_wait(&s, TICKS_S(10));
	check_sent();
	slow_free(&s);
	return 0;
}
