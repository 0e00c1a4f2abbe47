/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* A server that misses a session record asks another one over the mesh, and has it then. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "base/rcu.h"

#include "clients.h"
#include "cluster/asking.h"
#include "cluster/notices.h"
#include "cluster/peers.h"

#define EPOCH 5900000

/* Two servers; a datagram to an address is given to the peer that has it at once. */
static struct node {
	struct output out; /* first member */
	struct server core;
	struct peers peers;
	struct notices *notices;
	struct endpoint address;
} node[2];
static struct instant now;
static struct asking *asking;

static void on_changed(void *arg, struct client *client, const struct session_record *old,
		const struct session_record *fresh)
{
	(void)arg;
	(void)client;
	(void)old;
	(void)fresh;
}

static void deliver(struct output *out, const struct endpoint *to, const uint8_t *packet, size_t len)
{
	struct node *from = (struct node *)out, *other = &node[from == &node[0]];

	if (endpoint_equal(to, &other->address))
		peers_receive(&other->peers, &now, &from->address, packet, len);
}

static bool receive(void *arg, uint16_t from, const uint8_t *message, size_t len)
{
	struct node *n = arg;

	return notices_take(n->notices, &now, from, message, len);
}

static void begin_node(unsigned i, const uint8_t *secret, const struct server_list *list)
{
	struct lineage_seed seed = {.generation = 1, .epoch = EPOCH};
	struct server_options so = {.number = (uint16_t)(i + 1), .active_sessions = 16,
			.cluster_key_count = 1, .limits = key_limits, .record_changed = on_changed,
			.record_missing = asking_offer, .record_missing_arg = asking, .start = &seed};
	struct peers_options po = {.number = (uint16_t)(i + 1), .secret = secret,
			.server = &node[i].core, .out = &node[i].out, .receive = receive,
			.receive_arg = &node[i]};
	char error[PEERS_ERROR];

	assert_int_equal(server_init(&node[i].core, &so, &now), 0);
	server_set_directory(&node[i].core, three_clients());
	node[i].notices = notices_new(&(struct notices_options){.number = (uint16_t)(i + 1),
			.server = &node[i].core});
	assert_non_null(node[i].notices);
	peers_init(&node[i].peers, &po, &now);
	assert_int_equal(peers_set(&node[i].peers, list, error), 0);
}

static void pass(ticks t)
{
	for (ticks end = now.boot + t; now.boot < end; now.boot += TICKS_MS(50)) {
		now.cluster += TICKS_MS(50);
		for (unsigned i = 0; i < 2; i++)
			peers_tick(&node[i].peers, &now);
	}
}

static int set_up(void **state)
{
	struct server_list *list = calloc(1, sizeof *list);
	uint8_t secret[2][KEY_SIZE];
	(void)state;

	now = (struct instant){TICKS_S(EPOCH * (ticks)EPOCH_SECONDS + 10), TICKS_S(1000)};
	asking = asking_new();
	if (crypto_init(CRYPTO_AUTO) != 0 || !list || !asking)
		return -1;
	for (unsigned i = 0; i < 2; i++) {
		struct server_entry e = {.number = (uint16_t)(i + 1), .version = 1, .name = "s"};

		node[i].out.send = deliver;
		node[i].address = (struct endpoint){.ip = {[0] = 0xfd, [15] = (uint8_t)i}, .port = 1};
		memset(secret[i], (int)i + 1, KEY_SIZE);
		x25519_public(secret[i], e.public);
		e.mesh = node[i].address;
		assert_int_equal(server_list_add(list, &e), 1);
	}
	for (unsigned i = 0; i < 2; i++)
		begin_node(i, secret[i], list);
	free(list);
	pass(TICKS_S(1));
	return node[0].peers.peer[0]->alive && node[1].peers.peer[0]->alive ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		peers_free(&node[i].peers);
		server_free(&node[i].core);
		notices_free(node[i].notices);
	}
	asking_free(asking);
	return 0;
}

