/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* Where a client is: address changes, challenges and their cookies, late paths, twins. */
#include "test/sim/world.h"

#include <stdlib.h>

#define WORLD(...) world_new(&(struct world_options){__VA_ARGS__})

static const struct endpoint *endpoint_at(const struct sim_server *s, unsigned client)
{
	const struct session_record *r = client_at(s, client)->session;

	return r ? &r->endpoint : NULL;
}

static bool knows_where(const struct sim_server *s, const struct sim_client *c)
{
	const struct endpoint *e = endpoint_at(s, c->enrolled);

	return e && endpoint_equal(e, &c->address);
}

static void challenge_from_one_answer_to_other(bool v6, bool at_epoch_step)
{
	for (unsigned i = 0; i < 9; i++) {
		struct world *w = WORLD(.servers = 3, .v6 = v6, .replicate = true,
				.record_lag = TICKS_MS(1));
		struct sim_client *c = w->client[0];
		struct sim_server *asks = &w->server[i % 3], *hears = &w->server[i / 3];

		client_send(c, 100);
		world_connect(w);
		world_run(w, TICKS_S(2));
		if (at_epoch_step) /* the question comes before the step, the answer after it */
			world_run(w, TICKS_S(300) - w->net.now % TICKS_S(300) - TICKS_MS(15));
		client_rebind(c);
		w->chosen = asks->id;
		check(&w->net, client_send(c, 100));
		world_run(w, TICKS_MS(15));
		check_equal(&w->net, asks->core->events[SERVER_PATH_CHALLENGES], 1);
		w->chosen = hears->id;
		world_run(w, TICKS_MS(15 + 10));
		check_equal(&w->net, hears->core->events[SERVER_MOVES], 1);
		for (unsigned k = 0; k < 3; k++)
			check(&w->net, knows_where(&w->server[k], c));
		check_equal(&w->net, server_send(&w->server[0], c, 100), DROP_NONE);
		world_run(w, TICKS_MS(15));
		check_equal(&w->net, c->sent_down.received, 1);
		world_free(w);
	}
}

/*
 * The server that asks keeps nothing; the answer may reach any other.  Were the
 * question known to one server only, a client under a flapping route would never
 * be found.
 */
static void a_challenge_is_answered_at_any_server(void **state)
{
	(void)state;
	challenge_from_one_answer_to_other(false, false);
	challenge_from_one_answer_to_other(true, false);
	challenge_from_one_answer_to_other(false, true);
	challenge_from_one_answer_to_other(true, true);
}

/*
 * Handshake at home, first data from the address of a victim: nothing goes
 * there at once, later no more than came, and no data ever.
 */
static void a_spoofed_first_packet_brings_the_victim_nothing(void **state)
{
	struct world *w = WORLD(.servers = 2);
	struct sim_client *c = w->client[0];
	struct endpoint victim = {.port = 53};
	struct recording r;
	struct ledger *l;

	(void)state;
	addr_from_v4(victim.ip, "\xcb\0\x71\x05");
	l = world_watch(w, &victim);
	recording_begin(w, &r);
	client_send(c, 100);
	world_run(w, TICKS_MS(20)); /* message 2 is here, the HELLO under way to server 0 */
	w->server[0].paused = true;
	check(&w->net, client_send(c, 100));
	r.on = false;
	server_take(&w->server[1], &victim, recording_last(&r, WIRE_DATA_UP)->data,
			recording_last(&r, WIRE_DATA_UP)->len);
	world_run(w, TICKS_MS(50));
	check_equal(&w->net, w->server[1].delivered, 1);
	check_equal(&w->net, l->out, 0);
	check_equal(&w->net, server_send(&w->server[1], c, 1000), DROP_NO_SESSION);
	check_equal(&w->net, l->out, 0);
	recording_end(w, &r);
	world_free(w);
}

