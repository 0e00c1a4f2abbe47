/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * UDP packet rates for the bench: a paced sender and a counting receiver.
 *
 *	udpload send ADDRESS PORT SIZE RATE SECONDS
 *	udpload recv ADDRESS PORT
 *	udpload meet ADDRESS PORT	one datagram, again and again, until recv has answered it
 *
 * SIZE is the UDP payload in bytes; RATE is in packets a second, 0 is as fast
 * as the socket takes them.  The receiver counts until SIGTERM or SIGINT.  Both
 * print one line of JSON.  What the sender could not hand to its kernel is not
 * counted as sent.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH    64
#define SIZE_MAX_UDP 65507
#define TICK_NS  500000L /* a paced sender wakes up this often */
#define SEC_NS   1000000000L
#define SOURCE_PORT 5998
#define MEETING  4 /* bytes of a datagram that is answered, and not counted */
#define MEET_MAX 50

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
	(void)number;
	stop = 1;
}

static void die(const char *what)
{
	fprintf(stderr, "udpload: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * SEC_NS + t.tv_nsec;
}

static void sleep_until(int64_t ns)
{
	struct timespec t = {.tv_sec = ns / SEC_NS, .tv_nsec = ns % SEC_NS};

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

static int open_socket(const char *address, const char *port, struct addrinfo **ai)
{
	struct addrinfo hints = {.ai_socktype = SOCK_DGRAM,
				 .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
	int buffer = 4 << 20, error = getaddrinfo(address, port, &hints, ai), fd;

	if (error) {
		fprintf(stderr, "udpload: %s port %s: %s\n", address, port, gai_strerror(error));
		exit(1);
	}
	fd = socket((*ai)->ai_family, SOCK_DGRAM, 0);
	if (fd < 0)
		die("socket");
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer) ||
			setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer))
		die("socket buffer of 4 MB (needs root)");
	return fd;
}

/* Relays learn who sends by address and port: all senders have the same one. */
static void bind_source(int fd, int family)
{
	struct sockaddr_in6 any6 = {.sin6_family = AF_INET6, .sin6_port = htons(SOURCE_PORT)};
	struct sockaddr_in any4 = {.sin_family = AF_INET, .sin_port = htons(SOURCE_PORT)};

	if (family == AF_INET ? bind(fd, (struct sockaddr *)&any4, sizeof any4) :
				bind(fd, (struct sockaddr *)&any6, sizeof any6))
		die("bind");
}

/* One batch of at most n packets; how many the kernel took. */
static unsigned send_batch(int fd, struct mmsghdr msgs[BATCH], unsigned n)
{
	int sent = sendmmsg(fd, msgs, n < BATCH ? n : BATCH, 0);

	if (sent >= 0)
		return (unsigned)sent;
	if (errno != ENOBUFS && errno != EAGAIN && errno != EINTR && errno != EPERM)
		die("sendmmsg");
	return 0;
}

static void run_sender(int fd, size_t size, uint64_t rate, double seconds)
{
	static uint8_t data[SIZE_MAX_UDP];
	struct iovec iov = {.iov_base = data, .iov_len = size};
	struct mmsghdr msgs[BATCH];
	int64_t start = now_ns(), end = start + (int64_t)(seconds * SEC_NS), now = start;
	uint64_t sent = 0, tried = 0;

	for (unsigned i = 0; i < BATCH; i++)
		msgs[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &iov, .msg_iovlen = 1}};
	for (; now < end && !stop; now = now_ns()) {
		uint64_t due = BATCH;

		if (rate) {
			due = (uint64_t)((double)rate * (double)(now - start) / SEC_NS) - tried;
			if (!due) {
				sleep_until(now + TICK_NS);
				continue;
			}
		}
		unsigned batch = due < BATCH ? (unsigned)due : BATCH;
		tried += batch;
		sent += send_batch(fd, msgs, batch);
	}
	printf("{\"sent\": %llu, \"seconds\": %.6f}\n", (unsigned long long)sent,
			(double)(now - start) / SEC_NS);
}

