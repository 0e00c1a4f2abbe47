/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The buffer holds the frames one after the other, each begun on a cache line
 * (GRO_ALIGN, if the buffer is).  Only the last frame can be open.  While one
 * is, the next packet is placed so that its payload continues the frame if its
 * headers are as long as the frame's:
 *
 *	| headers | payload | payload | payload |
 *	                          | headers | payload |
 *	                          ^ place, with the overlapped bytes in saved
 *
 * If it does continue the flow, the saved bytes go back over its headers and
 * nothing else is to be done; if not, the packet moves behind the frame.  The
 * frame's own headers must not be overlapped, for they are compared with the
 * packet's; so packets with less payload than headers never open a frame.
 *
 * A packet joins a frame only if segmenting that frame again gives the same
 * packets (up to the IPv4 id, which has no meaning in them: RFC 6864), so its
 * checksum must be right: one that was damaged before it entered the tunnel
 * goes through alone, for its receiver to see.
 */
#include "path/gro.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include "base/csum.h"

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5 /* Linux 6.2 */
#endif

#define GRO_ALIGN       64
#define GRO_PACKETS_MAX 64    /* UDP_MAX_SEGMENTS of the kernel */
#define GRO_FRAME_MAX   65535 /* IP total length */

#define IPV4_HEADER 20
#define IPV6_HEADER 40
#define IPV4_DF     0x4000
#define TCP_HEADER  20
#define TCP_FLAGS   13
#define TCP_CHECK   16
#define UDP_HEADER  8
#define UDP_CHECK   6

/* A packet that may be part of a larger frame. */
struct candidate {
	bool v4, tcp, push;
	uint16_t l4, header_len, payload;
	uint32_t seq;
};

void coalesce_begin(struct coalescer *c, uint8_t *buffer, bool tcp, bool udp)
{
	c->tcp = tcp;
	c->udp = udp;
	c->used = 0;
	c->count = 0;
	c->open = false;
	c->place = NULL;
	c->saved_len = 0;
	c->buffer = buffer;
}

static size_t next_start(const struct coalescer *c)
{
	return (c->used + GRO_ALIGN - 1) & ~(size_t)(GRO_ALIGN - 1);
}

uint8_t *coalesce_place(struct coalescer *c, size_t len)
{
	size_t start = next_start(c);

	/* There must be room even if the packet has to move behind the open frame. */
	if (c->count == GRO_FRAMES_MAX || start > GRO_BUFFER || len > GRO_BUFFER - start)
		return NULL;
	if (c->open) {
		c->place = c->buffer + c->used - c->header_len;
		c->saved_len = c->header_len;
		memcpy(c->saved, c->place, c->saved_len);
	} else {
		c->place = c->buffer + start;
		c->saved_len = 0;
	}
	return c->place;
}

void coalesce_cancel(struct coalescer *c)
{
	memcpy(c->place, c->saved, c->saved_len);
}

static bool checksum_right(const uint8_t *p, size_t len, const struct candidate *k)
{
	uint8_t proto = k->tcp ? IPPROTO_TCP : IPPROTO_UDP;
	uint32_t upper = (uint32_t)(len - k->l4);
	uint64_t sum = k->v4 ? csum_pseudo(p + 12, p + 16, 4, proto, upper)
			     : csum_pseudo(p + 8, p + 24, 16, proto, upper);

	return csum_fold(csum_add(sum, p + k->l4, upper)) == 0xffff;
}

/* Plain data: ACK, perhaps PSH, no other flag, and a payload. */
static bool read_tcp(struct candidate *k, const uint8_t *p, size_t len)
{
	const uint8_t *tcp = p + k->l4;
	size_t size;

	if (len - k->l4 <= TCP_HEADER)
		return false;
	size = (tcp[12] >> 4) * 4u;
	if (size < TCP_HEADER || size >= len - k->l4 || (tcp[12] & 15))
		return false;
	if ((tcp[TCP_FLAGS] & ~TH_PUSH) != TH_ACK)
		return false;
	k->push = tcp[TCP_FLAGS] & TH_PUSH;
	k->seq = load_be32(tcp + 4);
	k->header_len = (uint16_t)(k->l4 + size);
	return true;
}

static bool read_udp(struct candidate *k, const uint8_t *p, size_t len)
{
	const uint8_t *udp = p + k->l4;

	if (len - k->l4 <= UDP_HEADER || load_be16(udp + 4) != len - k->l4)
		return false;
	k->header_len = k->l4 + UDP_HEADER;
	return load_be16(udp + UDP_CHECK) != 0;
}

static bool is_candidate(const struct coalescer *c, const uint8_t *p, size_t len,
		struct candidate *k)
{
	uint16_t fragment = IPV4_DF;
	uint8_t proto;

	if (len > GRO_FRAME_MAX || len < IPV4_HEADER)
		return false;
	*k = (struct candidate){.v4 = p[0] >> 4 == 4};
	if (k->v4) {
		fragment = load_be16(p + 6);
		proto = p[9];
		k->l4 = IPV4_HEADER;
		if (p[0] != 0x45 || (fragment & ~IPV4_DF))
			return false;
	} else {
		if (len < IPV6_HEADER)
			return false;
		proto = p[6];
		k->l4 = IPV6_HEADER;
	}
	k->tcp = proto == IPPROTO_TCP;
	if (k->tcp) {
		if (!c->tcp || !fragment || !read_tcp(k, p, len))
			return false;
	} else if (proto != IPPROTO_UDP || !c->udp || !read_udp(k, p, len)) {
		return false;
	}
	k->payload = (uint16_t)(len - k->header_len);
	return checksum_right(p, len, k);
}

