/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "relay_world.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "mode/relay_entry.h"

/* A packet, or a record, on its way. */
struct flight {
	struct relay_world *w;
	unsigned to;
	size_t len;
	uint8_t data[2048];
};

struct news {
	struct relay_world *w;
	unsigned to;
	struct relay r;
};

struct instant relay_world_now(const struct relay_world *w)
{
	return (struct instant){w->net.now, w->net.now};
}

/* ---- fast path ---- */

unsigned relay_fast_decide(const struct relay_entry *e, const struct relay_packet *p)
{
	bool ours = memcmp(e->from, p->src.ip, 16) == 0 && ntohs(e->from_port) == p->src.port;
	uint64_t look = RELAY_TOKEN_LOOK;
	bool token = e->flags & RELAY_ENTRY_TOKEN && p->payload_len == RELAY_TOKEN_LOOK_SIZE &&
			memcmp(p->payload + RELAY_TOKEN_LOOK_AT, &look, sizeof look) == 0;

	if (e->flags & RELAY_ENTRY_LATCHED && !ours)
		return e->flags & RELAY_ENTRY_TOKEN ? RELAY_UP_STRANGER : RELAY_UP_COUNT + 1;
	if (p->protocol == RELAY_TCP && p->flags & TCP_SYN)
		return RELAY_UP_SYN;
	if (!(e->flags & RELAY_ENTRY_LATCHED))
		return RELAY_UP_UNLATCHED;
	if (token)
		return RELAY_UP_TOKEN;
	return e->flags & RELAY_ENTRY_READY ? RELAY_UP_COUNT : RELAY_UP_WAITING;
}

void relay_fast_rewrite(const struct relay_entry *e, const uint8_t anycast[16], uint8_t *packet,
		size_t len)
{
	struct relay_ip h = {.v4 = true, .df = true, .ttl = packet[8] - 1, .protocol = packet[9],
		.src = anycast, .dst = e->to};
	struct relay_shift shift = {.seq = e->seq_add, .ack = e->ack_add, .window = e->window_shift};
	uint8_t *tcp = packet + RELAY_IPV4_HEADER;

	relay_ip_write(packet, &h, len - RELAY_IPV4_HEADER);
	memcpy(tcp, &e->out_port, 2);
	memcpy(tcp + 2, &e->to_port, 2);
	if (e->flags & RELAY_ENTRY_SPLICED)
		relay_tcp_shift(tcp, len - RELAY_IPV4_HEADER, &shift);
	relay_upper_checksum(tcp, len - RELAY_IPV4_HEADER, &h);
}

/* ---- the network ---- */

static void deliver_to_peer(void *arg)
{
	struct flight *f = arg;
	struct relay_packet p;

	check(&f->w->net, relay_packet_read(&p, f->data, f->len, f->len));
	peer_take(&f->w->peer[f->to], &p);
	free(f);
}

static void tick_once(void *arg)
{
	struct site *s = arg;
	struct instant now = relay_world_now(s->w);

	if (s->alive)
		relay_input_tick(s->input, &now);
}

static void tick_site(void *arg)
{
	struct site *s = arg;

	tick_once(s);
	if (s->alive)
		net_at(&s->w->net, s->w->net.now + TICKS_MS(20), tick_site, s);
}

static void fly(struct relay_world *w, void (*deliver)(void *), unsigned to, const uint8_t *packet,
		size_t len)
{
	ticks arrival[2];
	unsigned copies = net_cross(&w->net, &w->path, len, arrival);

	for (unsigned i = 0; i < copies; i++) {
		struct flight *f = calloc(1, sizeof *f);

		*f = (struct flight){.w = w, .to = to, .len = len};
		memcpy(f->data, packet, len);
		net_at(&w->net, arrival[i], deliver, f);
	}
}

static void to_peer(struct relay_world *w, const uint8_t *packet, size_t len)
{
	struct relay_packet p;

	check(&w->net, relay_packet_read(&p, packet, len, len));
	for (unsigned i = 0; i < 2; i++)
		if (endpoint_equal(&p.dst, &w->peer[i].at))
			return fly(w, deliver_to_peer, i, packet, len);
	check(&w->net, !"a packet to nobody");
}

static void up(struct site *s, const struct flight *f, unsigned reason)
{
	struct instant now = relay_world_now(s->w);
	struct relay_event e = {.reason = (uint8_t)reason, .len = (uint16_t)f->len,
		.whole = (uint32_t)f->len};

	memcpy(e.data, f->data, f->len);
	relay_input(s->input, &now, &e);
}

