/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* Handshakes under replay, forgery, load and wrong clocks. */
#include "test/sim/world.h"

#include <stdlib.h>

#define WORLD(...) world_new(&(struct world_options){__VA_ARGS__})

static void same_state(struct world *w, struct sim_server *s, const struct server_state *before)
{
	struct server_state now = server_state(s);

	check_equal(&w->net, now.counts.clients, before->counts.clients);
	check_equal(&w->net, now.counts.records, before->counts.records);
	check_equal(&w->net, now.counts.active, before->counts.active);
	check_equal(&w->net, now.heap, before->heap);
}

/*
 * Message 1 can be replayed by anybody who saw it, and written as any client by
 * whoever has the cluster's key: it must change nothing, at any server.
 */
static void replayed_first_messages_change_nothing(void **state)
{
	const unsigned replays = net_many(10000, 100000);
	struct world *w = WORLD(.servers = 2, .handshake_rate = 1000000, .prefix_rate = 1000000);
	struct sim_client *c = w->client[0];
	struct session_record *record;
	struct server_state before[2];
	struct client client[2];
	const struct sighted *m;
	struct recording r;
	struct endpoint elsewhere;

	(void)state;
	recording_begin(w, &r);
	client_send(c, 100);
	world_connect(w);
	world_run(w, TICKS_S(5));
	r.on = false;
	m = recording_last(&r, WIRE_HANDSHAKE_1);
	check(&w->net, m != NULL);
	elsewhere = m->from;
	elsewhere.port = 9;
	c->asleep = true;
	server_take(&w->server[0], &elsewhere, m->data, m->len);
	world_run(w, TICKS_MS(100));
	record = client_at(&w->server[0], 0)->session;
	for (unsigned i = 0; i < replays; i++) /* so that the test's own memory has grown */
		server_take(&w->server[i % 2], &elsewhere, m->data, m->len);
	world_run(w, TICKS_MS(100));
	before[0] = server_state(&w->server[0]);
	before[1] = server_state(&w->server[1]);
	client[0] = *client_at(&w->server[0], 0);
	client[1] = *client_at(&w->server[1], 0);
	for (unsigned i = 0; i < replays; i++) {
		check_equal(&w->net, server_take(&w->server[i % 2], &elsewhere, m->data, m->len),
				DROP_NONE);
		world_run(w, TICKS_MS(20) / replays);
	}
	world_run(w, TICKS_MS(20));
	same_state(w, &w->server[0], &before[0]);
	same_state(w, &w->server[1], &before[1]);
	for (unsigned i = 0; i < 2; i++) /* all that is known and counted of the client */
		check(&w->net, !memcmp(&client[i], client_at(&w->server[i], 0), sizeof client[i]));
	check(&w->net, client_at(&w->server[0], 0)->session == record);
	c->asleep = false;
	check(&w->net, client_send(c, 100));
	world_run(w, TICKS_MS(50));
	check_equal(&w->net, c->sent_up.received, 1);
	check_equal(&w->net, c->u.events[UPLINK_EV_SESSIONS], 1);
	recording_end(w, &r);
	world_free(w);
}

/*
 * An ephemeral key encrypts one thing.  A repeat with a retry token must be the
 * same Noise bytes, and anything else must have a new ephemeral.
 */
static void an_ephemeral_never_encrypts_two_different_things(void **state)
{
	struct world *w = WORLD(.keepalive = 20, .handshake_rate = 1);
	struct sim_client *c = w->client[0];
	struct recording r;
	unsigned repeats = 0, seen = 0;

	(void)state;
	recording_begin(w, &r);
	for (unsigned round = 0; round < 20; round++) {
		struct uplink_options o = client_options(w, 0);

		/* answers are lost, or there is load and a token is asked for, or all goes well */
		w->server[0].core->handshake_rate = round % 3;
		c->down.cut = round % 4 == 3;
		uplink_free(&c->u);
		client_begin(c, &o);
		world_run(w, TICKS_S(20));
		c->down.cut = false;
		world_run(w, TICKS_S(40));
		check(&w->net, c->u.newest && c->u.newest->confirmed);
	}
	for (size_t i = 0; i < r.count; i++) {
		const uint8_t *a = r.packet[i].data;

		if (a[0] != (WIRE_MAGIC | WIRE_HANDSHAKE_1))
			continue;
		seen++;
		for (size_t k = 0; k < i; k++) {
			const uint8_t *b = r.packet[k].data;

			if (b[0] != a[0] || memcmp(a + 8, b + 8, KEY_SIZE) != 0)
				continue;
			repeats++;
			assert_memory_equal(a, b, MESSAGE1_TOKEN);
		}
	}
	check_range(&w->net, seen, 45, 2000);
	check_range(&w->net, repeats, 10, 100000);
	check_range(&w->net, w->server[0].core->events[SERVER_RETRIES], 5, 1000);
	recording_end(w, &r);
	world_free(w);
}

