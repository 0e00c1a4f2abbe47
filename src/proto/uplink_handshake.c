/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Handshakes at the client.  One may run beside living sessions; it ends with
 * the first good answer to any of the last attempts.  A repeat sends the same
 * bytes, or has a new ephemeral: never the same ephemeral with other input.
 */
#include "proto/uplink_internal.h"

#define NEW_EPHEMERAL_FROM 3  /* third try */
#define AHEAD_ACCEPTED     32 /* 1/16 s */

void handshake_want(struct uplink *u, const struct instant *now)
{
	if (u->handshake.wanted)
		return;
	u->handshake.wanted = true;
	u->handshake.tries = 0;
	u->handshake.next = now->boot;
}

void handshake_hurry(struct uplink *u, const struct instant *now)
{
	handshake_want(u, now);
	u->handshake.next = MIN(u->handshake.next, now->boot);
}

/*
 * The newest key and the present server first; from the third try the next ones
 * in turn.  Not the one that worked last: two lost packets would then bring a
 * client back to a key that its cluster is about to give up.
 */
static const uint8_t *key_for_try(const struct uplink *u, unsigned tries)
{
	return u->o.cluster_keys[tries < 3 ? 0 : (tries - 2) % u->o.cluster_key_count];
}

static bool new_attempt(struct uplink *u)
{
	struct uplink_handshake *h = &u->handshake;
	struct offer offer = {
		.version_count = 1,
		.versions = {PROTOCOL_VERSION},
		.aead_count = AEAD_COUNT,
		.aeads = {(uint8_t)u->o.aead, (uint8_t)!u->o.aead},
	};
	uint8_t ephemeral[KEY_SIZE];
	uint32_t tag;
	int failed;

	random_bytes(ephemeral, sizeof ephemeral);
	random_bytes(&tag, sizeof tag);
	h->present = (h->present + 1) % UPLINK_ATTEMPTS;
	failed = initiator_begin(&h->attempt[h->present].initiator, &u->own, u->o.psk,
			key_for_try(u, h->tries), &offer, ephemeral, tag);
	h->attempt[h->present].used = !failed;
	wipe(ephemeral, sizeof ephemeral);
	return !failed;
}

static void transmit(struct uplink *u, const struct instant *now, struct output *out)
{
	struct uplink_handshake *h = &u->handshake;

	h->attempt[h->present].initiator.retried = false;
	h->attempt[h->present].sent = now->boot;
	u->events[UPLINK_EV_HANDSHAKES_SENT]++;
	out->send(out, uplink_server(u), h->attempt[h->present].initiator.message, MESSAGE1_SIZE);
}

void handshake_step(struct uplink *u, const struct instant *now, struct output *out)
{
	struct uplink_handshake *h = &u->handshake;
	bool fresh;

	if (!h->wanted || now->boot < h->next)
		return;
	h->tries++;
	fresh = h->tries == 1 || h->tries >= NEW_EPHEMERAL_FROM;
	if (h->tries >= NEW_EPHEMERAL_FROM && !u->newest)
		u->server = (u->server + 1) % u->o.server_count;
	h->next = now->boot + uplink_jitter(u, TICKS_S(1 << MIN(h->tries - 1, 4)));
	if (fresh && !new_attempt(u))
		return;
	transmit(u, now, out);
}

enum drop handshake_retry(struct uplink *u, const struct instant *now, const struct datagram *d,
		struct output *out)
{
	struct uplink_handshake *h = &u->handshake;

	if (!h->wanted || !h->attempt[h->present].used ||
			!initiator_retry(&h->attempt[h->present].initiator, d->data, d->len))
		return DROP_STALE;
	u->events[UPLINK_EV_RETRIES]++;
	u->events[UPLINK_EV_HANDSHAKES_SENT]++;
	h->attempt[h->present].sent = now->boot;
	out->send(out, uplink_server(u), h->attempt[h->present].initiator.message, MESSAGE1_SIZE);
	return DROP_NONE;
}

/* One client with itself: the same session id, or one that looks the same downstream. */
static bool repeats_live(const struct uplink *u, const struct grant *g)
{
	for (unsigned i = 0; i < UPLINK_SESSIONS; i++)
		if (u->session[i].live && !memcmp(u->session[i].sid + SENDER_SIZE,
				g->sid + SENDER_SIZE, SID_SIZE - SENDER_SIZE))
			return true;
	return false;
}

static struct uplink_session *free_session(struct uplink *u)
{
	struct uplink_session *oldest = NULL;

	for (unsigned i = 0; i < UPLINK_SESSIONS; i++) {
		struct uplink_session *s = &u->session[i];

		if (!s->live)
			return s;
		if (!oldest || s->born < oldest->born)
			oldest = s;
	}
	session_end_now(oldest);
	return oldest;
}

