/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* Messages between servers about relays: records that spread, questions and their answers. */
#include <stdlib.h>

#include "bytes.h"
#include "cluster/relay_mesh.h"
#include "proto/wire.h"

#define SERVERS 3
#define BEGIN   1770000000

struct node {
	struct relays *relays;
	struct relay_mesh mesh;
	unsigned sent[256];
};

static const struct relay_keys keys = {.count = 1, .key = {{1}}};
static struct node node[SERVERS];
static struct instant now;
static bool cut[SERVERS]; /* nothing comes from it */
static uint64_t seed;

static unsigned number_of(const struct node *s)
{
	return (unsigned)(s - node) + 1;
}

static void changed(void *arg, const struct relay *was, const struct relay *is)
{
	(void)arg;
	(void)was;
	(void)is;
}

static void publish(void *arg, const struct relay *r)
{
	(void)arg;
	(void)r;
}

/* At once: a chain of answers must end by itself. */
static void deliver(void *arg, uint16_t to, const uint8_t *message, size_t len)
{
	struct node *s = arg;

	s->sent[message[0]]++;
	if (!cut[number_of(s) - 1])
		assert_true(relay_mesh_receive(&node[to - 1].mesh, &now, (uint16_t)number_of(s), message, len));
}

static unsigned living(void *arg, uint16_t list[SERVERS_MAX])
{
	unsigned count = 0;

	for (unsigned i = 1; i <= SERVERS; i++)
		if (i != number_of(arg))
			list[count++] = (uint16_t)i;
	return count;
}

static int set_up(void **state)
{
	(void)state;
	seed = 4;
	now = (struct instant){TICKS_S((ticks)BEGIN), TICKS_S(1000)};
	for (unsigned i = 0; i < SERVERS; i++) {
		struct node *s = &node[i];
		struct relays_options o = {
			.server = (uint16_t)(i + 1), .keys = &keys, .has_v4 = true, .has_v6 = true, .port_first = 20000,
			.port_last = 29999, .per_client = 10, .changed = changed, .publish = publish,
			.alone = true,
		};
		struct relay_mesh_options m = {NULL, deliver, living, s};

		memset(s, 0, sizeof *s);
		cut[i] = false;
		s->relays = m.relays = relays_new(&o);
		if (!s->relays)
			return -1;
		relay_mesh_init(&s->mesh, &m);
	}
	return crypto_init(CRYPTO_AUTO);
}

static int tear_down(void **state)
{
	(void)state;
	for (unsigned i = 0; i < SERVERS; i++)
		relays_free(node[i].relays);
	return 0;
}

static struct relay make_at(unsigned i)
{
	struct relay_request q = {.protocol = RELAY_UDP, .span = 1, .lifetime = 600, .side = {
		{.kind = RELAY_LEARNT, .v4 = true}, {.kind = RELAY_TOKEN}}};
	struct relay r;

	fill(&seed, q.id, sizeof q.id);
	assert_int_equal(relays_add(node[i].relays, &now, 7, &q, &r), RELAY_STATUS_OK);
	return r;
}

static struct relay_port port_of(const struct relay *r, unsigned side)
{
	return (struct relay_port){r->side[side].v4, r->protocol, r->side[side].port};
}

static bool knows(unsigned i, const struct relay *r)
{
	const struct relay *known = relays_known(node[i].relays, r->id);

	return known && relay_equal(known, r);
}

static void spreads(void **state)
{
	struct relay r = make_at(0);

	(void)state;
	relay_mesh_publish(&node[0].mesh, &r);
	assert_true(knows(1, &r) && knows(2, &r));
	assert_int_equal(node[0].sent[RELAY_MESH_RECORD], 2);
	assert_int_equal(node[1].sent[RELAY_MESH_RECORD], 0);
}

/* Two servers that have each learnt one side: both know both after either has spoken. */
static void meets(void **state)
{
	struct relay r = make_at(0);
	struct relay_leg leg = {.at.port = 9};

	(void)state;
	relay_mesh_publish(&node[0].mesh, &r);
	addr_from_v4(leg.at.ip, (uint8_t[]){198, 51, 100, 7});
	assert_true(relays_latch(node[0].relays, &now, r.id, 0, 0, &leg, false));
	addr_parse("2001:db8::7", leg.at.ip);
	assert_true(relays_latch(node[1].relays, &now, r.id, 1, 0, &leg, true));
	r = *relays_known(node[0].relays, r.id);
	relay_mesh_publish(&node[0].mesh, &r);
	r = *relays_known(node[0].relays, r.id);
	assert_int_equal(r.side[0].leg[0].generation, 1);
	assert_int_equal(r.side[1].leg[0].generation, 1);
	assert_true(knows(1, &r));
	assert_int_equal(node[1].sent[RELAY_MESH_RECORD], 1);
}

