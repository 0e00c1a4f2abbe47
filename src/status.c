/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* What the daemon tells of itself, as JSON; the tool renders it. */
#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "ctx.h"
#include "path/mode.h"
#include "path/xport.h"

static void set(json_t *o, const char *key, json_t *value)
{
	json_object_set_new(o, key, value);
}
static void set_number(json_t *o, const char *key, uint64_t value)
{
	set(o, key, json_integer((json_int_t)value));
}

static char *dump(json_t *o)
{
	char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;

	json_decref(o);
	return text;
}

static json_t *hex(const uint8_t *p, size_t n)
{
	char text[65];

	for (size_t i = 0; i < n && i < 32; i++)
		sprintf(text + 2 * i, "%02x", p[i]);
	return json_stringn(text, 2 * MIN(n, 32));
}

static json_t *endpoint_json(const struct endpoint *e)
{
	char text[ENDPOINT_TEXT];

	return json_string(endpoint_format(e, text));
}

static uint64_t whole_seconds(ticks t)
{
	return t / TICKS_PER_SEC;
}

/* ---- status ---- */

static void set_common(struct daemon *d, json_t *o, const struct instant *now)
{
	bool tap = !d->path.has_device[DEVICE_TUN];

	set(o, "role", json_string(d->conf.role == CONF_SERVER ? "server" : "client"));
	set(o, "name", json_string(d->conf.name));
	set(o, "version", json_string(ANYRELAY_VERSION));
	set_number(o, "pid", (uint64_t)getpid());
	set_number(o, "uptime_s", whole_seconds(now->boot - d->started.boot));
	set_number(o, "workers", d->path.worker_count);
	set(o, "crypto", json_string(crypto_backend_name()));
	set(o, "mode", json_string(d->path.mode->name));
	set(o, "transport", json_string(d->path.xport->name));
	set(o, "device", json_string(d->path.device[tap ? DEVICE_TAP : DEVICE_TUN].name));
}

static void set_counters(struct daemon *d, json_t *o)
{
	json_t *traffic = json_object(), *drops = json_object();
	struct counters sum;

	path_count(&d->path, &sum);
	for (int i = 0; i < TRAFFIC_COUNT; i++)
		set_number(traffic, traffic_key((enum traffic)i), sum.traffic[i]);
	for (int i = DROP_NONE + 1; i < DROP_COUNT; i++)
		if (sum.drop[i])
			set_number(drops, drop_key((enum drop)i), sum.drop[i]);
	set(o, "traffic", traffic);
	set(o, "drops", drops);
}

static json_t *anycast_object(const struct anycast *a)
{
	json_t *o = json_object(), *addresses = json_array(), *reasons = json_array();
	char text[ENDPOINT_TEXT];

	for (unsigned i = 0; i < a->count; i++)
		json_array_append_new(addresses, json_string(addr_format(a->address[i].ip, text)));
	for (int r = 0; r < ANYCAST_REASON_COUNT; r++)
		if (a->reasons & 1u << r)
			json_array_append_new(reasons,
					json_string(anycast_reason_key((enum anycast_reason)r)));
	set(o, "announced", json_boolean(a->announced));
	set(o, "addresses", addresses);
	set(o, "withdrawn_for", reasons);
	return o;
}

char *anycast_json(struct daemon *d)
{
	return dump(anycast_object(&d->anycast));
}

static json_t *registry_json(struct registry *r, const struct instant *now)
{
	struct registry_status status;
	json_t *o = json_object();

	r->ops->status(r, now, &status);
	set(o, "type", json_string(r->ops->name));
	set(o, "connected", json_boolean(status.connected));
	if (status.lag_ms >= 0)
		set_number(o, "lag_ms", (uint64_t)status.lag_ms);
	set_number(o, "queue", status.queue);
	set_number(o, "silent_s", status.silent_s);
#define X(key, text) set_number(o, #key, status.key);
	REGISTRY_COUNTERS(X)
#undef X
	return o;
}

/* Of the list of servers, this one included, how many live and announce themselves. */
static json_t *cluster_json(const struct daemon *d)
{
	const struct peers *p = &d->mesh.peers;
	unsigned alive = 1, announced = d->anycast.announced;
	json_t *o = json_object();

	for (unsigned i = 0; i < p->count; i++) {
		alive += p->peer[i]->alive;
		announced += p->peer[i]->alive && !p->peer[i]->last.withdrawn;
	}
	set_number(o, "servers", p->count + 1);
	set_number(o, "alive", alive);
	set_number(o, "announced", announced);
	set(o, "clock_off_ms", json_real((double)p->clock_off * 1000 / TICKS_PER_SEC));
	return o;
}

