/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "proto/uplink_internal.h"

#include <errno.h>
#include <stdlib.h>

#define FIRST_SIGHT_AGE 160 /* 1/16 s: age of the first packet of a sender */
#define QUOTE_AGE       32  /* 1/16 s: only packets this young are believed to be quoted */
#define WOKEN_AFTER     TICKS_S(5)
#define SILENCE         TICKS_S(3)
#define LONG_SILENCE    TICKS_S(60)
#define FIRST_ASK       TICKS_MS(100)
#define ASK_EACH        TICKS_S(10)
#define MUCH            16 /* packets */

const char *uplink_event_key(enum uplink_event e)
{
	static const char *const keys[] = {
#define X(name, key, text) [UPLINK_EV_##name] = key,
		UPLINK_EVENTS(X)
#undef X
	};
	return keys[e];
}

int uplink_init(struct uplink *u, const struct uplink_options *o, const struct instant *now)
{
	memset(u, 0, sizeof *u);
	u->o = *o;
	key_pair_from_secret(&u->own, o->secret);
	pmtu_begin(&u->up, TICKS_MS(60), now->boot);
	pmtu_begin(&u->down, TICKS_MS(260), now->boot); /* servers send 4 a second */
	random_bytes(&u->random, sizeof u->random);
	u->random |= 1;
	u->last_tick = now->boot;
	u->rtt = TICKS_MS(100);
	if (o->keepalive)
		handshake_want(u, now);
	return 0;
}

void session_end_now(struct uplink_session *s)
{
	for (unsigned i = 0; i < s->sender_count; i++) {
		wipe(s->sender[i], sizeof *s->sender[i]);
		free(s->sender[i]);
	}
	wipe(s, sizeof *s);
}

void uplink_free(struct uplink *u)
{
	for (unsigned i = 0; i < UPLINK_SESSIONS; i++)
		session_end_now(&u->session[i]);
	wipe(u, sizeof *u);
}

ticks uplink_jitter(struct uplink *u, ticks x)
{
	u->random ^= u->random << 13; /* xorshift: spreads retries, keeps no secret */
	u->random ^= u->random >> 17;
	u->random ^= u->random << 5;
	return x * 3 / 4 + x / 2 * (u->random >> 16) / 65536;
}

uint16_t uplink_time(struct uplink *u, const struct instant *now)
{
	uint64_t t = time_16th(uplink_cluster(u, now));

	u->last_t = MAX(u->last_t, t);
	return (uint16_t)u->last_t;
}

void uplink_send(struct uplink *u, const struct instant *now, uint8_t *plain, size_t len,
		struct output *out)
{
	struct tx_run run = {0};
	uint32_t number;

	if (!u->newest || !tx_number(&run, &u->newest->tx, 1, &u->o.limits, &number))
		return;
	if (len + PACKET_OVERHEAD < UPSTREAM_MIN) {
		memset(plain + len, 0, UPSTREAM_MIN - PACKET_OVERHEAD - len);
		len = UPSTREAM_MIN - PACKET_OVERHEAD;
	}
	tx_count(&u->newest->tx, len, 1);
	u->last_sent = now->boot;
	len = tx_seal(&u->newest->tx, uplink_time(u, now), number, plain, len, plain - HEADER_SIZE);
	out->send(out, uplink_server(u), plain - HEADER_SIZE, len);
}

void uplink_keepalive(struct uplink *u, const struct instant *now, struct output *out)
{
	uint8_t room[UPSTREAM_MIN];

	u->events[UPLINK_EV_KEEPALIVES]++;
	uplink_send(u, now, room + HEADER_SIZE, 0, out);
}

/* ---- receiving ---- */

static struct uplink_session *session_of(struct uplink *u, const struct header *h)
{
	for (unsigned i = 0; i < UPLINK_SESSIONS; i++)
		if (u->session[i].live && u->session[i].kid == h->kid &&
				!memcmp(u->session[i].sid + SENDER_SIZE, h->to + SENDER_SIZE,
						SID_SIZE - SENDER_SIZE))
			return &u->session[i];
	return NULL;
}