/* Junk that arrives before the true answer must not use up the handshake. */
static void a_thousand_forged_answers_do_not_keep_the_true_one_out(void **state)
{
	struct world *w = WORLD();
	struct sim_client *c = w->client[0];
	const struct sighted *m;
	struct recording r;
	uint8_t forged[MESSAGE1_SIZE];

	(void)state;
	recording_begin(w, &r);
	c->down.cut = true;
	client_send(c, 100);
	world_run(w, TICKS_MS(50));
	m = recording_last(&r, WIRE_HANDSHAKE_2);
	check(&w->net, m != NULL);
	for (unsigned i = 0; i < 1000; i++) {
		size_t len = m->len;

		memcpy(forged, m->data, m->len);
		if (i % 3 == 0)
			random_bytes(forged + MESSAGE2_NOISE, len - MESSAGE2_NOISE);
		else if (i % 3 == 1)
			forged[8 + net_below(&w->net, len - 8)] ^=
					(uint8_t)(1 << net_below(&w->net, 8));
		else
			len = net_below(&w->net, len);
		check(&w->net, client_take(c, forged, len) != DROP_NONE);
	}
	check(&w->net, !c->u.newest);
	check_equal(&w->net, client_take(c, m->data, m->len), DROP_NONE);
	check(&w->net, c->u.newest != NULL);
	/* a second good answer, from a second server: the handshake is over */
	check_equal(&w->net, client_take(c, m->data, m->len), DROP_STALE);
	recording_end(w, &r);
	world_free(w);
}

/* A machine without a battery clock begins in 1970; another one is wrong by a century. */
static void a_clients_wall_clock_does_not_matter(void **state)
{
	static const uint64_t years[] = {0, 4102444800 /* 2100 */, UINT64_MAX >> 25};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(years); i++) {
		struct world *w = WORLD(.keepalive = 20);

		w->client[0]->wall = TICKS_S(years[i]);
		world_connect(w);
		check(&w->net, client_send(w->client[0], 100));
		world_run(w, TICKS_MS(50));
		check_equal(&w->net, w->client[0]->sent_up.received, 1);
		world_free(w);
	}
}

/* Under load only who receives at his address costs a DH; with the token all the others get in. */
static void under_load_a_token_lets_clients_in_at_any_server(void **state)
{
	enum { CLIENTS = 40 };
	struct world *w = WORLD(.servers = 3, .clients = CLIENTS, .keepalive = 20,
			.handshake_rate = 2, .prefix_rate = 100);

	(void)state;
	w->policy = POLICY_SPRAY; /* the token comes from one server and goes to another */
	world_connect(w);
	check_range(&w->net, w->server[0].core->events[SERVER_RETRIES], 1, CLIENTS);
	for (unsigned i = 0; i < CLIENTS; i++)
		check_range(&w->net, w->client[i]->sent[WIRE_HANDSHAKE_1], 1, 4);
	world_free(w);
}

/*
 * One network cannot use up what the others need; and who forges its addresses
 * cannot lock it out: beyond its limit a token is asked for, which only those who
 * receive there can give.
 */
static void message_1_is_limited_for_each_network(void **state)
{
	struct world *w = WORLD(.prefix_rate = 10);
	const struct sighted *m;
	struct recording r;
	struct endpoint from;

	(void)state;
	recording_begin(w, &r);
	client_send(w->client[0], 100);
	m = recording_last(&r, WIRE_HANDSHAKE_1);
	from = m->from;
	for (unsigned i = 0; i < 100; i++) {
		from.ip[15] = (uint8_t)i;
		server_take(&w->server[0], &from, m->data, m->len);
	}
	check_equal(&w->net, w->server[0].drop[DROP_NONE], 10);
	check_equal(&w->net, w->server[0].drop[DROP_TOKEN], 90);
	check_equal(&w->net, w->server[0].core->events[SERVER_RETRIES], 90);
	from.ip[14]++;
	check_equal(&w->net, server_take(&w->server[0], &from, m->data, m->len), DROP_NONE);
	recording_end(w, &r);
	world_free(w);
}

/* ---- nothing is amplified ---- */

