/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "cluster/notices.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/cursor.h"
#include "cluster/index_set.h"
#include "cluster/session_value.h"
#include "proto/mesh.h"

#define WRITTEN_MAX  256  /* records that wait for the main thread; more come by the registry */
#define TOO_BIG_MAX  10   /* likewise */
#define SENDING_MAX  4096 /* likewise, between two rounds */
#define BUCKETS      4096 /* of who sends to whom, which costs memory only where it is used */
#define WAYS         16
#define A_MESSAGE    ((MESH_MESSAGE_MAX - 1) / 4) /* indexes */
#define RECORD_FIXED 5

/* A record that a HELLO has made here. */
struct written {
	uint32_t index;
	uint16_t old_writer; /* 0: there was none */
	size_t len;
	uint8_t value[SESSION_VALUE_MAX];
};

struct sending {
	uint32_t index;
	uint16_t writer;
};

struct too_big {
	uint16_t server;
	uint8_t quoted[HEADER_SIZE];
};

/* Another server sends to this client; until 0: a free place. */
struct interest {
	uint32_t index;
	uint16_t server;
	ticks until; /* boot time */
};

struct notices {
	struct notices_options o;
	int event;
	pthread_mutex_t lock;
	unsigned written_count; /* under the lock, like the records */
	struct written written[WRITTEN_MAX];
	unsigned too_big_count; /* likewise */
	struct too_big too_big[TOO_BIG_MAX];
	unsigned sending_count;
	struct sending sending[SENDING_MAX];
	uint64_t counter[NOTICES_COUNTER_COUNT];
	struct interest interest[BUCKETS][WAYS];
};

struct notices *notices_new(const struct notices_options *o)
{
	struct notices *n = calloc(1, sizeof *n);

	if (!n)
		return NULL;
	n->o = *o;
	n->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_mutex_init(&n->lock, NULL);
	if (n->event >= 0)
		return n;
	notices_free(n);
	return NULL;
}

void notices_free(struct notices *n)
{
	if (!n)
		return;
	if (n->event >= 0)
		close(n->event);
	pthread_mutex_destroy(&n->lock);
	free(n);
}

int notices_event(const struct notices *n)
{
	return n->event;
}

const char *notices_counter_key(enum notices_counter c)
{
	static const char *const keys[] = {
#define X(name, key, text) key,
		NOTICES_COUNTERS(X)
#undef X
	};

	return keys[c];
}

const uint64_t *notices_counters(const struct notices *n)
{
	static const uint64_t none[NOTICES_COUNTER_COUNT];

	return n ? n->counter : none;
}

/* ---- who sends to whom ---- */

static struct interest *bucket_of(struct notices *n, uint32_t index)
{
	return n->interest[index_hash(index) >> 20 & (BUCKETS - 1)];
}

/* Into its own place, or that of the one that is over first. */
static void note_interest(struct notices *n, const struct instant *now, uint32_t index,
		uint16_t server)
{
	struct interest *in = bucket_of(n, index), *to = in;

	for (unsigned i = 0; i < WAYS; i++) {
		if (in[i].index == index && in[i].server == server) {
			to = &in[i];
			break;
		}
		if (in[i].until < to->until)
			to = &in[i];
	}
	*to = (struct interest){index, server, now->boot + NOTICE_KEPT};
}

void notices_sending(void *arg, const struct client *client, uint16_t writer)
{
	struct notices *n = arg;

	if (n->sending_count < SENDING_MAX)
		n->sending[n->sending_count++] = (struct sending){client->index, writer};
}

static int by_writer(const void *a, const void *b)
{
	const struct sending *x = a, *y = b;

	return (x->writer > y->writer) - (x->writer < y->writer);
}

static void send_sending(struct notices *n)
{
	uint8_t message[MESH_MESSAGE_MAX] = {NOTICE_SENDING};
	unsigned i = 0;

	qsort(n->sending, n->sending_count, sizeof n->sending[0], by_writer);
	while (i < n->sending_count) {
		uint16_t to = n->sending[i].writer;
		size_t count = 0;

		for (; i < n->sending_count && n->sending[i].writer == to && count < A_MESSAGE; i++)
			store_be32(message + 1 + 4 * count++, n->sending[i].index);
		n->o.send(n->o.send_arg, to, message, 1 + 4 * count);
	}
	n->sending_count = 0;
}

static bool take_sending(struct notices *n, const struct instant *now, uint16_t from,
		struct reader *b)
{
	if (reader_left(b) == 0 || reader_left(b) % 4)
		return false;
	while (reader_left(b))
		note_interest(n, now, read_u32(b), from);
	return true;
}

/* ---- records ---- */

