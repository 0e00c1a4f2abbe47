/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Relays, asked for by many clients as their daemons do (controller.h), and kept alive: ADD until
 * there are so many in all, then nothing but what keeps sessions and relays alive.  Two clients may
 * share one place among those that count their questions: then others make more.
 *
 *	SIGUSR1   every relay is refreshed now, as if a third of its lifetime had passed
 *	SIGTERM   the end; the relays end by themselves
 *
 * A line of JSON when all are made, one after each SIGUSR1 when all are refreshed.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "load.h"
#include "proto/controller.h"

#define ASKING    12             /* questions of one client, under way */
#define PACE      TICKS_MS(60)   /* between two ADDs of one client: each is asked twice, and 50 a second are heard */
#define REFRESHES 40             /* a second, of one client */
#define PATIENCE  TICKS_S(20)    /* for one question */
#define LOOK_EACH TICKS_MS(10)   /* for timers that are due */
#define TICK_EACH TICKS_MS(200)  /* for relays to refresh, 8 at once: likewise */

struct asking {
	struct caller *of; /* NULL: free */
	struct relay_request request;
};

struct caller {
	struct output output; /* first member */
	struct run *run;
	uint32_t number;
	ticks next_ask, deadline; /* boot time */
	struct uplink uplink;
	struct controller controller;
	struct asking asking[ASKING];
};

struct run {
	struct net *net;
	uint32_t clients, wanted, begun, made;
	uint16_t lifetime;
	uint64_t refused[RELAY_STATUS_LOST + 1], silences;
	struct caller *caller;
	ticks next_look, next_tick; /* boot time */
	ticks refresh_from; /* boot time; 0: no one waits for refreshes */
	struct instant now;
};

static volatile sig_atomic_t refresh_asked, end_asked;

static void on_signal(int number)
{
	*(number == SIGUSR1 ? &refresh_asked : &end_asked) = 1;
}

static void caller_send(struct output *out, const struct endpoint *to, const uint8_t *packet,
		size_t len)
{
	const struct caller *c = (const struct caller *)out;

	(void)to; /* there is one address */
	net_send(c->run->net, c->number, packet, len);
}

/* ---- ADD ---- */

/* All four of family and protocol in turn, both sides of one family. */
static struct relay_request request(const struct run *r, uint32_t i)
{
	struct relay_request q = {.protocol = i % 2 ? RELAY_TCP : RELAY_UDP, .span = 1,
		.lifetime = r->lifetime};

	random_bytes(q.id, sizeof q.id);
	for (unsigned side = 0; side < 2; side++)
		q.side[side] = (struct relay_side){.kind = RELAY_LEARNT, .v4 = i / 2 % 2};
	return q;
}

static void ask(struct asking *a);

static void answered(void *arg, const struct instant *now, const struct relay_answer *answer)
{
	struct asking *a = arg;
	struct caller *c = a->of;
	struct run *r = c->run;

	(void)now;
	if (!answer || answer->status == RELAY_STATUS_PENDING) {
		r->silences++;
		ask(a);
		return;
	}
	a->of = NULL;
	if (answer->status == RELAY_STATUS_OK) {
		r->made++;
	} else {
		r->refused[MIN(answer->status, RELAY_STATUS_LOST)]++;
		r->begun--; /* another one instead */
	}
}

static void ask(struct asking *a)
{
	struct caller *c = a->of;

	if (!controller_ask(&c->controller, &c->run->now, RELAY_OP_ADD, &a->request, PATIENCE, answered, a))
		die("a client has no room for a question, of which it has fewer than there is room for");
}

static void begin_next(struct caller *c)
{
	struct run *r = c->run;

	for (unsigned i = 0; i < ASKING; i++) {
		struct asking *a = &c->asking[i];

		if (a->of || r->begun == r->wanted || r->now.boot < c->next_ask)
			continue;
		*a = (struct asking){c, request(r, r->begun++)};
		c->next_ask = r->now.boot + PACE;
		ask(a);
	}
}

/* ---- what the clients do by themselves ---- */

static void refresh_all(struct run *r)
{
	for (uint32_t i = 0; i < r->clients; i++)
		for (size_t k = 0; k < r->caller[i].controller.count; k++)
			r->caller[i].controller.list[k].refresh = r->now.boot + TICKS_S(k) / REFRESHES;
	r->refresh_from = r->now.boot;
}

