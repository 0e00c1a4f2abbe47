/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The mesh and the life of epoch keys: joining, splits that heal, rotation,
 * removed servers, servers with one number, clocks.  Servers here have a mesh
 * beside what world.h gives them; its packets cross the same network.
 */
#include <errno.h>
#include <stdlib.h>

#include "cluster/peers.h"
#include "test/sim/world.h"

#define NODES_MAX 6

struct node {
	struct output out; /* first member */
	struct cluster *c;
	unsigned id;
	uint16_t number;
	struct server *core;
	bool own_core, up, paused;
	uint8_t secret[KEY_SIZE];
	struct endpoint address;
	int64_t skew;
	ticks booted;
	struct peers peers;
};

struct captured {
	size_t len;
	uint8_t data[MESH_PACKET_MAX];
};

struct cluster {
	struct net *net, own_net;
	struct world *world; /* NULL: no clients */
	struct server_list list;
	bool waits; /* nodes may start before they are listed */
	struct quality path;
	unsigned split; /* nodes below it and the others do not reach each other; 0: all do */
	unsigned count;
	struct node node[NODES_MAX];
	size_t captured;
	struct captured *capture; /* NULL: nothing is kept */
};
#define CAPTURE_MAX 4096

struct letter {
	struct cluster *c;
	struct endpoint from, to;
	size_t len;
	uint8_t data[];
};

/* ---- the network ---- */

static struct instant node_now(const struct node *n)
{
	return (struct instant){(ticks)((int64_t)n->c->net->now + n->skew),
			n->c->net->now - n->booted + TICKS_S(500)};
}

static struct node *node_at(struct cluster *c, const struct endpoint *e)
{
	for (unsigned i = 0; i < c->count; i++)
		if (endpoint_equal(&c->node[i].address, e))
			return &c->node[i];
	return NULL;
}

static void arrive(void *arg)
{
	struct letter *l = arg;
	struct node *n = node_at(l->c, &l->to);

	if (n && n->up && !n->paused) {
		struct instant now = node_now(n);
		peers_receive(&n->peers, &now, &l->from, l->data, l->len);
	}
	free(l);
}

static void node_output(struct output *out, const struct endpoint *to, const uint8_t *packet,
		size_t len)
{
	struct node *n = (struct node *)out, *peer = node_at(n->c, to);
	struct cluster *c = n->c;
	ticks arrival[2];
	unsigned copies = net_cross(c->net, &c->path, len + 48, arrival);

	if (c->capture && c->captured < CAPTURE_MAX) {
		c->capture[c->captured].len = len;
		memcpy(c->capture[c->captured++].data, packet, len);
	}
	if (c->split && (n->id < c->split) != (peer && peer->id < c->split))
		return;
	for (unsigned i = 0; i < copies; i++) {
		struct letter *l = malloc(sizeof *l + len);

		assert_non_null(l);
		*l = (struct letter){c, n->address, *to, len};
		memcpy(l->data, packet, len);
		net_at(c->net, arrival[i], arrive, l);
	}
}

static void node_tick(void *arg)
{
	struct node *n = arg;
	struct instant now = node_now(n);
	ticks wait = TICKS_MS(50);

	if (!n->up)
		return;
	if (!n->paused) {
		wait = peers_tick(&n->peers, &now) - now.boot;
		check_range(n->c->net, wait, 1, TICKS_MS(100));
		if (n->own_core)
			server_tick(n->core, &now);
	}
	net_at(n->c->net, n->c->net->now + wait, node_tick, n);
}

/* ---- servers ---- */

static void ignore_record(void *arg, struct client *client, const struct session_record *old,
		const struct session_record *now)
{
	(void)arg;
	(void)client;
	(void)old;
	(void)now;
}

