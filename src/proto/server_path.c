/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Where a client is: challenges, HELLOs and path MTU probes (PROTOCOL.md,
 * "Where the client is" and "Path MTU").
 *
 * An endpoint moves only by a cookie, which any server can check, to the
 * address that the cookie proves, whatever the source of the HELLO was: to
 * insist on the source would let an attacker's racing copy block a real move.
 * No reply is larger than what caused it, except a probe, which only ever goes
 * to a proven endpoint and is counted.
 */
#include "proto/server_internal.h"

#include <errno.h>
#include <stdlib.h>

#define CHALLENGE_WINDOW TICKS_MS(100) /* one a window and session */
#define SILENT_START     TICKS_MS(100) /* no challenge while the first HELLO may be on its way */
#define PROBES_A_SECOND  4
#define ICMP_A_SECOND    10 /* believed enough to look into */
#define TIME_AGE_MIN     -32
#define TIME_AGE_MAX     480 /* 1/16 s */

void server_reply(struct server *s, const struct instant *now, struct tx_key *tx,
		const struct endpoint *to, uint8_t *plain, size_t len, struct output *out)
{
	struct tx_run run = {0};
	uint32_t number;

	if (!tx_number(&run, tx, 1, &s->limits, &number))
		return;
	tx_count(tx, len, 1);
	len = tx_seal(tx, (uint16_t)time_16th(now->cluster), number, plain, len, plain - HEADER_SIZE);
	out->send(out, to, plain - HEADER_SIZE, len);
}

struct reply_room {
	uint8_t header[HEADER_SIZE];
	uint8_t plain[64];
	uint8_t tag[TAG_SIZE];
};

static bool may_challenge(struct server *s, const struct instant *now, const uint8_t sid[SID_SIZE],
		const struct arrival *p)
{
	uint32_t window = (uint32_t)(now->boot / CHALLENGE_WINDOW);

	return p->d->len >= CHALLENGE_SIZE + PACKET_OVERHEAD &&
	       limiter_pass(&s->challenges, server_hash(s, sid, SID_SIZE), window, 1);
}

static void challenge(struct server *s, const struct instant *now, const struct epoch_keys *k,
		const uint8_t sid[SID_SIZE], enum path_kind kind, struct tx_key *tx,
		const struct arrival *p, struct output *out)
{
	struct challenge c = {.kind = (uint8_t)kind, .address = *p->d->from, .time = now->cluster};
	struct reply_room room;

	cookie_make(k, c.kind, sid, &c.address, now->cluster, c.cookie);
	server_event(s, kind == KIND_TIME ? SERVER_TIME_CHALLENGES : SERVER_PATH_CHALLENGES);
	server_reply(s, now, tx, p->d->from, room.plain, challenge_write(room.plain, &c), out);
}

void server_time_challenge(struct server *s, const struct instant *now, struct active *a,
		const struct sighting *g, const struct arrival *p, struct output *out)
{
	struct tx_key tx;

	if (!g->keys || !may_challenge(s, now, g->sid, p))
		return;
	if (a && a->aead == g->aead) {
		server_need_tx(s, now, a);
		challenge(s, now, g->keys, g->sid, KIND_TIME, &a->tx, p, out);
	} else if (server_tx_once(s, now, g, &tx)) { /* may be a replay: no table changes for it */
		challenge(s, now, g->keys, g->sid, KIND_TIME, &tx, p, out);
		wipe(&tx, sizeof tx);
	}
}

void server_unproven(struct server *s, const struct instant *now, struct active *a,
		const struct arrival *p, const struct session_record *record, struct output *out)
{
	const struct epoch_keys *k;

	if ((p->len && p->plain[0] == (0x10 | CONTROL_HELLO)) ||
			((!record || memcmp(record->sid, a->sid, SID_SIZE) != 0) &&
			 now->boot < a->first_seen + SILENT_START))
		return;
	/* sent before the move that brought the record here, and only now arrived */
	if (record && !server_version_newer(p->full_t, a->epoch, p->number, record))
		return;
	k = active_epoch_keys(s, a);
	if (!k || !may_challenge(s, now, a->sid, p))
		return;
	server_need_tx(s, now, a);
	challenge(s, now, k, a->sid, KIND_PATH, &a->tx, p, out);
}

