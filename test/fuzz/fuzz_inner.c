/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Input: outer TOS, MTU u16, one byte of which bit 0 asks for a right IPv4
 * header checksum, then an inner packet.  Whatever a router does to it, it
 * stays a packet that can be read.
 */
#include <stdlib.h>

#include "packets.h"
#include "path/inner.h"

#define CHECK(condition) do { if (!(condition)) abort(); } while (0)

struct cut {
	unsigned count, mtu;
	size_t payload;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take(void *arg, uint8_t *p, size_t len)
{
	struct cut *cut = arg;
	struct inner in;

	CHECK(len <= cut->mtu);
	CHECK(inner_read(&in, p, len));
	CHECK(in.len == len);
	cut->count++;
	cut->payload += len - (p[0] & 15) * 4u;
}

static void check_fragments(const uint8_t *p, const struct inner *in, unsigned mtu)
{
	struct cut cut = {.mtu = MAX(mtu, 68u)};
	uint8_t *scratch = malloc(cut.mtu);

	CHECK(scratch);
	CHECK(ipv4_fragment(p, in, cut.mtu, scratch, take, &cut) == cut.count);
	CHECK(cut.payload == in->len - (p[0] & 15) * 4u);
	free(scratch);
}

static void check_errors(const uint8_t *p, const struct inner *in, unsigned mtu)
{
	static const uint8_t from[2][16] = {{0xfd, [15] = 1}, {[10] = 0xff, 0xff, 10, 0, 0, 1}};
	uint8_t out[ICMP_ERROR_MAX], again[ICMP_ERROR_MAX];
	struct inner error;

	for (unsigned what = ICMP_ERROR_TOO_BIG; what <= ICMP_ERROR_DENIED; what++) {
		size_t len = icmp_error(out, p, in, what, mtu, from[in->v4]);

		if (!len)
			continue;
		CHECK(len <= (in->v4 ? 576 : 1280));
		CHECK(inner_read(&error, out, len) && error.len == len);
		CHECK(memcmp(error.dst, in->src, 16) == 0);
		CHECK(icmp_error(again, out, &error, what, mtu, from[in->v4]) == 0);
	}
}

/* An upper checksum that was right before is right after. */
static void check_mss(uint8_t *p, const struct inner *in, unsigned mtu)
{
	bool right = in->proto == IPPROTO_TCP && in->l4 && checksums_right(p, in->len, in->l4,
			in->proto);

	mss_clamp(p, in, mtu);
	CHECK(!right || checksums_right(p, in->len, in->l4, in->proto));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct inner in, after;
	size_t len;
	uint8_t *p;
	unsigned mtu;

	if (size < 5)
		return 0;
	len = size - 4;
	mtu = load_be16(data + 1);
	p = malloc(len);
	CHECK(p);
	memcpy(p, data + 4, len);
	if ((data[3] & 1) && p[0] >> 4 == 4 && (p[0] & 15) * 4u <= len && (p[0] & 15) >= 3) {
		store_be16(p + 10, 0);
		store_be16(p + 10, (uint16_t)~naive_sum(0, p, (p[0] & 15) * 4u));
	}
	if (inner_read(&in, p, len)) {
		CHECK(in.len <= len && in.l4 < in.len);
		check_errors(p, &in, mtu);
		if (in.v4)
			check_fragments(p, &in, mtu);
		check_mss(p, &in, mtu);
		if (in.ttl > 1)
			inner_decrement_ttl(p, &in);
		if (!ecn_decapsulate(p, &in, data[0]))
			CHECK((in.tos & 3) == 0 && (data[0] & 3) == 3);
		CHECK(inner_read(&after, p, len));
		CHECK(after.len == in.len && after.l4 == in.l4 && after.tos == in.tos);
		CHECK(after.ttl == (in.ttl > 1 ? in.ttl - 1 : in.ttl));
	}
	free(p);
	return 0;
}
