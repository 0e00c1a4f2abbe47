/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "test/sim/world.h"

#include <malloc.h>
#include <stdlib.h>

#define PAST         24 /* epochs of the lineage before the beginning */
#define INNER_HEADER 12 /* 0x45, then the number and the sender */

struct flight { /* a datagram under way */
	struct world *w;
	struct sim_server *server; /* up: where to */
	struct endpoint from, to;
	size_t len;
	uint8_t data[];
};

/* ---- clocks ---- */

struct instant server_now(const struct sim_server *s)
{
	const struct world *w = s->w;

	return (struct instant){.cluster = (ticks)((int64_t)(w->net.now - s->lag) + s->skew),
			.boot = w->net.now - s->lag - w->birth + TICKS_S(1000 + s->id)};
}

struct instant client_now(const struct sim_client *c)
{
	return (struct instant){.cluster = c->wall, .boot = c->w->net.now - c->booted};
}

/* ---- flows ---- */

static void flow_note(struct flow *f, uint32_t number)
{
	if (number / 8 >= f->room) {
		uint32_t room = MAX(2 * f->room, number / 8 + 4096);

		f->seen = realloc(f->seen, room);
		assert_non_null(f->seen);
		memset(f->seen + f->room, 0, room - f->room);
		f->room = room;
	}
	if (f->seen[number / 8] >> number % 8 & 1) {
		f->repeated++;
		return;
	}
	f->seen[number / 8] |= (uint8_t)(1 << number % 8);
	f->received++;
}

static void inner_write(uint8_t *plain, size_t len, uint32_t number, unsigned client)
{
	memset(plain, 0, len);
	plain[0] = 0x45;
	store_be32(plain + 4, number);
	store_be32(plain + 8, client);
}

/* ---- the network between them ---- */

static size_t outer_size(const struct endpoint *a, size_t len)
{
	return len + outer_overhead(addr_is_v4(a->ip));
}

static struct sim_client *client_behind(struct world *w, const struct endpoint *e)
{
	uint32_t id = load_be32(e->ip + 12) & 0xffffff;

	return id < w->o.clients && endpoint_equal(&w->client[id]->address, e) ? w->client[id] :
										NULL;
}

struct ledger *world_watch(struct world *w, const struct endpoint *address)
{
	assert_true(w->ledger_count < ARRAY_SIZE(w->ledger));
	w->ledger[w->ledger_count] = (struct ledger){.address = *address};
	return &w->ledger[w->ledger_count++];
}

static void ledger_note(struct world *w, const struct endpoint *address, size_t in, size_t out)
{
	for (unsigned i = 0; i < w->ledger_count; i++)
		if (endpoint_equal(&w->ledger[i].address, address)) {
			w->ledger[i].in += in;
			w->ledger[i].out += out;
			w->ledger[i].packets_out += out != 0;
		}
}

static void sight(struct world *w, bool up, unsigned server, const struct endpoint *from,
		const struct endpoint *to, const uint8_t *data, size_t len)
{
	struct sighted p = {.at = w->net.now, .up = up, .server = server, .from = *from, .to = *to,
			.len = len};
	bool sealed = (data[0] & 0x0f) <= WIRE_DATA_DOWN_CHACHA;
	uint8_t key[1 + 1 + SID_SIZE];

	assert_true(len <= PACKET_MAX);
	/* type, kid and sid, or sender and the end of the sid, name the key */
	key[0] = data[HEADER_TYPE];
	key[1] = data[HEADER_KID];
	memcpy(key + 2, data + HEADER_TO, SID_SIZE);
	if (sealed)
		check(&w->net, net_nonce_is_new(&w->net, key, sizeof key,
				(uint64_t)load_be16(data + HEADER_T) << 32 |
				load_be32(data + HEADER_NUMBER)));
	if (w->tap) {
		memcpy(p.data, data, len);
		w->tap(w, &p);
	}
}

static struct sim_server *pick(struct world *w)
{
	unsigned id = w->chosen;

