/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Where relays may not lead: to hosts that trust a packet from a server of the
 * cluster more than one from anywhere else, or that are no single host.
 */
#include "mode/relays_internal.h"

#define V4(a, b, c, d) {[10] = 0xff, [11] = 0xff, [12] = a, [13] = b, [14] = c, [15] = d}

/* Never.  Multicast and link-local addresses are known to addr.h. */
static const struct prefix special[] = {
	{V4(0, 0, 0, 0), 96 + 8},       /* this network */
	{V4(127, 0, 0, 0), 96 + 8},     /* loopback */
	{V4(240, 0, 0, 0), 96 + 4},     /* reserved, and broadcast */
	{V4(192, 0, 0, 0), 96 + 24},    /* protocol assignments */
};
/* ::, ::1, and IPv4 inside IPv6 (mapped, compatible, NAT64): there the lists of IPv4 would not hold. */
static const struct prefix special6[] = {
	{{0}, 8},
	{{0x20, 0x02}, 16},             /* 6to4 */
	{{0x20, 0x01, 0, 0}, 32},       /* Teredo */
};
static const struct prefix private[] = {
	{V4(10, 0, 0, 0), 96 + 8},
	{V4(172, 16, 0, 0), 96 + 12},
	{V4(192, 168, 0, 0), 96 + 16},
	{V4(100, 64, 0, 0), 96 + 10},   /* shared address space (RFC 6598) */
	{{0xfc}, 7},                    /* unique local */
	{{0xfe, 0xc0}, 10},             /* site-local, deprecated */
};

static bool in_list(const struct prefix *list, size_t count, const uint8_t ip[16])
{
	for (size_t i = 0; i < count; i++)
		if (prefix_contains(&list[i], ip))
			return true;
	return false;
}

bool relays_denied(const struct relays *t, const uint8_t ip[16])
{
	const struct relays_options *o = &t->o;

	if (addr_is_multicast(ip) || addr_is_link_local(ip))
		return true;
	if (addr_is_v4(ip) ? in_list(special, ARRAY_SIZE(special), ip) :
			     in_list(special6, ARRAY_SIZE(special6), ip))
		return true;
	if ((o->has_v4 && memcmp(ip, o->anycast4, 16) == 0) ||
			(o->has_v6 && memcmp(ip, o->anycast6, 16) == 0))
		return true;
	if (!o->allow_private && in_list(private, ARRAY_SIZE(private), ip))
		return true;
	return in_list(o->deny, o->deny_count, ip);
}
