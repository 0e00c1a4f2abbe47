/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "packets.h"
#include "path/gro.h"
#include "path/gso.h"

#define SIZE 1000

static uint8_t data[65536];
static uint8_t frame[66000];
static _Alignas(64) uint8_t buffer[GRO_BUFFER + 64]; /* the end must stay as it is */
static struct coalescer c;

static int setup(void **state)
{
	uint64_t seed = 10;

	(void)state;
	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)prng(&seed);
	return 0;
}

static int begin(void **state)
{
	(void)state;
	memset(buffer, 0xa5, sizeof buffer);
	coalesce_begin(&c, buffer, true, true);
	return 0;
}

static void put(const uint8_t *p, size_t len)
{
	uint8_t *place = coalesce_place(&c, len);

	assert_non_null(place);
	assert_true(place >= buffer && place + len <= buffer + GRO_BUFFER);
	memcpy(place, p, len);
	coalesce_commit(&c, len);
}

static void put_flow(const struct flow *f, size_t at, size_t n)
{
	uint8_t p[66000];

	put(p, flow_packet(p, f, data + at, n));
}

static void assert_single(unsigned i, const uint8_t *p, size_t len)
{
	static const struct virtio_net_hdr none;

	assert_memory_equal(&c.frame[i].vh, &none, sizeof none);
	assert_int_equal(c.frame[i].len, len);
	assert_memory_equal(c.frame[i].data, p, len);
}

static void assert_frame(unsigned i, const struct flow *f, size_t at, size_t n, uint16_t size)
{
	struct virtio_net_hdr vh;
	size_t len = flow_frame(frame, &vh, f, data + at, n, size);

	assert_memory_equal(&c.frame[i].vh, &vh, sizeof vh);
	assert_int_equal(c.frame[i].len, len);
	assert_memory_equal(c.frame[i].data, frame, len);
}

/* What the kernel gave to the segmenter at one end comes out of the coalescer at the other. */
static void inverse_of_segmentation(void **state)
{
	uint64_t seed = 11;
	struct virtio_net_hdr vh;
	struct segmenter s;
	uint8_t work[66000], *p;
	size_t len, n;

	for (unsigned i = 0; i < 500; i++) {
		struct flow f = flow_make(i & 1, i & 2);
		uint16_t size = (uint16_t)(100 + prng(&seed) % 1349);
		size_t most = MIN(64 * size, 65535 - 100);

		f.options = f.tcp ? prng(&seed) % 11 * 4 : 0;
		f.seq = prng(&seed);
		f.flags = i & 4 ? 0x18 : 0x10;
		f.tos = (uint8_t)prng(&seed);
		n = size + 1 + prng(&seed) % (most - size);
		begin(state);
		len = flow_frame(frame, &vh, &f, data, n, size);
		memcpy(work, frame, len);
		assert_int_equal(segment_begin(&s, &vh, work, len, 0), 0);
		while ((p = segment_next(&s, &len)))
			put(p, len);
		coalesce_finish(&c);
		assert_int_equal(c.count, 1);
		assert_frame(0, &f, 0, n, size);
		assert_int_equal(((uintptr_t)c.frame[0].data) % 64, 0);
	}
}

static void payload_goes_where_it_stays(void **state)
{
	struct flow f = flow_make(true, true);
	const uint8_t *end;

	(void)state;
	put_flow(&f, 0, SIZE);
	end = c.frame[0].data + c.frame[0].len;
	assert_ptr_equal(coalesce_place(&c, 1500), end - flow_headers(&f));
	coalesce_cancel(&c);
	f.seq += SIZE;
	put_flow(&f, SIZE, SIZE);
	f.seq -= SIZE;
	coalesce_finish(&c);
	assert_frame(0, &f, 0, 2 * SIZE, SIZE);
}