	if (w->policy == POLICY_FLIP)
		id = (unsigned)((w->net.now - w->birth) / w->flip_every % w->o.servers);
	else if (w->policy == POLICY_SPRAY)
		id = (unsigned)net_below(&w->net, w->o.servers);
	return &w->server[id];
}

static unsigned narrower(unsigned a, unsigned b)
{
	return a && b ? MIN(a, b) : a + b;
}

static void launch(struct world *w, const struct quality *q, struct sim_server *server,
		const struct endpoint *from, const struct endpoint *to, const uint8_t *data,
		size_t len, void (*arrive)(void *arg))
{
	ticks arrival[2];
	unsigned copies = net_cross(&w->net, q, outer_size(to, len), arrival);

	for (unsigned i = 0; i < copies; i++) {
		struct flight *f = malloc(sizeof *f + len);

		assert_non_null(f);
		*f = (struct flight){w, server, *from, *to, len};
		memcpy(f->data, data, len);
		net_at(&w->net, arrival[i], arrive, f);
	}
}

static void arrive_up(void *arg)
{
	struct flight *f = arg;

	if (f->server->core && !f->server->paused)
		server_take(f->server, &f->from, f->data, f->len);
	free(f);
}

static void arrive_down(void *arg)
{
	struct flight *f = arg;
	struct sim_client *c = client_behind(f->w, &f->to);

	if (c && !c->asleep)
		client_take(c, f->data, f->len);
	free(f);
}

static void client_output(struct output *out, const struct endpoint *to, const uint8_t *packet,
		size_t len)
{
	struct sim_client *c = (struct sim_client *)out;
	struct sim_server *s = pick(c->w);
	struct quality q = c->up;

	c->sent[packet[0] & 0x0f]++;
	ledger_note(c->w, &c->address, len, 0);
	sight(c->w, true, s->id, &c->address, to, packet, len);
	q.mtu = narrower(q.mtu, s->mtu_up);
	launch(c->w, &q, s, &c->address, to, packet, len, arrive_up);
}

static void server_output(struct output *out, const struct endpoint *to, const uint8_t *packet,
		size_t len)
{
	struct sim_server *s = (struct sim_server *)out;
	struct world *w = s->w;
	struct sim_client *c = client_behind(w, to);
	struct quality q = c ? c->down : (struct quality){.delay = w->o.delay};

	ledger_note(w, to, 0, len);
	sight(w, false, s->id, &w->anycast, to, packet, len);
	q.mtu = narrower(q.mtu, s->mtu_down);
	launch(w, &q, NULL, &w->anycast, to, packet, len, arrive_down);
}

/* ---- cores: taking and sending ---- */

static void bring_tick_forward(struct sim_client *c);

static void server_deliver(struct sim_server *s, const struct opened *o)
{
	struct sim_client *c = s->w->client[o->client->index - 1];

	s->delivered++;
	if (o->len < INNER_HEADER || (o->plain[0] & 0xf0) != 0x40)
		return;
	/* never somebody else's */
	check_equal(&s->w->net, load_be32(o->plain + 8), c->enrolled);
	flow_note(&c->sent_up, load_be32(o->plain + 4));
	if (s->w->o.echo)
		server_send(s, c, o->len);
}

enum drop server_take(struct sim_server *s, const struct endpoint *from, const uint8_t *data,
		size_t len)
{
	struct instant now = server_now(s);
	uint8_t *copy = malloc(len + 1); /* of this size: the sanitizer sees what is beyond */
	struct opened o = {0};
	enum drop why;

	assert_non_null(copy);
	memcpy(copy, data, len);
	why = server_open(s->core, &now, &(struct datagram){copy, len, from}, copy + MIN(len, 16u),
			&s->out, &o);
	s->drop[why]++;
	if (why == DROP_NONE && o.len)
		server_deliver(s, &o);
	free(copy);
	return why;
}

enum drop client_take(struct sim_client *c, const uint8_t *data, size_t len)
{
	struct instant now = client_now(c);
	uint8_t *copy = malloc(len + 1);
	size_t n = 0;
	enum drop why;

