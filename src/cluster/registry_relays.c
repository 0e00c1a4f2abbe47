/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Relays in the registry.  The table of relays (mode/relays.h) is the truth: what
 * the registry shows is merged into it, and what it then has more is written
 * again.  So a lost write, a lost value and a value set back are one case.
 *
 * A reading from the beginning brings each relay's last change, not who came
 * first: it is learnt from, but settles nothing.
 */
#include "cluster/registry_internal.h"

#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "cluster/relay_value.h"

/* ---- in the bucket's thread ---- */

/* A relay without version says that its key was deleted. */
struct relay *relay_change_new(struct registry_nats *n, const char *key, const uint8_t *value,
		size_t len)
{
	struct relay *r = calloc(1, sizeof *r);
	struct value_keys keys;
	bool good;

	if (!r)
		return NULL;
	registry_keys(n, &keys);
	good = value ? relay_value_open(&keys, key, value, len, r) == 0 : relay_value_id(key, r->id);
	wipe(&keys, sizeof keys);
	if (good)
		return r;
	free(r);
	return NULL;
}

/* ---- in the main thread ---- */

static struct feed *relays_feed(struct registry_nats *n)
{
	return &n->relays.feed;
}

static void write_relay(struct registry_nats *n, ticks now, const uint8_t id[RELAY_ID_SIZE], bool heal)
{
	int failed;

	pthread_mutex_lock(&n->writer.lock);
	failed = relay_queue_put(n->writer.relays, now, id, heal);
	pthread_cond_signal(&n->writer.wake);
	pthread_mutex_unlock(&n->writer.lock);
	if (failed)
		log_limited(LOG_ERROR, 1, "registry: not enough memory to write a relay");
}

static void relay_written(struct registry_nats *n, const uint8_t id[RELAY_ID_SIZE])
{
	pthread_mutex_lock(&n->writer.lock);
	relay_queue_done(n->writer.relays, id);
	pthread_mutex_unlock(&n->writer.lock);
}

/* The registry has less than is known here, or nothing. */
static void heal_relay(struct registry_nats *n, const struct instant *now,
		const uint8_t id[RELAY_ID_SIZE])
{
	registry_count(n, COUNT_healed);
	write_relay(n, now->boot, id, true);
}

/* Of the first value of a reading: what is not met from here on is missing. */
static void begin_reading(struct registry_nats *n)
{
	if (n->relays.feed.reading && !n->relays.marked)
		relays_reading(n->r->relays);
	n->relays.marked = n->relays.feed.reading;
}

static void take_deleted(struct registry_nats *n, const struct instant *now, const struct relay *r)
{
	bool known;

	relays_lock(n->r->relays);
	known = relays_known(n->r->relays, r->id) != NULL;
	relays_unlock(n->r->relays);
	registry_count(n, COUNT_deleted);
	if (known)
		heal_relay(n, now, r->id);
}

static void take_relay(struct registry_nats *n, const struct instant *now, const struct relay *r)
{
	struct relays *t = n->r->relays;
	bool reading = n->relays.feed.reading;
	enum relay_news news;

	relays_lock(t);
	begin_reading(n);
	news = reading ? relays_learn(t, now, r) : relays_shown(t, now, r);
	relays_unlock(t);
	if (news == RELAY_NEWS_MORE)
		heal_relay(n, now, r->id);
	else if (!reading || r->settled) /* else it is written once more, to be shown in its turn */
		relay_written(n, r->id);
}

static void relay_value(struct registry_nats *n, const struct instant *now, uint32_t index,
		void *value)
{
	struct relay *r = value;

	(void)index;
	if (r->version)
		take_relay(n, now, r);
	else
		take_deleted(n, now, r);
	free(r);
}

struct missing {
	struct registry_nats *n;
	const struct instant *now;
};

static void heal_missing(void *arg, const struct relay *r, unsigned state)
{
	const struct missing *m = arg;

	if (state & RELAY_NOT_MET)
		heal_relay(m->n, m->now, r->id);
}

static void relays_complete(struct registry_nats *n, const struct instant *now)
{
	struct missing m = {n, now};

	relays_lock(n->r->relays);
	begin_reading(n);
	relays_unlock(n->r->relays);
	relays_each(n->r->relays, heal_missing, &m);
	n->relays.marked = false;
}

const struct feed_ops relays_feed_ops = {
	.feed = relays_feed,
	.value = relay_value,
	.complete = relays_complete,
	.discard = free,
};

static void seal_again(void *arg, const struct relay *r, unsigned state)
{
	const struct missing *m = arg;

	(void)state;
	write_relay(m->n, m->now->boot, r->id, true);
}

/* A server that begins when the old key has gone can open nothing that was sealed with it. */
void relays_feed_rekey(struct registry_nats *n, const struct instant *now)
{
	struct missing m = {n, now};

	if (n->r->relays)
		relays_each(n->r->relays, seal_again, &m);
}

void relays_feed_put(struct registry_nats *n, const struct instant *now, const struct relay *r)
{
	write_relay(n, now->boot, r->id, false);
}

/* ---- in the writer's thread ---- */

/* What is known now of the next one, sealed; false: there is nothing to write. */
bool relays_feed_write(struct registry_nats *n, const struct instant *now)
{
	uint8_t id[RELAY_ID_SIZE], value[RELAY_SEALED_MAX];
	const struct relay *known;
	struct value_keys keys;
	struct relay r = {0};
	char key[RELAY_KEY_SIZE];
	bool due;

	pthread_mutex_lock(&n->writer.lock);
	due = relay_queue_next(n->writer.relays, now->boot, id);
	pthread_mutex_unlock(&n->writer.lock);
	if (!due)
		return false;
	relays_lock(n->r->relays);
	known = relays_known(n->r->relays, id);
	if (known)
		r = *known;
	relays_unlock(n->r->relays);
	if (!r.version) { /* forgotten meanwhile */
		relay_written(n, id);
		return true;
	}
	relay_value_key(key, id);
	registry_keys(n, &keys);
	bucket_write(n->bucket[OF_RELAYS], key, value, relay_value_seal(&keys, &r, value));
	wipe(&keys, sizeof keys);
	registry_count(n, COUNT_writes);
	return true;
}
