/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* ICMP errors about relayed packets: translated for the sender, or made by us; and what forgers may try. */
#include "relay_slow.h"

#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>

static struct slow s;

/* An error of a router about a packet that a server sent, in out; its size. */
static size_t error_about(uint8_t *out, const uint8_t *quoted, size_t len, uint8_t type, uint8_t code,
		uint32_t rest)
{
	bool v4 = quoted[0] >> 4 == 4;
	size_t ip = v4 ? 20 : 40, upper = 8 + len;
	uint16_t sum;

	memset(out, 0, ip + 8);
	if (v4) {
		out[0] = 0x45;
		store_be16(out + 2, (uint16_t)(ip + upper));
		out[8] = 60;
		out[9] = IPPROTO_ICMP;
		memcpy(out + 12, "\x0a\0\0\x01", 4);
		memcpy(out + 16, quoted + 12, 4);
		store_be16(out + 10, (uint16_t)~naive_sum(0, out, 20));
	} else {
		out[0] = 0x60;
		store_be16(out + 4, (uint16_t)upper);
		out[6] = IPPROTO_ICMPV6;
		out[7] = 60;
		out[8] = 0xfd;
		memcpy(out + 24, quoted + 8, 16);
	}
	out[ip] = type;
	out[ip + 1] = code;
	store_be32(out + ip + 4, rest);
	memcpy(out + ip + 8, quoted, len);
	sum = naive_sum(v4 ? 0 : naive_pseudo(out, IPPROTO_ICMPV6, upper), out + ip, upper);
	store_be16(out + ip + 2, (uint16_t)~sum);
	return ip + upper;
}

static void tell(const uint8_t *quoted, size_t len, uint8_t type, uint8_t code, uint32_t rest)
{
	uint8_t packet[2048];

	slow_event(&s, RELAY_UP_ICMP, packet, error_about(packet, quoted, len, type, code, rest));
}

/* The last packet that came out is this error to the host of side 0; the packet that it quotes. */
static const uint8_t *assert_error(uint8_t type, uint8_t code, uint32_t rest)
{
	const uint8_t *packet = s.packet[s.sent - 1];
	size_t len = s.len[s.sent - 1];
	bool v4 = packet[0] >> 4 == 4;
	struct endpoint x = slow_host(&s, 0);
	struct relay_packet p;
	uint8_t anycast[16];

	assert_true(relay_packet_read_icmp(&p, packet, len, len));
	slow_anycast(v4, anycast);
	assert_memory_equal(p.src.ip, anycast, 16);
	assert_memory_equal(p.dst.ip, x.ip, 16);
	assert_in_range(len, 56, v4 ? 576 : 1280);
	assert_int_equal(p.upper[0], type);
	assert_int_equal(p.upper[1], code);
	assert_int_equal(load_be32(p.upper + 4), rest);
	return p.payload;
}

/* x, side 0, sends 1000 bytes to y, side 1, who has answered; what left the server is in s.packet[s.sent - 1]. */
static uint8_t sent_by_x[2048];
static size_t sent_by_x_len;

static void begin(uint8_t protocol, bool v4_x, bool v4_y)
{
	struct endpoint x, y;
	uint8_t payload[1000] = {1, 2, 3};

	slow_make(&s, protocol, RELAY_LEARNT, RELAY_GIVEN, v4_x, v4_y);
	x = slow_host(&s, 0);
	y = slow_host(&s, 1);
	if (protocol == RELAY_UDP) {
		slow_udp(&s, &x, 0, "x", 1);
		slow_udp(&s, &y, 1, "y", 1);
		sent_by_x_len = slow_udp_packet(sent_by_x, &x, PORT, payload, sizeof payload);
	} else {
		slow_tcp(&s, &x, 0, TCP_SYN, 1000, 0, NULL, 0);
		slow_tcp(&s, &y, 1, TCP_SYN | TCP_ACK, 2000, 1001, NULL, 0);
		sent_by_x_len = slow_tcp_packet(sent_by_x, &x, PORT, TCP_ACK, 1001, 2001, payload,
				sizeof payload);
	}
	slow_event(&s, RELAY_UP_WAITING, sent_by_x, sent_by_x_len);
	assert_int_equal(s.sent, 3);
}

/* As its sender knows it: addresses, ports, numbers and checksums as they were. */
static void assert_quoted(const uint8_t *quoted, size_t upper_len)
{
	bool v4 = sent_by_x[0] >> 4 == 4;
	size_t ip = v4 ? 20 : 40;

	assert_int_equal(quoted[0] >> 4, v4 ? 4 : 6);
	assert_memory_equal(quoted + (v4 ? 2 : 4), sent_by_x + (v4 ? 2 : 4), 2); /* length */
	assert_memory_equal(quoted + (v4 ? 12 : 8), sent_by_x + (v4 ? 12 : 8), v4 ? 8 : 32);
	assert_memory_equal(quoted + ip, sent_by_x + ip, upper_len);
}

