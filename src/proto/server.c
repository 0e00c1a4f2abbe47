/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The packet path of the server's core: acceptance of a packet, in the order
 * that PROTOCOL.md gives ("Acceptance"): size, key id, index, tag, age, number.
 * Nothing but limiters and counters changes before the last of them.
 */
#include "proto/server_internal.h"

#define AGE_LIMIT   32 /* 1/16 s */
#define START_GRACE 4  /* 1/16 s */
#define ASK_WINDOW  TICKS_MS(250) /* in which a client's record is asked for once */
#define ASKS_A_SECOND 1000

/*
 * Not older than 2 s beyond the session's usual delay, not from the future, not
 * from before this server began (a restart forgets the bitmaps).  Always
 * tested, also for known sessions: a packet recorded while the client used
 * another server would be new to this one's bitmap.
 */
static bool fresh(const struct server *s, const struct active *a, const struct arrival *p)
{
	int64_t off = a && atomic_load_explicit(&a->calibrated, memory_order_relaxed) ?
			atomic_load_explicit(&a->off, memory_order_relaxed) : 0;

	return p->age >= MIN(off, 0) - AGE_LIMIT && p->age <= off + AGE_LIMIT &&
	       p->full_t + START_GRACE >= time_16th(s->start);
}

/* A packet with less delay than the session was calibrated for lowers the calibration. */
static void lower_off(struct active *a, int64_t age)
{
	if (atomic_load_explicit(&a->calibrated, memory_order_relaxed) &&
			age < atomic_load_explicit(&a->off, memory_order_relaxed))
		atomic_store_explicit(&a->off, (int16_t)MAX(age, -AGE_LIMIT), memory_order_relaxed);
}

static void send_hint(struct server *s, const struct instant *now, const struct datagram *d,
		enum hint_reason reason, struct output *out)
{
	uint32_t second = (uint32_t)(now->boot / TICKS_PER_SEC);
	const struct epoch_keys *own = keyring_issuer(
			atomic_load_explicit(&s->keyring, memory_order_acquire));
	uint8_t hint[HINT_SIZE] = {WIRE_MAGIC | WIRE_HINT, 0, (uint8_t)reason};

	if (!own || d->len < HINT_SIZE || !limiter_pass_all(&s->hint_second, second, 1000) ||
			!limiter_pass(&s->hints, server_hash(s, d->from->ip, 16), second, 10))
		return;
	hint[1] = own->kid;
	memcpy(hint + HEADER_SIZE, d->data, HEADER_SIZE);
	server_event(s, SERVER_HINTS);
	out->send(out, d->from, hint, sizeof hint);
}

/*
 * Derives the session's keys from the packet alone: epoch key by kid, client
 * index unmasked from the session id, the client's public key from the
 * directory.  On success the plaintext is at p->plain.
 */
static enum drop sight(struct server *s, const struct instant *now, struct arrival *p,
		struct sighting *g, struct output *out)
{
	const struct keyring *ring = atomic_load_explicit(&s->keyring, memory_order_acquire);
	const struct directory *dir = atomic_load_explicit(&s->directory, memory_order_acquire);
	enum drop why = DROP_KID;
	const struct epoch_keys *k;
	struct rx_key rx;
	unsigned at = 0;

	while ((k = keyring_find(ring, p->d->data[HEADER_KID], &at))) {
		if (time_seconds(now->cluster) >= session_end(k->epoch))
			continue;
		struct client *c = directory_by_index(dir, sid_index(k, g->sid));
		if (!c || c->removed) {
			if (why != DROP_TAG)
				why = c ? DROP_REVOKED : DROP_INDEX;
			continue;
		}
		why = DROP_TAG;
		session_secret(k, g->sid, c->public, g->s);
		rx_key_up(&rx, g->s, g->aead);
		bool good = rx_open(&rx, p->d->data, p->d->len, p->plain);
		wipe(&rx, sizeof rx);
		if (good) {
			g->keys = k;
			g->client = c;
			return DROP_NONE;
		}
	}
	if (why == DROP_KID || why == DROP_INDEX)
		send_hint(s, now, p->d, why == DROP_KID ? HINT_KID : HINT_INDEX, out);
	return why;
}

