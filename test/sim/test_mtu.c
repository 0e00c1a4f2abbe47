/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* Path MTU: found in both directions by the client, followed when it changes. */
#include "test/sim/world.h"

#include <stdlib.h>

#include "proto/piece.h"

#define WORLD(...) world_new(&(struct world_options){__VA_ARGS__})

static unsigned up_value(const struct sim_client *c)
{
	return pmtu_value(&c->u.up, client_now(c).boot);
}

static unsigned down_value(const struct sim_client *c)
{
	return pmtu_value(&c->u.down, client_now(c).boot);
}

static unsigned told(const struct sim_server *s)
{
	return client_at(s, 0)->session->down_mtu;
}

/* The largest plaintext that servers send to this client. */
static size_t down_room(const struct sim_server *s)
{
	const struct session_record *r = client_at(s, 0)->session;

	return r->down_mtu - outer_overhead(addr_is_v4(r->endpoint.ip)) - PACKET_OVERHEAD;
}

static size_t up_room(const struct sim_client *c)
{
	struct instant now = client_now(c);

	return uplink_plain_max(&c->u, &now);
}

/* Either direction, both families: what is found is at most 8 below what is there. */
static void each_direction_is_found_with_few_probes(void **state)
{
	static const unsigned mtu[][2] = {{1500, 1500}, {1300, 1500}, {1500, 1300}, {1280, 1280},
			{1492, 1400}, {1281, 1499}, {9000, 1287}};

	(void)state;
	for (unsigned i = 0; i < 2 * ARRAY_SIZE(mtu); i++) {
		struct world *w = WORLD(.keepalive = 20, .v6 = i % 2, .delay = TICKS_MS(30));
		struct sim_client *c = w->client[0];
		unsigned up = MIN(mtu[i / 2][0], 1500u), down = MIN(mtu[i / 2][1], 1500u);

		c->up.mtu = mtu[i / 2][0];
		c->down.mtu = mtu[i / 2][1];
		world_connect(w);
		world_run(w, TICKS_S(10));
		check_range(&w->net, up_value(c), up - PMTU_STEP + 1, up);
		check_range(&w->net, down_value(c), down - PMTU_STEP + 1, down);
		check_equal(&w->net, told(&w->server[0]), down_value(c));
		/* at most 6 sizes for each direction, thrice each */
		check_range(&w->net, c->u.events[UPLINK_EV_PROBES], 2, 36);
		check(&w->net, client_send(c, up_room(c)));
		check_equal(&w->net, server_send(&w->server[0], c, down_room(&w->server[0])),
				DROP_NONE);
		world_run(w, TICKS_S(1));
		check_equal(&w->net, c->sent_up.received, 1);
		check_equal(&w->net, c->sent_down.received, 1);
		world_free(w);
	}
}

/* It stays found: through renewals, and through the search that is repeated every 10 minutes. */
static void what_is_found_does_not_flap(void **state)
{
	struct world *w = WORLD(.servers = 2, .keepalive = 20, .replicate = true, .echo = true);
	struct sim_client *c = w->client[0];

	(void)state;
	c->up.mtu = 1400;
	w->policy = POLICY_FLIP;
	w->flip_every = TICKS_S(200);
	world_connect(w);
	world_traffic(w, c, true, TICKS_S(1), TICKS_S(7200), 100);
	world_run(w, TICKS_S(300)); /* both servers have been seen */
	for (unsigned i = 0; i < 6800; i++) {
		world_run(w, TICKS_S(1));
		check_range(&w->net, up_value(c), 1393, 1400);
		check_equal(&w->net, down_value(c), 1500);
		check_equal(&w->net, told(&w->server[i % 2]), 1500);
	}
	world_free(w);
}