/*
 * Anywhere in 45 … 80 % of the rest, so that clients do not come all at once.
 * Sessions end with the epochs, which makes waves all the same: in a large cluster
 * the peak is 1.9 times the mean.  From 50 % on it would be 2.3 times, and what
 * flattens that keeps those together who began together (docs/adr/0016).
 */
ticks uplink_renewal(struct uplink *u, ticks rest)
{
	return rest * 45 / 100 + (uplink_jitter(u, rest) - rest * 3 / 4) * 7 / 10;
}

static void begin_session(struct uplink *u, const struct instant *now, const struct grant *g)
{
	struct uplink_session *s = free_session(u);
	ticks cluster, rest;

	u->offset = (int64_t)(g->time + u->rtt / 2 - now->boot);
	u->has_time = true;
	u->followed = false;
	u->asked = now->boot;
	cluster = uplink_cluster(u, now);
	/*
	 * T never goes back, except here, under a new key, and only from where no
	 * server would have accepted it: a clock that was far ahead must not shut us
	 * out until the true time has caught up.
	 */
	if (u->last_t > time_16th(cluster) + AHEAD_ACCEPTED)
		u->last_t = time_16th(cluster);
	s->live = true;
	memcpy(s->sid, g->sid, SID_SIZE);
	memcpy(s->s, g->s, KEY_SIZE);
	s->kid = g->kid;
	s->ticket_len = g->ticket_len;
	memcpy(s->ticket, g->ticket, g->ticket_len);
	s->aead = (enum aead)g->aead;
	s->epoch = (g->end + 5) / EPOCH_SECONDS - 2;
	s->end = TICKS_S(g->end);
	s->born = now->boot;
	rest = s->end > cluster ? s->end - cluster : 0;
	s->renew = now->boot + uplink_renewal(u, rest);
	tx_key_up(&s->tx, s->s, s->aead, s->kid, s->sid, cluster, s->epoch);
	u->asked_next = s->tx.next;
	u->newest = s;
	u->events[UPLINK_EV_SESSIONS]++;
}

static void handshake_done(struct uplink *u)
{
	struct uplink_handshake *h = &u->handshake;

	h->wanted = false;
	for (unsigned i = 0; i < UPLINK_ATTEMPTS; i++) {
		initiator_wipe(&h->attempt[i].initiator);
		h->attempt[i].used = false;
	}
}

/* The first address at which we are seen says whether this is where the memory is of. */
static void recall_path(struct uplink *u, const struct instant *now, const struct endpoint *seen)
{
	if (!memcmp(seen->ip, u->o.memory.ip, sizeof seen->ip))
		pmtu_recall(&u->down, &u->o.memory, now->boot);
	u->o.memory.count = 0;
}

void uplink_set_keys(struct uplink *u, const struct announcement *a)
{
	u->o.keys_version = a->version;
	u->o.cluster_key_count = a->count;
	memcpy(u->o.cluster_keys, a->keys, a->count * KEY_SIZE);
}

/*
 * A server tells of other keys of the cluster.  It is not believed for being a
 * server, since it may be one whose theft is the reason for the change.
 */
static void learn_keys(struct uplink *u, const struct grant *g)
{
	struct announcement a;

	if (!u->o.has_operator ||
			announcement_version(g->announcement, g->announcement_len) <= u->o.keys_version)
		return;
	if (announcement_read(&a, g->announcement, g->announcement_len, u->o.operator_sign) != 0) {
		u->events[UPLINK_EV_KEYS_REFUSED]++;
		return;
	}
	uplink_set_keys(u, &a);
	memcpy(u->learned, g->announcement, g->announcement_len);
	u->learned_len = g->announcement_len;
	u->events[UPLINK_EV_KEYS_LEARNED]++;
}

enum drop handshake_message2(struct uplink *u, const struct instant *now, const struct datagram *d,
		struct output *out)
{
	struct uplink_handshake *h = &u->handshake;
	struct grant grant;
	unsigned i;

	if (!h->wanted)
		return DROP_STALE;
	for (i = 0; i < UPLINK_ATTEMPTS; i++)
		if (h->attempt[i].used && !initiator_finish(&h->attempt[i].initiator, &u->own,
				d->data, d->len, &grant))
			break;
	if (i == UPLINK_ATTEMPTS)
		return DROP_HANDSHAKE;
	if (repeats_live(u, &grant)) {
		wipe(&grant, sizeof grant);
		handshake_done(u);
		handshake_want(u, now);
		u->handshake.next = now->boot + uplink_jitter(u, TICKS_S(1)); /* it is rare, or a server is broken */
		return DROP_HANDSHAKE;
	}
	u->rtt = now->boot - h->attempt[i].sent;
	handshake_done(u);
	begin_session(u, now, &grant);
	recall_path(u, now, &grant.address);
	learn_keys(u, &grant);
	hello_begin(u, now, KIND_PATH, &grant.address, grant.cookie, out);
	wipe(&grant, sizeof grant);
	return DROP_NONE;
}