/* What has passed every test: note it, and see what it is. */
static enum drop accepted(struct server *s, const struct instant *now, struct active *a,
		struct arrival *p, struct output *out, struct opened *o)
{
	const struct session_record *record =
			atomic_load_explicit(&a->client->session, memory_order_acquire);

	lower_off(a, p->age);
	if (atomic_load_explicit(&a->last_used, memory_order_relaxed) != now->boot)
		atomic_store_explicit(&a->last_used, now->boot, memory_order_relaxed);
	o->active = a;
	o->client = a->client;
	o->plain = p->plain;
	o->proven = record && endpoint_equal(&record->endpoint, p->d->from);
	if (unlikely(!o->proven))
		server_unproven(s, now, a, p, record, out);
	switch (p->len ? p->plain[0] >> 4 : INNER_KEEPALIVE) {
	case INNER_IPV4:
	case INNER_IPV6:
	case INNER_PIECE:
	case INNER_ETHERNET:
		o->len = p->len;
		return DROP_NONE;
	case INNER_KEEPALIVE:
		return DROP_NONE;
	case INNER_CONTROL:
		return server_control(s, now, a, p, out);
	default:
		return DROP_MALFORMED;
	}
}

/* No keys at hand for this packet: the first of its session here, or of another cipher. */
static enum drop open_unknown(struct server *s, const struct instant *now, struct active *a,
		struct arrival *p, enum aead aead, struct output *out, struct opened *o)
{
	struct sighting g = {.aead = aead};
	enum drop why;

	memcpy(g.sid, p->d->data + HEADER_TO, SID_SIZE);
	why = sight(s, now, p, &g, out);
	if (why == DROP_NONE && !fresh(s, a, p)) {
		why = DROP_AGE;
		if (!is_time_hello(p->plain, p->len))
			server_time_challenge(s, now, a, &g, p, out);
		else if ((why = server_time_hello_check(now, g.keys, g.sid, p)) == DROP_NONE)
			why = (a = server_activate(s, now, &g)) ?
					server_time_hello(s, now, a, p, out) : DROP_SLOTS;
	} else if (why == DROP_NONE) {
		a = server_activate(s, now, &g);
		if (!a)
			why = DROP_SLOTS;
		else if (!replay_accept(&a->seen, p->number))
			why = DROP_REPLAY;
		else
			why = accepted(s, now, a, p, out, o);
	}
	wipe(&g.s, sizeof g.s);
	return why;
}

static enum drop open_data(struct server *s, const struct instant *now, const struct datagram *d,
		enum aead aead, uint8_t *to, struct output *out, struct opened *o)
{
	struct arrival p = {.d = d, .plain = to};
	struct active *a;
	uint64_t now_16th = time_16th(now->cluster);

	if (d->len < PACKET_OVERHEAD)
		return DROP_SIZE;
	p.len = d->len - PACKET_OVERHEAD;
	p.number = load_be32(d->data + HEADER_NUMBER);
	p.full_t = time_full(now_16th, load_be16(d->data + HEADER_T));
	p.age = (int64_t)(now_16th - p.full_t);
	a = active_find(s->active, d->data + HEADER_TO);
	if (unlikely(!a || a->aead != aead || a->kid != d->data[HEADER_KID] ||
			now->cluster >= a->end))
		return open_unknown(s, now, a, &p, aead, out, o);
	if (unlikely(a->client->removed))
		return DROP_REVOKED;
	if (unlikely(!rx_open(&a->rx, d->data, d->len, to)))
		return DROP_TAG;
	if (unlikely(!fresh(s, a, &p))) {
		if (is_time_hello(p.plain, p.len))
			return server_time_hello(s, now, a, &p, out);
		struct sighting g = {.aead = aead, .keys = active_epoch_keys(s, a)};
		memcpy(g.sid, a->sid, SID_SIZE);
		server_time_challenge(s, now, a, &g, &p, out);
		return DROP_AGE;
	}
	if (unlikely(!replay_accept(&a->seen, p.number)))
		return DROP_REPLAY;
	return accepted(s, now, a, &p, out, o);
}

