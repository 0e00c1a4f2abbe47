/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* RELAY and RELAY_ANSWER: bytes to struct and back, and what makes a request sound. */
#include "bytes.h"
#include "proto/relay_message.h"
#include "proto/wire.h"

static uint64_t seed = 17;

static struct endpoint at(const char *text)
{
	struct endpoint e;

	assert_int_equal(endpoint_parse(text, 1, &e), 0);
	if (!strchr(text, ':') || (text[0] != '[' && strchr(text, ':') != strrchr(text, ':')))
		e.port = 0;
	return e;
}

static struct relay_side side(uint8_t kind, bool v4, const char *given)
{
	struct relay_side s = {.kind = kind, .v4 = v4};

	if (given)
		s.given = at(given);
	return s;
}

static struct relay_request request(void)
{
	struct relay_request q = {.protocol = RELAY_UDP, .span = 1, .lifetime = 600};

	fill(&seed, q.id, sizeof q.id);
	q.side[0] = side(RELAY_GIVEN, true, "203.0.113.5:5060");
	q.side[1] = side(RELAY_TOKEN, false, NULL);
	return q;
}

static void question_bytes(void **state)
{
	static const struct relay_question zeros;
	struct relay_question q = {.op = RELAY_OP_ADD, .number = 0x01020304, .request = request()}, back;
	uint8_t out[RELAY_QUESTION_SIZE + 40] = {0}, again[RELAY_QUESTION_SIZE];

	(void)state;
	memset(q.request.id, 0xaa, RELAY_ID_SIZE);
	q.request.span = 2;
	q.request.even = true;
	assert_int_equal(relay_question_write(out, &q), RELAY_QUESTION_SIZE);
	assert_hex(out, "1701" "01020304" "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" "0258" "11" "02" "01" "00"
			"0104" "00000000000000000000ffffcb007105" "13c4"
			"0406" "00000000000000000000000000000000" "0000");
	for (size_t padding = 0; padding <= 40; padding += 8) {
		back = zeros;
		assert_true(relay_question_read(&back, out, RELAY_QUESTION_SIZE + padding));
		assert_int_equal(relay_question_write(again, &back), RELAY_QUESTION_SIZE);
		assert_memory_equal(again, out, RELAY_QUESTION_SIZE);
	}
	for (size_t len = 0; len < RELAY_QUESTION_SIZE; len++) {
		back = zeros;
		assert_false(relay_question_read(&back, out, len));
		assert_memory_equal(&back, &zeros, sizeof zeros);
	}
	out[RELAY_QUESTION_SIZE] = 9; /* a TLV whose length is cut off */
	assert_false(relay_question_read(&back, out, RELAY_QUESTION_SIZE + 2));
	out[0] = 0x18;
	assert_false(relay_question_read(&back, out, RELAY_QUESTION_SIZE));
}

/* What is read and unsound is answered, not dropped: it must be read. */
static void unsound_is_read(void **state)
{
	struct relay_question q = {.op = 99, .request = request()}, back;
	uint8_t out[RELAY_QUESTION_SIZE];

	(void)state;
	relay_question_write(out, &q);
	assert_true(relay_question_read(&back, out, sizeof out));
	assert_int_equal(back.op, 99);
	assert_true(relay_request_sound(&back.request));
	out[29] = 5; /* a family that is none */
	assert_true(relay_question_read(&back, out, sizeof out));
	assert_false(relay_request_sound(&back.request));
}

static void soundness(void **state)
{
	static const struct {
		uint8_t kind;
		bool v4;
		const char *given;
		bool sound;
	} sides[] = {
		{RELAY_GIVEN, true, "203.0.113.5:5060", true},
		{RELAY_GIVEN, false, "[2001:db8::5]:5060", true},
		{RELAY_GIVEN, false, "203.0.113.5:5060", false},
		{RELAY_GIVEN, true, "[2001:db8::5]:5060", false},
		{RELAY_GIVEN, true, "203.0.113.5", false},
		{RELAY_HOST, true, "203.0.113.5", true},
		{RELAY_HOST, false, "2001:db8::5", true},
		{RELAY_HOST, true, "203.0.113.5:5060", false},
		{RELAY_HOST, true, NULL, false},
		{RELAY_LEARNT, true, NULL, true},
		{RELAY_LEARNT, false, NULL, true},
		{RELAY_LEARNT, true, "203.0.113.5", false},
		{RELAY_TOKEN, false, NULL, true},
		{RELAY_TOKEN, true, "203.0.113.5:1", false},
		{0, true, NULL, false},
		{RELAY_HINTED, true, NULL, true},
		{RELAY_HINTED, true, "203.0.113.5:1", false},
		{6, true, NULL, false},
	};
	struct relay_request q = request();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sides); i++)
		for (unsigned which = 0; which < 2; which++) {
			q = request();
			q.side[which] = side(sides[i].kind, sides[i].v4, sides[i].given);
			assert_int_equal(relay_request_sound(&q), sides[i].sound);
		}
	for (unsigned v = 0; v < 256; v++) {
		q = request();
		q.protocol = (uint8_t)v;
		assert_int_equal(relay_request_sound(&q), v == 6 || v == 17);
		q = request();
		q.span = (uint8_t)v;
		assert_int_equal(relay_request_sound(&q), v == 1 || v == 2);
	}
	q = request();
	q.protocol = RELAY_TCP;
	assert_true(relay_request_sound(&q));
	q.span = 2; /* it has one port a side */
	assert_false(relay_request_sound(&q));
	q = request();
	q.even = true; /* of one port there is nothing to choose */
	assert_false(relay_request_sound(&q));
	q.span = 2;
	assert_true(relay_request_sound(&q));
	q.side[0].given.port = 65535; /* there is no port after it */
	assert_false(relay_request_sound(&q));
}