/* Nobody answers large packets any more: the silence makes the client look again. */
static void a_black_hole_ends(void **state)
{
	(void)state;
	for (unsigned v6 = 0; v6 < 2; v6++) {
		struct world *w = WORLD(.keepalive = 20, .v6 = v6);
		struct sim_client *c = w->client[0];
		uint32_t received;

		world_connect(w);
		world_run(w, TICKS_S(10));
		check_equal(&w->net, up_value(c), 1500);
		c->up.mtu = c->down.mtu = 1300;
		for (unsigned i = 0; i < 100; i++) { /* as large as it believes, ten a second */
			check(&w->net, client_send(c, up_room(c)));
			check_equal(&w->net, server_send(&w->server[0], c,
					down_room(&w->server[0])), DROP_NONE);
			world_run(w, TICKS_MS(100));
		}
		check_range(&w->net, up_value(c), 1293, 1300);
		check_range(&w->net, told(&w->server[0]), 1293, 1300);
		received = c->sent_down.received;
		check_equal(&w->net, server_send(&w->server[0], c, down_room(&w->server[0])),
				DROP_NONE);
		world_run(w, TICKS_S(1));
		check_equal(&w->net, c->sent_down.received, received + 1);
		/* and when it has become wider again, that is found as well */
		c->up.mtu = c->down.mtu = 1500;
		world_run(w, TICKS_S(700));
		check_equal(&w->net, up_value(c), 1500);
		check_equal(&w->net, told(&w->server[0]), 1500);
		world_free(w);
	}
}

/*
 * Somebody who only sends gets no answer, however wide the path is: he asks, and searches, ever
 * more rarely.
 */
static void who_only_sends_does_not_search_for_ever(void **state)
{
	struct world *w = WORLD(.keepalive = 20);
	struct sim_client *c = w->client[0];
	uint64_t probes;

	(void)state;
	world_connect(w);
	c->up.mtu = c->down.mtu = 1400;
	world_run(w, TICKS_S(20));
	probes = c->u.events[UPLINK_EV_PROBES];
	for (unsigned i = 0; i < 3000; i++) {
		check(&w->net, client_send(c, 100));
		world_run(w, TICKS_MS(100));
	}
	check_range(&w->net, c->u.events[UPLINK_EV_PROBES] - probes, 1, 500);
	check_range(&w->net, up_value(c), 1393, 1400);
	world_free(w);
}

/*
 * One server of three has a narrow path, and the route flips there: large packets vanish, in
 * silence.  A small one does not, and says that another server is there, of which nothing is
 * known: so nothing larger than what passes everywhere goes to any of them, until it is.
 * Afterwards neither flips nor spray cost a packet.
 */
static void one_narrow_path_of_three_holds_for_all(void **state)
{
	(void)state;
	for (unsigned down = 0; down < 2; down++) {
		struct world *w = WORLD(.servers = 3, .keepalive = 20, .replicate = true,
				.record_lag = TICKS_MS(1), .mesh_delay = TICKS_MS(1),
				.echo = true, .delay = TICKS_MS(20));
		struct sim_client *c = w->client[0];
		uint32_t lost;

		*(down ? &w->server[2].mtu_down : &w->server[2].mtu_up) = 1300;
		world_connect(w);
		world_run(w, TICKS_S(10));
		check_equal(&w->net, up_value(c), 1500);
		w->chosen = 2;
		for (unsigned i = 0; i < 1000; i++) { /* answered with as much */
			check(&w->net, client_send(c, MIN(up_room(c), down_room(&w->server[2]))));
			world_run(w, TICKS_MS(10));
		}
		world_run(w, TICKS_S(1));
		check_range(&w->net, down ? told(&w->server[2]) : up_value(c), 1293, 1300);
		lost = c->sent_up.sent - c->sent_down.received;
		print_message("# %u packets lost at 100 a second\n", lost);
		/* 3 round trips, question and answer, the HELLO, and what is under way */
		check_range(&w->net, lost, 1, (3 * 40 + 40 + 20 + 40) / 10 + 4);
		for (unsigned i = 0; i < 4000; i++) {
			w->policy = i < 2000 ? POLICY_FIXED : POLICY_SPRAY;
			w->chosen = i / 20 % 3;
			check(&w->net, client_send(c, MIN(up_room(c), down_room(&w->server[2]))));
			world_run(w, TICKS_MS(250));
		}
		world_run(w, TICKS_S(1));
		check_equal(&w->net, c->sent_up.sent - c->sent_down.received, lost);
		world_free(w);
	}
}

/*
 * The same, but something comes all the while, from another server: the client is not in
 * silence, and asks from time to time all the same.
 */
static void a_narrow_path_up_is_noticed_beside_traffic_down(void **state)
{
	struct world *w = WORLD(.servers = 3, .keepalive = 20, .replicate = true,
			.record_lag = TICKS_MS(1), .mesh_delay = TICKS_MS(1));
	struct sim_client *c = w->client[0];
	uint32_t sent = 0, received = 0;

	(void)state;
	w->server[2].mtu_up = 1300;
	world_connect(w);
	world_run(w, TICKS_S(10));
	w->chosen = 2;
	for (unsigned i = 0; i < 2000; i++) {
		check(&w->net, client_send(c, up_room(c)));
		check_equal(&w->net, server_send(&w->server[0], c, 100), DROP_NONE);
		world_run(w, TICKS_MS(20));
		if (i == 600) { /* 12 s */
			sent = c->sent_up.sent;
			received = c->sent_up.received;
		}
	}
	check_range(&w->net, up_value(c), 1280, 1300);
	world_run(w, TICKS_S(1));
	check_equal(&w->net, c->sent_up.received - received, c->sent_up.sent - sent);
	world_free(w);
}