static void add_node(struct cluster *c, uint16_t number, const uint8_t *secret)
{
	struct node *n = &c->node[c->count];
	struct server_entry e = {.number = number, .version = 1, .name = "server"};

	*n = (struct node){.out.send = node_output, .c = c, .id = c->count, .number = number,
			.booted = c->net->now};
	if (secret)
		memcpy(n->secret, secret, KEY_SIZE);
	else
		random_bytes(n->secret, sizeof n->secret);
	n->address.ip[0] = 0xfd;
	n->address.ip[15] = (uint8_t)++c->count;
	n->address.port = 4445;
	x25519_public(n->secret, e.public);
	e.mesh = n->address;
	assert_true(server_list_add(&c->list, &e) >= 0); /* a twin's changes nothing */
}

static void node_start(struct node *n)
{
	struct server_options so = {.number = n->number, .active_sessions = 16,
			.record_changed = ignore_record};
	struct peers_options po = {.number = n->number, .secret = n->secret, .out = &n->out,
			.version = {0, 1, 0}, .waits = n->c->waits};
	char error[PEERS_ERROR];

	n->booted = n->c->net->now;
	struct instant now = node_now(n);
	n->own_core = !n->c->world;
	if (n->own_core) {
		random_bytes(so.boot_random, sizeof so.boot_random);
		n->core = calloc(1, sizeof *n->core);
		assert_non_null(n->core);
		assert_int_equal(server_init(n->core, &so, &now), 0);
	} else {
		n->core = n->c->world->server[n->id].core;
	}
	po.server = n->core;
	peers_init(&n->peers, &po, &now);
	assert_int_equal(peers_set(&n->peers, &n->c->list, error), 0);
	n->up = true;
	net_at(n->c->net, n->c->net->now, node_tick, n);
}

static void node_stop(struct node *n, bool politely)
{
	if (!n->up)
		return;
	if (politely)
		peers_goodbye(&n->peers);
	peers_free(&n->peers);
	if (n->own_core) {
		server_free(n->core);
		free(n->core);
	}
	n->core = NULL;
	n->up = false;
}

static struct cluster *cluster_new(unsigned count, struct world *w)
{
	struct cluster *c = aligned_alloc(64, (sizeof *c + 63) / 64 * 64);

	assert_non_null(c);
	memset(c, 0, sizeof *c);
	c->world = w;
	c->net = w ? &w->net : &c->own_net;
	if (!w)
		net_init(c->net);
	c->path = (struct quality){.delay = TICKS_MS(2), .jitter = TICKS_MS(2), .loss = 50000,
			.duplicate = 10000};
	for (unsigned i = 0; i < count; i++)
		add_node(c, (uint16_t)(10 + i), NULL);
	return c;
}

static void cluster_free(struct cluster *c)
{
	for (unsigned i = 0; i < c->count; i++)
		node_stop(&c->node[i], false);
	net_run_until(c->net, c->net->now + TICKS_S(1)); /* letters under way, ticks of who is down */
	if (!c->world)
		net_free(c->net);
	free(c->capture);
	free(c);
}

static void run(struct cluster *c, ticks duration)
{
	net_run_until(c->net, c->net->now + duration);
}

static struct lineage_name highest(const struct node *n)
{
	struct lineage_name names[KEYRING_LINEAGES];

	return server_lineage_names(n->core, names) ? names[0] : (struct lineage_name){0};
}

static unsigned lineages(const struct node *n)
{
	struct lineage_name names[KEYRING_LINEAGES];

	return server_lineage_names(n->core, names);
}

/* All that are up have the same lineages, of which there are so many. */
static bool agree(const struct cluster *c, unsigned wanted)
{
	const struct node *first = NULL;

	for (unsigned i = 0; i < c->count; i++) {
		const struct node *n = &c->node[i];

		if (!n->up)
			continue;
		first = first ? first : n;
		if (lineages(n) != wanted || highest(n).id != highest(first).id)
			return false;
	}
	return true;
}

