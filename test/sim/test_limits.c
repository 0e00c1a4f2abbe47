/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* What is bounded: the use of a key, what strangers cost, what a client can make others do. */
#include "test/sim/world.h"

#include <stdlib.h>
#include <time.h>

#define WORLD(...) world_new(&(struct world_options){__VA_ARGS__})

/* ---- the use of a key ---- */

/* GCM wears out.  At the soft limits, in either direction, a new session begins without loss. */
static void a_worn_key_is_renewed_without_loss(void **state)
{
	static const struct key_limits small[] = {
		{.soft_packets = 1000, .soft_blocks = 1ull << 35, .hard_number = UINT32_MAX,
		 .hard_blocks = 1ull << 36},
		{.soft_packets = 1ull << 31, .soft_blocks = 10000, .hard_number = UINT32_MAX,
		 .hard_blocks = 1ull << 36},
	};

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct world *w = WORLD(.keepalive = 20, .client_limits = small[i % 2]);
		struct sim_client *c = w->client[0];
		bool up = i < 2; /* the other direction is counted by the client as well */

		world_connect(w);
		world_traffic(w, c, up, TICKS_MS(5), TICKS_S(50), 100);
		world_run(w, TICKS_S(51));
		check_range(&w->net, c->u.events[UPLINK_EV_SESSIONS], 8, 16);
		check_equal(&w->net, c->sent_up.received, c->sent_up.sent);
		check_equal(&w->net, c->sent_down.received, c->sent_down.sent);
		world_free(w);
	}
}

/* Where no new session is to be had, the old key stops at its hard limit: silence, not reuse. */
static void a_spent_key_is_never_used_again(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct world *w = WORLD(.keepalive = 20);
		struct sim_client *c = w->client[0];
		struct key_limits *limits = i % 2 ? &w->server[0].core->limits : &c->u.o.limits;
		struct flow *flow = i % 2 ? &c->sent_down : &c->sent_up;
		struct active *a;

		world_connect(w);
		world_run(w, TICKS_S(5));
		c->up.mtu = 1000; /* message 1 does not pass, the session goes on */
		a = active_find(w->server[0].core->active, c->u.newest->sid);
		check(&w->net, a && a->has_tx);
		if (i < 2)
			limits->hard_number = (i % 2 ? a->tx.next : c->u.newest->tx.next) + 100;
		else
			limits->hard_blocks = (i % 2 ? a->tx.blocks : c->u.newest->tx.blocks) + 900;
		world_traffic(w, c, i % 2 == 0, TICKS_MS(10), TICKS_S(10), 96);
		world_run(w, TICKS_S(11));
		/* path MTU probes, of which none gets through, have used much of it */
		check_range(&w->net, flow->received, 30, 100);
		if (i % 2) /* the client sends no more, and the server, asked, says why */
			check_equal(&w->net, server_send(&w->server[0], c, 96), DROP_SPENT);
		else
			check(&w->net, !client_send(c, 96));
		world_free(w);
	}
}

/* ---- strangers ---- */

/*
 * Forged packets at line rate: the order of the tests decides what they cost.
 * Nothing may be allocated, kept or evicted for them.
 */
static void forged_packets_allocate_nothing_and_change_no_table(void **state)
{
	enum { PACKETS = 1000000 };
	struct world *w = WORLD(.servers = 1, .clients = 50, .keepalive = 20);
	struct sim_server *s = &w->server[0];
	struct endpoint from = {.port = 1000};
	uint8_t packet[128];
	struct server_state before, after;
	clock_t took = 0;
	uint64_t hints;

	(void)state;
	world_connect(w);
	world_run(w, TICKS_S(5));
	hints = s->core->events[SERVER_HINTS];
	for (unsigned round = 0; round < 2; round++) { /* the first: all is used once */
		before = server_state(s);
		took -= clock();
		for (unsigned i = 0; i < PACKETS / 2; i++) {
			const struct uplink_session *session = w->client[i % 50]->u.newest;
			size_t len = 32 + i % 96;

			random_bytes(packet, 16);
			addr_from_v4(from.ip, packet + 12);
			packet[0] = (uint8_t)(WIRE_MAGIC | (i % 8 < 6 ? i % 2 * 2 : i % 16));
			if (i % 3) /* it knows the key id, and then the session id as well */
				packet[1] = session->kid;
			if (i % 3 == 2)
				memcpy(packet + HEADER_TO, session->sid, SID_SIZE);
			check(&w->net, server_take(s, &from, packet, len) != DROP_NONE);
		}
		took += clock();
		after = server_state(s);
		check_equal(&w->net, after.counts.active, before.counts.active);
		check_equal(&w->net, after.counts.records, before.counts.records);
		check_equal(&w->net, after.events[SERVER_FIRST_SIGHTS],
				before.events[SERVER_FIRST_SIGHTS]);
		/* hints under way are the network's; no more than 1000 go out in a second */
		check_range(&w->net, after.events[SERVER_HINTS] - before.events[SERVER_HINTS], 0,
				1000);
		if (round)
			check_equal(&w->net, after.heap, before.heap);
	}
	print_message("# a million forged packets took %.2f s, with all that the test does\n",
			(double)took / CLOCKS_PER_SEC);
	check_equal(&w->net, s->core->events[SERVER_HINTS] - hints, 1000);
	for (unsigned i = 0; i < 50; i++)
		check(&w->net, client_send(w->client[i], 100));
	world_run(w, TICKS_S(1));
	for (unsigned i = 0; i < 50; i++)
		check_equal(&w->net, w->client[i]->sent_up.received, 1);
	world_free(w);
}