/* Under spray a probe and its repeats reach different servers: what all can must be found. */
static void spray_finds_what_all_servers_can(void **state)
{
	(void)state;
	for (unsigned servers = 2; servers <= 8; servers++) {
		struct world *w = WORLD(.servers = servers, .keepalive = 20, .replicate = true,
				.record_lag = TICKS_MS(1), .echo = true);
		struct sim_client *c = w->client[0];

		w->policy = POLICY_SPRAY;
		world_connect(w);
		world_traffic(w, c, true, TICKS_MS(20), TICKS_S(60), 100);
		world_run(w, TICKS_S(60));
		check_equal(&w->net, up_value(c), 1500);
		check_equal(&w->net, down_value(c), 1500);
		for (unsigned i = 0; i < servers; i++)
			check_equal(&w->net, told(&w->server[i]), 1500);
		world_free(w);
	}
}

/* Search and loss: a tenth of all packets is lost, and no size is given up for that. */
static void loss_is_not_taken_for_a_narrow_path(void **state)
{
	unsigned found = 0;

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		struct world *w = WORLD(.keepalive = 20);
		struct sim_client *c = w->client[0];

		for (unsigned k = 0; k < i; k++)
			net_random(&w->net);
		c->up.loss = c->down.loss = 100000;
		world_connect(w);
		world_run(w, TICKS_S(20));
		found += up_value(c) == 1500 && down_value(c) == 1500;
		check_range(&w->net, up_value(c), 1280, 1500);
		world_free(w);
	}
	assert_in_range(found, 14, 20);
}

/*
 * ICMP "too big" is not authenticated: alone it changes nothing.  It only makes
 * the client look, and only if it quotes a header that was just sent.
 */
static void icmp_only_makes_the_client_look(void **state)
{
	struct world *w = WORLD(.keepalive = 20);
	struct sim_client *c = w->client[0];
	uint8_t quoted[HEADER_SIZE];
	struct instant now;
	struct recording r;
	uint64_t probes;

	(void)state;
	world_connect(w);
	world_run(w, TICKS_S(10));
	probes = c->u.events[UPLINK_EV_PROBES];
	now = client_now(c);
	for (unsigned i = 0; i < 1000; i++) {
		random_bytes(quoted, sizeof quoted);
		uplink_too_big(&c->u, &now, quoted, sizeof quoted);
	}
	world_run(w, TICKS_S(5));
	check_equal(&w->net, c->u.events[UPLINK_EV_PROBES], probes);
	recording_begin(w, &r);
	check(&w->net, client_send(c, 100));
	now = client_now(c);
	uplink_too_big(&c->u, &now, r.packet[0].data, HEADER_SIZE);
	check_equal(&w->net, up_value(c), 1500);
	world_run(w, TICKS_S(5));
	check_range(&w->net, c->u.events[UPLINK_EV_PROBES] - probes, 1, 3);
	check_equal(&w->net, up_value(c), 1500);
	recording_end(w, &r);
	world_free(w);
}