static void deliver_to_site(void *arg)
{
	struct flight *f = arg;
	struct relay_world *w = f->w;
	struct site *s = &w->site[f->to];
	struct relay_packet p;
	struct relay_entry e;
	struct relay_key k;
	const struct relay *r;
	unsigned side, offset, decision = RELAY_UP_UNKNOWN;
	struct instant now = relay_world_now(w);

	check(&w->net, relay_packet_read(&p, f->data, f->len, f->len));
	if (s->alive) {
		r = relays_at(s->relays, &now, p.v4, p.protocol, p.dst.port, &side, &offset);
		if (r) {
			relay_entry_make(r, side, offset, &e, &k);
			decision = relay_fast_decide(&e, &p);
		}
		if (decision == RELAY_UP_COUNT) {
			w->forwarded++;
			s->passed[p.dst.port]++;
			relay_fast_rewrite(&e, w->anycast, f->data, f->len);
			to_peer(w, f->data, f->len);
		} else if (decision < RELAY_UP_COUNT)
			up(s, f, decision);
	}
	free(f);
}

static void from_peer(void *arg, const uint8_t *packet, size_t len)
{
	struct relay_world *w = arg;
	unsigned to = w->spray ? (unsigned)net_below(&w->net, SITES) : w->route;

	/* The router sends nothing to a server that it knows to be dead. */
	while (!w->site[to].alive && w->spray)
		to = (unsigned)net_below(&w->net, SITES);
	fly(w, deliver_to_site, to, packet, len);
}

/* ---- what servers ask for ---- */

static void send_packet(struct relay_output *out, const uint8_t *packet, size_t len)
{
	struct site *s = container_of(out, struct site, out);

	s->w->answers++;
	to_peer(s->w, packet, len);
}

static void hear(void *arg)
{
	struct news *n = arg;
	struct site *s = &n->w->site[n->to];
	struct instant now = relay_world_now(n->w);

	if (s->alive)
		relays_learn(s->relays, &now, &n->r);
	free(n);
}

static void tell(struct relay_world *w, unsigned to, const struct relay *r)
{
	struct news *n = calloc(1, sizeof *n);

	*n = (struct news){w, to, *r};
	net_at(&w->net, w->net.now + w->mesh_delay + net_below(&w->net, TICKS_MS(2)), hear, n);
}

static void publish(void *arg, const struct relay *r)
{
	struct site *s = arg;

	for (unsigned i = 0; i < SITES; i++)
		if (s != &s->w->site[i])
			tell(s->w, i, r);
}

static void ask(struct relay_output *out, bool v4, uint8_t protocol, uint16_t port)
{
	struct site *s = container_of(out, struct site, out);
	struct instant now = relay_world_now(s->w);
	unsigned side, offset;

	for (unsigned i = 0; i < SITES; i++) {
		const struct relay *r = s->w->site[i].alive ? relays_at(s->w->site[i].relays, &now, v4,
				protocol, port, &side, &offset) : NULL;

		if (r && s != &s->w->site[i])
			tell(s->w, (unsigned)(s - s->w->site), r);
	}
}

static uint64_t passed(struct relay_output *out, bool v4, uint8_t protocol, uint16_t port)
{
	(void)v4;
	(void)protocol;
	return container_of(out, struct site, out)->passed[port];
}

static void changed(void *arg, const struct relay *was, const struct relay *r)
{
	struct site *s = arg;
	struct instant now = relay_world_now(s->w);

	relay_input_changed(s->input, &now, was, r);
	net_at(&s->w->net, s->w->net.now, tick_once, s); /* the bell of the relay thread */
}

/* ---- making it ---- */

static void start_site(struct relay_world *w, unsigned i)
{
	struct site *s = &w->site[i];
	struct relays_options table = {.server = (uint16_t)(i + 1), .keys = &s->keys, .has_v4 = true, .port_first = 5000,
		.port_last = 6000, .changed = changed, .publish = publish, .arg = s,
		.allow_private = true, .per_client = 64, .alone = true};
	struct relay_input_options o = {.server = (uint16_t)(i + 1), .keys = &s->keys, .has_v4 = true,
		.mss = 1220, .out = &s->out};

	*s = (struct site){.w = w, .number = (uint16_t)(i + 1), .alive = true,
		.out = {.send = send_packet, .ask = ask, .passed = passed}};
	s->keys.count = 1;
	memcpy(s->keys.key[0], w->key, KEY_SIZE);
	memcpy(table.anycast4, w->anycast, sizeof table.anycast4);
	memcpy(o.anycast4, w->anycast, sizeof o.anycast4);
	s->relays = relays_new(&table);
	o.relays = s->relays;
	s->input = relay_input_new(&o);
	assert_non_null(s->input);
	net_at(&w->net, w->net.now, tick_site, s);
}

