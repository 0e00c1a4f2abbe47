/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Reading the headers of an inner packet, and the changes that leave its size
 * as it is: hop limit, ECN, MSS.  Fragments are cut in frag.c, ICMP errors
 * written in icmp.c.
 */
#include "path/inner.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include "base/csum.h"
#include "base/cursor.h"

#define IPV4_HEADER 20
#define IPV6_HEADER 40
#define IPV4_DF     0x4000
#define IPV4_MF     0x2000
#define IPV4_OFFSET 0x1fff
/* More than this is nothing but a burden to everyone on the way (RFC 8504 section 5.3). */
#define EXTENSIONS_MAX 8

#define TCP_MIN   20
#define TCP_CHECK 16

enum ecn { ECN_NOT_ECT = 0, ECN_ECT1 = 1, ECN_ECT0 = 2, ECN_CE = 3, ECN_MASK = 3 };

static bool read_ipv4(struct inner *in, const uint8_t *p, size_t n)
{
	size_t header, len, offset;
	uint16_t fragment;

	if (n < IPV4_HEADER)
		return false;
	header = (p[0] & 15) * 4u;
	len = load_be16(p + 2);
	fragment = load_be16(p + 6);
	offset = (fragment & IPV4_OFFSET) * 8u;
	if (header < IPV4_HEADER || len < header || len > n || offset + len - header > UINT16_MAX)
		return false;
	if (csum_fold(csum_add(0, p, header)) != 0xffff)
		return false;
	*in = (struct inner){
		.v4 = true,
		.tos = p[1],
		.ttl = p[8],
		.proto = p[9],
		.df = fragment & IPV4_DF,
		.fragment = fragment & (IPV4_MF | IPV4_OFFSET),
		.later = offset != 0,
		.len = (uint32_t)len,
		.l4 = offset || header == len ? 0 : (uint16_t)header,
	};
	addr_from_v4(in->src, p + 12);
	addr_from_v4(in->dst, p + 16);
	return true;
}

/*
 * Steps over one extension header (RFC 8200 section 4) and sets in->proto to
 * the next.  false: it is the upper header, nothing was read; or it is cut.
 */
static bool skip_extension(struct inner *in, struct reader *r, bool first)
{
	uint8_t next, size;
	uint16_t fragment;

	if (in->proto == IPPROTO_FRAGMENT) {
		next = read_u8(r);
		read_bytes(r, 1);
		fragment = read_u16(r);
		read_bytes(r, 4);
		/* A whole packet with a fragment header is not a fragment (RFC 6946). */
		in->fragment = in->fragment || (fragment & ~6) != 0;
		in->later = in->later || (fragment & ~7) != 0;
	} else if (in->proto == IPPROTO_ROUTING || in->proto == IPPROTO_DSTOPTS ||
			(in->proto == IPPROTO_HOPOPTS && first)) {
		next = read_u8(r);
		size = read_u8(r);
		read_bytes(r, 6 + 8u * size);
	} else {
		return false;
	}
	in->proto = next;
	return !r->bad;
}

static bool read_ipv6(struct inner *in, const uint8_t *p, size_t n)
{
	struct inner found;
	struct reader r;
	size_t len;
	unsigned steps = 0;

	if (n < IPV6_HEADER)
		return false;
	len = IPV6_HEADER + (size_t)load_be16(p + 4);
	if (len > n)
		return false;
	found = (struct inner){
		.tos = (uint8_t)(load_be16(p) >> 4),
		.ttl = p[7],
		.proto = p[6],
		.df = true,
		.len = (uint32_t)len,
	};
	memcpy(found.src, p + 8, 16);
	memcpy(found.dst, p + 24, 16);

	/* A jumbogram has length 0 and a hop-by-hop header, which is then cut (RFC 2675). */
	r = reader_over(p + IPV6_HEADER, len - IPV6_HEADER);
	while (!found.later && steps <= EXTENSIONS_MAX && skip_extension(&found, &r, steps == 0))
		steps++;
	if (r.bad || steps > EXTENSIONS_MAX)
		return false;
	if (!found.later && found.proto != IPPROTO_NONE && reader_left(&r))
		found.l4 = (uint16_t)(len - reader_left(&r));
	*in = found;
	return true;
}

