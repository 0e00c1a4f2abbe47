/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "path/anycast.h"

#include <errno.h>
#include <netinet/in.h>
#include <nftables/libnftables.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/log.h"
#include "base/util.h"
#include "path/netlink.h"

#define GUARD_MAX 2048

/*
 * IPv4 takes any metric.  In IPv6 the host route that comes with the address has
 * metric 256: the marker is to be the one that counts.
 */
#define METRIC_MARKER       100
#define METRIC_BLACKHOLE_V4 4294967295u
#define METRIC_BLACKHOLE_V6 2147483647u

const char *anycast_reason_key(enum anycast_reason r)
{
	static const char *const keys[] = {
#define X(name, key, text) [ANYCAST_##name] = key,
		ANYCAST_REASONS(X)
#undef X
	};
	return keys[r];
}

static const char *reason_text(unsigned reasons)
{
	static const char *const texts[] = {
#define X(name, key, text) [ANYCAST_##name] = text,
		ANYCAST_REASONS(X)
#undef X
	};
	return texts[__builtin_ctz(reasons)];
}

/* ---- guard ---- */

/* A line to the text; it has room for all there are. */
__attribute__((format(printf, 2, 3)))
static void add_line(char text[GUARD_MAX], const char *format, ...)
{
	size_t len = strlen(text);
	va_list ap;

	va_start(ap, format);
	vsnprintf(text + len, GUARD_MAX - len, format, ap);
	va_end(ap);
}

/*
 * One transaction, so that at no time there is no guard.  RST and FIN are those of
 * the transport alone: other services on the address close as they like.
 */
static void write_guard(char text[GUARD_MAX], const struct anycast *a, const char *device,
		uint16_t port)
{
	char address[ENDPOINT_TEXT];

	text[0] = 0;
	add_line(text, "table inet anyguard-%s\ndelete table inet anyguard-%s\n", device, device);
	add_line(text, "table inet anyguard-%s {\n", device);
	add_line(text, "chain out {\ntype filter hook output priority -150; policy accept;\n");
	for (unsigned i = 0; i < a->count; i++)
		add_line(text, "%s saddr %s jump guard\n",
				addr_is_v4(a->address[i].ip) ? "ip" : "ip6",
				addr_format(a->address[i].ip, address));
	add_line(text, "}\nchain guard {\n");
	add_line(text, "tcp sport %u tcp flags & (fin | rst) != 0 meta mark != 0x%x counter drop\n",
			port, ANYCAST_CLOSE_MARK);
	add_line(text, "icmp type destination-unreachable icmp code port-unreachable counter drop\n");
	add_line(text, "icmpv6 type destination-unreachable icmpv6 code port-unreachable "
			"counter drop\n}\n}\n");
}

static int put_guard(const struct anycast *a, const char *device, uint16_t port, char *error,
		size_t error_size)
{
	struct nft_ctx *nft = nft_ctx_new(NFT_CTX_DEFAULT);
	char text[GUARD_MAX];
	int result = 0;

	if (!nft)
		return fail(-ENOMEM, error, error_size, "libnftables does not start");
	write_guard(text, a, device, port);
	nft_ctx_buffer_output(nft);
	nft_ctx_buffer_error(nft);
	if (nft_run_cmd_from_buffer(nft, text) != 0)
		result = fail(-EPERM, error, error_size,
				"the packet filter that keeps a dying server silent cannot be made; it "
				"takes root and a kernel with nftables (or set Guard = no): %.200s",
				nft_ctx_get_error_buffer(nft));
	nft_ctx_free(nft);
	return result;
}

/* ---- addresses ---- */

/* An address that stays on another device would be answered from here after our end. */
static bool is_on_this_machine(const struct prefix *p)
{
	struct endpoint e = {.port = 0};
	struct sockaddr_storage ss;
	socklen_t len;
	bool bound;
	int fd;

	memcpy(e.ip, p->ip, sizeof e.ip);
	len = endpoint_to_sockaddr(&e, &ss);
	fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bound = fd >= 0 && bind(fd, (struct sockaddr *)&ss, len) == 0;
	if (fd >= 0)
		close(fd);
	return bound;
}

