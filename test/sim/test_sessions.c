/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* Sessions that any server can serve: first packets, renewal, ends, clocks. */
#include "test/sim/world.h"

#include <stdlib.h>

#define WORLD(...) world_new(&(struct world_options){__VA_ARGS__})

/*
 * A server that never saw a session, and has no record of it, must serve its
 * first packet: what it needs is in the packet, the epoch key and the table of
 * clients.  If it needed a round trip, every route flip would stall.
 */
static void first_packet_is_served_by_a_server_that_never_saw_the_session(void **state)
{
	struct world *w = WORLD(.servers = 3, .keepalive = 20);
	struct sim_client *c = w->client[0];

	(void)state;
	world_connect(w);
	for (unsigned i = 0; i < 30; i++) {
		w->chosen = i % 3;
		check(&w->net, client_send(c, 100));
		world_run(w, TICKS_MS(50));
	}
	check_equal(&w->net, c->sent_up.received, 30);
	check_equal(&w->net, c->sent_up.repeated, 0);
	for (unsigned i = 0; i < 3; i++) {
		check_equal(&w->net, w->server[i].delivered, 10);
		check_equal(&w->net, w->server[i].core->events[SERVER_HINTS], 0);
	}
	check_equal(&w->net, c->u.events[UPLINK_EV_SESSIONS], 1);
	world_free(w);
}

/* continuous traffic, both ways, hours long */
static void run_for_hours(unsigned loss, enum policy policy, unsigned servers, enum aead aead)
{
	struct world *w = WORLD(.servers = servers, .clients = 2, .keepalive = 20, .aead = aead,
			.replicate = true, .record_lag = TICKS_MS(1));
	struct sim_client *c = w->client[0];
	uint64_t lost_up, lost_down;

	w->policy = policy;
	w->flip_every = TICKS_S(17);
	world_connect(w);
	world_run(w, TICKS_S(1));
	c->up.loss = c->down.loss = loss;
	world_traffic(w, c, true, TICKS_MS(100), TICKS_S(3 * 3600), 200);
	world_traffic(w, c, false, TICKS_MS(100), TICKS_S(3 * 3600), 200);
	world_run(w, TICKS_S(3 * 3600 + 10));
	lost_up = c->sent_up.sent - c->sent_up.received;
	lost_down = c->sent_down.sent - c->sent_down.received;
	check_equal(&w->net, c->sent_up.repeated, 0);
	check_equal(&w->net, c->sent_down.repeated, 0);
	check_equal(&w->net, c->sent_up.sent, 108001);
	check_equal(&w->net, c->sent_down.sent, 108001);
	if (!loss) {
		check_equal(&w->net, lost_up, 0);
		check_equal(&w->net, lost_down, 0);
	} else { /* 1 %: 1080 expected, the deviation is 33 */
		check_range(&w->net, lost_up, 1080 - 165, 1080 + 165);
		check_range(&w->net, lost_down, 1080 - 165, 1080 + 165);
	}
	/* a session lives 300 to 600 s and is renewed after 50 to 80 % of what it had */
	check_range(&w->net, c->u.events[UPLINK_EV_SESSIONS], 3 * 3600 / 480, 3 * 3600 / 145);
	world_free(w);
}

static void renewal_loses_no_packet_in_three_hours(void **state)
{
	(void)state;
	run_for_hours(0, POLICY_FIXED, 1, AEAD_AES_256_GCM);
}

static void renewal_under_loss_loses_only_what_the_network_dropped(void **state)
{
	(void)state;
	run_for_hours(10000, POLICY_FIXED, 1, AEAD_CHACHA20_POLY1305);
}

static void renewal_loses_no_packet_while_routes_flip(void **state)
{
	(void)state;
	run_for_hours(0, POLICY_FLIP, 3, AEAD_AES_256_GCM);
}

static void renewal_loses_no_packet_under_per_packet_spray(void **state)
{
	(void)state;
	run_for_hours(0, POLICY_SPRAY, 8, AEAD_AES_256_GCM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_packet_is_served_by_a_server_that_never_saw_the_session),
		cmocka_unit_test(renewal_loses_no_packet_in_three_hours),
		cmocka_unit_test(renewal_under_loss_loses_only_what_the_network_dropped),
		cmocka_unit_test(renewal_loses_no_packet_while_routes_flip),
		cmocka_unit_test(renewal_loses_no_packet_under_per_packet_spray),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