/* The same at the server: what it is told makes it ask the client to look. */
static void icmp_to_a_server_makes_the_client_look(void **state)
{
	struct world *w = WORLD(.servers = 2, .keepalive = 20, .replicate = true);
	struct sim_client *c = w->client[0];
	uint8_t quoted[HEADER_SIZE];
	struct instant now;
	struct recording r;
	uint64_t out, probes;

	(void)state;
	world_connect(w);
	world_run(w, TICKS_S(10));
	recording_begin(w, &r);
	for (unsigned i = 0; i < 1000; i++) {
		random_bytes(quoted, sizeof quoted);
		if (i % 2) {
			quoted[0] = WIRE_MAGIC | WIRE_DATA_DOWN;
			memcpy(quoted + HEADER_TO, w->server[0].core->sender, SENDER_SIZE);
		}
		now = server_now(&w->server[0]);
		server_too_big(w->server[0].core, &now, quoted, sizeof quoted, &w->server[0].out);
	}
	out = r.count;
	check_equal(&w->net, out, 0);
	world_run(w, TICKS_S(2)); /* those have used up what is looked at in a second */
	r.count = 0;
	probes = c->u.events[UPLINK_EV_PROBES];
	check_equal(&w->net, server_send(&w->server[0], c, 1000), DROP_NONE);
	memcpy(quoted, recording_last(&r, WIRE_DATA_DOWN)->data, HEADER_SIZE);
	/* at the wrong server: nothing */
	now = server_now(&w->server[1]);
	server_too_big(w->server[1].core, &now, quoted, sizeof quoted, &w->server[1].out);
	check_equal(&w->net, r.count, 1);
	now = server_now(&w->server[0]);
	server_too_big(w->server[0].core, &now, quoted, sizeof quoted, &w->server[0].out);
	world_run(w, TICKS_S(5));
	check_range(&w->net, c->u.events[UPLINK_EV_PROBES] - probes, 1, 4);
	check_equal(&w->net, told(&w->server[0]), 1500);
	recording_end(w, &r);
	world_free(w);
}

/*
 * Under ECMP the error goes to any server, and seldom to the one that sent: it is told over the
 * mesh.  Whoever forges errors makes servers tell each other no more than ten a second.
 */
static void icmp_at_another_server_is_passed_on(void **state)
{
	struct world *w = WORLD(.servers = 3, .keepalive = 20, .replicate = true,
			.record_lag = TICKS_MS(1), .mesh_delay = TICKS_MS(1));
	struct sim_client *c = w->client[0];
	uint8_t quoted[HEADER_SIZE];
	struct instant now;
	struct recording r;
	uint64_t messages;

	(void)state;
	world_connect(w);
	world_run(w, TICKS_S(10));
	check_equal(&w->net, server_send(&w->server[1], c, 100), DROP_NONE);
	world_run(w, TICKS_S(20)); /* all that is to be said of that has been said */
	check_equal(&w->net, down_value(c), 1500);
	c->down.mtu = 1400;
	recording_begin(w, &r);
	check_equal(&w->net, server_send(&w->server[0], c, 1400), DROP_NONE);
	memcpy(quoted, recording_last(&r, WIRE_DATA_DOWN)->data, HEADER_SIZE);
	now = server_now(&w->server[2]);
	server_too_big(w->server[2].core, &now, quoted, HEADER_SIZE, &w->server[2].out);
	notices_serve(w->server[2].notices, &now);
	world_run(w, TICKS_S(6));
	check_equal(&w->net, w->server[0].core->events[SERVER_TOO_BIG], 1);
	check_range(&w->net, told(&w->server[0]), 1393, 1400);

	messages = w->server[2].mesh_messages;
	for (unsigned i = 0; i < 1000; i++) {
		random_bytes(quoted, sizeof quoted);
		quoted[0] = WIRE_MAGIC | WIRE_DATA_DOWN;
		memcpy(quoted + HEADER_TO, w->server[0].core->sender, 2);
		now = server_now(&w->server[2]);
		server_too_big(w->server[2].core, &now, quoted, HEADER_SIZE, &w->server[2].out);
		notices_serve(w->server[2].notices, &now);
		world_run(w, TICKS_MS(1));
	}
	check_range(&w->net, w->server[2].mesh_messages - messages, 10, 20);
	check_equal(&w->net, w->server[0].core->events[SERVER_TOO_BIG], 1);
	recording_end(w, &r);
	world_free(w);
}

/* IPv6 promises its users 1280 bytes: on a path of 1280 they go in two pieces, either way. */
static void inner_packets_of_1280_cross_a_path_of_1280(void **state)
{
	struct world *w = WORLD(.keepalive = 20, .v6 = true);
	struct sim_client *c = w->client[0];
	struct instant now;
	size_t cut[2];

	(void)state;
	c->up.mtu = c->down.mtu = 1280;
	world_connect(w);
	world_run(w, TICKS_S(10));
	now = client_now(c);
	check_equal(&w->net, uplink_tunnel_mtu(&c->u, &now), 1280);
	check_equal(&w->net, up_room(c), 1280 - 40 - 8 - PACKET_OVERHEAD);
	check(&w->net, piece_split(1280, up_room(c), cut));
	check(&w->net, cut[0] + cut[1] == 1280 && PIECE_HEADER + cut[0] <= up_room(c));
	for (unsigned i = 0; i < 2; i++) {
		check(&w->net, client_send(c, PIECE_HEADER + cut[i]));
		check_equal(&w->net, server_send(&w->server[0], c, PIECE_HEADER + cut[i]),
				DROP_NONE);
	}
	world_run(w, TICKS_S(1));
	check_equal(&w->net, c->sent_up.received, 2);
	check_equal(&w->net, c->sent_down.received, 2);
	world_free(w);
}