static struct relay_view view(bool tokens)
{
	struct relay_view v = {.protocol = RELAY_TCP, .span = 1, .left = 599};

	fill(&seed, v.id, sizeof v.id);
	for (unsigned i = 0; i < 2; i++) {
		v.side[i].kind = tokens ? RELAY_TOKEN : RELAY_GIVEN;
		v.side[i].ours = at(i ? "192.0.2.1:20001" : "[2001:db8::1]:20000");
		if (tokens)
			memset(v.side[i].token, 'A' + (int)i, RELAY_TOKEN_SIZE);
		else
			v.side[i].given = at("203.0.113.5:22");
		if (i)
			v.side[i].at[0] = at("203.0.113.9:4000");
		v.side[i].latched[0] = i;
	}
	return v;
}

/* Each port of a span has its own place, learnt or not. */
static void spans(void **state)
{
	struct relay_answer a = {.op = RELAY_OP_ADD, .count = 1}, back;
	uint8_t out[RELAY_ANSWER_MAX];

	(void)state;
	a.relay[0] = view(false);
	a.relay[0].protocol = RELAY_UDP;
	a.relay[0].span = 2;
	a.relay[0].side[0].at[1] = at("[2001:db8::9]:7");
	a.relay[0].side[0].latched[1] = true;
	memset(&back, 0, sizeof back);
	assert_true(relay_answer_read(&back, out, relay_answer_write(out, &a)));
	assert_memory_equal(&back.relay[0], &a.relay[0], sizeof a.relay[0]);
}

/* All of a page comes back; of one that is too large, as much as fits, and `more`. */
static void pages(void **state)
{
	uint8_t out[RELAY_ANSWER_MAX + 16] = {0};
	struct relay_answer a, back;

	(void)state;
	for (unsigned tokens = 0; tokens < 2; tokens++)
		for (unsigned count = 0; count <= RELAY_PAGE; count++) {
			a = (struct relay_answer){.op = RELAY_OP_LIST, .number = 7, .count = (uint8_t)count};
			for (unsigned i = 0; i < count; i++)
				a.relay[i] = view(tokens);
			memset(out, 0, sizeof out);
			size_t n = relay_answer_write(out, &a);
			assert_true(n <= RELAY_ANSWER_MAX);
			memset(&back, 0, sizeof back);
			assert_true(relay_answer_read(&back, out, n + 16));
			unsigned fit = tokens ? MIN(count, 4u) : count;
			assert_int_equal(back.count, fit);
			assert_int_equal(back.more, fit < count);
			assert_memory_equal(back.relay, a.relay, fit * sizeof a.relay[0]);
			for (size_t len = 0; count && len < n; len++)
				assert_false(relay_answer_read(&back, out, len));
		}
	a.more = true;
	a.count = 1;
	assert_true(relay_answer_read(&back, out, relay_answer_write(out, &a)));
	assert_true(back.more);
}

static void answers_refused(void **state)
{
	struct relay_answer a = {.op = RELAY_OP_GET, .count = 1}, back;
	uint8_t out[RELAY_ANSWER_MAX];
	size_t n;

	(void)state;
	a.relay[0] = view(false);
	n = relay_answer_write(out, &a);
	assert_true(relay_answer_read(&back, out, n));
	for (unsigned v = 0; v < 256; v++) { /* kind of a side, protocol, count, message */
		out[32] = (uint8_t)v;
		assert_int_equal(relay_answer_read(&back, out, n), (v >= 1 && v <= 3) || v == 5); /* 4: no token */
		out[32] = RELAY_GIVEN;
		out[25] = (uint8_t)v;
		assert_int_equal(relay_answer_read(&back, out, n), v == 6 || v == 17);
		out[25] = RELAY_TCP;
		out[8] = (uint8_t)v;
		if (v) /* of none, what follows may be taken for TLVs */
			assert_int_equal(relay_answer_read(&back, out, n), v == 1);
		out[8] = 1;
		out[0] = (uint8_t)v;
		assert_int_equal(relay_answer_read(&back, out, n), v == 0x18);
		out[0] = 0x18;
	}
}

static void statuses(void **state)
{
	(void)state;
	assert_string_equal(relay_status_key(RELAY_STATUS_PENDING), "pending");
	assert_string_equal(relay_status_text(RELAY_STATUS_UNKNOWN), "there is no relay with this id");
	assert_string_equal(relay_status_key((enum relay_status)200), "other");
	assert_non_null(relay_status_text((enum relay_status)200));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(question_bytes), cmocka_unit_test(unsound_is_read),
		cmocka_unit_test(soundness), cmocka_unit_test(spans), cmocka_unit_test(pages),
		cmocka_unit_test(answers_refused), cmocka_unit_test(statuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
