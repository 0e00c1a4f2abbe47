/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * A server that has the epoch keys but not the client's record: it has just
 * joined, or the registry is away.  The client brings the record itself.
 */
#include "cluster/lent.h"
#include "test/sim/world.h"

#include <stdlib.h>

#define WORLD(...) world_new(&(struct world_options){__VA_ARGS__})

/* Server 1 knows nobody; both give tickets, and server 1 takes them. */
struct newcomer {
	struct world *w;
	struct sim_server *s;
	struct lent *lent;
};

static struct newcomer newcomer_begin(unsigned clients)
{
	struct newcomer n = {.w = WORLD(.servers = 2, .clients = clients, .keepalive = 20)};

	n.s = &n.w->server[1];
	n.lent = lent_new(n.s->core);
	assert_non_null(n.lent);
	for (unsigned i = 0; i < 2; i++) {
		n.w->server[i].core->client_lent = lent_offer;
		n.w->server[i].core->client_lent_arg = n.lent;
	}
	server_set_directory(n.s->core, world_directory(n.w, 0, 0));
	return n;
}

static void newcomer_end(struct newcomer *n)
{
	struct world *w = n->w;

	lent_free(n->lent);
	world_free(w);
}

/* As the main thread does: whenever there is something, and each second. */
static void run(struct newcomer *n, ticks duration)
{
	struct instant now;

	for (ticks t = 0; t < duration; t += TICKS_MS(50)) {
		world_run(n->w, TICKS_MS(50));
		now = server_now(n->s);
		lent_serve(n->lent, &now);
	}
}

static void the_client_brings_its_record(void **state)
{
	struct newcomer n = newcomer_begin(1);
	struct sim_client *c = n.w->client[0];
	uint64_t handshakes;

	(void)state;
	world_connect(n.w);
	run(&n, TICKS_S(2));
	handshakes = c->u.events[UPLINK_EV_HANDSHAKES_SENT];
	n.w->chosen = 1;
	check(&n.w->net, client_send(c, 100));
	run(&n, TICKS_S(1));
	check_equal(&n.w->net, n.s->core->events[SERVER_TICKETS], 1);
	check_equal(&n.w->net, directory_count(n.s->core->directory), 1);
	check(&n.w->net, client_send(c, 100));
	run(&n, TICKS_MS(100));
	check_equal(&n.w->net, n.s->delivered, 1);
	check_equal(&n.w->net, server_send(n.s, c, 100), DROP_NONE);
	check_equal(&n.w->net, c->u.events[UPLINK_EV_HANDSHAKES_SENT], handshakes);
	newcomer_end(&n);
}

/* What is known from a ticket ends with the session, unless the registry has brought it. */
static void a_lent_client_goes_with_its_session(void **state)
{
	struct newcomer n = newcomer_begin(1);
	struct sim_client *c = n.w->client[0];

	(void)state;
	world_connect(n.w);
	run(&n, TICKS_S(1));
	n.w->chosen = 1;
	check(&n.w->net, client_send(c, 100));
	run(&n, TICKS_S(1));
	check_equal(&n.w->net, directory_count(n.s->core->directory), 1);
	c->asleep = true;
	run(&n, TICKS_S(700));
	check_equal(&n.w->net, directory_count(n.s->core->directory), 0);
	newcomer_end(&n);
}

/* A removed client must not come back by presenting the ticket of its last session. */
static void a_tombstone_beats_a_ticket(void **state)
{
	struct newcomer n = newcomer_begin(1);
	struct sim_client *c = n.w->client[0];
	struct directory *d = directory_new(1);
	struct record r = {.index = 1, .version = 2, .removed = true};
	uint8_t ss[KEY_SIZE] = {0};
	char error[200];

	(void)state;
	x25519_public(n.w->client_secret[0], r.public);
	strcpy(r.name, "client-0");
	assert_int_equal(directory_add(d, NULL, &r, ss, error, sizeof error), 0);
	assert_int_equal(directory_finish(d), 0);
	server_set_directory(n.s->core, d);
	world_connect(n.w);
	run(&n, TICKS_S(1));
	n.w->chosen = 1;
	for (unsigned i = 0; i < 20; i++) {
		client_send(c, 100);
		run(&n, TICKS_MS(200));
	}
	check_equal(&n.w->net, n.s->core->events[SERVER_TICKETS], 0);
	check_equal(&n.w->net, n.s->delivered, 0);
	check(&n.w->net, n.s->drop[DROP_REVOKED] > 0);
	newcomer_end(&n);
}

/* It binds the session id: somebody else's is worth nothing. */
static void another_sessions_ticket_is_refused(void **state)
{
	struct newcomer n = newcomer_begin(2);
	struct sim_client *a = n.w->client[0], *b = n.w->client[1];

	(void)state;
	world_connect(n.w);
	run(&n, TICKS_S(1));
	memcpy(b->u.newest->ticket, a->u.newest->ticket, a->u.newest->ticket_len);
	b->u.newest->ticket_len = a->u.newest->ticket_len;
	a->asleep = true;
	n.w->chosen = 1;
	check(&n.w->net, client_send(b, 100));
	run(&n, TICKS_MS(900));
	check(&n.w->net, b->u.events[UPLINK_EV_TICKETS] > 0);
	check_equal(&n.w->net, n.s->core->events[SERVER_TICKETS], 0);
	check_equal(&n.w->net, directory_count(n.s->core->directory), 0);
	newcomer_end(&n);
}

/* One that was captured is worth nothing once its epoch key has been wiped. */
static void a_ticket_of_a_wiped_epoch_is_refused(void **state)
{
	struct newcomer n = newcomer_begin(1);
	const struct sighted *shown;
	struct recording r;

	(void)state;
	recording_begin(n.w, &r);
	world_connect(n.w);
	n.w->chosen = 1;
	check(&n.w->net, client_send(n.w->client[0], 100));
	run(&n, TICKS_S(1));
	shown = recording_last(&r, WIRE_TICKET_UP);
	check(&n.w->net, shown != NULL);
	check(&n.w->net, n.s->core->events[SERVER_TICKETS] > 0); /* while it was good */
	n.w->client[0]->asleep = true;
	run(&n, TICKS_S(600));
	check_equal(&n.w->net, directory_count(n.s->core->directory), 0);
	n.s->core->events[SERVER_TICKETS] = 0;
	check_equal(&n.w->net, server_take(n.s, &shown->from, shown->data, shown->len), DROP_KID);
	run(&n, TICKS_S(1));
	check_equal(&n.w->net, n.s->core->events[SERVER_TICKETS], 0);
	check_equal(&n.w->net, directory_count(n.s->core->directory), 0);
	recording_end(n.w, &r);
	newcomer_end(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_client_brings_its_record),
		cmocka_unit_test(a_lent_client_goes_with_its_session),
		cmocka_unit_test(a_tombstone_beats_a_ticket),
		cmocka_unit_test(another_sessions_ticket_is_refused),
		cmocka_unit_test(a_ticket_of_a_wiped_epoch_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