/* Ids as in message 1, the current one first. */
static json_t *cluster_keys_json(const struct daemon *d, const struct instant *now)
{
	const struct cluster_keyset *keys = d->server.cluster;
	json_t *o = json_object(), *ids = json_array();

	for (unsigned i = 0; i < keys->count; i++)
		json_array_append_new(ids, hex(&keys->key[i].id, 1));
	set_number(o, "version", announcement_version(keys->announcement, keys->announcement_len));
	set(o, "ids", ids);
	if (d->newest_key)
		set_number(o, "newest_everywhere_s", whole_seconds(now->boot - d->newest_since));
	return o;
}

static const char *const relay_ports_keys[2][2] = {{"udp6", "tcp6"}, {"udp4", "tcp4"}};

static json_t *relay_json(struct daemon *d)
{
	json_t *o = json_object(), *up = json_object(), *drops = json_object(), *mesh = json_object(),
	       *door = json_object(), *ports = json_object();
	struct relay_figures f;

	relay_role_figures(&d->relay, &f);
	set_number(o, "relays", f.table.relays);
	set_number(o, "pending", f.table.pending);
	set_number(o, "controllers", f.table.controllers);
	set_number(o, "entries", f.entries);
	for (unsigned i = 0; i < 4; i++)
		set_number(ports, relay_ports_keys[i / 2][i % 2], f.table.ports_free[i / 2][i % 2]);
	set(o, "ports_free", ports);
#define X(key, text) set_number(o, #key, f.table.key);
	RELAYS_COUNTERS(X)
#undef X
	set_number(o, "unsent", f.unsent);
	set_number(o, "reattached", f.reattached);
#define X(name, key, budget, text) set_number(up, key, f.up[RELAY_UP_##name]);
	RELAY_UP_REASONS(X)
#undef X
#define X(name, key, text) set_number(drops, key, f.bpf_drops[RELAY_BPF_DROP_##name]);
	RELAY_BPF_DROPS(X)
#undef X
#define X(name, key, text) set_number(drops, key, f.drops[RELAY_DROP_##name]);
	RELAY_DROPS(X)
#undef X
#define X(key, text) set_number(mesh, #key, f.mesh.key);
	RELAY_MESH_COUNTERS(X)
#undef X
	set_number(door, "commands", f.door_commands);
	set_number(door, "refused", f.door_refused);
	set_number(door, "crowded", f.door_crowded);
	set(o, "up", up);
	set(o, "drops", drops);
	set(o, "mesh", mesh);
	if (d->conf.rtpproxy.port)
		set(o, "rtpproxy", door);
	else
		json_decref(door);
	return o;
}

static void set_server(struct daemon *d, json_t *o, const struct instant *now)
{
	json_t *sessions = json_object(), *events = json_object();
	struct server_counts counts;

	server_count(&d->server, &counts);
	set_number(o, "cluster_time", whole_seconds(now->cluster));
	set_number(o, "epoch", counts.epoch);
	set(o, "kid", hex(&counts.kid, 1));
	set(o, "cluster_keys", cluster_keys_json(d, now));
	set_number(sessions, "clients", counts.clients);
	set_number(sessions, "known", counts.records);
	set_number(sessions, "active", counts.active);
	set_number(sessions, "capacity", counts.capacity);
	set(o, "sessions", sessions);
	for (int i = 0; i < SERVER_EVENT_COUNT; i++)
		set_number(events, server_event_key((enum server_event)i), d->server.events[i]);
	set(o, "events", events);
	set_number(o, "overloaded", overload_role_count(d));
	if (d->mesh.fd >= 0)
		set(o, "cluster", cluster_json(d));
	if (d->registry.ops->status)
		set(o, "registry", registry_json(&d->registry, now));
	if (d->anycast.enabled)
		set(o, "anycast", anycast_object(&d->anycast));
	if (d->relay.relays)
		set(o, "relay", relay_json(d));
}

static void set_session(const struct uplink *u, json_t *session, const struct instant *now)
{
	const struct uplink_session *s = u->newest;
	int64_t left = (int64_t)s->end - (int64_t)now->boot - u->offset;

	set(session, "sid", hex(s->sid, SID_SIZE));
	set(session, "cipher", json_string(aead_name(s->aead)));
	set(session, "endpoint", endpoint_json(&u->hello.address));
	set_number(session, "age_s", whole_seconds(now->boot - s->born));
	set(session, "ends_s", json_integer(left / (int64_t)TICKS_PER_SEC));
	set_number(session, "up_mtu", pmtu_value(&u->up, now->boot));
	set_number(session, "down_mtu", pmtu_value(&u->down, now->boot));
	set_number(session, "tunnel_mtu", uplink_tunnel_mtu(u, now));
	set_number(session, "keepalive_s", u->o.keepalive);
	set(session, "rtt_ms", json_real((double)u->rtt * 1000 / TICKS_PER_SEC));
}