static void errors_are_translated_between_all_families(void **state)
{
	static const struct {
		uint8_t type4, code4, type6, code6;
	} same[] = {
		{ICMP_DEST_UNREACH, ICMP_HOST_UNREACH, ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_NOROUTE},
		{ICMP_DEST_UNREACH, ICMP_PORT_UNREACH, ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_NOPORT},
		{ICMP_DEST_UNREACH, ICMP_HOST_ANO, ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_ADMIN},
		{ICMP_TIME_EXCEEDED, ICMP_EXC_TTL, ICMP6_TIME_EXCEEDED, ICMP6_TIME_EXCEED_TRANSIT},
	};
	(void)state;

	for (unsigned families = 0; families < 4; families++)
		for (unsigned tcp = 0; tcp < 2; tcp++)
			for (unsigned i = 0; i < ARRAY_SIZE(same); i++) {
				bool v4_x = families & 1, v4_y = families & 2;
				const uint8_t *quoted;

				begin(tcp ? RELAY_TCP : RELAY_UDP, v4_x, v4_y);
				tell(s.packet[2], s.len[2] - 600, v4_y ? same[i].type4 : same[i].type6,
						v4_y ? same[i].code4 : same[i].code6, 0);
				assert_int_equal(s.sent, 4);
				quoted = assert_error(v4_x ? same[i].type4 : same[i].type6,
						v4_x ? same[i].code4 : same[i].code6, 0);
				assert_quoted(quoted, 400);
				slow_free(&s);
			}
}

/* As little as a router must quote. */
static void eight_bytes_of_the_transport_are_enough(void **state)
{
	(void)state;
	for (unsigned families = 0; families < 4; families++)
		for (unsigned tcp = 0; tcp < 2; tcp++) {
			bool v4_x = families & 1, v4_y = families & 2;
			size_t ip = v4_y ? 20 : 40;

			begin(tcp ? RELAY_TCP : RELAY_UDP, v4_x, v4_y);
			for (size_t len = 0; len < ip + 8; len++) {
				tell(s.packet[2], len, v4_y ? 3 : 1, 0, 0);
				assert_int_equal(s.sent, 3);
			}
			assert_int_equal(slow_drops(&s, RELAY_DROP_MALFORMED), ip + 8);
			tell(s.packet[2], ip + 8, v4_y ? 3 : 1, v4_y ? 1 : 0, 0);
			assert_int_equal(s.sent, 4);
			assert_quoted(assert_error(v4_x ? 3 : 1, v4_x ? 1 : 0, 0), 8);
			slow_free(&s);
		}
}

static void mtu_is_translated_and_has_a_floor(void **state)
{
	static const struct {
		bool v4_x, v4_y;
		uint32_t told, heard;
	} cases[] = {
		{true, true, 1300, 1300}, {true, true, 0, 576}, {true, true, 68, 576},
		{false, false, 1300, 1300}, {false, false, 0, 1280}, {false, false, 1000, 1280},
		{false, true, 1400, 1420}, {false, true, 0, 1280}, {false, true, 600, 1280},
		{true, false, 1400, 1380}, {true, false, 0, 576}, {true, false, 0xffffffff, 65535},
	};
	(void)state;

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		begin(RELAY_TCP, cases[i].v4_x, cases[i].v4_y);
		tell(s.packet[2], 60, cases[i].v4_y ? 3 : 2, cases[i].v4_y ? 4 : 0, cases[i].told);
		assert_int_equal(s.sent, 4);
		assert_error(cases[i].v4_x ? 3 : 2, cases[i].v4_x ? 4 : 0, cases[i].heard);
		slow_free(&s);
	}
}

/* Spliced: the numbers of the quoted segment are moved back to those that its sender uses. */
static void numbers_of_a_spliced_segment_are_moved_back(void **state)
{
	struct endpoint x, y;
	uint32_t ours;
	(void)state;

	slow_make(&s, RELAY_TCP, RELAY_TOKEN, RELAY_TOKEN, true, false);
	for (unsigned side = 0; side < 2; side++) {
		uint32_t isn = side ? 800000 : 100000;

		x = slow_host(&s, side);
		slow_tcp(&s, &x, side, TCP_SYN, isn, 0, NULL, 0);
		ours = slow_last(&s).seq;
		slow_tcp(&s, &x, side, TCP_ACK, isn + 1, ours + 1, s.token[side], RELAY_TOKEN_SIZE);
	}
	assert_true(relay_ready(slow_record(&s), 0, 0));
	x = slow_host(&s, 0);
	y = slow_host(&s, 1);
	ours = slow_record(&s)->side[0].leg[0].ours;
	sent_by_x_len = slow_tcp_packet(sent_by_x, &x, PORT, TCP_ACK, 100065, ours + 1, "data", 4);
	slow_event(&s, RELAY_UP_WAITING, sent_by_x, sent_by_x_len);
	assert_true(endpoint_equal(&(struct endpoint){.port = y.port}, &(struct endpoint){.port =
			slow_last(&s).dst.port}));
	assert_int_equal(slow_last(&s).seq, slow_record(&s)->side[1].leg[0].ours + 1);
	assert_int_equal(slow_last(&s).ack, 800065);
	tell(s.packet[s.sent - 1], s.len[s.sent - 1], 2, 0, 1280);
	assert_quoted(assert_error(3, 4, 1260), 12);
	slow_free(&s);
}