	assert_non_null(copy);
	memcpy(copy, data, len);
	why = uplink_open(&c->u, &now, &(struct datagram){copy, len, &c->w->anycast},
			copy + MIN(len, 16u), &c->out, &n);
	c->drop[why]++;
	if (why == DROP_NONE && n >= INNER_HEADER && (copy[16] & 0xf0) == 0x40)
		flow_note(&c->sent_down, load_be32(copy + 16 + 4));
	free(copy);
	bring_tick_forward(c);
	return why;
}

bool client_send(struct sim_client *c, size_t len)
{
	struct instant now = client_now(c);
	uint8_t packet[PACKET_MAX];
	struct tx_run run = {0};
	uint32_t number;
	uint16_t t;

	if (!uplink_ready(&c->u, &now, &c->out))
		return false;
	len = MAX(len, UPSTREAM_MIN - PACKET_OVERHEAD);
	if (!tx_number(&run, &c->u.newest->tx, 1, &c->u.o.limits, &number))
		return false;
	t = uplink_time(&c->u, &now);
	inner_write(packet + HEADER_SIZE, len, c->sent_up.sent++, c->enrolled);
	uplink_sent(&c->u, &now, len, 1);
	len = tx_seal(&c->u.newest->tx, t, number, packet + HEADER_SIZE, len, packet);
	c->out.send(&c->out, uplink_server(&c->u), packet, len);
	bring_tick_forward(c);
	return true;
}

size_t client_seal(struct sim_client *c, const uint8_t *plain, size_t len,
		uint8_t packet[PACKET_MAX])
{
	struct instant now = client_now(c);
	struct tx_run run = {0};
	uint32_t number;

	assert_true(tx_number(&run, &c->u.newest->tx, 1, &c->u.o.limits, &number));
	return tx_seal(&c->u.newest->tx, uplink_time(&c->u, &now), number, plain, len, packet);
}

struct client *client_at(const struct sim_server *s, unsigned id)
{
	return directory_by_index(s->core->directory, id + 1);
}

enum drop server_send(struct sim_server *s, struct sim_client *c, size_t len)
{
	struct instant now = server_now(s);
	uint8_t packet[PACKET_MAX];
	struct downstream down;
	struct tx_run run = {0};
	uint32_t number;
	enum drop why = server_downstream(s->core, &now, client_at(s, c->enrolled), &down);

	if (why != DROP_NONE)
		return why;
	if (!tx_number(&run, &down.active->tx, 1, &s->core->limits, &number))
		return DROP_SPENT;
	inner_write(packet + HEADER_SIZE, len, c->sent_down.sent++, c->enrolled);
	tx_count(&down.active->tx, len, 1);
	len = tx_seal(&down.active->tx, (uint16_t)time_16th(now.cluster), number,
			packet + HEADER_SIZE, len, packet);
	s->out.send(&s->out, &down.record->endpoint, packet, len);
	return DROP_NONE;
}

struct traffic {
	struct sim_client *c;
	bool up;
	ticks interval, until;
	size_t len;
};

static void traffic_step(void *arg)
{
	struct traffic *t = arg;
	struct world *w = t->c->w;

	if (w->net.now > t->until) {
		free(t);
		return;
	}
	if (t->up)
		client_send(t->c, t->len);
	else
		server_send(pick(w), t->c, t->len);
	net_at(&w->net, w->net.now + t->interval, traffic_step, t);
}

void world_traffic(struct world *w, struct sim_client *c, bool up, ticks interval, ticks duration,
		size_t len)
{
	struct traffic *t = malloc(sizeof *t);

	assert_non_null(t);
	*t = (struct traffic){c, up, interval, w->net.now + duration, len};
	net_at(&w->net, w->net.now, traffic_step, t);
}

/* ---- the registry, in small: records go to the other servers after a lag ---- */

struct copying {
	struct world *w;
	unsigned from, client;
	size_t size;
	struct session_record *record;
};

