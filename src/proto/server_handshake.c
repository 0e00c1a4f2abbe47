/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Message 1 at the server.  It is replayable, and whoever has the cluster's
 * private key can forge it, so it changes nothing: no session, no limit of the
 * client, no table.  A session begins with the first packet that verifies under
 * its secret.  The cheap tests come first; failure is silence.
 */
#include "proto/server_internal.h"

#include <errno.h>
#include "proto/ticket.h"

/* /24 or /56: what one attacker can easily have. */
static uint64_t prefix_hash(const struct server *s, const struct endpoint *from)
{
	uint8_t ip[16];

	memcpy(ip, from->ip, sizeof ip);
	addr_mask(ip, addr_is_v4(ip) ? 96 + 24 : 56);
	return server_hash(s, ip, sizeof ip);
}

static const struct cluster_key *message1_key(const struct server *s, const struct datagram *d)
{
	const struct cluster_keyset *set = atomic_load_explicit(&s->cluster, memory_order_acquire);

	for (unsigned i = 0; i < set->count; i++) /* two keys may share an id: mac1 tells */
		if (set->key[i].id == d->data[1] &&
				message1_check(d->data, d->len, set->key[i].mac_key))
			return &set->key[i];
	return NULL;
}

/* Which keys of the cluster are good, if that is to be told. */
static void fill_announcement(const struct server *s, struct grant *g)
{
	const struct cluster_keyset *set = atomic_load_explicit(&s->cluster, memory_order_acquire);

	if (!atomic_load_explicit(&s->announcing, memory_order_relaxed))
		return;
	g->announcement_len = set->announcement_len;
	memcpy(g->announcement, set->announcement, set->announcement_len);
}

/* What payload 2 grants; r->noise.h names the session. */
static void fill_grant(const struct server *s, const struct instant *now, const struct client *c,
		const struct offer *offer, const struct responder *r, const struct endpoint *from,
		struct grant *g)
{
	const struct keyring *ring = atomic_load_explicit(&s->keyring, memory_order_acquire);
	const struct epoch_keys *k = keyring_issuer(ring);

	memset(g, 0, sizeof *g);
	sid_make(k, r->noise.h, c->index, g->sid);
	session_secret(k, g->sid, c->public, g->s);
	g->end = (uint32_t)session_end(k->epoch);
	g->time = now->cluster;
	g->address = *from;
	cookie_make(k, KIND_PATH, g->sid, from, now->cluster, g->cookie);
	g->version = PROTOCOL_VERSION;
	g->aead = offer->aeads[0]; /* the client's best that we know */
	g->kid = k->kid;
	if (s->client_lent)
		g->ticket_len = (uint16_t)ticket_make(k, g->sid, c, g->ticket);
	fill_announcement(s, g);
}

/* Under load, only those who have shown that they receive at their address cost us a DH. */
static enum drop rate_check(struct server *s, const struct instant *now, const struct datagram *d,
		const struct cluster_key *key, struct output *out)
{
	const struct keyring *ring = atomic_load_explicit(&s->keyring, memory_order_acquire);
	uint32_t second = (uint32_t)(now->boot / TICKS_PER_SEC);
	uint8_t token[TOKEN_SIZE], retry[RETRY_SIZE];

	/* who has proven his address has a limit of his own, which nobody else can use up */
	if (token_check(ring, d->from, now->cluster, d->data + MESSAGE1_TOKEN))
		return limiter_pass(&s->proven, prefix_hash(s, d->from), second,
				       s->handshake_prefix_rate) ?
				DROP_NONE : DROP_RATE;
	if (!limiter_pass_all(&s->handshake_second, second, s->handshake_rate) ||
			!limiter_pass(&s->handshakes, prefix_hash(s, d->from), second,
					s->handshake_prefix_rate)) {
		token_make(keyring_issuer(ring), d->from, now->cluster, token);
		retry_write(d->data, token, key->mac_key, retry);
		server_event(s, SERVER_RETRIES);
		out->send(out, d->from, retry, sizeof retry);
		return DROP_TOKEN;
	}
	return DROP_NONE;
}

