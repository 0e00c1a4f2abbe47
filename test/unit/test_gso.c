/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "packets.h"
#include "path/gso.h"

#define L2      14
#define NO_LINK ((const uint8_t *)"")

static uint8_t data[65536];
static uint8_t frame[66000];

static int setup(void **state)
{
	uint64_t seed = 8;

	(void)state;
	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)prng(&seed);
	return 0;
}

static int begin(const struct virtio_net_hdr *vh, size_t len, size_t l3)
{
	struct segmenter s;

	return segment_begin(&s, vh, frame, len, l3);
}

/*
 * Segments a frame of the flow behind l2 bytes of link header (of which the
 * last two are the type), and compares each packet with the one that a host
 * would have sent.
 */
static void check_flow(const struct flow *f, size_t n, uint16_t size, const uint8_t *link,
		size_t l2,
		size_t l3)
{
	uint8_t expected[66000], *p;
	struct virtio_net_hdr vh;
	struct flow packet = *f;
	struct segmenter s;
	size_t at = 0, len;

	memcpy(frame, link, l2);
	len = l2 + flow_frame(frame + l2, &vh, f, data, n, size);
	vh.csum_start += (uint16_t)l2;
	vh.hdr_len = 7; /* never to be trusted */
	assert_int_equal(segment_begin(&s, &vh, frame, len, l3), 0);
	do {
		size_t payload = MIN(size, n - at);

		packet.flags = f->flags;
		if (at + payload < n)
			packet.flags &= (uint8_t)~0x09; /* FIN, PSH */
		if (at)
			packet.flags &= 0x7f; /* CWR */
		p = segment_next(&s, &len);
		assert_non_null(p);
		assert_memory_equal(p, link, l2);
		assert_int_equal(len - l2, flow_packet(expected, &packet, data + at, payload));
		assert_memory_equal(p + l2, expected, len - l2);
		assert_true(checksums_right(p + l2, len - l2, flow_l4(f), f->tcp
				? IPPROTO_TCP : IPPROTO_UDP));
		memset(p, 0xee, len); /* as if encrypted in place */
		packet.seq += (uint32_t)payload;
		packet.id++;
		at += payload;
	} while (at < n);
	assert_null(segment_next(&s, &len));
	assert_null(segment_next(&s, &len));
}

static void packets_as_a_host_sends_them(void **state)
{
	static const uint16_t sizes[] = {1, 3, 100, 536, 1368, 1448, 9000, 65535};
	uint64_t seed = 9;

	(void)state;
	for (unsigned i = 0; i < 800; i++) {
		struct flow f = flow_make(i & 1, i & 2);
		uint16_t size = sizes[prng(&seed) % ARRAY_SIZE(sizes)];
		size_t n = 1 + prng(&seed) % MIN(65000, 50 * size);

		f.flags = i & 4 ? 0xd9 : 0x10; /* CWR ECE ACK PSH FIN */
		f.id = (uint16_t)(65530 + i);
		f.options = f.tcp ? prng(&seed) % 11 * 4 : 0;
		f.ip_options = f.v4 && i & 8 ? prng(&seed) % 11 * 4 : 0;
		f.extension = !f.v4 && i & 8 ? 8 + prng(&seed) % 4 * 8 : 0;
		f.tos = (uint8_t)prng(&seed);
		check_flow(&f, n, size, NO_LINK, 0, 0);
	}
}

static void ethernet_frames(void **state)
{
	static const uint8_t plain[] = "aaaaaabbbbbb\x08\x00", tagged[] =
			"aaaaaabbbbbb\x81\0\0\5\x08\0",
			     twice[] = "aaaaaabbbbbb\x88\xa8\0\4\x81\0\0\5\x86\xdd";
	struct flow f = flow_make(true, true);

	(void)state;
	check_flow(&f, 20000, 1400, plain, 14, L2);
	check_flow(&f, 20000, 1400, tagged, 18, L2);
	f = flow_make(false, false);
	check_flow(&f, 20000, 1400, twice, 22, L2);
}

static void empty_payload(void **state)
{
	struct flow f = flow_make(true, true);

	(void)state;
	check_flow(&f, 0, 1400, NO_LINK, 0, 0);
}

/* A UDP checksum of 0 is sent as 0xffff. */
static void udp_checksum_zero(void **state)
{
	struct flow f = flow_make(true, false);
	uint8_t payload[2000] = {0};
	struct virtio_net_hdr vh;
	struct segmenter s;
	size_t len, n;
	uint8_t *p;

	(void)state;
	/* With its own checksum as data, the packet sums up to 0xffff. */
	len = flow_packet(frame, &f, payload, 1000);
	store_be16(payload, load_be16(frame + 26));
	flow_frame(frame, &vh, &f, payload, 2000, 1000);
	assert_int_equal(segment_begin(&s, &vh, frame, 2028, 0), 0);
	p = segment_next(&s, &n);
	assert_int_equal(n, len);
	assert_int_equal(load_be16(p + 26), 0xffff);
}

/* Without NEEDS_CSUM (received by a card that has verified it),
		pseudo header from the addresses. */