static void errors_of_our_own(void **state)
{
	struct relay_event e = {.reason = RELAY_UP_TOO_BIG, .mtu = 1300};
	struct endpoint stranger = slow_endpoint("203.0.113.99:5");
	(void)state;

	for (unsigned v4 = 0; v4 < 2; v4++) {
		begin(RELAY_UDP, v4, true);
		memcpy(e.data, sent_by_x, sent_by_x_len);
		e.len = (uint16_t)sent_by_x_len;
		e.whole = e.len;
		e.reason = RELAY_UP_TOO_BIG;
		relay_input(s.input, &s.now, &e);
		assert_int_equal(s.sent, 4);
		assert_quoted(assert_error(v4 ? 3 : 2, v4 ? 4 : 0, 1300), 500);
		e.reason = RELAY_UP_TTL;
		relay_input(s.input, &s.now, &e);
		assert_error(v4 ? 11 : 3, 0, 0);
		/* To nobody else, and not without end. */
		for (unsigned i = 0; i < 100; i++)
			relay_input(s.input, &s.now, &e);
		assert_in_range(s.sent, 6, 3 + 20);
		e.len = (uint16_t)slow_udp_packet(e.data, &stranger, PORT, "x", 1);
		e.whole = e.len;
		s.sent = 0;
		relay_input(s.input, &s.now, &e);
		assert_int_equal(s.sent, 0);
		slow_free(&s);
	}
}

/* An error must be about a packet that a server can have sent. */
static void forged_errors_are_dropped(void **state)
{
	uint8_t quoted[2048];
	(void)state;

	for (unsigned v4 = 0; v4 < 2; v4++) {
		size_t ip = v4 ? 20 : 40;

		begin(RELAY_TCP, true, v4);
		for (size_t at = v4 ? 12 : 8; at < ip + 4; at++) { /* addresses and ports */
			memcpy(quoted, s.packet[2], s.len[2]);
			quoted[at] ^= 1;
			tell(quoted, 60, v4 ? 3 : 1, 0, 0);
			assert_int_equal(s.sent, 3);
		}
		tell(s.packet[2], 60, v4 ? ICMP_REDIRECT : ND_REDIRECT, 0, 0);
		tell(s.packet[2], 60, v4 ? ICMP_ECHO : ICMP6_ECHO_REQUEST, 0, 0);
		tell(s.packet[2], 60, v4 ? ICMP_SOURCE_QUENCH : 5, 0, 0);
		assert_int_equal(s.sent, 3);
		slow_free(&s);
	}
	/* As long as a listener has not answered, the SYN's number is known and asked for. */
	slow_make(&s, RELAY_TCP, RELAY_LEARNT, RELAY_GIVEN, true, true);
	slow_tcp(&s, &(struct endpoint){.ip = {[10] = 0xff, [11] = 0xff, [12] = 198, 51, 100, 1},
			.port = 1111}, 0, TCP_SYN, 1000, 0, NULL, 0);
	memcpy(quoted, s.packet[0], s.len[0]);
	quoted[27] ^= 1;
	tell(quoted, 60, 3, 3, 0);
	assert_int_equal(s.sent, 1);
	assert_int_equal(slow_drops(&s, RELAY_DROP_ICMP), 1);
	tell(s.packet[0], 60, 3, 3, 0);
	assert_int_equal(s.sent, 2);
	for (unsigned i = 0; i < 100; i++)
		tell(s.packet[0], 60, 3, 3, 0);
	assert_in_range(s.sent, 3, 1 + 20);
	slow_free(&s);
}

/* RFC 4884: what follows the quotation is not passed on. */
static void extensions_are_cut_off(void **state)
{
	(void)state;
	begin(RELAY_UDP, true, true);
	tell(s.packet[2], 228, 3, 1, 32u << 16); /* 128 bytes are of the packet */
	assert_int_equal(s.sent, 4);
	assert_int_equal(s.len[3], 28 + 128);
	slow_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(errors_are_translated_between_all_families),
		cmocka_unit_test(eight_bytes_of_the_transport_are_enough),
		cmocka_unit_test(mtu_is_translated_and_has_a_floor),
		cmocka_unit_test(numbers_of_a_spliced_segment_are_moved_back),
		cmocka_unit_test(errors_of_our_own),
		cmocka_unit_test(forged_errors_are_dropped),
		cmocka_unit_test(extensions_are_cut_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