static void copy_to(struct sim_server *s, const struct copying *k)
{
	struct session_record *r = malloc(k->size);
	struct instant now = server_now(s);

	assert_non_null(r);
	memcpy(r, k->record, k->size);
	server_apply_record(s->core, &now, k->client + 1, r);
}

static void copy_record(void *arg)
{
	struct copying *k = arg;

	for (unsigned i = 0; i < k->w->o.servers; i++)
		if (i != k->from && k->w->server[i].core)
			copy_to(&k->w->server[i], k);
	free(k->record);
	free(k);
}

static void record_changed_hook(void *arg, struct client *client, const struct session_record *old,
		const struct session_record *now)
{
	(void)arg, (void)client, (void)old, (void)now;
}

/* ---- the mesh, likewise ---- */

struct letter {
	struct world *w;
	uint16_t from, to;
	size_t len;
	uint8_t message[MESH_MESSAGE_MAX];
};

static void take_letter(void *arg)
{
	struct letter *l = arg;
	struct sim_server *to = &l->w->server[l->to - 1];
	struct instant now = server_now(to);

	if (to->core)
		assert_true(notices_take(to->notices, &now, l->from, l->message, l->len));
	free(l);
}

static bool send_letter(void *arg, uint16_t to, const uint8_t *message, size_t len)
{
	struct sim_server *s = arg;
	struct letter *l = malloc(sizeof *l);

	assert_non_null(l);
	*l = (struct letter){.w = s->w, .from = (uint16_t)(s->id + 1), .to = to, .len = len};
	memcpy(l->message, message, len);
	s->mesh_messages++;
	net_at(&s->w->net, s->w->net.now + s->w->o.mesh_delay, take_letter, l);
	return true;
}

static void too_big_hook(void *arg, const uint8_t quoted[HEADER_SIZE])
{
	struct sim_server *s = arg;
	struct instant now = server_now(s);

	server_too_big(s->core, &now, quoted, HEADER_SIZE, &s->out);
}

static void record_written_hook(void *arg, const struct client *client,
		const struct session_record *old, const struct session_record *now)
{
	struct sim_server *s = arg;
	struct instant time = server_now(s);
	struct copying *k;

	s->records_written++;
	if (s->notices) {
		notices_written(s->notices, client, old, now);
		notices_serve(s->notices, &time);
	}
	if (!s->w->o.replicate)
		return;
	k = malloc(sizeof *k);
	assert_non_null(k);
	*k = (struct copying){.w = s->w, .from = s->id, .client = client->index - 1,
			.size = session_record_size(now)};
	k->record = malloc(k->size);
	assert_non_null(k->record);
	memcpy(k->record, now, k->size);
	net_at(&s->w->net, s->w->net.now + s->w->o.record_lag, copy_record, k);
}

/* ---- servers ---- */

struct directory *world_directory(const struct world *w, unsigned first, unsigned count)
{
	struct directory *d = directory_new(count);
	char error[200];

	for (unsigned i = first; i < first + count; i++) {
		struct record r = {.index = i + 1, .version = 1, .rights = RIGHT_MULTICAST,
				.prefix_count = 1};

		snprintf(r.name, sizeof r.name, "client-%u", i);
		r.prefixes[0] = (struct prefix){.ip = {[10] = 0xff, [11] = 0xff, [12] = 100},
				.len = 128};
		store_be32(r.prefixes[0].ip + 12, 100u << 24 | i);
		x25519_public(w->client_secret[i], r.public);
		memcpy(r.psk, w->client_psk[i], KEY_SIZE);
		assert_int_equal(directory_add(d, NULL, &r, w->client_ss[i], error, sizeof error),
				0);
	}
	assert_int_equal(directory_finish(d), 0);
	return d;
}

/* The cluster's keys as a server that joins at this time by its own clock gets them. */
static struct lineage_seed lineage_at(const struct world *w, ticks cluster)
{
	struct lineage_seed seed = {.generation = 1, .id = 7,
			.epoch = MAX(time_epoch(cluster), time_epoch(w->birth) - PAST)};
	struct lineage l;