/* As a HELLO at a server would have made it. */
static void give_record(struct node *n, uint32_t index, uint64_t epoch)
{
	struct session_record *r = calloc(1, sizeof *r);

	assert_non_null(r);
	*r = (struct session_record){.epoch = epoch, .full_t = 7, .writer = 2, .hold = 1,
			.down_mtu = 1400, .endpoint = {.ip = {[0] = 0xfd, [15] = 9}, .port = 4000}};
	assert_int_equal(server_apply_record(&n->core, &now, index, r), 1);
}

static struct client *client_of(struct node *n, uint32_t index)
{
	return directory_by_index(n->core.directory, index);
}

static enum drop send_to(uint32_t index)
{
	struct downstream down;

	return server_downstream(&node[0].core, &now, client_of(&node[0], index), &down);
}

static unsigned ask(void)
{
	uint32_t index[ASKING_MAX];
	unsigned count = asking_take(asking, index);

	if (count)
		peers_ask(&node[0].peers, index, count);
	return count;
}

static void what_another_has_is_learnt(void **state)
{
	(void)state;
	give_record(&node[1], 1, EPOCH);
	assert_int_equal(send_to(1), DROP_NO_SESSION);
	assert_int_equal(ask(), 1);
	assert_non_null(client_of(&node[0], 1)->session);
	assert_int_equal(client_of(&node[0], 1)->session->endpoint.port, 4000);
	assert_int_equal(node[1].peers.events[PEERS_TOLD], 1);
}

static void what_nobody_has_is_not(void **state)
{
	(void)state;
	assert_int_equal(send_to(2), DROP_NO_SESSION);
	assert_int_equal(ask(), 1);
	assert_null(client_of(&node[0], 2)->session);
	assert_int_equal(node[1].peers.events[PEERS_TOLD], 0);
}

/* Nor is a session that is over, or a removed client's: they are not even asked about for ever. */
static void the_dead_are_not_told_of(void **state)
{
	(void)state;
	give_record(&node[1], 1, EPOCH);
	now.cluster = TICKS_S((session_end(EPOCH) + 1));
	send_to(1);
	assert_int_equal(ask(), 1);
	peers_ask(&node[0].peers, (uint32_t[]){3, 77}, 2);
	assert_int_equal(node[1].peers.events[PEERS_TOLD], 0);
}

/* However many packets there are for the client: four questions a second. */
static void questions_are_few(void **state)
{
	unsigned asked = 0;
	(void)state;

	for (unsigned ms = 0; ms < 2000; ms += 10) {
		now.boot += TICKS_MS(10);
		for (unsigned i = 0; i < 20; i++)
			send_to(1);
		asked += ask();
	}
	assert_true(asked >= 7 && asked <= 9);
}

static void many_are_asked_for_at_once(void **state)
{
	uint32_t index[ASKING_MAX];
	(void)state;

	for (uint32_t i = 0; i < 2 * ASKING_MAX; i++)
		asking_offer(asking, i / 2);
	assert_int_equal(asking_take(asking, index), ASKING_MAX);
	assert_int_equal(index[ASKING_MAX - 1], ASKING_MAX - 1);
	assert_int_equal(asking_take(asking, index), 0);
}

static void malformed_ones_are_refused(void **state)
{
	static const uint8_t ask_3[] = {MESH_ASK, 0, 0, 1}, ask_none[] = {MESH_ASK};
	uint64_t *malformed = &node[1].peers.results[MESH_MALFORMED];
	(void)state;

	assert_true(peers_send(&node[0].peers, 2, ask_3, sizeof ask_3));
	assert_int_equal(*malformed, 1);
	assert_true(peers_send(&node[0].peers, 2, ask_none, sizeof ask_none));
	assert_int_equal(*malformed, 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(what_another_has_is_learnt), TEST(what_nobody_has_is_not),
		TEST(the_dead_are_not_told_of), TEST(questions_are_few),
		TEST(many_are_asked_for_at_once), TEST(malformed_ones_are_refused),
	};
	int failed;

	rcu_register();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rcu_unregister();
	return failed;
}
