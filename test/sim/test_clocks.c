/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* Clocks that differ, jump, stand still or go back, at servers and clients. */
#include "test/sim/world.h"

#include <stdlib.h>

#define WORLD(...) world_new(&(struct world_options){__VA_ARGS__})

/*
 * At the step of an epoch one server is ahead of another: a packet of the new
 * epoch reaches one that is still in the old.
 */
static void servers_with_skewed_clocks_agree_across_epoch_steps(void **state)
{
	struct world *w = WORLD(.servers = 3, .keepalive = 20, .replicate = true,
			.record_lag = TICKS_MS(1));
	struct sim_client *c = w->client[0];

	(void)state;
	w->policy = POLICY_SPRAY;
	w->server[0].skew = -(int64_t)TICKS_MS(900);
	w->server[2].skew = (int64_t)TICKS_MS(900);
	world_connect(w);
	world_run(w, TICKS_S(2));
	world_traffic(w, c, true, TICKS_MS(50), TICKS_S(3600), 100);
	world_traffic(w, c, false, TICKS_MS(50), TICKS_S(3600), 100);
	world_run(w, TICKS_S(3610));
	check_equal(&w->net, c->sent_up.received, c->sent_up.sent);
	check_equal(&w->net, c->sent_down.received, c->sent_down.sent);
	check_equal(&w->net, c->sent_up.repeated, 0);
	world_free(w);
}

/*
 * Two seconds off either way, more than a server may be before it withdraws.  No step of an
 * epoch is noticed.  A client cannot have the time of all three: it must not run after each
 * with a handshake, but teach them, session by session, to be patient with it.
 */
static void servers_two_seconds_off_agree_across_epoch_steps(void **state)
{
	static const int skew[] = {-2, 0, 2};
	struct world *w = WORLD(.servers = 3, .keepalive = 20, .replicate = true,
			.record_lag = TICKS_MS(1));
	struct sim_client *c = w->client[0];

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		w->server[i].skew = skew[i] * (int64_t)TICKS_S(1);
	w->chosen = 1;
	world_connect(w);
	w->policy = POLICY_SPRAY;
	world_traffic(w, c, true, TICKS_MS(50), TICKS_S(3600), 100);
	world_run(w, TICKS_S(3610));
	check_range(&w->net, c->u.events[UPLINK_EV_SESSIONS], 3600 / 480, 60);
	/* question and answer take some tries, since each may go to another server */
	check_range(&w->net, c->sent_up.sent - c->sent_up.received, 0,
			50 * c->u.events[UPLINK_EV_SESSIONS]);
	check_equal(&w->net, c->sent_up.repeated, 0);
	for (unsigned i = 0; i < 3; i++) {
		check_equal(&w->net, w->server[i].drop[DROP_KID], 0);
		check_equal(&w->net, w->server[i].core->events[SERVER_HINTS], 0);
	}
	world_free(w);
}

/* Beyond what the age test allows: each server must be won by a challenge, and then serve. */
static void servers_four_seconds_apart_still_serve_after_a_challenge(void **state)
{
	struct world *w = WORLD(.servers = 2, .keepalive = 20, .replicate = true,
			.record_lag = TICKS_MS(1));
	struct sim_client *c = w->client[0];

	(void)state;
	w->server[0].skew = -(int64_t)TICKS_S(2);
	w->server[1].skew = (int64_t)TICKS_S(2);
	w->chosen = 0;
	world_connect(w);
	world_run(w, TICKS_S(1));
	w->chosen = 1;
	world_traffic(w, c, true, TICKS_MS(50), TICKS_S(2), 100);
	world_run(w, TICKS_S(2));
	check_range(&w->net, c->sent_up.sent - c->sent_up.received, 0, 2);
	world_free(w);
}

/*
 * A paused machine finds itself several epochs behind.  It steps through all of
 * them; what comes before costs a hint and a handshake, not the session.
 */
static void a_server_paused_for_20_minutes_comes_back(void **state)
{
	struct world *w = WORLD(.servers = 2, .keepalive = 20, .replicate = true);
	struct sim_client *c = w->client[0];
	uint32_t lost;

	(void)state;
	w->chosen = 1;
	world_connect(w);
	world_traffic(w, c, true, TICKS_MS(100), TICKS_S(1320), 100);
	w->server[0].paused = true;
	world_run(w, TICKS_S(1200));
	check_equal(&w->net, c->sent_up.sent - c->sent_up.received, 1); /* under way */
	w->server[0].paused = false;
	w->chosen = 0;
	world_run(w, TICKS_S(10));
	lost = c->sent_up.sent - c->sent_up.received - 1;
	check_range(&w->net, lost, 0, 10); /* until its next tick: 1 s */
	world_run(w, TICKS_S(120));
	check_equal(&w->net, c->sent_up.sent - c->sent_up.received, lost);
	check_range(&w->net, w->server[0].core->events[SERVER_HINTS], 0, 10);
	world_free(w);
}

