/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* Who is there, packets in and out, life and death. */
#include "cluster/peers_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/fail.h"
#include "base/log.h"

#define BEAT       TICKS_MS(100)
#define DEAD_AFTER TICKS_MS(350) /* three heartbeats, and half an interval for a busy machine */
#define OWN_PAUSE  TICKS_MS(200) /* between two ticks: this machine was busy, or asleep */
/* A server that was just restarted is told TAKEN until the one before it is dead. */
#define TAKEN_FOR  TICKS_MS(1500)
#define TOLD_GAP   TICKS_S(5)    /* longer between two answers: they are not in a row */

const char *peers_event_key(enum peers_event e)
{
	static const char *const keys[] = {
#define X(name, key, text) key,
		PEERS_EVENTS(X)
#undef X
	};

	return keys[e];
}

void peers_init(struct peers *p, const struct peers_options *o, const struct instant *now)
{
	memset(p, 0, sizeof *p);
	p->o = *o;
	p->o.secret = NULL;
	key_pair_from_secret(&p->pair, o->secret);
	p->quiet_since = now->boot;
	p->next_beat = now->boot;
	keys_refresh(p);
}

static void peer_free(struct peer *r)
{
	mesh_link_wipe(&r->link);
	free(r);
}

void peers_free(struct peers *p)
{
	for (unsigned i = 0; i < p->count; i++)
		peer_free(p->peer[i]);
	wipe(p, sizeof *p);
}

/* ---- the list ---- */

static struct peer *find(const struct peers *p, uint16_t number)
{
	for (unsigned i = 0; i < p->count; i++)
		if (p->peer[i]->entry.number == number)
			return p->peer[i];
	return NULL;
}

const char *peers_unlisted(const struct peers *p, const struct server_list *list)
{
	const struct server_entry *own = server_list_find(list, p->o.number);

	if (!own)
		return "has no entry in the list of servers; anyrelay server add makes one";
	if (own->removed)
		return "has been removed from the list of servers";
	if (memcmp(own->public, p->pair.public, KEY_SIZE))
		return "has another public key in the list of servers than that of PrivateKeyFile";
	return NULL;
}

int peers_check(const struct peers *p, const struct server_list *list, char error[PEERS_ERROR])
{
	const char *wrong = p->o.waits ? NULL : peers_unlisted(p, list);

	if (!wrong)
		return 0;
	return fail(-EINVAL, error, PEERS_ERROR, "this server (Number = %u) %s", p->o.number, wrong);
}

/*
 * The peer for an entry: the one that is there, if it has the same key or a later
 * entry; or a new one.
 */
static struct peer *make_peer(struct peers *p, const struct server_entry *e, char error[PEERS_ERROR])
{
	struct peer *r = find(p, e->number);

	if (r && (r->entry.version > e->version || !memcmp(r->entry.public, e->public, KEY_SIZE)))
		return r;
	r = aligned_alloc(_Alignof(struct peer), sizeof *r);
	if (!r) {
		snprintf(error, PEERS_ERROR, "not enough memory for the list of servers");
		return NULL;
	}
	memset(r, 0, sizeof *r);
	r->entry = *e;
	if (mesh_link_init(&r->link, p->o.number, &p->pair, e->number, e->public)) {
		snprintf(error, PEERS_ERROR, "server %u (%s): its public key is not usable", e->number,
				e->name);
		free(r);
		return NULL;
	}
	return r;
}

int peers_set(struct peers *p, const struct server_list *list, char error[PEERS_ERROR])
{
	struct peer *fresh[SERVERS_MAX];
	unsigned count = 0;
	int failed = peers_check(p, list, error);

	for (unsigned i = 0; !failed && i < list->count; i++) {
		const struct server_entry *e = &list->entry[i];

		if (e->removed || e->number == p->o.number)
			continue;
		fresh[count] = make_peer(p, e, error);
		if (fresh[count])
			count++;
		else
			failed = -EINVAL;
	}
	if (failed) {
		while (count--)
			if (find(p, fresh[count]->entry.number) != fresh[count])
				peer_free(fresh[count]);
		return failed;
	}
	for (unsigned i = 0, k = 0; i < p->count; i++) {
		/* both lists are in the order of their numbers */
		while (k < count && fresh[k]->entry.number < p->peer[i]->entry.number)
			k++;
		if (k == count || fresh[k] != p->peer[i])
			peer_free(p->peer[i]);
	}
	memcpy(p->peer, fresh, count * sizeof fresh[0]);
	p->count = count;
	p->listed = !peers_unlisted(p, list);
	for (unsigned i = 0; i < count; i++) {
		const struct server_entry *e = server_list_find(list, p->peer[i]->entry.number);

		if (e->version >= p->peer[i]->entry.version)
			p->peer[i]->entry = *e;
	}
	return 0;
}

/* ---- packets out ---- */

