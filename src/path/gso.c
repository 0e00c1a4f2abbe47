/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The checksum field of a frame with VIRTIO_NET_HDR_F_NEEDS_CSUM holds the sum
 * of the pseudo header.  It is kept, less the frame's length, and each packet's
 * checksum starts from it: that is right with a routing header too, where the
 * destination in the pseudo header is not the one in the IP header (RFC 8200
 * section 8.1).
 *
 * The kernel is trusted no further than to be the kernel: whatever is not a
 * well-formed frame is refused before a byte of it is changed.
 */
#include "path/gso.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "base/csum.h"
#include "path/inner.h"

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5 /* Linux 6.2 */
#endif

#define VLAN_TAG       4
#define ETHERTYPE_VLAN 0x8100 /* IEEE 802.1Q */
#define ETHERTYPE_QINQ 0x88a8
#define ETHERTYPE_AT   12

#define TCP_HEADER 20
#define TCP_SEQ    4
#define TCP_FLAGS  13
#define TCP_CHECK  16
#define TCP_CWR    0x80 /* RFC 3168 */
#define UDP_HEADER 8
#define UDP_LEN    4
#define UDP_CHECK  6

static size_t check_offset(bool tcp)
{
	return tcp ? TCP_CHECK : UDP_CHECK;
}

/* A checksum of 0 means "none" in UDP; 0xffff is the same number (RFC 768), also for TCP. */
static void store_check(uint8_t *field, uint64_t sum)
{
	uint16_t check = csum_finish(sum);

	if (!check)
		check = 0xffff;
	memcpy(field, &check, 2);
}

static int complete_checksum(const struct virtio_net_hdr *vh, uint8_t *frame, size_t len)
{
	size_t start = vh->csum_start, field = start + vh->csum_offset;

	if (field + 2 > len)
		return -EINVAL;
	store_check(frame + field, csum_add(0, frame + start, len - start));
	return 0;
}

/* Where IP begins: behind the VLAN tags that an Ethernet frame may have. */
static size_t skip_vlan(const uint8_t *frame, size_t len, size_t l3)
{
	uint16_t type;

	while (l3 >= ETHERTYPE_AT + 2 && l3 + VLAN_TAG <= len) {
		type = load_be16(frame + l3 - 2);
		if (type != ETHERTYPE_VLAN && type != ETHERTYPE_QINQ)
			break;
		l3 += VLAN_TAG;
	}
	return l3;
}

/* The size of all headers, or 0 if the frame is not of the kind that vh says. */
static size_t measure_headers(const struct segmenter *s, const struct virtio_net_hdr *vh,
		const struct inner *in)
{
	size_t size = s->tcp ? TCP_HEADER : UDP_HEADER;

	if (in->proto != (s->tcp ? IPPROTO_TCP : IPPROTO_UDP) || in->fragment)
		return 0;
	if (!in->l4 || in->len - in->l4 < size)
		return 0;
	if ((vh->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) &&
			(vh->csum_start != s->l4 || vh->csum_offset != check_offset(s->tcp)))
		return 0;
	if (s->tcp) {
		size = (s->frame[s->l4 + 12] >> 4) * 4u;
		if (size < TCP_HEADER || size > in->len - in->l4)
			return 0;
	}
	size += s->l4;
	return size <= GSO_HEADERS_MAX ? size : 0;
}