/* Milliseconds until then; fails after 10 s. */
static unsigned until_agreed(struct cluster *c, unsigned wanted)
{
	for (unsigned ms = 0; ms < 10000; ms += 10) {
		if (agree(c, wanted))
			return ms;
		run(c, TICKS_MS(10));
	}
	check(c->net, agree(c, wanted));
	return 0;
}

static const struct peer *peer_of(const struct node *n, uint16_t number)
{
	for (unsigned i = 0; i < n->peers.count; i++)
		if (n->peers.peer[i]->entry.number == number)
			return n->peers.peer[i];
	return NULL;
}

static void start_all(struct cluster *c)
{
	for (unsigned i = 0; i < c->count; i++)
		node_start(&c->node[i]);
	until_agreed(c, 1);
}

/* ---- joining ---- */

/* All start at once: one lineage, begun by the lowest number, and at once since nobody is missing. */
static void cold_start(void **state)
{
	struct cluster *c = cluster_new(5, NULL);
	unsigned ms;

	(void)state;
	for (unsigned i = 5; i--;)
		node_start(&c->node[i]);
	ms = until_agreed(c, 1);
	print_message("# cold start of 5: %u ms\n", ms);
	check_range(c->net, ms, 1, 2000);
	check_equal(c->net, highest(&c->node[0]).generation, 1);
	run(c, TICKS_S(10));
	check(c->net, agree(c, 1));
	cluster_free(c);
}

/* One of the list is not there: it might have keys, so they wait for it, but not for ever. */
static void cold_start_with_one_missing(void **state)
{
	struct cluster *c = cluster_new(5, NULL);

	(void)state;
	for (unsigned i = 1; i < 5; i++)
		node_start(&c->node[i]);
	run(c, TICKS_MS(4900));
	for (unsigned i = 1; i < 5; i++)
		check_equal(c->net, lineages(&c->node[i]), 0);
	check_range(c->net, until_agreed(c, 1), 1, 1100);
	/* and when it comes, it takes their keys */
	node_start(&c->node[0]);
	check_range(c->net, until_agreed(c, 1), 1, 1000);
	cluster_free(c);
}

/* A server that is not in the list yet begins nothing; when it is, it takes what there is. */
static void not_listed_yet(void **state)
{
	struct cluster *c = cluster_new(3, NULL);
	struct server_list whole = c->list;
	char error[PEERS_ERROR];

	(void)state;
	c->waits = true;
	c->list.count = 0;
	node_start(&c->node[0]);
	run(c, TICKS_S(20));
	check_equal(c->net, lineages(&c->node[0]), 0);
	c->list = whole;
	node_start(&c->node[1]);
	node_start(&c->node[2]);
	run(c, TICKS_S(10));
	check_equal(c->net, lineages(&c->node[0]), 0);
	check_equal(c->net, lineages(&c->node[1]), 1);
	assert_int_equal(peers_set(&c->node[0].peers, &c->list, error), 0);
	check_range(c->net, until_agreed(c, 1), 1, 2500);
	cluster_free(c);
}

static void alone(void **state)
{
	struct cluster *c = cluster_new(1, NULL);

	(void)state;
	start_all(c);
	check_equal(c->net, lineages(&c->node[0]), 1);
	cluster_free(c);
}

/* The aim: 1 s, though of all packets a fifth is lost. */
static void join(void **state)
{
	struct cluster *c = cluster_new(5, NULL);

	(void)state;
	start_all(c);
	for (unsigned round = 0; round < 20; round++) {
		struct node *n = &c->node[round % 5];

		c->path.loss = 0;
		node_stop(n, round & 1);
		run(c, TICKS_S(1));
		c->path.loss = 200000;
		node_start(n);
		check_range(c->net, until_agreed(c, 1), 1, 1000);
	}
	cluster_free(c);
}

