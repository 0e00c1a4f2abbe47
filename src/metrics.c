/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * What the daemon counts, for Prometheus, and whether it serves, for load
 * balancers.  Names and sentences come from the lists that the counters
 * themselves are made from, so a new counter is a new metric.
 *
 * In the main thread.  Pages are made at most ten times a second, however often
 * somebody asks.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "ctx.h"
#include "metrics/exposition.h"
#include "path/mode.h"
#include "path/xport.h"

#define PAGE_LIFE   TICKS_MS(100)
#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct named {
	const char *key, *text;
};
#define X(name, key, text) {key, text},
static const struct named traffic_list[] = {TRAFFIC_COUNTERS(X)};
static const struct named server_list[] = {SERVER_EVENTS(X)};
static const struct named uplink_list[] = {UPLINK_EVENTS(X)};
static const struct named peers_list[] = {PEERS_EVENTS(X)};
static const struct named mesh_traffic_list[] = {MESH_TRAFFIC(X)};
static const struct named notices_list[] = {NOTICES_COUNTERS(X)};
static const struct named mesh_result_list[] = {MESH_RESULTS(X)};
static const struct named reason_list[] = {ANYCAST_REASONS(X)};
#undef X

static double seconds(int64_t t)
{
	return (double)t / TICKS_PER_SEC;
}

static void counters(struct exposition *e, const char *prefix, const struct named *list,
		size_t count, const uint64_t *value)
{
	for (size_t i = 0; i < count; i++) {
		metric_counter(e, prefix, list[i].key, list[i].text);
		metric_count(e, value[i]);
	}
}

static void gauge(struct exposition *e, const char *name, const char *help, double value)
{
	metric_gauge(e, name, help);
	metric_value(e, value);
}

/* ---- both roles ---- */

static void put_common(struct daemon *d, struct exposition *e)
{
	const struct metric_label labels[] = {
		{"version", ANYRELAY_VERSION},
		{"role", d->conf.role == CONF_SERVER ? "server" : "client"},
		{"name", d->conf.name},
		{"crypto", crypto_backend_name()},
		{"mode", d->path.mode->name},
		{"transport", d->path.xport->name},
	};

	metric_gauge(e, "build_info", "what runs; always 1");
	metric_count_of(e, labels, ARRAY_SIZE(labels), 1);
	gauge(e, "start_time_seconds", "when the daemon was started, Unix time",
			seconds((int64_t)d->started.cluster));
	gauge(e, "workers", "threads that carry packets", d->path.worker_count);
}

static void put_traffic(struct daemon *d, struct exposition *e)
{
	struct counters sum;

	path_count(&d->path, &sum);
	counters(e, "", traffic_list, TRAFFIC_COUNT, sum.traffic);
	metric_counter(e, "", "drops", "packets dropped, by reason");
	for (int i = DROP_NONE + 1; i < DROP_COUNT; i++) {
		struct metric_label reason = {"reason", drop_key((enum drop)i)};
		metric_count_of(e, &reason, 1, sum.drop[i]);
	}
}

/* ---- server ---- */

static void put_core(struct daemon *d, struct exposition *e)
{
	uint64_t events[SERVER_EVENT_COUNT];
	struct server_counts counts;

	server_count(&d->server, &counts);
	gauge(e, "epoch", "epoch of the key that sessions are issued from; 0: there is none",
			(double)counts.epoch);
	gauge(e, "clients", "clients enrolled", (double)counts.clients);
	gauge(e, "sessions", "sessions known, of all servers", (double)counts.records);
	gauge(e, "sessions_active", "sessions whose keys are ready here", (double)counts.active);
	gauge(e, "sessions_active_max", "places for such sessions", (double)counts.capacity);
	gauge(e, "overloaded", "workers that cannot keep up, whose clients are held to fair shares",
			overload_role_count(d));
	for (int i = 0; i < SERVER_EVENT_COUNT; i++)
		events[i] = d->server.events[i];
	counters(e, "server_", server_list, SERVER_EVENT_COUNT, events);
}

