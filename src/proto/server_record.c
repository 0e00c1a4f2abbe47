/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The session record: what is known of where a client is.  HELLOs make it here,
 * and the registry brings those that other servers made; the higher version
 * wins, wherever it comes from, so all servers end with the same one.
 */
#include "proto/server_internal.h"

#include <errno.h>
#include <stdlib.h>

#define HOLD_MAX         30 /* s */
#define CHANGES_A_SECOND 4

/* Each group once, however often the HELLO names it: who is a member joins and leaves once. */
static void take_groups(struct session_record *r, const struct hello *h)
{
	for (unsigned i = 0; i < h->group_count; i++) {
		unsigned k = 0;

		while (k < r->group_count && memcmp(record_group(r, k), h->groups[i], 16) != 0)
			k++;
		if (k == r->group_count)
			memcpy(r->data + 16u * r->group_count++, h->groups[i], 16);
	}
}

static struct session_record *record_new(const struct server *s, const struct active *a,
		const struct arrival *p, const struct hello *h)
{
	size_t lists = 16u * h->group_count + MAC_ADDR_SIZE * (size_t)h->mac_count;
	struct session_record *r = calloc(1, sizeof *r + lists);
	uint16_t least = s->keepalive_min, most = s->keepalive_max;

	if (!r)
		return NULL;
	memcpy(r->sid, a->sid, SID_SIZE);
	r->full_t = p->full_t;
	r->epoch = a->epoch;
	r->number = p->number;
	r->endpoint = h->address;
	r->writer = load_be16(s->sender);
	r->kid = a->kid;
	r->aead = a->aead;
	r->down_mtu = MAX(MIN(h->down_mtu, PROBE_SIZE_MAX), 1280);
	r->keepalive = h->keepalive ? MAX(least, MIN(most, h->keepalive)) : 0;
	take_groups(r, h);
	r->mac_count = h->mac_count;
	memcpy(r->data + 16u * r->group_count, h->macs, MAC_ADDR_SIZE * (size_t)h->mac_count);
	return r;
}

bool server_version_newer(uint64_t full_t, uint64_t epoch, uint32_t number,
		const struct session_record *than)
{
	if (full_t != than->full_t)
		return full_t > than->full_t;
	if (epoch != than->epoch)
		return epoch > than->epoch;
	return number > than->number;
}

int session_record_order(const struct session_record *a, const struct session_record *b)
{
	if (server_version_newer(a->full_t, a->epoch, a->number, b))
		return 1;
	if (server_version_newer(b->full_t, b->epoch, b->number, a))
		return -1;
	return (a->writer < b->writer) - (a->writer > b->writer);
}

static bool record_same(const struct session_record *a, const struct session_record *b)
{
	return !memcmp(a->sid, b->sid, SID_SIZE) && endpoint_equal(&a->endpoint, &b->endpoint) &&
	       a->kid == b->kid && a->aead == b->aead && a->down_mtu == b->down_mtu &&
	       a->keepalive == b->keepalive && a->group_count == b->group_count &&
	       a->mac_count == b->mac_count &&
	       !memcmp(a->data, b->data, 16u * a->group_count +
			       MAC_ADDR_SIZE * (size_t)a->mac_count);
}

/* Numbers begin where the session did (session.h), and run behind the time: then, or later. */
static ticks session_began(const struct session_record *r)
{
	return TICKS_S(r->epoch * EPOCH_SECONDS) + (ticks)TX_NUMBER_TICKS * r->number;
}

/*
 * An endpoint moves once a second, twins of one key ever less often: 2, 4 … 30 s.
 * A session that began after the last move is not a twin's that comes back, but
 * a client that was started again.  Other changes come in small numbers too,
 * since each is told to others.
 */
static bool may_change(const struct instant *now, const struct session_record *old,
		struct session_record *new)
{
	ticks since;
	bool begun;

	new->moved = now->cluster;
	new->hold = 1;
	new->second = (uint32_t)(now->boot / TICKS_PER_SEC);
	if (!old)
		return true;
	if (old->second == new->second)
		new->changes = (uint8_t)(old->changes + 1);
	if (new->changes >= CHANGES_A_SECOND)
		return false;
	if (endpoint_equal(&old->endpoint, &new->endpoint)) {
		new->moved = old->moved;
		new->hold = old->hold;
		return true;
	}
	since = now->cluster > old->moved ? now->cluster - old->moved : 0;
	begun = session_began(new) > old->moved;
	if (since < TICKS_S(begun ? 1 : old->hold))
		return false;
	if (since < TICKS_S(2 * (ticks)old->hold))
		new->hold = begun ? old->hold : (uint8_t)MIN(2 * old->hold, HOLD_MAX);
	return true;
}

