/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* Two cluster keys at a time, and the change from one to the other under traffic. */
#include "test/sim/world.h"


#define WORLD(...) world_new(&(struct world_options){__VA_ARGS__})

static const uint8_t operator_seed[KEY_SIZE] = {1}, thief_seed[KEY_SIZE] = {2};

/* A world's cluster, with its current key and a next one. */
struct roll {
	struct world *w;
	struct operator_key op;
	uint8_t next[KEY_SIZE], next_public[KEY_SIZE];
};

static struct roll roll_new(struct world *w)
{
	struct roll r = {.w = w};

	operator_key_from_seed(&r.op, operator_seed);
	random_bytes(r.next, KEY_SIZE);
	x25519_public(r.next, r.next_public);
	return r;
}

/* What a server's key file holds: the current key, both, or the next one alone. */
enum step { CURRENT, BOTH, FINISHED };

static struct cluster_secrets secrets_at(const struct roll *r, enum step step, uint64_t version,
		const uint8_t *seed)
{
	struct cluster_secrets c = {.count = step == BOTH ? 2 : 1};
	struct announcement a = {.version = version, .count = (uint8_t)c.count};

	memcpy(c.secret[0], step == FINISHED ? r->next : r->w->cluster_secret, KEY_SIZE);
	memcpy(c.secret[1], r->next, KEY_SIZE);
	for (unsigned i = 0; i < c.count; i++)
		x25519_public(c.secret[c.count - 1 - i], a.keys[i]);
	if (version)
		c.announcement_len = (uint16_t)announcement_write(c.announcement, &a, seed);
	return c;
}

static void step_server(const struct roll *r, unsigned id, enum step step, uint64_t version)
{
	struct cluster_secrets c = secrets_at(r, step, version, operator_seed);

	assert_int_equal(server_set_cluster_keys(r->w->server[id].core, &c), 0);
	assert_int_equal(server_set_cluster_keys(r->w->server[id].core, &c), 1);
	server_announce(r->w->server[id].core, true);
}

static void step_all(const struct roll *r, enum step step, uint64_t version)
{
	for (unsigned i = 0; i < r->w->o.servers; i++)
		step_server(r, i, step, version);
}

/* The client's process begins anew, with these keys, the newest first. */
static void client_with(struct roll *r, unsigned id, bool knows_operator, const uint8_t *first,
		const uint8_t *second)
{
	struct sim_client *c = r->w->client[id];
	struct uplink_options o = client_options(r->w, id);

	uplink_free(&c->u);
	memcpy(o.cluster_keys[0], first, KEY_SIZE);
	if (second)
		memcpy(o.cluster_keys[1], second, KEY_SIZE);
	o.cluster_key_count = second ? 2 : 1;
	o.has_operator = knows_operator;
	memcpy(o.operator_sign, r->op.sign_public, KEY_SIZE);
	client_begin(c, &o);
}

static uint64_t event(const struct roll *r, unsigned id, enum uplink_event e)
{
	return r->w->client[id]->u.events[e];
}

static void knows(const struct roll *r, unsigned id, uint64_t version, unsigned count,
		const uint8_t *first)
{
	const struct uplink_options *o = &r->w->client[id]->u.o;

	assert_int_equal(o->keys_version, version);
	assert_int_equal(o->cluster_key_count, count);
	assert_memory_equal(o->cluster_keys[0], first, KEY_SIZE);
}

/* Until every client of the world has a session in each of two epochs. */
static void renew_all(struct roll *r)
{
	world_run(r->w, TICKS_S(600));
}

/* ---- ---- */

static void servers_take_either(struct roll *r)
{
	step_all(r, BOTH, 0);
	client_with(r, 0, false, r->w->cluster_public, NULL);
	client_with(r, 1, false, r->next_public, NULL);
	world_connect(r->w);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(event(r, i, UPLINK_EV_HANDSHAKES_SENT), 1);
		assert_true(client_send(r->w->client[i], 100));
	}
	world_run(r->w, TICKS_S(1));
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(r->w->client[i]->sent_up.received, 1);
	world_free(r->w);
}

static void either_key(void **state)
{
	struct roll r = roll_new(WORLD(.clients = 2, .keepalive = 20));

	(void)state;
	servers_take_either(&r);
}

/* One in 256 pairs looks the same in message 1: mac1 tells them apart. */
static void either_key_with_one_id(void **state)
{
	struct roll r = roll_new(WORLD(.clients = 2, .keepalive = 20));

	(void)state;
	while (cluster_key_id(r.next_public) != cluster_key_id(r.w->cluster_public)) {
		random_bytes(r.next, KEY_SIZE);
		x25519_public(r.next, r.next_public);
	}
	servers_take_either(&r);
}

/*
 * Two servers, each packet to either, and the files reach them one after the
 * other.  Nothing is lost, and at the end the old key opens nothing.
 */
