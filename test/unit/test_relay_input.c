/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The relays' slow path, packet by packet: how sides are learnt, what waits, and
 * that nobody without the token gets anywhere.  Whole streams are in test/sim.
 */
#include "relay_slow.h"

static struct slow s;
static int admitted; /* packets that are to be let through */

static void assert_sent_to(unsigned side)
{
	struct relay_packet p = slow_last(&s);
	struct endpoint to = slow_host(&s, side);
	uint8_t anycast[16];

	slow_anycast(s.relay.side[side].v4, anycast);
	assert_memory_equal(p.src.ip, anycast, 16);
	assert_int_equal(p.src.port, s.relay.side[side].port);
	assert_true(endpoint_equal(&p.dst, &to));
}

/* ---- UDP ---- */

/* Both ways, between all families; the first packet teaches its side and is sent on. */
static void udp_is_learnt_and_sent_on(void **state)
{
	static const enum relay_side_kind kinds[] = {RELAY_GIVEN, RELAY_HOST, RELAY_LEARNT};
	(void)state;

	for (unsigned kind = 0; kind < ARRAY_SIZE(kinds); kind++)
		for (unsigned families = 0; families < 4; families++) {
			struct endpoint x, y;

			slow_make(&s, RELAY_UDP, kinds[kind], RELAY_GIVEN, families & 1, families & 2);
			x = slow_host(&s, 0);
			y = slow_host(&s, 1);
			slow_udp(&s, &x, 0, "hello", 5);
			assert_int_equal(s.sent, 1);
			assert_sent_to(1);
			assert_memory_equal(slow_last(&s).payload, "hello", 5);
			assert_int_equal(slow_last(&s).ttl, 63);
			assert_true(relay_latched(&slow_record(&s)->side[0], 0));
			assert_false(relay_latched(&slow_record(&s)->side[1], 0));
			slow_udp(&s, &y, 1, "answer", 6);
			assert_int_equal(s.sent, 2);
			assert_sent_to(0);
			assert_true(relay_latched(&slow_record(&s)->side[1], 0));
			slow_free(&s);
		}
}

static void udp_from_elsewhere_is_dropped(void **state)
{
	struct endpoint x, stranger = slow_endpoint("198.51.100.99:1111");
	struct endpoint other_port = slow_endpoint("198.51.100.1:9999");
	(void)state;

	slow_make(&s, RELAY_UDP, RELAY_GIVEN, RELAY_HOST, true, true);
	x = slow_host(&s, 0);
	slow_udp(&s, &stranger, 0, "x", 1);
	slow_udp(&s, &other_port, 0, "x", 1);
	slow_udp(&s, &stranger, 1, "x", 1);
	assert_int_equal(s.sent, 0);
	assert_int_equal(slow_drops(&s, RELAY_DROP_ADDRESS), 3);
	assert_false(relay_latched(&slow_record(&s)->side[0], 0));
	assert_false(relay_latched(&slow_record(&s)->side[1], 0));
	slow_free(&s);
	/* Once learnt, no port of the same host is another one's. */
	slow_make(&s, RELAY_UDP, RELAY_HOST, RELAY_GIVEN, true, true);
	slow_udp(&s, &x, 0, "x", 1);
	slow_udp(&s, &other_port, 0, "x", 1);
	assert_int_equal(s.sent, 1);
	assert_true(endpoint_equal(&slow_record(&s)->side[0].leg[0].at, &x));
	slow_free(&s);
}

static void a_side_that_has_not_answered_is_spared(void **state)
{
	struct endpoint x, y;
	(void)state;

	slow_make(&s, RELAY_UDP, RELAY_LEARNT, RELAY_GIVEN, true, false);
	x = slow_host(&s, 0);
	y = slow_host(&s, 1);
	for (unsigned i = 0; i < 120; i++)
		slow_udp(&s, &x, 0, "x", 1);
	assert_int_equal(s.sent, RELAY_LIMIT);
	assert_int_equal(slow_drops(&s, RELAY_DROP_LIMITED), 120 - RELAY_LIMIT);
	slow_udp(&s, &y, 1, "y", 1);
	for (unsigned i = 0; i < 120; i++)
		slow_udp(&s, &x, 0, "x", 1);
	assert_int_equal(s.sent, RELAY_LIMIT + 121);
	slow_free(&s);
}

static bool admit(struct relay_output *out, const uint8_t ip[16])
{
	struct endpoint y = slow_host(&s, 1);

	(void)out;
	assert_memory_equal(ip, y.ip, sizeof y.ip);
	return admitted-- > 0;
}

