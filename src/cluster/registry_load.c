/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The clients last known: read from the cache before anything else begins, so
 * that a server can serve while the registry is away.
 */
#include "cluster/registry_internal.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"

#define CACHE_SLACK 1000 /* lines out of date that are not worth the trouble */

struct loading {
	struct registry_nats *n;
	struct directory *to;
	size_t lines;
};

static int load_one(void *arg, const uint8_t *bytes, size_t len, char why[LINE_FILE_ERROR])
{
	struct loading *l = arg;
	struct known_client k = {.len = len};
	uint8_t digest[DIGEST_SIZE];
	int failed = record_read_checked(&k.record, bytes, len, &l->n->keys.record);

	l->lines++;
	/* sealed for a key that the cluster has given up since: a later line has it, or the registry */
	if (failed == -EKEYREJECTED)
		return 0;
	if (failed) {
		snprintf(why, LINE_FILE_ERROR, "this is not a client record of this cluster");
	} else {
		digest_make(bytes, len, digest);
		verified_add(l->n->verified, k.record.index, k.record.version, digest);
		failed = directory_add(l->to, NULL, &k.record, NULL, why, LINE_FILE_ERROR);
	}
	wipe(&k, sizeof k);
	return failed;
}

/* ---- the cache without what is out of date, once most of it is ---- */

struct compaction {
	const struct directory *d;
	struct client_cache fresh;
	struct index_set written;
};

static int keep_current(void *arg, const uint8_t *bytes, size_t len, char why[LINE_FILE_ERROR])
{
	struct compaction *k = arg;
	char name[RECORD_NAME_MAX + 1] = "-";
	const struct client *c;
	uint64_t version;
	uint32_t index;

	(void)why;
	if (!record_peek_index(&index, bytes, len) || !record_peek_version(&version, bytes, len))
		return 0;
	c = directory_by_index(k->d, index);
	if (!c || c->version != version || index_set_has(&k->written, index))
		return 0;
	if (c->name_len)
		snprintf(name, sizeof name, "%.*s", c->name_len, client_name(c));
	index_set_add(&k->written, index);
	return client_cache_append(&k->fresh, bytes, len, name);
}

/* If it fails the old one stays, which is as good and only longer. */
static void compact_cache(struct registry_nats *n, const struct instant *now, int64_t age_s)
{
	const struct registry_options *o = &n->r->o;
	struct clients_feed *f = &n->clients;
	struct compaction k = {.d = n->r->server->directory};
	uint64_t now_s = time_seconds(now->cluster);
	char path[PATH_MAX], error[LINE_FILE_ERROR];
	int64_t no_age;

	snprintf(path, sizeof path, "%s.new", f->cache.path);
	unlink(path);
	if (index_set_init(&k.written) != 0)
		return;
	if (client_cache_open(&k.fresh, path, o->cluster->secret[0], o->op, now_s, &no_age, error,
			sizeof error) == 0 &&
			client_cache_read(&f->cache, keep_current, &k, error) == 0 &&
			(age_s < 0 || client_cache_stamp(&k.fresh, now_s - (uint64_t)age_s) == 0) &&
			rename(path, f->cache.path) == 0) {
		k.fresh.path = f->cache.path;
		client_cache_close(&f->cache);
		f->cache = k.fresh;
	} else {
		client_cache_close(&k.fresh);
		unlink(path);
	}
	index_set_free(&k.written);
}

/* One that is no good is begun anew. */
static int load_cache(struct registry_nats *n, const struct instant *now, int64_t age_s, char *error,
		size_t error_size)
{
	struct clients_feed *f = &n->clients;
	struct loading l = {n, directory_new(16), 0};
	char why[LINE_FILE_ERROR] = "out of memory";
	int failed = l.to ? client_cache_read(&f->cache, load_one, &l, why) : -ENOMEM;

	if (!failed)
		failed = directory_finish(l.to);
	if (!failed) {
		server_set_directory(n->r->server, l.to);
		if (l.lines > 2 * directory_count(l.to) + CACHE_SLACK)
			compact_cache(n, now, age_s);
		return 0;
	}
	if (l.to)
		directory_free(l.to, NULL);
	log_warning("%s; the clients last known are forgotten, and read from the registry", why);
	failed = client_cache_clear(&f->cache);
	if (failed)
		snprintf(error, error_size, "%s: cannot be written: %s", f->cache.path, strerror(-failed));
	return failed;
}

int clients_feed_open(struct registry_nats *n, const struct instant *now, char *error,
		size_t error_size)
{
	struct clients_feed *f = &n->clients;
	int64_t age = -1;
	int failed;

	if (feed_open(&f->feed) != 0)
		return -ENOMEM;
	failed = client_cache_open(&f->cache, n->r->o.cache_file, n->r->o.cluster->secret[0], n->r->o.op,
			time_seconds(now->cluster), &age, error, error_size);
	n->contact = (int64_t)now->boot - (age < 0 ? 0 : age * (int64_t)TICKS_PER_SEC);
	return failed ? failed : load_cache(n, now, age, error, error_size);
}

void clients_feed_rekey(struct registry_nats *n, const struct instant *now)
{
	int64_t age = (int64_t)now->boot - n->contact;

	compact_cache(n, now, age > 0 ? age / (int64_t)TICKS_PER_SEC : 0);
}

void clients_feed_close(struct registry_nats *n)
{
	struct clients_feed *f = &n->clients;

	for (size_t i = 0; i < f->pending_count; i++)
		known_client_free(f->pending[i]);
	for (size_t i = 0; i < f->held_count; i++)
		known_client_free(f->held[i]);
	free(f->pending);
	free(f->held);
	feed_close(&f->feed);
	client_cache_close(&f->cache);
}