bool inner_read(struct inner *in, const uint8_t *p, size_t n)
{
	if (n < 1)
		return false;
	switch (p[0] >> 4) {
	case 4:
		return read_ipv4(in, p, n);
	case 6:
		return read_ipv6(in, p, n);
	default:
		return false;
	}
}

/* Changes the byte at p[at] of an IPv4 header and its checksum with it. */
static void ipv4_set_byte(uint8_t *p, size_t at, uint8_t value)
{
	uint16_t check, old, new_word;
	uint8_t *word = p + (at & ~(size_t)1);

	memcpy(&old, word, 2);
	p[at] = value;
	memcpy(&new_word, word, 2);
	memcpy(&check, p + 10, 2);
	check = csum_replace(check, old, new_word);
	memcpy(p + 10, &check, 2);
}

void inner_decrement_ttl(uint8_t *p, const struct inner *in)
{
	if (in->v4)
		ipv4_set_byte(p, 8, p[8] - 1);
	else
		p[7]--;
}

/* RFC 6040 figure 4; -1: drop. */
static int ecn_combine(uint8_t inner, uint8_t outer)
{
	if (inner == ECN_NOT_ECT)
		return outer == ECN_CE ? -1 : ECN_NOT_ECT;
	if (outer == ECN_CE)
		return ECN_CE;
	if (inner == ECN_ECT0 && outer == ECN_ECT1)
		return ECN_ECT1;
	return inner;
}

bool ecn_decapsulate(uint8_t *p, struct inner *in, uint8_t outer_tos)
{
	int ecn = ecn_combine(in->tos & ECN_MASK, outer_tos & ECN_MASK);

	if (ecn < 0)
		return false;
	if (ecn == (in->tos & ECN_MASK))
		return true;
	in->tos = (uint8_t)((in->tos & ~ECN_MASK) | ecn);
	if (in->v4)
		ipv4_set_byte(p, 1, in->tos);
	else
		p[1] = (uint8_t)((p[1] & 0x0f) | in->tos << 4);
	return true;
}

/* The value of the MSS option among the n bytes of options, or NULL. */
static uint8_t *find_mss(uint8_t *options, size_t n)
{
	size_t i = 0;

	while (i < n && options[i] != TCPOPT_EOL) {
		if (options[i] == TCPOPT_NOP) {
			i++;
			continue;
		}
		if (n - i < 2 || options[i + 1] < 2 || options[i + 1] > n - i)
			return NULL;
		if (options[i] == TCPOPT_MAXSEG)
			return options[i + 1] == TCPOLEN_MAXSEG ? options + i + 2 : NULL;
		i += options[i + 1];
	}
	return NULL;
}

void mss_clamp(uint8_t *p, const struct inner *in, unsigned mtu)
{
	unsigned headers = (in->v4 ? IPV4_HEADER : IPV6_HEADER) + TCP_MIN;
	uint8_t *tcp = p + in->l4, *mss;
	uint16_t check, old, new_word;
	size_t size;

	if (in->proto != IPPROTO_TCP || !in->l4 || in->len - in->l4 < TCP_MIN)
		return;
	size = (tcp[12] >> 4) * 4u;
	if (!(tcp[13] & TH_SYN) || size < TCP_MIN || size > (size_t)in->len - in->l4)
		return;
	mss = find_mss(tcp + TCP_MIN, size - TCP_MIN);
	if (!mss || mtu <= headers || load_be16(mss) <= mtu - headers)
		return;

	memcpy(&old, mss, 2);
	store_be16(mss, (uint16_t)(mtu - headers));
	memcpy(&new_word, mss, 2);
	if ((mss - tcp) & 1) { /* lies across two words: counts with its bytes swapped */
		old = __builtin_bswap16(old);
		new_word = __builtin_bswap16(new_word);
	}
	memcpy(&check, tcp + TCP_CHECK, 2);
	check = csum_replace(check, old, new_word);
	memcpy(tcp + TCP_CHECK, &check, 2);
}
