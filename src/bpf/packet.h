/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Of relay.bpf.c: reading a packet that was sent to the anycast address.  Whatever is no
 * sound IP packet passes: the kernel drops and counts it, as it would without us.
 */
#ifndef BPF_PACKET_H
#define BPF_PACKET_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf/relay_shared.h"

/* Set by the loader; constants for the verifier. */
const volatile struct relay_config config;

/* What is to become of a packet: GO on looking at it, PASS, or one of these with a reason. */
enum { PASS, GO, UP = 0x100, DROP = 0x200 };
#define UP(reason)   (UP + RELAY_UP_##reason)
#define DROP(reason) (DROP + RELAY_BPF_DROP_##reason)

/* linux/icmp.h draws in headers of the C library, which do not suit this target. */
enum { ICMP4_UNREACHABLE = 3, ICMP4_TIME_EXCEEDED = 11, ICMP4_PARAMETER = 12, ICMP6_INFO = 128 };

union address {
	__u32 word[4];
	__u64 half[2];
};

/* Begin of a UDP header, and of a TCP header. */
struct ports {
	__be16 from, to;
	__be16 udp_len, udp_check;
};

enum fragment { WHOLE, FIRST, LATER };

struct packet {
	union {
		struct iphdr v4h;
		struct ipv6hdr v6h;
	};
	union address from; /* IPv4 as ::ffff:a.b.c.d */
	struct ports ports;
	__be32 id;          /* of fragments */
	__u32 len;          /* of the IP packet; a frame may be longer (padding) */
	__u32 l4;           /* offset in the frame */
	__u32 mtu;          /* of the way out, where that is too small */
	bool v4;
	__u8 protocol, ttl, class;
	__u8 fragment;
};

static __always_inline bool relay_port(__be16 port)
{
	__u16 p = bpf_ntohs(port);

	return p >= config.port_first && p <= config.port_last;
}

static __always_inline bool is_relayed(__u8 protocol)
{
	return protocol == IPPROTO_UDP || protocol == IPPROTO_TCP;
}

static __always_inline __u32 anycast4(void)
{
	return *(const volatile __u32 *)config.anycast4;
}

static __always_inline bool is_anycast6(const struct in6_addr *a)
{
	const volatile __u32 *any = (const volatile __u32 *)config.anycast6;

	return any[0] && a->s6_addr32[0] == any[0] && a->s6_addr32[1] == any[1] &&
		a->s6_addr32[2] == any[2] && a->s6_addr32[3] == any[3];
}

/* ---- sums (RFC 1071): unfolded, of words as they lie in memory ---- */

static __always_inline __u64 sum_words(__u64 sum, const void *data, unsigned words)
{
	const __u32 *w = data;

#pragma unroll
	for (unsigned i = 0; i < words; i++)
		sum += w[i];
	return sum;
}

static __always_inline __u32 fold32(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	return (__u32)((sum & 0xffffffff) + (sum >> 32));
}

static __always_inline __u16 fold16(__u64 sum)
{
	__u32 s = fold32(sum);

	s = (s & 0xffff) + (s >> 16);
	return (__u16)((s & 0xffff) + (s >> 16));
}

/* ---- options of IPv4 and TCP, which have one form ---- */

/* The verifier looks at a global function by itself, once, and not again for each way to a call. */
#define SEPARATE __attribute__((noinline))

/* Where the first option of this kind from `at` on is; 0: there is none before `end`. */
SEPARATE __u32 find_option(struct __sk_buff *skb, __u32 at, __u32 end, __u8 kind)
{
	__u8 option[2]; /* kind, length */

	for (int i = 0; i < 40 && at < end; i++) {
		/* It may fail at the last byte of a frame, where only a padding option has room. */
		if (bpf_skb_load_bytes(skb, at, option, sizeof option) != 0 || option[0] == 0)
			return 0;
		if (option[0] == kind)
			return at;
		if (option[0] != 1 && option[1] < 2)
			return 0;
		at += option[0] == 1 ? 1 : option[1];
	}
	return 0;
}

/* The sum of an IPv4 header's options; -1: with source routes, which nobody may give us. */
SEPARATE __s64 sum_options4(struct __sk_buff *skb, __u32 len)
{
	__u32 options[10] = {0}, at = ETH_HLEN + sizeof(struct iphdr);

	if (len < 4 || len > sizeof options || bpf_skb_load_bytes(skb, at, options, len) != 0)
		return -1;
	if (find_option(skb, at, at + len, 131) || find_option(skb, at, at + len, 137))
		return -1;
	return (__s64)sum_words(0, options, 10);
}

/* ---- headers ---- */

