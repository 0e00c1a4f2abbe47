/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* The mesh in the daemon: what it is made of, and what it tells the tool. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/fail.h"
#include "base/log.h"
#include "ctx.h"

/* ---- start, reload ---- */

static void program_version(uint8_t version[3])
{
	unsigned part[3] = {0};

	sscanf(ANYRELAY_VERSION, "%u.%u.%u", &part[0], &part[1], &part[2]);
	for (unsigned i = 0; i < 3; i++)
		version[i] = (uint8_t)part[i];
}

static int load_servers(struct daemon *d, char error[SENTENCE])
{
	struct server_list *list;
	int failed = mesh_role_read(d, d->conf.servers_file, &list, error);

	if (!failed) {
		failed = mesh_role_apply(d, list, error);
		free(list);
	}
	return failed;
}

static void receive(struct daemon *d, const struct instant *now)
{
	(void)now; /* it reads the clock for each packet */
	mesh_io_receive(&d->mesh);
}

/* False: malformed. */
static bool take_message(void *arg, uint16_t from, const uint8_t *message, size_t len)
{
	struct daemon *d = arg;
	struct instant now;

	clock_read(&now);
	if (message[0] >= MESH_RELAYS && message[0] < MESH_TOO_BIG)
		return relay_share_take(d, &now, from, message, len);
	return d->notices && notices_take(d->notices, &now, from, message, len);
}

int mesh_role_start(struct daemon *d, char error[SENTENCE])
{
	struct peers_options o = {
		.number = d->conf.number,
		.secret = d->conf.mesh_secret,
		.server = &d->server,
		.out = &d->mesh.out,
		.waits = d->conf.registry_nats,
		.receive = take_message,
		.receive_arg = d,
	};
	int failed;

	if (!d->conf.mesh.port)
		return 0;
	failed = mesh_io_open(&d->mesh, &d->conf.mesh, error);
	if (failed)
		return failed;
	program_version(o.version);
	peers_init(&d->mesh.peers, &o, &d->started);
	d->mesh_due = 0;
	control_watch(d, d->mesh.fd, receive);
	return load_servers(d, error);
}

/* What the registry has brought stays, whatever the file says. */
static int add_known(const struct daemon *d, struct server_list *list, char error[SENTENCE])
{
	for (unsigned i = 0; d->conf.registry_nats && i < d->servers.count; i++)
		if (server_list_add(list, &d->servers.entry[i]) < 0)
			return fail(-E2BIG, error, SENTENCE, "a cluster has at most %d servers",
					SERVERS_MAX);
	return 0;
}

int mesh_role_read(struct daemon *d, const char *servers_file, struct server_list **list,
		char error[SENTENCE])
{
	char why[PEERS_ERROR];
	int failed;

	*list = NULL;
	if (!d->conf.mesh.port)
		return 0;
	*list = calloc(1, sizeof **list);
	if (!*list) {
		snprintf(error, SENTENCE, "out of memory");
		return -ENOMEM;
	}
	failed = servers_file_read(servers_file, d->conf.operator.sign, *list, error);
	if (!failed)
		failed = add_known(d, *list, error);
	if (!failed && (failed = peers_check(&d->mesh.peers, *list, why)))
		snprintf(error, SENTENCE, "%.100s: %s", servers_file, why);
	if (failed) {
		free(*list);
		*list = NULL;
	}
	return failed;
}

int mesh_role_apply(struct daemon *d, const struct server_list *list, char error[SENTENCE])
{
	int failed = list ? peers_set(&d->mesh.peers, list, error) : 0;

	if (list && !failed)
		d->servers = *list;
	return failed;
}

void mesh_role_changed(void *daemon)
{
	struct daemon *d = daemon;
	bool listed = d->mesh.peers.listed;
	char why[PEERS_ERROR];

	if (peers_set(&d->mesh.peers, &d->servers, why))
		log_limited(LOG_ERROR, 1, "the list of servers from the registry is not usable: %s", why);
	else if (!listed && d->mesh.peers.listed)
		log_notice("this server (Number = %u) is in the list of servers", d->conf.number);
	else if (listed && !d->mesh.peers.listed)
		snprintf(d->expelled, sizeof d->expelled, "this server (Number = %u) %s", d->conf.number,
				peers_unlisted(&d->mesh.peers, &d->servers));
	/* neither relays nor tunnels may lead to them */
	relay_role_apply(d);
	server_role_networks(d);
}

