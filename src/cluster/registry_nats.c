/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The registry of a cluster: NATS JetStream key-value buckets.  NATS is trusted
 * to keep values, never for what they say, and its absence costs newness and
 * nothing else.  registry_internal.h shows the threads.
 */
#include "cluster/registry_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "cluster/relay_value.h"

#define SESSIONS_TTL   900 /* s; a session lives 600 at most */
#define RELAYS_TTL     7200 /* s; what lives longer is written anew each hour (mode/relays_time.c) */
#define HEAL_DELAY_MIN TICKS_S(2)
#define HEAL_DELAY_VAR TICKS_S(6)
#define STAMP_INTERVAL TICKS_S(10)

/* ---- in the buckets' threads: nothing unchecked goes further ---- */

static void hand_over(struct registry_nats *n, enum change_of of, enum change_kind kind,
		uint32_t index, void *value)
{
	struct change c = {of, kind, index, value};

	if (!inbox_put(&n->inbox, &c) && value)
		feed_ops[of]->discard(value);
}

static struct known_client *check_client(struct registry_nats *n, const char *key,
		const uint8_t *value, size_t len, bool checked)
{
	struct known_client *k = calloc(1, sizeof *k);
	struct value_keys keys;
	int failed;

	registry_keys(n, &keys);
	failed = !k ? -ENOMEM :
		 checked ? client_value_read_checked(&keys, key, value, len, &k->record) :
			   client_value_read(&keys, key, value, len, &k->record);
	wipe(&keys, sizeof keys);
	if (failed) {
		if (k)
			known_client_free(k);
		return NULL;
	}
	memcpy(k->bytes, value, len);
	k->len = len;
	return k;
}

static void client_value(void *arg, const char *key, const uint8_t *value, size_t len)
{
	struct registry_nats *n = arg;
	uint8_t digest[DIGEST_SIZE];
	struct known_client *k;
	uint32_t index = 0;
	bool ours = index_from_key(key, &index);

	if (!value) {
		if (ours)
			hand_over(n, OF_CLIENTS, CHANGE_DELETED, index, NULL);
		return;
	}
	registry_count(n, COUNT_received);
	digest_make(value, len, digest);
	if (ours && verified_has(n->verified, index, digest)) {
		hand_over(n, OF_CLIENTS, CHANGE_KNOWN, index, NULL);
		return;
	}
	k = check_client(n, key, value, len, digests_has(&n->digests, index, digest));
	if (!k) {
		registry_count(n, COUNT_refused);
		return;
	}
	verified_add(n->verified, index, k->record.version, digest);
	hand_over(n, OF_CLIENTS, CHANGE_VALUE, k->record.index, k);
}

static void session_value(void *arg, const char *key, const uint8_t *value, size_t len)
{
	struct registry_nats *n = arg;
	struct session_record *r;
	struct value_keys keys;
	uint32_t index;
	int error;

	if (!value) {
		if (index_from_key(key, &index))
			hand_over(n, OF_SESSIONS, CHANGE_DELETED, index, NULL);
		return;
	}
	registry_count(n, COUNT_received);
	registry_keys(n, &keys);
	r = session_value_open(&keys, key, value, len, &index, &error);
	wipe(&keys, sizeof keys);
	if (r)
		hand_over(n, OF_SESSIONS, CHANGE_VALUE, index, r);
	else
		registry_count(n, COUNT_refused);
}

static void server_value(void *arg, const char *key, const uint8_t *value, size_t len)
{
	struct registry_nats *n = arg;
	struct server_entry *e;
	struct value_keys keys;
	uint32_t index;

	if (!value) {
		if (index_from_key(key, &index))
			hand_over(n, OF_SERVERS, CHANGE_DELETED, index, NULL);
		return;
	}
	registry_count(n, COUNT_received);
	e = malloc(sizeof *e);
	registry_keys(n, &keys);
	if (e && server_value_read(&keys, key, value, len, e) == 0) {
		hand_over(n, OF_SERVERS, CHANGE_VALUE, e->number, e);
	} else {
		registry_count(n, COUNT_refused);
		free(e);
	}
	wipe(&keys, sizeof keys);
}

static void relay_value(void *arg, const char *key, const uint8_t *value, size_t len)
{
	struct registry_nats *n = arg;
	struct relay *r = relay_change_new(n, key, value, len);

	if (value)
		registry_count(n, COUNT_received);
	if (r)
		hand_over(n, OF_RELAYS, CHANGE_VALUE, 0, r);
	else if (value)
		registry_count(n, COUNT_refused);
}