/* Any plaintext, of the messages that exist and those that do not. */
static size_t some_plaintext(struct world *w, struct sim_client *c, uint8_t plain[1400])
{
	struct hello h = {.kind = (uint8_t)net_below(&w->net, 2), .address = c->u.hello.address,
			.down_mtu = 1500, .keepalive = 20};
	struct probe p = {.size = (uint16_t)net_below(&w->net, 2000), .id = 1};
	size_t pad = net_chance(&w->net, 500000) ? 0 : net_below(&w->net, 200), n;

	memset(plain, 0, 1400);
	switch (net_below(&w->net, 7)) {
	case 0:
		memcpy(h.cookie, c->u.hello.cookie, COOKIE_SIZE);
		n = hello_write(plain, &h);
		break;
	case 1:
		random_bytes(h.cookie, COOKIE_SIZE);
		n = hello_write(plain, &h);
		break;
	case 2:
		n = probe_write(plain, CONTROL_PROBE, &p);
		break;
	case 3:
		n = probe_write(plain, CONTROL_PROBE_REQ, &p);
		break;
	case 4:
		random_bytes(plain, RELAY_QUESTION_SIZE);
		plain[0] = CONTROL_BYTE(CONTROL_RELAY);
		plain[1] = (uint8_t)(1 + net_below(&w->net, 5));
		n = RELAY_QUESTION_SIZE;
		break;
	case 5:
		plain[0] = (uint8_t)net_below(&w->net, 256);
		return net_below(&w->net, 100);
	default:
		plain[0] = 0x60;
		n = 1;
	}
	return n + pad;
}

/*
 * A client of ill will does its handshake at home and then sends everything
 * there is from the address of somebody else, at several servers: that address
 * must never get more bytes than came from it.
 */
static void no_unproven_address_gets_more_than_came_from_it(void **state)
{
	enum { ROUNDS = 20000 };
	struct world *w = WORLD(.servers = 2, .clients = 2, .keepalive = 20, .replicate = true,
			.handshake_rate = 5);
	struct sim_client *c = w->client[0];
	struct endpoint victim = {.port = 53};
	uint8_t plain[1400], packet[PACKET_MAX];
	struct recording r;
	struct ledger *l;

	(void)state;
	addr_from_v4(victim.ip, "\xcb\0\x71\x05");
	l = world_watch(w, &victim);
	recording_begin(w, &r);
	world_connect(w);
	world_run(w, TICKS_S(5));
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct sim_server *s = &w->server[net_below(&w->net, 2)];
		const struct sighted *p = &r.packet[net_below(&w->net, r.count)];
		size_t len;

		r.on = net_chance(&w->net, 10000) && r.count < 2000;
		if (net_chance(&w->net, 200000)) {
			memcpy(packet, p->data, p->len);
			len = p->len;
		} else if (c->u.newest) {
			len = client_seal(c, plain, some_plaintext(w, c, plain), packet);
		} else {
			random_bytes(packet, 100);
			packet[0] = (uint8_t)(WIRE_MAGIC | i % 16);
			len = 100;
		}
		l->in += len;
		server_take(s, &victim, packet, len);
		check(&w->net, l->out <= l->in);
		world_run(w, net_chance(&w->net, 5000) ? net_below(&w->net, TICKS_S(11)) :
				net_below(&w->net, TICKS_MS(20)));
	}
	/* a message 1 has 1200 bytes: without those, each answer must still be the smaller one */
	check_range(&w->net, l->packets_out, 100, ROUNDS);
	check(&w->net, client_at(&w->server[0], 0)->session == NULL ||
			!endpoint_equal(&client_at(&w->server[0], 0)->session->endpoint, &victim));
	recording_end(w, &r);
	world_free(w);
}

/* Packet by packet, and with the smallest packets that each message fits into. */
static void no_answer_is_larger_than_its_cause(void **state)
{
	struct world *w = WORLD(.keepalive = 20);
	struct sim_client *c = w->client[0];
	struct endpoint victim = {.port = 53};
	uint8_t plain[1400], packet[PACKET_MAX];
	struct ledger *l;

	(void)state;
	addr_from_v4(victim.ip, "\xcb\0\x71\x05");
	l = world_watch(w, &victim);
	world_connect(w);
	world_run(w, TICKS_S(1));
	for (unsigned i = 0; i < 5000; i++) {
		size_t len = client_seal(c, plain, some_plaintext(w, c, plain), packet);
		uint64_t before = l->out;

		server_take(&w->server[0], &victim, packet, len);
		check_range(&w->net, l->out - before, 0, len);
		world_run(w, TICKS_MS(101));
	}
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replayed_first_messages_change_nothing),
		cmocka_unit_test(an_ephemeral_never_encrypts_two_different_things),
		cmocka_unit_test(a_thousand_forged_answers_do_not_keep_the_true_one_out),
		cmocka_unit_test(a_clients_wall_clock_does_not_matter),
		cmocka_unit_test(under_load_a_token_lets_clients_in_at_any_server),
		cmocka_unit_test(message_1_is_limited_for_each_network),
		cmocka_unit_test(no_unproven_address_gets_more_than_came_from_it),
		cmocka_unit_test(no_answer_is_larger_than_its_cause),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