/* The silent host is asked for, within what the relay may send; no more once it has answered. */
static void a_silent_host_is_spared(void **state)
{
	struct endpoint x, y;
	(void)state;

	slow_make(&s, RELAY_UDP, RELAY_LEARNT, RELAY_GIVEN, true, false);
	x = slow_host(&s, 0);
	y = slow_host(&s, 1);
	s.out.admit = admit;
	admitted = 3;
	for (unsigned i = 0; i < 5; i++)
		slow_udp(&s, &x, 0, "x", 1);
	assert_int_equal(s.sent, 3);
	assert_int_equal(slow_drops(&s, RELAY_DROP_LIMITED), 2);
	slow_udp(&s, &y, 1, "y", 1);
	slow_udp(&s, &x, 0, "x", 1);
	assert_int_equal(s.sent, 5);
	slow_free(&s);
}

static void udp_without_checksum_gets_one(void **state)
{
	struct endpoint x;
	uint8_t packet[64];
	size_t len;
	(void)state;

	for (unsigned v4 = 0; v4 < 2; v4++) {
		slow_make(&s, RELAY_UDP, RELAY_LEARNT, RELAY_GIVEN, true, v4);
		x = slow_host(&s, 0);
		len = slow_udp_packet(packet, &x, PORT, "abc", 3);
		store_be16(packet + 26, 0);
		slow_event(&s, RELAY_UP_CHECKSUM, packet, len);
		assert_int_equal(slow_last(&s).no_checksum, v4); /* checked by slow_last() */
		slow_free(&s);
	}
}

static void a_token_teaches_and_teaches_again(void **state)
{
	struct endpoint x, moved = slow_endpoint("198.51.100.77:7777"), y;
	(void)state;

	slow_make(&s, RELAY_UDP, RELAY_TOKEN, RELAY_GIVEN, true, true);
	x = slow_host(&s, 0);
	y = slow_host(&s, 1);
	slow_udp(&s, &x, 0, "x", 1);
	slow_wait(&s, RELAY_PARK_TIME);
	assert_int_equal(slow_drops(&s, RELAY_DROP_TOKEN), 1);
	slow_udp(&s, &x, 0, s.token[0], RELAY_TOKEN_SIZE);
	assert_int_equal(s.sent, 1); /* the answer; the token is not for the other side */
	assert_sent_to(0);
	assert_in_range(s.len[0], 1, 20 + 8 + RELAY_TOKEN_SIZE);
	slow_udp(&s, &x, 0, "x", 1);
	assert_sent_to(1);
	slow_wait(&s, TICKS_S(5));
	slow_udp(&s, &moved, 0, "x", 1);
	assert_int_equal(s.sent, 2);
	slow_udp(&s, &moved, 0, s.token[0], RELAY_TOKEN_SIZE);
	assert_int_equal(slow_record(&s)->side[0].leg[0].generation, 2);
	slow_udp(&s, &x, 0, "x", 1);
	assert_int_equal(s.sent, 3);
	slow_udp(&s, &y, 1, "y", 1);
	assert_true(endpoint_equal(&(struct endpoint){.port = 7777}, &(struct endpoint){.port =
			slow_last(&s).dst.port}));
	slow_free(&s);
}

static void both_ports_of_a_span_are_learnt_apart(void **state)
{
	struct endpoint rtp = slow_endpoint("198.51.100.1:30000");
	struct endpoint rtcp = slow_endpoint("198.51.100.1:45001"), y;
	uint8_t packet[64];
	(void)state;

	slow_prepare(&s, RELAY_UDP, RELAY_LEARNT, RELAY_GIVEN, true, true);
	s.relay.span = 2;
	slow_learn(&s);
	y = slow_host(&s, 1);
	slow_event(&s, RELAY_UP_UNLATCHED, packet, slow_udp_packet(packet, &rtp, PORT, "v", 1));
	assert_int_equal(slow_last(&s).dst.port, y.port);
	slow_event(&s, RELAY_UP_UNLATCHED, packet, slow_udp_packet(packet, &rtcp, PORT + 1, "c", 1));
	assert_int_equal(slow_last(&s).dst.port, y.port + 1);
	assert_int_equal(slow_last(&s).src.port, PORT + 101);
	y.port++;
	slow_event(&s, RELAY_UP_UNLATCHED, packet, slow_udp_packet(packet, &y, PORT + 101, "c", 1));
	assert_true(endpoint_equal(&(struct endpoint){.port = 45001}, &(struct endpoint){.port =
			slow_last(&s).dst.port}));
	slow_free(&s);
}