static void make_relay(struct relay_world *w, const enum relay_side_kind kind[2])
{
	struct relay *r = &w->relay;

	*r = (struct relay){.id = {9, 9, 9}, .version = 1, .server = 1, .protocol = RELAY_TCP, .span = 1,
		.settled = true, .created = 1770000000};
	for (unsigned i = 0; i < 2; i++) {
		struct relay_side *s = &r->side[i];

		*s = (struct relay_side){.kind = (uint8_t)kind[i], .v4 = true,
			.port = (uint16_t)(5000 + i)};
		if (kind[i] == RELAY_GIVEN || kind[i] == RELAY_HOST)
			s->given = w->peer[i].at;
		if (kind[i] == RELAY_HOST)
			s->given.port = 0;
	}
}

void relay_world_init(struct relay_world *w, enum relay_side_kind first, enum relay_side_kind second)
{
	const enum relay_side_kind kind[2] = {first, second};

	memset(w, 0, sizeof *w);
	net_init(&w->net);
	w->path = (struct quality){.delay = TICKS_MS(5), .jitter = TICKS_MS(1)};
	w->mesh_delay = TICKS_MS(1);
	memset(w->key, 0x5a, sizeof w->key);
	assert_int_equal(addr_parse("192.0.2.1", w->anycast), 0);
	for (unsigned i = 0; i < 2; i++) {
		struct peer *p = &w->peer[i];

		*p = (struct peer){.net = &w->net, .side = i, .send = from_peer, .arg = w,
			.other = &w->peer[!i], .o = {.listens = kind[i] == RELAY_GIVEN,
				.wscale = (uint8_t)(7 + i), .sack = true, .timestamps = true,
				.mss = 1460, .bytes = 200000, .room = 60000}};
		assert_int_equal(endpoint_parse(i ? "198.51.100.2:40002" : "198.51.100.1:40001", 0,
				&p->at), 0);
		memcpy(p->to.ip, w->anycast, sizeof p->to.ip);
		p->to.port = (uint16_t)(5000 + i);
	}
	make_relay(w, kind);
	for (unsigned i = 0; i < 2; i++) {
		relay_token(w->key, w->relay.id, i, w->token[i]);
		if (kind[i] == RELAY_TOKEN)
			w->peer[i].o.token = w->token[i];
	}
	for (unsigned i = 0; i < SITES; i++)
		start_site(w, i);
}

void relay_world_begin(struct relay_world *w)
{
	struct instant now = relay_world_now(w);

	for (unsigned i = 0; i < SITES; i++)
		relays_learn(w->site[i].relays, &now, &w->relay);
	for (unsigned i = 0; i < 2; i++)
		peer_begin(&w->peer[i]);
}

bool relay_world_run(struct relay_world *w, ticks most)
{
	ticks end = w->net.now + most;

	while (w->net.now < end && !(peer_done(&w->peer[0]) && peer_done(&w->peer[1])))
		net_run_until(&w->net, w->net.now + TICKS_MS(10));
	return peer_done(&w->peer[0]) && peer_done(&w->peer[1]);
}

void relay_world_kill(struct relay_world *w, unsigned site)
{
	w->site[site].alive = false;
}

const struct relay *relay_world_record(struct relay_world *w, unsigned site)
{
	struct instant now = relay_world_now(w);
	unsigned side, offset;

	return relays_at(w->site[site].relays, &now, true, RELAY_TCP, 5000, &side, &offset);
}

void relay_world_free(struct relay_world *w)
{
	/* What is still on its way arrives at nobody. */
	for (unsigned i = 0; i < SITES; i++)
		relay_world_kill(w, i);
	w->peer[0].state = w->peer[1].state = PEER_RESET;
	net_run_until(&w->net, w->net.now + TICKS_S(5));
	for (unsigned i = 0; i < SITES; i++) {
		relay_input_free(w->site[i].input);
		relays_free(w->site[i].relays);
	}
	net_free(&w->net);
}
