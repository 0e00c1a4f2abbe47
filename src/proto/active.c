/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "proto/active.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24 /* Linux 5.18 */
#endif

struct active_table *active_table_new(unsigned capacity)
{
	uint64_t buckets = 64;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct active_table *t;

	while (buckets < capacity)
		buckets *= 2;
	t = calloc(1, sizeof *t + buckets * sizeof t->bucket[0]);
	if (!t)
		return NULL;
	t->mask = buckets - 1;
	t->capacity = capacity;
	t->stride = (sizeof(struct active) + page - 1) / page * page;
	t->places = mmap(NULL, t->stride * capacity, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	t->free = malloc(capacity * sizeof *t->free);
	if (t->places == MAP_FAILED || !t->free) {
		if (t->places != MAP_FAILED)
			munmap(t->places, t->stride * capacity);
		free(t->free);
		free(t);
		return NULL;
	}
	/* never in a core dump, and not in a child */
	madvise(t->places, t->stride * capacity, MADV_DONTDUMP);
	madvise(t->places, t->stride * capacity, MADV_DONTFORK);
	for (unsigned i = 0; i < capacity; i++)
		t->free[i] = capacity - 1 - i;
	return t;
}

void active_table_free(struct active_table *t)
{
	if (!t)
		return;
	for (uint64_t b = 0; b <= t->mask; b++)
		for (struct active *a = t->bucket[b], *next; a; a = next) {
			next = a->next;
			wipe(a, sizeof *a);
		}
	munmap(t->places, t->stride * t->capacity);
	free(t->free);
	free(t);
}

struct active *active_take(struct active_table *t)
{
	if (t->used == t->capacity)
		return NULL;
	return (struct active *)(t->places + t->stride * t->free[t->capacity - ++t->used]);
}

void active_publish(struct active_table *t, struct active *a)
{
	_Atomic(struct active *) *bucket = &t->bucket[active_bucket(t, a->sid)];

	atomic_store_explicit(&a->next, atomic_load_explicit(bucket, memory_order_relaxed),
			memory_order_relaxed);
	atomic_store_explicit(bucket, a, memory_order_release);
}

void active_unlink(struct active_table *t, struct active *a)
{
	_Atomic(struct active *) *at = &t->bucket[active_bucket(t, a->sid)];

	while (*at != a)
		at = &(*at)->next;
	atomic_store_explicit(at, a->next, memory_order_release);
}

void active_give_back(struct active_table *t, struct active *a)
{
	size_t place = (size_t)((uint8_t *)a - t->places) / t->stride;

	wipe(a, sizeof *a);
	/* locked pages need their own word for it */
	if (madvise(a, t->stride, MADV_DONTNEED_LOCKED) != 0)
		madvise(a, t->stride, MADV_DONTNEED);
	t->free[t->capacity - t->used--] = (uint32_t)place;
}