/* ---- waiting ---- */

static void a_burst_waits_for_its_record(void **state)
{
	struct endpoint x;
	(void)state;

	slow_prepare(&s, RELAY_UDP, RELAY_LEARNT, RELAY_GIVEN, true, true);
	x = slow_host(&s, 0);
	for (unsigned i = 0; i < 10; i++)
		slow_udp(&s, &x, 0, &i, 1);
	assert_int_equal(s.asks, 1);
	assert_int_equal(s.sent, 0);
	slow_learn(&s);
	assert_int_equal(s.sent, 10);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(s.packet[i][28], i); /* in order */
	slow_free(&s);
}

/* A server that has just started may have a relay of before its sides showed their tokens. */
static void who_has_shown_the_token_elsewhere_waits_too(void **state)
{
	struct endpoint x, y, stranger = slow_endpoint("203.0.113.99:5");
	(void)state;

	slow_make(&s, RELAY_UDP, RELAY_TOKEN, RELAY_TOKEN, true, true);
	x = slow_host(&s, 0);
	y = slow_host(&s, 1);
	slow_udp(&s, &x, 0, "early", 5);
	slow_udp(&s, &stranger, 0, "x", 1);
	assert_int_equal(s.asks, 1);
	assert_int_equal(s.sent, 0);
	s.relay = *slow_record(&s);
	for (unsigned side = 0; side < 2; side++) {
		s.relay.side[side].leg[0].at = side ? y : x;
		s.relay.side[side].leg[0].generation = 1;
	}
	slow_learn(&s);
	assert_int_equal(s.sent, 1);
	assert_memory_equal(slow_last(&s).payload, "early", 5);
	assert_int_equal(slow_drops(&s, RELAY_DROP_TOKEN), 1);
	slow_free(&s);
	/* and if nobody has, it is a stranger */
	slow_make(&s, RELAY_UDP, RELAY_TOKEN, RELAY_TOKEN, true, true);
	slow_udp(&s, &stranger, 0, "x", 1);
	slow_wait(&s, RELAY_PARK_TIME);
	assert_int_equal(slow_drops(&s, RELAY_DROP_TOKEN), 1);
	slow_free(&s);
}

static void nothing_waits_for_long(void **state)
{
	struct endpoint x;
	(void)state;

	slow_prepare(&s, RELAY_UDP, RELAY_LEARNT, RELAY_LEARNT, true, true);
	x = slow_host(&s, 0);
	for (unsigned i = 0; i < 100; i++)
		slow_udp(&s, &x, 0, "x", 1);
	assert_int_equal(slow_drops(&s, RELAY_DROP_ROOM), 100 - RELAY_PARK_SHARE);
	slow_wait(&s, RELAY_PARK_TIME);
	assert_int_equal(slow_drops(&s, RELAY_DROP_UNKNOWN), RELAY_PARK_SHARE);
	slow_learn(&s);
	assert_false(s.due);
	assert_int_equal(s.sent, 0);
	/* For the other side, as long as it is not known. */
	slow_udp(&s, &x, 0, "x", 1);
	slow_wait(&s, RELAY_PARK_TIME);
	assert_int_equal(slow_drops(&s, RELAY_DROP_WAITING), 1);
	slow_udp(&s, &x, 0, "early", 5);
	x = slow_host(&s, 1);
	slow_udp(&s, &x, 1, "there", 5);
	assert_int_equal(s.sent, 2); /* each gets the other's */
	slow_free(&s);
}

/* Strangers who try every port do not take the room of relays that are known, nor ask without end. */
static void strangers_fill_only_their_own_room(void **state)
{
	struct endpoint x, stranger = slow_endpoint("203.0.113.99:5");
	uint8_t packet[64];
	(void)state;

	slow_make(&s, RELAY_UDP, RELAY_LEARNT, RELAY_LEARNT, true, true);
	x = slow_host(&s, 0);
	for (unsigned port = 4000; port < 4000 + 3000; port++)
		if (port != PORT && port != PORT + 100)
			slow_event(&s, RELAY_UP_UNKNOWN, packet, slow_udp_packet(packet, &stranger,
					(uint16_t)port, "x", 1));
	assert_in_range(s.asks, 500, 1000);
	assert_int_equal(s.sent, 0);
	slow_udp(&s, &x, 0, "early", 5);
	x = slow_host(&s, 1);
	slow_udp(&s, &x, 1, "there", 5);
	assert_int_equal(s.sent, 2);
	slow_free(&s);
}