/* A server that is killed and comes back at once finds its number taken, for 350 ms. */
static void quick_restart(void **state)
{
	struct cluster *c = cluster_new(3, NULL);

	(void)state;
	start_all(c);
	node_stop(&c->node[1], false);
	node_start(&c->node[1]);
	check_range(c->net, until_agreed(c, 1), 1, 1000);
	check_equal(c->net, c->node[1].peers.taken_at, 0);
	run(c, TICKS_S(5));
	check_equal(c->net, c->node[1].peers.taken_at, 0);
	cluster_free(c);
}

/* ---- life and death ---- */

static void dead_after_three_missed(void **state)
{
	struct cluster *c = cluster_new(3, NULL);

	(void)state;
	c->path.loss = 0;
	start_all(c);
	run(c, TICKS_S(1));
	check(c->net, peer_of(&c->node[0], 12)->alive);
	node_stop(&c->node[2], false);
	run(c, TICKS_MS(240));
	check(c->net, peer_of(&c->node[0], 12)->alive);
	run(c, TICKS_MS(200));
	check(c->net, !peer_of(&c->node[0], 12)->alive);
	check(c->net, peer_of(&c->node[0], 11)->alive);
	node_stop(&c->node[1], true);
	run(c, TICKS_MS(5)); /* a goodbye is as fast as a packet */
	check(c->net, !peer_of(&c->node[0], 11)->alive);
	cluster_free(c);
}

/* Who was asleep himself takes nobody for dead. */
static void own_pause(void **state)
{
	struct cluster *c = cluster_new(3, NULL);

	(void)state;
	c->path.loss = 0;
	start_all(c);
	run(c, TICKS_S(1));
	for (unsigned i = 0; i < 3; i++)
		c->node[i].paused = true;
	run(c, TICKS_S(60));
	for (unsigned i = 0; i < 3; i++)
		c->node[i].paused = false;
	run(c, TICKS_S(1));
	for (unsigned i = 0; i < 3; i++)
		check_equal(c->net, c->node[i].peers.events[PEERS_DEATHS], 0);
	cluster_free(c);
}

/* An hour with losses: keys of sessions change, epochs pass, and nobody notices. */
static void an_hour(void **state)
{
	struct cluster *c = cluster_new(3, NULL);
	struct lineage_name before;

	(void)state;
	c->path.duplicate = 0;
	start_all(c);
	before = highest(&c->node[0]);
	c->path.loss = 10000;
	run(c, TICKS_S(3600));
	check(c->net, agree(c, 1));
	check_equal(c->net, highest(&c->node[0]).id, before.id);
	check_equal(c->net, highest(&c->node[0]).epoch, before.epoch + 12);
	for (unsigned i = 0; i < 3; i++) {
		check_range(c->net, c->node[i].peers.events[PEERS_DEATHS], 0, 4);
		check_equal(c->net, c->node[i].peers.results[MESH_TAG], 0);
		check_equal(c->net, c->node[i].peers.results[MESH_SESSION], 0);
	}
	cluster_free(c);
}

/* ---- splits ---- */

static bool is_confirmed(const struct sim_client *k)
{
	return k->u.newest && k->u.newest->confirmed;
}

/*
 * 2 + 2 servers, rotated on one side: a session of each side is unknown to the
 * other.  Healed: all accept both, issue from the higher, and every packet of
 * both sessions arrives wherever it goes, without a new handshake.
 */