/* A relay's next refresh is a third of its lifetime after the last one was answered. */
static bool all_refreshed(const struct run *r)
{
	ticks third = TICKS_S(r->lifetime) / 3;

	for (uint32_t i = 0; i < r->clients; i++)
		for (size_t k = 0; k < r->caller[i].controller.count; k++)
			if (r->caller[i].controller.list[k].refresh < r->refresh_from + third)
				return false;
	return true;
}

static void take(struct run *r, const struct net_message *m)
{
	struct caller *c = m->client < r->clients ? &r->caller[m->client] : NULL;
	const struct datagram d = {.data = m->data, .len = m->len,
		.from = c ? uplink_server(&c->uplink) : NULL};
	uint8_t plain[1500];
	size_t len;

	if (c && m->len >= HEADER_SIZE)
		uplink_open(&c->uplink, &r->now, &d, plain, &c->output, &len);
}

static void look(struct run *r)
{
	bool tick = r->now.boot >= r->next_tick;

	r->next_look = r->now.boot + LOOK_EACH;
	if (tick)
		r->next_tick = r->now.boot + TICK_EACH;
	for (uint32_t i = 0; i < r->clients; i++) {
		struct caller *c = &r->caller[i];

		if (c->uplink.newest && c->uplink.newest->confirmed)
			begin_next(c);
		if (tick)
			controller_tick(&c->controller, &r->now);
		c->deadline = uplink_deadline(&c->uplink, &r->now);
		if (r->now.boot >= c->deadline)
			uplink_tick(&c->uplink, &r->now, &c->output);
	}
}

/* ---- the program ---- */

static void report_made(const struct run *r, double seconds)
{
	const char *comma = "";

	printf("{\"made\": %u, \"seconds\": %.3f, \"relays_per_s\": %.0f, \"asked_anew\": %llu, "
			"\"refused\": {", r->made, seconds, r->made / seconds,
			(unsigned long long)r->silences);
	for (unsigned s = 1; s < ARRAY_SIZE(r->refused); s++) {
		if (!r->refused[s])
			continue;
		printf("%s\"%s\": %llu", comma, relay_status_key((enum relay_status)s),
				(unsigned long long)r->refused[s]);
		comma = ", ";
	}
	printf("}}\n");
	fflush(stdout);
}

static void serve_refreshes(struct run *r)
{
	if (refresh_asked) {
		refresh_asked = 0;
		refresh_all(r);
	} else if (r->refresh_from && all_refreshed(r)) {
		printf("{\"refreshed_s\": %.3f}\n",
				(double)(r->now.boot - r->refresh_from) / TICKS_PER_SEC);
		fflush(stdout);
		r->refresh_from = 0;
	}
}

static void work(struct run *r)
{
	struct net_message message[NET_BATCH];
	double start = seconds_now();
	bool told = false;

	while (!end_asked) {
		unsigned n = net_receive(r->net, message);

		clock_read(&r->now);
		for (unsigned i = 0; i < n; i++)
			take(r, &message[i]);
		if (!told && r->made == r->wanted) {
			report_made(r, seconds_now() - start);
			told = true;
		}
		if (r->now.boot >= r->next_look) {
			look(r);
			serve_refreshes(r);
		}
		net_flush(r->net);
		if (n == 0)
			net_wait(r->net, 5);
	}
}

static void begin(struct run *r, uint32_t number, const uint8_t cluster_public[KEY_SIZE],
		const struct endpoint *server)
{
	struct caller *c = &r->caller[number];
	struct uplink_options o;

	*c = (struct caller){.output.send = caller_send, .run = r, .number = number};
	client_uplink(&o, number, cluster_public, server);
	uplink_init(&c->uplink, &o, &r->now);
	controller_init(&c->controller, &c->uplink);
	c->deadline = uplink_tick(&c->uplink, &r->now, &c->output);
}

void load_relays(uint32_t clients, uint32_t relays, uint16_t lifetime,
		const uint8_t cluster_public[KEY_SIZE], const struct endpoint *server)
{
	struct run r = {
		.net = net_open(server),
		.clients = clients,
		.wanted = relays,
		.lifetime = lifetime,
		.caller = aligned_alloc(64, (clients * sizeof *r.caller + 63) / 64 * 64),
	};

	if (!r.caller)
		die("not enough memory for %u clients", clients);
	signal(SIGUSR1, on_signal);
	signal(SIGTERM, on_signal);
	clock_read(&r.now);
	for (uint32_t i = 0; i < clients; i++)
		begin(&r, i, cluster_public, server);
	work(&r);
	for (uint32_t i = 0; i < clients; i++) {
		controller_free(&r.caller[i].controller);
		uplink_free(&r.caller[i].uplink);
	}
	free(r.caller);
	net_close(r.net);
}