/* What the kernel has joined is taken apart again. */
static void gso_frames_are_many_packets(void **state)
{
	struct relay_event e = {.reason = RELAY_UP_UNLATCHED, .segment = 400};
	uint8_t payload[1000];
	uint64_t seed = 3;
	struct endpoint x;
	(void)state;

	fill(&seed, payload, sizeof payload);
	slow_make(&s, RELAY_UDP, RELAY_LEARNT, RELAY_GIVEN, true, false);
	x = slow_host(&s, 0);
	e.len = (uint16_t)slow_udp_packet(e.data, &x, PORT, payload, sizeof payload);
	e.whole = e.len;
	relay_input(s.input, &s.now, &e);
	assert_int_equal(s.sent, 3);
	assert_int_equal(s.len[0], 448);
	assert_int_equal(s.len[2], 248);
	assert_memory_equal(slow_last(&s).payload, payload + 800, 200);
	/* Of one that was captured in part, what is there. */
	e.len = 20 + 8 + 500;
	relay_input(s.input, &s.now, &e);
	assert_int_equal(s.sent, 4);
	assert_int_equal(slow_drops(&s, RELAY_DROP_ROOM), 2);
	slow_free(&s);
}

/* ---- an attacker who knows everything but the token ---- */

static struct relay before;

static void remember(void)
{
	before = *slow_record(&s);
	s.sent = 0;
}

/* Nothing was learnt, and nothing larger than its trigger was sent, +20 for a SYN-ACK. */
static void assert_harmless(size_t trigger)
{
	assert_true(relay_equal(slow_record(&s), &before));
	assert_in_range(s.sent, 0, 1);
	if (s.sent)
		assert_in_range(s.len[0], 20, trigger + (slow_last(&s).flags & TCP_SYN ? 20 : 0));
	s.sent = 0;
}

/* Server k of a cluster that changes its key from the first to the second of these. */
static const struct relay_keys rolling[] = {
	{.count = 1, .key = {{0x5a}}},
	{.count = 2, .own = 1, .key = {{1}, {0x5a}}}, /* cluster-key next */
	{.count = 2, .key = {{1}, {0x5a}}},           /* finish: the second one is the past one */
	{.count = 3, .own = 1, .key = {{2}, {1}, {0x5a}}}, /* and once more */
	{.count = 2, .key = {{2}, {1}}},
};

/* Tokens are good with each key that there is; with one before the past one they are not. */
static void tokens_outlive_a_change_of_the_key(void **state)
{
	static const uint8_t keys[3][KEY_SIZE] = {{0x5a}, {1}, {2}};
	static const bool good[ARRAY_SIZE(rolling)][3] = {{true, false, false}, {true, true, false},
		{true, true, false}, {true, true, true}, {false, true, true}};
	struct endpoint x = slow_endpoint("198.51.100.77:7");
	char token[RELAY_TOKEN_SIZE];

	(void)state;
	for (unsigned by = 0; by < 3; by++)
		for (unsigned step = 0; step < ARRAY_SIZE(rolling); step++) {
			slow_make(&s, RELAY_UDP, RELAY_TOKEN, RELAY_GIVEN, true, true);
			s.keys = rolling[step];
			relay_token(keys[by], s.relay.id, 0, token);
			slow_udp(&s, &x, 0, token, sizeof token);
			assert_int_equal(relay_latched(&slow_record(&s)->side[0], 0), good[step][by]);
			slow_free(&s);
		}
}

/* A SYN is answered by a server at one step of a change, the token comes to one at the next. */
static void callers_outlive_a_change_of_the_key(void **state)
{
	struct endpoint x = slow_endpoint("198.51.100.77:7");
	uint32_t isn;

	(void)state;
	for (unsigned step = 0; step + 1 < ARRAY_SIZE(rolling); step++)
		for (unsigned back = 0; back < 2; back++) {
			slow_make(&s, RELAY_TCP, RELAY_TOKEN, RELAY_LEARNT, true, true);
			s.keys = rolling[step + back];
			slow_tcp(&s, &x, 0, TCP_SYN, 1000, 0, NULL, 0);
			isn = slow_last(&s).seq;
			s.keys = rolling[step + !back];
			/* servers without the next key are there only before it is the current one */
			relay_token(relay_keys_own(&rolling[step]), s.relay.id, 0, s.token[0]);
			slow_tcp(&s, &x, 0, TCP_ACK, 1001, isn + 1, s.token[0], sizeof s.token[0]);
			assert_true(relay_latched(&slow_record(&s)->side[0], 0));
			assert_int_equal(slow_record(&s)->side[0].leg[0].ours, isn);
			slow_free(&s);
		}
}