static void acknowledge(struct server *s, const struct instant *now, struct active *a,
		const struct arrival *p, const struct hello *h, struct output *out)
{
	struct hello_ack ack = {.number = p->number};
	struct reply_room room;

	server_need_tx(s, now, a);
	server_reply(s, now, &a->tx, &h->address, room.plain, hello_ack_write(room.plain, &ack), out);
}

static enum drop server_hello(struct server *s, const struct instant *now, struct active *a,
		const struct arrival *p, const struct hello *h, struct output *out)
{
	const struct epoch_keys *k = active_epoch_keys(s, a);
	enum drop why;

	switch (k ? cookie_check(k, h->kind, a->sid, &h->address, now->cluster, h->cookie) : -1) {
	case 0:
		break;
	case -ETIME:
		if (server_hello_known(s, a, p, h)) { /* where a round trip is long: a repeat */
			acknowledge(s, now, a, p, h, out);
			return DROP_NONE;
		}
		if (may_challenge(s, now, a->sid, p)) {
			server_need_tx(s, now, a);
			challenge(s, now, k, a->sid, h->kind, &a->tx, p, out);
		}
		return DROP_COOKIE;
	default:
		return DROP_COOKIE;
	}
	pthread_mutex_lock(&s->lock);
	why = server_hello_apply(s, now, a, p, h);
	pthread_mutex_unlock(&s->lock);
	if (why == DROP_NONE)
		acknowledge(s, now, a, p, h, out);
	return why;
}

bool is_time_hello(const uint8_t *plain, size_t len)
{
	return len >= HELLO_FIXED && plain[0] == (0x10 | CONTROL_HELLO) && plain[1] == KIND_TIME;
}

enum drop server_time_hello_check(const struct instant *now, const struct epoch_keys *k,
		const uint8_t sid[SID_SIZE], const struct arrival *p)
{
	struct hello h;

	if (p->age < TIME_AGE_MIN || p->age > TIME_AGE_MAX)
		return DROP_AGE;
	if (!hello_read(&h, p->plain, p->len))
		return DROP_MALFORMED;
	if (!k || cookie_check(k, KIND_TIME, sid, &h.address, now->cluster, h.cookie) != 0)
		return DROP_COOKIE;
	return DROP_NONE;
}

/*
 * Answers a challenge of kind TIME: the cookie shows that the client's packets
 * really take this long (or that its clock is off by as much), so the session's
 * calibration follows.  The cookie comes before the bitmap.
 */
enum drop server_time_hello(struct server *s, const struct instant *now, struct active *a,
		const struct arrival *p, struct output *out)
{
	const struct epoch_keys *k = active_epoch_keys(s, a);
	enum drop why = server_time_hello_check(now, k, a->sid, p);
	struct hello h;

	if (why != DROP_NONE)
		return why;
	if (!hello_read(&h, p->plain, p->len))
		return DROP_MALFORMED;
	if (!replay_accept(&a->seen, p->number))
		return DROP_REPLAY;
	atomic_store_explicit(&a->off, (int16_t)p->age, memory_order_relaxed);
	atomic_store_explicit(&a->calibrated, true, memory_order_release);
	atomic_store_explicit(&a->last_used, now->boot, memory_order_relaxed);
	return server_hello(s, now, a, p, &h, out);
}

/* ---- path MTU: the client probes, the server answers and, when asked, sends a probe ---- */

static enum drop answer_probe(struct server *s, const struct instant *now, struct active *a,
		const struct arrival *p, struct output *out)
{
	struct probe probe;
	struct probe_ack ack;
	struct reply_room room;

	if (!probe_read(&probe, p->plain, p->len))
		return DROP_MALFORMED;
	/* the address may be unproven, and be challenged for the same packet */
	if (p->d->len < PROBE_ACK_SIZE + CHALLENGE_SIZE + 2 * PACKET_OVERHEAD)
		return DROP_BUDGET;
	ack = (struct probe_ack){.size = probe.size, .id = probe.id};
	memcpy(ack.sender, s->sender, SENDER_SIZE);
	server_need_tx(s, now, a);
	server_reply(s, now, &a->tx, p->d->from, room.plain, probe_ack_write(room.plain, &ack), out);
	return DROP_NONE;
}

