/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* Replays, reordering, and the rule that no (key, nonce) pair is used twice. */
#include "test/sim/world.h"

#include <stdlib.h>

#define WORLD(...) world_new(&(struct world_options){__VA_ARGS__})
#define PER_SECOND 100
#define FORGOTTEN  9 /* s after its last packet a session is not active any more */

/* ---- what is recorded at one server and replayed to another ---- */

/* A client that has been at server 0, and then for four minutes at server 1; all is recorded. */
static struct world *four_minutes_elsewhere(struct recording *r)
{
	struct world *w = WORLD(.servers = 2, .keepalive = 20, .replicate = true);
	struct sim_client *c = w->client[0];

	world_connect(w);
	world_traffic(w, c, true, TICKS_S(1) / PER_SECOND, TICKS_S(5), 100);
	world_run(w, TICKS_S(5));
	recording_begin(w, r);
	w->chosen = 1;
	world_traffic(w, c, true, TICKS_S(1) / PER_SECOND, TICKS_S(240), 100);
	world_run(w, TICKS_S(240));
	r->on = false;
	check_range(&w->net, w->server[1].delivered, 240 * PER_SECOND - 5, 240 * PER_SECOND + 5);
	return w;
}

/*
 * Server 0 knows the session and the top of its bitmap is four minutes old:
 * judged by the bitmap alone, every one of those packets would be new to it.
 */
static void traffic_recorded_elsewhere_is_accepted_for_two_seconds_at_most(void **state)
{
	struct recording r;
	struct world *w = four_minutes_elsewhere(&r);
	uint64_t challenges;

	(void)state;
	check_range(&w->net, recording_replay(&r, &w->server[0]), 1, 33 * PER_SECOND / 16 + 1);
	check_equal(&w->net, recording_replay(&r, &w->server[0]), 0);
	world_run(w, TICKS_S(3));
	challenges = w->server[0].core->events[SERVER_TIME_CHALLENGES];
	check_equal(&w->net, recording_replay(&r, &w->server[0]), 0);
	check_range(&w->net, w->server[0].core->events[SERVER_TIME_CHALLENGES] - challenges, 0, 2);
	recording_end(w, &r);
	world_free(w);
}

/* A restart forgets the bitmaps: nothing from before it counts, but for a quarter of a second. */
static void after_a_restart_nothing_older_is_accepted(void **state)
{
	struct recording r;
	struct world *w = four_minutes_elsewhere(&r);

	(void)state;
	server_restart(&w->server[1]);
	check_range(&w->net, recording_replay(&r, &w->server[1]), 0, 5 * PER_SECOND / 16 + 1);
	check_equal(&w->net, recording_replay(&r, &w->server[1]), 0);
	recording_end(w, &r);
	world_free(w);
}

/* Keys and bitmaps go some seconds after the last packet: by then everything is too old. */
static void after_eviction_nothing_is_accepted_again(void **state)
{
	struct recording r;
	struct world *w = four_minutes_elsewhere(&r);
	struct server_state before;

	(void)state;
	w->client[0]->asleep = true;
	world_run(w, TICKS_S(FORGOTTEN));
	check_equal(&w->net, w->server[1].core->active->used, 0);
	before = server_state(&w->server[1]);
	check_equal(&w->net, recording_replay(&r, &w->server[1]), 0);
	check_equal(&w->net, w->server[1].core->active->used, 0);
	check_equal(&w->net, server_state(&w->server[1]).heap, before.heap);
	check_equal(&w->net, w->server[1].core->events[SERVER_FIRST_SIGHTS],
			before.events[SERVER_FIRST_SIGHTS]);
	recording_end(w, &r);
	world_free(w);
}

/*
 * A HELLO that answers a question about its age is exempt from the age test.  A
 * recorded one must not work later, nor take a place in the table.
 */
