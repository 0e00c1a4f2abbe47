/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* The server: what it is made of, and what it does by the second. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/rcu.h"
#include "ctx.h"
#include "mode/ethernet.h"
#include "own_hosts.h"

#define MARK_INTERVAL    TICKS_S(10)
#define TWINS_HOLD       8 /* s */
#define READING_PATIENCE TICKS_S(5)
#define ETHERNET_ROOM    (PMTU_FIRST - 48 - PACKET_OVERHEAD - ETHERNET_HEADER)

/* ---- the clock's mark on disk ---- */

static void mark_path(const struct daemon *d, char path[CONF_PATH_MAX + 64])
{
	snprintf(path, CONF_PATH_MAX + 64, "%s/%s.clock", d->conf.state_directory, d->conf.name);
}

/*
 * T must not repeat.  A clock behind the time that this server has already used
 * is wrong, or was wrong then; a person has to say which.
 */
static int check_clock(struct daemon *d, char error[SENTENCE])
{
	char path[CONF_PATH_MAX + 64];
	long behind;

	mark_path(d, path);
	behind = clock_mark_check(path, d->started.cluster);
	if (behind > 0) {
		snprintf(error, SENTENCE,
				"the system clock is %ld s behind the time at which this server last ran "
				"(%s); set the clock (NTP) and start again, or remove that file if the "
				"clock is right now and was wrong then",
				behind, path);
		return -ETIME;
	}
	if (behind < 0 && behind != -ENOENT) {
		snprintf(error, SENTENCE, "%s: cannot be read: %s", path, strerror((int)-behind));
		return (int)behind;
	}
	return 0;
}

/* Opened as root, written to its end as whoever the daemon has become. */
static int open_mark(struct daemon *d, char error[SENTENCE])
{
	char path[CONF_PATH_MAX + 64];
	int failed;

	mark_path(d, path);
	d->mark = clock_mark_open(path);
	if (d->mark == -EBUSY)
		return setup_state_taken(d, error);
	failed = d->mark < 0 ? d->mark : clock_mark_store(d->mark, d->started.cluster);
	if (failed)
		snprintf(error, SENTENCE,
				"%s: cannot be written: %s; it guards against a clock that goes back, "
				"so StateDirectory must be a directory with room in it",
				path, strerror(-failed));
	return failed;
}

/* ---- parts ---- */

static void choose_registry(struct daemon *d)
{
	const struct conf *c = &d->conf;

	snprintf(d->client_cache, sizeof d->client_cache, "%s/%s.clients", c->state_directory, c->name);
	d->registry = (struct registry){
		.ops = c->registry_nats ? &registry_nats : &registry_local,
		.server = &d->server,
		.event = -1,
	};
	conf_registry(c, &d->registry.o);
	d->registry.o.cache_file = d->client_cache;
	snprintf(d->servers_cache, sizeof d->servers_cache, "%s/%s.servers", c->state_directory,
			c->name);
	d->registry.o.servers_cache = d->servers_cache;
	snprintf(d->relays_file, sizeof d->relays_file, "%s/%s.relays", c->state_directory, c->name);
	d->registry.o.relays_file = d->relays_file;
	d->registry.o.servers = c->mesh.port ? &d->servers : NULL;
	d->registry.o.servers_changed = mesh_role_changed;
	d->registry.o.servers_changed_arg = d;
}

/*
 * A client that is back after a while where it was before, again and again, is most
 * likely two machines, of which one was copied from the other.
 */
static void suspect_twins(const struct client *client, const struct session_record *old,
		const struct session_record *now)
{
	char from[ENDPOINT_TEXT], to[ENDPOINT_TEXT];

	if (old && now->hold >= TWINS_HOLD && now->hold > old->hold)
		log_limited(LOG_WARNING, 5, "client %.*s moves to and fro, now from %s to %s: two "
				"machines with its key, or somebody on the way to it; it moves every "
				"%u s at most", client->name_len, client_name(client),
				endpoint_format(&old->endpoint, from),
				endpoint_format(&now->endpoint, to), now->hold);
}

/* Two who tell others: the registry all of them, the mesh at once those who need it. */
static void record_was_written(void *arg, const struct client *client,
		const struct session_record *old, const struct session_record *now)
{
	struct daemon *d = arg;

	suspect_twins(client, old, now);
	if (d->registry.ops->put_session)
		d->registry.ops->put_session(&d->registry, client, old, now);
	if (d->notices)
		notices_written(d->notices, client, old, now);
}

/* Two who keep what is in it: groups, MAC addresses. */
static void record_changes(void *arg, struct client *client, const struct session_record *old,
		const struct session_record *now)
{
	struct daemon *d = arg;
	struct instant t;
	int64_t left;

	members_record_changed(&d->members, client, old, now);
	if (!(client->rights & RIGHT_ETHERNET))
		return;
	clock_read(&t);
	left = now ? (int64_t)(TICKS_S(session_end(now->epoch)) - t.cluster) : 0;
	ethernet_record_changed(d->path.ethernet, client, old, now, t.boot,
			t.boot + (ticks)MAX(left, 0));
}

