/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Client records from the registry, in the main thread: gathered, and made into
 * a new directory at most each REBUILD.  Versions only go up; what the registry
 * has lost or set back is written to it again from the cache, by whichever
 * server's turn comes first.
 */
#include "cluster/registry_internal.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "cluster/clients_file.h"

#define REBUILD         TICKS_MS(100)
#define REBUILD_READING TICKS_S(1) /* while the bucket is read from the beginning */
#define REBUILD_SHARE   4          /* the next one waits so many times what one took */

void known_client_free(void *known_client)
{
	wipe(known_client, sizeof(struct known_client));
	free(known_client);
}

/* ---- lists of records ---- */

static int append(struct known_client ***list, size_t *count, size_t *room, struct known_client *k)
{
	if (*count == *room) {
		size_t more = *room ? 2 * *room : 64;
		struct known_client **larger = reallocarray(*list, more, sizeof *larger);

		if (!larger)
			return -ENOMEM;
		*list = larger;
		*room = more;
	}
	(*list)[(*count)++] = k;
	return 0;
}

/* Consumes k. */
static void make_pending(struct clients_feed *f, struct known_client *k)
{
	if (append(&f->pending, &f->pending_count, &f->pending_room, k) == 0)
		return;
	log_limited(LOG_ERROR, 1, "registry: not enough memory for client %s", k->record.name);
	known_client_free(k);
}

static void hold(struct clients_feed *f, struct known_client *k)
{
	if (append(&f->held, &f->held_count, &f->held_room, k) != 0)
		known_client_free(k);
}

/* One that was in conflict may fit now. */
static void release_held(struct clients_feed *f)
{
	for (size_t i = 0; i < f->held_count; i++)
		make_pending(f, f->held[i]);
	f->held_count = 0;
}

/* ---- the directory ---- */

static int compare_pending(const void *a, const void *b)
{
	const struct record *x = &(*(struct known_client *const *)a)->record;
	const struct record *y = &(*(struct known_client *const *)b)->record;

	if (x->index != y->index)
		return x->index > y->index ? 1 : -1;
	return (x->version < y->version) - (x->version > y->version);
}

/* Sorted by index, one an index, and only what is newer than the directory. */
static void tidy_pending(struct clients_feed *f, const struct directory *dir)
{
	size_t kept = 0;

	if (f->pending_count)
		qsort(f->pending, f->pending_count, sizeof *f->pending, compare_pending);
	for (size_t i = 0; i < f->pending_count; i++) {
		struct known_client *k = f->pending[i];
		const struct client *c = directory_by_index(dir, k->record.index);

		if ((kept && f->pending[kept - 1]->record.index == k->record.index) ||
				(c && !c->lent && c->version >= k->record.version))
			known_client_free(k);
		else
			f->pending[kept++] = k;
	}
	f->pending_count = kept;
}

/* Tombstones first: a name or an address may go from one client to another in one batch. */
static int add_pending(struct clients_feed *f, const struct directory *old, struct directory *fresh,
		bool removed, size_t *at, char *error, size_t error_size)
{
	int failed = 0;

	for (size_t i = 0; !failed && i < f->pending_count; i++) {
		const struct known_client *k = f->pending[i];

		*at = i;
		if (k->record.removed == removed)
			failed = directory_add(fresh, old, &k->record, NULL, error, error_size);
	}
	return failed;
}

/* -EEXIST: the record at *at contradicts another client's. */
static int build(struct clients_feed *f, const struct directory *old, struct directory **fresh,
		size_t *at, char *error, size_t error_size)
{
	uint32_t *changed = calloc(f->pending_count, sizeof *changed);
	int failed = -ENOMEM;

	*fresh = directory_new(directory_count(old) + f->pending_count);
	for (size_t i = 0; changed && i < f->pending_count; i++)
		changed[i] = f->pending[i]->record.index;
	if (changed && *fresh)
		failed = directory_share(*fresh, old, changed, f->pending_count);
	free(changed);
	if (!failed)
		failed = add_pending(f, old, *fresh, true, at, error, error_size);
	if (!failed)
		failed = add_pending(f, old, *fresh, false, at, error, error_size);
	if (!failed)
		failed = directory_finish(*fresh);
	if (failed && *fresh)
		directory_free(*fresh, NULL);
	return failed;
}

static void remember_one(struct clients_feed *f, const struct known_client *k)
{
	int failed = client_cache_append(&f->cache, k->bytes, k->len, k->record.name);

	if (failed)
		log_limited(LOG_WARNING, 1, "%s: a client cannot be kept there: %s", f->cache.path,
				strerror(-failed));
}

/* In the order in which they were added: it will be read in that order. */
static void remember(struct clients_feed *f)
{
	for (int removed = 1; removed >= 0; removed--)
		for (size_t i = 0; i < f->pending_count; i++)
			if (f->pending[i]->record.removed == removed)
				remember_one(f, f->pending[i]);
	for (size_t i = 0; i < f->pending_count; i++)
		known_client_free(f->pending[i]);
	f->pending_count = 0;
}