static int take_page(void *arg, kvEntry *e)
{
	struct registry_nats *n = arg;
	uint32_t number;

	if (kvEntry_Operation(e) != kvOp_Put)
		return 0;
	registry_count(n, COUNT_received);
	if (!index_from_key(kvEntry_Key(e), &number) ||
			digests_read(&n->digests, number, kvEntry_Value(e), (size_t)kvEntry_ValueLen(e),
					n->r->o.op->sign))
		registry_count(n, COUNT_refused);
	return 0;
}

/* Whatever is missing: then records are checked one by one. */
static void read_digests(void *arg)
{
	struct registry_nats *n = arg;
	kvStore *store = NULL;
	natsStatus s = bucket_find(&store, n->link.js, BUCKET_DIGESTS, n->r->o.replicas, 0);
	int result;

	if (s == NATS_OK)
		s = bucket_read(store, take_page, n, &result);
	kvStore_Destroy(store);
	if (s != NATS_OK)
		log_limited(LOG_INFO, 3, "registry: bucket " BUCKET_DIGESTS " cannot be read: %s; every "
				"client is checked singly", natsStatus_GetText(s));
}

static void client_snapshot(void *arg, bool complete)
{
	struct registry_nats *n = arg;

	if (complete) { /* new ones come one by one */
		digests_free(&n->digests);
		digests_init(&n->digests);
	}
	hand_over(arg, OF_CLIENTS, complete ? CHANGE_COMPLETE : CHANGE_BEGIN, 0, NULL);
}

static void session_snapshot(void *arg, bool complete)
{
	hand_over(arg, OF_SESSIONS, complete ? CHANGE_COMPLETE : CHANGE_BEGIN, 0, NULL);
}

static void server_snapshot(void *arg, bool complete)
{
	hand_over(arg, OF_SERVERS, complete ? CHANGE_COMPLETE : CHANGE_BEGIN, 0, NULL);
}

static void relay_snapshot(void *arg, bool complete)
{
	hand_over(arg, OF_RELAYS, complete ? CHANGE_COMPLETE : CHANGE_BEGIN, 0, NULL);
}

/* ---- in the main thread ---- */

/* Who has been removed meanwhile is not known here: after MaxAge nobody is served. */
static void watch_age(struct registry_nats *n, const struct instant *now)
{
	struct server *s = n->r->server;
	struct bucket_status status;
	bool old;

	bucket_status(n->bucket[OF_CLIENTS], &status);
	if (status.contact)
		n->contact = MAX(n->contact, (int64_t)status.contact);
	old = (int64_t)now->boot - n->contact > (int64_t)TICKS_S(n->r->o.max_age);
	if (old && !s->cut_off)
		log_error("registry: cut off from NATS for more than MaxAge = %u s: nobody is served, "
				"since clients may have been removed; see that NATS is reachable",
				n->r->o.max_age);
	else if (!old && s->cut_off)
		log_notice("registry: the list of clients is current again: clients are served");
	server_set_cut_off(s, old);
	if (status.alive && now->boot >= n->next_stamp) {
		client_cache_stamp(&n->clients.cache, time_seconds(now->cluster));
		n->next_stamp = now->boot + STAMP_INTERVAL;
	}
}

static void wake_at(struct registry_nats *n, const struct instant *now, ticks at)
{
	ticks wait = at > now->boot ? at - now->boot : 1;
	uint64_t ns = (uint64_t)((unsigned __int128)wait * 1000000000 / TICKS_PER_SEC) + 1;
	struct itimerspec when = {
		.it_value = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)},
	};

	timerfd_settime(n->timer, 0, &when, NULL);
}

static void nats_serve(struct registry *r, const struct instant *now)
{
	struct registry_nats *n = r->nats;
	struct change *changes;
	uint64_t expirations;
	ticks again;

	if (read(n->timer, &expirations, sizeof expirations) < 0 && errno != EAGAIN)
		log_limited(LOG_ERROR, 1, "registry: its timer fails: %s", strerror(errno));
	for (size_t i = 0, count = inbox_take(&n->inbox, &changes); i < count; i++)
		feed_take(n, now, &changes[i]);
	again = clients_feed_serve(n, now);
	sessions_feed_retry(n, now);
	servers_feed_serve(n, now);
	watch_age(n, now);
	if (again)
		wake_at(n, now, again);
}