static void record_replace(struct server *s, struct client *c, struct session_record *old,
		struct session_record *new)
{
	s->record_changed(s->record_changed_arg, c, old, new);
	c->said_t = 0;
	atomic_store_explicit(&c->session, new, memory_order_release);
	s->record_count += !old;
	if (old)
		server_retire(s, old, NULL);
}

/* The client has said what is on record again, and later than it said what r says. */
static bool said_since(const struct client *c, const struct session_record *r)
{
	return c->said_t && server_version_newer(c->said_t, c->session->epoch, c->said_number, r);
}

/*
 * The record says that already, but the client may have said something else in
 * between, to a server that we have not heard yet: what it said last must win
 * over that.  Nobody is told, unless the other turns up.
 */
static void note_said(struct client *c, const struct session_record *said)
{
	if (!server_version_newer(said->full_t, said->epoch, said->number, c->session) ||
			said_since(c, said))
		return;
	c->said_t = said->full_t; /* of the same session, so of the record's epoch */
	c->said_number = said->number;
}

bool server_hello_known(struct server *s, const struct active *a, const struct arrival *p,
		const struct hello *h)
{
	struct session_record *new;
	struct client *c;
	bool known;

	pthread_mutex_lock(&s->lock);
	c = a->client;
	new = record_new(s, a, p, h);
	known = !c->removed && c->session && new && record_same(c->session, new);
	if (known)
		note_said(c, new);
	pthread_mutex_unlock(&s->lock);
	free(new);
	return known;
}

enum drop server_hello_apply(struct server *s, const struct instant *now, struct active *a,
		const struct arrival *p, const struct hello *h)
{
	struct client *c = a->client;
	struct session_record *old, *new;

	if (c->removed) /* while we waited for the lock */
		return DROP_REVOKED;
	old = c->session;
	new = record_new(s, a, p, h);
	if (!new)
		return DROP_SLOTS;
	if (old && record_same(old, new)) {
		note_said(c, new);
		free(new);
		return DROP_NONE;
	}
	if (old && (said_since(c, new) ||
			!server_version_newer(new->full_t, new->epoch, new->number, old))) {
		free(new);
		return DROP_STALE; /* no acknowledgement of what is not done: it says it again */
	}
	if (!may_change(now, old, new)) {
		free(new);
		return DROP_MOVE_RATE;
	}
	if (!old || memcmp(old->sid, new->sid, SID_SIZE) != 0) {
		new->since = now->cluster;
		server_event(s, SERVER_SESSIONS);
	} else {
		new->since = old->since;
	}
	if (old && !endpoint_equal(&old->endpoint, &new->endpoint))
		server_event(s, SERVER_MOVES);
	record_replace(s, c, old, new);
	if (s->record_written) /* the old one is freed after a grace period, not yet */
		s->record_written(s->record_written_arg, c, old, new);
	return DROP_NONE;
}

/* Others were told r, and the client has said since then what is here: they are told that. */
static void tell_after_all(struct server *s, struct client *c, struct session_record *old,
		const struct session_record *r)
{
	struct session_record *new = malloc(session_record_size(old));

	if (!new)
		return; /* when it turns up again, then */
	memcpy(new, old, session_record_size(old));
	new->full_t = c->said_t;
	new->number = c->said_number;
	new->writer = load_be16(s->sender);
	record_replace(s, c, old, new);
	if (s->record_written)
		s->record_written(s->record_written_arg, c, r, new);
}

/*
 * No client can have sent it yet; it would stand against all that the client sends until then.
 * A session is issued in its server's epoch, which may be the next one by the other's clock.
 */
static bool from_the_future(const struct session_record *r, const struct instant *now)
{
	uint64_t latest = time_16th(now->cluster + TICKS_S(EPOCH_SECONDS));

	return r->full_t > latest || r->epoch > time_epoch(now->cluster) + 1;
}

int server_apply_record(struct server *s, const struct instant *now, uint32_t index,
		struct session_record *r)
{
	struct session_record *old = NULL;
	struct client *c;
	int result = 0;

	pthread_mutex_lock(&s->lock);
	c = directory_by_index(s->directory, index);
	if (!c || c->removed)
		result = -ENOENT;
	else if (time_seconds(now->cluster) >= session_end(r->epoch))
		result = -ETIME;
	else if (from_the_future(r, now))
		result = -ERANGE;
	else
		old = c->session;
	if (result == 0)
		result = old ? session_record_order(r, old) : 1;
	if (result == 1 && old && said_since(c, r)) {
		tell_after_all(s, c, old, r);
		result = -1;
	} else if (result == 1) {
		record_replace(s, c, old, r);
	}
	pthread_mutex_unlock(&s->lock);
	if (result != 1)
		free(r);
	return result == -1 ? -ESTALE : result;
}