static struct uplink_sender *sender_of(struct uplink_session *s, const struct header *h)
{
	for (unsigned i = 0; i < s->sender_count; i++)
		if (!memcmp(s->sender[i]->id, h->to, SENDER_SIZE) &&
				s->sender[i]->rx.key.aead == (enum aead)(h->type / 2))
			return s->sender[i];
	return NULL;
}

static void note_sender(struct uplink *u, const struct instant *now, struct uplink_sender *sender)
{
	sender->noted = now->boot;
	pmtu_heard(&u->up, sender->id, now->boot);
	pmtu_heard(&u->down, sender->id, now->boot);
}

/*
 * The first packet of a server in this session.  A sender is only remembered
 * once its tag has been verified and the packet is young; afterwards its bitmap
 * is enough, since it is kept as long as the session lives.
 */
static enum drop first_of_sender(struct uplink *u, const struct instant *now,
		struct uplink_session *s, const struct header *h, const struct datagram *d,
		uint8_t *to, struct uplink_sender **sender)
{
	uint64_t now_16th = time_16th(uplink_cluster(u, now));
	int64_t age = (int64_t)(now_16th - time_full(now_16th, h->t));
	struct uplink_sender *new;

	if (s->sender_count == UPLINK_SENDERS) {
		handshake_want(u, now);
		return DROP_SENDER;
	}
	new = aligned_alloc(64, sizeof *new);
	if (!new)
		return DROP_SENDER;
	memset(new, 0, sizeof *new);
	memcpy(new->id, h->to, SENDER_SIZE);
	rx_key_down(&new->rx, s->s, (enum aead)(h->type / 2), h->to);
	if (!rx_open(&new->rx, d->data, d->len, to) || age < -FIRST_SIGHT_AGE ||
			age > FIRST_SIGHT_AGE) {
		enum drop why = age < -FIRST_SIGHT_AGE || age > FIRST_SIGHT_AGE ? DROP_AGE : DROP_TAG;
		wipe(new, sizeof *new);
		free(new);
		return why;
	}
	s->sender[s->sender_count++] = new;
	note_sender(u, now, new);
	*sender = new;
	return DROP_NONE;
}

static enum drop open_data(struct uplink *u, const struct instant *now, const struct datagram *d,
		uint8_t *to, struct output *out, size_t *len)
{
	struct uplink_sender *sender;
	struct uplink_session *s;
	struct header h;
	enum drop why;

	if (d->len < PACKET_OVERHEAD)
		return DROP_SIZE;
	header_load(&h, d->data);
	s = session_of(u, &h);
	if (!s || uplink_cluster(u, now) >= s->end)
		return DROP_KID;
	sender = sender_of(s, &h);
	if (unlikely(!sender)) {
		why = first_of_sender(u, now, s, &h, d, to, &sender);
		if (why != DROP_NONE)
			return why;
	} else if (unlikely(!rx_open(&sender->rx, d->data, d->len, to))) {
		return DROP_TAG;
	}
	if (unlikely(!replay_accept(&sender->seen, h.number)))
		return DROP_REPLAY;
	if (unlikely(now->boot > sender->noted + TICKS_PER_SEC))
		note_sender(u, now, sender);
	sender->packets++;
	sender->blocks += d->len / 16 + 1;
	if (unlikely((sender->packets >= u->o.limits.soft_packets ||
			     sender->blocks >= u->o.limits.soft_blocks) && s == u->newest))
		handshake_want(u, now);
	*len = 0;
	switch (d->len > PACKET_OVERHEAD ? to[0] >> 4 : INNER_KEEPALIVE) {
	case INNER_IPV4:
	case INNER_IPV6:
	case INNER_PIECE:
	case INNER_ETHERNET:
		*len = d->len - PACKET_OVERHEAD;
		u->last_data = now->boot;
		u->unanswered = 0;
		return DROP_NONE;
	case INNER_KEEPALIVE:
		return DROP_NONE;
	case INNER_CONTROL:
		return uplink_control(u, now, s, d, to, d->len - PACKET_OVERHEAD, out);
	default:
		return DROP_MALFORMED;
	}
}

/* A header that we may have sent in the last 2 s in the newest session. */
static bool recently_sent(const struct uplink *u, const struct header *h)
{
	const struct uplink_session *s = u->newest;

	return s && h->type == s->tx.header.type && h->kid == s->kid &&
	       !memcmp(h->to, s->sid, SID_SIZE) && h->number >= s->tx.first &&
	       h->number < s->tx.next && (uint16_t)((uint16_t)u->last_t - h->t) <= QUOTE_AGE;
}