/* ---- a client of ill will ---- */

/* A thousand handshakes a second, and a HELLO and data in each session. */
static void a_client_with_endless_sessions_has_few_places(void **state)
{
	struct world *w = WORLD(.clients = 2, .keepalive = 20, .delay = TICKS_MS(1) / 4);
	struct sim_server *s = &w->server[0];
	struct sim_client *c = w->client[0];
	uint64_t written, moves;
	unsigned most = 0;

	(void)state;
	world_connect(w);
	written = s->records_written;
	moves = s->core->events[SERVER_MOVES];
	for (unsigned i = 0; i < 10000; i++) {
		c->u.handshake.wanted = true;
		c->u.handshake.tries = 0;
		c->u.handshake.next = 0;
		if (i % 10 == 0)
			client_rebind(c);
		client_tick(c);
		client_send(c, 100);
		world_run(w, TICKS_MS(1));
		most = MAX(most, s->core->active->used);
	}
	check_range(&w->net, c->u.events[UPLINK_EV_SESSIONS], 900, 20000);
	/* those that gave way keep their place until the next tick */
	check_range(&w->net, most, 2, 1 + 2 * CLIENT_SESSIONS_MAX);
	check_range(&w->net, s->core->events[SERVER_MOVES] - moves, 0, 12);
	check_range(&w->net, s->records_written - written, 1, 4 * 10 + 10);
	check(&w->net, client_send(w->client[1], 100));
	world_run(w, TICKS_S(1));
	check_equal(&w->net, w->client[1]->sent_up.received, 1);
	world_free(w);
}

/* Another multicast group with every packet: each change is told to others, so they are few. */
static void a_client_cannot_flood_the_registry(void **state)
{
	struct world *w = WORLD(.keepalive = 20);
	struct sim_client *c = w->client[0];
	uint8_t groups[1][16] = {{0xff, 0x05}};
	uint64_t written;

	(void)state;
	world_connect(w);
	world_run(w, TICKS_S(5));
	written = w->server[0].records_written;
	for (unsigned i = 0; i < 10000; i++) {
		struct instant now = client_now(c);

		store_be32(groups[0] + 12, i);
		uplink_set_groups(&c->u, &now, groups, 1, &c->out);
		world_run(w, TICKS_MS(1));
	}
	check_range(&w->net, w->server[0].records_written - written, 10, 44);
	world_run(w, TICKS_S(3)); /* and the last one is told in the end */
	check_equal(&w->net, client_at(&w->server[0], 0)->session->group_count, 1);
	check(&w->net, !memcmp(record_group(client_at(&w->server[0], 0)->session, 0), groups[0],
			16));
	world_free(w);
}

/* Without a place left for an active session, those that have one are served on. */
static void a_full_table_keeps_those_who_are_in_it(void **state)
{
	struct world *w = WORLD(.clients = 8, .active_sessions = 4, .keepalive = 20);
	unsigned served = 0;

	(void)state;
	world_run(w, TICKS_S(3));
	for (unsigned i = 0; i < 8; i++)
		world_traffic(w, w->client[i], true, TICKS_MS(100), TICKS_S(20), 100);
	world_run(w, TICKS_S(21));
	check_equal(&w->net, w->server[0].core->active->used, 4);
	for (unsigned i = 0; i < 8; i++)
		served += w->client[i]->sent_up.received > 150;
	check_equal(&w->net, served, 4);
	check_range(&w->net, w->server[0].drop[DROP_SLOTS], 500, 10000);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_worn_key_is_renewed_without_loss),
		cmocka_unit_test(a_spent_key_is_never_used_again),
		cmocka_unit_test(forged_packets_allocate_nothing_and_change_no_table),
		cmocka_unit_test(a_client_with_endless_sessions_has_few_places),
		cmocka_unit_test(a_client_cannot_flood_the_registry),
		cmocka_unit_test(a_full_table_keeps_those_who_are_in_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