/* The mapping of a translator is lost, and the client does not know: one round trip. */
static void a_rebound_translator_costs_one_round_trip(void **state)
{
	struct world *w = WORLD(.servers = 2, .keepalive = 20, .replicate = true,
			.record_lag = TICKS_MS(1));
	struct sim_client *c = w->client[0];

	(void)state;
	w->policy = POLICY_SPRAY;
	world_connect(w);
	world_run(w, TICKS_S(5));
	world_traffic(w, c, true, TICKS_MS(10), TICKS_S(300), 100);
	world_traffic(w, c, false, TICKS_MS(10), TICKS_S(300), 100);
	for (unsigned i = 0; i < 10; i++) {
		uint32_t lost = c->sent_down.sent - c->sent_down.received;

		client_rebind(c);
		world_run(w, TICKS_S(20));
		/* to the server, challenge, HELLO, then data: 40 ms, and what was under way */
		check_range(&w->net, c->sent_down.sent - c->sent_down.received - lost, 0, 6);
		for (unsigned k = 0; k < 2; k++)
			check(&w->net, knows_where(&w->server[k], c));
	}
	world_run(w, TICKS_S(120));
	check_equal(&w->net, c->sent_up.received, c->sent_up.sent);
	check_equal(&w->net, c->sent_up.repeated, 0);
	world_free(w);
}

/* The client knows that its address changed, and has nothing to send. */
static void an_idle_client_that_moves_is_found(void **state)
{
	struct world *w = WORLD(.keepalive = 120);
	struct sim_client *c = w->client[0];
	struct instant now;

	(void)state;
	world_connect(w);
	for (unsigned i = 0; i < 5; i++) {
		/* the first one while the last cookie is still good, for the old address */
		world_run(w, TICKS_S(2 + 3 * i));
		client_rebind(c);
		now = client_now(c);
		uplink_moved(&c->u, &now, &c->out);
		world_run(w, TICKS_MS(50));
		check(&w->net, knows_where(&w->server[0], c));
		check(&w->net, !c->u.hello.pending);
	}
	world_free(w);
}

/* A third of everything is lost, and still every move is noticed. */
static void moves_survive_loss(void **state)
{
	struct world *w = WORLD(.servers = 3, .keepalive = 20, .replicate = true);
	struct sim_client *c = w->client[0];

	(void)state;
	w->policy = POLICY_SPRAY;
	world_connect(w);
	c->up.loss = c->down.loss = 333333;
	world_traffic(w, c, true, TICKS_MS(100), TICKS_S(1200), 100);
	for (unsigned i = 0; i < 20; i++) {
		client_rebind(c);
		world_run(w, TICKS_S(60));
		check(&w->net, knows_where(&w->server[i % 3], c));
	}
	world_free(w);
}

/*
 * From Wi-Fi to the mobile network while both work: a packet that was sent
 * before the move and comes after it must not call the endpoint back.
 */
static void a_late_packet_from_the_old_address_does_not_call_the_client_back(void **state)
{
	struct world *w = WORLD(.keepalive = 20);
	struct sim_client *c = w->client[0];
	struct recording r;
	struct endpoint old;
	uint64_t challenges;

	(void)state;
	world_connect(w);
	world_run(w, TICKS_S(5));
	recording_begin(w, &r);
	old = c->address;
	c->up.cut = true; /* these are late */
	for (unsigned i = 0; i < 5; i++)
		check(&w->net, client_send(c, 100));
	c->up.cut = false;
	r.on = false;
	client_rebind(c);
	check(&w->net, client_send(c, 100));
	world_run(w, TICKS_MS(500));
	check(&w->net, knows_where(&w->server[0], c));
	challenges = w->server[0].core->events[SERVER_PATH_CHALLENGES];
	for (size_t i = 0; i < r.count; i++)
		check_equal(&w->net, server_take(&w->server[0], &old, r.packet[i].data,
				r.packet[i].len), DROP_NONE);
	check_equal(&w->net, w->server[0].core->events[SERVER_PATH_CHALLENGES], challenges);
	check_equal(&w->net, c->sent_up.received, 6);
	recording_end(w, &r);
	world_free(w);
}

/*
 * Somebody on the way, nearer to the servers than the client, forwards all that he
 * sees from and to his own address; what comes from the client itself arrives later,
 * as a repetition.
 */
struct forwarder {
	struct endpoint address;
	bool gone;
	unsigned up, down;
};

struct forwarded {
	struct world *w;
	struct forwarder *by;
	struct sighted p;
};

static void forward(void *arg)
{
	struct forwarded *f = arg;

	if (f->p.up)
		server_take(&f->w->server[f->p.server], &f->by->address, f->p.data, f->p.len);
	else
		client_take(f->w->client[0], f->p.data, f->p.len);
	free(f);
}

