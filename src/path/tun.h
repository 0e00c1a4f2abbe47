/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The tunnel device: a non-persistent TUN or TAP with IFF_VNET_HDR, so that
 * frames of up to 64 KB cross it whole, and its addresses and routes.  The
 * device ends with the process: every descriptor is close-on-exec.
 */
#ifndef PATH_TUN_H
#define PATH_TUN_H

#include <linux/virtio_net.h>
#include "base/addr.h"
#include "base/util.h"

struct tun {
	char name[16];
	int index;     /* interface index */
	bool ethernet; /* TAP */
	bool uso;      /* UDP segmentation offload was taken (Linux 6.2) */
	uint8_t mac[6]; /* TAP only */
};

/*
 * Opens `queues` queues into fd[] (non-blocking).  no_uso is the test knob for
 * older kernels.  Returns 0 or a negative errno, with a sentence for the person
 * in error (what failed, on which device, what to do).
 */
int tun_open(struct tun *t, const char *name, bool ethernet, unsigned queues, bool no_uso, int *fd,
		char *error, size_t error_size);
/* Over netlink: up, MTU, largest TSO frame (0: leave), addresses, routes into the device. */
int tun_set_up(const struct tun *t, unsigned mtu, unsigned gso_max, const struct prefix *addresses,
		unsigned address_count, const struct prefix *routes, unsigned route_count,
		char *error, size_t error_size);
int tun_set_mtu(const struct tun *t, unsigned mtu, unsigned gso_max);
/* The multicast groups that this machine has joined on the device (at most max); their number. */
unsigned tun_groups(const struct tun *t, uint8_t groups[][16], unsigned max);

/* One frame; length after the virtio_net_hdr, or a negative errno (-EAGAIN: nothing there). */
ssize_t tun_read(int fd, struct virtio_net_hdr *vh, uint8_t *frame, size_t room);
int tun_write(int fd, const struct virtio_net_hdr *vh, const uint8_t *frame, size_t len);

#endif