static int nats_reload(struct registry *r, const char *clients_file, char *error,
		size_t error_size)
{
	(void)r;
	(void)clients_file;
	(void)error;
	(void)error_size;
	return 0; /* clients come by themselves */
}

static void nats_set_keys(struct registry *r, bool newest)
{
	struct registry_nats *n = r->nats;
	struct value_keys keys;
	struct instant now;
	bool other, sealed_other;

	/* the operator's key is the same as at the start, so this cannot fail */
	if (value_keys_make(&keys, r->o.cluster, r->o.op, newest))
		return;
	other = memcmp(keys.seal[0], n->keys.seal[0], KEY_SIZE) != 0;
	sealed_other = memcmp(keys.seal[keys.write], n->keys.seal[n->keys.write], KEY_SIZE) != 0;
	pthread_mutex_lock(&n->keys_lock);
	n->keys = keys;
	pthread_mutex_unlock(&n->keys_lock);
	wipe(&keys, sizeof keys);
	clock_read(&now);
	if (other)
		clients_feed_rekey(n, &now);
	if (newest && sealed_other)
		relays_feed_rekey(n, &now);
}

static void nats_put_relay(struct registry *r, const struct instant *now,
		const struct relay *relay)
{
	relays_feed_put(r->nats, now, relay);
}

/* ---- in a worker ---- */

static void nats_put_session(void *arg, const struct client *client,
		const struct session_record *old, const struct session_record *record)
{
	struct registry *r = arg;
	struct instant now;

	(void)old;
	clock_read(&now);
	if (writer_put_session(r->nats, &now, client->index, record, now.boot) != 0)
		log_limited(LOG_ERROR, 1, "registry: not enough memory to write a session");
}

/* ---- beginning and end ---- */

static int open_event(struct registry_nats *n)
{
	struct epoll_event in = {.events = EPOLLIN};
	int failed = inbox_init(&n->inbox);

	if (failed)
		return failed;
	n->epoll = epoll_create1(EPOLL_CLOEXEC);
	n->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (n->epoll < 0 || n->timer < 0 ||
			epoll_ctl(n->epoll, EPOLL_CTL_ADD, n->inbox.event, &in) != 0 ||
			epoll_ctl(n->epoll, EPOLL_CTL_ADD, n->timer, &in) != 0)
		return -errno;
	n->r->event = n->epoll;
	return 0;
}

static int open_parts(struct registry_nats *n, char *error, size_t error_size)
{
	const struct registry_options *o = &n->r->o;
	struct instant now;
	uint16_t random;
	int failed;

	random_bytes(&random, sizeof random);
	n->heal_delay = HEAL_DELAY_MIN + HEAL_DELAY_VAR * random / UINT16_MAX;
	pthread_mutex_init(&n->keys_lock, NULL);
	random_bytes(n->beat_key, sizeof n->beat_key);
	if (value_keys_make(&n->keys, o->cluster, o->op, false)) {
		snprintf(error, error_size, "OperatorKey: its sealing half is not usable");
		return -EPROTO;
	}
	failed = nats_link_read(&n->link, o, error, error_size);
	if (failed)
		return failed;
	snprintf(error, error_size, "the registry cannot be set up: out of memory or descriptors");
	n->verified = verified_new();
	failed = n->verified && digests_init(&n->digests) == 0 ? open_event(n) : -ENOMEM;
	if (!failed)
		failed = writer_open(n);
	if (!failed)
		failed = sessions_feed_open(n);
	if (!failed)
		failed = feed_open(&n->relays.feed);
	if (!failed)
		failed = servers_feed_open(n, error, error_size);
	clock_read(&now);
	return failed ? failed : clients_feed_open(n, &now, error, error_size);
}

static int nats_open(struct registry *r, char *error, size_t error_size)
{
	r->nats = calloc(1, sizeof *r->nats);
	if (!r->nats) {
		snprintf(error, error_size, "out of memory");
		return -ENOMEM;
	}
	r->nats->r = r;
	return open_parts(r->nats, error, error_size);
}