static void cancelled_packets_leave_no_trace(void **state)
{
	struct flow f = flow_make(false, true);
	uint8_t *place;

	(void)state;
	place = coalesce_place(&c, 500);
	memset(place, 1, 500);
	coalesce_cancel(&c);
	assert_ptr_equal(coalesce_place(&c, 500), place);
	coalesce_cancel(&c);
	for (unsigned i = 0; i < 3; i++) {
		put_flow(&f, i * SIZE, SIZE);
		place = coalesce_place(&c, 1500);
		memset(place, 0xdd, 1500);
		coalesce_cancel(&c);
		f.seq += SIZE;
	}
	coalesce_finish(&c);
	f.seq -= 3 * SIZE;
	assert_int_equal(c.count, 1);
	assert_frame(0, &f, 0, 3 * SIZE, SIZE);
}

/* Each of these changes in the second packet keeps it out of the frame, and itself unchanged. */
static void only_one_flow_in_a_frame(void **state)
{
	for (unsigned i = 0; i < 4; i++) {
		for (unsigned change = 0;; change++) {
			struct flow f = flow_make(i & 1, i & 2), g = f;
			uint8_t first[1500], second[1500];
			size_t n = SIZE, first_len, len;

			g.seq += SIZE;
			switch (change) {
			case 0: g.host++; break;
			case 1: g.source_port++; break;
			case 2: g.tos = 4; break;
			case 3: g.tos = 3; break;
			case 4: g.ttl--; break;
			case 5: g.v4 = !g.v4; break;
			case 6: g.tcp = !g.tcp; g.options = 0; break;
			case 7: n = SIZE + 1; break;
			case 8: n = 0; break;
			case 9: g.ip_options = g.extension = 8; break;
			case 10: g.fragment = f.tcp ? 0 : 0x2000; break; /* no DF; for UDP,
					see below */
			case 11: g.fragment = 0x6000; break;
			case 12: g.fragment = 0x4001; break;
			case 13: g.fragment = 0xc000; break;
			case 14: g.seq++; break; /* from here on, TCP only */
			case 15: g.seq = f.seq; break;
			case 16: g.ack++; break;
			case 17: g.window--; break;
			case 18: g.options = 16; break;
			case 19: g.flags = 0x11; break;
			case 20: g.flags = 0x12; break;
			case 21: g.flags = 0x14; break;
			case 22: g.flags = 0x30; break;
			case 23: g.flags = 0x50; break;
			case 24: g.flags = 0x90; break;
			case 25: g.flags = 0x00; break;
			}
			if (change == 26 || (change == 14 && !f.tcp))
				break;
			if (change >= 10 && change <= 13 && !f.v4)
				continue;
			begin(state);
			first_len = flow_packet(first, &f, data, SIZE);
			len = flow_packet(second, &g, data + SIZE, n);
			put(first, first_len);
			put(second, len);
			coalesce_finish(&c);
			assert_int_equal(c.count, 2);
			assert_single(0, first, first_len);
			assert_single(1, second, len);
		}
	}
}

static void header_bytes_must_be_equal(void **state)
{
	/* TCP: reserved bits, urgent pointer, an option; IPv6: flow label; UDP: its length. */
	static const struct {
		bool v4, tcp;
		uint8_t at;
	} changes[] = {{true, true, 32}, {true, true, 39}, {true, true, 45}, {false, true, 3},
		{false, false, 45}, {true, false, 25}};

	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		struct flow f = flow_make(changes[i].v4, changes[i].tcp);
		uint8_t p[1500];
		size_t len;

		begin(state);
		put_flow(&f, 0, SIZE);
		f.seq += SIZE;
		len = flow_packet(p, &f, data + SIZE, SIZE);
		p[changes[i].at] ^= 1;
		write_checksums(p, len, flow_l4(&f), f.tcp ? IPPROTO_TCP : IPPROTO_UDP);
		put(p, len);
		coalesce_finish(&c);
		assert_int_equal(c.count, 2);
		assert_single(1, p, len);
	}
}

/* A packet that was damaged before it entered the tunnel stays damaged, first or later. */
static void wrong_checksums_pass_alone(void **state)
{
	for (unsigned i = 0; i < 16; i++) {
		struct flow f = flow_make(i & 1, i & 2);
		uint8_t p[3][1500];
		size_t len = 0;

		begin(state);
		for (unsigned n = 0; n < 3; n++) {
			len = flow_packet(p[n], &f, data + n * SIZE, SIZE);
			f.seq += SIZE;
			if (n == (i & 4 ? 1 : 0))
				p[n][i & 8 ? 500 : flow_l4(&f) + (f.tcp ? 16 : 6)] ^= 0x40;
			put(p[n], len);
		}
		coalesce_finish(&c);
		assert_int_equal(c.count, i & 4 ? 3 : 2);
		assert_single(0, p[0], len);
		if (!(i & 4)) { /* damaged first: the two others join */
			f.seq -= 2 * SIZE;
			assert_frame(1, &f, SIZE, 2 * SIZE, SIZE);
		} else {
			assert_single(1, p[1], len);
			assert_single(2, p[2], len);
		}
	}
}

