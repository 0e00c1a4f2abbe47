/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* Over the loopback device of a network namespace of its own; skipped where there may be none. */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <cmocka.h>

#include "path/udp.h"

static struct udp_receiver receiver;
static struct udp_sender sender;
static uint8_t data[256 * 1024];

/* A namespace where lo is up with this MTU. */
static bool enter_namespace(int mtu)
{
	struct ifreq up = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	struct ifreq size = {.ifr_name = "lo", .ifr_mtu = mtu};
	bool done;
	int fd;

	if (unshare(CLONE_NEWNET) != 0)
		return false;
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	done = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &up) == 0 && ioctl(fd, SIOCSIFMTU, &size) == 0;
	if (fd >= 0)
		close(fd);
	return done;
}

static struct endpoint local(int fd)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof ss;
	struct endpoint e;

	assert_int_equal(getsockname(fd, (struct sockaddr *)&ss, &len), 0);
	assert_true(endpoint_from_sockaddr(&e, (struct sockaddr *)&ss));
	return e;
}

static int open_at(const char *text)
{
	struct endpoint e;
	char error[200] = "";
	int fd;

	assert_int_equal(addr_parse(text, e.ip), 0);
	e.port = 0;
	fd = udp_open(&e, (struct udp_options){0}, error, sizeof error);
	assert_string_equal(error, "");
	assert_true(fd >= 0);
	return fd;
}

static int set_up(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)(i * 2654435761u >> 13);
	udp_receiver_init(&receiver);
	return 0;
}

static int option(int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof value;

	assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
	return value;
}

static void receive(int fd, unsigned wanted)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	assert_int_equal(poll(&p, 1, 5000), 1);
	assert_int_equal(udp_receive(&receiver, fd), wanted);
	assert_int_equal(receiver.count, wanted);
}

static void check_message(unsigned i, size_t offset, size_t len, unsigned segment, unsigned tos)
{
	const struct udp_message *m = &receiver.message[i];

	assert_int_equal(m->len, len);
	assert_int_equal(m->segment, segment);
	assert_int_equal(m->tos, tos);
	assert_memory_equal(m->data, data + offset, len);
}

