/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "path/relay_bpf.h"

#include <errno.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/addr.h"
#include "base/fail.h"
#include "base/log.h"
#include "base/util.h"
#include "bpf/relay.skel.h"

/* Where the filter hangs; what an earlier daemon left there is replaced ("an"). */
#define FILTER_PRIORITY 0x616e
#define FILTER_HANDLE   1
#define ERROR_MAX       300

struct relay_bpf {
	struct relay_skeleton *program;
	struct ring_buffer *ring;
	int entries, hosts, counters; /* maps */
	_Atomic unsigned taken; /* of entries */
	unsigned cpus;
	unsigned round; /* events in this relay_bpf_poll() */
	struct uplink {
		char name[16];
		int index; /* of the device that the program hangs at; 0: at none */
	} uplink[RELAY_UPLINKS_MAX];
	unsigned uplink_count;
	uint64_t reattached;
	void (*up)(void *arg, const struct relay_event *e);
	void *arg;
};

/* ---- loading ---- */

static int load(struct relay_bpf *b, const struct relay_bpf_options *o, char *error, size_t size)
{
	int result;

	b->program = relay_skeleton__open();
	if (!b->program)
		return fail(-errno, error, size, "the relay program cannot be read: %s", strerror(errno));
	b->program->rodata->config = *o->config;
	bpf_map__set_max_entries(b->program->maps.entries, o->entries);
	result = relay_skeleton__load(b->program);
	if (result == -EPERM || result == -EACCES)
		return fail(result, error, size, "the kernel does not let us load the relay program: it takes "
				"root, or CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN");
	if (result == -ENOMEM)
		return fail(result, error, size, "there is no memory for %u relay entries", o->entries);
	if (result != 0)
		return fail(result, error, size, "the kernel refuses the relay program: %s: it takes Linux 5.19 "
				"with BPF and its JIT", strerror(-result));
	b->entries = bpf_map__fd(b->program->maps.entries);
	b->hosts = bpf_map__fd(b->program->maps.hosts);
	b->counters = bpf_map__fd(b->program->maps.counters);
	return 0;
}

/* Its packets must begin with an Ethernet header. */
static int check_device(const char *name, int *index, char *error, size_t size)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), result;
	struct ifreq request = {0};

	*index = (int)if_nametoindex(name);
	if (*index == 0 || fd < 0) {
		if (fd >= 0)
			close(fd);
		return fail(-ENODEV, error, size, "there is no device %s to relay on", name);
	}
	snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
	result = ioctl(fd, SIOCGIFHWADDR, &request);
	close(fd);
	if (result != 0 || request.ifr_hwaddr.sa_family != ARPHRD_ETHER)
		return fail(-ENODEV, error, size, "relays need an Ethernet device, and %s is none", name);
	return 0;
}

static int attach(struct relay_bpf *b, struct uplink *u, char *error, size_t size)
{
	const char *name = u->name;
	LIBBPF_OPTS(bpf_tc_hook, hook, .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, filter, .handle = FILTER_HANDLE, .priority = FILTER_PRIORITY,
			.flags = BPF_TC_F_REPLACE);
	int result = check_device(name, &hook.ifindex, error, size);

	if (result != 0)
		return result;
	filter.prog_fd = bpf_program__fd(b->program->progs.relay_ingress);
	result = bpf_tc_hook_create(&hook);
	if (result == 0 || result == -EEXIST)
		result = bpf_tc_attach(&hook, &filter);
	if (result == -EINVAL || result == -ENOENT || result == -EOPNOTSUPP)
		return fail(result, error, size, "the relay program cannot be attached to %s: its kernel lacks "
				"sch_ingress or cls_bpf, or other filters are in the way (tc qdisc, tc "
				"filter show dev %s ingress)", name, name);
	if (result != 0)
		return fail(result, error, size, "the relay program cannot be attached to %s: %s", name,
				strerror(-result));
	u->index = hook.ifindex;
	return 0;
}