static void verified_frame(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct flow f = flow_make(i & 1, i & 2);
		struct virtio_net_hdr vh;
		struct segmenter s;
		size_t len = flow_frame(frame, &vh, &f, data, 5000, 1000);
		unsigned count = 0;
		uint8_t *p;

		store_be16(frame + flow_l4(&f) + vh.csum_offset, 0x1234);
		vh.flags = 0x02; /* DATA_VALID */
		vh.csum_start = vh.csum_offset = 0;
		assert_int_equal(segment_begin(&s, &vh, frame, len, 0), 0);
		while ((p = segment_next(&s, &len))) {
			assert_true(checksums_right(p, len, flow_l4(&f), f.tcp ? 6 : 17));
			count++;
		}
		assert_int_equal(count, 5);
	}
}

static void single_packets(void **state)
{
	struct virtio_net_hdr vh;
	struct segmenter s;
	uint8_t expected[2000];
	size_t len, n;

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct flow f = flow_make(i & 1, i & 2);

		len = flow_packet(expected, &f, data, 777);
		flow_frame(frame, &vh, &f, data, 777, 0);
		vh.gso_type = VIRTIO_NET_HDR_GSO_NONE;
		assert_int_equal(segment_begin(&s, &vh, frame, len, 0), 0);
		assert_ptr_equal(segment_next(&s, &n), frame);
		assert_int_equal(n, len);
		assert_memory_equal(frame, expected, len);
		assert_null(segment_next(&s, &n));
	}
	/* No checksum asked for, and not IP: as it is. */
	memcpy(frame, data, 60);
	memset(&vh, 0, sizeof vh);
	assert_int_equal(segment_begin(&s, &vh, frame, 60, L2), 0);
	assert_ptr_equal(segment_next(&s, &n), frame);
	assert_int_equal(n, 60);
	assert_memory_equal(frame, data, 60);
	assert_null(segment_next(&s, &n));

	/* A checksum field out of the frame. */
	vh.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	vh.csum_start = 58;
	assert_int_equal(begin(&vh, 60, 0), 0);
	vh.csum_offset = 1;
	assert_int_equal(begin(&vh, 60, 0), -EINVAL);
	vh.csum_start = vh.csum_offset = 0xffff;
	assert_int_equal(begin(&vh, 60, 0), -EINVAL);
	vh.flags = 0;
	assert_int_equal(begin(&vh, 0, 0), -EINVAL);
	assert_int_equal(begin(&vh, 14, L2), -EINVAL);
}

static size_t good_frame(struct virtio_net_hdr *vh)
{
	struct flow f = flow_make(true, true);

	return flow_frame(frame, vh, &f, data, 5000, 1000);
}

static void malformed_is_refused(void **state)
{
	static const struct {
		size_t at;
		uint8_t value;
	} bytes[] = {{0, 0x44}, {0, 0x65}, {0, 0x4f}, {9, 17}, {6, 0x20}, {7, 1}, {32, 0x40}, {32,
			0}};
	struct virtio_net_hdr vh;
	size_t len = good_frame(&vh);

	(void)state;
	assert_int_equal(begin(&vh, len, 0), 0);
	for (size_t n = 0; n < len; n += n < 100 ? 1 : 97)
		assert_int_equal(begin(&vh, n, 0), -EINVAL);
	for (size_t i = 0; i < ARRAY_SIZE(bytes); i++) {
		good_frame(&vh);
		frame[bytes[i].at] = bytes[i].value;
		store_be16(frame + 10, 0);
		store_be16(frame + 10, (uint16_t)~naive_sum(0, frame, (frame[0] & 15) * 4u));
		assert_int_equal(begin(&vh, len, 0), -EINVAL);
	}
	good_frame(&vh);
	for (unsigned type = 0; type < 256; type++) { /* alone or with the ECN bit */
		vh.gso_type = (uint8_t)type;
		assert_int_equal(begin(&vh, len, 0),
				(type & 0x7f) == VIRTIO_NET_HDR_GSO_TCPV4 || (type & 0x7f) == 0
						? 0 : -EINVAL);
		good_frame(&vh);
	}
	vh.gso_size = 0;
	assert_int_equal(begin(&vh, len, 0), -EINVAL);
	good_frame(&vh);
	vh.csum_start = 24;
	assert_int_equal(begin(&vh, len, 0), -EINVAL);
	good_frame(&vh);
	vh.csum_offset = 6;
	assert_int_equal(begin(&vh, len, 0), -EINVAL);
}

/* More headers than a segmenter keeps. */
static void too_many_headers(void **state)
{
	struct flow f = flow_make(false, true);
	struct virtio_net_hdr vh;
	size_t len;

	(void)state;
	f.extension = 96;
	len = flow_frame(frame, &vh, &f, data, 5000, 1000);
	assert_int_equal(begin(&vh, len, 0), 0); /* 40 + 96 + 32 */
	f.extension = 128;
	len = flow_frame(frame, &vh, &f, data, 5000, 1000);
	assert_int_equal(begin(&vh, len, 0), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_as_a_host_sends_them),
		cmocka_unit_test(ethernet_frames),
		cmocka_unit_test(empty_payload),
		cmocka_unit_test(udp_checksum_zero),
		cmocka_unit_test(verified_frame),
		cmocka_unit_test(single_packets),
		cmocka_unit_test(malformed_is_refused),
		cmocka_unit_test(too_many_headers),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}
