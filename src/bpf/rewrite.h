/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Of relay.bpf.c: the way out, and what is changed in a packet.
 *
 * Checksums are updated, never computed anew, so a packet that was damaged stays
 * so.  Changes of the addresses and changes behind them are two sums: where the
 * checksum has been left to the device (CHECKSUM_PARTIAL, all GSO frames) only the
 * pseudo header's part is in it yet, and bpf_l4_csum_replace() takes only the first.
 * IPv4 addresses may be summed in their 16-byte form: ::ffff adds nothing.
 */
#ifndef BPF_REWRITE_H
#define BPF_REWRITE_H

#include "bpf/packet.h"

struct tcp_header {
	__be16 from, to;
	__be32 seq, ack;
	__u8 offset, flags; /* offset: in words, in the upper half */
	__be16 window, check, urgent;
};
#define TCP_SYN      0x02
#define TCP_ACK      0x10
#define TCP_OPT_SACK 5

/* Beside the packet: what stays of it behind the IP header, and how it leaves. */
struct way {
	struct bpf_fib_lookup fib;
	union address source;
	struct tcp_header tcp;
	__u32 l4_header; /* its length */
	bool to_v4;
	int growth;      /* of the IP header: 20, 0, -20 */
};

static __always_inline void own_address(union address *a, bool v4)
{
	const volatile __u32 *any = (const volatile __u32 *)config.anycast6;

	a->word[0] = v4 ? 0 : any[0];
	a->word[1] = v4 ? 0 : any[1];
	a->word[2] = v4 ? bpf_htonl(0xffff) : any[2];
	a->word[3] = v4 ? anycast4() : any[3];
}

/* ---- the way out ---- */

/* Each packet of a GSO frame must fit, and as long as it will be. */
static __always_inline __u32 length_out(struct __sk_buff *skb, const struct packet *p,
		const struct way *w)
{
	__u32 len = p->len;

	if (skb->gso_size)
		len = p->l4 - ETH_HLEN + w->l4_header + skb->gso_size;
	return len + (__u32)w->growth;
}

/*
 * The device's MTU is what counts, as in a router.  Were the kernel asked whether the packet fits
 * (tot_len), it would count what it has been told of paths as well, and everybody can tell it
 * something: an ICMP error about an echo reply is enough (ADR 31).
 */
static __always_inline int check_mtu(struct __sk_buff *skb, struct packet *p, const struct way *w)
{
	__u32 mtu = 0;

	if (bpf_check_mtu(skb, w->fib.ifindex, &mtu, 0, 0) < 0)
		return DROP(ROUTE);
	if (length_out(skb, p, w) <= mtu)
		return GO;
	p->mtu = mtu - (__u32)w->growth;
	return p->fragment == LATER ? DROP(FRAGMENT) : UP(TOO_BIG);
}

static __always_inline int find_way(struct __sk_buff *skb, struct packet *p,
		const struct relay_entry *e, struct way *w)
{
	const __u32 *to = (const __u32 *)e->to;
	struct bpf_fib_lookup *f = &w->fib;
	long result;

	f->family = w->to_v4 ? 2 : 10; /* AF_INET, AF_INET6: no header that clang can have here */
	f->l4_protocol = p->protocol;
	f->sport = e->out_port;
	f->dport = e->to_port;
	f->ifindex = skb->ifindex;
	if (w->to_v4) {
		f->tos = p->class;
		f->ipv4_src = w->source.word[3];
		f->ipv4_dst = to[3];
	} else {
		f->flowinfo = bpf_htonl((__u32)p->class << 20);
		__builtin_memcpy(f->ipv6_src, &w->source, 16);
		__builtin_memcpy(f->ipv6_dst, to, 16);
	}
	result = bpf_fib_lookup(skb, f, sizeof *f, 0);
	/* A host that is no router sends back by the device that it came by. */
	if (result == BPF_FIB_LKUP_RET_FWD_DISABLED)
		result = bpf_fib_lookup(skb, f, sizeof *f, BPF_FIB_LOOKUP_OUTPUT);
	/*
	 * redirect_neigh() asks for a neighbour that is not known.  "Too big" is said of the packet
	 * as it came: what counts is how long it will be.
	 */
	if (result != BPF_FIB_LKUP_RET_SUCCESS && result != BPF_FIB_LKUP_RET_NO_NEIGH &&
			result != BPF_FIB_LKUP_RET_FRAG_NEEDED)
		return DROP(ROUTE);
	return check_mtu(skb, p, w);
}