/* Somebody's, perhaps of a daemon that was started beside us: then it is its turn. */
static bool is_attached(const struct uplink *u)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .attach_point = BPF_TC_INGRESS, .ifindex = u->index);
	LIBBPF_OPTS(bpf_tc_opts, filter, .handle = FILTER_HANDLE, .priority = FILTER_PRIORITY);

	return bpf_tc_query(&hook, &filter) == 0;
}

static void tend(struct relay_bpf *b, struct uplink *u)
{
	int index = (int)if_nametoindex(u->name);
	char error[ERROR_MAX];

	if (index != 0 && index == u->index && is_attached(u))
		return;
	if (index == 0) {
		if (u->index)
			log_limited(LOG_WARNING, 5, "relays: the uplink %s is gone: nothing is relayed "
					"there until it is back", u->name);
		u->index = 0;
		return;
	}
	if (attach(b, u, error, sizeof error) != 0) {
		log_limited(LOG_ERROR, 1, "relays: %s", error);
		return;
	}
	b->reattached++;
	log_limited(LOG_NOTICE, 5, "relays: the relay program hangs at %s again", u->name);
}

void relay_bpf_tend(struct relay_bpf *b)
{
	for (unsigned i = 0; i < b->uplink_count; i++)
		tend(b, &b->uplink[i]);
}

uint64_t relay_bpf_reattached(const struct relay_bpf *b)
{
	return b->reattached;
}

static int event(void *arg, void *data, size_t size)
{
	struct relay_bpf *b = arg;

	if (size >= sizeof(struct relay_event))
		b->up(b->arg, data);
	/* This one is consumed none the less. */
	return ++b->round == RELAY_BPF_ROUND ? -EAGAIN : 0;
}

static int open_all(struct relay_bpf *b, const struct relay_bpf_options *o, char *error, size_t size)
{
	int cpus = libbpf_num_possible_cpus(), result;

	if (cpus <= 0)
		return fail(cpus, error, size, "the number of CPUs is not known: %s", strerror(-cpus));
	b->cpus = (unsigned)cpus;
	result = load(b, o, error, size);
	if (result != 0)
		return result;
	b->ring = ring_buffer__new(bpf_map__fd(b->program->maps.events), event, b, NULL);
	if (!b->ring)
		return fail(-errno, error, size, "the relay program's ring buffer cannot be mapped: %s",
				strerror(errno));
	for (; result == 0 && b->uplink_count < o->uplink_count; b->uplink_count++) {
		struct uplink *u = &b->uplink[b->uplink_count];

		memcpy(u->name, o->uplinks[b->uplink_count], sizeof u->name);
		result = attach(b, u, error, size);
	}
	return result;
}

struct relay_bpf *relay_bpf_open(const struct relay_bpf_options *o, char *error, size_t error_size)
{
	struct relay_bpf *b;

	if (o->uplink_count == 0 || o->uplink_count > RELAY_UPLINKS_MAX) {
		fail(-EINVAL, error, error_size, "relays need between 1 and %d uplinks, and %u are named",
				RELAY_UPLINKS_MAX, o->uplink_count);
		return NULL;
	}
	libbpf_set_print(NULL); /* what goes wrong is told in our own words */
	b = calloc(1, sizeof *b);
	if (!b) {
		fail(-ENOMEM, error, error_size, "there is no memory for the relay program");
		return NULL;
	}
	b->up = o->up;
	b->arg = o->arg;
	if (open_all(b, o, error, error_size) != 0) {
		relay_bpf_close(b);
		return NULL;
	}
	return b;
}

/* The qdisc stays: other filters may hang there too. */
void relay_bpf_close(struct relay_bpf *b)
{
	if (!b)
		return;
	for (unsigned i = 0; i < b->uplink_count; i++) {
		LIBBPF_OPTS(bpf_tc_hook, hook, .attach_point = BPF_TC_INGRESS,
				.ifindex = b->uplink[i].index);
		LIBBPF_OPTS(bpf_tc_opts, filter, .handle = FILTER_HANDLE,
				.priority = FILTER_PRIORITY);

		if (b->uplink[i].index)
			bpf_tc_detach(&hook, &filter);
	}
	ring_buffer__free(b->ring);
	relay_skeleton__destroy(b->program);
	free(b);
}