static void put_anycast(const struct anycast *a, struct exposition *e)
{
	if (a->enabled)
		gauge(e, "announced", "whether the anycast address is announced from here",
				a->announced);
	metric_gauge(e, "withdrawn", "reasons for which this server is not announced: 1 if it is so");
	for (int r = 0; r < ANYCAST_REASON_COUNT; r++) {
		struct metric_label reason = {"reason", reason_list[r].key};
		metric_count_of(e, &reason, 1, a->reasons >> r & 1);
	}
}

static void put_registry(struct registry *r, const struct instant *now, struct exposition *e)
{
	struct registry_status s;

	r->ops->status(r, now, &s);
	gauge(e, "registry_connected", "whether own writes come back from the registry", s.connected);
	if (s.lag_ms >= 0)
		gauge(e, "registry_lag_seconds", "how long the last write took to come back",
				(double)s.lag_ms / 1000);
	gauge(e, "registry_queue", "session records that the registry has not shown yet",
			(double)s.queue);
	gauge(e, "registry_silent_seconds", "time since the clients were last known to be current",
			(double)s.silent_s);
#define X(key, text)                                                                               \
	metric_counter(e, "registry_", #key, text);                                                \
	metric_count(e, s.key);
	REGISTRY_COUNTERS(X)
#undef X
}

/* ---- mesh ---- */

typedef bool peer_figure(const struct peer *r, double *value);

static bool figure_alive(const struct peer *r, double *value)
{
	*value = r->alive;
	return true;
}

static bool figure_rtt(const struct peer *r, double *value)
{
	struct clock_sample clock;
	bool known = r->alive && peer_clock(r, &clock);

	*value = known ? seconds((int64_t)clock.rtt) : 0;
	return known;
}

static bool figure_offset(const struct peer *r, double *value)
{
	struct clock_sample clock;
	bool known = r->alive && peer_clock(r, &clock);

	*value = known ? seconds(clock.offset) : 0;
	return known;
}

/* One figure of each other server, whose number and name are the labels: as many as the list has. */
static void put_peers(const struct peers *p, struct exposition *e, const char *name,
		const char *help, peer_figure *figure)
{
	char number[8];
	double value;

	metric_gauge(e, name, help);
	for (unsigned i = 0; i < p->count; i++) {
		const struct server_entry *entry = &p->peer[i]->entry;
		struct metric_label labels[] = {{"server", number}, {"name", entry->name}};

		if (!figure(p->peer[i], &value))
			continue;
		snprintf(number, sizeof number, "%u", entry->number);
		metric_value_of(e, labels, ARRAY_SIZE(labels), value);
	}
}

static void put_mesh(const struct daemon *d, struct exposition *e)
{
	const struct mesh_io *m = &d->mesh;
	const struct peers *p = &m->peers;

	put_peers(p, e, "mesh_server_alive", "whether the other server's heartbeats come",
			figure_alive);
	put_peers(p, e, "mesh_server_rtt_seconds", "round trip to the other server", figure_rtt);
	put_peers(p, e, "mesh_server_clock_offset_seconds", "the other server's clock less ours",
			figure_offset);
	gauge(e, "clock_offset_seconds", "the median of all servers' clocks less ours",
			seconds(p->clock_off));
	gauge(e, "clocks", "servers whose clocks that is the median of", p->clocks);
	gauge(e, "lineages", "lineages of epoch keys that are held", p->lineages);
	counters(e, "mesh_", mesh_traffic_list, MESH_TRAFFIC_COUNT, m->traffic);
	counters(e, "mesh_", peers_list, PEERS_EVENT_COUNT, p->events);
	counters(e, "mesh_", notices_list, NOTICES_COUNTER_COUNT, notices_counters(d->notices));
	metric_counter(e, "mesh_", "drops", "packets of the mesh dropped, by reason");
	for (int i = MESH_ACCEPTED + 1; i < MESH_RESULT_COUNT; i++) {
		struct metric_label reason = {"reason", mesh_result_list[i].key};
		metric_count_of(e, &reason, 1, p->results[i]);
	}
}

/* ---- relays ---- */

/* Packets by reason, from two lists that have no reason in common. */
static void put_relay_packets(struct exposition *e, const struct relay_figures *f)
{
	metric_counter(e, "relay_", "handed_up", "packets that the kernel handed to user space, by reason");
#define X(name, key, budget, text)                                                                 \
	metric_count_of(e, &(struct metric_label){"reason", key}, 1, f->up[RELAY_UP_##name]);
	RELAY_UP_REASONS(X)
#undef X
	metric_counter(e, "relay_", "drops", "packets to relays that were dropped, by reason");
#define X(name, key, text)                                                                         \
	metric_count_of(e, &(struct metric_label){"reason", key}, 1, f->bpf_drops[RELAY_BPF_DROP_##name]);
	RELAY_BPF_DROPS(X)
#undef X
#define X(name, key, text)                                                                         \
	metric_count_of(e, &(struct metric_label){"reason", key}, 1, f->drops[RELAY_DROP_##name]);
	RELAY_DROPS(X)
#undef X
	metric_counter(e, "relay_", "unsent", "packets that the raw sockets refused");
	metric_count(e, f->unsent);
	metric_counter(e, "relay_", "reattached", "times that the program was attached anew, to an uplink that had gone");
	metric_count(e, f->reattached);
}

static void put_ports_free(struct exposition *e, size_t ports_free[2][2])
{
	metric_gauge(e, "relay_ports_free", "ports of the anycast addresses that relays can still have");
	for (unsigned i = 0; i < 4; i++) {
		const struct metric_label labels[] = {
			{"protocol", i % 2 ? "tcp" : "udp"}, {"family", i / 2 ? "4" : "6"},
		};

		metric_value_of(e, labels, ARRAY_SIZE(labels), (double)ports_free[i / 2][i % 2]);
	}
}

static void put_relays(struct daemon *d, struct exposition *e)
{
	struct relay_figures f;

	relay_role_figures(&d->relay, &f);
	gauge(e, "relays", "relays of the whole cluster", (double)f.table.relays);
	gauge(e, "relays_pending", "relays that are not settled in the cluster yet",
			(double)f.table.pending);
	gauge(e, "relay_controllers", "clients that have relays", (double)f.table.controllers);
	gauge(e, "relay_entries", "places that are taken in the kernel's table of relays", (double)f.entries);
	put_ports_free(e, f.table.ports_free);
#define X(key, text)                                                                               \
	metric_counter(e, "relays_", #key, text);                                                  \
	metric_count(e, f.table.key);
	RELAYS_COUNTERS(X)
#undef X
#define X(key, text)                                                                               \
	metric_counter(e, "relay_mesh_", #key, text);                                              \
	metric_count(e, f.mesh.key);
	RELAY_MESH_COUNTERS(X)
#undef X
	put_relay_packets(e, &f);
	metric_counter(e, "rtpproxy_", "commands", "commands of SIP proxies");
	metric_count(e, f.door_commands);
	metric_counter(e, "rtpproxy_", "refused", "commands from addresses that may not ask");
	metric_count(e, f.door_refused);
	metric_counter(e, "rtpproxy_", "crowded", "commands for which there was no room to wait");
	metric_count(e, f.door_crowded);
}

static void put_server(struct daemon *d, const struct instant *now, struct exposition *e)
{
	put_core(d, e);
	put_anycast(&d->anycast, e);
	if (d->registry.ops->status)
		put_registry(&d->registry, now, e);
	if (d->mesh.fd >= 0)
		put_mesh(d, e);
	if (d->relay.relays)
		put_relays(d, e);
}

/* ---- client ---- */

struct asked {
	struct daemon *d;
	struct exposition *e;
};

/* In the worker's thread: the uplink is its own. */
static void put_client(void *arg, struct worker *w)
{
	struct asked *asked = arg;
	struct exposition *e = asked->e;
	const struct uplink *u = &asked->d->uplink;
	bool up = u->newest && u->newest->confirmed;

	asked->d->metrics.session_up = up;
	gauge(e, "session_up", "whether there is a session that a server has confirmed", up);
	if (u->newest) {
		gauge(e, "session_age_seconds", "since the session's begin",
				seconds((int64_t)(w->now.boot - u->newest->born)));
		gauge(e, "session_rtt_seconds", "round trip of the handshake", seconds((int64_t)u->rtt));
		gauge(e, "session_up_mtu_bytes", "largest outer packet towards the servers",
				pmtu_value(&u->up, w->now.boot));
		gauge(e, "session_down_mtu_bytes", "largest outer packet from the servers",
				pmtu_value(&u->down, w->now.boot));
		gauge(e, "session_tunnel_mtu_bytes", "largest packet inside the tunnel",
				uplink_tunnel_mtu(u, &w->now));
	}
	counters(e, "client_", uplink_list, UPLINK_EV_COUNT, u->events);
}

/* ---- pages ---- */

/* NULL: out of memory. */
static char *make_page(struct daemon *d, const struct instant *now, size_t *len)
{
	char *text = NULL;
	struct exposition e = {.out = open_memstream(&text, len)};
	struct asked asked = {d, &e};
	bool failed;

	if (!e.out)
		return NULL;
	put_common(d, &e);
	put_traffic(d, &e);
	if (d->conf.role == CONF_SERVER)
		put_server(d, now, &e);
	else
		worker_do(d->path.worker[0], put_client, &asked);
	failed = ferror(e.out);
	if (fclose(e.out) == 0 && !failed)
		return text;
	free(text);
	return NULL;
}

/* The page as it was a moment ago, or a new one. */
static void refresh(struct daemon *d)
{
	struct metrics *m = &d->metrics;
	struct instant now;

	clock_read(&now);
	if (m->page && now.boot < m->made + PAGE_LIFE)
		return;
	free(m->page);
	m->page = make_page(d, &now, &m->len);
	m->made = now.boot;
}

static void metrics_page(struct daemon *d, struct http_page *page)
{
	refresh(d);
	*page = (struct http_page){200, METRICS_TYPE, NULL, d->metrics.len};
	if (d->metrics.page && (page->text = malloc(page->len)))
		memcpy(page->text, d->metrics.page, page->len);
}

/* A server's is never of a moment ago: a load balancer is to see a withdrawal at once. */
static void health_page(struct daemon *d, struct http_page *page)
{
	unsigned reasons = d->anycast.reasons;
	char text[512] = "withdrawn:";
	size_t len = strlen(text);

	if (d->conf.role == CONF_CLIENT) {
		refresh(d);
		http_say(page, d->metrics.session_up ? 200 : 503,
				d->metrics.session_up ? "connected" : "no session");
		return;
	}
	if (!reasons) {
		http_say(page, 200, "serving");
		return;
	}
	for (int r = 0; r < ANYCAST_REASON_COUNT; r++)
		if (reasons >> r & 1)
			len += (size_t)snprintf(text + len, sizeof text - len, "\n%s: %s",
					reason_list[r].key, reason_list[r].text);
	http_say(page, 503, text);
}

static void answer(void *arg, const char *path, struct http_page *page)
{
	if (!strcmp(path, "/metrics"))
		metrics_page(arg, page);
	else if (!strcmp(path, "/health"))
		health_page(arg, page);
	else
		http_say(page, 404, "there are /metrics and /health");
}

/* ---- in the daemon ---- */

static void ready(struct daemon *d, const struct instant *now)
{
	d->metrics.pending = http_serve(d->metrics.http, now);
}

int metrics_open(struct daemon *d, char error[SENTENCE])
{
	if (!d->conf.metrics.port)
		return 0;
	d->metrics.http = http_open(&d->conf.metrics, answer, d, error, SENTENCE);
	if (!d->metrics.http)
		return -EADDRNOTAVAIL;
	control_watch(d, http_fd(d->metrics.http), ready);
	return 0;
}

void metrics_tick(struct daemon *d, const struct instant *now)
{
	struct metrics *m = &d->metrics;

	if (!m->http || (!m->pending && now->boot < m->next_tick))
		return;
	m->next_tick = now->boot + TICKS_S(1);
	ready(d, now);
}

void metrics_close(struct daemon *d)
{
	http_close(d->metrics.http);
	free(d->metrics.page);
}