static void udp_without_checksum(void **state)
{
	struct flow f = flow_make(true, false);
	uint8_t p[1500];
	size_t len = flow_packet(p, &f, data, SIZE);

	(void)state;
	store_be16(p + 26, 0);
	put(p, len);
	put(p, len);
	coalesce_finish(&c);
	assert_int_equal(c.count, 2);
	assert_single(1, p, len);
}

static void udp_without_df(void **state)
{
	struct flow f = flow_make(true, false);

	(void)state;
	f.fragment = 0;
	put_flow(&f, 0, SIZE);
	put_flow(&f, SIZE, SIZE);
	f.fragment = 0x4000; /* equal in all packets of a frame */
	put_flow(&f, 0, SIZE);
	coalesce_finish(&c);
	assert_int_equal(c.count, 2);
	f.fragment = 0;
	assert_frame(0, &f, 0, 2 * SIZE, SIZE);
}

static void shorter_and_push_close(void **state)
{
	for (unsigned i = 0; i < 8; i++) {
		struct flow f = flow_make(i & 1, i & 2);
		size_t n = i & 4 ? SIZE : 10;

		if (!f.tcp && n == SIZE)
			continue;
		begin(state);
		put_flow(&f, 0, SIZE);
		f.seq += SIZE;
		f.flags = i & 4 ? 0x18 : 0x10;
		put_flow(&f, SIZE, n);
		f.seq += (uint32_t)n;
		f.flags = 0x10;
		put_flow(&f, 0, SIZE);
		coalesce_finish(&c);
		assert_int_equal(c.count, 2);
		f.seq -= SIZE + (uint32_t)n;
		f.flags = i & 4 ? 0x18 : 0x10;
		assert_frame(0, &f, 0, SIZE + n, SIZE);
	}
}

static void limits_of_a_frame(void **state)
{
	for (unsigned i = 0; i < 8; i++) {
		struct flow f = flow_make(i & 1, i & 2);
		size_t n = i & 4 ? 100 : 1400, packets;

		begin(state);
		for (unsigned k = 0; k < 100; k++) {
			put_flow(&f, 0, n);
			f.seq += (uint32_t)n;
		}
		coalesce_finish(&c);
		packets = i & 4 ? 64 : (65535 - flow_headers(&f)) / n;
		assert_int_equal(c.count, (100 + packets - 1) / packets);
		assert_int_equal(c.frame[0].len, flow_headers(&f) + packets * n);
		assert_true(c.frame[0].len <= 65535);
	}
}

static void offloads_that_are_off(void **state)
{
	for (unsigned i = 0; i < 4; i++) {
		struct flow f = flow_make(i & 1, true), g = flow_make(i & 1, false);

		begin(state);
		coalesce_begin(&c, buffer, i & 2, !(i & 2));
		put_flow(&f, 0, SIZE);
		f.seq += SIZE;
		put_flow(&f, 0, SIZE);
		put_flow(&g, 0, SIZE);
		put_flow(&g, 0, SIZE);
		coalesce_finish(&c);
		assert_int_equal(c.count, 3);
	}
}