static const struct {
	const char *name;
	unsigned ttl_s;
	void (*value)(void *arg, const char *key, const uint8_t *value, size_t len);
	void (*snapshot)(void *arg, bool complete);
	void (*prepare)(void *arg);
} buckets[CHANGE_OF_COUNT] = {
	[OF_CLIENTS] = {BUCKET_CLIENTS, 0, client_value, client_snapshot, read_digests},
	[OF_SESSIONS] = {BUCKET_SESSIONS, SESSIONS_TTL, session_value, session_snapshot, NULL},
	[OF_SERVERS] = {BUCKET_SERVERS, 0, server_value, server_snapshot, NULL},
	[OF_RELAYS] = {BUCKET_RELAYS, RELAYS_TTL, relay_value, relay_snapshot, NULL},
};

static int open_buckets(struct registry_nats *n)
{
	for (unsigned i = 0; i < CHANGE_OF_COUNT; i++) {
		struct bucket_options o = {
			.name = buckets[i].name, .ttl_s = buckets[i].ttl_s,
			.value = buckets[i].value, .snapshot = buckets[i].snapshot, .arg = n,
			.replicas = n->r->o.replicas, .server_number = n->r->o.server_number,
			.seal_key = n->beat_key, .prepare = buckets[i].prepare,
		};

		if ((i == OF_SERVERS && !n->r->o.servers) || (i == OF_RELAYS && !n->r->relays))
			continue;
		n->bucket[i] = bucket_open(&n->link, &o);
		if (!n->bucket[i])
			return -ENOMEM;
	}
	return 0;
}

static int nats_start(struct registry *r, char *error, size_t error_size)
{
	struct registry_nats *n = r->nats;
	char name[64];
	int failed;

	snprintf(name, sizeof name, "anyrelay server %u", r->o.server_number);
	failed = nats_link_open(&n->link, &r->o, name, false, error, error_size);
	if (failed)
		return failed;
	failed = open_buckets(n);
	if (!failed)
		failed = writer_start(n);
	if (failed)
		snprintf(error, error_size, "the registry's threads cannot be started");
	return failed;
}

void registry_nats_free(struct registry_nats *n)
{
	clients_feed_close(n);
	sessions_feed_close(n);
	feed_close(&n->relays.feed);
	servers_feed_close(n);
	verified_free(n->verified);
	digests_free(&n->digests);
	inbox_free(&n->inbox);
	pthread_mutex_destroy(&n->keys_lock);
	close(n->timer);
	close(n->epoll);
	wipe(n, sizeof *n);
	free(n);
}

static void nats_close(struct registry *r)
{
	struct registry_nats *n = r->nats;
	struct change *changes;

	inbox_close(&n->inbox);
	for (unsigned i = 0; i < CHANGE_OF_COUNT; i++)
		if (n->bucket[i])
			bucket_close(n->bucket[i]);
	writer_close(n);
	for (size_t i = 0, count = inbox_take(&n->inbox, &changes); i < count; i++)
		if (changes[i].value)
			feed_ops[changes[i].of]->discard(changes[i].value);
	nats_link_close(&n->link);
	registry_nats_free(n);
	r->nats = NULL;
}

static void nats_status(struct registry *r, const struct instant *now,
		struct registry_status *status)
{
	struct registry_nats *n = r->nats;
	int64_t silent = (int64_t)now->boot - n->contact;
	struct bucket_status sessions = {0};
	bool alive = true;

	for (unsigned i = 0; i < CHANGE_OF_COUNT; i++) {
		struct bucket_status one = {.alive = true};

		if (n->bucket[i])
			bucket_status(n->bucket[i], &one);
		alive &= one.alive;
		if (i == OF_SESSIONS)
			sessions = one;
	}
	*status = (struct registry_status){
		.connected = alive,
		.read = n->clients.feed.ready && n->sessions.feed.ready && !n->clients.pending_count &&
			(!n->r->relays || n->relays.feed.ready),
		.lag_ms = sessions.lag_ms,
		.queue = writer_queue_length(n),
		.silent_s = silent > 0 ? (uint64_t)silent / TICKS_PER_SEC : 0,
#define X(key, text) .key = n->counter[COUNT_##key],
		REGISTRY_COUNTERS(X)
#undef X
	};
	nats_link_traffic(&n->link, status); /* libnats counts this itself */
}

const struct registry_ops registry_nats = {
	.name = "nats",
	.open = nats_open,
	.start = nats_start,
	.reload = nats_reload,
	.set_keys = nats_set_keys,
	.serve = nats_serve,
	.put_session = nats_put_session,
	.put_relay = nats_put_relay,
	.status = nats_status,
	.close = nats_close,
};
