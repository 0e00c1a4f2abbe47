/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * rtnetlink requests about one interface, each sent and acknowledged before the
 * next (libmnl).  All functions return 0 or a negative errno, the kernel's.
 */
#ifndef PATH_NETLINK_H
#define PATH_NETLINK_H

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
/* Into the device.  -EEXIST if the main table has a route to exactly this prefix already. */
int netlink_route(struct netlink *nl, int index, const struct prefix *to);

#endif
