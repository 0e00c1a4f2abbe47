/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "cluster/nats_bucket.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "cluster/seal.h"

#define NEXT_MS       250
#define READ_MS       5000 /* for the next entry of a bucket that is read once */
#define READ_TRIES 3
#define BEAT_INTERVAL TICKS_S(2)
#define SILENCE       TICKS_S(5) /* without any value, while connected */
#define BEATS         8           /* whose times of sending are remembered */
#define BEAT_SIZE     16          /* random 8, number 8 */
#define BACKOFF_MIN   250         /* ms */
#define BACKOFF_MAX   8000

struct bucket {
	const struct nats_link *link;
	struct bucket_options o;
	pthread_t thread;
	int stop; /* eventfd: readable when the thread is to end */
	kvStore *store;
	kvWatcher *watcher;
	char beat_key[16];
	uint8_t beat_random[8];  /* this process, and no twin of it */
	uint64_t beat, expected; /* last one sent, next one to come back */
	ticks sent[BEATS];       /* boot time */
	ticks next_beat, heard, up_since;
	unsigned backoff; /* ms */
	bool lost_beat;
	_Atomic bool complete;
	_Atomic long lag_ms;
	_Atomic ticks contact;
};

static bool stopped(const struct bucket *b, int wait_ms)
{
	struct pollfd p = {.fd = b->stop, .events = POLLIN};

	return poll(&p, 1, wait_ms) > 0;
}

void bucket_write(const struct bucket *b, const char *key, const uint8_t *value, size_t len)
{
	char subject[SEAL_NAME_MAX + 8];

	snprintf(subject, sizeof subject, "$KV.%s.%s", b->o.name, key);
	natsConnection_Publish(b->link->connection, subject, value, (int)len);
}

/* ---- heartbeats ---- */

static void send_beat(struct bucket *b, const struct instant *now)
{
	uint8_t plain[BEAT_SIZE], value[BEAT_SIZE + SEAL_OVERHEAD];

	b->beat++;
	b->sent[b->beat % BEATS] = now->boot;
	memcpy(plain, b->beat_random, 8);
	store_be64(plain + 8, b->beat);
	if (seal_value(b->o.seal_key, b->o.name, b->beat_key, plain, sizeof plain, value))
		bucket_write(b, b->beat_key, value, sizeof value);
	b->next_beat = now->boot + BEAT_INTERVAL;
}

static void take_beat(struct bucket *b, const struct instant *now, const uint8_t *value, size_t len)
{
	uint8_t plain[BEAT_SIZE];
	uint64_t number;

	if (len != BEAT_SIZE + SEAL_OVERHEAD ||
			seal_open(b->o.seal_key, b->o.name, b->beat_key, value, len, plain) < 0 ||
			memcmp(plain, b->beat_random, 8) != 0)
		return;
	number = load_be64(plain + 8);
	if (number > b->beat || number + BEATS <= b->beat || number < b->expected)
		return; /* an old one, repeated */
	b->lost_beat = b->expected && number > b->expected;
	b->expected = number + 1;
	b->backoff = BACKOFF_MIN;
	b->lag_ms = (long)((now->boot - b->sent[number % BEATS]) * 1000 / TICKS_PER_SEC);
	if (b->complete)
		b->contact = now->boot;
}

/* ---- the watcher ---- */

static void close_watcher(struct bucket *b)
{
	kvWatcher_Destroy(b->watcher);
	kvStore_Destroy(b->store);
	b->watcher = NULL;
	b->store = NULL;
}

natsStatus bucket_find(kvStore **store, jsCtx *js, const char *name, unsigned replicas,
		unsigned ttl_s)
{
	natsStatus s = js_KeyValue(store, js, name);
	kvConfig c;

	if (s != NATS_NOT_FOUND)
		return s;
	kvConfig_Init(&c);
	c.Bucket = name;
	c.History = 1;
	c.TTL = (int64_t)ttl_s * 1000000000;
	c.StorageType = js_FileStorage;
	c.Replicas = (int)replicas;
	return js_CreateKeyValue(store, js, &c);
}

/* *any: there was an entry. */
static natsStatus read_once(kvStore *store, bucket_visit *visit, void *arg, int *result, bool *any)
{
	kvWatcher *watcher = NULL;
	natsStatus s = kvStore_WatchAll(&watcher, store, NULL);
	kvEntry *e;

	while (s == NATS_OK && !*result) {
		e = NULL;
		s = kvWatcher_Next(&e, watcher, READ_MS);
		if (s != NATS_OK || !e) /* NULL: that was all */
			break;
		*any = true;
		*result = visit(arg, e);
		kvEntry_Destroy(e);
	}
	kvWatcher_Destroy(watcher);
	return s;
}

/* A bucket that has just been made, and chooses its leader, may say nothing at all: asked again. */
natsStatus bucket_read(kvStore *store, bucket_visit *visit, void *arg, int *result)
{
	natsStatus s = NATS_TIMEOUT;
	bool any = false;

	*result = 0;
	for (unsigned i = 0; i < READ_TRIES && s == NATS_TIMEOUT && !any; i++)
		s = read_once(store, visit, arg, result, &any);
	return s;
}

