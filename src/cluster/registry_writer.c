/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The thread that writes to the registry.  Nobody waits for it: a worker that
 * takes a HELLO leaves a copy in the queue, and that is all.
 */
#include "cluster/registry_internal.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"

#define BUSY_MS 60   /* a slot of the queue's wheel */
#define IDLE_MS 1000

int writer_open(struct registry_nats *n)
{
	struct registry_writer *w = &n->writer;
	pthread_condattr_t monotonic;

	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&w->wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
	pthread_mutex_init(&w->lock, NULL);
	w->queue = write_queue_new();
	w->relays = relay_queue_new(n->heal_delay);
	return w->queue && w->relays ? 0 : -ENOMEM;
}

/* Under the lock. */
static void wait_for_work(struct registry_writer *w)
{
	int ms = write_queue_length(w->queue) || relay_queue_length(w->relays) ? BUSY_MS : IDLE_MS;
	struct timespec until;

	if (w->stop)
		return;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += ms % 1000 * 1000000L;
	until.tv_sec += ms / 1000 + until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_cond_timedwait(&w->wake, &w->lock, &until);
}

/* Takes one value under the lock, or NULL. */
static struct raw_value *next_value(struct registry_writer *w)
{
	struct raw_value *v = w->values;

	if (v)
		w->values = v->next;
	return v;
}

static void write_value(struct raw_value *v)
{
	char key[INDEX_KEY_SIZE];

	index_key(key, v->index);
	bucket_write(v->bucket, key, v->bytes, v->len);
	free(v);
}

/* One write, outside of the lock; false: there is nothing to write now. */
static bool write_one(struct registry_nats *n)
{
	struct registry_writer *w = &n->writer;
	uint8_t value[SESSION_SEALED_MAX];
	const struct session_record *r;
	struct session_record *copy = NULL;
	struct raw_value *raw;
	struct value_keys keys;
	char key[INDEX_KEY_SIZE];
	struct instant now;
	uint32_t index;

	clock_read(&now);
	pthread_mutex_lock(&w->lock);
	raw = next_value(w);
	r = raw ? NULL : write_queue_next(w->queue, &now, &index);
	if (r && (copy = malloc(session_record_size(r))))
		memcpy(copy, r, session_record_size(r));
	pthread_mutex_unlock(&w->lock);
	if (raw)
		write_value(raw);
	if (copy) {
		index_key(key, index);
		registry_keys(n, &keys);
		bucket_write(n->bucket[OF_SESSIONS], key, value,
				session_value_seal(&keys, key, copy, value));
		wipe(&keys, sizeof keys);
		registry_count(n, COUNT_writes);
		free(copy);
	}
	return raw || copy || (n->r->relays && relays_feed_write(n, &now));
}

static void *writer_main(void *arg)
{
	struct registry_nats *n = arg;
	struct registry_writer *w = &n->writer;
	bool stop = false;

	while (!stop) {
		while (nats_link_up(&n->link) && write_one(n))
			;
		pthread_mutex_lock(&w->lock);
		wait_for_work(w);
		stop = w->stop;
		pthread_mutex_unlock(&w->lock);
	}
	nats_ReleaseThreadMemory();
	return NULL;
}

int writer_start(struct registry_nats *n)
{
	return -pthread_create(&n->writer.thread, NULL, writer_main, n);
}

void writer_close(struct registry_nats *n)
{
	struct registry_writer *w = &n->writer;
	struct raw_value *v;

	if (w->thread) {
		pthread_mutex_lock(&w->lock);
		w->stop = true;
		pthread_cond_signal(&w->wake);
		pthread_mutex_unlock(&w->lock);
		pthread_join(w->thread, NULL);
	}
	while ((v = next_value(w)))
		free(v);
	write_queue_free(w->queue);
	relay_queue_free(w->relays);
	pthread_cond_destroy(&w->wake);
	pthread_mutex_destroy(&w->lock);
}

int writer_put_session(struct registry_nats *n, const struct instant *now, uint32_t index,
		const struct session_record *r, ticks due)
{
	struct registry_writer *w = &n->writer;
	int failed;

	pthread_mutex_lock(&w->lock);
	failed = write_queue_put(w->queue, now, index, r, due);
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
	return failed;
}

void writer_seen_session(struct registry_nats *n, const struct instant *now, uint32_t index,
		const struct session_record *r)
{
	pthread_mutex_lock(&n->writer.lock);
	write_queue_seen(n->writer.queue, now, index, r);
	pthread_mutex_unlock(&n->writer.lock);
}

int writer_put_value(struct registry_nats *n, enum change_of of, uint32_t index,
		const uint8_t *bytes, size_t len)
{
	struct registry_writer *w = &n->writer;
	struct raw_value *v = malloc(sizeof *v + len);

	if (!v)
		return -ENOMEM;
	*v = (struct raw_value){.bucket = n->bucket[of], .index = index, .len = len};
	memcpy(v->bytes, bytes, len);
	pthread_mutex_lock(&w->lock);
	v->next = w->values;
	w->values = v;
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
	return 0;
}

size_t writer_queue_length(struct registry_nats *n)
{
	size_t length;

	pthread_mutex_lock(&n->writer.lock);
	length = write_queue_length(n->writer.queue) + relay_queue_length(n->writer.relays);
	pthread_mutex_unlock(&n->writer.lock);
	return length;
}