struct question {
	struct daemon *d;
	json_t *o;
};

static json_t *known_keys_json(const struct uplink *u)
{
	json_t *o = json_object(), *ids = json_array();
	uint8_t id;

	for (unsigned i = 0; i < u->o.cluster_key_count; i++) {
		id = cluster_key_id(u->o.cluster_keys[i]);
		json_array_append_new(ids, hex(&id, 1));
	}
	set_number(o, "version", u->o.keys_version);
	set(o, "ids", ids);
	return o;
}

/* In the worker's thread: the uplink is its own. */
static void set_client(void *arg, struct worker *w)
{
	struct question *q = arg;
	const struct uplink *u = &q->d->uplink;
	json_t *session = json_object(), *events = json_object(), *relays = json_object();

	set(session, "state", json_string(!u->newest ? "no session" :
			u->newest->confirmed ? "up" : "waiting for confirmation"));
	set(session, "server", endpoint_json(uplink_server(u)));
	set(q->o, "cluster_keys", known_keys_json(u));
	if (u->newest)
		set_session(u, session, &w->now);
	set(q->o, "session", session);
	set_number(relays, "kept", q->d->relay_client.controller.count);
	set_number(relays, "lost", q->d->relay_client.controller.lost);
	set(q->o, "relays", relays);
	for (int i = 0; i < UPLINK_EV_COUNT; i++)
		set_number(events, uplink_event_key((enum uplink_event)i), u->events[i]);
	set(q->o, "events", events);
}

char *status_json(struct daemon *d)
{
	struct question q = {d, json_object()};
	struct instant now;

	clock_read(&now);
	set_common(d, q.o, &now);
	if (d->conf.role == CONF_SERVER)
		set_server(d, q.o, &now);
	else
		worker_do(d->path.worker[0], set_client, &q);
	set_counters(d, q.o);
	return dump(q.o);
}

/* ---- sessions ---- */

static json_t *groups_json(const struct session_record *r)
{
	json_t *list = json_array();
	char text[ENDPOINT_TEXT];

	for (unsigned i = 0; i < r->group_count; i++)
		json_array_append_new(list, json_string(addr_format(record_group(r, i), text)));
	return list;
}

static json_t *addresses_json(const struct client *c)
{
	json_t *list = json_array();
	char text[PREFIX_TEXT];
	struct prefix p;

	for (unsigned i = 0; i < c->prefix_count; i++) {
		client_prefix(c, i, &p);
		json_array_append_new(list, json_string(prefix_format(&p, text)));
	}
	return list;
}

static json_t *session_json(const struct client *c, const struct session_record *r,
		const struct instant *now)
{
	json_t *o = json_object();

	set(o, "client", json_stringn(client_name(c), c->name_len));
	set_number(o, "index", c->index);
	set(o, "endpoint", endpoint_json(&r->endpoint));
	set(o, "sid", hex(r->sid, SID_SIZE));
	set(o, "cipher", json_string(aead_name((enum aead)r->aead)));
	set_number(o, "down_mtu", r->down_mtu);
	set_number(o, "keepalive_s", r->keepalive);
	set_number(o, "server", r->writer);
	/* its first HELLO may have been taken by a server whose clock is a little ahead */
	set_number(o, "since_s", whole_seconds(now->cluster - MIN(r->since, now->cluster)));
	set(o, "ends_s", json_integer((json_int_t)session_end(r->epoch) -
			(json_int_t)time_seconds(now->cluster)));
	set(o, "active", json_boolean(c->actives != NULL));
	set(o, "groups", groups_json(r));
	set(o, "addresses", addresses_json(c));
	return o;
}

char *sessions_json(struct daemon *d)
{
	json_t *list = json_array();
	const struct directory *dir;
	struct instant now;

	clock_read(&now);
	if (d->conf.role != CONF_SERVER) {
		json_decref(list);
		return dump(json_pack("{s:s}", "error",
				"this daemon is a client: ask it for its status; sessions are a server's"));
	}
	dir = atomic_load(&d->server.directory);
	for (size_t i = 0; i < directory_count(dir); i++) {
		const struct client *c = directory_at(dir, i);
		const struct session_record *r = atomic_load(&c->session);
		if (r)
			json_array_append_new(list, session_json(c, r, &now));
	}
	return dump(json_pack("{s:o}", "sessions", list));
}
