/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "mode/relay_input_packet.h"

#include <netinet/in.h>

#include "base/csum.h"
#include "base/cursor.h"

#define EXTENSIONS_MAX 8 /* IPv6 extension headers that are stepped over */
#define V4_FRAGMENT    0x3fff /* MF and offset */
#define V4_DF          0x4000

/* quoted: routers change headers before they quote them; the sum may be that of before. */
static bool read_v4(struct relay_packet *p, struct reader *r, bool quoted)
{
	const uint8_t *ip = r->at;
	size_t header;
	uint16_t fragment;

	if (!read_bytes(r, RELAY_IPV4_HEADER))
		return false;
	header = (ip[0] & 15) * 4u;
	fragment = load_be16(ip + 6);
	if (header < RELAY_IPV4_HEADER || !read_bytes(r, header - RELAY_IPV4_HEADER) ||
			fragment & V4_FRAGMENT ||
			(!quoted && csum_fold(csum_add(0, ip, header)) != 0xffff))
		return false;
	p->v4 = true;
	p->df = fragment & V4_DF;
	p->tos = ip[1];
	p->whole = load_be16(ip + 2);
	p->id = load_be16(ip + 4);
	p->ttl = ip[8];
	p->protocol = ip[9];
	addr_from_v4(p->src.ip, ip + 12);
	addr_from_v4(p->dst.ip, ip + 16);
	return p->whole >= header;
}

/* Steps over what may stand before the transport; false where nothing can be relayed. */
static bool skip_extensions(struct relay_packet *p, struct reader *r)
{
	for (unsigned i = 0; i < EXTENSIONS_MAX; i++) {
		const uint8_t *h = r->at;

		switch (p->protocol) {
		case IPPROTO_HOPOPTS:
		case IPPROTO_DSTOPTS:
		case IPPROTO_ROUTING:
			if (!read_bytes(r, 8) || !read_bytes(r, h[1] * 8u))
				return false;
			if (p->protocol == IPPROTO_ROUTING && h[3])
				return false; /* not at its end yet */
			break;
		case IPPROTO_FRAGMENT:
			if (!read_bytes(r, 8) || load_be16(h + 2) & 0xfff9)
				return false; /* but one that is whole may have the header (RFC 6946) */
			break;
		default:
			return true;
		}
		p->protocol = h[0];
	}
	return false;
}

static bool read_v6(struct relay_packet *p, struct reader *r)
{
	const uint8_t *ip = r->at;

	if (!read_bytes(r, RELAY_IPV6_HEADER))
		return false;
	p->v4 = false;
	p->df = true;
	p->tos = (uint8_t)(load_be16(ip) >> 4);
	p->whole = RELAY_IPV6_HEADER + load_be16(ip + 4);
	p->protocol = ip[6];
	p->ttl = ip[7];
	memcpy(p->src.ip, ip + 8, 16);
	memcpy(p->dst.ip, ip + 24, 16);
	return skip_extensions(p, r);
}

/* The IP header; upper and upper_len are set, padding is cut off. */
static bool read_ip(struct relay_packet *p, const uint8_t *data, size_t len, bool quoted)
{
	struct reader r = reader_over(data, len);

	if (!len)
		return false;
	switch (data[0] >> 4) {
	case 4:
		if (!read_v4(p, &r, quoted))
			return false;
		break;
	case 6:
		if (!read_v6(p, &r))
			return false;
		break;
	default:
		return false;
	}
	p->ip = data;
	p->len = MIN(len, p->whole);
	p->upper = r.at;
	if (p->upper > data + p->len)
		return false;
	p->upper_len = (size_t)(data + p->len - p->upper);
	return true;
}

static bool read_udp(struct relay_packet *p)
{
	struct reader r = reader_over(p->upper, p->upper_len);
	size_t upper_whole = p->whole - (size_t)(p->upper - p->ip), len;
	uint16_t check;

	p->src.port = read_u16(&r);
	p->dst.port = read_u16(&r);
	len = read_u16(&r);
	check = read_u16(&r);
	if (r.bad || len < RELAY_UDP_HEADER || len != upper_whole || (!check && !p->v4))
		return false;
	p->no_checksum = !check;
	p->payload = r.at;
	p->payload_len = upper_whole - RELAY_UDP_HEADER;
	return true;
}

/* RFC 9293 section 3.1, RFC 7323, RFC 2018: what a SYN offers; unknown options are stepped over. */
static bool read_options(struct relay_packet *p, struct reader *r)
{
	struct relay_offer *o = &p->offer;

	while (reader_left(r) && !r->bad) {
		uint8_t kind = read_u8(r), size;
		struct reader body;
		const uint8_t *at;

		if (kind == 0)
			break;
		if (kind == 1)
			continue;
		size = read_u8(r);
		if (size < 2 || !(at = read_bytes(r, size - 2u)))
			return false;
		body = reader_over(at, size - 2u);
		if (kind == 2 && size == 4)
			o->mss = read_u16(&body);
		else if (kind == 3 && size == 3)
			o->wscale = at[0] < 14 ? at[0] : 14; /* RFC 7323 section 2.3 */
		else if (kind == 4 && size == 2)
			o->sack = true;
		else if (kind == 8 && size == 10) {
			o->timestamps = true;
			o->tsval = read_u32(&body);
		}
	}
	return !r->bad;
}