	lineage_birth(&l, seed.generation, seed.id, time_epoch(w->birth) - PAST, w->start);
	lineage_step(&l, seed.epoch);
	if (l.has_previous)
		seed.epoch--;
	memcpy(seed.k, l.keys[l.has_previous ? EPOCH_PREVIOUS : EPOCH_CURRENT].k, KEY_SIZE);
	wipe(&l, sizeof l); /* a test looks for left-over keys in all of the memory */
	return seed;
}

void server_start(struct sim_server *s, const uint8_t boot_random[3])
{
	const struct world *w = s->w;
	struct instant now = server_now(s);
	struct lineage_seed seed = lineage_at(w, now.cluster);
	struct server_options o = {
		.number = (uint16_t)(s->id + 1),
		.active_sessions = w->o.active_sessions,
		.handshake_rate = w->o.handshake_rate,
		.handshake_prefix_rate = w->o.prefix_rate,
		.keepalive_min = 10,
		.keepalive_max = 120,
		.cluster_key_count = 1,
		.start = &seed,
		.limits = w->o.server_limits,
		.record_changed = record_changed_hook,
		.record_written = record_written_hook,
		.record_written_arg = s,
	};

	s->core = malloc(sizeof *s->core);
	if (w->o.mesh_delay) {
		s->notices = notices_new(&(struct notices_options){.number = o.number,
				.server = s->core,
				.send = send_letter, .send_arg = s,
				.too_big = too_big_hook, .too_big_arg = s});
		o.others_too_big = notices_too_big;
		o.others_too_big_arg = s->notices;
		o.sending = notices_sending;
		o.sending_arg = s->notices;
	}
	memcpy(o.boot_random, boot_random, 3);
	memcpy(o.cluster_secrets[0], w->cluster_secret, KEY_SIZE);
	s->boots++;
	assert_non_null(s->core);
	assert_int_equal(server_init(s->core, &o, &now), 0);
	wipe(&seed, sizeof seed);
	server_set_directory(s->core, world_directory(w, 0, w->o.clients));
	server_tick(s->core, &now);
}

void server_stop(struct sim_server *s)
{
	server_free(s->core);
	free(s->core);
	notices_free(s->notices);
	s->core = NULL;
	s->notices = NULL;
}

void server_restart(struct sim_server *s)
{
	uint8_t boot_random[3];

	if (s->core)
		server_stop(s);
	random_bytes(boot_random, sizeof boot_random);
	server_start(s, boot_random);
}

static void server_tick_event(void *arg)
{
	struct sim_server *s = arg;
	struct instant now = server_now(s);

	if (s->core && !s->paused) {
		server_tick(s->core, &now);
		if (s->notices)
			notices_serve(s->notices, &now);
	}
	net_at(&s->w->net, s->w->net.now + TICKS_S(1), server_tick_event, s);
}

struct server_state server_state(struct sim_server *s)
{
	struct server_state state;

	memset(&state, 0, sizeof state);
	server_count(s->core, &state.counts);
	for (unsigned i = 0; i < SERVER_EVENT_COUNT; i++)
		state.events[i] = s->core->events[i];
	state.heap = mallinfo2().uordblks;
	return state;
}

/* ---- clients ---- */

struct tick_event {
	struct sim_client *c;
	uint64_t order;
};

static void client_tick_event(void *arg)
{
	struct tick_event *t = arg;

	if (t->order == t->c->tick_order && !t->c->asleep)
		client_tick(t->c);
	free(t);
}

/* next: boot time.  A moment passes between two ticks, whatever they say. */
static void tick_at(struct sim_client *c, ticks next)
{
	struct tick_event *t = malloc(sizeof *t);

	assert_non_null(t);
	*t = (struct tick_event){c, ++c->tick_order};
	c->next_tick = MAX(next + c->booted, c->w->net.now + TICKS_MS(1));
	net_at(&c->w->net, c->next_tick, client_tick_event, t);
}