static void forwarder_sees(struct world *w, const struct sighted *p)
{
	struct forwarder *by = w->tap_arg;
	struct forwarded *f;

	if (by->gone || (!p->up && !endpoint_equal(&p->to, &by->address)))
		return;
	*(p->up ? &by->up : &by->down) += 1;
	f = malloc(sizeof *f);
	assert_non_null(f);
	*f = (struct forwarded){w, by, *p};
	net_at(&w->net, w->net.now + w->o.delay / 2, forward, f);
}

/* He becomes the endpoint; when he goes, the next packet of the client brings it back. */
static void a_forwarding_attacker_who_leaves_costs_one_round_trip(void **state)
{
	struct world *w = WORLD(.servers = 3, .keepalive = 20, .replicate = true,
			.record_lag = TICKS_MS(1), .mesh_delay = TICKS_MS(1));
	struct forwarder by = {.address = {.port = 666}};
	struct sim_client *c = w->client[0];
	uint32_t lost;

	(void)state;
	addr_from_v4(by.address.ip, "\xcb\0\x71\x06");
	world_connect(w);
	world_run(w, TICKS_S(5));
	w->tap = forwarder_sees;
	w->tap_arg = &by;
	world_traffic(w, c, true, TICKS_MS(5), TICKS_S(20), 100);
	world_run(w, TICKS_S(10));
	for (unsigned k = 0; k < 3; k++)
		check(&w->net, endpoint_equal(&client_at(&w->server[k], 0)->session->endpoint,
				&by.address));
	check_equal(&w->net, server_send(&w->server[1], c, 100), DROP_NONE);
	world_run(w, TICKS_MS(20));
	check_equal(&w->net, c->sent_down.received, 1);
	check_range(&w->net, by.up, 1900, 2500);
	by.gone = true;
	/* a packet, the challenge to where it came from, the HELLO */
	world_run(w, 3 * w->o.delay + TICKS_MS(6));
	for (unsigned k = 0; k < 3; k++)
		check(&w->net, knows_where(&w->server[k], c));
	lost = c->sent_down.sent - c->sent_down.received;
	check_equal(&w->net, server_send(&w->server[1], c, 100), DROP_NONE);
	world_run(w, TICKS_S(11));
	check_equal(&w->net, c->sent_down.sent - c->sent_down.received, lost);
	check_equal(&w->net, c->sent_up.received, c->sent_up.sent);
	check_equal(&w->net, c->sent_up.repeated, 0);
	world_free(w);
}

/* ---- late paths ---- */

/*
 * Three seconds of packets wait in a modem's queue, and then the route flips to
 * a server that sees only old packets: it must learn the delay by asking, and
 * not refuse for ever.
 */
static void a_path_three_seconds_late_is_learnt_in_one_round_trip(void **state)
{
	struct world *w = WORLD(.servers = 3, .keepalive = 20, .replicate = true);
	struct sim_client *c = w->client[0];

	(void)state;
	world_connect(w);
	world_run(w, TICKS_S(5));
	c->up.delay = TICKS_S(3);
	world_traffic(w, c, true, TICKS_MS(50), TICKS_S(400), 100);
	for (unsigned i = 1; i < 7; i++) {
		uint32_t lost;

		w->chosen = i % 3;
		/* 3 s to the server, then the question, and 3 s until the answer is there */
		world_run(w, TICKS_S(7));
		lost = c->sent_up.sent - c->sent_up.received;
		world_run(w, TICKS_S(20));
		check_equal(&w->net, c->sent_up.sent - c->sent_up.received, lost);
	}
	check_range(&w->net, c->sent_up.sent - c->sent_up.received, 60, 60 + 6 * 65);
	check(&w->net, c->u.newest && c->u.newest->confirmed);
	world_free(w);
}

/*
 * After a question about time was answered, what else changes must still get
 * through: the cookie in hand is one for such answers, and soon too old.
 */
static void changes_are_told_after_a_time_challenge(void **state)
{
	struct world *w = WORLD(.servers = 1, .keepalive = 20);
	struct sim_client *c = w->client[0];
	uint8_t groups[1][16] = {{0xff, 0x05, [15] = 1}};
	struct instant now;

	(void)state;
	world_connect(w);
	world_run(w, TICKS_S(5));
	c->up.delay = TICKS_S(3);
	check(&w->net, client_send(c, 100));
	world_run(w, TICKS_S(10));
	check(&w->net, c->u.hello.kind == KIND_TIME && !c->u.hello.pending);
	c->up.delay = TICKS_MS(10);
	world_run(w, TICKS_S(20));
	now = client_now(c);
	uplink_set_groups(&c->u, &now, groups, 1, &c->out);
	world_run(w, TICKS_S(1));
	check_equal(&w->net, client_at(&w->server[0], 0)->session->group_count, 1);
	check(&w->net, !c->u.hello.pending);
	world_free(w);
}

