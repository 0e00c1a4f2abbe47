/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "cluster/lent.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"

#define BATCH          1024 /* more wait for the client's next ticket */
#define SWEEP_INTERVAL TICKS_S(10)

struct lent {
	struct server *server;
	int event;
	ticks next_sweep;
	pthread_mutex_t lock;
	unsigned count; /* under the lock, like the records */
	struct record record[BATCH];
};

struct lent *lent_new(struct server *s)
{
	struct lent *l = calloc(1, sizeof *l);

	if (!l)
		return NULL;
	l->server = s;
	l->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_mutex_init(&l->lock, NULL);
	return l;
}

void lent_free(struct lent *l)
{
	if (!l)
		return;
	close(l->event);
	pthread_mutex_destroy(&l->lock);
	wipe(l, sizeof *l);
	free(l);
}

int lent_event(const struct lent *l)
{
	return l->event;
}

void lent_offer(void *arg, const struct record *r)
{
	struct lent *l = arg;
	uint64_t one = 1;
	bool known = false;

	pthread_mutex_lock(&l->lock);
	for (unsigned i = 0; i < l->count && !known; i++)
		known = l->record[i].index == r->index;
	if (!known && l->count < BATCH)
		l->record[l->count++] = *r;
	pthread_mutex_unlock(&l->lock);
	if (write(l->event, &one, sizeof one) < 0)
		return; /* it is full: the main thread knows */
}

/* Into the new directory; a record that contradicts one of the registry's stays out. */
static int add(struct directory *to, const struct directory *from, struct record *r)
{
	char error[256];
	int failed;

	r->lent = true;
	if (directory_by_index(from, r->index))
		return 0;
	failed = directory_add(to, NULL, r, NULL, error, sizeof error);
	if (failed == -EEXIST)
		log_limited(LOG_WARNING, 5, "a client known from its ticket is left out: %s", error);
	return failed == -EEXIST ? 0 : failed;
}

/* A directory like the present one, without `gone` and with the records. */
static void replace(struct lent *l, const uint32_t *gone, size_t gone_count, struct record *records,
		unsigned count)
{
	const struct directory *from = l->server->directory; /* only this thread replaces it */
	struct directory *to = directory_new(directory_count(from) + count);
	int failed;

	if (!to)
		return;
	failed = directory_share(to, from, gone, gone_count);
	for (unsigned i = 0; i < count && !failed; i++)
		failed = add(to, from, &records[i]);
	if (!failed && directory_finish(to) == 0)
		server_set_directory(l->server, to);
	else
		directory_free(to, NULL);
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* Those whose session has ended: from now on only the registry may vouch for them. */
static void sweep(struct lent *l)
{
	const struct directory *d = l->server->directory;
	uint32_t gone[BATCH];
	size_t count = 0;

	for (size_t i = 0; i < directory_count(d) && count < BATCH; i++) {
		const struct client *c = directory_at(d, i);

		if (c->lent && !c->session && !c->actives)
			gone[count++] = c->index;
	}
	if (!count)
		return;
	qsort(gone, count, sizeof gone[0], compare);
	replace(l, gone, count, NULL, 0);
}

void lent_serve(struct lent *l, const struct instant *now)
{
	struct record *batch = NULL;
	unsigned count;
	uint64_t n;

	if (read(l->event, &n, sizeof n) == sizeof n) {
		batch = malloc(sizeof l->record);
		if (!batch)
			return; /* they will come again */
		pthread_mutex_lock(&l->lock);
		count = l->count;
		memcpy(batch, l->record, count * sizeof batch[0]);
		wipe(l->record, count * sizeof batch[0]);
		l->count = 0;
		pthread_mutex_unlock(&l->lock);
		replace(l, NULL, 0, batch, count);
		wipe(batch, sizeof l->record);
		free(batch);
	}
	if (now->boot >= l->next_sweep) {
		l->next_sweep = now->boot + SWEEP_INTERVAL;
		sweep(l);
	}
}