/* ---- the table ---- */

int relay_bpf_put(struct relay_bpf *b, const struct relay_key *key, const struct relay_entry *e)
{
	struct relay_entry now = *e, was = {0};
	int result = bpf_map_lookup_elem(b->entries, key, &was);
	bool is_new = result == -ENOENT;

	if (result != 0 && !is_new)
		return result;
	now.limit_period = was.limit_period;
	now.limit_count = was.limit_count;
	now.up_period = was.up_period;
	now.up_count = was.up_count;
	now.packets = was.packets;
	now.bytes = was.bytes;
	result = bpf_map_update_elem(b->entries, key, &now, BPF_ANY);
	if (result == 0 && is_new)
		b->taken++;
	return result;
}

int relay_bpf_delete(struct relay_bpf *b, const struct relay_key *key)
{
	int result = bpf_map_delete_elem(b->entries, key);

	if (result == 0)
		b->taken--;
	return result;
}

unsigned relay_bpf_entries(const struct relay_bpf *b)
{
	return b->taken;
}

int relay_bpf_counters(struct relay_bpf *b, const struct relay_key *key, uint64_t *packets,
		uint64_t *bytes)
{
	struct relay_entry e;
	int result = bpf_map_lookup_elem(b->entries, key, &e);

	if (result != 0)
		return result;
	*packets = e.packets;
	*bytes = e.bytes;
	return 0;
}

/* ---- hosts that have not answered ---- */

static uint32_t this_period(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now); /* the program's bpf_ktime_get_ns() */
	return RELAY_PERIOD((uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec);
}

static struct relay_host_key host_key(const uint8_t ip[16])
{
	struct relay_host_key key;

	memcpy(&key, ip, sizeof key);
	if (!addr_is_v4(ip))
		key.half[1] = 0;
	return key;
}

bool relay_bpf_admit(struct relay_bpf *b, const uint8_t ip[16])
{
	struct relay_host_key key = host_key(ip);
	struct relay_host h = {0};
	uint32_t period = this_period();

	if (bpf_map_lookup_elem(b->hosts, &key, &h) == 0 && h.heard &&
			period - h.heard <= RELAY_HEARD)
		return true;
	if (h.period != period) {
		h.period = period;
		h.count = 0;
	}
	if (h.count >= RELAY_HOST_LIMIT)
		return false;
	h.count++;
	/* What the program counts at that very moment is lost: a packet or two. */
	return bpf_map_update_elem(b->hosts, &key, &h, BPF_ANY) == 0;
}

void relay_bpf_heard(struct relay_bpf *b, const uint8_t ip[16])
{
	struct relay_host_key key = host_key(ip);
	struct relay_host h = {.heard = MAX(this_period(), 1)};

	bpf_map_update_elem(b->hosts, &key, &h, BPF_ANY); /* no memory: it goes on being limited */
}

/* ---- what comes up ---- */

int relay_bpf_fd(const struct relay_bpf *b)
{
	return ring_buffer__epoll_fd(b->ring);
}

/* A flood comes as fast as it is taken out: then consuming until the ring is empty never ends. */
bool relay_bpf_poll(struct relay_bpf *b)
{
	b->round = 0;
	ring_buffer__consume(b->ring);
	return b->round == RELAY_BPF_ROUND;
}

void relay_bpf_totals(struct relay_bpf *b, uint64_t up[RELAY_UP_COUNT],
		uint64_t dropped[RELAY_BPF_DROP_COUNT])
{
	struct relay_counter *each = calloc(b->cpus, sizeof *each);

	for (uint32_t i = 0; i < RELAY_COUNTERS; i++) {
		uint64_t sum = 0;

		if (each && bpf_map_lookup_elem(b->counters, &i, each) == 0) {
			for (unsigned cpu = 0; cpu < b->cpus; cpu++)
				sum += each[cpu].total;
		}
		if (i < RELAY_UP_COUNT)
			up[i] = sum;
		else
			dropped[i - RELAY_UP_COUNT] = sum;
	}
	free(each);
}