/* A slow way back makes the server's time look old; the client's clock must not follow it. */
static void a_late_challenge_does_not_turn_the_clock_back(void **state)
{
	struct world *w = WORLD(.servers = 2, .keepalive = 20, .replicate = true);
	struct sim_client *c = w->client[0];
	uint64_t hellos;
	uint32_t lost;

	(void)state;
	world_connect(w);
	world_run(w, TICKS_S(5));
	c->up.delay = TICKS_MS(2500);
	c->down.delay = TICKS_MS(1200);
	world_traffic(w, c, true, TICKS_MS(50), TICKS_S(100), 100);
	world_run(w, TICKS_S(25)); /* a handshake on the way measures the delay */
	lost = c->sent_up.sent - c->sent_up.received;
	hellos = c->u.events[UPLINK_EV_HELLOS];
	check_range(&w->net, lost, 50, 50 + 20 * 10);
	world_run(w, TICKS_S(60));
	check_equal(&w->net, c->sent_up.sent - c->sent_up.received, lost);
	check(&w->net, !c->u.hello.pending);
	check_range(&w->net, c->u.events[UPLINK_EV_HELLOS] - hellos, 0, 30);
	world_free(w);
}

/* The same, seen alone: a challenge that comes late, and no handshake that could measure. */
static void the_clock_goes_back_only_by_a_handshake(void **state)
{
	struct world *w = WORLD(.keepalive = 20);
	struct sim_client *c = w->client[0];
	struct recording r;
	int64_t offset;

	(void)state;
	world_connect(w);
	world_run(w, TICKS_S(5));
	recording_begin(w, &r);
	c->up.cut = c->down.cut = true;
	check(&w->net, client_send(c, 100));
	world_run(w, TICKS_S(4));
	server_take(&w->server[0], &c->address, r.packet[0].data, r.packet[0].len);
	check_equal(&w->net, w->server[0].core->events[SERVER_TIME_CHALLENGES], 1);
	world_run(w, TICKS_S(3));
	offset = c->u.offset;
	check_equal(&w->net, client_take(c, recording_last(&r, WIRE_DATA_DOWN)->data,
			recording_last(&r, WIRE_DATA_DOWN)->len), DROP_NONE);
	check_equal(&w->net, c->u.offset, offset);
	check(&w->net, c->u.handshake.wanted);
	recording_end(w, &r);
	world_free(w);
}

/* ---- what HELLOs tell, in the end, is the last thing ---- */

/* 0: none */
static void set_group(struct sim_client *c, unsigned n)
{
	uint8_t groups[1][16] = {{0xff, 0x05, [15] = (uint8_t)n}};
	struct instant now = client_now(c);

	uplink_set_groups(&c->u, &now, groups, n != 0, &c->out);
	client_tick(c); /* its timer is that of the HELLO from now on */
}

static unsigned group_known(const struct sim_server *s)
{
	const struct session_record *r = client_at(s, 0)->session;

	return r->group_count == 1 ? record_group(r, 0)[15] : 0;
}

/* Reordered on the way: what comes late is neither done nor acknowledged. */
static void an_overtaken_hello_is_not_acknowledged(void **state)
{
	struct world *w = WORLD(.keepalive = 20);
	struct sim_client *c = w->client[0];
	struct recording r;

	(void)state;
	world_connect(w);
	world_run(w, TICKS_S(5));
	recording_begin(w, &r);
	c->up.cut = true;
	set_group(c, 1);
	r.on = false;
	c->up.cut = false;
	set_group(c, 2);
	world_run(w, TICKS_MS(50));
	check_equal(&w->net, group_known(&w->server[0]), 2);
	check_equal(&w->net, server_take(&w->server[0], &r.packet[0].from, r.packet[0].data,
			r.packet[0].len), DROP_STALE);
	check_equal(&w->net, group_known(&w->server[0]), 2);
	recording_end(w, &r);
	world_free(w);
}

