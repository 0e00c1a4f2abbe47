/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * For tests: IP packets as a sending host would write them, and an Internet
 * checksum that shares nothing with the one under test.
 */
#ifndef TEST_PACKETS_H
#define TEST_PACKETS_H

#include <linux/virtio_net.h>
#include <netinet/in.h>

#include "base/util.h"

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5 /* Linux 6.2 */
#endif

/* xorshift64: the same numbers in every run. */
static inline uint32_t prng(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (uint32_t)(*state >> 32);
}

/* RFC 1071, word by word, in host order, not complemented. */
static inline uint16_t naive_sum(uint32_t start, const uint8_t *p, size_t n)
{
	uint32_t sum = start;

	for (size_t i = 0; i < n; i++) {
		sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return (uint16_t)sum;
}

/* Sum of the pseudo header of the packet at ip (no routing header in it). */
static inline uint16_t naive_pseudo(const uint8_t *ip, uint8_t proto, size_t upper)
{
	bool v4 = ip[0] >> 4 == 4;
	uint16_t sum = naive_sum(proto, v4 ? ip + 12 : ip + 8, v4 ? 8 : 32);
	uint8_t len[4];

	store_be32(len, (uint32_t)upper);
	return naive_sum(sum, len, 4);
}

/* IPv4 header and upper checksum (at ip + l4) both right; UDP's is there. */
static inline bool checksums_right(const uint8_t *ip, size_t len, size_t l4, uint8_t proto)
{
	size_t upper = len - l4;

	if (ip[0] >> 4 == 4 && naive_sum(0, ip, (ip[0] & 15) * 4u) != 0xffff)
		return false;
	if (proto == IPPROTO_UDP && load_be16(ip + l4 + 6) == 0)
		return false;
	return naive_sum(naive_pseudo(ip, proto, upper), ip + l4, upper) == 0xffff;
}

/* Sets the checksums of a packet without extension headers or routing header. */
static inline void write_checksums(uint8_t *ip, size_t len, size_t l4, uint8_t proto)
{
	uint8_t *field = ip + l4 + (proto == IPPROTO_TCP ? 16 : 6);
	uint16_t sum;

	if (ip[0] >> 4 == 4) {
		store_be16(ip + 10, 0);
		store_be16(ip + 10, (uint16_t)~naive_sum(0, ip, (ip[0] & 15) * 4u));
	}
	store_be16(field, 0);
	sum = (uint16_t)~naive_sum(naive_pseudo(ip, proto, len - l4), ip + l4, len - l4);
	store_be16(field, sum ? sum : 0xffff);
}

#define FLOW_OPTIONS_MAX 40

struct flow {
	bool v4, tcp;
	uint8_t tos, ttl, flags;     /* flags of TCP */
	uint16_t fragment;           /* IPv4 flags and offset */
	uint16_t id, source_port, window;
	uint32_t seq, ack;
	size_t ip_options, options;  /* bytes: of IPv4, of TCP */
	size_t extension;            /* bytes of an IPv6 destination options header */
	uint8_t host;                /* last byte of the source address */
};

static inline struct flow flow_make(bool v4, bool tcp)
{
	return (struct flow){
		.v4 = v4, .tcp = tcp, .ttl = 64, .flags = 0x10, .fragment = 0x4000, .id = 1000,
		.source_port = 5001, .window = 500, .seq = 0xfffff000, .ack = 77,
		.options = tcp ? 12 : 0, .host = 1,
	};
}

static inline size_t flow_l4(const struct flow *f)
{
	return f->v4 ? 20 + f->ip_options : 40 + f->extension;
}

static inline size_t flow_headers(const struct flow *f)
{
	return flow_l4(f) + (f->tcp ? 20 + f->options : 8);
}

static inline void flow_write_ip(uint8_t *out, const struct flow *f, size_t len)
{
	uint8_t proto = f->tcp ? IPPROTO_TCP : IPPROTO_UDP;

	if (f->v4) {
		out[0] = (uint8_t)(0x45 + f->ip_options / 4);
		out[1] = f->tos;
		store_be16(out + 2, (uint16_t)len);
		store_be16(out + 4, f->id);
		store_be16(out + 6, f->fragment);
		out[8] = f->ttl;
		out[9] = proto;
		memcpy(out + 12, "\x0a\0\0", 3);
		out[15] = f->host;
		memcpy(out + 16, "\x0a\0\0\x09", 4);
		memset(out + 20, 1, f->ip_options);
		return;
	}
	store_be32(out, 6u << 28 | (uint32_t)f->tos << 20 | 0x12345);
	store_be16(out + 4, (uint16_t)(len - 40));
	out[6] = f->extension ? IPPROTO_DSTOPTS : proto;
	out[7] = f->ttl;
	memcpy(out + 8, "\x20\x01\x0d\xb8", 4);
	out[23] = f->host;
	memcpy(out + 24, "\x20\x01\x0d\xb8", 4);
	out[39] = 9;
	if (f->extension) {
		out[40] = proto;
		out[41] = (uint8_t)(f->extension / 8 - 1);
		out[42] = 1; /* PadN */
		out[43] = (uint8_t)(f->extension - 4);
	}
}

/* A packet of the flow with this payload and right checksums; its length. */
static inline size_t flow_packet(uint8_t *out, const struct flow *f, const uint8_t *payload,
		size_t n)
{
	size_t l4 = flow_l4(f), headers = flow_headers(f), len = headers + n;
	uint8_t *upper = out + l4;

	memset(out, 0, headers);
	flow_write_ip(out, f, len);
	store_be16(upper, f->source_port);
	store_be16(upper + 2, 80);
	if (f->tcp) {
		store_be32(upper + 4, f->seq);
		store_be32(upper + 8, f->ack);
		upper[12] = (uint8_t)((20 + f->options) / 4 << 4);
		upper[13] = f->flags;
		store_be16(upper + 14, f->window);
		memset(upper + 20, 1, f->options);
	} else {
		store_be16(upper + 4, (uint16_t)(len - l4));
	}
	memcpy(out + headers, payload, n);
	write_checksums(out, len, l4, f->tcp ? IPPROTO_TCP : IPPROTO_UDP);
	return len;
}

/* A frame of the flow as the kernel gives it, for packets of size bytes of payload. */
static inline size_t flow_frame(uint8_t *out, struct virtio_net_hdr *vh, const struct flow *f,
		const uint8_t *payload, size_t n, uint16_t size)
{
	size_t len = flow_packet(out, f, payload, n), l4 = flow_l4(f);
	uint8_t proto = f->tcp ? IPPROTO_TCP : IPPROTO_UDP;

	*vh = (struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = !f->tcp ? VIRTIO_NET_HDR_GSO_UDP_L4 :
			    f->v4   ? VIRTIO_NET_HDR_GSO_TCPV4 :
				      VIRTIO_NET_HDR_GSO_TCPV6,
		.hdr_len = (uint16_t)flow_headers(f),
		.gso_size = size,
		.csum_start = (uint16_t)l4,
		.csum_offset = f->tcp ? 16 : 6,
	};
	store_be16(out + l4 + vh->csum_offset, naive_pseudo(out, proto, len - l4));
	return len;
}

#endif