enum drop server_open(struct server *s, const struct instant *now, const struct datagram *d,
		uint8_t *to, struct output *out, struct opened *o)
{
	o->len = 0;
	if (d->len < HEADER_SIZE)
		return DROP_SIZE;
	if (unlikely(atomic_load_explicit(&s->cut_off, memory_order_relaxed)))
		return DROP_CUT_OFF;
	if ((d->data[0] & 0xf0) != WIRE_MAGIC)
		return DROP_TYPE;
	switch (d->data[0] & 0x0f) {
	case WIRE_DATA_UP:
		return open_data(s, now, d, AEAD_AES_256_GCM, to, out, o);
	case WIRE_DATA_UP_CHACHA:
		return open_data(s, now, d, AEAD_CHACHA20_POLY1305, to, out, o);
	case WIRE_HANDSHAKE_1:
		return server_handshake(s, now, d, out);
	case WIRE_TICKET_UP:
		return server_ticket(s, now, d, AEAD_AES_256_GCM);
	case WIRE_TICKET_UP_CHACHA:
		return server_ticket(s, now, d, AEAD_CHACHA20_POLY1305);
	default:
		return DROP_TYPE;
	}
}

static enum drop downstream_unknown(struct server *s, const struct instant *now, struct client *c,
		struct downstream *down)
{
	const struct session_record *r = down->record;
	struct sighting g = {.client = c, .aead = r->aead};

	g.keys = server_epoch_keys(s, r->kid, r->epoch, r->sid, c->index);
	if (!g.keys)
		return DROP_NO_SESSION;
	memcpy(g.sid, r->sid, SID_SIZE);
	session_secret(g.keys, g.sid, c->public, g.s);
	down->active = server_activate(s, now, &g);
	wipe(&g.s, sizeof g.s);
	if (!down->active)
		return DROP_SLOTS;
	server_need_tx(s, now, down->active);
	return DROP_NONE;
}

/* Its packets tell this server of it only if the network brings them here. */
static void miss_record(struct server *s, const struct instant *now, const struct client *c)
{
	uint64_t hash = server_hash(s, &c->index, sizeof c->index);

	if (s->record_missing && limiter_pass(&s->asks, hash, (uint32_t)(now->boot / ASK_WINDOW), 1) &&
			limiter_pass_all(&s->ask_second, (uint32_t)(now->boot / TICKS_PER_SEC),
					ASKS_A_SECOND))
		s->record_missing(s->record_missing_arg, c->index);
}

enum drop server_downstream(struct server *s, const struct instant *now, struct client *c,
		struct downstream *down)
{
	down->record = atomic_load_explicit(&c->session, memory_order_acquire);
	if (c->removed)
		return DROP_NO_SESSION;
	if (!down->record || time_seconds(now->cluster) >= session_end(down->record->epoch)) {
		miss_record(s, now, c);
		return DROP_NO_SESSION;
	}
	if (unlikely(atomic_load_explicit(&s->cut_off, memory_order_relaxed)))
		return DROP_CUT_OFF;
	down->active = active_find(s->active, down->record->sid);
	if (unlikely(!down->active ||
			!atomic_load_explicit(&down->active->has_tx, memory_order_acquire))) {
		enum drop why = downstream_unknown(s, now, c, down);
		if (why != DROP_NONE)
			return why;
	}
	if (atomic_load_explicit(&down->active->last_used, memory_order_relaxed) != now->boot)
		atomic_store_explicit(&down->active->last_used, now->boot, memory_order_relaxed);
	return DROP_NONE;
}