/* A spoofed source is where no answer may go: one SYN is not to reach a whole group. */
static void nothing_is_answered_to_denied_addresses(void **state)
{
	static const char *const denied[] = {"224.0.0.1:7", "127.0.0.1:7", "169.254.169.254:80",
		"10.0.0.1:7", "192.0.2.1:4100"};

	(void)state;
	slow_make(&s, RELAY_TCP, RELAY_TOKEN, RELAY_GIVEN, true, true);
	for (unsigned i = 0; i < ARRAY_SIZE(denied); i++) {
		struct endpoint x = slow_endpoint(denied[i]);

		slow_tcp(&s, &x, 0, TCP_SYN, 100000, 0, NULL, 0);
		assert_int_equal(s.sent, 0);
		assert_int_equal(slow_drops(&s, RELAY_DROP_ADDRESS), i + 1);
	}
	slow_free(&s);
}

static void a_wrong_token_is_none(void **state)
{
	struct endpoint evil = slow_endpoint("203.0.113.66:6666");
	char forged[RELAY_TOKEN_SIZE];
	static const uint8_t other_id[RELAY_ID_SIZE] = {7};
	static const uint8_t other_key[KEY_SIZE] = {7};
	(void)state;

	for (unsigned tcp = 0; tcp < 2; tcp++) {
		uint8_t protocol = tcp ? RELAY_TCP : RELAY_UDP;

		slow_make(&s, protocol, RELAY_TOKEN, RELAY_TOKEN, true, true);
		remember();
		for (unsigned kind = 0; kind < 4 + RELAY_TOKEN_SIZE; kind++) {
			uint32_t isn = 77000, ours = 0;

			if (kind == 0)
				memcpy(forged, s.token[1], sizeof forged); /* of the other side */
			else if (kind == 1)
				relay_token(slow_key, other_id, 0, forged); /* of another relay */
			else if (kind == 2)
				relay_token(other_key, s.relay.id, 0, forged);
			else if (kind == 3)
				memset(forged, 'A', sizeof forged);
			else {
				memcpy(forged, s.token[0], sizeof forged);
				forged[kind - 4] ^= 1;
			}
			if (tcp) { /* in a call as it should be */
				slow_tcp(&s, &evil, 0, TCP_SYN, isn, 0, NULL, 0);
				ours = slow_last(&s).seq;
				assert_harmless(60);
				slow_tcp(&s, &evil, 0, TCP_ACK | TCP_PSH, isn + 1, ours + 1, forged,
						sizeof forged);
				assert_int_equal(s.sent, 0);
			} else {
				slow_udp(&s, &evil, 0, forged, sizeof forged);
				assert_int_equal(s.sent, 0);
			}
			assert_harmless(0);
		}
		assert_int_equal(slow_drops(&s, RELAY_DROP_TOKEN), 4 + RELAY_TOKEN_SIZE);
		slow_free(&s);
	}
}

/* One's own SYN tells the hash of one's own four-tuple, which is no other one's. */
static void a_learnt_isn_helps_nobody_else(void **state)
{
	struct endpoint evil = slow_endpoint("203.0.113.66:6666"), x;
	uint32_t isn = 5000, ours;
	(void)state;

	slow_make(&s, RELAY_TCP, RELAY_TOKEN, RELAY_LEARNT, true, true);
	x = slow_host(&s, 0);
	remember();
	slow_tcp(&s, &evil, 0, TCP_SYN, isn, 0, NULL, 0);
	ours = slow_last(&s).seq;
	assert_harmless(60);
	/* From the victim's address, even with the token's length of rubbish, probes and resets. */
	for (uint8_t flags = 0; flags < 32; flags++)
		for (unsigned len = 0; len <= 64; len += 32)
			for (uint32_t seq = isn - 1; seq != isn + 3; seq++) {
				if (flags & TCP_SYN)
					continue;
				slow_tcp(&s, &x, 0, flags, seq, ours + 1, s.token[1], len);
				assert_int_equal(s.sent, 0);
			}
	assert_harmless(0);
	slow_free(&s);
}