static void an_old_answer_to_a_time_challenge_changes_nothing(void **state)
{
	struct world *w = WORLD(.servers = 2, .keepalive = 20, .replicate = true);
	struct sim_client *c = w->client[0];
	struct recording r;
	struct server_state before;

	(void)state;
	world_connect(w);
	world_run(w, TICKS_S(5));
	c->up.delay = TICKS_S(3);
	recording_begin(w, &r);
	check(&w->net, client_send(c, 100));
	world_run(w, TICKS_S(15)); /* the path is searched anew: HELLOs go on for a while */
	r.on = false;
	check(&w->net, w->server[0].core->events[SERVER_TIME_CHALLENGES] > 0);
	check(&w->net, c->u.hello.kind == KIND_TIME && !c->u.hello.pending);
	before = server_state(&w->server[1]);
	check_equal(&w->net, recording_replay(&r, &w->server[1]), 0);
	check_equal(&w->net, server_state(&w->server[1]).counts.active, before.counts.active);
	check_equal(&w->net, w->server[1].core->events[SERVER_FIRST_SIGHTS],
			before.events[SERVER_FIRST_SIGHTS]);
	check_range(&w->net, w->server[1].drop[DROP_COOKIE], 1, 100);
	recording_end(w, &r);
	world_free(w);
}

/* Within the window every server takes a packet once, and none takes it twice. */
static void each_server_takes_a_copy_once(void **state)
{
	struct world *w = WORLD(.servers = 8, .keepalive = 20);
	struct recording r;

	(void)state;
	world_connect(w);
	world_run(w, TICKS_S(5));
	recording_begin(w, &r);
	for (unsigned i = 0; i < 100; i++)
		check(&w->net, client_send(w->client[0], 100));
	r.on = false;
	for (unsigned turn = 0; turn < 3; turn++)
		for (unsigned i = 0; i < 8; i++)
			check_equal(&w->net, recording_replay(&r, &w->server[i]), turn ? 0 : 100);
	recording_end(w, &r);
	world_free(w);
}

/* ---- reordering ---- */

/*
 * A million packets a second, each twice, thrown about by 5 ms: queues, several
 * links, Wi-Fi.  A window that forgets too soon would drop good packets.
 */
static void a_million_packets_a_second_may_be_reordered_by_5_ms(void **state)
{
	const unsigned count = net_many(100000, 1000000);
	struct world *w = WORLD(.keepalive = 20);
	struct sim_client *c = w->client[0];

	(void)state;
	world_connect(w);
	world_run(w, TICKS_S(5));
	c->up.jitter = TICKS_MS(5);
	c->up.duplicate = 1000000;
	for (unsigned i = 0; i < count; i++) {
		check(&w->net, client_send(c, 64));
		world_run(w, TICKS_PER_SEC / 1000000 + 1);
	}
	world_run(w, TICKS_S(1));
	check_equal(&w->net, c->sent_up.received, count);
	check_equal(&w->net, c->sent_up.repeated, 0);
	check_range(&w->net, w->server[0].drop[DROP_REPLAY], count, count + 100);
	world_free(w);
}

/* The same way down, with copies of everything. */
static void the_client_takes_each_packet_once(void **state)
{
	struct world *w = WORLD(.servers = 3, .keepalive = 20, .replicate = true);
	struct sim_client *c = w->client[0];

	(void)state;
	world_connect(w);
	world_run(w, TICKS_S(5));
	c->down.jitter = TICKS_MS(50);
	c->down.duplicate = 1000000;
	for (unsigned i = 0; i < 3000; i++) {
		check_equal(&w->net, server_send(&w->server[i % 3], c, 100), DROP_NONE);
		world_run(w, TICKS_MS(1));
	}
	world_run(w, TICKS_S(1));
	check_equal(&w->net, c->sent_down.received, 3000);
	check_equal(&w->net, c->sent_down.repeated, 0);
	world_free(w);
}

/* A server that the client has not heard yet in this session: what it sent must be young. */
static void a_recorded_packet_of_an_unheard_server_is_too_old_after_10_s(void **state)
{
	struct world *w = WORLD(.servers = 2, .keepalive = 20, .replicate = true);
	struct sim_client *c = w->client[0];
	struct recording r;

	(void)state;
	world_connect(w);
	world_run(w, TICKS_S(5));
	recording_begin(w, &r);
	c->down.cut = true;
	for (unsigned i = 0; i < 2; i++) {
		check_equal(&w->net, server_send(&w->server[1], c, 100), DROP_NONE);
		world_run(w, TICKS_S(2));
	}
	world_run(w, TICKS_S(7)); /* 11 s and 9 s old now */
	check_equal(&w->net, client_take(c, r.packet[0].data, r.packet[0].len), DROP_AGE);
	check_equal(&w->net, client_take(c, r.packet[1].data, r.packet[1].len), DROP_NONE);
	/* from now on it is the bitmap that tells */
	check_equal(&w->net, client_take(c, r.packet[1].data, r.packet[1].len), DROP_REPLAY);
	recording_end(w, &r);
	world_free(w);
}

