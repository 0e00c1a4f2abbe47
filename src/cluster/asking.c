/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "cluster/asking.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct asking {
	int event;
	pthread_mutex_t lock;
	unsigned count; /* under the lock, like the list */
	uint32_t index[ASKING_MAX];
};

struct asking *asking_new(void)
{
	struct asking *a = calloc(1, sizeof *a);

	if (!a)
		return NULL;
	a->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (a->event < 0) {
		free(a);
		return NULL;
	}
	pthread_mutex_init(&a->lock, NULL);
	return a;
}

void asking_free(struct asking *a)
{
	if (!a)
		return;
	close(a->event);
	pthread_mutex_destroy(&a->lock);
	free(a);
}

int asking_event(const struct asking *a)
{
	return a->event;
}

void asking_offer(void *arg, uint32_t index)
{
	struct asking *a = arg;
	uint64_t one = 1;
	bool known = false;

	pthread_mutex_lock(&a->lock);
	for (unsigned i = 0; i < a->count && !known; i++)
		known = a->index[i] == index;
	if (!known && a->count < ASKING_MAX)
		a->index[a->count++] = index;
	pthread_mutex_unlock(&a->lock);
	if (write(a->event, &one, sizeof one) < 0)
		return; /* it is full: the main thread knows */
}

unsigned asking_take(struct asking *a, uint32_t index[ASKING_MAX])
{
	unsigned count;
	uint64_t n;

	if (read(a->event, &n, sizeof n) < 0)
		return 0;
	pthread_mutex_lock(&a->lock);
	count = a->count;
	memcpy(index, a->index, count * sizeof index[0]);
	a->count = 0;
	pthread_mutex_unlock(&a->lock);
	return count;
}