static void sockets_are_set_up(void **state)
{
	int v4 = open_at("0.0.0.0"), v6 = open_at("::");
	(void)state;

	assert_int_equal(option(v4, IPPROTO_IP, IP_MTU_DISCOVER), IP_PMTUDISC_PROBE);
	assert_int_equal(option(v6, IPPROTO_IPV6, IPV6_MTU_DISCOVER), IPV6_PMTUDISC_PROBE);
	assert_int_equal(option(v6, IPPROTO_IPV6, IPV6_V6ONLY), 1);
	assert_int_equal(option(v6, IPPROTO_IPV6, IPV6_AUTOFLOWLABEL), 0);
	assert_true(option(v4, SOL_SOCKET, SO_RCVBUF) > 400000);
	assert_true(fcntl(v4, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(v4, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(udp_receive(&receiver, v4), -EAGAIN);
	close(v4);
	close(v6);
}

static void errors_are_sentences(void **state)
{
	int fd = open_at("127.0.0.1");
	struct endpoint e = local(fd);
	char error[200], expected[200];
	(void)state;

	snprintf(expected, sizeof expected, "cannot listen on UDP 127.0.0.1:%u: another program uses "
			"that port; stop it or choose another Port", e.port);
	assert_int_equal(udp_open(&e, (struct udp_options){0}, error, sizeof error), -EADDRINUSE);
	assert_string_equal(error, expected);
	close(fd);

	assert_int_equal(endpoint_parse("192.0.2.1:4444", 0, &e), 0);
	assert_int_equal(udp_open(&e, (struct udp_options){0}, error, sizeof error), -EADDRNOTAVAIL);
	assert_string_equal(error, "cannot listen on UDP 192.0.2.1:4444: that address is not on this "
				   "machine");
	for (unsigned i = 0; i < 2; i++) {
		struct udp_options both = {.reuse_port = true, .free_bind = true};
		int first = udp_open(&e, both, error, sizeof error);
		int second = udp_open(&e, both, error, sizeof error);

		assert_true(first >= 0 && second >= 0);
		close(first);
		close(second);
		assert_int_equal(endpoint_parse("[2001:db8::1]:4444", 0, &e), 0);
	}
}

/* The workers of one daemon share a port, the kernel spreads over them, and no other daemon gets in. */
static void a_port_is_shared_by_one_daemon(void **state)
{
	struct udp_options first = {.reuse_port = true, .first = true}, more = {.reuse_port = true};
	static struct udp_receiver in;
	struct endpoint e;
	char error[200];
	int fd[2];
	(void)state;

	assert_int_equal(addr_parse("127.0.0.1", e.ip), 0);
	e.port = 0;
	fd[0] = udp_open(&e, first, error, sizeof error);
	assert_true(fd[0] >= 0);
	e = local(fd[0]);
	fd[1] = udp_open(&e, more, error, sizeof error);
	assert_true(fd[1] >= 0);
	assert_int_equal(udp_open(&e, first, error, sizeof error), -EADDRINUSE);
	assert_int_equal(udp_open(&e, (struct udp_options){0}, error, sizeof error), -EADDRINUSE);

	for (unsigned i = 0; i < 100; i++) { /* each from a port of its own */
		struct sockaddr_storage ss;
		socklen_t len = endpoint_to_sockaddr(&e, &ss);
		int out = socket(AF_INET, SOCK_DGRAM, 0);

		assert_int_equal(sendto(out, "x", 1, 0, (struct sockaddr *)&ss, len), 1);
		close(out);
	}
	udp_receiver_init(&in);
	for (unsigned i = 0; i < 2; i++) {
		assert_true(udp_receive(&in, fd[i]) > 0);
		close(fd[i]);
	}
}

/* Equal datagrams are one run, with a shorter one at its end: one message at the other side. */
static void runs_cross_whole(const char *address)
{
	int in = open_at(address), out = open_at(address);
	struct endpoint to = local(in), from = local(out);
	size_t at = 0;

	udp_sender_init(&sender, out);
	for (unsigned i = 0; i < 21; i++) {
		size_t len = i < 20 ? 1400 : 77;

		udp_send_add(&sender, &to, 0xb9, data + at, len);
		at += len;
	}
	assert_int_equal(sender.count, 1);
	assert_int_equal(sender.run[0].iov_count, 1); /* adjacent memory */
	udp_send_add(&sender, &to, 0xb9, data + at, 77); /* the run ended with the short one */
	udp_send_add(&sender, &to, 0, data + at, 77);    /* another TOS */
	assert_int_equal(sender.count, 3);
	udp_send_flush(&sender);
	assert_int_equal(sender.count, 0);
	assert_int_equal(sender.counters.datagrams, 23);
	assert_int_equal(sender.counters.bytes, 20 * 1400 + 3 * 77);
	assert_int_equal(sender.counters.calls, 1);

	receive(in, 3);
	check_message(0, 0, at, 1400, 0xb9);
	check_message(1, at, 77, 77, 0xb9);
	check_message(2, at, 77, 77, 0);
	assert_true(endpoint_equal(&receiver.message[0].from, &from));
	close(in);
	close(out);
}

static void runs_cross_whole_v4(void **state)
{
	(void)state;
	runs_cross_whole("127.0.0.1");
}

static void runs_cross_whole_v6(void **state)
{
	(void)state;
	runs_cross_whole("::1");
}

/* Two destinations in turn still make two runs, from scattered memory. */
static void interleaved_destinations_are_grouped(void **state)
{
	int in[2] = {open_at("127.0.0.1"), open_at("127.0.0.1")}, out = open_at("0.0.0.0");
	struct endpoint to[2] = {local(in[0]), local(in[1])};
	(void)state;

	udp_sender_init(&sender, out);
	for (unsigned i = 0; i < 40; i++)
		udp_send_add(&sender, &to[i % 2], 0, data + i * 1000, 1000);
	assert_int_equal(sender.count, 2);
	assert_int_equal(sender.run[0].iov_count, 20);
	udp_send_flush(&sender);
	for (unsigned k = 0; k < 2; k++) {
		receive(in[k], 1);
		assert_int_equal(receiver.message[0].len, 20000);
		assert_int_equal(receiver.message[0].segment, 1000);
		for (unsigned i = 0; i < 20; i++)
			assert_memory_equal(receiver.message[0].data + i * 1000,
					data + (2 * i + k) * 1000, 1000);
		close(in[k]);
	}
	close(out);
}

/* A probe that a router finds too big must not take data of its run with it. */
static void what_is_alone_stays_alone(void **state)
{
	int in = open_at("127.0.0.1"), out = open_at("0.0.0.0");
	struct endpoint to = local(in);
	(void)state;

	udp_sender_init(&sender, out);
	udp_send_add(&sender, &to, 0, data, 1000);
	udp_send_alone(&sender, &to, 0, data + 1000, 900);
	udp_send_add(&sender, &to, 0, data + 1900, 800);
	udp_send_add(&sender, &to, 0, data + 2700, 800);
	assert_int_equal(sender.count, 3);
	udp_send_flush(&sender);
	receive(in, 3);
	check_message(0, 0, 1000, 1000, 0);
	check_message(1, 1000, 900, 900, 0);
	check_message(2, 1900, 1600, 800, 0);
	close(in);
	close(out);
}

/* Whatever the sizes, TOS values and number of destinations: each gets its own, in order. */
static void order_is_kept(void **state)
{
	enum { PEERS = 11, DATAGRAMS = 3000, FLUSH = 500 };
	static uint8_t seen_tos[PEERS];
	int in[PEERS], out = open_at("0.0.0.0");
	struct endpoint to[PEERS];
	uint32_t next[PEERS] = {0}, sent[PEERS] = {0}, random = 99, total = 0;
	(void)state;

	for (unsigned i = 0; i < PEERS; i++) {
		in[i] = open_at("127.0.0.1");
		to[i] = local(in[i]);
	}
	udp_sender_init(&sender, out);
	for (unsigned i = 0; i < DATAGRAMS; i++) {
		uint8_t *d = data + (i % FLUSH) * 400;
		unsigned peer;

		random = random * 1664525 + 1013904223;
		peer = (random >> 8) % PEERS;
		seen_tos[peer] = (uint8_t)(random >> 30); /* ECN */
		store_be32(d, sent[peer]++);
		udp_send_add(&sender, &to[peer], seen_tos[peer], d,
				(random >> 20) % 4 ? 400 : 4 + (random >> 16) % 396);
		if (i % FLUSH != FLUSH - 1)
			continue;
		udp_send_flush(&sender);
		for (unsigned k = 0; k < PEERS; k++) {
			while (udp_receive(&receiver, in[k]) > 0) {
				for (unsigned m = 0; m < receiver.count; m++) {
					struct udp_message *msg = &receiver.message[m];

					for (size_t at = 0; at < msg->len; at += msg->segment, total++)
						assert_int_equal(load_be32(msg->data + at), next[k]++);
				}
			}
		}
	}
	assert_int_equal(sender.counters.datagrams, DATAGRAMS);
	assert_int_equal(total, DATAGRAMS);
	for (unsigned i = 0; i < PEERS; i++)
		close(in[i]);
	close(out);
}

static void limits_end_a_run(void **state)
{
	int in = open_at("127.0.0.1"), out = open_at("127.0.0.1");
	struct endpoint to = local(in), other = to;
	(void)state;

	udp_sender_init(&sender, out);
	for (unsigned i = 0; i < UDP_SEGMENTS + 1; i++) /* datagrams */
		udp_send_add(&sender, &to, 0, data + i * 100, 100);
	assert_int_equal(sender.count, 2);
	assert_int_equal(sender.run[0].count, UDP_SEGMENTS);
	udp_send_flush(&sender);

	for (unsigned i = 0; i < 8; i++) /* bytes */
		udp_send_add(&sender, &to, 0, data + i * 10000, 10000);
	assert_int_equal(sender.count, 2);
	assert_int_equal(sender.run[0].bytes, 60000);
	udp_send_add(&sender, &to, 0, data, 10001); /* a longer one begins a new run */
	assert_int_equal(sender.count, 3);
	udp_send_flush(&sender);

	for (unsigned i = 0; i < UDP_RUNS + 5; i++) { /* runs: flushed by itself */
		other.port = (uint16_t)(to.port + 1 + i);
		udp_send_add(&sender, &other, 0, data, 10);
	}
	assert_int_equal(sender.count, 5);
	assert_int_equal(sender.counters.datagrams, UDP_SEGMENTS + 1 + 9 + UDP_RUNS);
	udp_send_flush(&sender);
	close(in);
	close(out);
}

/* What the device cannot carry is dropped and counted, a run or a single one; the rest goes. */
static void too_big_is_counted(void **state)
{
	int in, out;
	struct endpoint to;
	(void)state;

	if (!enter_namespace(1500))
		skip();
	in = open_at("127.0.0.1");
	out = open_at("127.0.0.1");
	to = local(in);
	udp_sender_init(&sender, out);
	udp_send_add(&sender, &to, 0, data, 1000);
	udp_send_add(&sender, &to, 0, data, 1473);
	for (unsigned i = 0; i < 3; i++)
		udp_send_add(&sender, &to, 2, data, 1480);
	udp_send_add(&sender, &to, 0, data + 5000, 1472);
	udp_send_flush(&sender);
	assert_int_equal(sender.counters.too_big, 4);
	assert_int_equal(sender.counters.datagrams, 2);
	receive(in, 2);
	check_message(0, 0, 1000, 1000, 0);
	check_message(1, 5000, 1472, 1472, 0);

	/* No route: refused. */
	assert_int_equal(endpoint_parse("192.0.2.1:9", 0, &to), 0);
	udp_send_add(&sender, &to, 0, data, 100);
	udp_send_flush(&sender);
	assert_int_equal(sender.counters.refused, 1);
	close(in);
	close(out);
}

/* A socket without checksums takes no UDP_SEGMENT: the datagrams go one by one. */
static void without_segmentation_they_go_singly(void **state)
{
	int in = open_at("127.0.0.1"), out = open_at("127.0.0.1"), on = 1;
	struct endpoint to = local(in);
	(void)state;

	assert_int_equal(setsockopt(out, SOL_SOCKET, SO_NO_CHECK, &on, sizeof on), 0);
	udp_sender_init(&sender, out);
	for (unsigned i = 0; i < 5; i++) /* two pieces of memory */
		udp_send_add(&sender, &to, 1, data + i * 500 + (i > 2 ? 9000 : 0), i < 4 ? 500 : 300);
	assert_int_equal(sender.count, 1);
	assert_int_equal(sender.run[0].iov_count, 2);
	udp_send_flush(&sender);
	assert_int_equal(sender.counters.datagrams, 5);
	assert_int_equal(sender.counters.bytes, 2300);
	assert_int_equal(sender.counters.calls, 5);
	receive(in, 5);
	for (unsigned i = 0; i < 5; i++)
		check_message(i, i * 500 + (i > 2 ? 9000 : 0), i < 4 ? 500 : 300, i < 4 ? 500 : 300, 1);
	close(in);
	close(out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(sockets_are_set_up),
			cmocka_unit_test(errors_are_sentences),
			cmocka_unit_test(a_port_is_shared_by_one_daemon),
			cmocka_unit_test(runs_cross_whole_v4),
			cmocka_unit_test(runs_cross_whole_v6),
			cmocka_unit_test(interleaved_destinations_are_grouped),
			cmocka_unit_test(what_is_alone_stays_alone),
			cmocka_unit_test(order_is_kept),
			cmocka_unit_test(limits_end_a_run),
			cmocka_unit_test(without_segmentation_they_go_singly),
			cmocka_unit_test(too_big_is_counted), /* last: it changes the namespace */
	};

	if (!enter_namespace(65536)) {
		fprintf(stderr, "skipped: needs root, for a network namespace of its own\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, set_up, NULL);
}