/*
 * Somebody says that a server did not know our session.  Unauthenticated, so it
 * is believed only if it quotes a header that we may have sent in the last 2 s
 * in the newest session (64 bits of session id that an outsider does not see),
 * acted upon once a second, and never costs us the session.
 */
static enum drop open_hint(struct uplink *u, const struct instant *now, const struct datagram *d,
		struct output *out)
{
	struct header h;

	if (d->len != HINT_SIZE)
		return DROP_SIZE;
	header_load(&h, d->data + HEADER_SIZE);
	if (d->data[2] > HINT_INDEX || !recently_sent(u, &h))
		return DROP_STALE;
	if (u->last_hint && now->boot - u->last_hint < TICKS_PER_SEC)
		return DROP_RATE;
	u->last_hint = now->boot;
	u->events[UPLINK_EV_HINTS]++;
	if (d->data[2] == HINT_INDEX && u->newest->ticket_len && u->hello.known)
		hello_with_ticket(u, now, out);
	else
		handshake_hurry(u, now);
	return DROP_NONE;
}

enum drop uplink_open(struct uplink *u, const struct instant *now, const struct datagram *d,
		uint8_t *to, struct output *out, size_t *len)
{
	*len = 0;
	if (d->len < HEADER_SIZE)
		return DROP_SIZE;
	if ((d->data[0] & 0xf0) != WIRE_MAGIC)
		return DROP_TYPE;
	switch (d->data[0] & 0x0f) {
	case WIRE_DATA_DOWN:
	case WIRE_DATA_DOWN_CHACHA:
		return open_data(u, now, d, to, out, len);
	case WIRE_HANDSHAKE_2:
		return handshake_message2(u, now, d, out);
	case WIRE_RETRY:
		return handshake_retry(u, now, d, out);
	case WIRE_HINT:
		return open_hint(u, now, d, out);
	default:
		return DROP_TYPE;
	}
}

/* ---- sending ---- */

bool uplink_ready(struct uplink *u, const struct instant *now, struct output *out)
{
	if (u->newest && uplink_cluster(u, now) >= u->newest->end)
		u->newest = NULL;
	if (u->newest && now->boot < u->newest->renew && !tx_worn(&u->newest->tx, &u->o.limits))
		return true;
	handshake_want(u, now);
	handshake_step(u, now, out);
	return u->newest != NULL;
}

unsigned uplink_plain_max(const struct uplink *u, const struct instant *now)
{
	return pmtu_value(&u->up, now->boot) - outer_overhead(addr_is_v4(uplink_server(u)->ip)) -
	       PACKET_OVERHEAD;
}

unsigned uplink_tunnel_mtu(const struct uplink *u, const struct instant *now)
{
	unsigned least = MIN(pmtu_value(&u->up, now->boot), pmtu_value(&u->down, now->boot));

	/* reckoned with IPv6 outside, so that it stays when the client changes family */
	return MAX(least - outer_overhead(false) - PACKET_OVERHEAD, 1280);
}

void uplink_too_big(struct uplink *u, const struct instant *now, const uint8_t *quoted, size_t len)
{
	struct header h;

	if (len < HEADER_SIZE || (quoted[0] & 0xf0) != WIRE_MAGIC)
		return;
	header_load(&h, quoted);
	if (recently_sent(u, &h))
		pmtu_doubt(&u->up, now->boot);
}

bool uplink_remember(const struct uplink *u, const struct instant *now, struct pmtu_memory *m)
{
	if (!u->newest || !u->newest->confirmed)
		return false;
	if (memcmp(m->ip, u->hello.address.ip, sizeof m->ip) != 0)
		m->count = 0;
	memcpy(m->ip, u->hello.address.ip, sizeof m->ip);
	return pmtu_remember(&u->down, m, now->boot);
}

/* ---- time ---- */

static void end_sessions(struct uplink *u, const struct instant *now)
{
	for (unsigned i = 0; i < UPLINK_SESSIONS; i++) {
		struct uplink_session *s = &u->session[i];

		if (!s->live || uplink_cluster(u, now) < s->end)
			continue;
		if (u->newest == s)
			u->newest = NULL;
		session_end_now(s);
	}
}