/* Against a relay on which both sides have been joined. */
static void nothing_blind_gets_into_a_joined_relay(void **state)
{
	struct endpoint evil = slow_endpoint("203.0.113.66:6666"), x, y;
	uint32_t ours;
	(void)state;

	slow_make(&s, RELAY_TCP, RELAY_TOKEN, RELAY_LEARNT, true, true);
	x = slow_host(&s, 0);
	y = slow_host(&s, 1);
	slow_tcp(&s, &y, 1, TCP_SYN, 900000, 0, NULL, 0);
	assert_int_equal(s.sent, 0); /* held */
	slow_tcp(&s, &x, 0, TCP_SYN, 100000, 0, NULL, 0);
	ours = slow_last(&s).seq;
	slow_tcp(&s, &x, 0, TCP_ACK, 100001, ours + 1, s.token[0], RELAY_TOKEN_SIZE);
	assert_int_equal(s.sent, 3); /* SYN-ACK to x; SYN-ACK to y, then x's window */
	assert_true(relay_ready(slow_record(&s), 0, 0));
	remember();
	for (uint8_t flags = 0; flags < 32; flags++)
		for (unsigned side = 0; side < 2; side++) {
			slow_tcp(&s, &evil, side, flags, 100001, ours + 1, "evil", 4);
			assert_harmless(side || (flags & ~TCP_PSH) != TCP_SYN ? 0 : 64);
		}
	/* A SYN in the name of a side: answered to that side at most, and nothing learnt. */
	slow_tcp(&s, &x, 0, TCP_SYN, 31337, 0, NULL, 0);
	assert_sent_to(0);
	assert_harmless(60);
	slow_tcp(&s, &y, 1, TCP_SYN, 31337, 0, NULL, 0);
	assert_int_equal(s.sent, 0);
	assert_harmless(0);
	slow_free(&s);
}

/* HAZARDS S36: whoever is first has the side; without a token nobody has it after that. */
static void a_held_caller_is_not_displaced(void **state)
{
	struct endpoint evil = slow_endpoint("203.0.113.66:6666"), x, y;
	(void)state;

	slow_make(&s, RELAY_TCP, RELAY_LEARNT, RELAY_HOST, true, true);
	x = slow_host(&s, 0);
	y = slow_host(&s, 1);
	slow_tcp(&s, &x, 0, TCP_SYN, 1000, 0, NULL, 0);
	remember();
	slow_tcp(&s, &evil, 0, TCP_SYN, 2000, 0, NULL, 0);
	slow_tcp(&s, &evil, 1, TCP_SYN, 2000, 0, NULL, 0); /* not the host that was given */
	slow_tcp(&s, &x, 0, TCP_SYN, 1001, 0, NULL, 0);    /* in its name, another call */
	slow_tcp(&s, &x, 0, TCP_RST, 1001, 0, NULL, 0);
	assert_int_equal(s.sent, 0);
	assert_harmless(0);
	slow_tcp(&s, &y, 1, TCP_SYN, 5000, 0, NULL, 0);
	assert_int_equal(s.sent, 2);
	assert_int_equal(slow_last(&s).flags, TCP_SYN | TCP_ACK);
	slow_free(&s);
}

/*
 * Two servers have learnt one side from two sources.  The records' merge decides; this server,
 * which lost, answers the other side anew and says nothing more to the one it had learnt.
 */
static void the_merge_decides_between_two_callers(void **state)
{
	struct endpoint loser = slow_endpoint("203.0.113.66:6666"), x, y;
	struct relay theirs;
	(void)state;

	slow_make(&s, RELAY_TCP, RELAY_LEARNT, RELAY_LEARNT, true, true);
	x = slow_host(&s, 0);
	y = slow_host(&s, 1);
	slow_tcp(&s, &loser, 0, TCP_SYN, 666, 0, NULL, 0);
	theirs = *slow_record(&s);
	theirs.side[0].leg[0].server = 0; /* lower than ours */
	theirs.side[0].leg[0].at = x;
	theirs.side[0].leg[0].isn = 1000;
	slow_tcp(&s, &y, 1, TCP_SYN, 2000, 0, NULL, 0);
	assert_int_equal(s.sent, 2); /* as if the first were the only one */
	s.sent = 0;
	relays_learn(s.relays, &s.now, &theirs);
	assert_true(endpoint_equal(&slow_record(&s)->side[0].leg[0].at, &x));
	assert_int_equal(s.sent, 1);
	assert_sent_to(1);
	assert_int_equal(slow_last(&s).flags, TCP_SYN | TCP_ACK);
	assert_int_equal(slow_last(&s).seq, 1000);
	s.sent = 0;
	slow_tcp(&s, &loser, 0, TCP_SYN, 666, 0, NULL, 0);
	slow_tcp(&s, &loser, 0, TCP_ACK, 667, 2001, NULL, 0);
	assert_int_equal(s.sent, 0);
	slow_tcp(&s, &x, 0, TCP_SYN, 1000, 0, NULL, 0); /* the winner's repetition is answered here too */
	assert_sent_to(0);
	assert_int_equal(slow_last(&s).seq, 2000);
	for (unsigned i = 0; i < 20; i++)
		slow_wait(&s, TICKS_S(1));
	for (unsigned i = 0; i < s.sent; i++) { /* repeated, but to nobody else, and no reset */
		struct relay_packet p;

		assert_true(relay_packet_read(&p, s.packet[i], s.len[i], s.len[i]));
		assert_int_equal(p.flags, TCP_SYN | TCP_ACK);
		assert_true(endpoint_equal(&p.dst, &x) || endpoint_equal(&p.dst, &y));
	}
	slow_free(&s);
}