/*
 * A laptop's usual clock stands still while it sleeps, and its packets would all
 * be stale.  Ours does not: asleep for less than a session, a HELLO is enough;
 * for longer, a handshake.
 */
static void after_suspend_the_client_is_back_at_once(void **state)
{
	static const unsigned sleep[] = {30, 100, 20 * 60, 10 * 3600};
	struct world *w = WORLD(.keepalive = 20);
	struct sim_client *c = w->client[0];

	(void)state;
	world_connect(w);
	for (unsigned i = 0; i < ARRAY_SIZE(sleep); i++) {
		uint32_t before = c->sent_up.received;

		c->asleep = true;
		world_run(w, TICKS_S(sleep[i]));
		c->asleep = false;
		client_tick(c);
		world_run(w, TICKS_MS(60)); /* a handshake and a HELLO: two round trips at most */
		check(&w->net, client_send(c, 100));
		world_run(w, TICKS_MS(30));
		check_equal(&w->net, c->sent_up.received, before + 1);
		check(&w->net, c->u.newest && c->u.newest->confirmed);
	}
	check_equal(&w->net, w->server[0].drop[DROP_AGE], 0);
	world_free(w);
}

/* The kernel's boot clock jumps (a resumed virtual machine): ahead or back by up to an hour. */
static void a_jump_of_the_boot_clock_costs_no_more_than_a_handshake(void **state)
{
	static const int jump[] = {3, -3, 30, -30, 250, -250, 3600, -3600};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(jump); i++) {
		struct world *w = WORLD(.keepalive = 20);
		struct sim_client *c = w->client[0];
		uint32_t sent, received;

		world_connect(w);
		world_traffic(w, c, true, TICKS_MS(100), TICKS_S(20), 100);
		world_run(w, TICKS_S(1));
		c->booted = (ticks)((int64_t)c->booted - jump[i] * (int64_t)TICKS_PER_SEC);
		/* a packet may go out before the timer runs */
		client_send(c, 100);
		client_tick(c);
		world_run(w, TICKS_S(4));
		sent = c->sent_up.sent;
		received = c->sent_up.received;
		world_run(w, TICKS_S(10));
		check_equal(&w->net, c->sent_up.received - received, c->sent_up.sent - sent);
		check(&w->net, c->u.newest && c->u.newest->confirmed);
		world_free(w);
	}
}

/* A packet from the future is refused too: else it would be young for as long as it is ahead. */
static void packets_from_the_future_are_refused(void **state)
{
	struct world *w = WORLD(.keepalive = 20);
	struct sim_client *c = w->client[0];

	(void)state;
	world_connect(w);
	world_run(w, TICKS_S(5));
	for (int ahead = 1; ahead < 8; ahead++) {
		uint32_t received = c->sent_up.received;
		int64_t offset = c->u.offset;

		c->down.cut = true; /* it is not told */
		c->u.offset += ahead * (int64_t)TICKS_S(1);
		check(&w->net, client_send(c, 100));
		world_run(w, TICKS_MS(50));
		check_equal(&w->net, c->sent_up.received, received + (ahead <= 2));
		c->u.offset = offset;
		c->u.last_t = 0;
		c->down.cut = false;
		world_run(w, TICKS_S(1));
	}
	world_free(w);
}

/* NTP steps a server back by a little: the client's T stays, and never goes back. */
static void time_in_packets_never_goes_back(void **state)
{
	struct world *w = WORLD(.servers = 2, .keepalive = 20, .replicate = true);
	struct sim_client *c = w->client[0];
	struct recording r;
	uint16_t last = 0;
	bool any = false;

	(void)state;
	w->server[0].skew = (int64_t)TICKS_MS(900);
	w->policy = POLICY_FLIP;
	w->flip_every = TICKS_S(50);
	recording_begin(w, &r);
	world_connect(w);
	world_traffic(w, c, true, TICKS_MS(100), TICKS_S(1800), 100);
	world_run(w, TICKS_S(1800));
	for (size_t i = 0; i < r.count; i++) {
		uint16_t t = load_be16(r.packet[i].data + HEADER_T);

		if (!r.packet[i].up || (r.packet[i].data[0] & 0x0f) != WIRE_DATA_UP)
			continue;
		if (any)
			check_range(&w->net, (int16_t)(uint16_t)(t - last), 0, 100);
		last = t;
		any = true;
	}
	check(&w->net, any);
	recording_end(w, &r);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(servers_with_skewed_clocks_agree_across_epoch_steps),
		cmocka_unit_test(servers_two_seconds_off_agree_across_epoch_steps),
		cmocka_unit_test(servers_four_seconds_apart_still_serve_after_a_challenge),
		cmocka_unit_test(a_server_paused_for_20_minutes_comes_back),
		cmocka_unit_test(after_suspend_the_client_is_back_at_once),
		cmocka_unit_test(a_jump_of_the_boot_clock_costs_no_more_than_a_handshake),
		cmocka_unit_test(packets_from_the_future_are_refused),
		cmocka_unit_test(time_in_packets_never_goes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
