/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "traffic/common.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

volatile sig_atomic_t stop;

static void on_signal(int number)
{
	(void)number;
	stop = 1;
}

void stop_on_signals(void)
{
	struct sigaction action = {.sa_handler = on_signal};

	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
}

void die(const char *what)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(errno));
	exit(1);
}

int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * SEC_NS + t.tv_nsec;
}

void sleep_until(int64_t ns)
{
	struct timespec t = {.tv_sec = ns / SEC_NS, .tv_nsec = ns % SEC_NS};

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

struct addrinfo *resolve(const char *address, const char *port)
{
	struct addrinfo hints = {
		.ai_socktype = SOCK_DGRAM,
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
	};
	struct addrinfo *ai;
	int error = getaddrinfo(address, port, &hints, &ai);

	if (!error)
		return ai;
	fprintf(stderr, "%s: %s port %s: %s\n", program_invocation_short_name, address, port,
			gai_strerror(error));
	exit(1);
}

int udp_socket(int family, int buffer)
{
	int fd = socket(family, SOCK_DGRAM, 0);

	if (fd < 0)
		die("socket");
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer) ||
			setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer))
		die("socket buffers (they need root)");
	return fd;
}

unsigned receive(int fd, struct arrivals *a, int flags)
{
	int n;

	for (unsigned i = 0; i < BATCH; i++) {
		a->iov[i] = (struct iovec){.iov_base = a->data[i], .iov_len = DATAGRAM_MAX};
		a->msgs[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &a->iov[i], .msg_iovlen = 1,
			.msg_name = &a->from[i], .msg_namelen = sizeof a->from[i]}};
	}
	errno = 0;
	n = recvmmsg(fd, a->msgs, BATCH, flags, NULL);
	return n < 0 ? 0 : (unsigned)n;
}