/* All header fields that segmenting would repeat are equal; f is the frame, p the packet. */
static bool same_flow(const uint8_t *f, const uint8_t *p, const struct candidate *k)
{
	size_t l4 = k->l4;

	if (k->v4) { /* not: total length, id, checksum */
		if (memcmp(f, p, 2) || memcmp(f + 6, p + 6, 4) || memcmp(f + 12, p + 12, 8))
			return false;
	} else if (memcmp(f, p, 4) || memcmp(f + 6, p + 6, 34)) { /* not: payload length */
		return false;
	}
	if (memcmp(f + l4, p + l4, 4))
		return false;
	/* TCP: acknowledgement and data offset; window; urgent pointer and options. */
	return !k->tcp || (!memcmp(f + l4 + 8, p + l4 + 8, 5) &&
			!memcmp(f + l4 + 14, p + l4 + 14, 2) &&
			!memcmp(f + l4 + 18, p + l4 + 18, k->header_len - l4 - 18));
}

static bool continues(const struct coalescer *c, const uint8_t *p, const struct candidate *k)
{
	const struct gro_frame *f = &c->frame[c->count - 1];

	if (k->header_len != c->header_len || k->payload > c->size)
		return false;
	if (f->len + k->payload > GRO_FRAME_MAX || (k->tcp && k->seq != c->next_seq))
		return false;
	return same_flow(f->data, p, k);
}

static void complete_frame(struct gro_frame *f, size_t l4, size_t header_len, uint16_t size)
{
	bool v4 = f->data[0] >> 4 == 4;
	uint8_t *ip = f->data, proto = v4 ? ip[9] : ip[6];
	uint32_t upper = (uint32_t)(f->len - l4);
	size_t check_at = proto == IPPROTO_TCP ? TCP_CHECK : UDP_CHECK;
	uint64_t pseudo;
	uint16_t check;

	if (v4) {
		store_be16(ip + 2, (uint16_t)f->len);
		memset(ip + 10, 0, 2);
		check = csum_finish(csum_add(0, ip, IPV4_HEADER));
		memcpy(ip + 10, &check, 2);
		pseudo = csum_pseudo(ip + 12, ip + 16, 4, proto, upper);
	} else {
		store_be16(ip + 4, (uint16_t)(f->len - IPV6_HEADER));
		pseudo = csum_pseudo(ip + 8, ip + 24, 16, proto, upper);
	}
	if (proto == IPPROTO_UDP)
		store_be16(ip + l4 + 4, (uint16_t)upper);
	check = csum_fold(pseudo);
	memcpy(ip + l4 + check_at, &check, 2);

	f->vh = (struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = proto == IPPROTO_UDP ? VIRTIO_NET_HDR_GSO_UDP_L4 :
			    v4			 ? VIRTIO_NET_HDR_GSO_TCPV4 :
						   VIRTIO_NET_HDR_GSO_TCPV6,
		.hdr_len = (uint16_t)header_len,
		.gso_size = size,
		.csum_start = (uint16_t)l4,
		.csum_offset = (uint16_t)check_at,
	};
}

static void close_frame(struct coalescer *c)
{
	if (c->open && c->packets > 1)
		complete_frame(&c->frame[c->count - 1], c->l4, c->header_len, c->size);
	c->open = false;
}

/* After a packet has been added: nothing may follow a PSH or a shorter one. */
static void added(struct coalescer *c, const struct candidate *k)
{
	c->packets++;
	c->next_seq = k->seq + k->payload;
	if (k->push || k->payload < c->size || c->packets == GRO_PACKETS_MAX)
		close_frame(c);
}

static void merge(struct coalescer *c, const struct candidate *k)
{
	struct gro_frame *f = &c->frame[c->count - 1];

	memcpy(c->place, c->saved, c->saved_len);
	if (k->push)
		f->data[k->l4 + TCP_FLAGS] |= TH_PUSH;
	f->len += k->payload;
	c->used += k->payload;
	added(c, k);
}

static void start_frame(struct coalescer *c, size_t len)
{
	uint8_t *start = c->buffer + next_start(c);

	if (start != c->place)
		memmove(start, c->place, len);
	memcpy(c->place, c->saved, c->saved_len);
	close_frame(c);
	c->frame[c->count++] = (struct gro_frame){.data = start, .len = len};
	c->used = (size_t)(start - c->buffer) + len;
}

void coalesce_commit(struct coalescer *c, size_t len)
{
	struct candidate k;
	bool candidate = is_candidate(c, c->place, len, &k);

	if (candidate && c->open && continues(c, c->place, &k)) {
		merge(c, &k);
		return;
	}
	start_frame(c, len);
	if (!candidate || k.payload < k.header_len)
		return;
	c->open = true;
	c->l4 = k.l4;
	c->header_len = k.header_len;
	c->size = k.payload;
	c->packets = 0;
	added(c, &k);
}

void coalesce_finish(struct coalescer *c)
{
	close_frame(c);
}
