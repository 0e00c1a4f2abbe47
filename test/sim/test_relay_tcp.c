/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Streams through relays, simulated: both ways of joining callers, and callers to
 * listeners, under loss, disorder, spray, and servers that die at every moment.  The
 * peers check each byte; what is asserted here is that both streams end.
 */
#include "relay_world.h"

#define ENOUGH TICKS_S(300)

static struct relay_world w;

struct pair {
	enum relay_side_kind kind[2];
};
static const struct pair pairs[] = {
	{{RELAY_LEARNT, RELAY_GIVEN}}, {{RELAY_HOST, RELAY_LEARNT}}, {{RELAY_LEARNT, RELAY_LEARNT}},
	{{RELAY_TOKEN, RELAY_TOKEN}}, {{RELAY_TOKEN, RELAY_LEARNT}}, {{RELAY_HOST, RELAY_TOKEN}},
	{{RELAY_TOKEN, RELAY_GIVEN}}, {{RELAY_GIVEN, RELAY_TOKEN}},
};

static void finish(void)
{
	bool done = relay_world_run(&w, ENOUGH);

	check(&w.net, done);
	check_equal(&w.net, w.peer[0].resets + w.peer[1].resets, 0);
	relay_world_free(&w);
}

static void every_pair_is_joined(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(pairs); i++)
		for (unsigned late = 0; late < 2; late++) {
			relay_world_init(&w, pairs[i].kind[0], pairs[i].kind[1]);
			w.peer[late].o.delay = TICKS_MS(2500);
			relay_world_begin(&w);
			finish();
		}
}

/* Whatever one of the two kernels does not have, both do without. */
static void options_are_intersected(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(pairs); i++)
		for (unsigned missing = 0; missing < 16; missing++)
			for (unsigned side = 0; side < 2; side++) {
				struct peer_options *o;

				relay_world_init(&w, pairs[i].kind[0], pairs[i].kind[1]);
				o = &w.peer[side].o;
				o->wscale = missing & 1 ? RELAY_NO_WSCALE : 10;
				o->sack = !(missing & 2);
				o->timestamps = !(missing & 4);
				o->mss = missing & 8 ? 0 : 1460;
				o->bytes = w.peer[!side].o.bytes = 30000;
				relay_world_begin(&w);
				finish();
				check(&w.net, w.peer[0].sack_ok <= w.peer[0].o.sack);
			}
}

/* Every packet to another server, losses, repetitions, disorder; what servers tell comes late. */
static void spray_and_loss(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(pairs); i++)
		for (unsigned turn = 0; turn < 8; turn++) {
			relay_world_init(&w, pairs[i].kind[0], pairs[i].kind[1]);
			w.net.seed = w.net.random += turn * 7919;
			w.spray = true;
			w.path.loss = turn % 4 * 20000;
			w.path.duplicate = 10000;
			w.path.jitter = TICKS_MS(turn % 3 * 10);
			w.mesh_delay = TICKS_MS(turn * turn);
			w.peer[turn & 1].o.delay = TICKS_MS(turn / 2 * 3);
			w.peer[0].o.bytes = w.peer[1].o.bytes = 60000;
			relay_world_begin(&w);
			finish();
		}
}

/* Both first packets at the same moment, each at a server that does not know of the other. */
static void both_call_at_once_at_two_servers(void **state)
{
	static const struct pair callers[] = {{{RELAY_LEARNT, RELAY_LEARNT}}, {{RELAY_TOKEN, RELAY_TOKEN}},
		{{RELAY_TOKEN, RELAY_LEARNT}}};
	(void)state;

	for (unsigned i = 0; i < ARRAY_SIZE(callers); i++)
		for (unsigned turn = 0; turn < 20; turn++) {
			relay_world_init(&w, callers[i].kind[0], callers[i].kind[1]);
			w.net.random += turn * 104729;
			w.spray = true;
			w.mesh_delay = TICKS_MS(30);
			relay_world_begin(&w);
			finish();
			check_equal(&w.net, w.peer[0].syns + w.peer[1].syns, 2); /* nobody had to repeat */
		}
}

static void kill_one(void *arg)
{
	unsigned site = (unsigned)(uintptr_t)arg;

	relay_world_kill(&w, site);
	w.route = (site + 1) % SITES;
}

