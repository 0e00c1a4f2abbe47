/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Tables of relays of several servers, joined by a registry and a mesh that lose,
 * delay and reorder, under a virtual clock.  Controllers repeat their requests at any
 * server, as they do in life.  Whatever happens: in the end all servers know
 * the same, and no port has two owners.
 *
 *	server 1 ─┬─ mesh (lossy) ─┬─ server 2 …     each: mode/relays.h, cluster/relay_mesh.h,
 *	          └── registry ────┘                 cluster/relay_queue.h
 *
 * The registry is a log of changes, shown to each server in one order after a delay
 * of its own, as JetStream does; it loses writes before or after it has stored them,
 * goes away, and is set back to an old copy.
 */
#include <stdlib.h>

#include "cluster/relay_mesh.h"
#include "cluster/relay_queue.h"
#include "proto/wire.h"
#include "test/unit/bytes.h"

#define NODES   3
#define BEGIN   1770000000
#define STEP    TICKS_MS(20)
#define KEYS    256
#define LOG     65536
#define FLIGHTS 4096

struct node {
	struct relays *relays;
	struct relay_mesh mesh;
	struct relay_queue *queue;
	unsigned number;
	bool dead;
	size_t shown;   /* of the log */
	ticks lag;
	uint8_t dirty[1024][RELAY_ID_SIZE];
	unsigned dirty_count;
	unsigned told;  /* entries of the fast path: those that are there */
};

struct flight {
	uint16_t from, to;
	ticks due;
	size_t len;
	uint8_t message[RELAY_MESH_MAX];
};

static const struct relay_keys keys = {.count = 1, .key = {{1}}};
static struct node node[NODES];
static struct { struct relay r; ticks at; } shown[LOG];
static size_t log_len;
static struct relay kept[KEYS], copy[KEYS]; /* what a reading from the beginning brings */
static size_t kept_count, copy_count;
static struct flight flight[FLIGHTS];
static unsigned flights;
static unsigned lose_mesh, lose_writes; /* of 100 */
static bool registry_away;
static struct instant now;
static uint64_t seed;

static unsigned dice(unsigned of)
{
	return (unsigned)(next_random(&seed) % of);
}

/* ---- what a server is joined to ---- */

static void changed(void *arg, const struct relay *was, const struct relay *is)
{
	struct node *n = arg;

	n->told += !was;
	n->told -= !is;
}

static void publish(void *arg, const struct relay *r)
{
	struct node *n = arg;

	assert_in_range(n->dirty_count, 0, ARRAY_SIZE(n->dirty) - 1);
	memcpy(n->dirty[n->dirty_count++], r->id, RELAY_ID_SIZE);
}

static void mesh_send(void *arg, uint16_t to, const uint8_t *message, size_t len)
{
	const struct node *n = arg;

	if (dice(100) < lose_mesh)
		return;
	assert_in_range(flights, 0, FLIGHTS - 1);
	flight[flights] = (struct flight){.from = (uint16_t)n->number, .to = to, .len = len,
		.due = now.boot + TICKS_MS(1 + dice(200))};
	memcpy(flight[flights++].message, message, len);
}

static unsigned living(void *arg, uint16_t list[SERVERS_MAX])
{
	const struct node *n = arg;
	unsigned count = 0;

	for (unsigned i = 0; i < NODES; i++)
		if (&node[i] != n && !node[i].dead)
			list[count++] = (uint16_t)node[i].number;
	return count;
}

/* ---- the registry ---- */

static void keep(const struct relay *r)
{
	size_t i = 0;

	while (i < kept_count && memcmp(kept[i].id, r->id, RELAY_ID_SIZE) != 0)
		i++;
	assert_in_range(i, 0, KEYS - 1);
	kept[i] = *r;
	kept_count = i == kept_count ? i + 1 : kept_count;
}

static void registry_store(const struct relay *r)
{
	if (registry_away || dice(100) < lose_writes)
		return;
	assert_in_range(log_len, 0, LOG - 1);
	shown[log_len].r = *r;
	shown[log_len++].at = now.boot;
	keep(r);
}

static void heard(struct node *n, enum relay_news news, const struct relay *r, bool reading)
{
	if (news == RELAY_NEWS_MORE)
		relay_queue_put(n->queue, now.boot, r->id, true);
	else if (!reading || r->settled)
		relay_queue_done(n->queue, r->id);
}

