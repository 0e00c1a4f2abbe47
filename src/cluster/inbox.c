/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "cluster/inbox.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

int inbox_init(struct inbox *b)
{
	*b = (struct inbox){.event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
	if (b->event < 0)
		return -errno;
	b->in = malloc(INBOX_ROOM * sizeof *b->in);
	b->out = malloc(INBOX_ROOM * sizeof *b->out);
	pthread_mutex_init(&b->lock, NULL);
	pthread_cond_init(&b->drained, NULL);
	return b->in && b->out ? 0 : -ENOMEM;
}

void inbox_free(struct inbox *b)
{
	free(b->in);
	free(b->out);
	pthread_cond_destroy(&b->drained);
	pthread_mutex_destroy(&b->lock);
	close(b->event);
}

bool inbox_put(struct inbox *b, const struct change *c)
{
	bool wake, taken;

	pthread_mutex_lock(&b->lock);
	while (b->count == INBOX_ROOM && !b->closed)
		pthread_cond_wait(&b->drained, &b->lock);
	taken = !b->closed;
	wake = taken && b->count == 0;
	if (taken)
		b->in[b->count++] = *c;
	pthread_mutex_unlock(&b->lock);
	if (wake)
		eventfd_write(b->event, 1);
	return taken;
}

size_t inbox_take(struct inbox *b, struct change **changes)
{
	struct change *full;
	eventfd_t events;
	size_t count;

	eventfd_read(b->event, &events); /* before looking: what comes later wakes us again */
	pthread_mutex_lock(&b->lock);
	full = b->in;
	b->in = b->out;
	b->out = full;
	count = b->count;
	b->count = 0;
	pthread_cond_broadcast(&b->drained);
	pthread_mutex_unlock(&b->lock);
	*changes = full;
	return count;
}

void inbox_close(struct inbox *b)
{
	pthread_mutex_lock(&b->lock);
	b->closed = true;
	pthread_cond_broadcast(&b->drained);
	pthread_mutex_unlock(&b->lock);
}