/*
 * The static-static part of a client's key.  A DH, so it is kept: made when the
 * client first shakes hands, not for all clients when they are read.
 */
static int client_ss(struct server *s, const struct cluster_key *key, struct client *c,
		uint8_t ss[KEY_SIZE])
{
	uint8_t made = atomic_load_explicit(&c->ss_of, memory_order_acquire);

	if (made == key->serial) {
		memcpy(ss, c->ss, KEY_SIZE);
		return 0;
	}
	if (x25519(key->pair.secret, c->public, ss) != 0)
		return -EPROTO;
	if (made)
		return 0; /* there is one for another of our keys */
	pthread_mutex_lock(&s->lock);
	if (!c->ss_of) {
		memcpy(c->ss, ss, KEY_SIZE);
		atomic_store_explicit(&c->ss_of, key->serial, memory_order_release);
	}
	pthread_mutex_unlock(&s->lock);
	return 0;
}

/* Who it is: the client behind message 1, and what it offers; r goes on from there. */
static enum drop recognise(struct server *s, const struct cluster_key *key,
		const struct datagram *d, struct responder *r, struct offer *offer,
		struct client **client)
{
	const struct directory *dir = atomic_load_explicit(&s->directory, memory_order_acquire);
	uint8_t ss[KEY_SIZE];
	struct client *c;
	int failed;

	if (responder_open(r, &key->pair, d->data, d->len) != 0)
		return DROP_HANDSHAKE;
	c = directory_by_key(dir, r->client_public);
	if (!c || c->removed)
		return c ? DROP_REVOKED : DROP_UNKNOWN_CLIENT;
	failed = client_ss(s, key, c, ss);
	if (!failed)
		failed = responder_accept(r, ss, offer);
	wipe(ss, sizeof ss);
	if (failed)
		return DROP_HANDSHAKE;
	if (!memchr(offer->versions, PROTOCOL_VERSION, offer->version_count) || !offer->aead_count)
		return DROP_VERSION;
	*client = c;
	return DROP_NONE;
}

static enum drop answer(struct server *s, const struct instant *now, const struct client *c,
		const struct offer *offer, struct responder *r, const struct endpoint *to,
		struct output *out)
{
	uint8_t message2[MESSAGE1_SIZE], ephemeral[KEY_SIZE];
	struct grant grant;
	int failed;

	random_bytes(ephemeral, sizeof ephemeral);
	failed = responder_answer(r, c->psk, ephemeral);
	wipe(ephemeral, sizeof ephemeral);
	if (failed)
		return DROP_HANDSHAKE;
	fill_grant(s, now, c, offer, r, to, &grant);
	server_event(s, SERVER_HANDSHAKES);
	out->send(out, to, message2, responder_finish(r, &grant, message2));
	wipe(&grant, sizeof grant);
	return DROP_NONE;
}

enum drop server_handshake(struct server *s, const struct instant *now, const struct datagram *d,
		struct output *out)
{
	const struct cluster_key *key;
	struct client *c = NULL;
	struct responder r;
	struct offer offer;
	enum drop why;

	if (d->len != MESSAGE1_SIZE)
		return DROP_SIZE;
	if (!keyring_issuer(atomic_load_explicit(&s->keyring, memory_order_acquire)))
		return DROP_JOINING;
	key = message1_key(s, d);
	if (!key)
		return DROP_MAC1;
	why = rate_check(s, now, d, key, out);
	if (why != DROP_NONE)
		return why;
	why = recognise(s, key, d, &r, &offer, &c);
	if (why == DROP_NONE)
		why = answer(s, now, c, &offer, &r, d->from, out);
	wipe(&r, sizeof r);
	return why;
}