static void missing(void *arg, const struct relay *r, unsigned state)
{
	struct node *n = arg;

	if (state & RELAY_NOT_MET)
		relay_queue_put(n->queue, now.boot, r->id, true);
}

/* All there is, as after a start or a lost heartbeat. */
static void read_registry(struct node *n)
{
	relays_reading(n->relays);
	for (size_t i = 0; i < kept_count; i++)
		heard(n, relays_learn(n->relays, &now, &kept[i]), &kept[i], true);
	relays_each(n->relays, missing, n);
	n->shown = log_len;
}

/* ---- servers ---- */

static void start(struct node *n)
{
	const struct relays_options o = {
		.server = (uint16_t)n->number, .keys = &keys, .has_v4 = true, .has_v6 = true,
		.port_first = 20000, .port_last = 20059, .per_client = 100,
		.changed = changed, .publish = publish, .arg = n,
	};
	struct relay_mesh_options m = {.send = mesh_send, .living = living, .arg = n};

	n->relays = m.relays = relays_new(&o);
	n->queue = relay_queue_new(TICKS_S(2 + n->number));
	assert_true(n->relays && n->queue);
	relay_mesh_init(&n->mesh, &m);
	n->lag = TICKS_MS(10 + dice(100));
	n->dead = false;
	n->told = n->dirty_count = 0;
	relays_tick(n->relays, &now);
	read_registry(n);
}

/* Without a word: all that it had not written is gone. */
static void die(struct node *n)
{
	relays_free(n->relays);
	relay_queue_free(n->queue);
	n->relays = NULL;
	n->queue = NULL;
	n->dead = true;
}

static void serve(struct node *n)
{
	uint8_t id[RELAY_ID_SIZE];

	for (unsigned i = 0; i < n->dirty_count; i++) {
		const struct relay *r = relays_known(n->relays, n->dirty[i]);

		if (r) {
			relay_mesh_publish(&n->mesh, r);
			relay_queue_put(n->queue, now.boot, n->dirty[i], false);
		}
	}
	n->dirty_count = 0;
	while (n->shown < log_len && shown[n->shown].at + n->lag <= now.boot) {
		const struct relay r = shown[n->shown++].r;

		heard(n, relays_shown(n->relays, &now, &r), &r, false);
	}
	while (relay_queue_next(n->queue, now.boot, id)) {
		const struct relay *r = relays_known(n->relays, id);

		if (r)
			registry_store(r);
		else
			relay_queue_done(n->queue, id);
	}
	relays_tick(n->relays, &now);
}

static void step(void)
{
	now.boot += STEP;
	now.cluster += STEP;
	for (unsigned i = flights; i-- > 0;) {
		struct flight f = flight[i];
		struct node *to = &node[f.to - 1];

		if (f.due > now.boot)
			continue;
		flight[i] = flight[--flights];
		if (!to->dead)
			relay_mesh_receive(&to->mesh, &now, f.from, f.message, f.len);
	}
	for (unsigned i = 0; i < NODES; i++)
		if (!node[i].dead)
			serve(&node[i]);
}

static void run(unsigned seconds)
{
	for (ticks end = now.boot + TICKS_S((ticks)seconds); now.boot < end;)
		step();
}

static int set_up(void **state)
{
	(void)state;
	seed = 77;
	now = (struct instant){TICKS_S((ticks)BEGIN), TICKS_S(1000)};
	log_len = kept_count = copy_count = flights = 0;
	lose_mesh = lose_writes = 0;
	registry_away = false;
	for (unsigned i = 0; i < NODES; i++) {
		node[i].number = i + 1;
		start(&node[i]);
	}
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	for (unsigned i = 0; i < NODES; i++)
		if (!node[i].dead)
			die(&node[i]);
	return 0;
}

/* ---- controllers ---- */

static struct relay_request request(void)
{
	struct relay_request q = {.protocol = RELAY_UDP, .span = 1, .lifetime = 3600, .side = {
		{.kind = RELAY_LEARNT, .v4 = true}, {.kind = RELAY_TOKEN, .v4 = true}}};