static bool send_notice(void *arg, uint16_t to, const uint8_t *message, size_t len)
{
	struct daemon *d = arg;

	return peers_send(&d->mesh.peers, to, message, len);
}

static void look_at_quoted(void *arg, struct worker *w)
{
	receive_too_big(w, arg, HEADER_SIZE);
}

/* What comes of it is sent by a worker, as all is that goes to clients. */
static void packet_too_big(void *arg, const uint8_t quoted[HEADER_SIZE])
{
	struct daemon *d = arg;
	uint8_t copy[HEADER_SIZE];

	memcpy(copy, quoted, sizeof copy);
	worker_do(d->path.worker[0], look_at_quoted, copy);
}

static int start_core(struct daemon *d, char error[SENTENCE])
{
	struct lineage_seed start = {.generation = 1, .epoch = time_epoch(d->started.cluster)};
	struct server_options o = {
		.start = d->conf.mesh.port ? NULL : &start, /* others may have keys */
		.number = d->conf.number,
		.active_sessions = d->conf.active_sessions,
		.handshake_rate = d->conf.handshake_rate,
		.handshake_prefix_rate = d->conf.handshake_prefix_rate,
		.keepalive_min = d->conf.keepalive_min,
		.keepalive_max = d->conf.keepalive_max,
		.cluster_key_count = d->conf.cluster.count,
		.limits = key_limits,
		.record_changed = record_changes,
		.record_changed_arg = d,
		.record_written = record_was_written,
		.record_written_arg = d,
		.relay_control = d->conf.relay_ports.first ? relay_desk_answer : NULL,
		.relay_control_arg = &d->relay.desk,
	};
	int failed;

	if (d->conf.registry_nats) {
		d->lent = lent_new(&d->server);
		o.client_lent = d->lent ? lent_offer : NULL;
		o.client_lent_arg = d->lent;
	}
	if (d->conf.mesh.port) {
		d->notices = notices_new(&(struct notices_options){d->conf.number, &d->server,
				send_notice, d, packet_too_big, d});
		o.others_too_big = d->notices ? notices_too_big : NULL;
		o.others_too_big_arg = d->notices;
		o.sending = d->notices ? notices_sending : NULL;
		o.sending_arg = d->notices;
		d->asking = asking_new();
		o.record_missing = d->asking ? asking_offer : NULL;
		o.record_missing_arg = d->asking;
	}
	random_bytes(o.boot_random, sizeof o.boot_random);
	random_bytes(start.k, sizeof start.k);
	random_bytes(&start.id, sizeof start.id);
	memcpy(o.cluster_secrets, d->conf.cluster.secret, sizeof o.cluster_secrets);
	d->path.members = members_new();
	d->path.ethernet = ethernet_new();
	d->members = (struct members_owner){d->path.members, &d->server};
	failed = d->path.members && d->path.ethernet ? server_init(&d->server, &o, &d->started) :
						       -ENOMEM;
	wipe(&o, sizeof o);
	wipe(&start, sizeof start);
	if (failed) {
		snprintf(error, SENTENCE, "not enough memory for ActiveSessions = %u",
				d->conf.active_sessions);
		return failed;
	}
	d->path.server = &d->server;
	return 0;
}

/* Directed broadcast addresses of the tunnel's IPv4 networks, and the addresses we answer from. */
static void learn_own_addresses(struct daemon *d)
{
	struct path *p = &d->path;

	for (unsigned i = 0; i < d->conf.address.count; i++) {
		const struct prefix *a = &d->conf.address.list[i];
		enum family f = addr_is_v4(a->ip) ? FAMILY_V4 : FAMILY_V6;

		if (!p->has_own[f])
			memcpy(p->own[f], a->ip, 16);
		p->has_own[f] = true;
		if (f == FAMILY_V4 && a->len < 127 && p->broadcast_count < ARRAY_SIZE(p->broadcast_ip)) {
			uint8_t *ip = p->broadcast_ip[p->broadcast_count++];
			uint32_t host = 0xffffffffu >> (a->len - 96);
			memcpy(ip, a->ip, 16);
			store_be32(ip + 12, load_be32(ip + 12) | (a->len > 96 ? host : 0xffffffffu));
		}
	}
}

/* Those of the cluster's own hosts that clients must not reach: not our inner addresses. */
static unsigned denied_hosts(const struct daemon *d, struct prefix *denied)
{
	unsigned count = own_hosts(d, denied), kept = 0;

	for (unsigned i = 0; i < count; i++) {
		bool inner = false;

		for (unsigned k = 0; k < d->conf.address.count; k++)
			inner |= !memcmp(d->conf.address.list[k].ip, denied[i].ip, 16);
		if (!inner)
			denied[kept++] = denied[i];
	}
	return kept;
}

