/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The relays' fast path, at the ingress of an uplink (tc).  What it does is told in
 * relay_shared.h.  The order:
 *
 *	read      packet.h: is it for the anycast address, and a port of relays?
 *	decide    here: which relay, is this its side, may the packet be sent on?
 *	find_way  rewrite.h: route and MTU
 *	rewrite   rewrite.h: addresses, ports, TTL, TCP's numbers, checksums
 *	end       here: counted, and sent, handed up or dropped
 *
 * Nothing is changed before it is clear that the packet will be sent, so what goes
 * up is what came.
 */
#include "bpf/packet.h"
#include "bpf/rewrite.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC); /* memory for the relays that there are */
	__uint(max_entries, 1);               /* the loader's to set */
	__type(key, struct relay_key);
	__type(value, struct relay_entry);
} entries SEC(".maps");

/* Whose first fragment came by here; id is unique for source, destination and protocol. */
struct fragment_key {
	union address from;
	__be32 id;
	__u8 v4, protocol;
	__u16 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, RELAY_FRAGMENTS);
	__type(key, struct fragment_key);
	__type(value, struct relay_key); /* port 0: none of ours, it passed */
} fragments SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, RELAY_HOSTS);
	__type(key, struct relay_host_key);
	__type(value, struct relay_host);
} hosts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, RELAY_COUNTERS);
	__type(key, __u32);
	__type(value, struct relay_counter);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, RELAY_RING_BYTES);
} events SEC(".maps");

/* ---- counting ---- */

static const __u32 budgets[] = {
#define X(name, key, budget, text) budget,
	RELAY_UP_REASONS(X)
#undef X
};

static __always_inline __u32 up_period(void)
{
	return (__u32)(bpf_ktime_get_ns() >> 26); /* 1/15 s */
}

static __always_inline int drop(enum relay_bpf_drop reason)
{
	__u32 i = RELAY_UP_COUNT + reason;
	struct relay_counter *c = bpf_map_lookup_elem(&counters, &i);

	if (c)
		c->total++;
	return TC_ACT_SHOT;
}

SEPARATE int hand_up(struct __sk_buff *skb, __u32 len, __u32 mtu, __u32 reason)
{
	__u32 period = up_period(), part = len;
	struct relay_counter *c = bpf_map_lookup_elem(&counters, &reason);
	struct relay_event *e;

	if (!c || reason >= RELAY_UP_COUNT)
		return drop(RELAY_BPF_DROP_RING);
	if (c->period != period) {
		c->period = period;
		c->in_period = 0;
	}
	if (c->in_period >= budgets[reason] / 16)
		return drop(RELAY_BPF_DROP_RING);
	e = bpf_ringbuf_reserve(&events, sizeof *e, 0);
	if (!e)
		return drop(RELAY_BPF_DROP_RING);
	if (part > RELAY_CAPTURE)
		part = RELAY_CAPTURE;
	if (part == 0 || bpf_skb_load_bytes(skb, ETH_HLEN, e->data, part) != 0) {
		bpf_ringbuf_discard(e, 0);
		return drop(RELAY_BPF_DROP_SHAPE);
	}
	e->reason = (__u8)reason;
	e->pad = 0;
	e->len = (__u16)part;
	e->segment = (__u16)skb->gso_size;
	e->pad2 = 0;
	e->ifindex = skb->ifindex;
	e->whole = len;
	e->mtu = mtu;
	bpf_ringbuf_submit(e, 0);
	c->in_period++;
	c->total++;
	return TC_ACT_SHOT;
}

/* How many packets this is: those of a GSO frame have their headers in the frame once. */
static __always_inline __u32 packets_in(struct __sk_buff *skb, const struct packet *p,
		__u32 headers)
{
	__u32 size = skb->gso_size;

	if (!size)
		return 1;
	/* Frames from a guest come without their number. */
	return skb->gso_segs ? skb->gso_segs : (p->len - headers + size - 1) / size;
}

/* ---- deciding ---- */

/* Functions of their own, for the stack is small. */
static __noinline void remember(const struct packet *p, const struct relay_key *key)
{
	struct fragment_key f = {.from = p->from, .id = p->id, .v4 = p->v4, .protocol = p->protocol};

	bpf_map_update_elem(&fragments, &f, key, BPF_ANY);
}

static __noinline int find_first(const struct packet *p, struct relay_key *key)
{
	struct fragment_key f = {.from = p->from, .id = p->id, .v4 = p->v4, .protocol = p->protocol};
	const struct relay_key *seen = bpf_map_lookup_elem(&fragments, &f);

	if (!seen)
		return DROP(FRAGMENT);
	*key = *seen;
	return key->port ? GO : PASS;
}

