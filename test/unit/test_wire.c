/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "bytes.h"
#include "proto/drop.h"
#include "proto/wire.h"

static uint64_t seed = 13;

/* One control message as the tests below see it: bytes in, the struct's bytes out. */
union any {
	struct challenge challenge;
	struct hello hello;
	struct hello_ack hello_ack;
	struct probe probe;
	struct probe_ack probe_ack;
};

static bool read_challenge(union any *m, const uint8_t *p, size_t n)
{
	return challenge_read(&m->challenge, p, n);
}
static bool read_hello(union any *m, const uint8_t *p, size_t n)
{
	return hello_read(&m->hello, p, n);
}
static bool read_hello_ack(union any *m, const uint8_t *p, size_t n)
{
	return hello_ack_read(&m->hello_ack, p, n);
}
static bool read_probe(union any *m, const uint8_t *p, size_t n)
{
	return probe_read(&m->probe, p, n);
}
static bool read_probe_ack(union any *m, const uint8_t *p, size_t n)
{
	return probe_ack_read(&m->probe_ack, p, n);
}

static size_t write_challenge(uint8_t *out, const union any *m)
{
	return challenge_write(out, &m->challenge);
}
static size_t write_hello(uint8_t *out, const union any *m)
{
	return hello_write(out, &m->hello);
}
static size_t write_hello_ack(uint8_t *out, const union any *m)
{
	return hello_ack_write(out, &m->hello_ack);
}
static size_t write_probe(uint8_t *out, const union any *m)
{
	return probe_write(out, CONTROL_PROBE, &m->probe);
}
static size_t write_probe_req(uint8_t *out, const union any *m)
{
	return probe_write(out, CONTROL_PROBE_REQ, &m->probe);
}
static size_t write_probe_ack(uint8_t *out, const union any *m)
{
	return probe_ack_write(out, &m->probe_ack);
}

static const struct {
	uint8_t first;
	size_t fixed;
	bool has_kind; /* in byte 1 */
	bool (*read)(union any *m, const uint8_t *p, size_t n);
	size_t (*write)(uint8_t *out, const union any *m);
} messages[] = {
	{0x11, CHALLENGE_SIZE, true, read_challenge, write_challenge},
	{0x12, HELLO_FIXED, true, read_hello, write_hello},
	{0x13, HELLO_ACK_SIZE, false, read_hello_ack, write_hello_ack},
	{0x14, PROBE_FIXED, false, read_probe, write_probe},
	{0x15, PROBE_ACK_SIZE, false, read_probe_ack, write_probe_ack},
	{0x16, PROBE_REQ_SIZE, false, read_probe, write_probe_req},
};

/* Random bytes of the fixed part are a message; written again, the same bytes. */
static void round_trips(void **state)
{
	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(messages); k++)
		for (int round = 0; round < 200; round++) {
			uint8_t in[64], out[HELLO_MAX];
			union any m;

			fill(&seed, in, sizeof in);
			in[0] = messages[k].first;
			in[1] = messages[k].has_kind ? round & 1 : 0;
			assert_true(messages[k].read(&m, in, messages[k].fixed));
			assert_int_equal(messages[k].write(out, &m), messages[k].fixed);
			assert_memory_equal(out, in, messages[k].fixed);
		}
}

static void refusals(void **state)
{
	static const uint8_t cut[] = {99, 0, 2, 7};      /* a TLV without its last byte */
	static const uint8_t unknown[] = {99, 0, 2, 7, 7};

	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(messages); k++) {
		uint8_t in[600] = {0};
		size_t fixed = messages[k].fixed;
		union any m, before;

		fill(&seed, in, fixed);
		in[0] = messages[k].first;
		in[1] = 0;
		memset(&m, 0x55, sizeof m);
		before = m;
		for (size_t len = 0; len < fixed; len++)
			assert_false(messages[k].read(&m, in, len));
		for (unsigned first = 0; first < 256; first++) {
			in[0] = (uint8_t)first;
			if (first != messages[k].first && !(messages[k].read == read_probe &&
					(first == 0x14 || first == 0x16)))
				assert_false(messages[k].read(&m, in, fixed));
		}
		in[0] = messages[k].first;
		in[1] = 2;
		if (messages[k].has_kind)
			assert_false(messages[k].read(&m, in, fixed));
		in[1] = 0;
		memcpy(in + fixed, cut, sizeof cut);
		assert_false(messages[k].read(&m, in, fixed + sizeof cut));
		assert_memory_equal(&m, &before, sizeof m); /* touched only on success */

		memcpy(in + fixed, unknown, sizeof unknown);
		assert_true(messages[k].read(&m, in, fixed + sizeof unknown));
		memset(in + fixed, 0, sizeof unknown);
		for (size_t pad = 0; pad < 500; pad += 7)
			assert_true(messages[k].read(&m, in, fixed + pad));
		in[fixed + 1] = 0xff; /* after the end of the list nothing is looked at */
		assert_true(messages[k].read(&m, in, fixed + 2));
	}
}