/* A listener refuses: its token caller learns it, by a reset with right numbers; forged ones do nothing. */
static void only_the_listeners_own_reset_counts(void **state)
{
	struct endpoint x, y;
	uint32_t ours;
	(void)state;

	slow_make(&s, RELAY_TCP, RELAY_TOKEN, RELAY_GIVEN, true, true);
	x = slow_host(&s, 0);
	y = slow_host(&s, 1);
	slow_tcp(&s, &x, 0, TCP_SYN, 100000, 0, NULL, 0);
	ours = slow_last(&s).seq;
	slow_tcp(&s, &x, 0, TCP_ACK, 100001, ours + 1, s.token[0], RELAY_TOKEN_SIZE);
	assert_int_equal(s.sent, 3); /* SYN-ACK, SYN to the listener, window 0 */
	assert_int_equal(slow_last(&s).window, 0);
	assert_int_equal(slow_last(&s).ack, 100065);
	remember();
	for (uint32_t guess = 0; guess < 200; guess++)
		if (guess != 165)
			slow_tcp(&s, &y, 1, TCP_RST | TCP_ACK, 0, 99900 + guess, NULL, 0);
	assert_harmless(0);
	slow_tcp(&s, &y, 1, TCP_RST | TCP_ACK, 0, 100065, NULL, 0);
	assert_sent_to(0);
	assert_int_equal(slow_last(&s).flags, TCP_RST | TCP_ACK);
	assert_int_equal(slow_last(&s).seq, ours + 1);
	assert_int_equal(slow_last(&s).ack, 100065);
	assert_harmless(40);
	slow_wait(&s, TICKS_S(10)); /* it is not called again */
	assert_int_equal(s.sent, 0);
	slow_free(&s);
}

static void a_probe_is_answered_by_any_server(void **state)
{
	struct endpoint x;
	uint32_t ours;
	(void)state;

	slow_make(&s, RELAY_TCP, RELAY_TOKEN, RELAY_LEARNT, false, true);
	x = slow_host(&s, 0);
	slow_tcp(&s, &x, 0, TCP_SYN, 100000, 0, NULL, 0);
	ours = slow_last(&s).seq;
	slow_tcp(&s, &x, 0, TCP_ACK, 100000, ours + 1, NULL, 0); /* a keep-alive, before the token */
	assert_int_equal(slow_last(&s).ack, 100001);
	assert_int_equal(slow_last(&s).window, 64);
	slow_tcp(&s, &x, 0, TCP_ACK, 100001, ours + 1, s.token[0], RELAY_TOKEN_SIZE);
	s.relay = *slow_record(&s);
	slow_free(&s);

	/* Another server, which has nothing but the record. */
	struct relay record = s.relay;

	slow_prepare(&s, RELAY_TCP, RELAY_TOKEN, RELAY_LEARNT, false, true);
	s.relay = record;
	slow_learn(&s);
	slow_tcp(&s, &x, 0, TCP_ACK, 100064, ours + 1, NULL, 0);
	assert_int_equal(slow_last(&s).seq, ours + 1);
	assert_int_equal(slow_last(&s).ack, 100065);
	assert_int_equal(slow_last(&s).window, 0);
	slow_tcp(&s, &x, 0, TCP_ACK, 100065, ours + 1, "x", 1); /* as others than Linux probe */
	assert_int_equal(slow_last(&s).ack, 100065);
	slow_tcp(&s, &x, 0, TCP_ACK, 100001, ours + 1, s.token[0], RELAY_TOKEN_SIZE); /* not heard */
	assert_int_equal(slow_last(&s).ack, 100065);
	assert_int_equal(s.sent, 3);
	slow_tcp(&s, &x, 0, TCP_ACK, 100065, ours + 1, NULL, 0); /* no probe: else two would answer each other */
	slow_tcp(&s, &x, 0, TCP_ACK, 100064, ours + 2, NULL, 0);
	assert_int_equal(s.sent, 3);
	slow_free(&s);
}