static void asks(void **state)
{
	struct relay r = make_at(2);
	struct relay_port port = port_of(&r, 1);

	(void)state;
	relay_mesh_ask(&node[0].mesh, &now, &port);
	assert_true(knows(0, &r));
	assert_int_equal(node[0].mesh.count.nobody, 0);
	assert_int_equal(node[0].sent[RELAY_MESH_ASK], 2);
	relay_mesh_ask(&node[0].mesh, &now, &port); /* still open: not asked again */
	assert_int_equal(node[0].sent[RELAY_MESH_ASK], 2);
	assert_int_equal(node[2].mesh.count.answers, 1);
}

/* Only when all have said so, each once. */
static void nobody_knows(void **state)
{
	const struct relay_port port = {true, RELAY_TCP, 25000};
	uint8_t none[RELAY_MESH_MAX];
	size_t len = relay_port_write(none, RELAY_MESH_NONE, &port);

	(void)state;
	cut[2] = true;
	relay_mesh_ask(&node[0].mesh, &now, &port);
	assert_int_equal(node[0].mesh.count.nobody, 0);
	relay_mesh_receive(&node[0].mesh, &now, 2, none, len);
	assert_int_equal(node[0].mesh.count.nobody, 0);
	relay_mesh_receive(&node[0].mesh, &now, 3, none, len);
	assert_int_equal(node[0].mesh.count.nobody, 1);
	relay_mesh_receive(&node[0].mesh, &now, 3, none, len);
	assert_int_equal(node[0].mesh.count.nobody, 1);
	relay_mesh_ask(&node[0].mesh, &now, &port);
	now.boot += RELAY_QUESTION_LIFE; /* over: what comes now is late */
	relay_mesh_receive(&node[0].mesh, &now, 3, none, len);
	assert_int_equal(node[0].mesh.count.nobody, 1);
}

/* Open questions and answers are bounded, whatever strangers send. */
static void bounded(void **state)
{
	struct relay_port port = {true, RELAY_UDP, 1};
	uint8_t ask[RELAY_MESH_MAX];

	(void)state;
	cut[1] = cut[2] = true;
	for (; port.port < 10000; port.port++)
		relay_mesh_ask(&node[0].mesh, &now, &port);
	assert_int_equal(node[0].sent[RELAY_MESH_ASK], 2 * RELAY_QUESTIONS);
	for (unsigned i = 0; i < 50; i++) {
		now.boot += RELAY_QUESTION_LIFE / 50; /* within the second */
		for (unsigned k = 0; k < 500; k++, port.port++)
			relay_mesh_ask(&node[0].mesh, &now, &port);
	}
	assert_in_range(node[0].sent[RELAY_MESH_ASK], 2 * RELAY_QUESTIONS, 2 * RELAY_ASK_RATE);
	cut[1] = cut[2] = false;
	now.boot += TICKS_S(1);
	node[1].sent[RELAY_MESH_NONE] = node[1].mesh.count.limited = 0;
	relay_port_write(ask, RELAY_MESH_ASK, &port);
	for (unsigned i = 0; i < 10000; i++)
		relay_mesh_receive(&node[1].mesh, &now, 1, ask, 5);
	assert_int_equal(node[1].sent[RELAY_MESH_NONE], RELAY_ANSWER_RATE);
	assert_int_equal(node[1].mesh.count.limited, 10000 - RELAY_ANSWER_RATE);
}

static void malformed(void **state)
{
	static const uint8_t bad[][5] = {
		{RELAY_MESH_ASK, 5, 17, 0, 9}, {RELAY_MESH_ASK, 4, 1, 0, 9}, {RELAY_MESH_ASK, 4, 6, 0, 0},
		{RELAY_MESH_NONE, 0, 6, 0, 9}, {RELAY_MESH_RECORD, 1, 2, 3, 4},
	};
	struct relay_mesh *m = &node[0].mesh;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_true(relay_mesh_receive(m, &now, 2, bad[i], sizeof bad[i]));
	assert_true(relay_mesh_receive(m, &now, 2, (const uint8_t[]){RELAY_MESH_ASK, 4, 6, 1}, 4));
	assert_true(relay_mesh_receive(m, &now, 2, (const uint8_t[]){RELAY_MESH_RECORD}, 1));
	assert_int_equal(m->count.malformed, ARRAY_SIZE(bad) + 2);
	assert_false(relay_mesh_receive(m, &now, 2, (const uint8_t[]){1}, 1));
	assert_false(relay_mesh_receive(m, &now, 2, (const uint8_t[]){99}, 1));
	assert_false(relay_mesh_receive(m, &now, 2, bad[0], 0));
}

#define MESH(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		MESH(spreads), MESH(meets), MESH(asks), MESH(nobody_knows), MESH(bounded), MESH(malformed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