/*
 * It changes its mind while the first HELLO is under way, and the second one is
 * lost: the acknowledgement that comes is for what it said before.
 */
static void an_acknowledgement_of_the_past_ends_nothing(void **state)
{
	struct world *w = WORLD(.keepalive = 20);
	struct sim_client *c = w->client[0];

	(void)state;
	world_connect(w);
	world_run(w, TICKS_S(15));
	set_group(c, 1); /* the cookie is too old: question and answer come first */
	world_run(w, TICKS_MS(35));
	check_equal(&w->net, group_known(&w->server[0]), 1);
	check(&w->net, c->u.hello.pending);
	c->up.cut = true;
	set_group(c, 2);
	c->up.cut = false;
	world_run(w, TICKS_S(4));
	check_equal(&w->net, group_known(&w->server[0]), 2);
	check(&w->net, !c->u.hello.pending);
	world_free(w);
}

/*
 * A round trip is longer than a HELLO waits for its answer, so there are several
 * under way that say the same.  An answer to the second one must not stand for
 * what was said after the first was answered, and was lost.
 */
static void a_late_acknowledgement_is_not_for_what_was_said_since(void **state)
{
	struct world *w = WORLD(.keepalive = 20, .delay = TICKS_MS(250));
	struct sim_client *c = w->client[0];

	(void)state;
	world_connect(w);
	world_run(w, TICKS_S(4)); /* the cookie is young, all answers are in */
	check(&w->net, !c->u.hello.pending);
	set_group(c, 1);
	world_run(w, TICKS_MS(550)); /* sent at 0 and 200 ms, the first is answered */
	check_equal(&w->net, group_known(&w->server[0]), 1);
	check(&w->net, !c->u.hello.pending);
	c->up.cut = true;
	set_group(c, 2);
	world_run(w, TICKS_MS(180)); /* the answer to the second came */
	c->up.cut = false;
	check(&w->net, c->u.hello.pending);
	world_run(w, TICKS_S(2));
	check_equal(&w->net, group_known(&w->server[0]), 2);
	check(&w->net, !c->u.hello.pending);
	world_free(w);
}

/* Likewise where the message itself changes from one repeat to the next: the path MTU down. */
static void an_acknowledgement_is_for_the_mtu_that_it_answers(void **state)
{
	struct world *w = WORLD(.keepalive = 20, .delay = TICKS_MS(250));
	struct sim_client *c = w->client[0];
	uint16_t most;

	(void)state;
	world_connect(w);
	world_run(w, TICKS_S(6));
	most = client_at(&w->server[0], 0)->session->down_mtu;
	check_equal(&w->net, most, 1500);
	set_group(c, 1);
	world_run(w, TICKS_MS(100));
	c->up.cut = true;
	for (unsigned i = 0; i < c->u.down.count; i++)
		c->u.down.path[i].proven = 1300;
	world_run(w, TICKS_MS(450)); /* the repeat says 1300 and is lost, the first one is answered */
	check(&w->net, c->u.hello.pending);
	c->up.cut = false;
	world_run(w, TICKS_S(2));
	check_equal(&w->net, client_at(&w->server[0], 0)->session->down_mtu, 1300);
	world_free(w);
}

/* ---- two machines with one key ---- */

/*
 * A cloned machine: both are right, and the endpoint can only be with one of
 * them.  It must not move back and forth with every packet.
 */
static void twins_of_one_key_move_ever_less_often(void **state)
{
	struct world *w = WORLD(.clients = 2, .keepalive = 20);
	struct uplink_options o = client_options(w, 0);
	uint64_t moves, written;

	(void)state;
	uplink_free(&w->client[1]->u);
	w->client[1]->enrolled = 0;
	client_begin(w->client[1], &o);
	world_connect(w);
	moves = w->server[0].core->events[SERVER_MOVES];
	written = w->server[0].records_written;
	for (unsigned i = 0; i < 2; i++)
		world_traffic(w, w->client[i], true, TICKS_MS(1), TICKS_S(120), 100);
	world_run(w, TICKS_S(121));
	/* 1, 2, 4, 8, 16, 30, 30 … s apart */
	check_range(&w->net, w->server[0].core->events[SERVER_MOVES] - moves, 1, 12);
	check_range(&w->net, w->server[0].records_written - written, 1, 40);
	world_free(w);
}