void uplink_moved(struct uplink *u, const struct instant *now, struct output *out)
{
	end_sessions(u, now);
	if (u->o.unlinkable)
		u->newest = NULL; /* the old session may be heard, but not be seen here */
	if (!u->newest) {
		handshake_want(u, now);
		u->handshake.next = now->boot;
		handshake_step(u, now, out);
		return;
	}
	uplink_keepalive(u, now, out); /* if the address is new, a challenge comes at once */
	hello_again(u, now, out);      /* and if that is lost, so that something follows */
	pmtu_restart(&u->up, now->boot);
	pmtu_restart(&u->down, now->boot);
}

void uplink_sends(struct uplink *u, const struct instant *now)
{
	u->last_sent = u->last_data = now->boot;
	if (u->unanswered)
		return;
	u->unanswered = now->boot;
	u->ask_after = MAX(3 * u->rtt, FIRST_ASK);
	u->search_after = SILENCE;
}

/*
 * When to ask who is there.  Data that nothing comes back for: perhaps the route has
 * changed to a server that large packets do not reach; a small one does, and its answer
 * says that this server is new.  And from time to time where there is much, since what
 * comes back may be from other servers.
 */
static ticks ask_at(const struct uplink *u)
{
	bool much = u->newest->tx.next >= u->asked_next + MUCH;
	ticks next = much ? u->asked + ASK_EACH : UINT64_MAX;

	if (u->last_data <= u->asked)
		return UINT64_MAX;
	return u->unanswered ? MIN(next, MAX(u->unanswered, u->asked) + u->ask_after) : next;
}

static void ask_who_is_there(struct uplink *u, const struct instant *now, struct output *out)
{
	if (!u->newest || now->boot < ask_at(u))
		return;
	u->asked = now->boot;
	ask_for_server(u, now, out);
	u->asked_next = u->newest->tx.next;
	if (!u->unanswered || now->boot < u->unanswered + u->ask_after)
		return;
	u->ask_after = MIN(2 * u->ask_after, SILENCE);
	if (now->boot < u->unanswered + u->search_after)
		return;
	/* Or the path to this one has become narrow.  Or nobody ever answers: so ever more rarely. */
	u->search_after += MIN(u->search_after, LONG_SILENCE);
	pmtu_restart(&u->up, now->boot);
	pmtu_restart(&u->down, now->boot);
}

static void renew_session(struct uplink *u, const struct instant *now)
{
	struct uplink_session *s = u->newest;

	if (!s) {
		if (u->o.keepalive)
			handshake_want(u, now);
		return;
	}
	/* an idle client without keep-alive lets its session end */
	if (now->boot >= s->renew && (u->o.keepalive || u->last_data >= s->born))
		handshake_want(u, now);
	if (tx_worn(&s->tx, &u->o.limits))
		handshake_want(u, now);
}

ticks uplink_deadline(const struct uplink *u, const struct instant *now)
{
	ticks next = now->boot + TICKS_S(1);

	if (u->handshake.wanted)
		next = MIN(next, u->handshake.next);
	if (u->hello.pending)
		next = MIN(next, u->hello.next);
	if (u->newest && u->newest->confirmed)
		next = MIN(next, MIN(u->up.next, u->down.next));
	if (u->newest)
		next = MIN(next, ask_at(u));
	next = MIN(next, relay_deadline(u));
	return MAX(next, now->boot);
}

ticks uplink_tick(struct uplink *u, const struct instant *now, struct output *out)
{
	bool woken = now->boot > u->last_tick + WOKEN_AFTER;

	u->last_tick = now->boot;
	end_sessions(u, now);
	if (woken)
		uplink_moved(u, now, out);
	renew_session(u, now);
	handshake_step(u, now, out);
	hello_step(u, now, out);
	probe_step(u, now, out);
	relay_step(u, now, out);
	ask_who_is_there(u, now, out);
	if (u->newest && u->o.keepalive && now->boot >= u->last_sent + TICKS_S(u->o.keepalive))
		uplink_keepalive(u, now, out);
	return uplink_deadline(u, now);
}
