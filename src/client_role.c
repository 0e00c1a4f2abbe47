/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* The client: one worker, whose timer drives the uplink. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ctx.h"
#include "mode/ethernet.h"
#include "path/netwatch.h"
#include "path_memory.h"

#define GROUPS_INTERVAL TICKS_S(60)
#define MAC_HEADER      14

static enum device client_device(const struct daemon *d)
{
	return d->conf.ethernet ? DEVICE_TAP : DEVICE_TUN;
}

/* The device's MTU follows what both directions of the path have been shown to take. */
static unsigned device_mtu(const struct daemon *d, unsigned tunnel_mtu)
{
	unsigned mtu = MIN(tunnel_mtu, d->conf.mtu);

	/* below 1280 Linux would take IPv6 away from the device */
	return d->conf.ethernet ? MAX(mtu - ETHERNET_HEADER - MAC_HEADER, 1280) : mtu;
}

static void follow_mtu(struct daemon *d, const struct instant *now)
{
	unsigned mtu = device_mtu(d, uplink_tunnel_mtu(&d->uplink, now));

	if (mtu == d->tunnel_mtu)
		return;
	if (tun_set_mtu(&d->path.device[client_device(d)], mtu, device_gso_max(mtu)))
		log_limited(LOG_WARNING, 5, "the MTU of %s cannot be set to %u: does the daemon still "
				"have CAP_NET_ADMIN?", d->conf.device, mtu);
	d->tunnel_mtu = mtu;
	atomic_store(&d->path.mtu, mtu);
}

/* Only when something new has been found, so a few times in a network. */
static void keep_memory(struct daemon *d, const struct instant *now)
{
	int failed;

	if (!uplink_remember(&d->uplink, now, &d->path_memory) || d->path_memory_fd < 0)
		return;
	failed = path_memory_store(d->path_memory_fd, &d->path_memory);
	if (failed)
		log_limited(LOG_INFO, 1, "the path MTU cannot be kept in %s: %s", d->conf.state_directory,
				strerror(-failed));
}

/* The kernel knows which groups are joined; a report that passed by only says when to look. */
static void follow_groups(struct daemon *d, struct worker *w)
{
	uint8_t groups[GROUPS_MAX][16];
	unsigned count;

	if (!atomic_exchange(&d->path.groups_changed, false) && w->now.boot < d->next_groups)
		return;
	d->next_groups = w->now.boot + GROUPS_INTERVAL;
	if (d->conf.ethernet)
		return;
	count = tun_groups(&d->path.device[DEVICE_TUN], groups, GROUPS_MAX);
	uplink_set_groups(&d->uplink, &w->now, groups, count, &w->output);
}

static ticks client_timer(void *arg, struct worker *w)
{
	struct daemon *d = arg;
	ticks next;

	relay_client_tick(d, w);
	next = uplink_tick(&d->uplink, &w->now, &w->output);
	ethernet_forget_silent(w);
	follow_groups(d, w);
	follow_mtu(d, &w->now);
	keep_memory(d, &w->now);
	return next;
}

static void network_changed(void *arg, struct worker *w)
{
	struct daemon *d = arg;

	if (netwatch_read(d->netwatch, d->path.device[client_device(d)].index))
		uplink_moved(&d->uplink, &w->now, &w->output);
	w->deadline = 0;
}

/* Where nothing can be kept all works as well: each run begins by looking. */
static int load_memory(struct daemon *d, char error[SENTENCE])
{
	char path[CONF_PATH_MAX + 64];

	snprintf(path, sizeof path, "%s/%s.path", d->conf.state_directory, d->conf.name);
	d->path_memory_fd = path_memory_open(path, &d->path_memory);
	if (d->path_memory_fd == -EBUSY)
		return setup_state_taken(d, error);
	if (d->path_memory_fd < 0)
		log_info("%s: the path MTU cannot be kept there: %s", path, strerror(-d->path_memory_fd));
	return 0;
}

static int start_core(struct daemon *d, char error[SENTENCE])
{
	struct uplink_options o = {
		.cluster_key_count = d->conf.cluster_key_count,
		.server_count = d->conf.server_count,
		.keepalive = d->conf.keepalive,
		.unlinkable = d->conf.unlinkable,
		.aead = d->conf.aead,
		.has_operator = d->conf.has_operator,
		.limits = key_limits,
	};
	int failed = load_memory(d, error);

	if (failed)
		return failed;
	o.memory = d->path_memory;
	memcpy(o.secret, d->conf.client_secret, KEY_SIZE);
	memcpy(o.psk, d->conf.psk, KEY_SIZE);
	memcpy(o.cluster_keys, d->conf.cluster_keys, sizeof o.cluster_keys);
	memcpy(o.servers, d->conf.servers, sizeof o.servers);
	memcpy(o.operator_sign, d->conf.operator.sign, KEY_SIZE);
	failed = uplink_init(&d->uplink, &o, &d->started);
	wipe(&o, sizeof o);
	if (failed)
		snprintf(error, SENTENCE, "not enough memory");
	else if (d->conf.has_operator)
		client_keys_read(d);
	d->path.uplink = &d->uplink;
	return failed;
}

static int start_sockets(struct daemon *d, char error[SENTENCE])
{
	struct endpoint any[FAMILY_COUNT] = {0};
	bool present[FAMILY_COUNT] = {false, false};

	addr_from_v4(any[FAMILY_V4].ip, "\0\0\0\0");
	for (unsigned i = 0; i < d->conf.server_count; i++)
		present[addr_is_v4(d->conf.servers[i].ip) ? FAMILY_V4 : FAMILY_V6] = true;
	return setup_sockets(d, any, present, error);
}

static int start_device(struct daemon *d, char error[SENTENCE])
{
	const struct conf *c = &d->conf;
	enum device dev = client_device(d);
	int failed = setup_device(d, dev, c->device, c->ethernet, error);

	if (failed)
		return failed;
	d->tunnel_mtu = device_mtu(d, uplink_tunnel_mtu(&d->uplink, &d->started));
	d->path.mtu = d->tunnel_mtu;
	return tun_set_up(&d->path.device[dev], d->tunnel_mtu, device_gso_max(d->tunnel_mtu),
			c->address.list, c->address.count, c->routes.list, c->routes.count, error,
			SENTENCE);
}

int client_role_start(struct daemon *d, char error[SENTENCE])
{
	struct worker *w;
	int failed;

	failed = setup_claim(d, error);
	if (!failed)
		failed = setup_workers(d, 1, error); /* the uplink is one thread's */
	if (!failed)
		failed = start_core(d, error);
	if (!failed)
		failed = start_sockets(d, error);
	if (!failed)
		failed = start_device(d, error);
	if (failed)
		return failed;
	failed = relay_client_start(d, error);
	if (failed)
		return failed;
	w = d->path.worker[0];
	w->timer = client_timer;
	w->timer_arg = d;
	d->netwatch = netwatch_open();
	if (d->netwatch < 0 || worker_watch(w, d->netwatch, network_changed, d)) {
		snprintf(error, SENTENCE, "changes of this machine's addresses cannot be watched: %s",
				strerror(d->netwatch < 0 ? -d->netwatch : ENOSPC));
		return -EIO;
	}
	return 0;
}