static void mss_is_clamped(void **state)
{
	struct endpoint x, y;
	(void)state;

	slow_make(&s, RELAY_TCP, RELAY_LEARNT, RELAY_GIVEN, true, false);
	x = slow_host(&s, 0);
	y = slow_host(&s, 1);
	slow_tcp(&s, &x, 0, TCP_SYN, 1000, 0, NULL, 0);
	assert_sent_to(1);
	assert_int_equal(slow_last(&s).offer.mss, 1220);
	assert_int_equal(slow_last(&s).offer.wscale, 7);
	assert_int_equal(slow_last(&s).seq, 1000);
	slow_tcp(&s, &y, 1, TCP_SYN | TCP_ACK, 2000, 1001, NULL, 0);
	assert_sent_to(0);
	assert_int_equal(slow_last(&s).offer.mss, 1220);
	assert_true(relay_latched(&slow_record(&s)->side[1], 0));
	slow_free(&s);
}

/* What goes wrong on the wire is not made right by rewriting it. */
static void damaged_packets_are_not_sent_on(void **state)
{
	uint8_t packet[256];
	struct endpoint x;
	size_t len;
	(void)state;

	for (unsigned v4 = 0; v4 < 2; v4++) {
		slow_make(&s, RELAY_UDP, RELAY_LEARNT, RELAY_GIVEN, v4, true);
		x = slow_host(&s, 0);
		len = slow_udp_packet(packet, &x, PORT, "0123456789", 10);
		for (size_t at = v4 ? 20 : 40; at < len; at++) {
			packet[at] ^= 4;
			slow_event(&s, RELAY_UP_UNLATCHED, packet, len);
			packet[at] ^= 4;
		}
		for (size_t n = 0; n < len; n++) { /* and none whose end is missing */
			struct relay_event e = {.reason = RELAY_UP_UNLATCHED, .len = (uint16_t)n,
				.whole = (uint32_t)len};

			memcpy(e.data, packet, n);
			relay_input(s.input, &s.now, &e);
		}
		assert_int_equal(s.sent, 0);
		/* A sum that was left to the network card: the pseudo header's alone. */
		store_be16(packet + len - 12, naive_pseudo(packet, IPPROTO_UDP, 18));
		slow_event(&s, RELAY_UP_UNLATCHED, packet, len);
		assert_int_equal(s.sent, 1);
		assert_sent_to(1);
		slow_free(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(udp_is_learnt_and_sent_on),
		cmocka_unit_test(udp_from_elsewhere_is_dropped),
		cmocka_unit_test(a_side_that_has_not_answered_is_spared),
	cmocka_unit_test(a_silent_host_is_spared),
		cmocka_unit_test(udp_without_checksum_gets_one),
		cmocka_unit_test(a_token_teaches_and_teaches_again),
		cmocka_unit_test(both_ports_of_a_span_are_learnt_apart),
		cmocka_unit_test(a_burst_waits_for_its_record),
		cmocka_unit_test(who_has_shown_the_token_elsewhere_waits_too),
		cmocka_unit_test(nothing_waits_for_long),
		cmocka_unit_test(strangers_fill_only_their_own_room),
		cmocka_unit_test(gso_frames_are_many_packets),
		cmocka_unit_test(tokens_outlive_a_change_of_the_key),
		cmocka_unit_test(callers_outlive_a_change_of_the_key),
		cmocka_unit_test(callers_outlive_a_change_of_the_key),
		cmocka_unit_test(nothing_is_answered_to_denied_addresses),
		cmocka_unit_test(a_wrong_token_is_none),
		cmocka_unit_test(a_learnt_isn_helps_nobody_else),
		cmocka_unit_test(nothing_blind_gets_into_a_joined_relay),
		cmocka_unit_test(a_held_caller_is_not_displaced),
		cmocka_unit_test(the_merge_decides_between_two_callers),
		cmocka_unit_test(only_the_listeners_own_reset_counts),
		cmocka_unit_test(a_probe_is_answered_by_any_server),
		cmocka_unit_test(mss_is_clamped),
		cmocka_unit_test(damaged_packets_are_not_sent_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
