/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "path/raw.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define IPV4_HEADER      20
#define IPV4_DESTINATION 16
#define IPV6_HEADER      40
#define IPV6_DESTINATION 24

/*
 * IPPROTO_RAW: the header is the caller's, in both families.  PROBE: what somebody has told the
 * kernel about the path to a host does not count, but the device's MTU alone (ADR 31).
 */
static int open_one(int family)
{
	int fd = socket(family, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW);
	const int v4 = IP_PMTUDISC_PROBE, v6 = IPV6_PMTUDISC_PROBE;
	int result;

	if (fd < 0)
		return -errno;
	if (family == AF_INET ? setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &v4, sizeof v4) :
			setsockopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &v6, sizeof v6)) {
		result = -errno;
		close(fd);
		return result;
	}
	return fd;
}

int raw_open(struct raw *r, char *error, size_t error_size)
{
	int failed;

	r->v4 = open_one(AF_INET);
	r->v6 = open_one(AF_INET6);
	failed = r->v4 < 0 ? r->v4 : r->v6;
	if (failed >= 0)
		return 0;
	raw_close(r);
	snprintf(error, error_size, "relays need raw sockets, which cannot be opened: %s; start as root",
			strerror(-failed));
	return failed;
}

void raw_close(struct raw *r)
{
	if (r->v4 >= 0)
		close(r->v4);
	if (r->v6 >= 0)
		close(r->v6);
	r->v4 = r->v6 = -1;
}

static int send_to(int fd, const uint8_t *packet, size_t len, const void *address, socklen_t size)
{
	return sendto(fd, packet, len, MSG_DONTWAIT, address, size) < 0 ? -errno : 0;
}

int raw_send(const struct raw *r, const uint8_t *packet, size_t len)
{
	struct sockaddr_in to4 = {.sin_family = AF_INET};
	struct sockaddr_in6 to6 = {.sin6_family = AF_INET6};

	if (len >= IPV4_HEADER && packet[0] >> 4 == 4) {
		memcpy(&to4.sin_addr, packet + IPV4_DESTINATION, sizeof to4.sin_addr);
		return send_to(r->v4, packet, len, &to4, sizeof to4);
	}
	if (len >= IPV6_HEADER && packet[0] >> 4 == 6) {
		memcpy(&to6.sin6_addr, packet + IPV6_DESTINATION, sizeof to6.sin6_addr);
		return send_to(r->v6, packet, len, &to6, sizeof to6);
	}
	return -EINVAL;
}