static bool read_tcp(struct relay_packet *p)
{
	struct reader r = reader_over(p->upper, p->upper_len), options;
	size_t upper_whole = p->whole - (size_t)(p->upper - p->ip), header;
	const uint8_t *at;

	p->src.port = read_u16(&r);
	p->dst.port = read_u16(&r);
	p->seq = read_u32(&r);
	p->ack = read_u32(&r);
	header = (read_u8(&r) >> 4) * 4u;
	p->flags = read_u8(&r) & (TCP_FIN | TCP_SYN | TCP_RST | TCP_PSH | TCP_ACK);
	p->window = read_u16(&r);
	read_u32(&r);
	if (r.bad || header < RELAY_TCP_HEADER || header > upper_whole)
		return false;
	at = read_bytes(&r, header - RELAY_TCP_HEADER);
	if (!at)
		return false;
	options = reader_over(at, header - RELAY_TCP_HEADER);
	p->offer = (struct relay_offer){.wscale = RELAY_NO_WSCALE};
	p->payload = r.at;
	p->payload_len = upper_whole - header;
	return read_options(p, &options);
}

static uint64_t pseudo_sum(const struct relay_packet *p)
{
	size_t skip = p->v4 ? 12 : 0;

	return csum_pseudo(p->src.ip + skip, p->dst.ip + skip, 16 - skip, p->protocol,
			(uint32_t)p->upper_len);
}

static bool checksum_right(const struct relay_packet *p, size_t field)
{
	bool plain = p->protocol == IPPROTO_ICMP;
	uint64_t pseudo = plain ? 0 : pseudo_sum(p);
	uint16_t written;

	if (p->len < p->whole || p->no_checksum)
		return true;
	if (csum_fold(csum_add(pseudo, p->upper, p->upper_len)) == 0xffff)
		return true;
	memcpy(&written, p->upper + field, sizeof written);
	return !plain && written == csum_fold(pseudo);
}

bool relay_packet_read(struct relay_packet *p, const uint8_t *data, size_t len, size_t whole)
{
	struct relay_packet new = {0};
	bool tcp;

	if (!read_ip(&new, data, len, false) || (new.len < new.whole && new.whole > whole))
		return false;
	tcp = new.protocol == IPPROTO_TCP;
	if (!tcp && new.protocol != IPPROTO_UDP)
		return false;
	if (!(tcp ? read_tcp(&new) : read_udp(&new)) || !checksum_right(&new, tcp ? 16 : 6))
		return false;
	*p = new;
	return true;
}

bool relay_packet_read_quote(struct relay_packet *p, const uint8_t *data, size_t len)
{
	struct relay_packet new = {0};
	struct reader r;

	if (!read_ip(&new, data, len, true) ||
			(new.protocol != IPPROTO_TCP && new.protocol != IPPROTO_UDP))
		return false;
	r = reader_over(new.upper, new.upper_len);
	new.src.port = read_u16(&r);
	new.dst.port = read_u16(&r);
	new.seq = read_u32(&r); /* of UDP length and checksum: 8 bytes are quoted at least */
	if (r.bad)
		return false;
	*p = new;
	return true;
}

bool relay_packet_read_icmp(struct relay_packet *p, const uint8_t *data, size_t len, size_t whole)
{
	struct relay_packet new = {0};

	if (!read_ip(&new, data, len, false) || (new.len < new.whole && new.whole > whole) ||
			new.protocol != (new.v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6) ||
			new.upper_len < RELAY_ICMP_HEADER || !checksum_right(&new, 2))
		return false;
	new.payload = new.upper + RELAY_ICMP_HEADER;
	new.payload_len = new.upper_len - RELAY_ICMP_HEADER;
	*p = new;
	return true;
}

/* ---- writing ---- */

size_t relay_ip_write(uint8_t *out, const struct relay_ip *h, size_t upper_len)
{
	uint16_t check;

	if (h->v4) {
		memset(out, 0, RELAY_IPV4_HEADER);
		out[0] = 0x45;
		out[1] = h->tos;
		store_be16(out + 2, (uint16_t)(RELAY_IPV4_HEADER + upper_len));
		store_be16(out + 4, h->id);
		store_be16(out + 6, h->df ? V4_DF : 0);
		out[8] = h->ttl;
		out[9] = h->protocol;
		memcpy(out + 12, h->src + 12, 4);
		memcpy(out + 16, h->dst + 12, 4);
		check = csum_finish(csum_add(0, out, RELAY_IPV4_HEADER));
		memcpy(out + 10, &check, sizeof check);
		return RELAY_IPV4_HEADER;
	}
	store_be32(out, 6u << 28 | (uint32_t)h->tos << 20);
	store_be16(out + 4, (uint16_t)upper_len);
	out[6] = h->protocol;
	out[7] = h->ttl;
	memcpy(out + 8, h->src, 16);
	memcpy(out + 24, h->dst, 16);
	return RELAY_IPV6_HEADER;
}