	fill(&seed, q.id, sizeof q.id);
	return q;
}

static struct node *any_node(void)
{
	struct node *n;

	do
		n = &node[dice(NODES)];
	while (n->dead);
	return n;
}

static enum relay_status ask_at(struct node *n, const struct relay_request *q, struct relay *r)
{
	return relays_add(n->relays, &now, 7, q, r);
}

/* Until there is an answer other than "ask again"; each request at another server. */
static struct relay ask(const struct relay_request *q)
{
	struct relay r = {0};

	for (unsigned i = 0; i < 3000; i++) {
		enum relay_status status = ask_at(any_node(), q, &r);

		if (status == RELAY_STATUS_OK)
			return r;
		assert_int_equal(status, RELAY_STATUS_PENDING);
		for (unsigned k = 0; k < 10; k++)
			step();
	}
	fail_msg("no answer");
	return r;
}

/* ---- what must be so ---- */

static size_t living_relays(struct node *n, struct relay_listed *list)
{
	return relays_list(n->relays, &now, 0, (const uint8_t[RELAY_ID_SIZE]){0}, list, KEYS);
}

/* All servers know the same relays, none has a port that another one has, and the fast path has those. */
static size_t agree(void)
{
	static struct relay_listed first[KEYS], other[KEYS];
	size_t count = living_relays(&node[0], first);
	bool used[65536] = {false};

	for (unsigned i = 0; i < NODES; i++) {
		assert_int_equal(living_relays(&node[i], other), count);
		assert_int_equal(node[i].told, count);
		for (size_t k = 0; k < count; k++) {
			assert_true(relay_equal(&first[k].relay, &other[k].relay));
			assert_int_equal(other[k].status, RELAY_STATUS_OK);
		}
	}
	for (size_t k = 0; k < count; k++) {
		for (unsigned side = 0; side < 2; side++) {
			unsigned s, offset, port = first[k].relay.side[side].port;

			assert_false(used[port]);
			used[port] = true;
			for (unsigned i = 0; i < NODES; i++)
				assert_non_null(relays_at(node[i].relays, &now, true, RELAY_UDP,
						(uint16_t)port, &s, &offset));
		}
	}
	return count;
}

/* ---- cases ---- */

/* S35: an answer is lost, and the request made again at another server: one relay, the ports that were told. */
static void answers_lost(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 12; i++) {
		struct relay_request q = request();
		struct relay first = ask(&q), again;

		for (unsigned k = 0; k < 5; k++) {
			again = ask(&q);
			assert_int_equal(again.side[0].port, first.side[0].port);
			assert_int_equal(again.side[1].port, first.side[1].port);
		}
	}
	run(15);
	assert_int_equal(agree(), 12);
}

/* The same request at all servers at once, before any has heard of another's. */
static void asked_everywhere_at_once(void **state)
{
	(void)state;
	lose_mesh = 50;
	for (unsigned i = 0; i < 20; i++) {
		struct relay_request q = request();
		struct relay r;

		for (unsigned k = 0; k < NODES; k++)
			assert_int_equal(ask_at(&node[k], &q, &r), RELAY_STATUS_PENDING);
		ask(&q);
	}
	run(15);
	assert_int_equal(agree(), 20);
}

/* S35: the server that was asked dies after each number of steps: before it wrote, after, before it settled, after. */
static void servers_die(void **state)
{
	unsigned made = 0;

	(void)state;
	for (unsigned steps = 0; steps < 25; steps++) {
		struct relay_request q = request();
		struct node *n = &node[steps % NODES];
		struct relay r, told = {0};

		if (ask_at(n, &q, &r) == RELAY_STATUS_PENDING)
			for (unsigned k = 0; k < steps; k++)
				step();
		if (ask_at(n, &q, &r) == RELAY_STATUS_OK)
			told = r;
		die(n);
		r = ask(&q);
		if (told.version) {
			assert_int_equal(r.side[0].port, told.side[0].port);
			assert_int_equal(r.side[1].port, told.side[1].port);
		}
		made++;
		start(n);
		run(2); /* not all servers within a second: what was just told is then known to none */
	}
	run(15);
	assert_int_equal(agree(), made);
}

