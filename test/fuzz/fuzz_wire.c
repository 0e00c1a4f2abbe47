/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Control messages and TLVs from any plaintext.  What is read, written and read
 * again, stays the same; padding means nothing; what is refused leaves the
 * output alone.
 */
#include "fuzz.h"
#include "proto/relay_message.h"
#include "proto/wire.h"

#define UNTOUCHED 0xa5

union message {
	struct challenge challenge;
	struct hello hello;
	struct hello_ack hello_ack;
	struct probe probe;
	struct probe_ack probe_ack;
};

/* The five messages behind one face. */
#define FACE(name)                                                                                 \
	static bool read_##name(union message *m, const uint8_t *plain, size_t len)                \
	{                                                                                          \
		return name##_read(&m->name, plain, len);                                          \
	}
FACE(challenge)
FACE(hello)
FACE(hello_ack)
FACE(probe)
FACE(probe_ack)

static size_t write_challenge(uint8_t *out, const union message *m, uint8_t first)
{
	(void)first;
	return challenge_write(out, &m->challenge);
}

static size_t write_hello(uint8_t *out, const union message *m, uint8_t first)
{
	(void)first;
	return hello_write(out, &m->hello);
}

static size_t write_hello_ack(uint8_t *out, const union message *m, uint8_t first)
{
	(void)first;
	return hello_ack_write(out, &m->hello_ack);
}

static size_t write_probe(uint8_t *out, const union message *m, uint8_t first)
{
	return probe_write(out, first & 0x0f, &m->probe);
}

static size_t write_probe_ack(uint8_t *out, const union message *m, uint8_t first)
{
	(void)first;
	return probe_ack_write(out, &m->probe_ack);
}

static const struct kind {
	size_t fixed, most;
	bool reserved; /* byte 1 means nothing */
	bool (*read)(union message *m, const uint8_t *plain, size_t len);
	size_t (*write)(uint8_t *out, const union message *m, uint8_t first);
} kinds[] = {
	{CHALLENGE_SIZE, CHALLENGE_SIZE, false, read_challenge, write_challenge},
	{HELLO_FIXED, HELLO_MAX, false, read_hello, write_hello},
	{HELLO_ACK_SIZE, HELLO_ACK_SIZE, true, read_hello_ack, write_hello_ack},
	{PROBE_FIXED, PROBE_FIXED, true, read_probe, write_probe},
	{PROBE_ACK_SIZE, PROBE_ACK_SIZE, true, read_probe_ack, write_probe_ack},
};

static void check_message(const struct kind *k, const uint8_t *plain, size_t len)
{
	uint8_t first[HELLO_MAX + 64] = {0}, second[HELLO_MAX];
	union message m, again;
	size_t n;

	memset(&m, UNTOUCHED, sizeof m);
	if (!k->read(&m, plain, len)) {
		for (size_t i = 0; i < sizeof m; i++)
			MUST(((uint8_t *)&m)[i] == UNTOUCHED);
		return;
	}
	MUST(len >= k->fixed);
	n = k->write(first, &m, plain[0]);
	MUST(n >= k->fixed && n <= k->most);
	MUST(first[0] == plain[0] && (k->reserved || first[1] == plain[1]));
	MUST(!memcmp(first + 2, plain + 2, k->fixed - 2));
	/* padded up to the least size of a packet, as it will be */
	for (size_t padding = 0; padding <= 64; padding += 16) {
		MUST(k->read(&again, first, n + padding));
		MUST(k->write(second, &again, first[0]) == n && !memcmp(first, second, n));
	}
	for (size_t cut = 0; cut < k->fixed; cut++)
		MUST(!k->read(&again, first, cut));
}

/* Some of their bytes are reserved, or unsound and remembered as such: what was read is what stays. */
static void check_question(const uint8_t *plain, size_t len)
{
	uint8_t first[RELAY_QUESTION_SIZE], second[RELAY_QUESTION_SIZE];
	struct relay_question q, again;

	memset(&q, UNTOUCHED, sizeof q);
	if (!relay_question_read(&q, plain, len)) {
		for (size_t i = 0; i < sizeof q; i++)
			MUST(((uint8_t *)&q)[i] == UNTOUCHED);
		return;
	}
	MUST(len >= RELAY_QUESTION_SIZE);
	MUST(relay_question_write(first, &q) == RELAY_QUESTION_SIZE);
	MUST(relay_question_read(&again, first, sizeof first));
	MUST(relay_request_sound(&again.request) == relay_request_sound(&q.request));
	MUST(relay_question_write(second, &again) == RELAY_QUESTION_SIZE);
	MUST(!memcmp(first, second, sizeof first));
}

static void check_answer(const uint8_t *plain, size_t len)
{
	uint8_t first[RELAY_ANSWER_MAX], second[RELAY_ANSWER_MAX];
	struct relay_answer a, again;
	size_t n;

	memset(&a, UNTOUCHED, sizeof a);
	if (!relay_answer_read(&a, plain, len)) {
		for (size_t i = 0; i < sizeof a; i++)
			MUST(((uint8_t *)&a)[i] == UNTOUCHED);
		return;
	}
	MUST(len >= RELAY_ANSWER_FIXED && a.count <= RELAY_PAGE);
	n = relay_answer_write(first, &a);
	MUST(n <= RELAY_ANSWER_MAX && relay_answer_read(&again, first, n));
	MUST(again.count == a.count || (again.count < a.count && again.more));
	MUST(!memcmp(again.relay, a.relay, again.count * sizeof a.relay[0]));
	MUST(relay_answer_write(second, &again) == n && !memcmp(first, second, n));
}

static void check_tlvs(const uint8_t *plain, size_t len)
{
	struct reader r = reader_over(plain, len), whole = r;
	const uint8_t *value, *at = plain;
	uint16_t n;
	uint8_t type;

	while (tlv_next(&r, &type, &value, &n)) {
		MUST(type != TLV_END && value == at + 3 && value + n <= plain + len);
		at = value + n;
	}
	MUST(tlvs_skip(&whole) == !r.bad);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* of exactly this size, so that no byte outside goes unseen */
	struct reader r = reader_over(data, size);
	uint8_t *plain = script_bytes(&r, size, &size);

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		check_message(&kinds[i], plain, size);
	check_question(plain, size);
	check_answer(plain, size);
	check_tlvs(plain, size);
	free(plain);
	return 0;
}