/* Ten a second, for 5 s: a relay may have to learn first where they go. */
static int run_meeting(int fd)
{
	struct timeval timeout = {.tv_usec = 100000};
	uint8_t data[MEETING] = {0};

	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout))
		die("receive timeout");
	for (unsigned i = 0; i < MEET_MAX; i++) {
		if (send(fd, data, sizeof data, 0) < 0 && errno != ECONNREFUSED)
			die("send");
		if (recv(fd, data, sizeof data, 0) == MEETING)
			return 0;
	}
	fprintf(stderr, "udpload: no answer\n");
	return 1;
}

static bool is_meeting(int fd, const struct mmsghdr *m)
{
	if (m->msg_len != MEETING)
		return false;
	sendto(fd, m->msg_hdr.msg_iov->iov_base, MEETING, 0, m->msg_hdr.msg_name,
			m->msg_hdr.msg_namelen);
	return true;
}

static void run_receiver(int fd)
{
	static uint8_t data[BATCH][2048];
	struct sockaddr_storage from[BATCH];
	struct iovec iov[BATCH];
	struct mmsghdr msgs[BATCH];
	struct timeval timeout = {.tv_usec = 100000};
	int64_t first = 0, last = 0;
	uint64_t packets = 0, bytes = 0;

	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout))
		die("receive timeout");
	for (unsigned i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){.iov_base = data[i], .iov_len = sizeof data[i]};
		msgs[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &iov[i], .msg_iovlen = 1,
			.msg_name = &from[i], .msg_namelen = sizeof from[i]}};
	}
	fprintf(stderr, "ready\n");
	while (!stop) {
		int n = recvmmsg(fd, msgs, BATCH, MSG_WAITFORONE, NULL);

		if (n < 0 && errno != EAGAIN && errno != EINTR)
			die("recvmmsg");
		if (n <= 0 || (n == 1 && is_meeting(fd, &msgs[0])))
			continue;
		last = now_ns();
		if (!packets)
			first = last;
		packets += (unsigned)n;
		for (int i = 0; i < n; i++)
			bytes += msgs[i].msg_len;
	}
	printf("{\"received\": %llu, \"bytes\": %llu, \"seconds\": %.6f}\n",
			(unsigned long long)packets, (unsigned long long)bytes,
			(double)(last - first) / SEC_NS);
}

static int usage(void)
{
	fprintf(stderr, "usage: udpload send ADDRESS PORT SIZE RATE SECONDS\n"
			"       udpload recv ADDRESS PORT\n"
			"       udpload meet ADDRESS PORT\n");
	return 2;
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_signal};
	struct addrinfo *ai;
	int fd, code = 0;

	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	if (argc == 4 && !strcmp(argv[1], "recv")) {
		fd = open_socket(argv[2], argv[3], &ai);
		if (bind(fd, ai->ai_addr, ai->ai_addrlen))
			die("bind");
		run_receiver(fd);
	} else if (argc == 4 && !strcmp(argv[1], "meet")) {
		fd = open_socket(argv[2], argv[3], &ai);
		bind_source(fd, ai->ai_family);
		if (connect(fd, ai->ai_addr, ai->ai_addrlen))
			die("connect");
		code = run_meeting(fd);
	} else if (argc == 7 && !strcmp(argv[1], "send")) {
		unsigned long size = strtoul(argv[4], NULL, 10);

		if (!size || size > SIZE_MAX_UDP)
			return usage();
		fd = open_socket(argv[2], argv[3], &ai);
		bind_source(fd, ai->ai_family);
		if (connect(fd, ai->ai_addr, ai->ai_addrlen))
			die("connect");
		run_sender(fd, size, strtoull(argv[5], NULL, 10), strtod(argv[6], NULL));
	} else {
		return usage();
	}
	freeaddrinfo(ai);
	close(fd);
	return code;
}