/*
 * What clients may reach behind the device: the configured networks, and the
 * server's own inner addresses, but for the cluster's own hosts.  Replaced whole;
 * workers may read the old one until they have all passed a quiescent state.
 */
void server_role_networks(struct daemon *d)
{
	const struct conf *c = &d->conf;
	struct networks *fresh, *old;
	unsigned n = 0;

	fresh = malloc(sizeof *fresh + (c->address.count + c->networks.count + OWN_HOSTS_MAX) *
			sizeof fresh->list[0]);
	if (!fresh) {
		log_error("not enough memory for Networks: they stay as they were");
		return;
	}
	for (unsigned i = 0; i < c->address.count; i++) {
		fresh->list[n] = c->address.list[i];
		fresh->list[n++].len = 128;
	}
	for (unsigned i = 0; i < c->networks.count; i++)
		fresh->list[n++] = c->networks.list[i];
	fresh->count = n;
	fresh->denied_count = denied_hosts(d, fresh->list + n);
	old = atomic_exchange(&d->path.networks, fresh);
	rcu_wait();
	free(old);
}

/* Guard and blackholes, before the first socket. */
static int prepare_anycast(struct daemon *d, const bool present[FAMILY_COUNT], char error[SENTENCE])
{
	if (!d->conf.announce)
		return 0;
	d->path.free_bind = true;
	return anycast_prepare(&d->anycast, d->conf.listen, present, d->conf.device, d->conf.guard,
			error, SENTENCE);
}

static int start_devices(struct daemon *d, char error[SENTENCE])
{
	const struct conf *c = &d->conf;
	int failed = setup_device(d, DEVICE_TUN, c->device, false, error);

	if (!failed)
		failed = tun_set_up(&d->path.device[DEVICE_TUN], c->mtu, device_gso_max(c->mtu),
				c->address.list, c->address.count, c->routes.list, c->routes.count,
				error, SENTENCE);
	if (!failed && c->ethernet_device[0])
		failed = setup_device(d, DEVICE_TAP, c->ethernet_device, true, error);
	if (!failed && c->ethernet_device[0])
		failed = tun_set_up(&d->path.device[DEVICE_TAP], ETHERNET_ROOM - 14, 0, NULL, 0, NULL,
				0, error, SENTENCE);
	if (!failed && c->announce)
		failed = anycast_take_addresses(&d->anycast, d->path.device[DEVICE_TUN].index, error,
				SENTENCE);
	return failed;
}

int server_role_start(struct daemon *d, char error[SENTENCE])
{
	bool present[FAMILY_COUNT] = {d->conf.listen_v4, d->conf.listen_v6};
	int failed;

	choose_registry(d);
	failed = check_clock(d, error);
	if (!failed)
		failed = open_mark(d, error);
	if (!failed)
		failed = setup_claim(d, error);
	if (!failed)
		failed = setup_workers(d, d->conf.workers, error);
	if (!failed)
		failed = start_core(d, error);
	if (failed)
		return failed;
	failed = mesh_role_start(d, error);
	if (failed)
		return failed;
	failed = relay_role_open(d, error);
	if (!failed)
		failed = d->registry.ops->open(&d->registry, error, SENTENCE);
	if (failed)
		return failed;
	mesh_role_ready(d);
	learn_own_addresses(d);
	server_role_apply(d);
	failed = prepare_anycast(d, present, error);
	if (!failed)
		failed = setup_sockets(d, d->conf.listen, present, error);
	if (!failed)
		overload_role_start(d);
	if (!failed)
		failed = start_devices(d, error);
	return failed ? failed : relay_role_start(d, error);
}

int server_role_reload(struct daemon *d, const struct conf *fresh, char error[SENTENCE])
{
	int failed;

	d->registry.o.cluster = &fresh->cluster;
	failed = d->registry.ops->reload(&d->registry, fresh->clients_file, error, SENTENCE);
	d->registry.o.cluster = &d->conf.cluster; /* which is like fresh's once the reload is through */
	return failed;
}

/* ---- the cluster's keys ---- */

static void use_cluster_keys(struct daemon *d)
{
	server_announce(&d->server, d->newest_key);
	if (d->registry.ops->set_keys)
		d->registry.ops->set_keys(&d->registry, d->newest_key);
}

/*
 * Clients are told of a next key, and what is for other servers is sealed with
 * it, once all of them have it; and no longer when one appears that has not.
 */
static void follow_cluster_keys(struct daemon *d, const struct instant *now)
{
	bool newest = mesh_role_have_newest(d);

	if (newest == d->newest_key)
		return;
	d->newest_key = newest;
	d->newest_since = now->boot;
	use_cluster_keys(d);
}

