/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * One end of a UDP relay, with nothing but a kernel socket: for the labs.
 *
 *	udppeer ADDRESS PORT RATE [TOKEN [SIZE]]
 *
 * It greets, with its token if it has one, and says "met" when something has come
 * back.  From SIGUSR1 on it sends numbered datagrams at that rate, of that size, and counts
 * those of the other end.  At SIGTERM it stops sending ("stopped"), waits a second for the
 * last arrivals, and prints one line of JSON:
 *
 *	sent, seconds	numbers that the kernel took, and over how long
 *	received	different numbers that came
 *	duplicates	that came again
 *	overtaken	that came after a later one
 *	stall		longest time between two arrivals, in seconds
 *	refused		how often ICMP said something of an earlier datagram
 *	overflow	datagrams that this socket's own buffer had no room for: they
 *			were delivered, and are not lost on the way
 */
#include <endian.h>
#include <errno.h>
#include <linux/sock_diag.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "traffic/common.h"

#define SIZE        172        /* unless told: a datagram as RTP with 20 ms of G.711 */
#define LARGEST     1472
#define NUMBERS     (1u << 24) /* half an hour at 10,000/s */
#define BURST       32         /* who has been held up catches up gently */
#define TICK_NS     500000L
#define GREETING    "hello"
#define GREET_NS    (SEC_NS / 10)
#define LATE_NS     SEC_NS
#define BUFFER      (32 << 20)

static volatile sig_atomic_t begun;

struct peer {
	int fd;
	uint64_t rate, size;
	const char *token; /* or NULL */
	bool met;
	int64_t greeted;
	/* sending */
	int64_t start, end;
	uint64_t sent, refused;
	/* receiving */
	uint8_t seen[NUMBERS / 8];
	uint64_t received, duplicates, overtaken, highest;
	int64_t last, stall;
};

static void on_begin(int number)
{
	(void)number;
	begun = 1;
}

/* ---- sending ---- */

static void send_one(struct peer *p, const char *text)
{
	if (send(p->fd, text, strlen(text), MSG_DONTWAIT) < 0 && errno != EAGAIN)
		p->refused++;
}

static void greet(struct peer *p)
{
	int64_t now = now_ns();

	if (now < p->greeted + GREET_NS)
		return;
	p->greeted = now;
	if (p->token)
		send_one(p, p->token);
	send_one(p, GREETING);
}

/* The next numbers; those that the kernel did not take are used again. */
static void send_numbers(struct peer *p, unsigned count)
{
	static uint8_t data[BURST][LARGEST];
	struct iovec iov[BURST];
	struct mmsghdr msgs[BURST];
	int taken;

	for (unsigned i = 0; i < count; i++) {
		uint64_t number = htobe64(p->sent + i);

		memcpy(data[i], &number, sizeof number);
		iov[i] = (struct iovec){.iov_base = data[i], .iov_len = p->size};
		msgs[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &iov[i], .msg_iovlen = 1}};
	}
	taken = sendmmsg(p->fd, msgs, count, MSG_DONTWAIT);
	if (taken > 0)
		p->sent += (unsigned)taken;
	else if (taken < 0 && errno != EAGAIN)
		p->refused++;
}

static void send_due(struct peer *p)
{
	int64_t now = now_ns();
	uint64_t due;

	if (!p->start)
		p->start = now;
	p->end = now;
	due = (uint64_t)((double)p->rate * (double)(now - p->start) / SEC_NS) + 1;
	if (due > NUMBERS)
		due = NUMBERS;
	if (due > p->sent)
		send_numbers(p, due - p->sent < BURST ? (unsigned)(due - p->sent) : BURST);
}

/* ---- receiving ---- */

static void take_number(struct peer *p, uint64_t number, int64_t now)
{
	uint8_t bit = (uint8_t)(1 << number % 8);

	if (number >= NUMBERS) {
		fprintf(stderr, "udppeer: a datagram that nobody sent\n");
		exit(1);
	}
	if (p->seen[number / 8] & bit) {
		p->duplicates++;
		return;
	}
	p->seen[number / 8] |= bit;
	p->received++;
	if (number < p->highest)
		p->overtaken++;
	else
		p->highest = number;
	if (p->last && now - p->last > p->stall)
		p->stall = now - p->last;
	p->last = now;
}

/* What is there; false: nothing. */
static bool take(struct peer *p)
{
	static struct arrivals arrivals;
	unsigned count = receive(p->fd, &arrivals, MSG_DONTWAIT);
	int64_t now = now_ns();

	if (count && !p->met)
		puts("met");
	p->met |= count > 0;
	for (unsigned i = 0; i < count; i++) {
		uint64_t number;

		memcpy(&number, arrivals.data[i], sizeof number);
		if (arrivals.msgs[i].msg_len == p->size)
			take_number(p, be64toh(number), now);
	}
	if (!count && errno != EAGAIN && errno != EINTR)
		p->refused++;
	return count || (errno != EAGAIN && errno != EINTR);
}

/* ---- the whole ---- */

static void run(struct peer *p)
{
	int64_t end;

	while (!stop) {
		if (begun)
			send_due(p);
		else
			greet(p);
		if (!take(p))
			sleep_until(now_ns() + TICK_NS);
	}
	puts("stopped");
	/* However late this process gets its turn: what has come is counted. */
	for (end = now_ns() + LATE_NS; take(p) || now_ns() < end;)
		sleep_until(now_ns() + TICK_NS);
}

static void report(const struct peer *p)
{
	uint32_t memory[SK_MEMINFO_VARS] = {0};
	socklen_t size = sizeof memory;

	if (getsockopt(p->fd, SOL_SOCKET, SO_MEMINFO, memory, &size))
		die("what the socket has dropped");
	printf("{\"sent\": %llu, \"seconds\": %.3f, \"received\": %llu, \"duplicates\": %llu, "
	       "\"overtaken\": %llu, \"stall\": %.4f, \"refused\": %llu, \"overflow\": %u}\n",
			(unsigned long long)p->sent, (double)(p->end - p->start) / SEC_NS,
			(unsigned long long)p->received, (unsigned long long)p->duplicates,
			(unsigned long long)p->overtaken, (double)p->stall / SEC_NS,
			(unsigned long long)p->refused, memory[SK_MEMINFO_DROPS]);
}

int main(int argc, char **argv)
{
	static struct peer p;
	struct sigaction begin = {.sa_handler = on_begin};
	struct addrinfo *ai;

	p.size = argc == 6 ? strtoull(argv[5], NULL, 10) : SIZE;
	if (argc < 4 || argc > 6 || !(p.rate = strtoull(argv[3], NULL, 10)) ||
			p.size < sizeof p.sent || p.size > LARGEST) {
		fprintf(stderr, "usage: udppeer ADDRESS PORT RATE [TOKEN [SIZE]]\n");
		return 2;
	}
	stop_on_signals();
	sigaction(SIGUSR1, &begin, NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	p.token = argc > 4 ? argv[4] : NULL;
	ai = resolve(argv[1], argv[2]);
	p.fd = udp_socket(ai->ai_family, BUFFER);
	if (connect(p.fd, ai->ai_addr, ai->ai_addrlen))
		die("connect");
	puts("ready");
	run(&p);
	report(&p);
	freeaddrinfo(ai);
	close(p.fd);
	return 0;
}