static __noinline int send_out(const struct way *w)
{
	struct bpf_redir_neigh hop = {.nh_family = w->fib.family};

	__builtin_memcpy(hop.ipv6_nh, w->fib.ipv6_dst, 16); /* of IPv4 its first word counts */
	return (int)bpf_redirect_neigh(w->fib.ifindex, &hop, sizeof hop, 0);
}

/* ---- TCP ---- */

static __always_inline __u64 sum_change(__u32 was, __u32 now)
{
	return (__u64)(__u32)~was + now;
}

static __always_inline __be32 add32(__be32 value, __u32 add)
{
	return bpf_htonl(bpf_ntohl(value) + add);
}

/* Rounding down is right: 0 only makes the sender ask again. */
static __always_inline __be16 shift_window(__be16 window, __s8 shift)
{
	__u32 w = bpf_ntohs(window);

	w = shift < 0 ? w >> (-shift & 15) : w << (shift & 15);
	return bpf_htons(w > 0xffff ? 0xffff : (__u16)w);
}

/* Moves all SACK blocks (RFC 2018); the change of the checksum's sum, or -1: not well formed. */
SEPARATE __s64 shift_sack(struct __sk_buff *skb, __u32 l4, __u32 end, __u32 add)
{
	__u64 all = 0, change;
	__u32 at = l4 + sizeof(struct tcp_header);

	for (int n = 0; n < 4; n++) {
		__be32 edges[8] = {0}; /* of up to four blocks */
		__u8 option[2];
		__u32 len;

		at = find_option(skb, at, end, TCP_OPT_SACK);
		if (!at)
			break;
		if (bpf_skb_load_bytes(skb, at, option, sizeof option) != 0)
			return -1;
		len = option[1] - 2u;
		if (len < 8 || len > 32 || len % 8 || at + 2 + len > end ||
				bpf_skb_load_bytes(skb, at + 2, edges, len) != 0)
			return -1;
		change = 0;
		/* Beyond len they are not stored, and must not be summed. */
		for (unsigned i = 0; i < 8 && i < len / 4; i++) {
			__be32 was = edges[i];

			edges[i] = add32(was, add);
			change += sum_change(was, edges[i]);
		}
		if (bpf_skb_store_bytes(skb, at + 2, edges, len, 0) != 0)
			return -1;
		change = fold16(change);
		if ((at - l4) & 1) /* its bytes are summed as the other halves of their words */
			change = bpf_ntohs((__u16)change);
		all += change;
		at += 2 + len;
	}
	return (__s64)all;
}

/* To the numbers of the other half; adds to the change of the checksum's sum. */
static __always_inline int splice(struct __sk_buff *skb, const struct packet *p,
		const struct relay_entry *e, struct way *w, __u64 *change)
{
	struct tcp_header *t = &w->tcp, was = *t;
	__s64 sack;

	t->seq = add32(t->seq, e->seq_add);
	t->window = shift_window(t->window, e->window_shift);
	if (t->flags & TCP_ACK)
		t->ack = add32(t->ack, e->ack_add);
	*change += sum_change(was.seq, t->seq) + sum_change(was.ack, t->ack) +
		sum_change(was.window, t->window);
	if (w->l4_header == sizeof *t || !e->ack_add)
		return GO;
	sack = shift_sack(skb, p->l4, p->l4 + w->l4_header, e->ack_add);
	if (sack < 0)
		return DROP(SHAPE);
	*change += (__u64)sack;
	return GO;
}

/* ---- the rewrite ---- */