static __always_inline int read4(struct __sk_buff *skb, struct packet *p)
{
	struct iphdr *ip = &p->v4h;
	__u16 offset;
	__u32 header;
	__s64 options;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, ip, sizeof *ip) != 0 || !anycast4() ||
			ip->daddr != anycast4())
		return PASS;
	header = ip->ihl * 4u;
	/* BIG TCP has no length here. */
	p->len = ip->tot_len || !skb->gso_size ? bpf_ntohs(ip->tot_len) : skb->len - ETH_HLEN;
	if (ip->version != 4 || header < sizeof *ip || p->len < header ||
			p->len > skb->len - ETH_HLEN)
		return PASS;
	options = header > sizeof *ip ? sum_options4(skb, header - sizeof *ip) : 0;
	if (options < 0 || fold16(sum_words((__u64)options, ip, 5)) != 0xffff)
		return PASS;
	offset = bpf_ntohs(ip->frag_off);
	p->fragment = offset & 0x1fff ? LATER : offset & 0x2000 ? FIRST : WHOLE;
	p->id = ip->id;
	p->v4 = true;
	p->from.word[2] = bpf_htonl(0xffff);
	p->from.word[3] = ip->saddr;
	p->protocol = ip->protocol;
	p->ttl = ip->ttl;
	p->class = ip->tos;
	p->l4 = ETH_HLEN + header;
	return GO;
}

/*
 * Extension headers other than that of fragments are not relayed.  If they hide one of our
 * ports the packet must not reach the kernel either, which would answer with a reset.
 */
SEPARATE int read_extensions(struct __sk_buff *skb, __u32 at, __u8 next)
{
	__u8 header[4];

	for (int i = 0; i < 8; i++) {
		if (bpf_skb_load_bytes(skb, at, header, sizeof header) != 0)
			return PASS;
		if (is_relayed(next))
			return relay_port(header[2] | header[3] << 8) ? DROP(SHAPE) : PASS;
		if (next == IPPROTO_FRAGMENT)
			at += 8;
		else if (next == IPPROTO_AH)
			at += (header[1] + 2u) * 4;
		else if (next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING ||
				next == IPPROTO_DSTOPTS)
			at += (header[1] + 1u) * 8;
		else
			return PASS;
		next = header[0];
	}
	return DROP(SHAPE);
}

struct fragment_header {
	__u8 next, reserved;
	__be16 offset;
	__be32 id;
};

static __always_inline int read6(struct __sk_buff *skb, struct packet *p)
{
	struct ipv6hdr *ip = &p->v6h;
	struct fragment_header f;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, ip, sizeof *ip) != 0 || !is_anycast6(&ip->daddr))
		return PASS;
	p->len = sizeof *ip + bpf_ntohs(ip->payload_len);
	if (ip->version != 6 || p->len > skb->len - ETH_HLEN)
		return PASS;
	p->from = *(const union address *)&ip->saddr;
	p->protocol = ip->nexthdr;
	p->ttl = ip->hop_limit;
	p->class = (__u8)(bpf_ntohl(*(const __u32 *)ip) >> 20);
	p->l4 = ETH_HLEN + sizeof *ip;
	if (p->protocol == IPPROTO_FRAGMENT) {
		if (p->len < sizeof *ip + sizeof f ||
				bpf_skb_load_bytes(skb, p->l4, &f, sizeof f) != 0)
			return PASS;
		/* An "atomic fragment", alone, is a first one: its header stays. */
		p->fragment = bpf_ntohs(f.offset) & 0xfff8 ? LATER : FIRST;
		p->id = f.id;
		p->protocol = f.next;
		p->l4 += sizeof f;
	}
	if (p->fragment != LATER && (p->protocol == IPPROTO_HOPOPTS || p->protocol == IPPROTO_AH ||
			p->protocol == IPPROTO_ROUTING || p->protocol == IPPROTO_DSTOPTS ||
			p->protocol == IPPROTO_FRAGMENT))
		return read_extensions(skb, p->l4, p->protocol);
	return GO;
}

/* ---- ICMP ---- */

/* Does the error quote a packet that left from one of our ports? */
static __always_inline bool quotes_ours4(struct __sk_buff *skb, __u32 at)
{
	struct iphdr q;
	__be16 port;

	return bpf_skb_load_bytes(skb, at, &q, sizeof q) == 0 && q.saddr == anycast4() &&
		is_relayed(q.protocol) && !(q.frag_off & bpf_htons(0x1fff)) &&
		bpf_skb_load_bytes(skb, at + q.ihl * 4u, &port, sizeof port) == 0 && relay_port(port);
}

static __always_inline bool quotes_ours6(struct __sk_buff *skb, __u32 at)
{
	struct fragment_header f;
	struct ipv6hdr q;
	__be16 port;

	if (bpf_skb_load_bytes(skb, at, &q, sizeof q) != 0 || !is_anycast6(&q.saddr))
		return false;
	at += sizeof q;
	if (q.nexthdr == IPPROTO_FRAGMENT) {
		if (bpf_skb_load_bytes(skb, at, &f, sizeof f) != 0 || f.offset & bpf_htons(0xfff8))
			return false;
		q.nexthdr = f.next;
		at += sizeof f;
	}
	return is_relayed(q.nexthdr) && bpf_skb_load_bytes(skb, at, &port, sizeof port) == 0 &&
		relay_port(port);
}

static __always_inline bool is_our_error(struct __sk_buff *skb, const struct packet *p)
{
	__u8 type;

	if (p->protocol != (p->v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6) ||
			bpf_skb_load_bytes(skb, p->l4, &type, sizeof type) != 0)
		return false;
	if (!p->v4)
		return type < ICMP6_INFO && quotes_ours6(skb, p->l4 + 8);
	return (type == ICMP4_UNREACHABLE || type == ICMP4_TIME_EXCEEDED ||
			type == ICMP4_PARAMETER) && quotes_ours4(skb, p->l4 + 8);
}

#endif