static void rebuild(struct registry_nats *n)
{
	struct clients_feed *f = &n->clients;
	struct directory *old = n->r->server->directory, *fresh;
	char error[CLIENTS_ERROR] = "not enough memory for the clients";
	size_t at = 0;
	int failed = 0;

	tidy_pending(f, old);
	while (f->pending_count &&
			(failed = build(f, old, &fresh, &at, error, sizeof error)) == -EEXIST) {
		log_limited(LOG_WARNING, 3, "registry: %s; the later one is not served", error);
		registry_count(n, COUNT_conflicts);
		hold(f, f->pending[at]);
		memmove(&f->pending[at], &f->pending[at + 1],
				(--f->pending_count - at) * sizeof *f->pending);
	}
	if (!f->pending_count)
		return;
	if (failed) { /* the next round tries again */
		log_limited(LOG_ERROR, 1, "registry: %s", error);
		return;
	}
	server_set_directory(n->r->server, fresh);
	remember(f);
}

/* ---- what the registry has lost ---- */

struct healing {
	struct registry_nats *n;
	const struct instant *now;
	bool write; /* what is marked lost; else mark what was not seen */
};

/* A record in the cache, if it is the one that is served. */
static int heal_one(void *arg, const uint8_t *bytes, size_t len, char why[LINE_FILE_ERROR])
{
	struct healing *h = arg;
	struct clients_feed *f = &h->n->clients;
	const struct client *c;
	uint64_t version;
	uint32_t index;

	(void)why;
	if (!record_peek_index(&index, bytes, len) ||
			!record_peek_version(&version, bytes, len))
		return 0;
	c = directory_by_index(h->n->r->server->directory, index);
	if (!c || c->version != version)
		return 0;
	if (!h->write) {
		if (!index_set_has(&f->feed.seen, index))
			feed_lost(h->n, h->now, &f->feed, index);
		return 0;
	}
	if (!index_set_has(&f->feed.lost, index))
		return 0;
	index_set_remove(&f->feed.lost, index);
	registry_count(h->n, COUNT_healed);
	return writer_put_value(h->n, OF_CLIENTS, index, bytes, len);
}

static void heal(struct registry_nats *n, const struct instant *now, bool write)
{
	struct healing h = {n, now, write};
	char error[LINE_FILE_ERROR];

	if (client_cache_read(&n->clients.cache, heal_one, &h, error))
		log_limited(LOG_WARNING, 1, "%s", error);
}

static void lost(struct registry_nats *n, const struct instant *now, uint32_t index)
{
	if (directory_by_index(n->r->server->directory, index))
		feed_lost(n, now, &n->clients.feed, index);
}

/* ---- changes ---- */

static struct feed *feed_of(struct registry_nats *n)
{
	return &n->clients.feed;
}

static void take_value(struct registry_nats *n, const struct instant *now, uint32_t index,
		void *value)
{
	struct clients_feed *f = &n->clients;
	struct known_client *k = value;
	const struct client *c = directory_by_index(n->r->server->directory, index);

	if (c && c->version > k->record.version) {
		registry_count(n, COUNT_stale);
		index_set_add(&f->feed.seen, index);
		lost(n, now, index);
		known_client_free(k);
		return;
	}
	feed_seen(&f->feed, index);
	if (c && !c->lent && c->version == k->record.version) {
		known_client_free(k);
		return;
	}
	release_held(f);
	make_pending(f, k);
}

static void take_known(struct registry_nats *n, uint32_t index)
{
	feed_seen(&n->clients.feed, index);
}

/* After a whole reading, not to have seen a client means that the registry has not got it. */
static void take_complete(struct registry_nats *n, const struct instant *now)
{
	struct clients_feed *f = &n->clients;

	rebuild(n);
	f->ready_at = f->feed.ready ? f->ready_at : now->boot;
	heal(n, now, false);
}

const struct feed_ops clients_feed_ops = {
	.feed = feed_of,
	.value = take_value,
	.known = take_known,
	.deleted = lost,
	.complete = take_complete,
	.discard = known_client_free,
};

ticks clients_feed_serve(struct registry_nats *n, const struct instant *now)
{
	struct clients_feed *f = &n->clients;
	struct instant after;

	if (f->pending_count && now->boot >= f->next_rebuild) {
		rebuild(n);
		clock_read(&after);
		f->next_rebuild = after.boot + MAX(f->feed.reading ? REBUILD_READING : REBUILD,
				REBUILD_SHARE * (after.boot - now->boot));
	}
	if (!index_set_empty(&f->feed.lost) && now->boot >= f->feed.next_heal) {
		heal(n, now, true);
		index_set_clear(&f->feed.lost); /* what is not in the cache cannot be helped */
	}
	return f->pending_count ? f->next_rebuild : 0;
}
