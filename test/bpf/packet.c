/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "packet.h"

#include <string.h>

#include "base/addr.h"
#include "base/csum.h"
#include "base/util.h"

static size_t put_ip4(const struct spec *s, uint8_t *p, size_t len)
{
	size_t header = 20u + s->ip_options_len;

	p[0] = (uint8_t)(0x40 | header / 4);
	p[1] = s->class;
	store_be16(p + 2, (uint16_t)(header + len));
	store_be16(p + 4, s->id);
	store_be16(p + 6, s->frag);
	p[8] = s->ttl;
	p[9] = s->protocol;
	memcpy(p + 12, s->src + 12, 4);
	memcpy(p + 16, s->dst + 12, 4);
	memcpy(p + 20, s->ip_options, s->ip_options_len);
	memset(p + 10, 0, 2);
	uint16_t check = csum_finish(csum_add(0, p, header));
	memcpy(p + 10, &check, 2);
	return header;
}

static size_t put_ip6(const struct spec *s, uint8_t *p, size_t len)
{
	size_t header = s->extension ? 48 : 40;

	store_be32(p, 6u << 28 | (uint32_t)s->class << 20 | s->label);
	store_be16(p + 4, (uint16_t)(header - 40 + len));
	p[6] = s->extension ? 44 : s->protocol;
	p[7] = s->ttl;
	memcpy(p + 8, s->src, 16);
	memcpy(p + 24, s->dst, 16);
	if (s->extension) {
		p[40] = s->protocol;
		p[41] = 0;
		store_be16(p + 42, s->frag);
		store_be32(p + 44, s->id);
	}
	return header;
}

static size_t put_l4(const struct spec *s, uint8_t *p, size_t payload)
{
	store_be16(p, s->sport);
	store_be16(p + 2, s->dport);
	if (s->protocol == 17) {
		store_be16(p + 4, (uint16_t)(8 + payload));
		return 8;
	}
	store_be32(p + 4, s->seq);
	store_be32(p + 8, s->ack);
	p[12] = (uint8_t)((20 + s->options_len) / 4 << 4);
	p[13] = s->flags;
	store_be16(p + 14, s->window);
	store_be16(p + 18, s->urgent);
	memcpy(p + 20, s->options, s->options_len);
	return 20u + s->options_len;
}

static void put_checksum(const struct spec *s, uint8_t *l4, size_t len)
{
	uint8_t *field = l4 + (s->protocol == 17 ? 6 : 16);
	size_t skip = s->v4 ? 12 : 0;
	uint64_t sum;
	uint16_t check;

	memset(field, 0, 2);
	if (s->no_checksum)
		return;
	sum = csum_pseudo(s->src + skip, s->dst + skip, s->v4 ? 4 : 16, s->protocol, (uint32_t)len);
	check = csum_finish(csum_add(sum, l4, len));
	check = (uint16_t)(check + s->bad_checksum);
	if (s->protocol == 17 && check == 0)
		check = 0xffff;
	memcpy(field, &check, 2);
}

size_t spec_build(const struct spec *s, uint8_t frame[FRAME_MAX])
{
	size_t l4 = s->later ? 0 : s->protocol == 17 ? 8 : 20u + s->options_len;
	uint8_t *p = frame + ETHER;
	size_t at;

	store_be16(frame + 12, s->v4 ? 0x0800 : 0x86dd);
	at = s->v4 ? put_ip4(s, p, l4 + s->payload) : put_ip6(s, p, l4 + s->payload);
	if (!s->later)
		put_l4(s, p + at, s->payload);
	for (size_t i = 0; i < s->payload; i++)
		p[at + l4 + i] = s->data ? s->data[i] : (uint8_t)(s->fill + i * 7);
	if (!s->later)
		put_checksum(s, p + at, l4 + s->payload);
	return ETHER + at + l4 + s->payload;
}

size_t spec_build_error(const struct spec *s, uint8_t type, uint8_t code, uint32_t word,
		const uint8_t *quoted, size_t len, uint8_t frame[FRAME_MAX])
{
	struct spec error = {.v4 = s->v4, .protocol = s->v4 ? 1 : 58, .ttl = 64, .later = true};
	uint8_t icmp[FRAME_MAX] = {type, code};
	uint64_t sum = 0;
	uint16_t check;

	store_be32(icmp + 4, word);
	memcpy(icmp + 8, quoted, len);
	memcpy(error.src, s->src, 16);
	memcpy(error.dst, s->dst, 16);
	if (!s->v4)
		sum = csum_pseudo(error.src, error.dst, 16, 58, (uint32_t)(8 + len));
	check = csum_finish(csum_add(sum, icmp, 8 + len));
	memcpy(icmp + 2, &check, 2);
	error.payload = 8 + len;
	error.data = icmp;
	return spec_build(&error, frame);
}

static bool parse_l4(struct spec *s, const uint8_t *p, size_t len)
{
	size_t header = s->protocol == 17 ? 8 : 20;

	if ((s->protocol != 6 && s->protocol != 17) || len < header)
		return false;
	s->sport = load_be16(p);
	s->dport = load_be16(p + 2);
	if (s->protocol == 6) {
		s->seq = load_be32(p + 4);
		s->ack = load_be32(p + 8);
		header = p[12] / 16 * 4u;
		s->flags = p[13];
		s->window = load_be16(p + 14);
		s->urgent = load_be16(p + 18);
		if (header < 20 || header > len)
			return false;
		s->options_len = (uint8_t)(header - 20);
		memcpy(s->options, p + 20, s->options_len);
	}
	s->data = p + header;
	s->payload = len - header;
	return true;
}

bool spec_parse(struct spec *s, const uint8_t *ip, size_t len)
{
	*s = (struct spec){.v4 = len > 0 && ip[0] == 0x45};
	if (len < 40 - 12 || (!s->v4 && (len < 40 || ip[0] >> 4 != 6)))
		return false;
	if (!s->v4) {
		s->class = (uint8_t)(load_be16(ip) >> 4);
		s->protocol = ip[6];
		s->ttl = ip[7];
		memcpy(s->src, ip + 8, 16);
		memcpy(s->dst, ip + 24, 16);
		return parse_l4(s, ip + 40, len - 40);
	}
	s->class = ip[1];
	s->id = load_be16(ip + 4);
	s->frag = load_be16(ip + 6);
	s->ttl = ip[8];
	s->protocol = ip[9];
	addr_from_v4(s->src, ip + 12);
	addr_from_v4(s->dst, ip + 16);
	return !(s->frag & 0x3fff) && parse_l4(s, ip + 20, len - 20);
}