static bool probe_budget(struct server *s, const struct instant *now, struct active *a)
{
	bool pass;

	pthread_mutex_lock(&s->lock);
	if (now->boot >= a->probe_window + TICKS_PER_SEC) {
		a->probe_window = now->boot;
		a->probes = 0;
	}
	pass = a->probes < PROBES_A_SECOND;
	a->probes += pass;
	pthread_mutex_unlock(&s->lock);
	return pass;
}

static enum drop send_probe(struct server *s, const struct instant *now, struct active *a,
		const struct arrival *p, struct output *out)
{
	const struct session_record *r =
			atomic_load_explicit(&a->client->session, memory_order_acquire);
	uint8_t room[PROBE_SIZE_MAX] = {0}, *plain = room + HEADER_SIZE;
	struct probe probe;
	size_t overhead;

	if (!probe_read(&probe, p->plain, p->len))
		return DROP_MALFORMED;
	if (!r || !endpoint_equal(&r->endpoint, p->d->from))
		return DROP_BUDGET;
	overhead = outer_overhead(addr_is_v4(r->endpoint.ip)) + PACKET_OVERHEAD;
	if (probe.size > PROBE_SIZE_MAX || probe.size < overhead + PROBE_FIXED)
		return DROP_MALFORMED;
	if (!probe_budget(s, now, a))
		return DROP_RATE;
	probe_write(plain, CONTROL_PROBE, &probe);
	server_event(s, SERVER_PROBES);
	server_need_tx(s, now, a);
	server_reply(s, now, &a->tx, &r->endpoint, plain, probe.size - overhead, out);
	return DROP_NONE;
}

/* The session whose sending state made this header: a rare question, so it may take a walk. */
static struct active *sender_of(struct server *s, const struct header *h)
{
	for (uint64_t b = 0; b <= s->active->mask; b++)
		for (struct active *a = atomic_load_explicit(&s->active->bucket[b], memory_order_acquire);
				a; a = atomic_load_explicit(&a->next, memory_order_acquire))
			if (atomic_load_explicit(&a->has_tx, memory_order_acquire) &&
					a->kid == h->kid && a->tx.header.type == h->type &&
					!memcmp(a->tx.header.to, h->to, SID_SIZE) &&
					h->number >= a->tx.first && h->number < a->tx.next)
				return a;
	return NULL;
}

void server_too_big(struct server *s, const struct instant *now, const uint8_t *quoted, size_t len,
		struct output *out)
{
	struct probe ask = {0};
	struct reply_room room;
	struct downstream down;
	struct active *a;
	struct header h;

	if (len < HEADER_SIZE || (quoted[0] & 0xf0) != WIRE_MAGIC ||
			!limiter_pass_all(&s->icmp_second, (uint32_t)(now->boot / TICKS_PER_SEC),
					ICMP_A_SECOND))
		return;
	header_load(&h, quoted);
	if (memcmp(h.to, s->sender, SENDER_SIZE) != 0) {
		/* the network brought the error to another server than the one that sent */
		if (s->others_too_big && load_be16(h.to) != load_be16(s->sender))
			s->others_too_big(s->others_too_big_arg, load_be16(h.to), quoted);
		return;
	}
	a = sender_of(s, &h);
	if (!a || server_downstream(s, now, a->client, &down) != DROP_NONE)
		return;
	server_event(s, SERVER_TOO_BIG);
	server_reply(s, now, &down.active->tx, &down.record->endpoint, room.plain,
			probe_write(room.plain, CONTROL_PROBE_REQ, &ask), out);
}

enum drop server_control(struct server *s, const struct instant *now, struct active *a,
		const struct arrival *p, struct output *out)
{
	struct hello h;

	switch (p->plain[0] & 0x0f) {
	case CONTROL_HELLO:
		return hello_read(&h, p->plain, p->len) ? server_hello(s, now, a, p, &h, out) :
							  DROP_MALFORMED;
	case CONTROL_PROBE:
		return answer_probe(s, now, a, p, out);
	case CONTROL_PROBE_REQ:
		return send_probe(s, now, a, p, out);
	case CONTROL_RELAY:
		return server_relay(s, now, a, p, out);
	default:
		return DROP_MALFORMED;
	}
}