void notices_written(void *arg, const struct client *client, const struct session_record *old,
		const struct session_record *now)
{
	struct notices *n = arg;
	struct written *w;

	pthread_mutex_lock(&n->lock);
	if (n->written_count < WRITTEN_MAX) {
		w = &n->written[n->written_count++];
		w->index = client->index;
		w->old_writer = old ? old->writer : 0;
		w->len = session_value_write(w->value, now);
	}
	pthread_mutex_unlock(&n->lock);
	eventfd_write(n->event, 1);
}

/* To those who send to this client, and to one more; but not back to who told us. */
static void send_record(struct notices *n, const struct instant *now, uint32_t index,
		const uint8_t *value, size_t len, uint16_t also, uint16_t but)
{
	uint8_t message[RECORD_FIXED + SESSION_VALUE_MAX] = {NOTICE_RECORD};
	const struct interest *in = bucket_of(n, index);

	store_be32(message + 1, index);
	memcpy(message + RECORD_FIXED, value, len);
	if (also && also != n->o.number)
		n->counter[NOTICES_SENT] += n->o.send(n->o.send_arg, also, message,
				RECORD_FIXED + len);
	for (unsigned i = 0; i < WAYS; i++)
		if (in[i].index == index && in[i].until > now->boot && in[i].server != also &&
				in[i].server != but)
			n->counter[NOTICES_SENT] += n->o.send(n->o.send_arg, in[i].server, message,
					RECORD_FIXED + len);
}

/* What the client's record said before says who knows of those that send to it. */
static uint16_t present_writer(const struct notices *n, uint32_t index)
{
	const struct client *c = directory_by_index(n->o.server->directory, index);
	const struct session_record *r =
			c ? atomic_load_explicit(&c->session, memory_order_acquire) : NULL;

	return r ? r->writer : 0;
}

static bool take_record(struct notices *n, const struct instant *now, uint16_t from,
		struct reader *b)
{
	uint32_t index = read_u32(b);
	size_t len = reader_left(b);
	const uint8_t *value = read_bytes(b, len);
	struct session_record *r;
	uint16_t writer;
	int error;

	if (b->bad)
		return false;
	r = session_value_read(value, len, &error);
	if (!r)
		return error == -ENOMEM;
	writer = present_writer(n, index);
	n->counter[NOTICES_TAKEN]++;
	if (server_apply_record(n->o.server, now, index, r) == 1 && writer == n->o.number)
		send_record(n, now, index, value, len, 0, from);
	return true;
}

/* ---- packets that were too big ---- */

void notices_too_big(void *arg, uint16_t server, const uint8_t quoted[HEADER_SIZE])
{
	struct notices *n = arg;

	pthread_mutex_lock(&n->lock);
	if (n->too_big_count < TOO_BIG_MAX) {
		struct too_big *t = &n->too_big[n->too_big_count++];

		t->server = server;
		memcpy(t->quoted, quoted, HEADER_SIZE);
	}
	pthread_mutex_unlock(&n->lock);
	eventfd_write(n->event, 1);
}

static void send_too_big(struct notices *n)
{
	struct too_big list[TOO_BIG_MAX];
	unsigned count;

	pthread_mutex_lock(&n->lock);
	count = n->too_big_count;
	memcpy(list, n->too_big, count * sizeof list[0]);
	n->too_big_count = 0;
	pthread_mutex_unlock(&n->lock);
	for (unsigned i = 0; i < count; i++) {
		uint8_t message[1 + HEADER_SIZE] = {NOTICE_TOO_BIG};

		memcpy(message + 1, list[i].quoted, HEADER_SIZE);
		n->o.send(n->o.send_arg, list[i].server, message, sizeof message);
	}
}

static bool take_too_big(struct notices *n, struct reader *b)
{
	const uint8_t *quoted = read_bytes(b, HEADER_SIZE);

	/* of this server, or else it would be passed on once more */
	if (!b->bad && n->o.too_big && load_be16(quoted + HEADER_TO) == n->o.number)
		n->o.too_big(n->o.too_big_arg, quoted);
	return !b->bad;
}

bool notices_take(struct notices *n, const struct instant *now, uint16_t from,
		const uint8_t *message, size_t len)
{
	struct reader b = reader_over(message, len);

	switch (read_u8(&b)) {
	case NOTICE_SENDING:
		return take_sending(n, now, from, &b);
	case NOTICE_RECORD:
		return take_record(n, now, from, &b);
	case NOTICE_TOO_BIG:
		return take_too_big(n, &b);
	default:
		return false;
	}
}

/* ---- the main thread's round ---- */

void notices_serve(struct notices *n, const struct instant *now)
{
	struct written w;
	eventfd_t events;
	bool more = true;

	eventfd_read(n->event, &events); /* before looking: what comes later wakes us again */
	while (more) {
		pthread_mutex_lock(&n->lock);
		more = n->written_count > 0;
		if (more)
			w = n->written[--n->written_count];
		pthread_mutex_unlock(&n->lock);
		if (more)
			send_record(n, now, w.index, w.value, w.len, w.old_writer, 0);
	}
	send_sending(n);
	send_too_big(n);
}