/* Many claims on few ports, everything lossy: whoever was told a port has it to the end.  How often was drawn again. */
static uint64_t crowd(void)
{
	struct relay_request q[24];
	struct relay told[24], r;
	struct relays_counts c;
	uint64_t redrawn = 0;

	lose_mesh = 40;
	lose_writes = 30;
	for (unsigned i = 0; i < 24; i++) {
		q[i] = request();
		ask_at(any_node(), &q[i], &r); /* all claims at once */
	}
	for (unsigned i = 0; i < 24; i++)
		told[i] = ask(&q[i]);
	lose_mesh = lose_writes = 0;
	run(20);
	assert_int_equal(agree(), 24);
	for (unsigned i = 0; i < 24; i++) {
		r = ask(&q[i]);
		assert_int_equal(r.side[0].port, told[i].side[0].port);
		assert_int_equal(r.side[1].port, told[i].side[1].port);
	}
	for (unsigned i = 0; i < NODES; i++) {
		relays_count(node[i].relays, &c);
		redrawn += c.redrawn;
		assert_int_equal(c.conflicts, 0);
	}
	return redrawn;
}

static void crowded_and_lossy(void **state)
{
	uint64_t redrawn = 0;

	for (unsigned round = 0; round < 30; round++) {
		tear_down(state);
		set_up(state);
		seed += round;
		redrawn += crowd();
	}
	assert_true(redrawn > 30); /* else this tested nothing */
}

/* The registry is away: what there is goes on, latches spread, new ones wait until it is back. */
static void registry_goes_away(void **state)
{
	struct relay_request q = request(), late = request();
	struct relay_leg leg = {.at = {.port = 9}};
	struct relay r, found;

	(void)state;
	r = ask(&q);
	run(5);
	registry_away = true;
	addr_from_v4(leg.at.ip, (uint8_t[]){198, 51, 100, 7});
	assert_true(relays_latch(node[1].relays, &now, r.id, 0, 0, &leg, false));
	run(1);
	for (unsigned i = 0; i < NODES; i++)
		assert_int_equal(relays_known(node[i].relays, r.id)->side[0].leg[0].generation, 1);
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(ask_at(any_node(), &late, &found), RELAY_STATUS_PENDING);
		run(2);
	}
	registry_away = false;
	ask(&late);
	run(15);
	assert_int_equal(agree(), 2);
	start((die(&node[2]), &node[2])); /* one that joins has it from the registry alone */
	run(1);
	assert_int_equal(agree(), 2);
}

/* S34: acknowledged writes are lost, the store is set back; servers write again what they know. */
static void registry_loses(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 10; i++) {
		struct relay_request q = request();

		ask(&q);
		if (i == 4) {
			memcpy(copy, kept, sizeof kept);
			copy_count = kept_count;
		}
	}
	run(10);
	memcpy(kept, copy, sizeof kept); /* as it was */
	kept_count = copy_count;
	for (unsigned i = 0; i < NODES; i++)
		read_registry(&node[i]);
	run(20);
	assert_int_equal(agree(), 10);
	kept_count = 0; /* and all of it */
	for (unsigned i = 0; i < NODES; i++)
		read_registry(&node[i]);
	run(20);
	assert_int_equal(agree(), 10);
	assert_int_equal(kept_count, 10);
	for (unsigned i = 0; i < NODES; i++) {
		die(&node[i]);
		start(&node[i]);
	}
	run(5);
	assert_int_equal(agree(), 10);
}

/*
 * S34: an old store with relays that ended since, whose ports are others' now.  Those that have
 * them keep them; the old ones' controllers are told.
 */