bool peer_send(struct peers *p, struct peer *r, const uint8_t *message, size_t len)
{
	uint8_t packet[MESH_PACKET_MAX];
	size_t n = mesh_seal(&r->link, message, len, packet);

	if (n)
		p->o.out->send(p->o.out, &r->entry.mesh, packet, n);
	return n != 0;
}

bool peers_send(struct peers *p, uint16_t number, const uint8_t *message, size_t len)
{
	struct peer *r = find(p, number);

	return r && peer_send(p, r, message, len);
}

void peers_goodbye(struct peers *p)
{
	const uint8_t goodbye = MESH_GOODBYE;

	for (unsigned i = 0; i < p->count; i++)
		peer_send(p, p->peer[i], &goodbye, 1);
}

static void send_init(struct peers *p, const struct instant *now, struct peer *r)
{
	uint8_t packet[MESH_OPENING_SIZE];

	if (!mesh_write_init(&r->link, now, p->o.server->sender + 2, packet))
		return;
	p->events[PEERS_INITS]++;
	p->o.out->send(p->o.out, &r->entry.mesh, packet, sizeof packet);
}

static void send_heartbeat(struct peers *p, const struct instant *now, struct peer *r)
{
	struct heartbeat h = {
		.flags = (p->lineages ? 0 : HEARTBEAT_JOINING) | (p->draining ? HEARTBEAT_DRAINING : 0),
		.sent = now->cluster,
		.echo = r->last.sent,
		.echo_got = r->got,
		.highest = p->highest,
		.digest = p->digest,
		.withdrawn = p->withdrawn,
	};
	uint8_t message[HEARTBEAT_SIZE];

	memcpy(h.cluster_keys, p->cluster_keys, sizeof h.cluster_keys);
	memcpy(h.version, p->o.version, sizeof h.version);
	memcpy(h.boot_random, p->o.server->sender + 2, sizeof h.boot_random);
	peer_send(p, r, message, heartbeat_write(message, &h));
}

/* ---- keys of the cluster ---- */

bool peer_has_newest_key(const struct peers *p, const struct peer *r)
{
	for (unsigned i = 0; i < CLUSTER_KEYS_MAX; i++)
		if (r->last.cluster_keys[i] == p->cluster_keys[0])
			return true;
	return false;
}

bool peers_have_newest_key(const struct peers *p)
{
	for (unsigned i = 0; i < p->count; i++)
		if (p->peer[i]->alive && !peer_has_newest_key(p, p->peer[i]))
			return false;
	return true;
}

/* ---- life and death ---- */

static void take_heartbeat(struct peers *p, const struct instant *now, struct peer *r,
		const struct heartbeat *h)
{
	bool same_boot = !memcmp(h->boot_random, r->last.boot_random, sizeof h->boot_random);

	if (r->alive && same_boot && h->sent < r->last.sent)
		return; /* overtaken by a later one */
	if (!same_boot)
		clock_forget(r);
	else if (h->echo)
		clock_measure(r, now, h);
	p->events[PEERS_HEARTBEATS]++;
	r->last = *h;
	r->got = now->cluster;
	r->heard = now->boot;
	if (!r->alive) {
		r->alive = true;
		r->has_keys_sent = false;
		log_limited(LOG_NOTICE, 60, "server %u (%s) is there", r->entry.number,
				r->entry.name);
	}
	keys_offer(p, now, r);
}

static void die(struct peers *p, struct peer *r, const char *why)
{
	r->alive = false;
	clock_forget(r);
	p->events[PEERS_DEATHS]++;
	log_limited(LOG_NOTICE, 60, "server %u (%s) %s", r->entry.number, r->entry.name, why);
}

/* ---- packets in ---- */

static enum mesh_status admit(const struct peer *r, const struct endpoint *from,
		const struct mesh_init *init)
{
	if (init->status != MESH_OK)
		return init->status;
	if (r->alive && memcmp(init->boot_random, r->last.boot_random, sizeof init->boot_random))
		return MESH_TAKEN;
	return endpoint_equal(from, &r->entry.mesh) ? MESH_OK : MESH_ADDRESS;
}

static enum mesh_result take_init(struct peers *p, const struct instant *now, struct peer *r,
		const struct endpoint *from, const uint8_t *packet, size_t len)
{
	uint8_t answer[MESH_OPENING_SIZE];
	struct mesh_init init;
	enum mesh_result result = mesh_read_init(&r->link, now, packet, len, &init);

	if (result != MESH_ACCEPTED)
		return result;
	init.status = admit(r, from, &init);
	if (init.status != MESH_OK)
		result = MESH_REFUSED;
	if (mesh_write_answer(&r->link, now, &init, answer))
		p->o.out->send(p->o.out, from, answer, sizeof answer);
	return result;
}

