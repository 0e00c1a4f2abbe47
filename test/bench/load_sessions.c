/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * One session for each client, `window` of them at a time, by the client's own
 * code (uplink.h): handshake, HELLO, its acknowledgement, one data packet.  Then
 * the client is silent, and the server is left with what an idle one costs.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "load.h"

#define PATIENCE  TICKS_S(30)  /* for one session */
#define LOOK_EACH TICKS_MS(10) /* for timers that are due */

struct slot {
	struct output output; /* first member */
	struct net *net;
	bool busy;
	uint32_t client;
	ticks started, deadline; /* boot time */
	struct uplink uplink;
};

struct run {
	struct net *net;
	const uint8_t *cluster_public;
	const struct endpoint *server;
	uint32_t count, next, made, failed;
	unsigned window;
	struct slot *slot;
	struct slot **of_client; /* NULL: not begun, or done */
	uint64_t events[UPLINK_EV_COUNT];
	struct instant now;
};

static void slot_send(struct output *out, const struct endpoint *to, const uint8_t *packet,
		size_t len)
{
	struct slot *s = (struct slot *)out;

	(void)to; /* there is one server */
	net_send(s->net, s->client, packet, len);
}

static void begin(struct run *r, struct slot *s)
{
	struct uplink_options o;

	s->client = r->next++;
	s->busy = true;
	s->started = r->now.boot;
	r->of_client[s->client] = s;
	client_uplink(&o, s->client, r->cluster_public, r->server);
	uplink_init(&s->uplink, &o, &r->now);
	s->deadline = uplink_tick(&s->uplink, &r->now, &s->output);
}

static void end(struct run *r, struct slot *s)
{
	for (unsigned i = 0; i < UPLINK_EV_COUNT; i++)
		r->events[i] += s->uplink.events[i];
	uplink_free(&s->uplink);
	s->busy = false;
	r->of_client[s->client] = NULL;
}

/* An empty packet: what keeps a NAT open. */
static void send_keepalive(struct run *r, struct slot *s)
{
	uint8_t room[UPSTREAM_MIN] = {0};
	size_t len = UPSTREAM_MIN - PACKET_OVERHEAD;
	struct tx_key *tx = &s->uplink.newest->tx;
	struct tx_run run = {0};
	uint32_t number;

	if (!tx_number(&run, tx, 1, &key_limits, &number))
		die("a new session's numbers are used up");
	net_send(r->net, s->client, room,
			tx_seal(tx, uplink_time(&s->uplink, &r->now), number, room + HEADER_SIZE, len,
					room));
}

static void take(struct run *r, const struct net_message *m)
{
	struct slot *s = m->client < r->count ? r->of_client[m->client] : NULL;
	const struct datagram d = {.data = m->data, .len = m->len, .from = r->server};
	uint8_t plain[1500];
	size_t len;

	if (!s || m->len < HEADER_SIZE)
		return; /* a second answer to a repeat: the session is there */
	uplink_open(&s->uplink, &r->now, &d, plain, &s->output, &len);
	if (!s->uplink.newest || !s->uplink.newest->confirmed)
		return;
	send_keepalive(r, s);
	r->made++;
	end(r, s);
}

/* Repeats what was lost, and gives up where nothing helps. */
static void look(struct run *r)
{
	for (unsigned i = 0; i < r->window; i++) {
		struct slot *s = &r->slot[i];

		if (s->busy && r->now.boot >= s->started + PATIENCE) {
			r->failed++;
			end(r, s);
		} else if (s->busy && r->now.boot >= s->deadline) {
			s->deadline = uplink_tick(&s->uplink, &r->now, &s->output);
		}
		if (!s->busy && r->next < r->count)
			begin(r, s);
	}
}

/* Until all are done, or so many have failed that there is no sense in going on. */
static void work(struct run *r)
{
	struct net_message message[NET_BATCH];
	ticks next_look = 0;
	unsigned n;

	while (r->made + r->failed < r->count && r->failed < r->window) {
		clock_read(&r->now);
		n = net_receive(r->net, message);
		for (unsigned i = 0; i < n; i++)
			take(r, &message[i]);
		if (n > 0 || r->now.boot >= next_look) {
			next_look = r->now.boot + LOOK_EACH;
			look(r);
		}
		net_flush(r->net);
		if (n == 0)
			net_wait(r->net, 5);
	}
}

static void report(const struct run *r, double seconds)
{
	printf("{\"sessions\": %u, \"failures\": %u, \"seconds\": %.3f, \"sessions_per_s\": %.0f, "
			"\"handshakes_sent\": %llu, \"retry_tokens\": %llu, \"hellos_sent\": %llu}\n",
			r->made, r->failed, seconds, r->made / seconds,
			(unsigned long long)r->events[UPLINK_EV_HANDSHAKES_SENT],
			(unsigned long long)r->events[UPLINK_EV_RETRIES],
			(unsigned long long)r->events[UPLINK_EV_HELLOS]);
}

bool load_sessions(uint32_t count, unsigned window, const uint8_t cluster_public[KEY_SIZE],
		const struct endpoint *server)
{
	struct run r = {
		.net = net_open(server),
		.cluster_public = cluster_public,
		.server = server,
		.count = count,
		.window = window,
		.slot = aligned_alloc(64, window * sizeof *r.slot),
		.of_client = calloc(count, sizeof *r.of_client),
	};
	double start = seconds_now();

	if (!r.slot || !r.of_client)
		die("not enough memory for a window of %u sessions", window);
	memset(r.slot, 0, window * sizeof *r.slot);
	for (unsigned i = 0; i < window; i++) {
		r.slot[i].output.send = slot_send;
		r.slot[i].net = r.net;
	}
	work(&r);
	report(&r, seconds_now() - start);
	net_close(r.net);
	free(r.slot);
	free(r.of_client);
	return r.failed == 0;
}
