/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Input: a virtio_net_hdr, one byte of which bit 0 says TAP and bits 1 to 3 ask
 * for repairs that a fuzzer does not find (IPv4 header checksum, total length,
 * pseudo-header sum), then a frame.  What is accepted must come out as packets,
 * and these, coalesced and segmented again, as the same packets.
 */
#include <stdlib.h>

#include "packets.h"
#include "path/gro.h"
#include "path/gso.h"
#include "path/inner.h"

#define FRAME_MAX 65575
#define CHECK(condition) do { if (!(condition)) abort(); } while (0)

enum repair { TAP = 1, REPAIR_LENGTH = 2, REPAIR_HEADER = 4, REPAIR_PSEUDO = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static _Alignas(64) uint8_t buffer[GRO_BUFFER];
static uint8_t packets[4 * FRAME_MAX];

static void repair(uint8_t *ip, size_t len, struct virtio_net_hdr *vh, uint8_t what, size_t l3)
{
	struct inner in;
	bool v4 = len && ip[0] >> 4 == 4;

	if (len < 40)
		return;
	if (what & REPAIR_LENGTH)
		store_be16(ip + (v4 ? 2 : 4), (uint16_t)(v4 ? len : len - 40));
	if ((what & REPAIR_HEADER) && v4 && (ip[0] & 15) <= 10) {
		store_be16(ip + 10, 0);
		store_be16(ip + 10, (uint16_t)~naive_sum(0, ip, (ip[0] & 15) * 4u));
	}
	if (!(what & REPAIR_PSEUDO) || !inner_read(&in, ip, len) || !in.l4)
		return;
	vh->csum_start = (uint16_t)(l3 + in.l4);
	vh->csum_offset = in.proto == IPPROTO_TCP ? 16 : 6;
	if (in.l4 + vh->csum_offset + 2u <= in.len)
		store_be16(ip + in.l4 + vh->csum_offset, naive_pseudo(ip, in.proto,
				in.len - in.l4));
}

/* Segments, and keeps copies of the packets (as many as fit) one after the other. */
static size_t segment(struct segmenter *s, const struct virtio_net_hdr *vh, bool pseudo_right)
{
	size_t kept = 0, len;
	uint8_t *p;
	struct inner in;

	while ((p = segment_next(s, &len))) {
		CHECK(p >= s->frame && p + len <= s->frame + s->len);
		if (s->size) {
			CHECK(inner_read(&in, p + s->l3, len - s->l3));
			CHECK(in.len == len - s->l3 && in.l4 == s->l4 - s->l3);
			CHECK(len <= s->header_len + vh->gso_size);
			if (pseudo_right)
				CHECK(checksums_right(p + s->l3, in.len, in.l4, in.proto));
		}
		if (s->l3 == 0 && kept + len <= sizeof packets && inner_read(&in, p, len)) {
			memcpy(packets + kept, p, in.len);
			kept += in.len;
		}
		memset(p, 0xee, len);
	}
	return kept;
}

static size_t next_packet(const uint8_t *p, size_t n)
{
	struct inner in;

	CHECK(inner_read(&in, p, n));
	return in.len;
}

/* The frames give the packets again, from *compared on (not the IPv4 id of merged ones). */
static void compare(const struct coalescer *c, size_t *compared, size_t kept)
{
	static uint8_t work[FRAME_MAX];
	struct segmenter s;
	size_t len;
	uint8_t *p;

	for (unsigned i = 0; i < c->count; i++) {
		memcpy(work, c->frame[i].data, c->frame[i].len);
		CHECK(segment_begin(&s, &c->frame[i].vh, work, c->frame[i].len, 0) == 0);
		while ((p = segment_next(&s, &len))) {
			CHECK(*compared + len <= kept);
			if (s.size && s.v4) {
				memcpy(p + 4, packets + *compared + 4, 2);
				memcpy(p + 10, packets + *compared + 10, 2);
			}
			if (s.size && load_be16(packets + *compared + s.l4 + (s.tcp ? 16 : 6)) == 0)
				memset(p + s.l4 + (s.tcp ? 16 : 6), 0, 2); /* the same as 0xffff */
			CHECK(memcmp(p, packets + *compared, len) == 0);
			*compared += len;
		}
	}
}

static void coalesce(size_t kept)
{
	struct coalescer c;
	size_t at = 0, compared = 0, len;
	uint8_t *place;

	coalesce_begin(&c, buffer, true, true);
	while (at < kept) {
		len = next_packet(packets + at, kept - at);
		place = coalesce_place(&c, len + at % 32);
		if (!place) {
			CHECK(c.count > 0);
			coalesce_finish(&c);
			compare(&c, &compared, kept);
			coalesce_begin(&c, buffer, true, true);
			continue;
		}
		CHECK(place >= buffer && place + len <= buffer + sizeof buffer);
		memcpy(place, packets + at, len);
		if (at % 7 == 3) {
			coalesce_cancel(&c);
			place = coalesce_place(&c, len);
			CHECK(place);
			memcpy(place, packets + at, len);
		}
		coalesce_commit(&c, len);
		at += len;
	}
	coalesce_finish(&c);
	compare(&c, &compared, kept);
	CHECK(compared == kept);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct virtio_net_hdr vh;
	struct segmenter s;
	size_t len, l3;
	uint8_t *frame, what;

	if (size < sizeof vh + 1 || size > FRAME_MAX)
		return 0;
	memcpy(&vh, data, sizeof vh);
	what = data[sizeof vh];
	len = size - sizeof vh - 1;
	l3 = what & TAP ? 14 : 0;
	frame = malloc(len ? len : 1); /* of exactly this size,
			so that no byte outside goes unseen */
	CHECK(frame);
	memcpy(frame, data + size - len, len);
	if (len > l3)
		repair(frame + l3, len - l3, &vh, what, l3);
	if (segment_begin(&s, &vh, frame, len, l3) == 0)
		coalesce(segment(&s, &vh, (what & REPAIR_PSEUDO) ||
				!(vh.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)));
	free(frame);
	return 0;
}