static void split_and_heal(void **state)
{
	struct world *w = world_new(&(struct world_options){.servers = 4, .clients = 2,
			.keepalive = 20, .replicate = true, .record_lag = TICKS_MS(20)});
	struct cluster *c = cluster_new(4, w);
	struct sim_client *a = w->client[0], *b = w->client[1];
	uint64_t handshakes = 0, after = 0;
	struct instant now;

	(void)state;
	a->asleep = b->asleep = true;
	start_all(c);
	c->split = 2;
	run(c, TICKS_S(1));
	now = node_now(&c->node[2]);
	check_equal(c->net, peers_rotate(&c->node[2].peers, &now), 0);
	run(c, TICKS_S(1));
	check_equal(c->net, lineages(&c->node[1]), 1);
	check_equal(c->net, lineages(&c->node[3]), 2);
	check_equal(c->net, highest(&c->node[3]).generation, highest(&c->node[0]).generation + 1);

	a->asleep = false;
	w->chosen = 0;
	client_tick(a);
	world_run(w, TICKS_S(30)); /* until its next try */
	a->asleep = true;
	b->asleep = false;
	w->chosen = 2;
	client_tick(b);
	world_run(w, TICKS_S(30));
	a->asleep = false;
	client_tick(a);
	check(c->net, is_confirmed(a) && is_confirmed(b));
	check(c->net, a->u.newest->kid != b->u.newest->kid);

	c->split = 0;
	check_range(c->net, until_agreed(c, 2), 1, 2000);
	w->policy = POLICY_SPRAY;
	world_run(w, TICKS_S(1));
	for (unsigned i = 0; i < 4; i++)
		handshakes += w->server[i].core->events[SERVER_HANDSHAKES];
	a->sent_up = b->sent_up = (struct flow){0};
	world_traffic(w, a, true, TICKS_MS(2), TICKS_S(10), 100);
	world_traffic(w, b, true, TICKS_MS(2), TICKS_S(10), 100);
	world_run(w, TICKS_S(11));
	for (unsigned i = 0; i < 4; i++)
		after += w->server[i].core->events[SERVER_HANDSHAKES];
	check_range(c->net, a->sent_up.sent, 4990, 5010);
	check_equal(c->net, a->sent_up.received, a->sent_up.sent);
	check_equal(c->net, b->sent_up.received, b->sent_up.sent);
	check_equal(c->net, after, handshakes);

	/* the lower lineage ends everywhere with its last sessions, and nobody brings it back */
	world_run(w, TICKS_S(6 * 300));
	check(c->net, agree(c, 1));
	cluster_free(c);
	world_free(w);
}

/* Two halves that have each begun on their own: every server ends with both, and one issuer. */
static void two_births(void **state)
{
	struct cluster *c = cluster_new(5, NULL);

	(void)state;
	c->split = 2;
	for (unsigned i = 0; i < 5; i++)
		node_start(&c->node[i]);
	run(c, TICKS_S(8));
	check_equal(c->net, lineages(&c->node[1]), 1);
	check_equal(c->net, lineages(&c->node[4]), 1);
	check(c->net, highest(&c->node[1]).id != highest(&c->node[4]).id);
	c->split = 0;
	check_range(c->net, until_agreed(c, 2), 1, 2500);
	run(c, TICKS_S(6 * 300));
	check(c->net, agree(c, 1));
	cluster_free(c);
}

/* A server sleeps through an epoch and a rotation. */
static void pause_across_rotation(void **state)
{
	struct cluster *c = cluster_new(3, NULL);
	struct instant now;

	(void)state;
	start_all(c);
	c->node[2].paused = true;
	run(c, TICKS_S(400));
	now = node_now(&c->node[0]);
	check_equal(c->net, peers_rotate(&c->node[0].peers, &now), 0);
	run(c, TICKS_S(400));
	c->node[2].paused = false;
	check_range(c->net, until_agreed(c, 2), 1, 1500);
	cluster_free(c);
}

/* ---- servers that should not be there ---- */

static void set_lists(struct cluster *c, unsigned except)
{
	char error[PEERS_ERROR];

	for (unsigned i = 0; i < c->count; i++)
		if (i != except && c->node[i].up)
			assert_int_equal(peers_set(&c->node[i].peers, &c->list, error), 0);
}