static void room_ends(void **state)
{
	struct flow f = flow_make(true, true);
	uint8_t p[66000];
	unsigned n;

	/* Number of frames: acknowledgements only. */
	for (n = 0; coalesce_place(&c, 52); n++) {
		coalesce_cancel(&c);
		put_flow(&f, 0, 0);
	}
	assert_int_equal(n, GRO_FRAMES_MAX);
	coalesce_finish(&c);
	assert_int_equal(c.count, GRO_FRAMES_MAX);

	/* Bytes: what was promised must be there, for the largest packet and the smallest. */
	begin(state);
	f = flow_make(true, false);
	for (n = 0; coalesce_place(&c, 65535); n++) {
		coalesce_cancel(&c);
		put(p, flow_packet(p, &f, data, 65507));
	}
	assert_int_equal(n, 4);
	assert_null(coalesce_place(&c, GRO_BUFFER));
	assert_null(coalesce_place(&c, SIZE_MAX));
	for (size_t i = GRO_BUFFER; i < sizeof buffer; i++)
		assert_int_equal(buffer[i], 0xa5);
	begin(state);
	assert_null(coalesce_place(&c, GRO_BUFFER + 1));
	assert_non_null(coalesce_place(&c, GRO_BUFFER));
}

/* The next packet would lie over the headers of the first one's frame. */
static void less_payload_than_headers(void **state)
{
	for (unsigned i = 0; i < 4; i++) {
		struct flow f = flow_make(i & 1, i & 2);

		for (size_t n = flow_headers(&f) - 1; n <= flow_headers(&f); n++) {
			begin(state);
			put_flow(&f, 0, n);
			f.seq += (uint32_t)n;
			put_flow(&f, n, n);
			f.seq -= (uint32_t)n;
			coalesce_finish(&c);
			if (n < flow_headers(&f))
				assert_int_equal(c.count, 2);
			else
				assert_frame(0, &f, 0, 2 * n, (uint16_t)n);
		}
	}
}

/* Flows mixed at random, with cancelled packets in between: every byte comes out, in order. */
static void nothing_lost_in_a_mix(void **state)
{
	static uint8_t in[65536 * 4], work[66000];
	uint64_t seed = 12;

	for (unsigned round = 0; round < 200; round++) {
		struct flow f[4] = {flow_make(true, true), flow_make(false, true), flow_make(true,
				false),
			flow_make(false, false)};
		size_t in_len = 0, compared = 0;
		unsigned which = 0;

		begin(state);
		for (unsigned i = 0; i < 100; i++) {
			size_t n = prng(&seed) % 8 ? 1200 : prng(&seed) % 1200, len;

			if (prng(&seed) % 4 == 0)
				which = prng(&seed) % 4;
			f[which].flags = prng(&seed) % 8 ? 0x10 : 0x18;
			len = flow_packet(in + in_len, &f[which], data + i, n);
			f[which].seq += (uint32_t)n;
			f[which].id++;
			if (prng(&seed) % 4 == 0) {
				memset(coalesce_place(&c, 1500), (int)i, 1500);
				coalesce_cancel(&c);
			}
			put(in + in_len, len);
			in_len += len;
		}
		coalesce_finish(&c);
		assert_true(c.count < 100);
		for (unsigned i = 0; i < c.count; i++) {
			struct segmenter s;
			uint8_t *p;
			size_t len;

			memcpy(work, c.frame[i].data, c.frame[i].len);
			assert_int_equal(segment_begin(&s, &c.frame[i].vh, work, c.frame[i].len, 0),
					0);
			while ((p = segment_next(&s, &len))) {
				assert_memory_equal(p, in + compared, len);
				compared += len;
			}
		}
		assert_int_equal(compared, in_len);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(inverse_of_segmentation, begin),
		cmocka_unit_test_setup(payload_goes_where_it_stays, begin),
		cmocka_unit_test_setup(cancelled_packets_leave_no_trace, begin),
		cmocka_unit_test_setup(only_one_flow_in_a_frame, begin),
		cmocka_unit_test_setup(header_bytes_must_be_equal, begin),
		cmocka_unit_test_setup(wrong_checksums_pass_alone, begin),
		cmocka_unit_test_setup(udp_without_checksum, begin),
		cmocka_unit_test_setup(udp_without_df, begin),
		cmocka_unit_test_setup(shorter_and_push_close, begin),
		cmocka_unit_test_setup(limits_of_a_frame, begin),
		cmocka_unit_test_setup(offloads_that_are_off, begin),
		cmocka_unit_test_setup(room_ends, begin),
		cmocka_unit_test_setup(less_payload_than_headers, begin),
		cmocka_unit_test_setup(nothing_lost_in_a_mix, begin),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}
