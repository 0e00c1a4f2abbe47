/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * What segmentation and coalescing cost for each packet, checksums included:
 * one TCP frame of 45 packets, over and over.  Memory is warm, as it is between
 * a read of the tunnel device and encryption.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/csum.h"
#include "path/gro.h"
#include "path/gso.h"
#include "path/inner.h"

#define PACKETS 45
#define PAYLOAD 1368
#define HEADERS 52 /* IPv4, and TCP with timestamps */
#define TURNS   20000

static uint8_t frame[HEADERS + PACKETS * PAYLOAD];
static uint8_t packet[PACKETS][HEADERS + PAYLOAD];
static _Alignas(64) uint8_t buffer[GRO_BUFFER];

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void make_frame(struct virtio_net_hdr *vh)
{
	uint16_t check;

	for (size_t i = HEADERS; i < sizeof frame; i++)
		frame[i] = (uint8_t)(i * 7);
	memcpy(frame, "\x45\0\0\0\0\1\x40\0\x40\6\0\0\x0a\0\0\1\x0a\0\0\2", 20);
	store_be16(frame + 2, sizeof frame);
	check = csum_finish(csum_add(0, frame, 20));
	memcpy(frame + 10, &check, 2);
	frame[32] = 0x80;
	frame[33] = 0x10;
	check = csum_fold(csum_pseudo(frame + 12, frame + 16, 4, 6, sizeof frame - 20));
	memcpy(frame + 36, &check, 2);
	*vh = (struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		.gso_size = PAYLOAD,
		.csum_start = 20,
		.csum_offset = 16,
	};
}

/* The first packet's headers are written over by nothing, so the frame can be cut again. */
static void segment(const struct virtio_net_hdr *vh, const uint8_t headers[HEADERS], bool keep)
{
	struct segmenter s;
	unsigned count = 0;
	size_t len;
	uint8_t *p;

	memcpy(frame, headers, HEADERS);
	if (segment_begin(&s, vh, frame, sizeof frame, 0))
		abort();
	while ((p = segment_next(&s, &len))) {
		if (keep)
			memcpy(packet[count], p, len);
		count++;
	}
	if (count != PACKETS)
		abort();
}

/* Decryption would write the packets to their places; here they are copied there. */
static void coalesce(bool commit)
{
	struct coalescer c;
	struct inner in;
	uint8_t *place;
	volatile size_t len = sizeof packet[0]; /* else gcc copies with "rep movs", slow here */

	coalesce_begin(&c, buffer, true, true);
	for (unsigned i = 0; i < PACKETS; i++) {
		place = commit ? coalesce_place(&c, sizeof packet[i]) : buffer + i * PAYLOAD;
		memcpy(place, packet[i], len);
		if (!commit)
			continue;
		if (!inner_read(&in, place, sizeof packet[i]))
			abort();
		coalesce_commit(&c, in.len);
	}
	coalesce_finish(&c);
	if (commit && c.count != 1)
		abort();
}

static void report(const char *what, double ns, double per_packet_less)
{
	printf("%-12s %6.1f ns per packet of %d bytes\n", what,
			ns / TURNS / PACKETS - per_packet_less,
			HEADERS + PAYLOAD);
}

int main(void)
{
	struct virtio_net_hdr vh;
	uint8_t headers[HEADERS];
	double start, copies;
	uint64_t sum = 0;

	make_frame(&vh);
	memcpy(headers, frame, HEADERS);
	segment(&vh, headers, true);

	start = now();
	for (unsigned i = 0; i < TURNS * PACKETS; i++)
		sum = csum_add(sum, packet[i % PACKETS], sizeof packet[0]);
	report("checksum", now() - start, 0);

	start = now();
	for (unsigned i = 0; i < TURNS; i++)
		segment(&vh, headers, false);
	report("segmenting", now() - start, 0);

	start = now();
	for (unsigned i = 0; i < TURNS; i++)
		coalesce(false);
	copies = now() - start;
	report("(copying)", copies, 0);

	start = now();
	for (unsigned i = 0; i < TURNS; i++)
		coalesce(true);
	report("coalescing", now() - start, copies / TURNS / PACKETS);
	return csum_fold(sum) == 1; /* keeps the first loop */
}