static int put_blackhole(struct netlink *nl, const struct prefix *p, char *error, size_t error_size)
{
	char text[ENDPOINT_TEXT];
	struct netlink_route r = {
		.to = *p,
		.type = RTN_BLACKHOLE,
		.protocol = ANYCAST_PROTO_BLACKHOLE,
		.metric = addr_is_v4(p->ip) ? METRIC_BLACKHOLE_V4 : METRIC_BLACKHOLE_V6,
	};
	int result = netlink_route_put(nl, &r);

	if (result != 0)
		fail(result, error, error_size, "no blackhole route can be made for %s: %s",
				addr_format(p->ip, text), strerror(-result));
	return result;
}

int anycast_prepare(struct anycast *a, const struct endpoint *listen, const bool *present,
		const char *device_name, bool guard, char *error, size_t error_size)
{
	char text[ENDPOINT_TEXT];
	struct netlink nl;
	int result = 0;

	*a = (struct anycast){
		.enabled = true,
		.reasons = 1u << ANYCAST_STARTING | 1u << ANYCAST_READING,
	};
	for (unsigned i = 0; i < ANYCAST_ADDRESSES; i++) {
		if (!present[i])
			continue;
		memcpy(a->address[a->count].ip, listen[i].ip, 16);
		a->address[a->count].len = 128;
		if (is_on_this_machine(&a->address[a->count++]))
			return fail(-EADDRINUSE, error, error_size,
					"%s is on this machine already: with Announce = yes it must be "
					"on the daemon's own device alone; remove it from the other",
					addr_format(listen[i].ip, text));
	}
	if (guard)
		result = put_guard(a, device_name, listen[present[0] ? 0 : 1].port, error,
				error_size);
	if (result == 0)
		result = netlink_open(&nl);
	if (result != 0)
		return result;
	for (unsigned i = 0; result == 0 && i < a->count; i++)
		result = put_blackhole(&nl, &a->address[i], error, error_size);
	netlink_close(&nl);
	return result;
}

int anycast_take_addresses(struct anycast *a, int device, char *error, size_t error_size)
{
	char text[ENDPOINT_TEXT];
	struct netlink nl;
	int result = netlink_open(&nl);

	if (result != 0)
		return fail(result, error, error_size, "cannot open a netlink socket: %s",
				strerror(-result));
	a->device = device;
	for (unsigned i = 0; result == 0 && i < a->count; i++) {
		result = netlink_service_address(&nl, device, &a->address[i]);
		if (result != 0)
			fail(result, error, error_size,
					"the anycast address %s cannot be set on the tunnel device: %s",
					addr_format(a->address[i].ip, text), strerror(-result));
	}
	netlink_close(&nl);
	return result;
}

/* ---- announcing ---- */

static int set_markers(const struct anycast *a, bool on)
{
	struct netlink nl;
	int result = netlink_open(&nl);

	for (unsigned i = 0; result == 0 && i < a->count; i++) {
		struct netlink_route r = {
			.to = a->address[i],
			.device = a->device,
			.type = RTN_UNICAST,
			.protocol = ANYCAST_PROTO_MARKER,
			.metric = METRIC_MARKER,
		};
		result = on ? netlink_route_put(&nl, &r) : netlink_route_remove(&nl, &r);
		if (!on && result == -ESRCH) /* somebody else has removed it: so be it */
			result = 0;
	}
	netlink_close(&nl);
	return result;
}

int anycast_set(struct anycast *a, enum anycast_reason reason, bool on, char *error,
		size_t error_size)
{
	unsigned bit = 1u << reason;
	unsigned reasons = on ? a->reasons | bit : a->reasons & ~bit;
	bool announce = reasons == 0;
	int result = 0;

	if (a->enabled && announce != a->announced)
		result = set_markers(a, announce);
	if (result != 0 && announce) /* all or none */
		set_markers(a, false);
	if (result != 0)
		return fail(result, error, error_size, "the marker route to the anycast address cannot "
				"be %s: %s", announce ? "set" : "removed", strerror(-result));
	a->reasons = reasons;
	if (a->enabled && announce && !a->announced)
		log_notice("announced: the anycast address leads here");
	else if (a->enabled && !announce && a->announced)
		log_notice("withdrawn: %s; what comes is still served", reason_text(reasons));
	a->announced = a->enabled && announce;
	return 0;
}