static void a_roll_loses_nothing(void **state)
{
	struct roll r = roll_new(WORLD(.servers = 2, .clients = 2, .keepalive = 20, .replicate = true));
	struct sim_client *c = r.w->client[0];

	(void)state;
	r.w->policy = POLICY_SPRAY;
	client_with(&r, 0, true, r.w->cluster_public, NULL);
	client_with(&r, 1, true, r.w->cluster_public, NULL); /* restarted in the middle */
	world_connect(r.w);
	world_traffic(r.w, c, true, TICKS_MS(100), TICKS_S(3000), 100);
	world_traffic(r.w, c, false, TICKS_MS(100), TICKS_S(3000), 100);
	step_server(&r, 0, BOTH, 10);
	server_announce(r.w->server[0].core, false); /* as long as the other one has not got it */
	renew_all(&r);
	knows(&r, 0, 0, 1, r.w->cluster_public);
	step_server(&r, 1, BOTH, 10);
	server_announce(r.w->server[0].core, true);
	renew_all(&r);
	knows(&r, 0, 10, 2, r.next_public);
	knows(&r, 1, 10, 2, r.next_public);
	client_with(&r, 1, true, r.next_public, r.w->cluster_public); /* with what it had kept */
	step_server(&r, 0, FINISHED, 11);
	renew_all(&r);
	step_server(&r, 1, FINISHED, 11);
	renew_all(&r);
	renew_all(&r);
	world_run(r.w, TICKS_S(1)); /* for what is on its way */
	knows(&r, 0, 11, 1, r.next_public);
	knows(&r, 1, 11, 1, r.next_public);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(r.w->server[i].drop[DROP_MAC1], 0);
	assert_int_equal(event(&r, 0, UPLINK_EV_KEYS_LEARNED), 2);
	assert_int_equal(event(&r, 0, UPLINK_EV_KEYS_REFUSED), 0);
	assert_true(c->sent_up.sent > 29000);
	assert_int_equal(c->sent_up.received, c->sent_up.sent);
	assert_int_equal(c->sent_down.received, c->sent_down.sent);
	world_free(r.w);
}

/* Off from before the announcement until after the end: its keys have to be given to it. */
static void the_old_key_is_refused(void **state)
{
	struct roll r = roll_new(WORLD(.keepalive = 20));
	struct sim_client *c = r.w->client[0];

	(void)state;
	step_all(&r, FINISHED, 11);
	client_with(&r, 0, true, r.w->cluster_public, NULL);
	world_run(r.w, TICKS_S(60));
	assert_null(c->u.newest);
	assert_true(event(&r, 0, UPLINK_EV_HANDSHAKES_SENT) >= 4);
	assert_true(r.w->server[0].drop[DROP_MAC1] >= event(&r, 0, UPLINK_EV_HANDSHAKES_SENT));
	assert_int_equal(r.w->server[0].core->events[SERVER_HANDSHAKES], 0);
	client_with(&r, 0, true, r.next_public, NULL);
	world_connect(r.w);
	knows(&r, 0, 11, 1, r.next_public);
	world_free(r.w);
}

/* A client that has the next key already, at servers that have not. */
static void the_third_try_has_the_other_key(void **state)
{
	struct roll r = roll_new(WORLD(.keepalive = 20));

	(void)state;
	client_with(&r, 0, false, r.next_public, r.w->cluster_public);
	world_connect(r.w);
	assert_int_equal(event(&r, 0, UPLINK_EV_HANDSHAKES_SENT), 3);
	assert_int_equal(r.w->server[0].drop[DROP_MAC1], 2);
	world_free(r.w);
}

/*
 * Who has stolen a server can put anything into message 2 of a session that goes
 * there, but what the operator has not signed is not taken, nor what is older.
 */
static void only_the_operator_is_believed(void **state)
{
	struct roll r = roll_new(WORLD(.keepalive = 20));
	struct server *s = r.w->server[0].core;
	struct cluster_secrets c = secrets_at(&r, BOTH, 10, thief_seed);

	(void)state;
	client_with(&r, 0, true, r.w->cluster_public, NULL);
	assert_int_equal(server_set_cluster_keys(s, &c), 0);
	server_announce(s, true);
	world_connect(r.w);
	knows(&r, 0, 0, 1, r.w->cluster_public);
	assert_int_equal(event(&r, 0, UPLINK_EV_KEYS_REFUSED), 1);
	step_all(&r, BOTH, 10);
	renew_all(&r);
	knows(&r, 0, 10, 2, r.next_public);
	step_all(&r, CURRENT, 9);
	renew_all(&r);
	knows(&r, 0, 10, 2, r.next_public);
	assert_int_equal(event(&r, 0, UPLINK_EV_KEYS_LEARNED), 1);
	world_free(r.w);
}

static void without_an_operator_nothing_is_learned(void **state)
{
	struct roll r = roll_new(WORLD(.keepalive = 20));

	(void)state;
	step_all(&r, BOTH, 10);
	client_with(&r, 0, false, r.w->cluster_public, NULL);
	world_connect(r.w);
	renew_all(&r);
	knows(&r, 0, 0, 1, r.w->cluster_public);
	assert_int_equal(event(&r, 0, UPLINK_EV_KEYS_REFUSED), 0);
	world_free(r.w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(either_key),
		cmocka_unit_test(either_key_with_one_id),
		cmocka_unit_test(a_roll_loses_nothing),
		cmocka_unit_test(the_old_key_is_refused),
		cmocka_unit_test(the_third_try_has_the_other_key),
		cmocka_unit_test(only_the_operator_is_believed),
		cmocka_unit_test(without_an_operator_nothing_is_learned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
