/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * What the server keeps, and how it changes: active sessions, epoch keys,
 * directory, and the grace period after which what was replaced is freed.
 */
#include "proto/server_internal.h"

#include <errno.h>
#include <stdlib.h>

#include "base/rcu.h"

/*
 * Keys and bitmap go this long after the last packet.  A packet may have been
 * accepted 4 s before its time (off = -2 s), and is young until 2 s after it: it
 * must not find the bitmap gone by then.
 */
#define ACTIVE_IDLE     TICKS_S(7)
#define SENDING_INTERVAL TICKS_S(10)
#define RECORDS_A_SWEEP 65536
#define ENDS_A_SWEEP    512 /* each walks the list of everybody, under the lock */

struct retired {
	struct retired *next;
	void *p;
	void (*destroy)(void *p);
};

const char *server_event_key(enum server_event e)
{
	static const char *const keys[] = {
#define X(name, key, text) [SERVER_##name] = key,
		SERVER_EVENTS(X)
#undef X
	};
	return keys[e];
}

uint64_t server_hash(const struct server *s, const void *p, size_t n)
{
	uint64_t h = s->hash_key[0], word;

	for (size_t at = 0; at < n; at += sizeof word) {
		word = 0;
		memcpy(&word, (const uint8_t *)p + at, MIN(sizeof word, n - at));
		/* keyed, then mixed so that every bit reaches every other (the finalizer of MurmurHash3) */
		h = (h ^ word) * (s->hash_key[1] | 1);
		h = (h ^ h >> 33) * UINT64_C(0xff51afd7ed558ccd);
		h = (h ^ h >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
		h ^= h >> 33;
	}
	return h;
}

bool limiter_pass_all(_Atomic uint64_t *slot, uint32_t window, uint32_t most)
{
	uint64_t seen = atomic_load_explicit(slot, memory_order_relaxed), next;

	/* a worker whose clock is a moment behind counts in the window that has begun */
	do {
		next = (int32_t)(window - (uint32_t)(seen >> 32)) > 0 ?
				((uint64_t)window << 32 | 1) : seen + 1;
		if ((uint32_t)next > most)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(
			slot, &seen, next, memory_order_relaxed, memory_order_relaxed));
	return true;
}

bool limiter_pass(struct limiter *l, uint64_t hash, uint32_t window, uint32_t most)
{
	return limiter_pass_all(&l->slot[hash % LIMITER_SLOTS], window, most);
}

/* ---- freeing after a grace period ---- */

void server_retire(struct server *s, void *p, void (*destroy)(void *p))
{
	struct retired *r = malloc(sizeof *r);

	if (!r) {
		return; /* no memory to remember it by: it is lost, since readers may have it */
	}
	*r = (struct retired){.next = s->retired, .p = p, .destroy = destroy ? destroy : free};
	s->retired = r;
}

static void free_retired(struct retired *list)
{
	for (struct retired *next; list; list = next) {
		next = list->next;
		list->destroy(list->p);
		free(list);
	}
}

static void free_record(struct session_record *r)
{
	free(r);
}

static void directory_destroy(void *p)
{
	directory_free(p, free_record);
}

/* ---- active sessions ---- */

static void unlink_sibling(struct active *a)
{
	struct active **at = &a->client->actives;

	while (*at != a)
		at = &(*at)->sibling;
	*at = a->sibling;
}

/* Under the lock: readers may still hold it, so its place is given back by the next tick. */
static void deactivate(struct server *s, struct active *a)
{
	if (a->has_tx) /* a later sending state of this session takes later numbers */
		s->tx_last = MAX(s->tx_last, tx_passed_at(&a->tx, a->epoch));
	active_unlink(s->active, a);
	unlink_sibling(a);
	server_event(s, SERVER_EVICTIONS);
	a->sibling = s->gone;
	s->gone = a;
}

static bool active_idle(const struct active *a, const struct instant *now)
{
	ticks last = atomic_load_explicit(&a->last_used, memory_order_relaxed);

	if (now->cluster >= a->end)
		return true;
	return now->boot > last + ACTIVE_IDLE &&
	       (!a->has_tx || tx_forgettable(&a->tx, now->cluster, a->epoch));
}

/*
 * The moment from which a new sending state takes its first number: under the
 * lock, and each time later by one number at least.  All packets of a batch have
 * one time, and workers' times differ, but two states of one key must not begin
 * with one number.
 */
static ticks tx_moment(struct server *s, const struct instant *now)
{
	s->tx_last = MAX(now->cluster, s->tx_last + TX_NUMBER_TICKS);
	return s->tx_last;
}

void server_need_tx(struct server *s, const struct instant *now, struct active *a)
{
	if (atomic_load_explicit(&a->has_tx, memory_order_acquire))
		return;
	pthread_mutex_lock(&s->lock);
	if (!a->has_tx) {
		tx_key_down(&a->tx, a->s, a->aead, a->kid, a->sid, s->sender, tx_moment(s, now),
				a->epoch);
		atomic_store_explicit(&a->has_tx, true, memory_order_release);
	}
	pthread_mutex_unlock(&s->lock);
}

bool server_tx_once(struct server *s, const struct instant *now, const struct sighting *g,
		struct tx_key *tx)
{
	const struct active *a;
	bool possible;

	pthread_mutex_lock(&s->lock);
	a = active_find(s->active, g->sid);
	/* before the session's epoch the number line stands still: no two states could differ */
	possible = (!a || a->aead != g->aead) &&
		   now->cluster > TICKS_S(g->keys->epoch * EPOCH_SECONDS);
	if (possible)
		tx_key_down(tx, g->s, g->aead, g->keys->kid, g->sid, s->sender, tx_moment(s, now),
				g->keys->epoch);
	pthread_mutex_unlock(&s->lock);
	return possible;
}

/*
 * One client may not fill the table with sessions of its own.  One that is in
 * use does not give way: with its bitmap forgotten, packets that are still young
 * would be accepted again.
 */
static bool room_for_sibling(struct server *s, const struct instant *now, struct client *c)
{
	struct active *least = NULL;
	unsigned count = 0;

	for (struct active *a = c->actives; a; a = a->sibling, count++)
		if (!least || a->last_used < least->last_used)
			least = a;
	if (count < CLIENT_SESSIONS_MAX)
		return true;
	if (!active_idle(least, now))
		return false;
	deactivate(s, least);
	return true;
}

struct active *server_activate(struct server *s, const struct instant *now,
		const struct sighting *g)
{
	struct active *a;

	pthread_mutex_lock(&s->lock);
	a = active_find(s->active, g->sid); /* another worker may have been faster */
	if (a)
		goto out;
	/* removed while we waited for the lock: who has it now will free it */
	if (!g->client->removed && room_for_sibling(s, now, g->client))
		a = active_take(s->active);
	if (!a)
		goto out;
	a->client = g->client;
	memcpy(a->sid, g->sid, SID_SIZE);
	a->kid = g->keys->kid;
	a->aead = (uint8_t)g->aead;
	a->epoch = g->keys->epoch;
	a->end = TICKS_S(session_end(g->keys->epoch));
	a->first_seen = now->boot;
	a->last_used = now->boot;
	memcpy(a->s, g->s, KEY_SIZE);
	rx_key_up(&a->rx, a->s, g->aead);
	a->sibling = g->client->actives;
	g->client->actives = a;
	active_publish(s->active, a);
	server_event(s, SERVER_FIRST_SIGHTS);
out:
	pthread_mutex_unlock(&s->lock);
	return a;
}

/* Visits every active session; `next` is read first, so visit may take it out. */
static void each_active(struct server *s, const struct instant *now,
		void (*visit)(struct server *s, const struct instant *now, struct active *a))
{
	for (uint64_t b = 0; b <= s->active->mask; b++)
		for (struct active *a = s->active->bucket[b], *next; a; a = next) {
			next = a->next;
			visit(s, now, a);
		}
}

/* The packet path leaves no trace but the numbers that it takes. */
static void tell_sending(struct server *s, const struct instant *now, struct active *a)
{
	const struct client *c = a->client;
	const struct session_record *r = c->session;
	uint64_t next = a->has_tx ? a->tx.next : 0;
	bool sent = next != a->told_next;

	a->told_next = next;
	if (!sent || !r || memcmp(r->sid, a->sid, SID_SIZE) != 0 || r->writer == load_be16(s->sender) ||
			(r->writer == a->told_to && now->boot < a->told_at + SENDING_INTERVAL))
		return;
	a->told_to = r->writer;
	a->told_at = now->boot;
	s->sending(s->sending_arg, c, r->writer);
}

static void evict_idle(struct server *s, const struct instant *now, struct active *a)
{
	if (active_idle(a, now))
		deactivate(s, a);
}

/* After a reload: a session goes on under its client's new object, or ends with the client. */
static void follow_directory(struct server *s, const struct instant *now, struct active *a)
{
	struct client *c;

	(void)now;
	if (!a->client->removed)
		return;
	c = directory_by_index(s->directory, a->client->index);
	if (!c || c->removed || memcmp(c->public, a->client->public, KEY_SIZE) != 0) {
		deactivate(s, a);
		return;
	}
	unlink_sibling(a);
	a->sibling = c->actives;
	c->actives = a;
	atomic_store_explicit(&a->client, c, memory_order_release);
}

/* ---- session records: an ended one is of no use to anybody ---- */

static void end_record(struct server *s, struct client *c)
{
	struct session_record *r = c->session;

	s->record_changed(s->record_changed_arg, c, r, NULL);
	atomic_store_explicit(&c->session, NULL, memory_order_release);
	s->record_count--;
	server_retire(s, r, NULL);
}

static void sweep_records(struct server *s, const struct instant *now)
{
	size_t count = directory_count(s->directory);

	unsigned ended = 0;

	for (size_t n = MIN(count, RECORDS_A_SWEEP); n && ended < ENDS_A_SWEEP; n--) {
		struct client *c = directory_at(s->directory, s->sweep++ % count);

		if (c->session && time_seconds(now->cluster) >= session_end(c->session->epoch)) {
			end_record(s, c);
			ended++;
		}
	}
}

/* ---- start, reload, tick, end ---- */

/* A key that was there before keeps its serial; another one gets the next. */
static uint8_t key_serial(const struct cluster_keyset *old, const struct cluster_keyset *now,
		const uint8_t public[KEY_SIZE])
{
	uint8_t last = 0;

	for (unsigned i = 0; old && i < old->count; i++) {
		if (!memcmp(old->key[i].pair.public, public, KEY_SIZE))
			return old->key[i].serial;
		last = MAX(last, old->key[i].serial);
	}
	for (unsigned i = 0; i < now->count; i++)
		last = MAX(last, now->key[i].serial);
	return last == UINT8_MAX ? 1 : (uint8_t)(last + 1);
}

static struct cluster_keyset *make_keyset(const struct cluster_keyset *old,
		const uint8_t secrets[][KEY_SIZE], unsigned count)
{
	struct cluster_keyset *set = calloc(1, sizeof *set);

	for (unsigned i = 0; set && i < count; i++) {
		struct cluster_key *k = &set->key[i];

		key_pair_from_secret(&k->pair, secrets[i]);
		k->id = cluster_key_id(k->pair.public);
		message1_mac_key(k->pair.public, k->mac_key);
		k->serial = key_serial(old, set, k->pair.public);
		set->count++;
	}
	return set;
}

static void destroy_keyset(void *p)
{
	wipe(p, sizeof(struct cluster_keyset));
	free(p);
}

static bool same_keys(const struct cluster_keyset *set, const struct cluster_secrets *c)
{
	for (unsigned i = 0; i < MIN(set->count, c->count); i++)
		if (memcmp(set->key[i].pair.secret, c->secret[i], KEY_SIZE))
			return false;
	return set->count == c->count && set->announcement_len == c->announcement_len &&
	       !memcmp(set->announcement, c->announcement, c->announcement_len);
}

int server_set_cluster_keys(struct server *s, const struct cluster_secrets *c)
{
	struct cluster_keyset *old = s->cluster, *set;

	if (same_keys(old, c))
		return 1;
	set = make_keyset(old, c->secret, c->count);
	if (!set)
		return -ENOMEM;
	set->announcement_len = c->announcement_len;
	memcpy(set->announcement, c->announcement, c->announcement_len);
	pthread_mutex_lock(&s->lock);
	atomic_store_explicit(&s->cluster, set, memory_order_release);
	server_retire(s, old, destroy_keyset);
	pthread_mutex_unlock(&s->lock);
	return 0;
}

void server_announce(struct server *s, bool announce)
{
	atomic_store_explicit(&s->announcing, announce, memory_order_relaxed);
}

int server_init(struct server *s, const struct server_options *o, const struct instant *now)
{
	struct keyring *ring = calloc(1, sizeof *ring);
	struct directory *none = directory_new(0);

	memset(s, 0, sizeof *s);
	s->active = active_table_new(o->active_sessions);
	s->cluster = make_keyset(NULL, o->cluster_secrets, o->cluster_key_count);
	if (!ring || !s->active || !s->cluster || !none || directory_finish(none) != 0) {
		free(ring);
		free(s->cluster);
		active_table_free(s->active);
		if (none)
			directory_free(none, NULL);
		return -ENOMEM;
	}
	s->keyring = ring;
	s->directory = none;
	s->start = now->cluster;
	store_be16(s->sender, o->number);
	memcpy(s->sender + 2, o->boot_random, 3);
	s->handshake_rate = o->handshake_rate;
	s->handshake_prefix_rate = o->handshake_prefix_rate;
	s->keepalive_min = o->keepalive_min;
	s->keepalive_max = o->keepalive_max;
	s->limits = o->limits;
	s->client_lent = o->client_lent;
	s->client_lent_arg = o->client_lent_arg;
	s->relay_control = o->relay_control;
	s->relay_control_arg = o->relay_control_arg;
	s->others_too_big = o->others_too_big;
	s->others_too_big_arg = o->others_too_big_arg;
	s->record_changed = o->record_changed;
	s->record_changed_arg = o->record_changed_arg;
	s->record_written = o->record_written;
	s->record_written_arg = o->record_written_arg;
	s->sending = o->sending;
	s->sending_arg = o->sending_arg;
	s->record_missing = o->record_missing;
	s->record_missing_arg = o->record_missing_arg;
	random_bytes(s->hash_key, sizeof s->hash_key);
	pthread_mutex_init(&s->lock, NULL);
	if (o->start && server_lineage_add(s, now, o->start) < 0) {
		server_free(s);
		return -ENOMEM;
	}
	return 0;
}

/* Gives back what no reader can hold any more. */
static void reap(struct server *s)
{
	struct retired *list;
	struct active *gone;

	pthread_mutex_lock(&s->lock);
	list = s->retired;
	gone = s->gone;
	s->retired = NULL;
	s->gone = NULL;
	pthread_mutex_unlock(&s->lock);
	if (!list && !gone)
		return;
	rcu_wait();
	free_retired(list);
	pthread_mutex_lock(&s->lock);
	for (struct active *next; gone; gone = next) {
		next = gone->sibling;
		active_give_back(s->active, gone);
	}
	pthread_mutex_unlock(&s->lock);
}

/* Tells whoever keeps lists of clients which objects have gone, and which took their place. */
static void follow_records(struct server *s, const struct directory *old,
		const struct directory *new)
{
	for (size_t i = 0; i < directory_count(old); i++) {
		struct client *c = directory_at(old, i), *heir;

		if (!c->removed)
			continue;
		heir = directory_by_index(new, c->index);
		if (heir && !heir->removed && heir->session) {
			s->record_changed(s->record_changed_arg, c, heir->session, NULL);
			s->record_changed(s->record_changed_arg, heir, NULL, heir->session);
		} else if (c->session) {
			s->record_changed(s->record_changed_arg, c, c->session, NULL);
			s->record_count--;
		}
	}
}

void server_set_directory(struct server *s, struct directory *d)
{
	struct directory *old;

	pthread_mutex_lock(&s->lock);
	old = s->directory;
	atomic_store_explicit(&s->directory, d, memory_order_release);
	directory_retire(old, d);
	follow_records(s, old, d);
	each_active(s, NULL, follow_directory);
	s->sweep = 0;
	server_retire(s, old, directory_destroy);
	pthread_mutex_unlock(&s->lock);
	reap(s);
}

void server_set_cut_off(struct server *s, bool cut_off)
{
	atomic_store_explicit(&s->cut_off, cut_off, memory_order_relaxed);
}

void server_tick(struct server *s, const struct instant *now)
{
	pthread_mutex_lock(&s->lock);
	server_step_epochs(s, now);
	each_active(s, now, evict_idle);
	if (s->sending)
		each_active(s, now, tell_sending);
	sweep_records(s, now);
	pthread_mutex_unlock(&s->lock);
	reap(s);
}

void server_free(struct server *s)
{
	reap(s);
	active_table_free(s->active);
	directory_destroy(s->directory);
	keyring_wipe(s->keyring);
	free(s->keyring);
	destroy_keyset(s->cluster);
	pthread_mutex_destroy(&s->lock);
	wipe(s, sizeof *s);
}

void server_count(struct server *s, struct server_counts *c)
{
	const struct epoch_keys *k;

	pthread_mutex_lock(&s->lock);
	k = keyring_issuer(s->keyring);
	*c = (struct server_counts){
		.clients = directory_count(s->directory),
		.records = s->record_count,
		.active = s->active->used,
		.capacity = s->active->capacity,
		.epoch = k ? k->epoch : 0,
		.kid = k ? k->kid : 0,
	};
	pthread_mutex_unlock(&s->lock);
}