static __always_inline int pass(const struct packet *p)
{
	struct relay_key none = {0};

	if (p->fragment == FIRST)
		remember(p, &none);
	return PASS;
}

/* Which relay is it?  GO: the key's. */
static __always_inline int find_key(struct __sk_buff *skb, struct packet *p, struct relay_key *key)
{
	if (p->fragment == LATER)
		return find_first(p, key);
	if (!is_relayed(p->protocol))
		return p->fragment == WHOLE && is_our_error(skb, p) ? UP(ICMP) : pass(p);
	if (p->len < p->l4 - ETH_HLEN + sizeof p->ports ||
			bpf_skb_load_bytes(skb, p->l4, &p->ports, sizeof p->ports) != 0 ||
			!relay_port(p->ports.to))
		return pass(p);
	*key = (struct relay_key){.v4 = p->v4, .protocol = p->protocol, .port = p->ports.to};
	return GO;
}

/* The rest of the header, for UDP and TCP; both are looked at whole, except in fragments. */
static __always_inline int read_l4(struct __sk_buff *skb, const struct packet *p, struct way *w)
{
	__u32 room = p->len - (p->l4 - ETH_HLEN);
	__u16 len = bpf_ntohs(p->ports.udp_len);

	if (p->fragment == LATER)
		return GO;
	if (p->protocol == IPPROTO_UDP) {
		w->l4_header = sizeof p->ports;
		return len < sizeof p->ports || (p->fragment == WHOLE && len > room) ? DROP(SHAPE) : GO;
	}
	if (room < sizeof w->tcp || bpf_skb_load_bytes(skb, p->l4, &w->tcp, sizeof w->tcp) != 0)
		return DROP(SHAPE);
	w->l4_header = (w->tcp.offset >> 4) * 4u;
	return w->l4_header < sizeof w->tcp || w->l4_header > room ? DROP(SHAPE) : GO;
}

static __always_inline bool shows_token(struct __sk_buff *skb, const struct packet *p,
		const struct way *w)
{
	__u32 at = p->l4 + w->l4_header;
	__u64 look = 0;

	return p->len == at - ETH_HLEN + RELAY_TOKEN_LOOK_SIZE &&
		bpf_skb_load_bytes(skb, at + RELAY_TOKEN_LOOK_AT, &look, sizeof look) == 0 &&
		look == RELAY_TOKEN_LOOK;
}

/* Is it from the side that the entry is for?  GO: yes, and no token. */
static __always_inline int check_side(struct __sk_buff *skb, const struct packet *p,
		const struct relay_entry *e, const struct way *w)
{
	const __u64 *from = (const __u64 *)e->from;
	bool same = from[0] == p->from.half[0] && from[1] == p->from.half[1] &&
		(p->fragment == LATER || e->from_port == p->ports.from);
	bool token = e->flags & RELAY_ENTRY_TOKEN && p->fragment == WHOLE && shows_token(skb, p, w);

	if (!(e->flags & RELAY_ENTRY_LATCHED))
		return p->fragment == LATER ? DROP(FRAGMENT) : UP(UNLATCHED);
	if (same)
		return token ? UP(TOKEN) : GO;
	/* A caller opens a TCP connection before it can show anything. */
	if (token || (e->flags & RELAY_ENTRY_TOKEN && p->protocol == IPPROTO_TCP &&
			p->fragment == WHOLE))
		return UP(STRANGER);
	return DROP(STRANGER);
}

/* Of all relays together that lead to this host; a function of its own, for the stack is small. */
static __noinline bool over_host_limit(const struct relay_entry *e, __u32 period, __u32 packets)
{
	const __u64 *to = (const __u64 *)e->to;
	struct relay_host_key key = {{to[0], e->flags & RELAY_ENTRY_TO_V4 ? to[1] : 0}};
	struct relay_host first = {.period = period, .count = packets};
	struct relay_host *h = bpf_map_lookup_elem(&hosts, &key);

	if (!h) {
		bpf_map_update_elem(&hosts, &key, &first, BPF_NOEXIST);
		return packets > RELAY_HOST_LIMIT;
	}
	if (h->heard && period - h->heard <= RELAY_HEARD)
		return false;
	if (h->period != period) {
		h->period = period;
		h->count = 0;
	}
	if (h->count + packets > RELAY_HOST_LIMIT)
		return true;
	h->count += packets;
	return false;
}

static __always_inline bool over_limit(struct relay_entry *e, __u32 packets)
{
	__u32 period = RELAY_PERIOD(bpf_ktime_get_ns());

	if (e->limit_period != (__u16)period) {
		e->limit_period = (__u16)period;
		e->limit_count = 0;
	}
	if (e->limit_count + packets > RELAY_LIMIT)
		return true;
	e->limit_count += (__u16)packets;
	return over_host_limit(e, period, packets);
}

