/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Session records from the registry, in the main thread: into the server core,
 * where the winner stays.  What the registry has lost or set back while its
 * session lives is written to it again: at once by the server that took the
 * HELLO, by others after their delay if it has not come back by then.
 */
#include "cluster/registry_internal.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"

#define ORPHAN_LIFE TICKS_S(10)

/* ---- healing ---- */

static void heal(struct registry_nats *n, const struct instant *now, const struct client *c)
{
	const struct session_record *r = c->session;
	bool own;

	if (!r || time_seconds(now->cluster) >= session_end(r->epoch))
		return;
	own = r->writer == n->r->o.server_number;
	registry_count(n, COUNT_healed);
	writer_put_session(n, now, c->index, r, now->boot + (own ? 0 : n->heal_delay));
}

static void heal_index(struct registry_nats *n, const struct instant *now, uint32_t index)
{
	const struct client *c = directory_by_index(n->r->server->directory, index);

	if (c && !c->removed)
		heal(n, now, c);
}

/* After a whole reading: every record here that did not come with it. */
static void heal_unseen(struct registry_nats *n, const struct instant *now)
{
	const struct directory *dir = n->r->server->directory;

	for (size_t i = 0; i < directory_count(dir); i++) {
		const struct client *c = directory_at(dir, i);

		if (c->session && !index_set_has(&n->sessions.feed.seen, c->index))
			heal(n, now, c);
	}
}

/* ---- records whose client is not known yet: two buckets keep no order between them ---- */

static void keep_orphan(struct registry_nats *n, const struct instant *now, uint32_t index,
		struct session_record *r)
{
	struct sessions_feed *f = &n->sessions;

	if (f->orphan_count == f->orphan_room) {
		size_t room = f->orphan_room ? 2 * f->orphan_room : 64;
		struct orphan *larger = reallocarray(f->orphan, room, sizeof *larger);

		if (!larger) {
			free(r);
			return;
		}
		f->orphan = larger;
		f->orphan_room = room;
	}
	f->orphan[f->orphan_count++] = (struct orphan){index, now->boot, r};
}

static bool client_known(const struct registry_nats *n, uint32_t index)
{
	return directory_by_index(n->r->server->directory, index);
}

/* Consumes r. */
static void apply(struct registry_nats *n, const struct instant *now, uint32_t index,
		struct session_record *r)
{
	switch (server_apply_record(n->r->server, now, index, r)) {
	case -ESTALE:
		registry_count(n, COUNT_stale);
		heal_index(n, now, index);
		break;
	case -ENOENT:
		registry_count(n, COUNT_unknown);
		break;
	case -ERANGE:
		registry_count(n, COUNT_refused);
		break;
	default:
		break;
	}
}

void sessions_feed_retry(struct registry_nats *n, const struct instant *now)
{
	struct sessions_feed *f = &n->sessions;
	const struct clients_feed *clients = &n->clients;
	size_t kept = 0;

	for (size_t i = 0; i < f->orphan_count; i++) {
		struct orphan o = f->orphan[i];
		bool late = clients->feed.ready &&
				now->boot > MAX(o.arrived, clients->ready_at) + ORPHAN_LIFE;

		if (late || client_known(n, o.index))
			apply(n, now, o.index, o.record);
		else
			f->orphan[kept++] = o;
	}
	f->orphan_count = kept;
}

/* ---- changes ---- */

static struct feed *feed_of(struct registry_nats *n)
{
	return &n->sessions.feed;
}

static void take_value(struct registry_nats *n, const struct instant *now, uint32_t index,
		void *value)
{
	struct session_record *r = value;

	if (n->sessions.feed.reading)
		index_set_add(&n->sessions.feed.seen, index);
	writer_seen_session(n, now, index, r);
	if (client_known(n, index))
		apply(n, now, index, r);
	else
		keep_orphan(n, now, index, r);
}

static void take_deleted(struct registry_nats *n, const struct instant *now, uint32_t index)
{
	heal_index(n, now, index);
}

const struct feed_ops sessions_feed_ops = {
	.feed = feed_of,
	.value = take_value,
	.deleted = take_deleted,
	.complete = heal_unseen,
	.discard = free,
};

int sessions_feed_open(struct registry_nats *n)
{
	return feed_open(&n->sessions.feed);
}

void sessions_feed_close(struct registry_nats *n)
{
	for (size_t i = 0; i < n->sessions.orphan_count; i++)
		free(n->sessions.orphan[i].record);
	free(n->sessions.orphan);
	feed_close(&n->sessions.feed);
}