/* ---- the header is authenticated ---- */

static void every_bit_of_the_header_counts(void **state)
{
	struct world *w = WORLD(.keepalive = 20, .echo = true);
	struct sim_client *c = w->client[0];
	const struct sighted *up, *down;
	struct recording r;
	uint8_t data[PACKET_MAX];

	(void)state;
	world_connect(w);
	world_run(w, TICKS_S(5));
	recording_begin(w, &r);
	c->up.cut = c->down.cut = true;
	check(&w->net, client_send(c, 100));
	check_equal(&w->net, server_send(&w->server[0], c, 100), DROP_NONE);
	r.on = false;
	up = recording_last(&r, WIRE_DATA_UP);
	down = recording_last(&r, WIRE_DATA_DOWN);
	for (unsigned bit = 0; bit < 8 * HEADER_SIZE; bit++) {
		memcpy(data, up->data, up->len);
		data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		check(&w->net, server_take(&w->server[0], &up->from, data, up->len) != DROP_NONE);
		memcpy(data, down->data, down->len);
		data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		check(&w->net, client_take(c, data, down->len) != DROP_NONE);
	}
	check_equal(&w->net, c->sent_up.received + c->sent_down.received, 0);
	/* types that are reserved, or not for these ends, are dropped in silence */
	for (uint8_t type = 0; type < 16; type++) {
		bool up_type = type == WIRE_DATA_UP || type == WIRE_DATA_UP_CHACHA ||
			       type == WIRE_HANDSHAKE_1;

		memset(data, 0, sizeof data);
		data[0] = WIRE_MAGIC | type;
		if (!up_type)
			check_equal(&w->net, server_take(&w->server[0], &up->from, data, 100),
					DROP_TYPE);
	}
	check_equal(&w->net, server_take(&w->server[0], &up->from, up->data, up->len), DROP_NONE);
	check_equal(&w->net, client_take(c, down->data, down->len), DROP_NONE);
	check_equal(&w->net, c->sent_up.received, 1);
	check_equal(&w->net, c->sent_down.received, 1);
	recording_end(w, &r);
	world_free(w);
}

/* ---- one nonce, once ---- */

/*
 * The server forgets a session's sending state after each packet.  Without
 * memory, its numbers must go on from where the client's window is, and never
 * meet an earlier one.
 */
static void a_sender_forgotten_after_each_packet_is_never_rejected(void **state)
{
	const unsigned rounds = net_many(10000, 100000);
	struct world *w = WORLD(.keepalive = 60, .echo = true);
	struct sim_client *c = w->client[0];
	uint64_t evictions;

	(void)state;
	world_connect(w);
	world_run(w, TICKS_S(10));
	evictions = w->server[0].core->events[SERVER_EVICTIONS];
	for (unsigned i = 0; i < rounds; i++) {
		check(&w->net, client_send(c, 100));
		world_run(w, TICKS_S(FORGOTTEN));
	}
	check_equal(&w->net, c->sent_up.received, rounds);
	check_equal(&w->net, c->sent_down.received, rounds);
	check_equal(&w->net, c->drop[DROP_REPLAY] + c->drop[DROP_AGE] + c->drop[DROP_TAG], 0);
	check_range(&w->net, w->server[0].core->events[SERVER_EVICTIONS] - evictions,
			rounds - rounds / 100, 2 * rounds);
	world_free(w);
}

/*
 * A burst has taken more numbers than time has made: the state must be kept until
 * the line of time has passed them, however idle the session is.
 */
static void a_sender_ahead_of_the_line_is_not_forgotten(void **state)
{
	struct world *w = WORLD(.keepalive = 120);
	struct sim_client *c = w->client[0];
	struct active *a;

	(void)state;
	world_connect(w);
	world_run(w, TICKS_S(1));
	a = active_find(w->server[0].core->active, c->u.newest->sid);
	check(&w->net, a && a->has_tx);
	a->tx.next += (uint64_t)30 << 22; /* numbers of 30 s */
	c->asleep = true;
	world_run(w, TICKS_S(25));
	check_equal(&w->net, w->server[0].core->active->used, 1);
	world_run(w, TICKS_S(10));
	check_equal(&w->net, w->server[0].core->active->used, 0);
	world_free(w);
}