void mesh_role_ready(const struct daemon *d)
{
	if (d->mesh.fd >= 0 && !d->mesh.peers.listed)
		log_notice("this server (Number = %u) %s: it waits for the registry", d->conf.number,
				peers_unlisted(&d->mesh.peers, &d->servers));
}

/* ---- running ---- */

/* As heartbeats tell it. */
static uint16_t withdrawn(const struct anycast *a)
{
	return (uint16_t)(a->reasons | (a->enabled ? 0 : WITHDRAWN_NEVER));
}

void mesh_role_tick(struct daemon *d)
{
	if (d->mesh.fd < 0)
		return;
	d->mesh.peers.withdrawn = withdrawn(&d->anycast);
	d->mesh.peers.draining = d->anycast.reasons & 1u << ANYCAST_DRAINED;
	mesh_io_receive(&d->mesh);
	d->mesh_due = mesh_io_tick(&d->mesh);
}

int mesh_role_verdict(const struct daemon *d, char error[SENTENCE])
{
	unsigned at = d->mesh.peers.taken_at;

	if (d->expelled[0])
		return fail(-EPERM, error, SENTENCE, "%s", d->expelled);
	if (!at)
		return 0;
	snprintf(error, SENTENCE,
			"another living server has the number %u, says server %u: each server needs a "
			"number and a key of its own; was this one's disk copied? anyrelay server add "
			"makes an entry",
			d->conf.number, at);
	return -EADDRINUSE;
}

void mesh_role_tell_keys(struct daemon *d)
{
	const struct cluster_secrets *c = &d->conf.cluster;
	struct peers *p = &d->mesh.peers;

	memset(p->cluster_keys, 0, sizeof p->cluster_keys);
	for (unsigned i = 0; i < c->count; i++) /* the newest first */
		p->cluster_keys[i] = cluster_key_name(c->secret[c->count - 1 - i]);
}

bool mesh_role_have_newest(const struct daemon *d)
{
	return d->mesh.fd < 0 || peers_have_newest_key(&d->mesh.peers);
}

/* ---- what the tool is told ---- */

static char *dump(json_t *o)
{
	char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;

	json_decref(o);
	return text;
}

static json_t *lineage_json(const struct lineage_name *l)
{
	char text[48];

	snprintf(text, sizeof text, "%" PRIu64 ".%08" PRIx64, l->generation, l->id >> 32);
	return l->generation ? json_string(text) : json_null();
}

static json_t *version_json(const uint8_t version[3])
{
	char text[16];

	snprintf(text, sizeof text, "%u.%u.%u", version[0], version[1], version[2]);
	return json_string(text);
}

_Static_assert(1 << ANYCAST_REASON_COUNT <= WITHDRAWN_NEVER, "every reason has its bit");

/* An empty list if it announces; null if it never does. */
static json_t *withdrawn_json(uint16_t bits)
{
	json_t *list;

	if (bits & WITHDRAWN_NEVER)
		return json_null();
	list = json_array();
	for (int r = 0; r < ANYCAST_REASON_COUNT; r++)
		if (bits & 1u << r)
			json_array_append_new(list,
					json_string(anycast_reason_key((enum anycast_reason)r)));
	return list;
}

static void set_announced(json_t *o, uint16_t bits)
{
	json_object_set_new(o, "announced", json_boolean(bits == 0));
	json_object_set_new(o, "withdrawn_for", withdrawn_json(bits));
}

static json_t *own_json(const struct daemon *d)
{
	const struct peers *p = &d->mesh.peers;
	char text[ENDPOINT_TEXT];

	json_t *o = json_pack("{s:i, s:s, s:s, s:b, s:b, s:o, s:i, s:s, s:b, s:b, s:b}", "number",
			(int)d->conf.number, "name", d->conf.name, "mesh",
			endpoint_format(&d->conf.mesh, text), "self", 1, "alive", 1,
			"lineage", lineage_json(&p->highest), "lineages", (int)p->lineages, "version",
			ANYRELAY_VERSION, "draining", (int)p->draining, "joining", p->lineages == 0,
			"newest_cluster_key", 1);

	if (o)
		set_announced(o, withdrawn(&d->anycast));
	return o;
}