/* Removed: nothing of it is taken any more, and it gets no keys that are made later. */
static void removed_server(void **state)
{
	struct cluster *c = cluster_new(5, NULL);
	struct server_entry e;
	struct lineage_name old;
	char error[PEERS_ERROR];
	struct instant now;

	(void)state;
	start_all(c);
	old = highest(&c->node[4]);
	e = *server_list_find(&c->list, 14);
	e.version++;
	e.removed = true;
	assert_int_equal(server_list_add(&c->list, &e), 1);
	set_lists(c, 4);
	assert_int_equal(peers_set(&c->node[4].peers, &c->list, error), -EINVAL);
	c->path.loss = 0;
	run(c, TICKS_MS(10));
	uint64_t taken = c->node[0].peers.results[MESH_ACCEPTED];
	for (unsigned i = 1; i < 4; i++) /* only the removed one is heard from now on */
		c->node[i].paused = true;
	run(c, TICKS_S(2));
	check_equal(c->net, c->node[0].peers.results[MESH_ACCEPTED], taken);
	check_range(c->net, c->node[0].peers.results[MESH_STRANGER], 2, 100);
	for (unsigned i = 1; i < 4; i++)
		c->node[i].paused = false;
	run(c, TICKS_S(1));
	now = node_now(&c->node[0]);
	check_equal(c->net, peers_rotate(&c->node[0].peers, &now), 0);
	run(c, TICKS_S(10));
	for (unsigned i = 0; i < 4; i++)
		check_equal(c->net, highest(&c->node[i]).generation, old.generation + 1);
	check_equal(c->net, lineages(&c->node[4]), 1);
	check_equal(c->net, highest(&c->node[4]).id, old.id);
	cluster_free(c);
}

/* A copied disk: the later of two with one number learns it, the earlier notices nothing. */
static void same_number_twice(void **state)
{
	struct cluster *c = cluster_new(3, NULL);
	struct server_list list;

	(void)state;
	start_all(c);
	list = c->list;
	add_node(c, 12, c->node[2].secret);
	c->list = list;
	node_start(&c->node[3]);
	run(c, TICKS_S(4));
	check(c->net, c->node[3].peers.taken_at != 0);
	check_equal(c->net, lineages(&c->node[3]), 0);
	check_equal(c->net, c->node[2].peers.taken_at, 0);
	check(c->net, peer_of(&c->node[0], 12)->alive);
	/* the first one goes: the copy is still at the wrong address, and begins no lineage */
	node_stop(&c->node[2], true);
	run(c, TICKS_S(20));
	check_equal(c->net, lineages(&c->node[3]), 0);
	cluster_free(c);
}

/* ---- secrecy ---- */

static unsigned opened_with(const struct cluster *c, const uint8_t key[KEY_SIZE])
{
	uint8_t plain[MESH_PACKET_MAX], nonce[NONCE_SIZE] = {0};
	struct aead_key k;
	unsigned opened = 0;

	aead_expand(&k, AEAD_AES_256_GCM, key);
	for (size_t i = 0; i < c->captured; i++) {
		const struct captured *p = &c->capture[i];

		if (p->data[1] != MESH_DATA)
			continue;
		memcpy(nonce + 4, p->data + 8, 8);
		opened += aead_open(&k, nonce, p->data, 16, p->data + 16, p->len - 16, plain);
	}
	return opened;
}

static unsigned find_bytes(const struct cluster *c, const uint8_t *wanted, size_t n)
{
	unsigned found = 0;

	for (size_t i = 0; i < c->captured; i++)
		found += memmem(c->capture[i].data, c->capture[i].len, wanted, n) != NULL;
	return found;
}