/* Has this port handed up its share?  What is the side's own flow (CHECKSUM) has the whole budget. */
static __always_inline bool over_share(struct relay_entry *e, __u32 reason)
{
	__u16 period = (__u16)up_period();

	if (reason >= RELAY_UP_COUNT || reason == RELAY_UP_CHECKSUM)
		return false;
	if (e->up_period != period) {
		e->up_period = period;
		e->up_count = 0;
	}
	if (e->up_count >= budgets[reason] / 16 / RELAY_UP_SHARES)
		return true;
	e->up_count++;
	return false;
}

/* May it be sent on? */
static __always_inline int decide(struct __sk_buff *skb, const struct packet *p,
		struct relay_entry *e, struct way *w)
{
	int verdict = read_l4(skb, p, w);
	__u32 headers = p->l4 - ETH_HLEN + w->l4_header;

	if (verdict == GO)
		verdict = check_side(skb, p, e, w);
	if (verdict != GO)
		return verdict;
	if (p->protocol == IPPROTO_TCP && w->tcp.flags & TCP_SYN)
		return p->fragment == WHOLE ? UP(SYN) : DROP(FRAGMENT);
	if (!(e->flags & RELAY_ENTRY_READY))
		return p->fragment == LATER ? DROP(FRAGMENT) : UP(WAITING);
	if (p->ttl <= 1)
		return p->fragment == LATER ? DROP(FRAGMENT) : UP(TTL);
	w->to_v4 = e->flags & RELAY_ENTRY_TO_V4;
	if (p->v4 != w->to_v4) {
		if (p->fragment != WHOLE)
			return DROP(FRAGMENT);
		if (p->v4 && p->l4 != ETH_HLEN + sizeof(struct iphdr))
			return DROP(SHAPE); /* options have no counterpart */
		if (p->v4 && p->protocol == IPPROTO_UDP && !p->ports.udp_check)
			return UP(CHECKSUM);
		w->growth = p->v4 ? 20 : -20;
	}
	if (e->flags & RELAY_ENTRY_LIMITED && over_limit(e, packets_in(skb, p, headers)))
		return DROP(LIMITED);
	return GO;
}

static __always_inline int relay(struct __sk_buff *skb, struct packet *p, struct way *w)
{
	struct relay_key key;
	struct relay_entry *e;
	__u32 headers, packets, bytes;
	int verdict = find_key(skb, p, &key);

	if (verdict != GO)
		return verdict;
	e = bpf_map_lookup_elem(&entries, &key);
	if (!e)
		return p->fragment == LATER ? DROP(FRAGMENT) : UP(UNKNOWN);
	verdict = decide(skb, p, e, w);
	if (verdict >= UP && verdict < DROP && over_share(e, (__u32)(verdict - UP)))
		return DROP(RING);
	if (verdict != GO)
		return verdict;
	own_address(&w->source, w->to_v4);
	verdict = find_way(skb, p, e, w);
	if (verdict != GO)
		return verdict;
	headers = p->l4 - ETH_HLEN + w->l4_header;
	packets = packets_in(skb, p, headers);
	bytes = p->len + (packets - 1) * headers;
	verdict = rewrite(skb, p, e, w);
	if (verdict != GO)
		return verdict;
	if (p->fragment == FIRST)
		remember(p, &key);
	__sync_fetch_and_add(&e->packets, packets);
	__sync_fetch_and_add(&e->bytes, bytes);
	return GO;
}

SEC("tc")
int relay_ingress(struct __sk_buff *skb)
{
	struct packet p = {0};
	struct way w = {0};
	int verdict = PASS;

	/* Not what was flooded or is watched, nor what belongs to a VLAN device above this one. */
	if (skb->pkt_type != PACKET_HOST || skb->vlan_present)
		return TC_ACT_UNSPEC;
	if (skb->protocol == bpf_htons(ETH_P_IP))
		verdict = read4(skb, &p);
	else if (skb->protocol == bpf_htons(ETH_P_IPV6))
		verdict = read6(skb, &p);
	if (verdict == GO)
		verdict = relay(skb, &p, &w);
	if (verdict == PASS)
		return TC_ACT_UNSPEC; /* other filters may follow */
	if (verdict == GO)
		return send_out(&w);
	if (verdict >= DROP)
		return drop((enum relay_bpf_drop)(verdict - DROP));
	return hand_up(skb, p.len, p.mtu, (__u32)(verdict - UP));
}

/* bpf_fib_lookup() is only for programs that are under the GPL too. */
char relay_license[] SEC("license") = "Dual BSD/GPL";