void client_tick(struct sim_client *c)
{
	struct instant now = client_now(c);

	tick_at(c, uplink_tick(&c->u, &now, &c->out));
}

/* As the worker does, after each packet: it may have made something due sooner. */
static void bring_tick_forward(struct sim_client *c)
{
	struct instant now = client_now(c);
	ticks next = uplink_deadline(&c->u, &now);

	if (MAX(next + c->booted, c->w->net.now + TICKS_MS(1)) < c->next_tick)
		tick_at(c, next);
}

struct uplink_options client_options(const struct world *w, unsigned id)
{
	struct uplink_options o = {
		.cluster_key_count = 1,
		.server_count = 1,
		.servers = {w->anycast},
		.keepalive = w->o.keepalive,
		.unlinkable = w->o.unlinkable,
		.aead = w->o.aead,
		.limits = w->o.client_limits,
	};

	memcpy(o.secret, w->client_secret[id], KEY_SIZE);
	memcpy(o.psk, w->client_psk[id], KEY_SIZE);
	memcpy(o.cluster_keys[0], w->cluster_public, KEY_SIZE);
	return o;
}

void client_begin(struct sim_client *c, const struct uplink_options *o)
{
	struct instant now = client_now(c);

	assert_int_equal(uplink_init(&c->u, o, &now), 0);
	client_tick(c);
}

void client_rebind(struct sim_client *c)
{
	c->address.port++;
}

static void client_new(struct world *w, unsigned id)
{
	struct sim_client *c = aligned_alloc(64, (sizeof *c + 63) / 64 * 64);
	struct uplink_options o = client_options(w, id);

	assert_non_null(c);
	memset(c, 0, sizeof *c);
	c->out.send = client_output;
	c->w = w;
	c->id = c->enrolled = id;
	if (w->o.v6)
		memcpy(c->address.ip, "\x20\x01\x0d\xb8", 4);
	else
		addr_from_v4(c->address.ip, "\x0a\0\0\0");
	store_be32(c->address.ip + 12, (w->o.v6 ? 0 : 10u << 24) | id);
	c->address.port = 20000;
	c->up.delay = c->down.delay = w->o.delay;
	c->booted = w->net.now - TICKS_S(5000 + id);
	w->client[id] = c;
	client_begin(c, &o);
}

/* ---- all of it ---- */

static void make_keys(struct world *w)
{
	random_bytes(w->cluster_secret, KEY_SIZE);
	x25519_public(w->cluster_secret, w->cluster_public);
	random_bytes(w->start, KEY_SIZE);
	for (unsigned i = 0; i < w->o.clients; i++) {
		uint8_t public[KEY_SIZE];

		random_bytes(w->client_secret[i], KEY_SIZE);
		random_bytes(w->client_psk[i], KEY_SIZE);
		x25519_public(w->client_secret[i], public);
		assert_int_equal(x25519(w->cluster_secret, public, w->client_ss[i]), 0);
	}
}

static void defaults(struct world_options *o)
{
	o->servers = MAX(o->servers, 1);
	o->clients = MAX(o->clients, 1);
	o->active_sessions = o->active_sessions ? o->active_sessions : 256;
	o->handshake_rate = o->handshake_rate ? o->handshake_rate : 100000;
	o->prefix_rate = o->prefix_rate ? o->prefix_rate : 100000;
	o->delay = o->delay ? o->delay : TICKS_MS(10);
	if (!o->client_limits.hard_number)
		o->client_limits = key_limits;
	if (!o->server_limits.hard_number)
		o->server_limits = key_limits;
}

struct world *world_new(const struct world_options *o)
{
	struct world *w = calloc(1, sizeof *w);