/* Workers at the border of two windows, with times a moment apart: still one challenge in each. */
static void unequal_clocks_do_not_open_the_limit_of_challenges(void **state)
{
	struct world *w = WORLD(.servers = 2, .keepalive = 20);
	struct sim_server *s = &w->server[1];
	struct recording r;
	ticks boot;

	(void)state;
	world_connect(w);
	recording_begin(w, &r);
	check(&w->net, client_send(w->client[0], 100));
	r.on = false;
	world_run(w, TICKS_S(4));
	boot = server_now(s).boot;
	world_run(w, TICKS_MS(100) - boot % TICKS_MS(100) + 10); /* just after the border */
	for (unsigned i = 0; i < 1000; i++) {
		s->lag = i % 2 * 20;
		server_take(s, &r.packet[0].from, r.packet[0].data, r.packet[0].len);
	}
	check_range(&w->net, s->core->events[SERVER_TIME_CHALLENGES], 1, 2);
	recording_end(w, &r);
	world_free(w);
}

/*
 * A replayed old packet is challenged with a sending state that lives for one
 * packet; a fresh one, in the same batch and so at the same time, makes the
 * session's own.  Both take their number from the line of time.
 */
static void a_challenge_and_an_answer_at_one_moment_have_different_numbers(void **state)
{
	struct world *w = WORLD(.servers = 2, .keepalive = 20);
	struct sim_client *c = w->client[0];
	struct instant now;
	struct recording r;
	uint8_t groups[1][16] = {{0xff, 0x05, [15] = 1}};

	(void)state;
	world_connect(w);
	recording_begin(w, &r);
	check(&w->net, client_send(c, 100));
	world_run(w, TICKS_S(4));
	now = client_now(c);
	uplink_set_groups(&c->u, &now, groups, 1, &c->out); /* a HELLO, not yet arrived */
	r.on = false;
	check_equal(&w->net, server_take(&w->server[1], &r.packet[0].from, r.packet[0].data,
			r.packet[0].len), DROP_AGE);
	check_equal(&w->net, w->server[1].core->events[SERVER_TIME_CHALLENGES], 1);
	check_equal(&w->net, server_take(&w->server[1], &r.packet[0].from,
			r.packet[r.count - 1].data, r.packet[r.count - 1].len), DROP_NONE);
	check_equal(&w->net, w->server[1].core->record_count, 1);
	recording_end(w, &r);
	world_free(w);
}

/* Any order of replays, fresh packets, sending and forgetting, by workers of unequal clocks. */
static void numbers_are_unique_in_any_order_of_events(void **state)
{
	enum { ROUNDS = 40000 };
	struct world *w = WORLD(.servers = 2, .clients = 4, .keepalive = 20, .replicate = true,
			.active_sessions = 8);
	struct recording r;

	(void)state;
	world_connect(w);
	recording_begin(w, &r);
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct sim_server *s = &w->server[net_below(&w->net, 2)];
		struct sim_client *c = w->client[net_below(&w->net, 4)];
		const struct sighted *p = &r.packet[net_below(&w->net, r.count)];
		unsigned what = (unsigned)net_below(&w->net, 8);

		w->chosen = s->id;
		s->lag = net_below(&w->net, 3000); /* a batch's time is a little old */
		r.on = net_chance(&w->net, 20000);
		if (what < 2 && r.count && p->up)
			server_take(s, &p->from, p->data, p->len);
		else if (what < 4)
			server_send(s, c, 100);
		else if (what < 6)
			client_send(c, 100);
		else if (what < 7 && r.count)
			c->u.newest ? (void)(c->u.newest->renew = 0) : (void)0;
		world_run(w, net_chance(&w->net, 20000) ? net_below(&w->net, TICKS_S(8)) :
				net_below(&w->net, 6));
	}
	check_range(&w->net, w->net.nonce_count, ROUNDS / 2, 10 * ROUNDS);
	recording_end(w, &r);
	world_free(w);
}

static void talk(struct world *w, unsigned server, unsigned seconds)
{
	w->chosen = server;
	for (unsigned i = 0; i < 20 * seconds; i++) {
		client_send(w->client[0], 100);
		if (w->server[server].core)
			server_send(&w->server[server], w->client[0], 100);
		world_run(w, TICKS_MS(50));
	}
}