static void hello_lists(void **state)
{
	static uint8_t out[HELLO_MAX + 64];
	struct hello h, got;

	(void)state;
	for (unsigned groups = 0; groups <= GROUPS_MAX; groups++)
		for (unsigned macs = 0; macs <= MACS_MAX; macs += 4) {
			fill(&seed, &h, sizeof h);
			h.kind = KIND_TIME;
			h.group_count = (uint8_t)groups;
			h.mac_count = (uint8_t)macs;
			size_t n = hello_write(out, &h);
			assert_int_equal(n, HELLO_FIXED + (groups ? 3 + 16 * groups : 0) +
					(macs ? 3 + 6 * macs : 0));
			memset(out + n, 0, 64);
			assert_true(hello_read(&got, out, n + 64));
			assert_int_equal(got.down_mtu, h.down_mtu);
			assert_int_equal(got.keepalive, h.keepalive);
			assert_int_equal(got.group_count, groups);
			assert_int_equal(got.mac_count, macs);
			assert_memory_equal(got.groups, h.groups, 16 * groups);
			assert_memory_equal(got.macs, h.macs, 6 * macs);
			size_t whole = HELLO_FIXED + (groups ? 3 + 16 * groups : 0);
			for (size_t len = 0; len < n; len++) /* only between TLVs is it still one */
				assert_int_equal(hello_read(&got, out, len),
						len == whole || len == HELLO_FIXED);
		}
}

static void hello_bad_lists(void **state)
{
	uint8_t p[1400] = {0x12};
	struct hello h;

	(void)state;
	p[HELLO_FIXED] = TLV_GROUPS;
	store_be16(p + HELLO_FIXED + 1, 17);
	assert_false(hello_read(&h, p, sizeof p));
	store_be16(p + HELLO_FIXED + 1, (GROUPS_MAX + 1) * 16);
	assert_false(hello_read(&h, p, sizeof p));
	p[HELLO_FIXED] = TLV_MACS;
	store_be16(p + HELLO_FIXED + 1, 5);
	assert_false(hello_read(&h, p, sizeof p));
	store_be16(p + HELLO_FIXED + 1, (MACS_MAX + 1) * 6);
	assert_false(hello_read(&h, p, sizeof p));
	/* Lists of one type add up, as far as there is room. */
	store_be16(p + HELLO_FIXED + 1, 6);
	p[HELLO_FIXED + 9] = TLV_MACS;
	store_be16(p + HELLO_FIXED + 10, 12);
	assert_true(hello_read(&h, p, sizeof p));
	assert_int_equal(h.mac_count, 3);
	store_be16(p + HELLO_FIXED + 10, MACS_MAX * 6);
	assert_false(hello_read(&h, p, sizeof p));
}

/* Whatever the bytes are, the reader stays inside them (the sanitizer looks on) and ends. */
static void tlv_noise(void **state)
{
	(void)state;
	for (int round = 0; round < 20000; round++) {
		uint8_t bytes[64], type;
		size_t n = next_random(&seed) % sizeof bytes, sum = 0;
		const uint8_t *value;
		struct reader r;
		uint16_t len;

		fill(&seed, bytes, n);
		for (size_t i = 0; i < n; i++)
			bytes[i] %= 4; /* short lengths */
		r = reader_over(bytes, n);
		while (tlv_next(&r, &type, &value, &len)) {
			assert_int_not_equal(type, TLV_END);
			assert_true(value >= bytes && value + len <= bytes + n);
			sum += 3 + len;
		}
		assert_true(sum <= n);
	}
}

static void full_time(void **state)
{
	const uint64_t now = ((uint64_t)5900000 * EPOCH_SECONDS) << 4;

	(void)state;
	for (int64_t d = -32768; d < 32768; d += 17) {
		assert_int_equal(time_full(now, (uint16_t)(now + (uint64_t)d)), now + (uint64_t)d);
		assert_int_equal(time_full(now + 40000, (uint16_t)(now + 40000 + (uint64_t)d)),
				now + 40000 + (uint64_t)d);
	}
	assert_int_equal(time_full(100, 100), 100);
	assert_int_equal(time_16th(TICKS_S(3)), 48);
	assert_int_equal(session_end(5900000), (5900000 + 2) * 300 - 5);
}

static void headers(void **state)
{
	uint8_t in[HEADER_SIZE], out[HEADER_SIZE];
	struct header h;

	(void)state;
	for (int i = 0; i < 100; i++) {
		fill(&seed, in, sizeof in);
		in[0] = 0xa0 | (in[0] & 0x0f);
		header_load(&h, in);
		header_store(out, &h);
		assert_memory_equal(in, out, sizeof in);
	}
	assert_int_equal(wire_type_data(AEAD_CHACHA20_POLY1305, true), WIRE_DATA_DOWN_CHACHA);
	assert_int_equal(wire_type_data(AEAD_AES_256_GCM, false), WIRE_DATA_UP);
}

static void drop_names(void **state)
{
	(void)state;
	for (enum drop a = 0; a < DROP_COUNT; a++) {
		assert_true(strlen(drop_key(a)) > 0 && strlen(drop_text(a)) > 0);
		for (enum drop b = 0; b < a; b++)
			assert_string_not_equal(drop_key(a), drop_key(b));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trips),
		cmocka_unit_test(refusals),
		cmocka_unit_test(hello_lists),
		cmocka_unit_test(hello_bad_lists),
		cmocka_unit_test(tlv_noise),
		cmocka_unit_test(full_time),
		cmocka_unit_test(headers),
		cmocka_unit_test(drop_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
