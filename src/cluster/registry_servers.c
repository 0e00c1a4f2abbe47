/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The list of servers from the registry, in the main thread: into the daemon's
 * own list, in which versions only go up, and to the mesh.  What the registry
 * has lost or set back is written to it again.
 *
 * Entries are also appended to a file, for a start while the registry is away.
 * Its lines are signed, so nothing else has to guard them; the highest version of
 * a server counts.
 */
#include "cluster/registry_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/fail.h"
#include "base/log.h"

/* ---- the servers last known ---- */

static void remember(struct registry_nats *n, const struct server_entry *e)
{
	char line[BASE64_SIZE(ENTRY_MAX) + RECORD_NAME_MAX + 2];
	uint8_t bytes[ENTRY_MAX];
	int len;

	base64_encode(line, bytes, entry_write(bytes, e));
	len = (int)strlen(line);
	len += snprintf(line + len, sizeof line - (size_t)len, " %s\n", e->name);
	if (write(n->servers.cache, line, (size_t)len) != len)
		log_limited(LOG_WARNING, 1, "%s: a server cannot be kept there: %s",
				n->r->o.servers_cache, strerror(errno));
}

/* One that is no good is begun anew. */
static void load_cache(struct registry_nats *n)
{
	const struct registry_options *o = &n->r->o;
	struct server_list *kept = calloc(1, sizeof *kept);
	char error[LINE_FILE_ERROR] = "out of memory";
	int failed = kept ? servers_file_read(o->servers_cache, o->op->sign, kept, error) : -ENOMEM;

	for (unsigned i = 0; !failed && i < kept->count; i++)
		n->servers.changed |= server_list_add(o->servers, &kept->entry[i]) == 1;
	free(kept);
	if (!failed)
		return;
	log_warning("%s; the servers last known are forgotten, and read from the registry", error);
	if (ftruncate(n->servers.cache, 0))
		log_warning("%s: cannot be emptied: %s", o->servers_cache, strerror(errno));
}

int servers_feed_open(struct registry_nats *n, char *error, size_t error_size)
{
	const struct registry_options *o = &n->r->o;
	struct servers_feed *f = &n->servers;

	f->cache = -1;
	if (feed_open(&f->feed))
		return -ENOMEM;
	if (!o->servers)
		return 0;
	f->cache = open(o->servers_cache, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
	if (f->cache < 0)
		return fail(-errno, error, error_size, "%s: the servers cannot be kept there: %s",
				o->servers_cache, strerror(errno));
	load_cache(n);
	if (f->changed)
		o->servers_changed(o->servers_changed_arg);
	f->changed = false;
	return 0;
}

void servers_feed_close(struct registry_nats *n)
{
	feed_close(&n->servers.feed);
	if (n->servers.cache >= 0)
		close(n->servers.cache);
}

/* ---- what the registry has lost ---- */

void servers_feed_serve(struct registry_nats *n, const struct instant *now)
{
	const struct server_list *list = n->r->o.servers;
	struct feed *f = &n->servers.feed;
	uint8_t bytes[ENTRY_MAX];

	if (index_set_empty(&f->lost) || now->boot < f->next_heal)
		return;
	for (unsigned i = 0; i < list->count; i++) {
		const struct server_entry *e = &list->entry[i];

		if (!index_set_has(&f->lost, e->number))
			continue;
		registry_count(n, COUNT_healed);
		if (writer_put_value(n, OF_SERVERS, e->number, bytes, entry_write(bytes, e)))
			return; /* out of memory: the next round tries again */
	}
	index_set_clear(&f->lost);
}

static void take_deleted(struct registry_nats *n, const struct instant *now, uint32_t number)
{
	if (number <= UINT16_MAX && server_list_find(n->r->o.servers, (uint16_t)number))
		feed_lost(n, now, &n->servers.feed, number);
}

/* ---- changes ---- */

static struct feed *feed_of(struct registry_nats *n)
{
	return &n->servers.feed;
}

/* While all of the list is read it is of no use: half of it would look like a small cluster. */
static void tell(struct registry_nats *n)
{
	struct servers_feed *f = &n->servers;

	if (f->changed && !f->feed.reading)
		n->r->o.servers_changed(n->r->o.servers_changed_arg);
	f->changed &= f->feed.reading;
}

static void take_value(struct registry_nats *n, const struct instant *now, uint32_t number,
		void *value)
{
	struct server_entry *e = value;
	struct servers_feed *f = &n->servers;
	int added = server_list_add(n->r->o.servers, e);
	const struct server_entry *present = server_list_find(n->r->o.servers, (uint16_t)number);

	if (added == 1) {
		f->changed = true;
		remember(n, e);
	} else if (added < 0) {
		log_limited(LOG_ERROR, 1, "registry: server %u (%s) is left out: a cluster has at most "
				"%d servers", e->number, e->name, SERVERS_MAX);
	}
	if (added == 0 && entry_order(e, present) < 0) {
		registry_count(n, COUNT_stale);
		feed_lost(n, now, &f->feed, number);
	} else {
		feed_seen(&f->feed, number);
	}
	free(e);
	tell(n);
}

/* Also what is known from a file alone belongs there. */
static void take_complete(struct registry_nats *n, const struct instant *now)
{
	const struct server_list *list = n->r->o.servers;
	struct feed *f = &n->servers.feed;

	for (unsigned i = 0; i < list->count; i++)
		if (!index_set_has(&f->seen, list->entry[i].number))
			feed_lost(n, now, f, list->entry[i].number);
	f->reading = false;
	tell(n);
}

const struct feed_ops servers_feed_ops = {
	.feed = feed_of,
	.value = take_value,
	.deleted = take_deleted,
	.complete = take_complete,
	.discard = free,
};
