/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* Questions about relays in words: what is understood, and the sentences about what is not. */
#include <errno.h>

#include "bytes.h"
#include "mode/relay_words.h"

#define ID "00112233445566778899aabbccddeeff"

static struct relay_question read_good(const char *words)
{
	struct relay_question q;
	char error[RELAY_WORDS_ERROR] = "";

	if (relay_words_read(words, &q, error))
		fail_msg("%s: %s", words, error);
	return q;
}

static void additions(void **state)
{
	static const uint8_t id[RELAY_ID_SIZE] = {0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99,
			0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};
	struct relay_question q = read_good("add udp 203.0.113.5:5060 token6 lifetime=30 id=" ID
					    " span=2 even"), other;

	(void)state;
	assert_int_equal(q.op, RELAY_OP_ADD);
	assert_int_equal(q.request.protocol, RELAY_UDP);
	assert_memory_equal(q.request.id, id, sizeof id);
	assert_int_equal(q.request.lifetime, 30);
	assert_int_equal(q.request.span, 2);
	assert_true(q.request.even);
	assert_true(relay_request_sound(&q.request));
	q = read_good("add tcp [2001:db8::5]:22 2001:db8::6");
	other = read_good("add tcp [2001:db8::5]:22 2001:db8::6");
	assert_int_equal(q.request.lifetime, RELAY_LIFETIME);
	assert_int_equal(q.request.span, 1);
	assert_int_equal(q.request.side[0].kind, RELAY_GIVEN);
	assert_int_equal(q.request.side[1].kind, RELAY_HOST);
	assert_memory_not_equal(q.request.id, other.request.id, RELAY_ID_SIZE);
	assert_int_equal(read_good("add udp any4 any6 lifetime=0").request.lifetime, 0);
}

static void the_others(void **state)
{
	char text[RELAY_ID_TEXT];
	struct relay_question q = read_good("refresh " ID " lifetime=60");

	(void)state;
	assert_int_equal(q.op, RELAY_OP_REFRESH);
	assert_int_equal(q.request.lifetime, 60);
	assert_string_equal(relay_id_write(q.request.id, text), ID);
	assert_int_equal(read_good("del " ID).op, RELAY_OP_REMOVE);
	assert_int_equal(read_good("get " ID).op, RELAY_OP_GET);
	assert_int_equal(read_good("list").op, RELAY_OP_LIST);
	q = read_good("list " ID);
	assert_string_equal(relay_id_write(q.request.id, text), ID);
}

/* Each form, and the same from what the cluster says of it. */
static void sides(void **state)
{
	static const struct {
		const char *text;
		uint8_t kind;
		bool v4;
	} good[] = {
		{"203.0.113.5:5060", RELAY_GIVEN, true},
		{"[2001:db8::5]:5060", RELAY_GIVEN, false},
		{"203.0.113.5", RELAY_HOST, true},
		{"2001:db8::5", RELAY_HOST, false},
		{"any4", RELAY_LEARNT, true},
		{"any6", RELAY_LEARNT, false},
		{"token4", RELAY_TOKEN, true},
		{"token6", RELAY_TOKEN, false},
	};
	static const char *const bad[] = {"", "any", "token", "any5", "token46", "any4:5", "203.0.113.5:0",
			"203.0.113.5:65536", "203.0.113", "host.example:22", "[2001:db8::5]:", ":22"};
	char text[ENDPOINT_TEXT];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct relay_view_side v = {0};
		struct relay_side s;

		assert_int_equal(relay_side_read(good[i].text, &s), 0);
		assert_int_equal(s.kind, good[i].kind);
		assert_int_equal(s.v4, good[i].v4);
		v.kind = s.kind;
		v.given = s.given;
		if (s.v4)
			addr_from_v4(v.ours.ip, "\xc0\0\2\1");
		assert_string_equal(relay_side_write(&v, text), good[i].text);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct relay_side s = {.kind = 77};

		assert_int_equal(relay_side_read(bad[i], &s), -EINVAL);
		assert_int_equal(s.kind, 77);
	}
}

static void sentences(void **state)
{
	static const struct {
		const char *words, *sentence;
	} bad[] = {
		{"", "nothing is nothing that can be done with relays (add, refresh, del, get, list)"},
		{"move", "move is nothing that can be done with relays (add, refresh, del, get, list)"},
		{"add", "nothing is not a protocol of relays (udp or tcp)"},
		{"add sctp any4 any4", "sctp is not a protocol of relays (udp or tcp)"},
		{"add udp any4", "nothing is not a side of a relay (ADDRESS:PORT, ADDRESS, any4, any6, "
				"token4 or token6)"},
		{"add udp any4 any", "any is not a side of a relay (ADDRESS:PORT, ADDRESS, any4, any6, "
				"token4 or token6)"},
		{"add udp any4 any4 lifetime=9", "9 is not a lifetime in seconds (10 to 3600, or 0 for "
				"ever)"},
		{"add udp any4 any4 lifetime=3601", "3601 is not a lifetime in seconds (10 to 3600, or 0 "
				"for ever)"},
		{"add udp any4 any4 span=3", "3 is not a number of ports for each side (1 or 2)"},
		{"add udp any4 any4 id=1", "1 is not the id of a relay (32 hexadecimal digits)"},
		{"add udp any4 any4 fast", "fast: a relay has no such option"},
		{"add tcp any4 any4 span=2", "a relay of TCP has one port a side: span is for udp"},
		{"add udp any4 any4 even", "of one port there is nothing to choose: even needs a span of "
				"2"},
		{"add udp 203.0.113.5:65535 any4 span=2", "with a span of 2 there must be another port "
				"after the one that is given"},
		{"del", "nothing is not the id of a relay (32 hexadecimal digits)"},
		{"get zz112233445566778899aabbccddeeff", "zz112233445566778899aabbccddeeff is not the id "
				"of a relay (32 hexadecimal digits)"},
	};
	char error[RELAY_WORDS_ERROR], words[400];
	struct relay_question q = {.op = 77};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(relay_words_read(bad[i].words, &q, error), -EINVAL);
		assert_string_equal(error, bad[i].sentence);
	}
	memset(words, 'x', sizeof words - 1);
	words[sizeof words - 1] = 0;
	assert_int_equal(relay_words_read(words, &q, error), -EINVAL);
	assert_string_equal(error, "this is longer than 255 characters");
	assert_int_equal(q.op, 77);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(additions), cmocka_unit_test(the_others), cmocka_unit_test(sides),
		cmocka_unit_test(sentences),
	};

	crypto_init(CRYPTO_OPENSSL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
