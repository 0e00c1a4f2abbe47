/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Tunnel mode: the server is a router between its clients, its own services and
 * the networks behind it; the client is a host or router with one link, the
 * tunnel.
 *
 * At the server a packet of a client passes, in this order: source check, rate,
 * hop limit, then multicast, broadcast, or the longest prefix among the clients'
 * and the server's own networks.
 */
#include <netinet/in.h>
#include <stdlib.h>

#include "mode/ethernet.h"
#include "mode/flood.h"
#include "mode/members.h"
#include "path/mode.h"

#define TCP_FLAGS 13
#define TCP_SYN   0x02
#define IGMP      2
#define MLD_QUERY 130
#define MLD_LEAVE 132
#define MLD_V2    143

static const struct directory *directory_of(const struct worker *w)
{
	return atomic_load_explicit(&w->path->server->directory, memory_order_acquire);
}

static void clamp(const struct worker *w, struct packet *p)
{
	if (p->in.proto == IPPROTO_TCP && p->in.l4 && !p->in.later && w->path->clamp_mss &&
			(size_t)p->in.l4 + TCP_FLAGS < p->len && (p->data[p->in.l4 + TCP_FLAGS] & TCP_SYN))
		mss_clamp(p->data, &p->in,
				atomic_load_explicit(&w->path->mtu, memory_order_relaxed));
}

static void refuse(struct worker *w, const struct packet *p, enum drop why, enum icmp_error what)
{
	count_drop(w, why);
	send_icmp_error(w, p, what, 0);
}

/* ---- server ---- */

static bool within_rate(struct worker *w, struct client *c)
{
	uint32_t second = (uint32_t)(w->now.boot / TICKS_PER_SEC), most = w->path->client_rate;

	if (!most)
		return true;
	if (atomic_exchange_explicit(&c->rate_second, second, memory_order_relaxed) != second)
		atomic_store_explicit(&c->rate_packets, 0, memory_order_relaxed);
	return atomic_fetch_add_explicit(&c->rate_packets, 1, memory_order_relaxed) < most;
}

static bool is_broadcast(const struct path *path, const struct inner *in)
{
	static const uint8_t everybody[4] = {255, 255, 255, 255};

	if (!in->v4)
		return false;
	for (unsigned i = 0; i < path->broadcast_count; i++)
		if (!memcmp(path->broadcast_ip[i], in->dst, 16))
			return true;
	return !memcmp(in->dst + 12, everybody, 4);
}

static void to_group(struct worker *w, struct packet *p)
{
	if (p->origin && !(p->origin->rights & RIGHT_MULTICAST)) {
		count_drop(w, DROP_DENIED);
		return;
	}
	flood_packet(w, members_of_group(w->path->members, p->in.dst), p);
	if (p->origin)
		device_put(w, p);
}

static void to_everybody(struct worker *w, struct packet *p)
{
	if (!w->path->broadcast || (p->origin && !(p->origin->rights & RIGHT_BROADCAST))) {
		count_drop(w, DROP_DENIED);
		return;
	}
	flood_packet(w, members_all(w->path->members), p);
	if (p->origin)
		device_put(w, p);
}

/* Length of the longest of the server's own networks with this destination, or -1. */
static int own_network(const struct path *path, const uint8_t ip[16])
{
	const struct networks *own = atomic_load_explicit(&path->networks, memory_order_acquire);
	int longest = -1;

	for (unsigned i = 0; i < own->count; i++)
		if (own->list[i].len > longest && prefix_contains(&own->list[i], ip))
			longest = own->list[i].len;
	return longest;
}

static int by_address(const void *a, const void *b)
{
	return memcmp(((const struct prefix *)a)->ip, ((const struct prefix *)b)->ip, 16);
}

/* Where the cluster talks to itself: not for clients, whatever network it is in. */
static bool is_denied(const struct path *path, const uint8_t ip[16])
{
	const struct networks *own = atomic_load_explicit(&path->networks, memory_order_acquire);
	struct prefix host = {.len = 128};

	memcpy(host.ip, ip, sizeof host.ip);
	return bsearch(&host, own->list + own->count, own->denied_count, sizeof host, by_address);
}

static int client_network(const struct client *c, const uint8_t ip[16])
{
	int longest = -1;
	struct prefix p;

	for (unsigned i = 0; i < c->prefix_count; i++) {
		client_prefix(c, i, &p);
		if (p.len > longest && prefix_contains(&p, ip))
			longest = p.len;
	}
	return longest;
}

