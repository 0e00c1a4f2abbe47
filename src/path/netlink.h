/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * rtnetlink requests about one interface, each sent and acknowledged before the
 * next (libmnl).  All functions return 0 or a negative errno, the kernel's.
 */
#ifndef PATH_NETLINK_H
#define PATH_NETLINK_H

#include <linux/rtnetlink.h>
#include "base/addr.h"

struct mnl_socket;

struct netlink {
	struct mnl_socket *socket;
	unsigned port, sequence;
};

int netlink_open(struct netlink *nl);
void netlink_close(struct netlink *nl);

/* Up, with this MTU; gso_max (bytes of the largest frame) and queue_len: 0 leaves them. */
int netlink_link_up(struct netlink *nl, int index, unsigned mtu, unsigned gso_max,
		unsigned queue_len);
/* With its prefix route where it is shorter than a host; no duplicate address detection. */
int netlink_address(struct netlink *nl, int index, const struct prefix *address);
/* A host's address that the kernel never takes as the source of its own packets. */
int netlink_service_address(struct netlink *nl, int index, const struct prefix *address);
/* Into the device.  -EEXIST if the main table has a route to exactly this prefix already. */
int netlink_route(struct netlink *nl, int index, const struct prefix *to);

/* A route of ours in the main table, told from others' by its protocol and metric. */
struct netlink_route {
	struct prefix to; /* no bits after its length */
	int device;       /* interface index; 0: none */
	uint8_t type;     /* RTN_UNICAST, RTN_BLACKHOLE */
	uint8_t protocol;
	uint32_t metric;
};
/* In place of the one with this prefix and metric, if there is one. */
int netlink_route_put(struct netlink *nl, const struct netlink_route *r);
int netlink_route_remove(struct netlink *nl, const struct netlink_route *r); /* -ESRCH: none */

#endif
