/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "harness.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <linux/pkt_cls.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/util.h"

static struct relay_bpf *bpf, *crashed;
static struct relay_event last;
static unsigned events;
static unsigned uplink;
static uint8_t mac[6];
static int program;

static void up(void *arg, const struct relay_event *e)
{
	(void)arg;
	last = *e;
	events++;
}

/* As tc sees it. */
uint32_t harness_attached(void)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)uplink, .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, filter, .handle = 1, .priority = 0x616e);

	return bpf_tc_query(&hook, &filter) == 0 ? filter.prog_id : 0;
}

static bool set_up_network(void)
{
	static const char script[] =
		"ip link set lo up && ip link add up0 type veth peer name far0 && "
		"ip link set up0 up && ip link set far0 up && "
		"sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 && "
		"ip addr add 10.0.0.1/24 dev up0 && ip addr add fd00::1/64 dev up0 nodad && "
		"ip neigh add 10.0.0.2 lladdr 02:00:00:00:00:02 dev up0 && "
		"ip -6 neigh add fd00::2 lladdr 02:00:00:00:00:02 dev up0 && "
		"ip route add default via 10.0.0.2 && ip -6 route add default via fd00::2 && "
		"ip link add narrow0 mtu 1300 type veth peer name narrow1 mtu 1300 && "
		"ip link set narrow0 up && ip link set narrow1 up && "
		"ip addr add 10.0.1.1/24 dev narrow0 && ip addr add fd00:1::1/64 dev narrow0 nodad && "
		"ip route add " NARROW4 " via 10.0.1.2 && ip -6 route add " NARROW6 " via fd00:1::2 && "
		"ip route add unreachable " NO_ROUTE4 " && ip -6 route add unreachable " NO_ROUTE6;
	struct ifreq request = {.ifr_name = "up0"};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	bool good = system(script) == 0 && ioctl(fd, SIOCGIFHWADDR, &request) == 0;

	memcpy(mac, request.ifr_hwaddr.sa_data, 6);
	uplink = if_nametoindex("up0");
	close(fd);
	return good;
}

/* A table is all that is asked for: a program that is refused is a failure. */
static bool bpf_is_permitted(void)
{
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "permitted", 4, 4, 1, NULL);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

const char *harness_open(bool *permitted)
{
	static const char devices[][16] = {"up0"};
	static char error[300];
	struct relay_config config = {.port_first = 5000, .port_last = 5999};
	struct relay_bpf_options options = {.config = &config, .uplink_count = 1, .uplinks = devices,
		.entries = 1000, .up = up};
	uint8_t ip[16];

	*permitted = bpf_is_permitted() && unshare(CLONE_NEWNET) == 0;
	if (!*permitted)
		return "it takes root, for a network namespace and to load BPF";
	if (!set_up_network())
		return "the network namespace cannot be set up (iproute2, procps)";
	addr_parse(OWN4, ip);
	memcpy(config.anycast4, ip + 12, 4);
	addr_parse(OWN6, config.anycast6);
	/* Twice: the second takes the place of what the first left, as after a crash. */
	crashed = relay_bpf_open(&options, error, sizeof error);
	if (!crashed)
		return error;
	bpf = relay_bpf_open(&options, error, sizeof error);
	program = bpf_prog_get_fd_by_id(harness_attached());
	return bpf && program >= 0 ? NULL : "what was attached a second time cannot be found";
}

void harness_close(void)
{
	close(program);
	relay_bpf_close(bpf);
	relay_bpf_close(crashed); /* not before: it would detach the other one */
}

struct relay_bpf *harness_bpf(void)
{
	return bpf;
}

struct relay_bpf *harness_ousted(void)
{
	return crashed;
}

/* Which counter went up; MIXED if that is not exactly one. */
static enum verdict counted(const uint64_t before[RELAY_COUNTERS], int *reason)
{
	uint64_t after[RELAY_COUNTERS];
	enum verdict v = PASSED;

	relay_bpf_totals(bpf, after, after + RELAY_UP_COUNT);
	for (int i = 0; i < RELAY_COUNTERS; i++) {
		if (after[i] == before[i])
			continue;
		if (v != PASSED || after[i] != before[i] + 1)
			return MIXED;
		v = i < RELAY_UP_COUNT ? UP : DROPPED;
		*reason = i < RELAY_UP_COUNT ? i : i - RELAY_UP_COUNT;
	}
	return v;
}