/* The peer has answered that it does not talk to us, and why. */
static void take_refusal(struct peers *p, const struct instant *now, struct peer *r,
		const struct mesh_answer *answer)
{
	if (r->told != answer->status || now->boot > r->told_at + TOLD_GAP)
		r->told_since = now->boot;
	r->told_at = now->boot;
	switch (answer->status) {
	case MESH_TAKEN:
		if (now->boot >= r->told_since + TAKEN_FOR)
			p->taken_at = r->entry.number;
		break;
	case MESH_ADDRESS:
		log_limited(LOG_ERROR, 1, "server %u (%s) does not talk to this one: packets come from "
				"another address than the list of servers has for server %u; Address in "
				"[Mesh] and that list must agree",
				r->entry.number, r->entry.name, p->o.number);
		break;
	case MESH_CLOCK:
		clock_refused(r, now, answer->time);
		break;
	default:
		log_limited(LOG_ERROR, 1, "server %u (%s) does not talk to this one: it speaks version "
				"%u of the protocol, and this is version %u",
				r->entry.number, r->entry.name, answer->version, PROTOCOL_VERSION);
	}
}

static enum mesh_result take_answer(struct peers *p, const struct instant *now, struct peer *r,
		const uint8_t *packet, size_t len)
{
	struct mesh_answer answer;
	enum mesh_result result = mesh_read_answer(&r->link, now, packet, len, &answer);

	if (result != MESH_ACCEPTED)
		return result;
	if (answer.status == MESH_OK) {
		p->events[PEERS_SESSIONS]++;
		send_heartbeat(p, now, r); /* so that the other side may use the session too */
	} else {
		take_refusal(p, now, r, &answer);
	}
	r->told = answer.status;
	return result;
}

static enum mesh_result take_message(struct peers *p, const struct instant *now, struct peer *r,
		const uint8_t *message, size_t len)
{
	struct heartbeat h;

	switch (len ? message[0] : 0) {
	case MESH_HEARTBEAT:
		if (!heartbeat_read(&h, message, len))
			return MESH_MALFORMED;
		take_heartbeat(p, now, r, &h);
		return MESH_ACCEPTED;
	case MESH_KEYS:
		return keys_take(p, now, r, message, len);
	case MESH_ASK:
		return sessions_answer(p, now, r, message, len);
	case MESH_GOODBYE:
		if (r->alive)
			die(p, r, "says goodbye");
		return MESH_ACCEPTED;
	default:
		if (!len || message[0] < MESH_FIRST_FREE || !p->o.receive)
			return MESH_MALFORMED;
		return p->o.receive(p->o.receive_arg, r->entry.number, message, len) ?
				MESH_ACCEPTED : MESH_MALFORMED;
	}
}

static enum mesh_result take_data(struct peers *p, const struct instant *now, struct peer *r,
		const uint8_t *packet, size_t len)
{
	uint8_t message[MESH_MESSAGE_MAX];
	size_t n;
	enum mesh_result result = mesh_open(&r->link, now, packet, len, message, &n);

	if (result == MESH_ACCEPTED) {
		result = take_message(p, now, r, message, n);
		wipe(message, n); /* it may have been keys */
	}
	return result;
}

static enum mesh_result receive(struct peers *p, const struct instant *now,
		const struct endpoint *from, const uint8_t *packet, size_t len)
{
	enum mesh_subtype subtype;
	uint16_t number;
	struct peer *r;

	if (!mesh_peek(packet, len, &number, &subtype))
		return MESH_MALFORMED;
	r = find(p, number);
	if (!r)
		return MESH_STRANGER;
	switch (subtype) {
	case MESH_INIT:
		return take_init(p, now, r, from, packet, len);
	case MESH_ANSWER:
		return take_answer(p, now, r, packet, len);
	default:
		return take_data(p, now, r, packet, len);
	}
}

enum mesh_result peers_receive(struct peers *p, const struct instant *now,
		const struct endpoint *from, const uint8_t *packet, size_t len)
{
	enum mesh_result result = receive(p, now, from, packet, len);

	p->results[result]++;
	return result;
}

/* ---- time ---- */

/* Who was asleep himself has heard nobody: all get their time anew. */
static void excuse_silence(struct peers *p, const struct instant *now)
{
	if (p->ticked && now->boot > p->ticked + OWN_PAUSE)
		for (unsigned i = 0; i < p->count; i++)
			p->peer[i]->heard = now->boot;
	p->ticked = now->boot;
}

ticks peers_tick(struct peers *p, const struct instant *now)
{
	bool beat = now->boot >= p->next_beat;
	ticks next;

	excuse_silence(p, now);
	keys_join(p, now);
	keys_refresh(p);
	if (beat) /* on time again after a late one, but never two at once */
		p->next_beat = MAX(p->next_beat + BEAT, now->boot + BEAT / 2);
	next = p->next_beat;
	for (unsigned i = 0; i < p->count; i++) {
		struct peer *r = p->peer[i];

		if (r->alive && now->boot >= r->heard + DEAD_AFTER)
			die(p, r, "is no longer heard");
		if (mesh_link_tick(&r->link, now))
			send_init(p, now, r);
		if (beat)
			send_heartbeat(p, now, r);
		if (r->alive)
			next = MIN(next, r->heard + DEAD_AFTER);
	}
	if (beat)
		clock_judge(p, now);
	return next;
}
