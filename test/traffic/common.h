/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * What the programs that send and count UDP packets for labs and bench share.
 * They print one line of JSON at their end, and whatever they cannot do ends them
 * with a sentence.
 */
#ifndef TRAFFIC_COMMON_H
#define TRAFFIC_COMMON_H

#include <netdb.h>
#include <signal.h>
#include <stdint.h>
#include <sys/socket.h>

#define SEC_NS       1000000000L
#define BATCH        64   /* datagrams of one system call */
#define DATAGRAM_MAX 2048 /* of those that are received */

extern volatile sig_atomic_t stop; /* SIGTERM or SIGINT came; after stop_on_signals() */

void stop_on_signals(void);
_Noreturn void die(const char *what); /* with errno */
int64_t now_ns(void);
void sleep_until(int64_t ns);

struct addrinfo *resolve(const char *address, const char *port); /* numbers; for freeaddrinfo() */
/* Its buffers have that many bytes each way, whatever the machine's limits are. */
int udp_socket(int family, int buffer);

/* Datagrams as recvmmsg() delivers them. */
struct arrivals {
	uint8_t data[BATCH][DATAGRAM_MAX];
	struct sockaddr_storage from[BATCH];
	struct iovec iov[BATCH];
	struct mmsghdr msgs[BATCH];
};

/* How many came; 0: none by now, or the error of an earlier datagram, in errno. */
unsigned receive(int fd, struct arrivals *a, int flags);

#endif
