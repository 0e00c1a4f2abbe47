/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The server's lineages of epoch keys.  Usually there is one.  After a split
 * that had two halves begin or rotate on their own there are more: all are
 * accepted until their sessions have ended, the highest (generation, id)
 * issues, so every server of a healed cluster issues from the same one.
 *
 * A keyring is replaced whole; the old one is wiped after a grace period.
 */
#include <errno.h>
#include <stdlib.h>

#include "proto/server_internal.h"

static void keyring_destroy(void *p)
{
	keyring_wipe(p);
	free(p);
}

/* Under the lock. */
static struct keyring *keyring_copy(const struct server *s)
{
	struct keyring *ring = malloc(sizeof *ring);

	if (ring)
		*ring = *s->keyring;
	return ring;
}

static void keyring_publish(struct server *s, struct keyring *ring)
{
	struct keyring *old = s->keyring;

	atomic_store_explicit(&s->keyring, ring, memory_order_release);
	server_retire(s, old, keyring_destroy);
}

const struct epoch_keys *server_epoch_keys(const struct server *s, uint8_t kid, uint64_t epoch,
		const uint8_t sid[SID_SIZE], uint32_t index)
{
	const struct keyring *ring = atomic_load_explicit(&s->keyring, memory_order_acquire);
	const struct epoch_keys *k;
	unsigned at = 0;

	while ((k = keyring_find(ring, kid, &at)))
		if (k->epoch == epoch && sid_index(k, sid) == index)
			return k;
	return NULL;
}

static bool higher(const struct lineage *a, const struct lineage *b)
{
	return a->generation != b->generation ? a->generation > b->generation : a->id > b->id;
}

/* Drops, from behind, lineages that have issued nothing for so long that all their sessions are over. */
static void drop_ended(struct keyring *ring, uint64_t epoch)
{
	while (ring->count > 1 && epoch >= ring->lineage[ring->count - 1].outranked + LINEAGE_EPOCHS)
		wipe(&ring->lineage[--ring->count], sizeof ring->lineage[0]);
}

void server_step_epochs(struct server *s, const struct instant *now)
{
	uint64_t epoch = time_epoch(now->cluster);
	struct keyring *ring;

	if (!s->keyring->count || s->keyring->lineage[0].keys[EPOCH_CURRENT].epoch >= epoch)
		return;
	ring = keyring_copy(s);
	if (!ring)
		return; /* the next tick tries again */
	for (unsigned i = 0; i < ring->count; i++)
		lineage_step(&ring->lineage[i], epoch);
	drop_ended(ring, epoch);
	keyring_publish(s, ring);
}

/* Into its place by rank; the lowest gives way when there is no room.  False: it is there, or too low. */
static bool keyring_insert(struct keyring *ring, const struct lineage *l, uint64_t epoch)
{
	unsigned at = 0;

	for (unsigned i = 0; i < ring->count; i++)
		if (ring->lineage[i].generation == l->generation && ring->lineage[i].id == l->id)
			return false;
	while (at < ring->count && higher(&ring->lineage[at], l))
		at++;
	if (at == KEYRING_LINEAGES)
		return false;
	ring->count = MIN(ring->count + 1, KEYRING_LINEAGES);
	memmove(&ring->lineage[at + 1], &ring->lineage[at],
			(ring->count - 1 - at) * sizeof ring->lineage[0]);
	ring->lineage[at] = *l;
	ring->lineage[0].outranked = 0;
	for (unsigned i = at == 0; i < ring->count; i++)
		if (!ring->lineage[i].outranked && i > 0)
			ring->lineage[i].outranked = epoch;
	return true;
}

int server_lineage_add(struct server *s, const struct instant *now, const struct lineage_seed *seed)
{
	uint64_t epoch = time_epoch(now->cluster);
	struct keyring *ring;
	struct lineage l;
	bool changed;

	/* a seed from far away would cost a walk of hashes, and can only be a mistake */
	if (seed->epoch > epoch + 1 || seed->epoch + LINEAGE_EPOCHS < epoch)
		return -EINVAL;
	/* over here: from a server that will see so at its next step */
	if (seed->outranked && epoch >= seed->outranked + LINEAGE_EPOCHS)
		return 0;
	lineage_birth(&l, seed->generation, seed->id, seed->epoch, seed->k);
	lineage_step(&l, epoch);
	l.outranked = MIN(seed->outranked, epoch);
	pthread_mutex_lock(&s->lock);
	ring = keyring_copy(s);
	changed = ring && keyring_insert(ring, &l, epoch);
	if (changed)
		keyring_publish(s, ring);
	else if (ring)
		keyring_destroy(ring);
	pthread_mutex_unlock(&s->lock);
	wipe(&l, sizeof l);
	return ring ? changed : -ENOMEM;
}

int server_lineage_begin(struct server *s, const struct instant *now)
{
	struct lineage_seed seed = {.generation = 1, .epoch = time_epoch(now->cluster)};
	int result;

	pthread_mutex_lock(&s->lock);
	if (s->keyring->count)
		seed.generation = s->keyring->lineage[0].generation + 1;
	pthread_mutex_unlock(&s->lock);
	random_bytes(&seed.id, sizeof seed.id);
	random_bytes(seed.k, sizeof seed.k);
	result = server_lineage_add(s, now, &seed);
	wipe(&seed, sizeof seed);
	return result;
}

unsigned server_lineage_seeds(struct server *s, struct lineage_seed seeds[KEYRING_LINEAGES])
{
	unsigned count;

	pthread_mutex_lock(&s->lock);
	count = s->keyring->count;
	for (unsigned i = 0; i < count; i++) {
		const struct lineage *l = &s->keyring->lineage[i];
		const struct epoch_keys *oldest =
				&l->keys[l->has_previous ? EPOCH_PREVIOUS : EPOCH_CURRENT];

		seeds[i] = (struct lineage_seed){.generation = l->generation, .id = l->id,
				.epoch = oldest->epoch, .outranked = l->outranked};
		memcpy(seeds[i].k, oldest->k, KEY_SIZE);
	}
	pthread_mutex_unlock(&s->lock);
	return count;
}

unsigned server_lineage_names(struct server *s, struct lineage_name names[KEYRING_LINEAGES])
{
	unsigned count;

	pthread_mutex_lock(&s->lock);
	count = s->keyring->count;
	for (unsigned i = 0; i < count; i++) {
		const struct lineage *l = &s->keyring->lineage[i];

		names[i] = (struct lineage_name){l->generation, l->id,
				l->keys[EPOCH_CURRENT].epoch};
	}
	pthread_mutex_unlock(&s->lock);
	return count;
}