/* Started again and again, each time with another port: no twin, so none waits for longer than a second. */
static void a_client_started_again_is_no_twin(void **state)
{
	struct world *w = WORLD(.servers = 3, .keepalive = 20, .replicate = true,
			.record_lag = TICKS_MS(1));
	struct sim_client *c = w->client[0];
	struct uplink_options o = client_options(w, 0);

	(void)state;
	world_connect(w);
	for (unsigned i = 0; i < 50; i++) {
		w->chosen = i % 3;
		world_run(w, TICKS_MS(300 + 100 * (i % 8)));
		uplink_free(&c->u);
		client_rebind(c);
		client_begin(c, &o);
		/* HELLO after 0, 0.2, 0.6, 1.4 s */
		world_run(w, TICKS_MS(1500));
		check(&w->net, c->u.newest && c->u.newest->confirmed);
		for (unsigned k = 0; k < 3; k++)
			check(&w->net, knows_where(&w->server[k], c));
	}
	world_free(w);
}

/* ---- what other servers know ---- */

/*
 * It tells one server something else, and another the first thing again, which has not heard of
 * that yet and so finds nothing new in it.  What was said last stands, at all servers, although
 * what was said in between arrives last.
 */
static void what_is_taken_back_stays_so(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		bool mesh = i % 2, old_cookie = i / 2;
		struct world *w = WORLD(.servers = 3, .keepalive = 20, .replicate = true,
				.record_lag = TICKS_MS(500), .mesh_delay = mesh ? TICKS_MS(300) : 0);
		struct sim_client *c = w->client[0];

		world_connect(w);
		for (unsigned k = 0; k < 6; k++) { /* it knows the path to each, and has no more to tell */
			w->chosen = k % 3;
			check(&w->net, client_send(c, 100));
			world_run(w, TICKS_S(3));
		}
		w->chosen = 1;
		if (!old_cookie) { /* a fresh one */
			client_rebind(c);
			check(&w->net, client_send(c, 100));
		}
		world_run(w, TICKS_S(1));
		set_group(c, 1);
		world_run(w, TICKS_MS(100));
		check_equal(&w->net, group_known(&w->server[1]), 1);
		check_equal(&w->net, group_known(&w->server[2]), 0);
		w->chosen = 2;
		set_group(c, 0);
		world_run(w, TICKS_MS(100));
		check(&w->net, !c->u.hello.pending);
		check_equal(&w->net, group_known(&w->server[2]), 0);
		world_run(w, TICKS_S(3));
		for (unsigned k = 0; k < 3; k++)
			check_equal(&w->net, group_known(&w->server[k]), 0);
		world_free(w);
	}
}

/*
 * A renewal that one server has seen and another has not, for 5 s: the other
 * still sends in the old session, which both must hear to its end.
 */
static void renewal_with_a_late_registry_loses_nothing(void **state)
{
	struct world *w = WORLD(.servers = 2, .keepalive = 20, .replicate = true,
			.record_lag = TICKS_S(5));
	struct sim_client *c = w->client[0];

	(void)state;
	world_connect(w);
	world_run(w, TICKS_S(10));
	world_traffic(w, c, true, TICKS_MS(50), TICKS_S(3600), 100);
	for (unsigned i = 0; i < 3600 * 20; i++) {
		check_equal(&w->net, server_send(&w->server[1], c, 100), DROP_NONE);
		world_run(w, TICKS_MS(50));
	}
	world_run(w, TICKS_S(1));
	check_equal(&w->net, c->sent_up.received, c->sent_up.sent);
	check_equal(&w->net, c->sent_down.received, c->sent_down.sent);
	check_range(&w->net, c->u.events[UPLINK_EV_SESSIONS], 8, 30);
	world_free(w);
}

static uint64_t written_by_all(const struct world *w)
{
	uint64_t written = 0;

	for (unsigned i = 0; i < w->o.servers; i++)
		written += w->server[i].records_written;
	return written;
}

static uint64_t told_by_all(const struct world *w)
{
	uint64_t messages = 0;

	for (unsigned i = 0; i < w->o.servers; i++)
		messages += w->server[i].mesh_messages;
	return messages;
}

/* Server 2 sends to the client each 5 ms. */
static void from_the_second(struct world *w, ticks duration)
{
	for (ticks end = w->net.now + duration; w->net.now < end; world_run(w, TICKS_MS(5)))
		check_equal(&w->net, server_send(&w->server[1], w->client[0], 100), DROP_NONE);
}

