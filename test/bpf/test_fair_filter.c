/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The socket filter for fair shares on real sockets: what the kernel lets in of what
 * several sources send over a loopback of its own, and what is counted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include <bpf/bpf.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include "path/fair.h"
#include "path/fair_bpf.h"
#include "path/udp.h"

#define SIZE 100                              /* of a datagram */
#define COST (SIZE + 8 + FAIR_OVERHEAD)       /* with its UDP header */
#define PATIENCE_MS 5000

static struct fair_bpf *filter;

struct pair {
	int in, out[3]; /* the worker's socket, and those of three sources */
	struct endpoint to, from[3];
};

static struct endpoint name_of(int fd)
{
	struct sockaddr_storage name;
	socklen_t len = sizeof name;
	struct endpoint e;

	assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &len), 0);
	assert_true(endpoint_from_sockaddr(&e, (struct sockaddr *)&name));
	return e;
}

static struct pair open_pair(const char *address)
{
	char error[300];
	struct endpoint local = {.port = 0};
	struct sockaddr_storage name;
	struct pair p;

	assert_int_equal(addr_parse(address, local.ip), 0);
	p.in = udp_open(&local, (struct udp_options){0}, error, sizeof error);
	assert_true(p.in >= 0);
	p.to = name_of(p.in);
	for (int i = 0; i < 3; i++) {
		p.out[i] = udp_open(&local, (struct udp_options){0}, error, sizeof error);
		assert_true(p.out[i] >= 0);
		assert_int_equal(connect(p.out[i], (struct sockaddr *)&name,
				endpoint_to_sockaddr(&p.to, &name)), 0);
		p.from[i] = name_of(p.out[i]);
	}
	fair_bpf_reset(filter);
	assert_int_equal(fair_bpf_attach(filter, p.in), 0);
	return p;
}

static void close_pair(struct pair *p)
{
	close(p->in);
	for (int i = 0; i < 3; i++)
		close(p->out[i]);
}

/* How many of so many datagrams come in; the kernel's own counter must agree with the filter's. */
static unsigned pass(struct pair *p, int source, unsigned count)
{
	const volatile struct fair_state *f = fair_bpf_state(filter);
	uint64_t before = f->dropped_messages, datagrams = f->dropped;
	struct pollfd ready = {.fd = p->in, .events = POLLIN};
	struct udp_queue was, now;
	char data[SIZE] = {0};
	unsigned came = 0;

	assert_true(udp_queue_read(p->in, &was));
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(send(p->out[source], data, sizeof data, 0), sizeof data);
	while (came + (f->dropped_messages - before) < count) {
		if (recv(p->in, data, sizeof data, MSG_DONTWAIT) == sizeof data)
			came++;
		else if (came + (f->dropped_messages - before) < count)
			assert_true(poll(&ready, 1, PATIENCE_MS) == 1);
	}
	assert_true(udp_queue_read(p->in, &now));
	assert_int_equal(now.dropped - was.dropped, count - came);
	assert_int_equal(f->dropped - datagrams, count - came);
	return came;
}

static uint64_t arrived(void)
{
	const struct fair_state *f = fair_bpf_state(filter);
	uint64_t sum = f->strangers.arrived;

	for (size_t i = 0; i < FAIR_SLOTS; i++)
		sum += f->slot[0][i].arrived;
	return sum;
}

static void without_a_price_all_pass_and_are_counted(const char *address)
{
	struct pair p = open_pair(address);
	uint64_t before = arrived();

	for (int i = 0; i < 3; i++)
		assert_int_equal(pass(&p, i, 200), 200);
	assert_int_equal(arrived() - before, 600 * COST);
	close_pair(&p);
}

static void who_sends_more_than_the_level_is_cut(const char *address)
{
	struct pair p = open_pair(address);

	/* 3000 a second: a burst of 100, and then one in 0.3 ms. */
	fair_bpf_state(filter)->price = fair_price((uint64_t)COST * 3000);
	assert_in_range(pass(&p, 0, 20000), 100, 19999);
	assert_int_equal(pass(&p, 1, 50), 50);
	assert_int_equal(pass(&p, 2, 50), 50);
	fair_bpf_detach(p.in);
	assert_int_equal(pass(&p, 0, 500), 500);
	close_pair(&p);
}