static void to_client(struct worker *w, struct client *c, struct packet *p)
{
	struct far_end end;
	enum drop why;

	clamp(w, p);
	why = far_end_client(w, c, &end);
	if (why != DROP_NONE) {
		refuse(w, p, why, ICMP_ERROR_NO_ROUTE);
		return;
	}
	w->to_device = false;
	send_packet(w, &end, p);
}

static void to_own_network(struct worker *w, struct packet *p)
{
	if (unlikely(is_denied(w->path, p->in.dst))) {
		count_drop(w, DROP_DENIED);
		return;
	}
	clamp(w, p);
	device_put(w, p);
}

static void from_client(struct worker *w, struct packet *p)
{
	const struct directory *dir = directory_of(w);
	bool multicast = addr_is_multicast(p->in.dst), broadcast = is_broadcast(w->path, &p->in);
	struct client *c;
	int own;

	if (unlikely(directory_route(dir, p->in.src) != p->origin)) {
		count_drop(w, DROP_SOURCE);
		return;
	}
	if (unlikely(!within_rate(w, p->origin))) {
		count_drop(w, DROP_CLIENT_RATE);
		return;
	}
	/* link-local multicast and broadcast stay within the tunnel's network: no hop */
	if (!broadcast && !(multicast && addr_is_link_local(p->in.dst))) {
		if (p->in.ttl <= 1) {
			refuse(w, p, DROP_TTL, ICMP_ERROR_TIME_EXCEEDED);
			return;
		}
		inner_decrement_ttl(p->data, &p->in);
	}
	if (unlikely(multicast)) {
		to_group(w, p);
		return;
	}
	if (unlikely(broadcast)) {
		to_everybody(w, p);
		return;
	}
	c = directory_route(dir, p->in.dst);
	own = own_network(w->path, p->in.dst);
	if (own >= 0 && (!c || own > client_network(c, p->in.dst)))
		to_own_network(w, p);
	else if (c && c != p->origin)
		to_client(w, c, p);
	else
		refuse(w, p, DROP_NO_ROUTE, ICMP_ERROR_NO_ROUTE);
}

static void from_device(struct worker *w, struct packet *p)
{
	struct client *c;

	if (unlikely(addr_is_multicast(p->in.dst))) {
		to_group(w, p);
		return;
	}
	if (unlikely(is_broadcast(w->path, &p->in))) {
		to_everybody(w, p);
		return;
	}
	c = directory_route(directory_of(w), p->in.dst);
	if (c)
		to_client(w, c, p);
	else
		refuse(w, p, DROP_NO_ROUTE, ICMP_ERROR_NO_ROUTE);
}

/* ---- client ---- */

static void from_server(struct worker *w, struct packet *p)
{
	clamp(w, p);
	device_put(w, p);
}

/* The kernel announces a change of its groups: the cluster must learn of it (HELLO). */
static bool is_membership_report(const struct packet *p)
{
	uint8_t type;

	if (p->in.v4)
		return p->in.proto == IGMP;
	if (p->in.proto != IPPROTO_ICMPV6 || !p->in.l4 || p->in.l4 >= p->len)
		return false;
	type = p->data[p->in.l4];
	return (type > MLD_QUERY && type <= MLD_LEAVE) || type == MLD_V2;
}

static void to_server(struct worker *w, struct packet *p)
{
	static const uint8_t unspecified[16];
	struct far_end end;
	enum drop why;

	if (unlikely(is_membership_report(p))) {
		atomic_store_explicit(&w->path->groups_changed, true, memory_order_relaxed);
		w->deadline = 0;
		return;
	}
	/* neighbour discovery and the like: meant for this link, and there is nobody on it */
	if (unlikely(!p->in.v4 && (addr_is_link_local(p->in.src) ||
				   !memcmp(p->in.src, unspecified, 16)))) {
		count_drop(w, DROP_SOURCE);
		return;
	}
	clamp(w, p);
	why = far_end_server(w, &end);
	if (why != DROP_NONE)
		count_drop(w, why);
	else
		send_packet(w, &end, p);
}

const struct mode mode_tunnel = {
	.name = "tunnel",
	.from_client = from_client,
	.from_device = from_device,
	.frame = ethernet_frame,
	.from_server = from_server,
	.to_server = to_server,
	.frame_to_server = ethernet_frame_to_server,
};