/* The clock is set back by an hour, and the server is started again: the past comes twice. */
static void a_clock_set_back_an_hour_repeats_no_nonce(void **state)
{
	struct world *w = WORLD(.servers = 2, .keepalive = 20, .echo = true);
	struct recording r;
	ticks begun;

	(void)state;
	world_connect(w);
	begun = w->net.now;
	recording_begin(w, &r);
	talk(w, 0, 20);
	r.on = false;
	world_run(w, TICKS_S(3600) - (w->net.now - begun));
	w->server[0].skew = -(int64_t)TICKS_S(3600);
	server_restart(&w->server[0]);
	/* the same packets, at the same time by its clock, so that it answers again */
	for (size_t i = 0; i < r.count; i++) {
		world_run(w, r.packet[i].at + TICKS_S(3600) - w->net.now);
		if (r.packet[i].up)
			server_take(&w->server[0], &r.packet[i].from, r.packet[i].data,
					r.packet[i].len);
	}
	check_range(&w->net, w->server[0].drop[DROP_NONE], 400, 100000);
	recording_end(w, &r);
	world_free(w);
}

/* A server's disk is copied to a second machine: two with one number, at one time. */
static void two_servers_with_one_number_repeat_no_nonce(void **state)
{
	struct world *w = WORLD(.servers = 2, .keepalive = 20, .echo = true, .replicate = true);

	(void)state;
	server_stop(&w->server[1]);
	w->server[1].id = 0; /* the number comes from it */
	server_restart(&w->server[1]);
	w->server[1].id = 1;
	world_connect(w);
	check_equal(&w->net, load_be16(w->server[0].core->sender),
			load_be16(w->server[1].core->sender));
	w->policy = POLICY_SPRAY;
	world_traffic(w, w->client[0], true, TICKS_MS(1), TICKS_S(20), 100);
	world_run(w, TICKS_S(21));
	check_equal(&w->net, w->client[0]->sent_up.received, w->client[0]->sent_up.sent);
	check_equal(&w->net, w->client[0]->sent_down.received, w->client[0]->sent_down.sent);
	world_free(w);
}

/* A machine is put back to a snapshot: the same boot random, and all it sent since forgotten. */
static void a_restored_snapshot_repeats_no_nonce(void **state)
{
	struct world *w = WORLD(.servers = 2, .keepalive = 20, .echo = true, .replicate = true);
	uint8_t boot_random[3];

	(void)state;
	world_connect(w);
	memcpy(boot_random, w->server[0].core->sender + 2, 3);
	for (unsigned i = 0; i < 5; i++) {
		talk(w, 0, 3);
		server_stop(&w->server[0]);
		server_start(&w->server[0], boot_random);
	}
	check_range(&w->net, w->client[0]->sent_down.received, 250, 1000);
	check_equal(&w->net, w->client[0]->drop[DROP_REPLAY], 0);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(traffic_recorded_elsewhere_is_accepted_for_two_seconds_at_most),
		cmocka_unit_test(after_a_restart_nothing_older_is_accepted),
		cmocka_unit_test(after_eviction_nothing_is_accepted_again),
		cmocka_unit_test(an_old_answer_to_a_time_challenge_changes_nothing),
		cmocka_unit_test(each_server_takes_a_copy_once),
		cmocka_unit_test(a_million_packets_a_second_may_be_reordered_by_5_ms),
		cmocka_unit_test(the_client_takes_each_packet_once),
		cmocka_unit_test(a_recorded_packet_of_an_unheard_server_is_too_old_after_10_s),
		cmocka_unit_test(every_bit_of_the_header_counts),
		cmocka_unit_test(a_sender_forgotten_after_each_packet_is_never_rejected),
		cmocka_unit_test(a_sender_ahead_of_the_line_is_not_forgotten),
		cmocka_unit_test(unequal_clocks_do_not_open_the_limit_of_challenges),
		cmocka_unit_test(a_challenge_and_an_answer_at_one_moment_have_different_numbers),
		cmocka_unit_test(numbers_are_unique_in_any_order_of_events),
		cmocka_unit_test(a_clock_set_back_an_hour_repeats_no_nonce),
		cmocka_unit_test(two_servers_with_one_number_repeat_no_nonce),
		cmocka_unit_test(a_restored_snapshot_repeats_no_nonce),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