static json_t *peer_json(const struct peers *p, const struct peer *r)
{
	struct clock_sample clock;
	char text[ENDPOINT_TEXT];
	json_t *o = json_pack("{s:i, s:s, s:s, s:b, s:b}", "number", (int)r->entry.number, "name",
			r->entry.name, "mesh", endpoint_format(&r->entry.mesh, text), "self", 0,
			"alive", (int)r->alive);

	if (!o || !r->alive)
		return o;
	if (peer_clock(r, &clock)) {
		json_object_set_new(o, "rtt_ms",
				json_real((double)clock.rtt * 1000 / TICKS_PER_SEC));
		json_object_set_new(o, "offset_ms",
				json_real((double)clock.offset * 1000 / TICKS_PER_SEC));
	}
	json_object_set_new(o, "lineage", lineage_json(&r->last.highest));
	json_object_set_new(o, "version", version_json(r->last.version));
	json_object_set_new(o, "draining", json_boolean(r->last.flags & HEARTBEAT_DRAINING));
	json_object_set_new(o, "joining", json_boolean(r->last.flags & HEARTBEAT_JOINING));
	set_announced(o, r->last.withdrawn);
	json_object_set_new(o, "newest_cluster_key", json_boolean(peer_has_newest_key(p, r)));
	return o;
}

static json_t *counters_json(const struct daemon *d)
{
	const struct mesh_io *m = &d->mesh;
	const uint64_t *records = notices_counters(d->notices);
	json_t *o = json_object();

	for (int i = 0; i < MESH_TRAFFIC_COUNT; i++)
		json_object_set_new(o, mesh_traffic_key((enum mesh_traffic)i),
				json_integer((json_int_t)m->traffic[i]));
	for (int i = 0; i < PEERS_EVENT_COUNT; i++)
		json_object_set_new(o, peers_event_key((enum peers_event)i),
				json_integer((json_int_t)m->peers.events[i]));
	for (int i = 0; i < NOTICES_COUNTER_COUNT; i++)
		json_object_set_new(o, notices_counter_key((enum notices_counter)i),
				json_integer((json_int_t)records[i]));
	return o;
}

static json_t *drops_json(const struct peers *p)
{
	json_t *o = json_object();

	for (int i = MESH_ACCEPTED + 1; i < MESH_RESULT_COUNT; i++)
		if (p->results[i])
			json_object_set_new(o, mesh_result_key((enum mesh_result)i),
					json_integer((json_int_t)p->results[i]));
	return o;
}

static char *no_mesh_json(void)
{
	return dump(json_pack("{s:s}", "error",
			"this daemon is no server of a cluster: its configuration has no [Mesh]"));
}

char *servers_json(struct daemon *d)
{
	const struct peers *p = &d->mesh.peers;
	json_t *list;
	bool own = false;

	if (d->mesh.fd < 0)
		return no_mesh_json();
	list = json_array();
	for (unsigned i = 0; i < p->count; i++) {
		if (!own && p->peer[i]->entry.number > d->conf.number) {
			json_array_append_new(list, own_json(d));
			own = true;
		}
		json_array_append_new(list, peer_json(p, p->peer[i]));
	}
	if (!own)
		json_array_append_new(list, own_json(d));
	return dump(json_pack("{s:o, s:f, s:i, s:b, s:o, s:o}", "servers", list, "clock_off_ms",
			(double)p->clock_off * 1000 / TICKS_PER_SEC, "clocks", (int)p->clocks,
			"withdraw", (int)peers_withdraw(p), "mesh", counters_json(d),
			"mesh_drops", drops_json(p)));
}

char *rotate_json(struct daemon *d)
{
	struct peers *p = &d->mesh.peers;
	struct instant now;
	unsigned told = 0;

	clock_read(&now);
	if (d->conf.role != CONF_SERVER)
		return dump(json_pack("{s:s}", "error", "this daemon is a client: epoch keys are the "
						       "servers'"));
	if (d->mesh.fd < 0)
		return server_lineage_begin(&d->server, &now) < 0 ? NULL :
				dump(json_pack("{s:b, s:i}", "rotated", 1, "servers", 1));
	if (!p->lineages)
		return dump(json_pack("{s:s}", "error", "this server has no epoch keys yet: it is "
						       "joining the others"));
	if (peers_rotate(p, &now) < 0)
		return NULL;
	for (unsigned i = 0; i < p->count; i++)
		told += p->peer[i]->alive;
	return dump(json_pack("{s:b, s:i, s:o}", "rotated", 1, "servers", (int)told + 1, "lineage",
			lineage_json(&p->highest)));
}