static void apply_cluster_keys(struct daemon *d)
{
	int done = server_set_cluster_keys(&d->server, &d->conf.cluster);

	if (done < 0)
		log_error("not enough memory for the cluster's keys: they stay as they were");
	if (done)
		return;
	mesh_role_tell_keys(d);
	d->newest_key = false; /* until it is seen that they are everywhere */
	use_cluster_keys(d);
}

/* Plain words that workers read one by one: each change is whole. */
void server_role_apply(struct daemon *d)
{
	const struct conf *c = &d->conf;

	server_role_networks(d);
	apply_cluster_keys(d);
	relay_role_apply(d);
	overload_role_apply(d);
	d->path.broadcast = c->broadcast;
	d->path.flood_rate = c->flood_rate;
	d->path.client_rate = c->client_rate;
	d->server.handshake_rate = c->handshake_rate;
	d->server.handshake_prefix_rate = c->handshake_prefix_rate;
	d->server.keepalive_min = c->keepalive_min;
	d->server.keepalive_max = c->keepalive_max;
}

/*
 * A server that has just started does not know where clients are until it has
 * read the registry.  If that is away, it cannot wait for it: all servers may have.
 */
static bool still_reading(struct daemon *d)
{
	const struct registry_ops *ops = d->registry.ops;
	struct registry_status status;
	struct instant now;

	if (!(d->anycast.reasons & 1u << ANYCAST_READING) || !ops->status)
		return false;
	clock_read(&now);
	ops->status(&d->registry, &now, &status);
	return !status.read && now.boot < d->started.boot + READING_PATIENCE;
}

int server_role_announce(struct daemon *d, char error[SENTENCE])
{
	const struct keyring *ring = atomic_load(&d->server.keyring);
	struct anycast *a = &d->anycast;
	int failed = anycast_set(a, ANYCAST_JOINING, ring->count == 0, error, SENTENCE);

	if (!failed)
		failed = anycast_set(a, ANYCAST_READING, still_reading(d), error, SENTENCE);
	if (!failed)
		failed = anycast_set(a, ANYCAST_CUT_OFF, d->server.cut_off, error, SENTENCE);
	if (!failed)
		failed = anycast_set(a, ANYCAST_CLOCK, peers_withdraw(&d->mesh.peers), error, SENTENCE);
	if (!failed)
		failed = anycast_set(a, ANYCAST_STARTING, false, error, SENTENCE);
	return failed;
}

static void serve_registry(struct daemon *d, const struct instant *now)
{
	d->registry.ops->serve(&d->registry, now);
}

static void ask(struct daemon *d, const struct instant *now)
{
	uint32_t index[ASKING_MAX];
	unsigned count = asking_take(d->asking, index);

	(void)now;
	if (count)
		peers_ask(&d->mesh.peers, index, count);
}

static void serve_lent(struct daemon *d, const struct instant *now)
{
	lent_serve(d->lent, now);
}

static void serve_notices(struct daemon *d, const struct instant *now)
{
	notices_serve(d->notices, now);
}

int server_role_run(struct daemon *d, char error[SENTENCE])
{
	struct registry *r = &d->registry;
	int failed = r->ops->start ? r->ops->start(r, error, SENTENCE) : 0;

	if (!failed && r->event >= 0)
		control_watch(d, r->event, serve_registry);
	if (!failed && d->asking)
		control_watch(d, asking_event(d->asking), ask);
	if (!failed && d->lent)
		control_watch(d, lent_event(d->lent), serve_lent);
	if (!failed && d->notices)
		control_watch(d, notices_event(d->notices), serve_notices);
	return failed ? failed : relay_role_run(d, error);
}

void server_role_tick(struct daemon *d, const struct instant *now)
{
	static ticks next_tick, next_mark;
	char error[SENTENCE];
	int failed;

	mesh_role_tick(d);
	overload_role_tick(d);
	follow_cluster_keys(d, now);
	if (now->boot >= next_tick) {
		server_tick(&d->server, now);
		if (d->notices)
			notices_serve(d->notices, now);
		if (d->lent)
			lent_serve(d->lent, now);
		relay_role_tick(d);
		next_tick = now->boot + TICKS_S(1);
	}
	if (d->registry.ops->serve)
		d->registry.ops->serve(&d->registry, now);
	if (server_role_announce(d, error))
		log_limited(LOG_ERROR, 1, "%s", error);
	if (now->boot < next_mark)
		return;
	next_mark = now->boot + MARK_INTERVAL;
	failed = clock_mark_store(d->mark, now->cluster);
	if (failed)
		log_limited(LOG_WARNING, 1, "the clock's mark in %s cannot be written: %s",
				d->conf.state_directory, strerror(-failed));
}