static bool open_watcher(struct bucket *b)
{
	natsStatus s;

	if (!nats_link_up(b->link))
		return false;
	s = bucket_find(&b->store, b->link->js, b->o.name, b->o.replicas, b->o.ttl_s);
	if (s == NATS_OK && b->o.prepare)
		b->o.prepare(b->o.arg);
	if (s == NATS_OK)
		s = kvStore_WatchAll(&b->watcher, b->store, NULL);
	if (s == NATS_OK)
		return true;
	log_limited(LOG_WARNING, 3, "registry: bucket %s cannot be used: %s (%s)", b->o.name,
			natsStatus_GetText(s), nats_GetLastError(NULL));
	close_watcher(b);
	return false;
}

static void take_entry(struct bucket *b, const struct instant *now, kvEntry *e)
{
	const char *key = kvEntry_Key(e);
	bool put = kvEntry_Operation(e) == kvOp_Put;
	int len = kvEntry_ValueLen(e);

	b->heard = now->boot;
	if (put && !strcmp(key, b->beat_key))
		take_beat(b, now, kvEntry_Value(e), (size_t)len);
	else if (strncmp(key, "alive.", 6) != 0)
		b->o.value(b->o.arg, key, put ? kvEntry_Value(e) : NULL, put ? (size_t)len : 0);
	kvEntry_Destroy(e);
}

static void all_read(struct bucket *b)
{
	b->complete = true;
	b->o.snapshot(b->o.arg, true);
}

/* True while there is reason to believe that changes reach us. */
static bool trustworthy(struct bucket *b, const struct instant *now)
{
	if (!nats_link_up(b->link)) {
		b->up_since = 0;
		return true; /* nothing can be better than to wait */
	}
	if (!b->up_since) {
		b->up_since = now->boot;
		send_beat(b, now);
	}
	if (b->lost_beat) {
		log_limited(LOG_NOTICE, 3, "registry: bucket %s has lost a write; it is read again",
				b->o.name);
		return false;
	}
	if (now->boot < MAX(b->heard, b->up_since) + SILENCE)
		return true;
	log_limited(LOG_NOTICE, 3, "registry: bucket %s is silent; it is watched anew", b->o.name);
	return false;
}

/* Until there is a reason to begin anew. */
static void follow(struct bucket *b)
{
	struct instant now;
	natsStatus s;
	kvEntry *e;

	clock_read(&now);
	b->heard = now.boot;
	b->up_since = 0;
	b->expected = 0;
	b->lost_beat = false;
	b->o.snapshot(b->o.arg, false);
	do {
		e = NULL;
		s = kvWatcher_Next(&e, b->watcher, NEXT_MS);
		clock_read(&now);
		if (s == NATS_OK && e)
			take_entry(b, &now, e);
		else if (s == NATS_OK)
			all_read(b);
		else if (s != NATS_TIMEOUT)
			return;
		if (now.boot >= b->next_beat && b->up_since)
			send_beat(b, &now);
	} while (trustworthy(b, &now) && !stopped(b, 0));
}

static void *bucket_main(void *arg)
{
	struct bucket *b = arg;
	uint8_t random;

	do {
		if (open_watcher(b)) {
			follow(b);
			close_watcher(b);
			b->complete = false;
		}
		random_bytes(&random, 1);
		b->backoff = MIN(2 * b->backoff, BACKOFF_MAX);
	} while (!stopped(b, (int)(b->backoff / 2 + b->backoff * random / 512)));
	nats_ReleaseThreadMemory();
	return NULL;
}

/* ---- from outside ---- */

struct bucket *bucket_open(const struct nats_link *link, const struct bucket_options *o)
{
	struct bucket *b = calloc(1, sizeof *b);

	if (!b)
		return NULL;
	b->link = link;
	b->o = *o;
	b->lag_ms = -1;
	b->backoff = BACKOFF_MIN;
	snprintf(b->beat_key, sizeof b->beat_key, "alive.%u", o->server_number);
	random_bytes(b->beat_random, sizeof b->beat_random);
	b->stop = eventfd(0, EFD_CLOEXEC);
	if (b->stop >= 0 && pthread_create(&b->thread, NULL, bucket_main, b) == 0)
		return b;
	if (b->stop >= 0)
		close(b->stop);
	free(b);
	return NULL;
}

void bucket_close(struct bucket *b)
{
	if (eventfd_write(b->stop, 1) == 0)
		pthread_join(b->thread, NULL);
	close(b->stop);
	free(b);
}

void bucket_status(const struct bucket *b, struct bucket_status *status)
{
	struct instant now;

	clock_read(&now);
	*status = (struct bucket_status){.lag_ms = b->lag_ms, .contact = b->contact};
	status->alive = b->complete && nats_link_up(b->link) &&
			now.boot < status->contact + SILENCE;
}