/* Who has the old epoch keys and all that crossed the mesh does not get the new ones. */
static void rotation_is_not_readable(void **state)
{
	struct cluster *c = cluster_new(3, NULL);
	struct lineage_seed seeds[KEYRING_LINEAGES];
	struct instant now;
	struct keyring stolen;

	(void)state;
	c->capture = calloc(CAPTURE_MAX, sizeof *c->capture);
	assert_non_null(c->capture);
	start_all(c);
	stolen = *c->node[1].core->keyring;
	now = node_now(&c->node[0]);
	check_equal(c->net, peers_rotate(&c->node[0].peers, &now), 0);
	check_range(c->net, until_agreed(c, 2), 0, 2000);
	run(c, TICKS_S(1));
	check_range(c->net, c->captured, 50, CAPTURE_MAX - 1);
	for (unsigned i = 0; i < LINEAGE_EPOCHS; i++) {
		const struct epoch_keys *k = &stolen.lineage[0].keys[i];

		check_equal(c->net, opened_with(c, k->k), 0);
#define X(name, label) check_equal(c->net, opened_with(c, k->name), 0);
		EPOCH_LABELS(X)
#undef X
	}
	unsigned n = server_lineage_seeds(c->node[0].core, seeds);
	for (unsigned i = 0; i < n; i++)
		check_equal(c->net, find_bytes(c, seeds[i].k, KEY_SIZE), 0);
	cluster_free(c);
}

/* ---- clocks ---- */

static void clocks(void **state)
{
	struct cluster *c = cluster_new(4, NULL);
	struct clock_sample clock;

	(void)state;
	c->path.jitter = TICKS_MS(20);
	start_all(c);
	run(c, TICKS_S(2));
	for (unsigned i = 0; i < 4; i++)
		check(c->net, !peers_withdraw(&c->node[i].peers));
	c->node[3].skew = TICKS_S(2);
	c->node[1].skew = TICKS_MS(300);
	run(c, TICKS_S(3));
	check(c->net, peers_withdraw(&c->node[3].peers));
	check_range(c->net, c->node[3].peers.clock_off, -TICKS_MS(2020), -TICKS_MS(1680));
	for (unsigned i = 0; i < 3; i++)
		check(c->net, !peers_withdraw(&c->node[i].peers));
	check(c->net, peer_clock(peer_of(&c->node[0], 11), &clock));
	check_range(c->net, clock.offset, TICKS_MS(280), TICKS_MS(320));
	check_range(c->net, clock.rtt, TICKS_MS(4), TICKS_MS(44));
	c->node[3].skew = 0;
	run(c, TICKS_S(3));
	check(c->net, !peers_withdraw(&c->node[3].peers));
	cluster_free(c);
}

/* A clock that is an hour wrong from the start: told so, kept out, and no lineage of its own. */
static void clock_far_off(void **state)
{
	struct cluster *c = cluster_new(4, NULL);

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		node_start(&c->node[i]);
	until_agreed(c, 1);
	c->node[3].skew = -(int64_t)TICKS_S(3600);
	node_start(&c->node[3]);
	run(c, TICKS_S(30));
	check_equal(c->net, lineages(&c->node[3]), 0);
	check(c->net, peers_withdraw(&c->node[3].peers));
	check(c->net, !peers_withdraw(&c->node[0].peers));
	c->node[3].skew = 0;
	check_range(c->net, until_agreed(c, 1), 1, 2500);
	run(c, TICKS_S(5));
	check(c->net, !peers_withdraw(&c->node[3].peers));
	cluster_free(c);
}

static int setup(void **state)
{
	(void)state;
	return crypto_init(CRYPTO_AUTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cold_start),
		cmocka_unit_test(cold_start_with_one_missing),
		cmocka_unit_test(not_listed_yet),
		cmocka_unit_test(alone),
		cmocka_unit_test(join),
		cmocka_unit_test(quick_restart),
		cmocka_unit_test(dead_after_three_missed),
		cmocka_unit_test(own_pause),
		cmocka_unit_test(an_hour),
		cmocka_unit_test(split_and_heal),
		cmocka_unit_test(two_births),
		cmocka_unit_test(pause_across_rotation),
		cmocka_unit_test(removed_server),
		cmocka_unit_test(same_number_twice),
		cmocka_unit_test(rotation_is_not_readable),
		cmocka_unit_test(clocks),
		cmocka_unit_test(clock_far_off),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
