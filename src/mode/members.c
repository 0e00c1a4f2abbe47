/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "mode/members.h"

#include <stdlib.h>

#define BUCKETS 1024

struct group {
	_Atomic(struct group *) next;
	uint8_t address[16];
	_Atomic(struct member_list *) list;
};

struct members {
	_Atomic(struct member_list *) all, ethernet;
	_Atomic(struct group *) bucket[BUCKETS];
};

struct members *members_new(void)
{
	return calloc(1, sizeof(struct members));
}

void members_free(struct members *m)
{
	if (!m)
		return;
	for (unsigned b = 0; b < BUCKETS; b++)
		for (struct group *g = m->bucket[b], *next; g; g = next) {
			next = g->next;
			free(g->list);
			free(g);
		}
	free(m->all);
	free(m->ethernet);
	free(m);
}

/* Groups are chosen by clients; a chain grows by 16 a client at most. */
static unsigned group_bucket(const uint8_t address[16])
{
	uint64_t h = (load_be64(address) ^ load_be64(address + 8)) * UINT64_C(0x9e3779b97f4a7c15);

	return (unsigned)(h >> 54) % BUCKETS;
}

static struct group *group_find(const struct members *m, const uint8_t address[16])
{
	struct group *g = atomic_load_explicit(
			&m->bucket[group_bucket(address)], memory_order_acquire);

	while (g && memcmp(g->address, address, 16) != 0)
		g = atomic_load_explicit(&g->next, memory_order_acquire);
	return g;
}

/* A larger list without the gaps; the old one is freed when no reader can hold it. */
static struct member_list *list_regrow(struct server *s, struct member_list *old)
{
	uint32_t used = old ? old->count - old->gone : 0, n = 0;
	uint32_t capacity = MAX(8, 2 * used);
	struct member_list *l = calloc(1, sizeof *l + capacity * sizeof l->client[0]);

	if (!l)
		return NULL;
	l->capacity = capacity;
	for (uint32_t i = 0; old && i < old->count; i++)
		if (old->client[i])
			l->client[n++] = old->client[i];
	l->count = n;
	if (old)
		server_retire(s, old, NULL);
	return l;
}

static void list_add(struct server *s, _Atomic(struct member_list *) *list, struct client *c)
{
	struct member_list *l = *list;

	if (!l || l->count == l->capacity) {
		l = list_regrow(s, l);
		if (!l)
			return; /* it will miss copies until its next HELLO */
		atomic_store_explicit(list, l, memory_order_release);
	}
	l->client[l->count] = c;
	atomic_store_explicit(&l->count, l->count + 1, memory_order_release);
}

static void list_remove(_Atomic(struct member_list *) *list, const struct client *c)
{
	struct member_list *l = *list;

	for (uint32_t i = 0; l && i < l->count; i++)
		if (l->client[i] == c) {
			atomic_store_explicit(&l->client[i], NULL, memory_order_release);
			l->gone++;
			return;
		}
}

static void group_free(void *p)
{
	struct group *g = p;

	free(g->list);
	free(g);
}

static void group_leave(struct server *s, struct members *m, const uint8_t address[16],
		const struct client *c)
{
	_Atomic(struct group *) *at = &m->bucket[group_bucket(address)];
	struct group *g;

	while ((g = *at) && memcmp(g->address, address, 16) != 0)
		at = &g->next;
	if (!g)
		return;
	list_remove(&g->list, c);
	if (g->list && g->list->count > g->list->gone)
		return;
	atomic_store_explicit(at, g->next, memory_order_release);
	server_retire(s, g, group_free);
}

static void group_join(struct server *s, struct members *m, const uint8_t address[16],
		struct client *c)
{
	struct group *g = group_find(m, address);
	_Atomic(struct group *) *bucket = &m->bucket[group_bucket(address)];

	if (!g) {
		g = calloc(1, sizeof *g);
		if (!g)
			return;
		memcpy(g->address, address, 16);
		g->next = *bucket;
		atomic_store_explicit(bucket, g, memory_order_release);
	}
	list_add(s, &g->list, c);
}

static bool has_group(const struct session_record *r, const uint8_t address[16])
{
	for (unsigned i = 0; r && i < r->group_count; i++)
		if (!memcmp(record_group(r, i), address, 16))
			return true;
	return false;
}

/* Everybody with a session is on `all`, which may be long: only touched at its begin and end. */
static void follow_lists(struct server *s, struct members *m, struct client *c,
		const struct session_record *old, const struct session_record *now)
{
	if (!old == !now)
		return;
	if (now) {
		list_add(s, &m->all, c);
		if (c->rights & RIGHT_ETHERNET)
			list_add(s, &m->ethernet, c);
	} else {
		list_remove(&m->all, c);
		list_remove(&m->ethernet, c);
	}
}

void members_record_changed(void *arg, struct client *client, const struct session_record *old,
		const struct session_record *now)
{
	const struct members_owner *o = arg;

	follow_lists(o->server, o->members, client, old, now);
	for (unsigned i = 0; old && i < old->group_count; i++)
		if (!has_group(now, record_group(old, i)))
			group_leave(o->server, o->members, record_group(old, i), client);
	for (unsigned i = 0; now && i < now->group_count; i++)
		if (!has_group(old, record_group(now, i)))
			group_join(o->server, o->members, record_group(now, i), client);
}

const struct member_list *members_of_group(const struct members *m, const uint8_t group[16])
{
	struct group *g = group_find(m, group);

	return g ? atomic_load_explicit(&g->list, memory_order_acquire) : NULL;
}

const struct member_list *members_all(const struct members *m)
{
	return atomic_load_explicit(&m->all, memory_order_acquire);
}

const struct member_list *members_ethernet(const struct members *m)
{
	return atomic_load_explicit(&m->ethernet, memory_order_acquire);
}