/* A server ends at each of the moments at which something is under way; then a second one. */
static void servers_die_between_any_two_steps(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(pairs); i++)
		for (unsigned moment = 0; moment < 60; moment++) {
			relay_world_init(&w, pairs[i].kind[0], pairs[i].kind[1]);
			w.net.random += moment;
			w.spray = moment & 1;
			w.peer[moment / 2 & 1].o.delay = TICKS_MS(20);
			w.peer[0].o.bytes = w.peer[1].o.bytes = 20000;
			net_at(&w.net, w.net.now + TICKS_MS(moment), kill_one, (void *)0);
			net_at(&w.net, w.net.now + TICKS_MS(moment + 7 * (moment % 5)), kill_one, (void *)1);
			relay_world_begin(&w);
			finish();
		}
}

/* HAZARDS S48: what a caller is owed is in the record, however long it is held, wherever it comes. */
static void a_caller_is_held_for_a_quarter_of_an_hour(void **state)
{
	static const struct pair callers[] = {{{RELAY_TOKEN, RELAY_TOKEN}}, {{RELAY_TOKEN, RELAY_LEARNT}}};
	(void)state;

	for (unsigned i = 0; i < ARRAY_SIZE(callers); i++) {
		relay_world_init(&w, callers[i].kind[0], callers[i].kind[1]);
		w.peer[1].o.delay = TICKS_S(900);
		net_at(&w.net, w.net.now + TICKS_S(600), kill_one, (void *)0);
		relay_world_begin(&w);
		net_run_until(&w.net, w.net.now + TICKS_S(899));
		check(&w.net, w.peer[0].probes > 10); /* and each was answered: the caller lives */
		check(&w.net, !peer_done(&w.peer[0]));
		finish();
	}
}

/*
 * The cluster's key is changed, at each server at another moment, while callers shake hands at
 * whichever: tokens were given out before, and nobody is refused or has to begin again.
 */
struct roll {
	unsigned site;
	struct relay_keys keys;
};

static void take_keys(void *arg)
{
	const struct roll *r = arg;

	w.site[r->site].keys = r->keys;
}

static void the_key_is_changed_under_callers(void **state)
{
	static const struct relay_keys both = {.count = 2, .own = 1, .key = {{7}, {0}}},
		after = {.count = 2, .key = {{7}, {0}}};
	static const struct pair callers[] = {{{RELAY_TOKEN, RELAY_TOKEN}}, {{RELAY_TOKEN, RELAY_LEARNT}},
		{{RELAY_TOKEN, RELAY_GIVEN}}};
	struct roll roll[2][SITES];
	(void)state;

	for (unsigned turn = 0; turn < 120; turn++) {
		const struct pair *p = &callers[turn % ARRAY_SIZE(callers)];

		relay_world_init(&w, p->kind[0], p->kind[1]);
		w.net.random += turn * 104729;
		w.spray = true;
		w.path.loss = turn % 4 * 10000;
		w.peer[turn & 1].o.delay = TICKS_MS(turn / 4);
		w.peer[0].o.bytes = w.peer[1].o.bytes = 20000;
		for (unsigned i = 0; i < SITES; i++) {
			ticks moment = w.net.now + TICKS_MS((turn * (7 + 4 * i)) % 40);

			roll[0][i] = (struct roll){i, both};
			roll[1][i] = (struct roll){i, after};
			for (unsigned step = 0; step < 2; step++)
				memcpy(roll[step][i].keys.key[1], w.key, KEY_SIZE);
			/* all have both before the first one gives up the old one */
			take_keys(&roll[0][i]);
			net_at(&w.net, moment, take_keys, &roll[1][i]);
		}
		relay_world_begin(&w);
		finish();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_pair_is_joined),
		cmocka_unit_test(options_are_intersected),
		cmocka_unit_test(spray_and_loss),
		cmocka_unit_test(both_call_at_once_at_two_servers),
		cmocka_unit_test(servers_die_between_any_two_steps),
		cmocka_unit_test(a_caller_is_held_for_a_quarter_of_an_hour),
		cmocka_unit_test(the_key_is_changed_under_callers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