static __always_inline int rewrite_l4(struct __sk_buff *skb, const struct packet *p,
		const struct relay_entry *e, struct way *w, __u64 addresses)
{
	bool tcp = p->protocol == IPPROTO_TCP;
	struct ports now = {.from = e->out_port, .to = e->to_port};
	__u64 change = sum_change(*(const __u32 *)&p->ports, *(const __u32 *)&now);
	__u32 check = p->l4 + (tcp ? 16 : 6);
	/* A datagram without checksum stays one. */
	__u64 flags = tcp ? 0 : BPF_F_MARK_MANGLED_0;
	bool spliced = tcp && e->flags & RELAY_ENTRY_SPLICED;
	int verdict;

	if (spliced) {
		verdict = splice(skb, p, e, w, &change);
		if (verdict != GO)
			return verdict;
		w->tcp.from = now.from;
		w->tcp.to = now.to;
	}
	if (bpf_l4_csum_replace(skb, check, 0, fold32(addresses), flags | BPF_F_PSEUDO_HDR) != 0 ||
			bpf_l4_csum_replace(skb, check, 0, fold32(change), flags) != 0)
		return DROP(SHAPE);
	/* Of TCP what is before the checksum, of UDP and of plain TCP the ports. */
	if (spliced ? bpf_skb_store_bytes(skb, p->l4, &w->tcp, 16, 0) :
			bpf_skb_store_bytes(skb, p->l4, &now, 4, 0))
		return DROP(SHAPE);
	return GO;
}

/* Functions of their own, for the stack is small. */
static __noinline int write4(struct __sk_buff *skb, const struct packet *p,
		const struct way *w, __u32 to, __u64 addresses)
{
	struct iphdr ip;

	if (p->v4) {
		ip = p->v4h;
		ip.ttl--;
		/* The TTL is the low byte of its word. */
		ip.check = (__u16)~fold16((__u16)~ip.check + addresses +
				sum_change(p->ttl, ip.ttl));
	} else {
		bool small = p->len + (__u32)w->growth <= 1260 && !skb->gso_size;

		ip = (struct iphdr){.version = 4, .ihl = 5, .tos = p->class,
			.tot_len = bpf_htons((__u16)(p->len - 20)),
			/* RFC 7915 5.1: what an IPv6 host cannot make smaller may be fragmented. */
			.id = small ? (__u16)bpf_get_prandom_u32() : 0,
			.frag_off = small ? 0 : bpf_htons(0x4000),
			.ttl = p->ttl - 1, .protocol = p->protocol};
		if (bpf_skb_change_proto(skb, bpf_htons(ETH_P_IP), 0) != 0)
			return DROP(SHAPE);
	}
	ip.saddr = anycast4();
	ip.daddr = to;
	if (!p->v4)
		ip.check = (__u16)~fold16(sum_words(0, &ip, 5));
	return bpf_skb_store_bytes(skb, ETH_HLEN, &ip, sizeof ip, 0) ? DROP(SHAPE) : GO;
}

static __noinline int write6(struct __sk_buff *skb, const struct packet *p,
		const struct way *w, const __u32 *to)
{
	struct ipv6hdr ip;

	if (p->v4) {
		ip = (struct ipv6hdr){.nexthdr = p->protocol, .hop_limit = p->ttl,
			.payload_len = bpf_htons((__u16)(p->len - sizeof(struct iphdr)))};
		*(__u32 *)&ip = bpf_htonl(6u << 28 | (__u32)p->class << 20);
		if (bpf_skb_change_proto(skb, bpf_htons(ETH_P_IPV6), 0) != 0)
			return DROP(SHAPE);
	} else {
		ip = p->v6h; /* with its flow label, as a router would */
	}
	ip.hop_limit--;
	__builtin_memcpy(&ip.saddr, &w->source, 16);
	__builtin_memcpy(&ip.daddr, to, 16);
	return bpf_skb_store_bytes(skb, ETH_HLEN, &ip, sizeof ip, 0) ? DROP(SHAPE) : GO;
}

static __always_inline int rewrite(struct __sk_buff *skb, const struct packet *p,
		const struct relay_entry *e, struct way *w)
{
	const __u32 *to = (const __u32 *)e->to;
	union address own;
	__u64 old, addresses;
	int verdict = GO;

	own_address(&own, p->v4);
	old = sum_words(sum_words(0, &p->from, 4), &own, 4);
	addresses = sum_words(sum_words((__u32)~fold32(old), &w->source, 4), to, 4);
	if (p->fragment != LATER)
		verdict = rewrite_l4(skb, p, e, w, addresses);
	if (verdict != GO)
		return verdict;
	return w->to_v4 ? write4(skb, p, w, to[3], addresses) : write6(skb, p, w, to);
}

#endif