static void old_store_comes_back(void **state)
{
	struct relay_request old[15], new[25];
	struct relay told[25], r;
	unsigned lost = 0;

	(void)state;
	for (unsigned i = 0; i < 15; i++) {
		old[i] = request();
		ask(&old[i]);
	}
	run(5);
	memcpy(copy, kept, sizeof kept);
	copy_count = kept_count;
	for (unsigned i = 0; i < 15; i++)
		assert_int_equal(relays_remove(any_node()->relays, &now, 7, old[i].id), RELAY_STATUS_OK);
	run(RELAY_TOMBSTONE_S + 5);
	kept_count = 0; /* values that nobody knows any more, forgotten by the registry */
	for (unsigned i = 0; i < 25; i++) {
		new[i] = request();
		told[i] = ask(&new[i]);
	}
	for (size_t i = 0; i < copy_count; i++)
		keep(&copy[i]);
	for (unsigned i = 0; i < NODES; i++) {
		run(1);
		read_registry(&node[i]);
	}
	run(20);
	agree();
	for (unsigned i = 0; i < 25; i++) {
		r = ask(&new[i]);
		assert_int_equal(r.side[0].port, told[i].side[0].port);
		assert_int_equal(r.side[1].port, told[i].side[1].port);
	}
	for (unsigned i = 0; i < 15; i++)
		lost += relays_get(any_node()->relays, &now, 7, old[i].id, &r) == RELAY_STATUS_LOST;
	assert_in_range(lost, 1, 15);
}

/* S36: two servers latch one side at the same moment: the lower number, everywhere; and never again. */
static void latching_race(void **state)
{
	struct relay_leg leg = {.at = {.port = 1}};

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		struct relay_request q = request();
		struct relay r = ask(&q);

		run(2);
		lose_mesh = 60;
		for (unsigned k = NODES; k-- > 0;) {
			addr_from_v4(leg.at.ip, (uint8_t[]){198, 51, 100, (uint8_t)(k + 1)});
			assert_true(relays_latch(node[k].relays, &now, r.id, 0, 0, &leg, false));
		}
		lose_mesh = 0;
		run(5);
		for (unsigned k = 0; k < NODES; k++) {
			const struct relay *known = relays_known(node[k].relays, r.id);

			assert_int_equal(known->side[0].leg[0].at.ip[15], 1);
			leg.at.ip[15] = 77;
			assert_false(relays_latch(node[k].relays, &now, r.id, 0, 0, &leg, true));
		}
	}
	run(10);
	assert_int_equal(agree(), 20);
}

/* One server hears nothing and refreshes, again and again, what another has removed meanwhile. */
static void removed_while_cut_off(void **state)
{
	struct relay_request q = request();
	struct relay r;

	(void)state;
	ask(&q);
	run(5);
	lose_mesh = 100;
	registry_away = true;
	assert_int_equal(relays_remove(node[0].relays, &now, 7, q.id), RELAY_STATUS_OK);
	for (unsigned i = 0; i < 5; i++) {
		run(2);
		assert_int_equal(relays_refresh(node[1].relays, &now, 7, q.id, 3600, &r), RELAY_STATUS_OK);
	}
	lose_mesh = 0;
	registry_away = false;
	run(15);
	assert_int_equal(agree(), 0);
	assert_int_equal(ask_at(any_node(), &q, &r), RELAY_STATUS_EXISTS);
}

/* Refreshes at any server, one of which hears nothing from the others; removal; the end. */
static void lives_and_ends(void **state)
{
	struct relay_request q = request(), other = request();
	struct relay r;

	(void)state;
	q.lifetime = other.lifetime = 30;
	ask(&q);
	ask(&other);
	lose_mesh = 30;
	lose_writes = 30;
	for (unsigned i = 0; i < 30; i++) {
		run(10);
		assert_int_equal(relays_refresh(any_node()->relays, &now, 7, q.id, 30, &r), RELAY_STATUS_OK);
	}
	lose_mesh = lose_writes = 0;
	run(12);
	assert_int_equal(agree(), 1); /* the other one has ended, everywhere */
	assert_int_equal(relays_remove(any_node()->relays, &now, 7, q.id), RELAY_STATUS_OK);
	run(12);
	assert_int_equal(agree(), 0);
	run(RELAY_TOMBSTONE_S + 10);
	for (unsigned i = 0; i < NODES; i++)
		assert_null(relays_known(node[i].relays, q.id));
}

static int set_up_all(void **state)
{
	(void)state;
	return crypto_init(CRYPTO_AUTO);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(answers_lost), CASE(asked_everywhere_at_once), CASE(servers_die),
		CASE(crowded_and_lossy), CASE(registry_goes_away), CASE(registry_loses),
		CASE(old_store_comes_back), CASE(latching_race), CASE(removed_while_cut_off),
		CASE(lives_and_ends),
	};

	return cmocka_run_group_tests(tests, set_up_all, NULL);
}