/* ---- what one run leaves to the next ---- */

static unsigned written(const struct world *w)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < w->o.servers; i++)
		sum += (unsigned)w->server[i].records_written;
	return sum;
}

/* The client's process ends and is started again, with what it has kept. */
static void start_again(struct world *w, struct sim_client *c)
{
	struct uplink_options o = client_options(w, c->id);
	struct instant now = client_now(c);

	check(&w->net, uplink_remember(&c->u, &now, &o.memory));
	check(&w->net, !uplink_remember(&c->u, &now, &o.memory));
	uplink_free(&c->u);
	client_begin(c, &o);
}

/* Every packet to another server: a session is written when it begins, and not again. */
static void a_session_is_written_once(void **state)
{
	(void)state;
	for (unsigned servers = 1; servers <= 8; servers++) {
		struct world *w = WORLD(.servers = servers, .keepalive = 20, .replicate = true,
				.record_lag = TICKS_MS(5), .echo = true);
		struct sim_client *c = w->client[0];
		unsigned before;

		w->policy = POLICY_SPRAY;
		world_connect(w);
		world_traffic(w, c, true, TICKS_MS(20), TICKS_S(2000), 100);
		world_run(w, TICKS_S(60));
		before = written(w);
		start_again(w, c);
		world_run(w, TICKS_S(60));
		check_equal(&w->net, written(w), before + 1);
		for (unsigned i = 0; i < servers; i++)
			check_equal(&w->net, told(&w->server[i]), 1500);
		before = written(w) - (unsigned)c->u.events[UPLINK_EV_SESSIONS];
		world_run(w, TICKS_S(1800)); /* renewals */
		check_range(&w->net, c->u.events[UPLINK_EV_SESSIONS], 4, 12);
		check_equal(&w->net, written(w) - before, c->u.events[UPLINK_EV_SESSIONS]);
		world_free(w);
	}
}

/* What is remembered is where to begin, not what is believed: the path became narrow meanwhile. */
static void what_is_remembered_wrongly_is_noticed(void **state)
{
	struct world *w = WORLD(.servers = 2, .keepalive = 20, .replicate = true,
			.record_lag = TICKS_MS(5));
	struct sim_client *c = w->client[0];
	struct uplink_options o;

	(void)state;
	world_connect(w);
	world_run(w, TICKS_S(10));
	c->down.mtu = 1400;
	start_again(w, c);
	world_run(w, TICKS_MS(500));
	check_equal(&w->net, told(&w->server[0]), 1500);
	world_run(w, TICKS_S(5));
	for (unsigned i = 0; i < 2; i++)
		check_range(&w->net, told(&w->server[i]), 1393, 1400);

	/* seen at another address: nothing is known of it */
	o = client_options(w, 0);
	o.memory.count = 1;
	o.memory.path[0].server = 1;
	o.memory.path[0].size = 1500;
	uplink_free(&c->u);
	client_begin(c, &o);
	world_run(w, TICKS_MS(200));
	for (unsigned i = 0; i < 2; i++)
		check_equal(&w->net, told(&w->server[i]), PMTU_BASE);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_direction_is_found_with_few_probes),
		cmocka_unit_test(what_is_found_does_not_flap),
		cmocka_unit_test(a_black_hole_ends),
		cmocka_unit_test(who_only_sends_does_not_search_for_ever),
		cmocka_unit_test(one_narrow_path_of_three_holds_for_all),
		cmocka_unit_test(a_narrow_path_up_is_noticed_beside_traffic_down),
		cmocka_unit_test(spray_finds_what_all_servers_can),
		cmocka_unit_test(loss_is_not_taken_for_a_narrow_path),
		cmocka_unit_test(icmp_only_makes_the_client_look),
		cmocka_unit_test(icmp_to_a_server_makes_the_client_look),
		cmocka_unit_test(icmp_at_another_server_is_passed_on),
		cmocka_unit_test(inner_packets_of_1280_cross_a_path_of_1280),
		cmocka_unit_test(a_session_is_written_once),
		cmocka_unit_test(what_is_remembered_wrongly_is_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
