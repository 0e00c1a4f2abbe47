/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "path/netwatch.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"

/*
 * Links besides: an interface set down takes its IPv4 routes with it without a
 * message for each.
 */
#define GROUPS                                                                                     \
	(RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE |               \
			RTMGRP_IPV6_ROUTE)

int netwatch_open(void)
{
	struct sockaddr_nl local = {.nl_family = AF_NETLINK, .nl_groups = GROUPS};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&local, sizeof local) != 0) {
		int result = -errno;

		close(fd);
		return result;
	}
	return fd;
}

/* The device a route leads through; 0 if it names none (several next hops, unreachable). */
static int route_device(const struct nlmsghdr *h)
{
	const struct rtmsg *m = NLMSG_DATA(h);
	unsigned left = h->nlmsg_len - NLMSG_LENGTH(sizeof *m);
	int index = 0;

	for (const struct rtattr *a = RTM_RTA(m); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
		if (a->rta_type == RTA_OIF && RTA_PAYLOAD(a) >= sizeof index)
			memcpy(&index, RTA_DATA(a), sizeof index);
	}
	return index;
}

static bool concerns(const struct nlmsghdr *h, int own)
{
	switch (h->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK: {
		const struct ifinfomsg *m = NLMSG_DATA(h);

		return h->nlmsg_len >= NLMSG_LENGTH(sizeof *m) && m->ifi_index != own &&
		       (m->ifi_change & IFF_UP);
	}
	case RTM_NEWADDR:
	case RTM_DELADDR: {
		const struct ifaddrmsg *m = NLMSG_DATA(h);

		return h->nlmsg_len >= NLMSG_LENGTH(sizeof *m) && (int)m->ifa_index != own;
	}
	case RTM_NEWROUTE:
	case RTM_DELROUTE: {
		const struct rtmsg *m = NLMSG_DATA(h);

		return h->nlmsg_len >= NLMSG_LENGTH(sizeof *m) && !(m->rtm_flags & RTM_F_CLONED) &&
		       route_device(h) != own;
	}
	default:
		return false;
	}
}

bool netwatch_read(int fd, int own)
{
	_Alignas(struct nlmsghdr) char buffer[8192];
	bool changed = false;

	for (;;) {
		ssize_t n = recv(fd, buffer, sizeof buffer, 0);
		unsigned left = n > 0 ? (unsigned)n : 0;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == ENOBUFS) {
			changed = true; /* messages were lost: something has changed */
			continue;
		}
		if (n <= 0)
			return changed;
		for (const struct nlmsghdr *h = (const struct nlmsghdr *)buffer; NLMSG_OK(h, left);
				h = NLMSG_NEXT(h, left))
			changed |= concerns(h, own);
	}
}
