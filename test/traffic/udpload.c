/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * UDP packet rates for the bench: a paced sender and a counting receiver.
 *
 *	udpload send ADDRESS PORT SIZE RATE SECONDS [PEER PORT]
 *	udpload recv ADDRESS PORT
 *	udpload meet ADDRESS PORT	one datagram, again and again, until recv has answered it
 *
 * SIZE is the UDP payload in bytes; RATE is in packets a second, 0 is as fast
 * as the socket takes them.  With a PEER, ADDRESS is a TURN server that relays
 * to it.  The receiver counts until SIGTERM or SIGINT.  Both print one line of
 * JSON.  What the sender could not hand to its kernel is not counted as sent.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "traffic/common.h"
#include "traffic/turn.h"

#define SIZE_MAX_UDP 65507
#define BUFFER       (4 << 20)
#define TICK_NS      500000L /* a paced sender wakes up this often */
#define SOURCE_PORT  5998
#define MEETING      4 /* bytes of a datagram that is answered, and not counted */
#define MEET_MAX     50

/* Relays learn who sends by address and port: all senders have the same one. */
static void bind_source(int fd, int family)
{
	struct sockaddr_in6 any6 = {.sin6_family = AF_INET6, .sin6_port = htons(SOURCE_PORT)};
	struct sockaddr_in any4 = {.sin_family = AF_INET, .sin_port = htons(SOURCE_PORT)};

	if (family == AF_INET ? bind(fd, (struct sockaddr *)&any4, sizeof any4) :
				bind(fd, (struct sockaddr *)&any6, sizeof any6))
		die("bind");
}

static int socket_to(const char *address, const char *port)
{
	struct addrinfo *ai = resolve(address, port);
	int fd = udp_socket(ai->ai_family, BUFFER);

	bind_source(fd, ai->ai_family);
	if (connect(fd, ai->ai_addr, ai->ai_addrlen))
		die("connect");
	freeaddrinfo(ai);
	return fd;
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

/* All datagrams are alike: header, of as many bytes as say so, and zeros. */
static void run_sender(int fd, const struct iovec *header, size_t size, uint64_t rate,
		double seconds)
{
	static uint8_t data[SIZE_MAX_UDP];
	struct iovec iov[] = {*header, {.iov_base = data, .iov_len = size}};
	struct mmsghdr msgs[BATCH];
	int64_t start = now_ns(), end = start + (int64_t)(seconds * SEC_NS), now = start;
	uint64_t sent = 0, tried = 0;

	for (unsigned i = 0; i < BATCH; i++)
		msgs[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = iov, .msg_iovlen = 2}};
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
	static struct arrivals arrivals;
	struct timeval timeout = {.tv_usec = 100000};
	int64_t first = 0, last = 0;
	uint64_t packets = 0, bytes = 0;

	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout))
		die("receive timeout");
	fprintf(stderr, "ready\n");
	while (!stop) {
		unsigned n = receive(fd, &arrivals, MSG_WAITFORONE);

		if (!n && errno != EAGAIN && errno != EINTR)
			die("recvmmsg");
		if (!n || (n == 1 && is_meeting(fd, &arrivals.msgs[0])))
			continue;
		last = now_ns();
		if (!packets)
			first = last;
		packets += n;
		for (unsigned i = 0; i < n; i++)
			bytes += arrivals.msgs[i].msg_len;
	}
	printf("{\"received\": %llu, \"bytes\": %llu, \"seconds\": %.6f}\n",
			(unsigned long long)packets, (unsigned long long)bytes,
			(double)(last - first) / SEC_NS);
}

/* ---- command line ---- */

static int usage(void)
{
	fprintf(stderr, "usage: udpload send ADDRESS PORT SIZE RATE SECONDS [PEER PORT]\n"
			"       udpload recv ADDRESS PORT\n"
			"       udpload meet ADDRESS PORT\n");
	return 2;
}

static int do_recv(char **words)
{
	struct addrinfo *ai = resolve(words[0], words[1]);
	int fd = udp_socket(ai->ai_family, BUFFER);

	if (bind(fd, ai->ai_addr, ai->ai_addrlen))
		die("bind");
	freeaddrinfo(ai);
	run_receiver(fd);
	close(fd);
	return 0;
}

static int do_meet(char **words)
{
	int fd = socket_to(words[0], words[1]), code = run_meeting(fd);

	close(fd);
	return code;
}

static void open_channel(int fd, const char *peer, const char *port)
{
	struct addrinfo *ai = resolve(peer, port);

	if (ai->ai_family != AF_INET) {
		fprintf(stderr, "udpload: %s: only IPv4 goes through TURN here\n", peer);
		exit(1);
	}
	turn_open(fd, (const struct sockaddr_in *)ai->ai_addr);
	freeaddrinfo(ai);
}

static int do_send(char **words)
{
	unsigned long size = strtoul(words[2], NULL, 10);
	uint8_t channel[TURN_HEADER];
	struct iovec header = {0};
	int fd;

	if (!size || size > SIZE_MAX_UDP)
		return usage();
	fd = socket_to(words[0], words[1]);
	if (words[5]) {
		open_channel(fd, words[5], words[6]);
		turn_header(channel, size);
		header = (struct iovec){.iov_base = channel, .iov_len = sizeof channel};
	}
	run_sender(fd, &header, size, strtoull(words[3], NULL, 10), strtod(words[4], NULL));
	close(fd);
	return 0;
}

int main(int argc, char **argv)
{
	stop_on_signals();
	if (argc == 4 && !strcmp(argv[1], "recv"))
		return do_recv(argv + 2);
	if (argc == 4 && !strcmp(argv[1], "meet"))
		return do_meet(argv + 2);
	if ((argc == 7 || argc == 9) && !strcmp(argv[1], "send"))
		return do_send(argv + 2);
	return usage();
}