static void strangers_are_cut_together(const char *address)
{
	struct pair p = open_pair(address);
	struct fair_state *f = fair_bpf_state(filter);

	fair_bpf_know(filter, &p.from[1]);
	f->price = f->strangers_price = fair_price((uint64_t)COST * 3000);
	f->sorted = true;
	f->strangers.due = UINT64_MAX; /* they have spent what they may for ever */
	assert_int_equal(pass(&p, 0, 10), 0);
	assert_int_equal(pass(&p, 2, 10), 0);
	assert_int_equal(pass(&p, 1, 50), 50);
	f->strangers.due = 0;
	assert_int_equal(pass(&p, 0, 50), 50);
	close_pair(&p);
}

/* What arrives joined costs what its datagrams would. */
static void joined_datagrams(const char *address)
{
	struct pair p = open_pair(address);
	const volatile struct fair_state *f = fair_bpf_state(filter);
	uint64_t before = arrived(), dropped = f->dropped, messages = f->dropped_messages;
	char data[20 * SIZE] = {0};
	int segment = SIZE;

	assert_int_equal(setsockopt(p.out[0], IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof segment), 0);
	assert_int_equal(send(p.out[0], data, sizeof data, 0), sizeof data);
	assert_int_equal(poll(&(struct pollfd){.fd = p.in, .events = POLLIN}, 1, PATIENCE_MS), 1);
	assert_int_equal(arrived() - before, sizeof data + 8 + 20 * FAIR_OVERHEAD);
	fair_bpf_state(filter)->price = 1;
	fair_bpf_state(filter)->strangers_price = 1;
	fair_bpf_state(filter)->sorted = true;
	fair_bpf_state(filter)->strangers.due = UINT64_MAX;
	for (int i = 0; i < 4; i++)
		assert_int_equal(send(p.out[0], data, sizeof data, 0), sizeof data);
	for (int waited = 0; f->dropped_messages - messages < 4 && waited < PATIENCE_MS; waited++)
		poll(NULL, 0, 1);
	assert_int_equal(f->dropped_messages - messages, 4);
	assert_int_equal(f->dropped - dropped, 80);
	fair_bpf_state(filter)->strangers.due = 0;
	close_pair(&p);
}

#define BOTH_FAMILIES(test)                                                                        \
	static void test##_4(void **state)                                                         \
	{                                                                                          \
		(void)state;                                                                       \
		test("127.0.0.1");                                                                 \
	}                                                                                          \
	static void test##_6(void **state)                                                         \
	{                                                                                          \
		(void)state;                                                                       \
		test("::1");                                                                       \
	}
BOTH_FAMILIES(without_a_price_all_pass_and_are_counted)
BOTH_FAMILIES(who_sends_more_than_the_level_is_cut)
BOTH_FAMILIES(strangers_are_cut_together)
BOTH_FAMILIES(joined_datagrams)

/* A table is all that is asked for: a program that is refused is a failure. */
static bool bpf_is_permitted(void)
{
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "permitted", 4, 4, 1, NULL);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_price_all_pass_and_are_counted_4),
		cmocka_unit_test(without_a_price_all_pass_and_are_counted_6),
		cmocka_unit_test(who_sends_more_than_the_level_is_cut_4),
		cmocka_unit_test(who_sends_more_than_the_level_is_cut_6),
		cmocka_unit_test(strangers_are_cut_together_4),
		cmocka_unit_test(strangers_are_cut_together_6),
		cmocka_unit_test(joined_datagrams_4),
		cmocka_unit_test(joined_datagrams_6),
	};
	char error[300] = "";
	int failed;

	if (!bpf_is_permitted() || unshare(CLONE_NEWNET) != 0) {
		printf("1..0 # SKIP it takes root, for a network namespace and to load BPF\n");
		return 0;
	}
	filter = system("ip link set lo up") == 0 ? fair_bpf_open(error, sizeof error) : NULL;
	if (!filter) {
		fprintf(stderr, "the loopback or the filter: %s\n", error);
		return 1;
	}
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	fair_bpf_close(filter);
	return failed;
}
