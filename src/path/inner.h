/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Inner IP packets: reading their headers and the few changes that a router
 * makes to them.  Everything here works in place on one packet and knows
 * nothing of sessions.
 */
#ifndef PATH_INNER_H
#define PATH_INNER_H

#include "base/addr.h"
#include "base/util.h"

/* What a router needs of a packet. */
struct inner {
	bool v4;
	uint8_t tos;      /* IPv4 TOS, IPv6 traffic class: DSCP and ECN */
	uint8_t ttl;      /* TTL, hop limit */
	uint8_t proto;    /* upper protocol: IPv4's, or IPv6's after extension headers; see l4 */
	bool df;          /* may not be fragmented: IPv4 DF; always for IPv6 */
	bool fragment;    /* a fragment: any of it */
	bool later;       /* a fragment that is not the first: has no upper header */
	uint32_t len;     /* the packet's own length, at most 65575, without padding after it */
	uint16_t l4;      /* offset of the upper header, 0 if there is none in the packet */
	uint8_t src[16], dst[16];
};

/*
 * Reads and checks the headers of the packet in p, which has n bytes of which
 * the end may be padding: version, lengths, IPv4 header checksum.  false if
 * malformed or cut; *in is then untouched.
 */
bool inner_read(struct inner *in, const uint8_t *p, size_t n);

/* TTL or hop limit less one, IPv4 checksum kept right.  The caller has seen that it was > 1. */
void inner_decrement_ttl(uint8_t *p, const struct inner *in);

/*
 * RFC 6040 (normal mode) on leaving the tunnel: inner ECN field from inner and
 * outer.  false: drop (inner not-ECT, outer CE).  Also sets in->tos.
 */
bool ecn_decapsulate(uint8_t *p, struct inner *in, uint8_t outer_tos);
/* Outer TOS for this inner one: its ECN, and its DSCP only if copy_dscp. */
static inline uint8_t ecn_encapsulate(uint8_t inner_tos, bool copy_dscp)
{
	return copy_dscp ? inner_tos : (inner_tos & 3);
}

/* Lowers the MSS option of a TCP SYN so that its segments fit mtu; checksum kept right. */
void mss_clamp(uint8_t *p, const struct inner *in, unsigned mtu);

/*
 * RFC 791 fragmentation of an IPv4 packet without DF: calls emit for each
 * fragment of at most mtu bytes (mtu >= 68).  scratch has room for mtu bytes;
 * fragments lie there.  Returns their number.
 */
unsigned ipv4_fragment(const uint8_t *p, const struct inner *in, unsigned mtu, uint8_t *scratch,
		void (*emit)(void *arg, uint8_t *fragment, size_t len), void *arg);

/*
 * ICMP and ICMPv6 errors about the packet in p, from the address `from` (which
 * must be of the packet's family) to its source.  out has ICMP_ERROR_MAX bytes;
 * returns the size, or 0 where none may be sent (RFC 1122 3.2.2, RFC 4443 2.4:
 * about an ICMP error, a later fragment, to multicast (except too-big in v6),
 * from an unspecified, loopback or multicast source).
 */
#define ICMP_ERROR_MAX 1280
enum icmp_error { ICMP_ERROR_TOO_BIG, ICMP_ERROR_TIME_EXCEEDED, ICMP_ERROR_NO_ROUTE,
		ICMP_ERROR_DENIED };
size_t icmp_error(uint8_t *out, const uint8_t *p, const struct inner *in, enum icmp_error what,
		unsigned mtu, const uint8_t from[16]);

#endif