static unsigned port_at(const struct sim_server *s)
{
	return client_at(s, 0)->session->endpoint.port;
}

/*
 * The registry takes 150 ms, or 5 s.  A server that is sending hears over the mesh at once
 * where the client has gone and that it has a new session: from the server that
 * took the HELLO, or through the one that took the HELLO before.
 */
static void a_sending_server_does_not_wait_for_the_registry(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		unsigned mover = i % 2 * 2; /* server 1, which wrote; server 3 */
		struct world *w = WORLD(.servers = 4, .keepalive = 20, .replicate = true,
				.record_lag = i / 2 ? TICKS_S(5) : TICKS_MS(150),
				.mesh_delay = TICKS_MS(30));
		struct sim_client *c = w->client[0];
		uint32_t lost;

		world_connect(w);
		world_run(w, TICKS_S(10));
		from_the_second(w, TICKS_S(2)); /* it has said so */
		check_equal(&w->net, w->server[1].mesh_messages, 1);
		w->chosen = mover;
		client_rebind(c);
		check(&w->net, client_send(c, 100));
		while (port_at(&w->server[mover]) != c->address.port)
			from_the_second(w, TICKS_MS(5));
		from_the_second(w, TICKS_MS(mover ? 65 : 35));
		check_equal(&w->net, port_at(&w->server[1]), c->address.port);
		world_run(w, w->o.delay + TICKS_MS(5));
		lost = c->sent_down.sent - c->sent_down.received;
		check_range(&w->net, lost, 5, 100);
		from_the_second(w, TICKS_S(10)); /* a new server has been heard: its MTU is told */
		c->u.handshake.wanted = true;
		from_the_second(w, TICKS_S(30));
		world_run(w, TICKS_S(1));
		check_equal(&w->net, c->sent_down.sent - c->sent_down.received, lost);
		check_equal(&w->net, c->u.events[UPLINK_EV_SESSIONS], 2);

		/* both at once: message 2 after 20 ms, HELLO after 30, and the mesh */
		client_rebind(c);
		c->u.handshake.wanted = true;
		client_tick(c);
		from_the_second(w, TICKS_S(2));
		world_run(w, TICKS_S(5));
		lost = c->sent_down.sent - c->sent_down.received - lost;
		check_range(&w->net, lost, 5, (30 + (mover ? 60 : 30)) / 5 + 3);
		check_equal(&w->net, c->u.events[UPLINK_EV_SESSIONS], 3);

		/* who does not send is told nothing, and says little */
		check_equal(&w->net, w->server[3].mesh_messages, 0);
		check_range(&w->net, told_by_all(w), 5, 24);
		check(&w->net, port_at(&w->server[3]) == c->address.port);
		world_free(w);
	}
}

/*
 * No session has an owner: spray of each packet over eight servers is written down
 * once for each session, and told to nobody.  Servers that send to the client say so
 * to one other, each 10 s and not each packet; and are told of a new session.
 */
static void spray_writes_one_record(void **state)
{
	const unsigned count = net_many(50000, 1000000), per_second = 2000;

	(void)state;
	for (unsigned echo = 0; echo < 2; echo++) {
		struct world *w = WORLD(.servers = 8, .keepalive = 20, .replicate = true,
				.record_lag = TICKS_MS(1), .mesh_delay = TICKS_MS(1), .echo = echo);
		struct sim_client *c = w->client[0];
		uint64_t written, messages, sessions, most;

		w->policy = POLICY_SPRAY;
		world_connect(w);
		world_traffic(w, c, true, TICKS_MS(20), TICKS_S(60), 100);
		world_run(w, TICKS_S(61)); /* the path MTU is known at all eight */
		written = written_by_all(w);
		messages = told_by_all(w);
		sessions = c->u.events[UPLINK_EV_SESSIONS];
		for (unsigned i = 0; i < count; i++) {
			check(&w->net, client_send(c, 100));
			world_run(w, TICKS_PER_SEC / per_second);
		}
		world_run(w, TICKS_S(1));
		sessions = c->u.events[UPLINK_EV_SESSIONS] - sessions;
		check_equal(&w->net, written_by_all(w) - written, sessions);
		/* answers to probes are something sent, too */
		most = 7 * (count / per_second / 10 + 2 + 2 * sessions);
		check_range(&w->net, told_by_all(w) - messages, 0, most);
		check_equal(&w->net, c->sent_up.received, c->sent_up.sent);
		check_equal(&w->net, c->sent_up.repeated, 0);
		check_equal(&w->net, c->sent_down.received, echo ? c->sent_up.sent : 0);
		world_free(w);
	}
}