void relay_upper_checksum(uint8_t *upper, size_t len, const struct relay_ip *h)
{
	size_t field = h->protocol == IPPROTO_TCP ? 16 : h->protocol == IPPROTO_UDP ? 6 : 2;
	size_t skip = h->v4 ? 12 : 0;
	uint64_t sum = 0;
	uint16_t check;

	if (h->protocol != IPPROTO_ICMP)
		sum = csum_pseudo(h->src + skip, h->dst + skip, 16 - skip, h->protocol, (uint32_t)len);
	memset(upper + field, 0, 2);
	check = csum_finish(csum_add(sum, upper, len));
	if (!check && h->protocol == IPPROTO_UDP)
		check = 0xffff; /* RFC 768: zero would mean that there is none */
	memcpy(upper + field, &check, sizeof check);
}

static size_t write_options(uint8_t *out, const struct relay_segment *s)
{
	struct writer w = writer_over(out, RELAY_SEGMENT_MAX - RELAY_IPV6_HEADER - RELAY_TCP_HEADER);

	if (s->offer.mss) {
		write_u16(&w, 0x0204);
		write_u16(&w, s->offer.mss);
	}
	if (s->offer.sack)
		write_u16(&w, 0x0402);
	if (s->offer.timestamps) {
		write_u16(&w, 0x080a);
		write_u32(&w, s->offer.tsval);
		write_u32(&w, s->tsecr);
	}
	if (s->offer.wscale != RELAY_NO_WSCALE) {
		write_u16(&w, 0x0303);
		write_u8(&w, s->offer.wscale);
	}
	while ((w.at - out) % 4)
		write_u8(&w, 1);
	return (size_t)(w.at - out);
}

size_t relay_tcp_write(uint8_t out[RELAY_SEGMENT_MAX], const struct relay_ip *h,
		const struct relay_segment *s)
{
	size_t ip = h->v4 ? RELAY_IPV4_HEADER : RELAY_IPV6_HEADER, len;
	uint8_t *tcp = out + ip;

	len = RELAY_TCP_HEADER + write_options(tcp + RELAY_TCP_HEADER, s);
	relay_ip_write(out, h, len);
	store_be16(tcp, s->from_port);
	store_be16(tcp + 2, s->to_port);
	store_be32(tcp + 4, s->seq);
	store_be32(tcp + 8, s->ack);
	tcp[12] = (uint8_t)(len / 4 << 4);
	tcp[13] = s->flags;
	store_be16(tcp + 14, s->window);
	store_be32(tcp + 16, 0);
	relay_upper_checksum(tcp, len, h);
	return ip + len;
}

/* The next option from *at on, of this kind and at least this size; NULL: none. */
static uint8_t *find_option(uint8_t *tcp, size_t len, uint8_t kind, size_t least, size_t *size)
{
	size_t end = MIN((tcp[12] >> 4) * 4u, len), at = RELAY_TCP_HEADER;

	while (at < end && tcp[at] != 0) {
		if (tcp[at] == 1) {
			at++;
			continue;
		}
		if (at + 2 > end || tcp[at + 1] < 2 || at + tcp[at + 1] > end)
			return NULL;
		if (tcp[at] == kind && tcp[at + 1] >= least) {
			*size = tcp[at + 1];
			return tcp + at;
		}
		at += tcp[at + 1];
	}
	return NULL;
}

void relay_tcp_shift(uint8_t *tcp, size_t len, const struct relay_shift *shift)
{
	uint32_t window = load_be16(tcp + 14);
	size_t size;
	uint8_t *sack;

	store_be32(tcp + 4, load_be32(tcp + 4) + shift->seq);
	if (tcp[13] & TCP_ACK)
		store_be32(tcp + 8, load_be32(tcp + 8) + shift->ack);
	if (!(tcp[13] & TCP_SYN)) {
		window = shift->window < 0 ? window >> -shift->window : window << shift->window;
		store_be16(tcp + 14, (uint16_t)MIN(window, UINT16_MAX));
	}
	sack = find_option(tcp, len, 5, 10, &size);
	for (size_t i = 2; sack && i + 8 <= size; i += 8) {
		store_be32(sack + i, load_be32(sack + i) + shift->ack);
		store_be32(sack + i + 4, load_be32(sack + i + 4) + shift->ack);
	}
}

void relay_tcp_clamp(uint8_t *tcp, size_t len, uint16_t mss)
{
	size_t size;
	uint8_t *option = find_option(tcp, len, 2, 4, &size);

	if (option && size == 4 && load_be16(option + 2) > mss)
		store_be16(option + 2, mss);
}