	assert_non_null(w);
	assert_int_equal(crypto_init(CRYPTO_AUTO), 0);
	w->o = *o;
	defaults(&w->o);
	net_init(&w->net);
	w->birth = w->net.now;
	if (w->o.v6)
		memcpy(w->anycast.ip, "\x20\x01\x0d\xb8\xff\xff", 6);
	else
		addr_from_v4(w->anycast.ip, "\xc0\0\x02\x01");
	w->anycast.port = WORLD_PORT;
	w->client = calloc(w->o.clients, sizeof *w->client);
	w->client_secret = calloc(w->o.clients, KEY_SIZE);
	w->client_psk = calloc(w->o.clients, KEY_SIZE);
	w->client_ss = calloc(w->o.clients, KEY_SIZE);
	assert_true(w->client && w->client_secret && w->client_psk && w->client_ss);
	make_keys(w);
	for (unsigned i = 0; i < w->o.servers; i++) {
		w->server[i] = (struct sim_server){.out.send = server_output, .w = w, .id = i};
		server_restart(&w->server[i]);
		/* they were started a while ago, and tick at moments of their own */
		w->server[i].core->start -= TICKS_S(60);
		net_at(&w->net, w->net.now + TICKS_MS(100 * i), server_tick_event, &w->server[i]);
	}
	for (unsigned i = 0; i < w->o.clients; i++)
		client_new(w, i);
	return w;
}

/* What is under way when the world ends, belongs to nobody else. */
static void free_events(struct world *w)
{
	for (size_t i = 0; i < w->net.count; i++) {
		struct net_event *e = &w->net.heap[i];

		if (e->run == copy_record)
			free(((struct copying *)e->arg)->record);
		if (e->run == copy_record || e->run == arrive_up || e->run == arrive_down ||
				e->run == client_tick_event || e->run == traffic_step)
			free(e->arg);
	}
}

void world_free(struct world *w)
{
	free_events(w);
	for (unsigned i = 0; i < w->o.servers; i++)
		if (w->server[i].core)
			server_stop(&w->server[i]);
	for (unsigned i = 0; i < w->o.clients; i++) {
		uplink_free(&w->client[i]->u);
		free(w->client[i]->sent_up.seen);
		free(w->client[i]->sent_down.seen);
		free(w->client[i]);
	}
	free(w->client);
	free(w->client_secret);
	free(w->client_psk);
	free(w->client_ss);
	net_free(&w->net);
	free(w);
}

void world_run(struct world *w, ticks duration)
{
	net_run_until(&w->net, w->net.now + duration);
}

static bool all_connected(const struct world *w)
{
	for (unsigned i = 0; i < w->o.clients; i++)
		if (!w->client[i]->u.newest || !w->client[i]->u.newest->confirmed)
			return false;
	return true;
}

void world_connect(struct world *w)
{
	for (unsigned i = 0; i < 3000 && !all_connected(w); i++)
		world_run(w, TICKS_MS(10));
	check(&w->net, all_connected(w));
}

/* ---- recordings ---- */

static void recording_tap(struct world *w, const struct sighted *p)
{
	struct recording *r = w->tap_arg;

	if (!r->on)
		return;
	if (r->count == r->room) {
		r->room = r->room ? 2 * r->room : 256;
		r->packet = realloc(r->packet, r->room * sizeof *r->packet);
		assert_non_null(r->packet);
	}
	r->packet[r->count++] = *p;
}

void recording_begin(struct world *w, struct recording *r)
{
	*r = (struct recording){.on = true};
	w->tap = recording_tap;
	w->tap_arg = r;
}

unsigned recording_replay(const struct recording *r, struct sim_server *s)
{
	uint64_t before = s->delivered;

	for (size_t i = 0; i < r->count; i++)
		if (r->packet[i].up)
			server_take(s, &r->packet[i].from, r->packet[i].data, r->packet[i].len);
	return (unsigned)(s->delivered - before);
}

const struct sighted *recording_last(const struct recording *r, enum wire_type type)
{
	for (size_t i = r->count; i; i--)
		if ((r->packet[i - 1].data[0] & 0x0f) == type)
			return &r->packet[i - 1];
	return NULL;
}

void recording_end(struct world *w, struct recording *r)
{
	w->tap = NULL;
	free(r->packet);
	memset(r, 0, sizeof *r);
}
