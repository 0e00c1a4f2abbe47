/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * ICMP errors (RFC 792, RFC 1812 section 4.3) and ICMPv6 errors (RFC 4443)
 * about inner packets.  How many may be sent is the caller's to limit.
 */
#include "path/inner.h"

#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>

#include "base/csum.h"

#define ICMP_HEADER     8
#define IPV4_HEADER     20
#define IPV6_HEADER     40
#define IPV4_ERROR_MAX  576  /* RFC 1812 section 4.3.2.3 */
#define IPV6_ERROR_MAX  1280 /* RFC 4443 section 2.4 (c) */
#define ICMP_TTL        64
#define PRECEDENCE      0xc0 /* internetwork control, RFC 1812 section 4.3.2.5 */
#define IPV4_DF         0x4000
#define V4_MAPPED       12 /* offset of an IPv4 address in 16 bytes */

_Static_assert(IPV6_ERROR_MAX <= ICMP_ERROR_MAX, "errors fit the caller's buffer");

struct code {
	uint8_t type, code;
};

static const struct code codes_v4[] = {
	[ICMP_ERROR_TOO_BIG] = {ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED},
	[ICMP_ERROR_TIME_EXCEEDED] = {ICMP_TIME_EXCEEDED, ICMP_EXC_TTL},
	[ICMP_ERROR_NO_ROUTE] = {ICMP_DEST_UNREACH, ICMP_NET_UNREACH},
	[ICMP_ERROR_DENIED] = {ICMP_DEST_UNREACH, ICMP_PKT_FILTERED},
};

static const struct code codes_v6[] = {
	[ICMP_ERROR_TOO_BIG] = {ICMP6_PACKET_TOO_BIG, 0},
	[ICMP_ERROR_TIME_EXCEEDED] = {ICMP6_TIME_EXCEEDED, ICMP6_TIME_EXCEED_TRANSIT},
	[ICMP_ERROR_NO_ROUTE] = {ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_NOROUTE},
	[ICMP_ERROR_DENIED] = {ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_ADMIN},
};

/* The packet is an ICMP error, or may be one: what cannot be seen counts as one. */
static bool is_error_v4(const uint8_t *p, const struct inner *in)
{
	if (in->proto != IPPROTO_ICMP)
		return false;
	if (!in->l4)
		return true;
	switch (p[in->l4]) {
	case ICMP_DEST_UNREACH:
	case ICMP_SOURCE_QUENCH:
	case ICMP_REDIRECT:
	case ICMP_TIME_EXCEEDED:
	case ICMP_PARAMETERPROB:
		return true;
	default:
		return false;
	}
}

static bool is_error_v6(const uint8_t *p, const struct inner *in)
{
	if (in->proto != IPPROTO_ICMPV6)
		return false;
	return !in->l4 || !(p[in->l4] & ICMP6_INFOMSG_MASK) || p[in->l4] == ND_REDIRECT;
}

/* RFC 1122 section 3.2.2: source and destination must each be a single host. */
static bool may_answer_v4(const uint8_t *p, const struct inner *in)
{
	uint8_t source = in->src[V4_MAPPED], destination = in->dst[V4_MAPPED];

	if (source == 0 || source == 127 || source >= 224)
		return false;
	if (addr_is_multicast(in->dst) || (destination == 255 &&
			load_be32(p + 16) == INADDR_BROADCAST))
		return false;
	return !is_error_v4(p, in);
}

static bool may_answer_v6(const uint8_t *p, const struct inner *in, enum icmp_error what)
{
	static const uint8_t unspecified[16], loopback[16] = {[15] = 1};

	if (!memcmp(in->src, unspecified, 16) || !memcmp(in->src, loopback, 16) ||
			addr_is_multicast(in->src))
		return false;
	if (addr_is_multicast(in->dst) && what != ICMP_ERROR_TOO_BIG)
		return false;
	return !is_error_v6(p, in);
}

static size_t error_v4(uint8_t *out, const uint8_t *p, const struct inner *in,
		enum icmp_error what, unsigned mtu, const uint8_t from[16])
{
	size_t quote = MIN(in->len, IPV4_ERROR_MAX - IPV4_HEADER - ICMP_HEADER);
	size_t len = IPV4_HEADER + ICMP_HEADER + quote;
	uint8_t *icmp = out + IPV4_HEADER;
	uint16_t check;

	memset(out, 0, IPV4_HEADER + ICMP_HEADER);
	out[0] = 0x45;
	out[1] = PRECEDENCE;
	store_be16(out + 2, (uint16_t)len);
	store_be16(out + 6, IPV4_DF);
	out[8] = ICMP_TTL;
	out[9] = IPPROTO_ICMP;
	memcpy(out + 12, from + V4_MAPPED, 4);
	memcpy(out + 16, in->src + V4_MAPPED, 4);
	check = csum_finish(csum_add(0, out, IPV4_HEADER));
	memcpy(out + 10, &check, 2);

	icmp[0] = codes_v4[what].type;
	icmp[1] = codes_v4[what].code;
	if (what == ICMP_ERROR_TOO_BIG)
		store_be16(icmp + 6, (uint16_t)MIN(mtu, UINT16_MAX));
	memcpy(icmp + ICMP_HEADER, p, quote);
	check = csum_finish(csum_add(0, icmp, ICMP_HEADER + quote));
	memcpy(icmp + 2, &check, 2);
	return len;
}

static size_t error_v6(uint8_t *out, const uint8_t *p, const struct inner *in,
		enum icmp_error what, unsigned mtu, const uint8_t from[16])
{
	size_t quote = MIN(in->len, IPV6_ERROR_MAX - IPV6_HEADER - ICMP_HEADER);
	uint8_t *icmp = out + IPV6_HEADER;
	uint64_t pseudo;
	uint16_t check;

	memset(out, 0, IPV6_HEADER + ICMP_HEADER);
	out[0] = 0x60;
	store_be16(out + 4, (uint16_t)(ICMP_HEADER + quote));
	out[6] = IPPROTO_ICMPV6;
	out[7] = ICMP_TTL;
	memcpy(out + 8, from, 16);
	memcpy(out + 24, in->src, 16);

	icmp[0] = codes_v6[what].type;
	icmp[1] = codes_v6[what].code;
	if (what == ICMP_ERROR_TOO_BIG)
		store_be32(icmp + 4, mtu);
	memcpy(icmp + ICMP_HEADER, p, quote);
	pseudo = csum_pseudo(out + 8, out + 24, 16, IPPROTO_ICMPV6,
			(uint32_t)(ICMP_HEADER + quote));
	check = csum_finish(csum_add(pseudo, icmp, ICMP_HEADER + quote));
	memcpy(icmp + 2, &check, 2);
	return IPV6_HEADER + ICMP_HEADER + quote;
}

size_t icmp_error(uint8_t *out, const uint8_t *p, const struct inner *in, enum icmp_error what,
		unsigned mtu, const uint8_t from[16])
{
	if (in->later)
		return 0;
	if (in->v4)
		return may_answer_v4(p, in) ? error_v4(out, p, in, what, mtu, from) : 0;
	return may_answer_v6(p, in, what) ? error_v6(out, p, in, what, mtu, from) : 0;
}