/* The sum of the pseudo header without its length. */
static uint64_t pseudo_without_length(const struct segmenter *s, const struct virtio_net_hdr *vh)
{
	const uint8_t *ip = s->frame + s->l3;
	uint8_t proto = s->tcp ? IPPROTO_TCP : IPPROTO_UDP;
	uint16_t partial, len;

	if (!(vh->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		return s->v4 ? csum_pseudo(ip + 12, ip + 16, 4, proto, 0)
			     : csum_pseudo(ip + 8, ip + 24, 16, proto, 0);
	memcpy(&partial, s->frame + s->l4 + check_offset(s->tcp), 2);
	store_be16(&len, (uint16_t)(s->len - s->l4));
	return (uint64_t)partial + (uint16_t)~len;
}

static int begin_gso(struct segmenter *s, const struct virtio_net_hdr *vh, uint8_t type)
{
	struct inner in;
	uint8_t *ip;

	s->l3 = skip_vlan(s->frame, s->len, s->l3);
	ip = s->frame + s->l3;
	if (!vh->gso_size || !inner_read(&in, ip, s->len - s->l3))
		return -EINVAL;
	s->v4 = in.v4;
	s->tcp = type != VIRTIO_NET_HDR_GSO_UDP_L4;
	if (s->tcp && s->v4 != (type == VIRTIO_NET_HDR_GSO_TCPV4))
		return -EINVAL;
	s->l4 = s->l3 + in.l4;
	s->len = s->l3 + in.len;
	s->header_len = measure_headers(s, vh, &in);
	if (!s->header_len)
		return -EINVAL;

	s->at = s->header_len;
	s->size = vh->gso_size;
	s->pseudo = pseudo_without_length(s, vh);
	if (s->v4)
		s->ip_id = load_be16(ip + 4);
	if (s->tcp)
		s->seq = load_be32(s->frame + s->l4 + TCP_SEQ);
	memcpy(s->headers, s->frame, s->header_len);
	memset(s->headers + s->l4 + check_offset(s->tcp), 0, 2);
	return 0;
}

int segment_begin(struct segmenter *s, const struct virtio_net_hdr *vh, uint8_t *frame, size_t len,
		size_t l3)
{
	uint8_t type = vh->gso_type & ~VIRTIO_NET_HDR_GSO_ECN;

	if (len <= l3)
		return -EINVAL;
	s->frame = frame;
	s->len = len;
	s->l3 = l3;
	s->size = 0;
	s->done = false;
	switch (type) {
	case VIRTIO_NET_HDR_GSO_NONE:
		if (vh->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
			return complete_checksum(vh, frame, len);
		return 0;
	case VIRTIO_NET_HDR_GSO_TCPV4:
	case VIRTIO_NET_HDR_GSO_TCPV6:
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		return begin_gso(s, vh, type);
	default:
		return -EINVAL;
	}
}

static void finish_ip(struct segmenter *s, uint8_t *ip, size_t len)
{
	size_t header = (ip[0] & 15) * 4u;
	uint16_t check;

	if (!s->v4) {
		store_be16(ip + 4, (uint16_t)(len - 40));
		return;
	}
	store_be16(ip + 2, (uint16_t)len);
	store_be16(ip + 4, s->ip_id++);
	memset(ip + 10, 0, 2);
	check = csum_finish(csum_add(0, ip, header));
	memcpy(ip + 10, &check, 2);
}

/* FIN and PSH belong to the last packet, CWR to the first (RFC 3168 section 6.1.2). */
static void finish_tcp(struct segmenter *s, uint8_t *tcp, size_t payload, bool first)
{
	store_be32(tcp + TCP_SEQ, s->seq);
	s->seq += (uint32_t)payload;
	if (!s->done)
		tcp[TCP_FLAGS] &= (uint8_t)~(TH_FIN | TH_PUSH);
	if (!first)
		tcp[TCP_FLAGS] &= (uint8_t)~TCP_CWR;
}

uint8_t *segment_next(struct segmenter *s, size_t *len)
{
	size_t payload, upper;
	uint8_t *p, *l4;
	uint16_t wire_len;
	bool first;

	if (s->done)
		return NULL;
	if (!s->size) {
		s->done = true;
		*len = s->len;
		return s->frame;
	}
	payload = MIN(s->size, s->len - s->at);
	first = s->at == s->header_len;
	p = s->frame + s->at - s->header_len;
	l4 = p + s->l4;
	upper = s->header_len - s->l4 + payload;
	s->at += payload;
	s->done = s->at == s->len;

	memcpy(p, s->headers, s->header_len);
	finish_ip(s, p + s->l3, s->l4 - s->l3 + upper);
	store_be16(&wire_len, (uint16_t)upper);
	if (s->tcp)
		finish_tcp(s, l4, payload, first);
	else
		memcpy(l4 + UDP_LEN, &wire_len, 2);
	store_check(l4 + check_offset(s->tcp), csum_add(s->pseudo + wire_len, l4, upper));
	*len = s->header_len + payload;
	return p;
}