void harness_run(const uint8_t *frame, size_t len, unsigned gso_size, unsigned gso_segments,
		struct outcome *o)
{
	struct __sk_buff ctx = {.ifindex = uplink, .gso_size = gso_size, .gso_segs = gso_segments};
	uint64_t before[RELAY_COUNTERS];
	uint8_t in[FRAME_MAX];
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = in, .data_size_in = (uint32_t)len,
			.data_out = o->frame, .data_size_out = sizeof o->frame, .ctx_in = &ctx,
			.ctx_size_in = sizeof ctx, .ctx_out = &ctx, .ctx_size_out = sizeof ctx,
			.repeat = 1);
	unsigned seen = events;

	memset(o, 0, offsetof(struct outcome, event));
	memcpy(in, frame, len);
	memcpy(in, mac, 6);
	relay_bpf_totals(bpf, before, before + RELAY_UP_COUNT);
	if (bpf_prog_test_run_opts(program, &run) != 0) {
		fprintf(stderr, "BPF_PROG_TEST_RUN of %zu bytes: %s\n", len, strerror(errno));
		o->verdict = MIXED;
		return;
	}
	relay_bpf_poll(bpf);
	o->len = run.data_size_out;
	o->event = last;
	o->verdict = counted(before, &o->reason);
	if (o->verdict == PASSED && run.retval == TC_ACT_REDIRECT)
		o->verdict = SENT;
	else if (o->verdict == PASSED ? (int)run.retval != TC_ACT_UNSPEC : run.retval != TC_ACT_SHOT)
		o->verdict = MIXED;
	if ((events != seen) != (o->verdict == UP) || (o->verdict == UP && last.reason != o->reason))
		o->verdict = MIXED;
}

void harness_arrive(const uint8_t *frame, size_t len)
{
	struct sockaddr_ll far = {.sll_family = AF_PACKET, .sll_halen = 6,
		.sll_ifindex = (int)if_nametoindex("far0")};
	int fd = socket(AF_PACKET, SOCK_RAW, 0);
	uint8_t out[FRAME_MAX];

	memcpy(out, frame, len);
	memcpy(out, mac, 6);
	memset(out + 6, 2, 6);
	if (sendto(fd, out, len, 0, (struct sockaddr *)&far, sizeof far) < 0)
		fprintf(stderr, "a packet cannot be sent to the uplink: %s\n", strerror(errno));
	close(fd);
}

unsigned harness_flood(const uint8_t *frame, size_t len, unsigned times)
{
	uint64_t before[RELAY_COUNTERS], after[RELAY_COUNTERS];
	struct __sk_buff ctx = {.ifindex = uplink};
	uint8_t in[FRAME_MAX];
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = in, .data_size_in = (uint32_t)len,
			.ctx_in = &ctx, .ctx_size_in = sizeof ctx, .repeat = (int)times);
	unsigned up_count = 0;

	memcpy(in, frame, len);
	memcpy(in, mac, 6);
	relay_bpf_totals(bpf, before, before + RELAY_UP_COUNT);
	if (bpf_prog_test_run_opts(program, &run) != 0)
		fprintf(stderr, "BPF_PROG_TEST_RUN, %u times: %s\n", times, strerror(errno));
	relay_bpf_totals(bpf, after, after + RELAY_UP_COUNT);
	for (int i = 0; i < RELAY_UP_COUNT; i++)
		up_count += (unsigned)(after[i] - before[i]);
	return up_count;
}

unsigned harness_poll(bool *more)
{
	unsigned seen = events;

	*more = relay_bpf_poll(bpf);
	return events - seen;
}

const char *outcome_text(const struct outcome *o)
{
	static const char *const ups[] = {
#define X(name, key, budget, text) "up: " key,
		RELAY_UP_REASONS(X)
#undef X
	};
	static const char *const drops[] = {
#define X(name, key, text) "dropped: " key,
		RELAY_BPF_DROPS(X)
#undef X
	};

	return o->verdict == PASSED ? "passed" : o->verdict == SENT ? "sent" : o->verdict == UP ?
		ups[o->reason] : o->verdict == DROPPED ? drops[o->reason] : "mixed";
}