/* ---- reload ---- */

/* Removed: the next packet is refused everywhere, and nothing is left of him. */
static void a_removed_client_is_refused_at_once(void **state)
{
	struct world *w = WORLD(.clients = 2, .keepalive = 20);
	struct sim_server *s = &w->server[0];
	uint32_t received;

	(void)state;
	world_connect(w);
	world_run(w, TICKS_S(2));
	server_set_directory(s->core, world_directory(w, 1, 1));
	check_equal(&w->net, s->core->record_count, 1);
	received = w->client[0]->sent_up.received;
	check(&w->net, client_send(w->client[0], 100));
	check(&w->net, client_send(w->client[1], 100));
	world_run(w, TICKS_S(1));
	check_equal(&w->net, w->client[0]->sent_up.received, received);
	check_equal(&w->net, w->client[1]->sent_up.received, 1);
	check_range(&w->net, s->drop[DROP_INDEX] + s->drop[DROP_REVOKED], 1, 10);
	server_set_directory(s->core, world_directory(w, 0, 2));
	check(&w->net, client_send(w->client[0], 100));
	world_run(w, TICKS_S(1));
	check_equal(&w->net, w->client[0]->sent_up.received, received + 1);
	world_free(w);
}

/* A reload that leaves a client as it is, or changes it, costs no packet. */
static void a_reload_loses_no_packet(void **state)
{
	struct world *w = WORLD(.clients = 3, .keepalive = 20, .echo = true);
	struct sim_server *s = &w->server[0];

	(void)state;
	world_connect(w);
	world_run(w, TICKS_S(2));
	for (unsigned i = 0; i < 3; i++)
		world_traffic(w, w->client[i], true, TICKS_MS(10), TICKS_S(60), 100);
	for (unsigned i = 0; i < 60; i++) {
		/* built anew: every client has another object */
		server_set_directory(s->core, world_directory(w, 0, 3));
		world_run(w, TICKS_S(1));
	}
	world_run(w, TICKS_S(1));
	for (unsigned i = 0; i < 3; i++) {
		check_equal(&w->net, w->client[i]->sent_up.received, w->client[i]->sent_up.sent);
		check_equal(&w->net, w->client[i]->sent_down.received, w->client[i]->sent_up.sent);
	}
	check_equal(&w->net, s->core->record_count, 3);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_challenge_is_answered_at_any_server),
		cmocka_unit_test(a_spoofed_first_packet_brings_the_victim_nothing),
		cmocka_unit_test(a_rebound_translator_costs_one_round_trip),
		cmocka_unit_test(an_idle_client_that_moves_is_found),
		cmocka_unit_test(moves_survive_loss),
		cmocka_unit_test(a_late_packet_from_the_old_address_does_not_call_the_client_back),
		cmocka_unit_test(a_forwarding_attacker_who_leaves_costs_one_round_trip),
		cmocka_unit_test(a_path_three_seconds_late_is_learnt_in_one_round_trip),
		cmocka_unit_test(changes_are_told_after_a_time_challenge),
		cmocka_unit_test(a_late_challenge_does_not_turn_the_clock_back),
		cmocka_unit_test(the_clock_goes_back_only_by_a_handshake),
		cmocka_unit_test(an_overtaken_hello_is_not_acknowledged),
		cmocka_unit_test(an_acknowledgement_of_the_past_ends_nothing),
		cmocka_unit_test(a_late_acknowledgement_is_not_for_what_was_said_since),
		cmocka_unit_test(an_acknowledgement_is_for_the_mtu_that_it_answers),
		cmocka_unit_test(twins_of_one_key_move_ever_less_often),
		cmocka_unit_test(a_client_started_again_is_no_twin),
		cmocka_unit_test(what_is_taken_back_stays_so),
		cmocka_unit_test(renewal_with_a_late_registry_loses_nothing),
		cmocka_unit_test(a_sending_server_does_not_wait_for_the_registry),
		cmocka_unit_test(spray_writes_one_record),
		cmocka_unit_test(a_removed_client_is_refused_at_once),
		cmocka_unit_test(a_reload_loses_no_packet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
