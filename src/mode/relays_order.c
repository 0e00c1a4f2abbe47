/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The living relays in the order of their ids: all of them, and those of each owner, so that
 * a page of a list costs no more than its relays, however many there are.
 *
 * A treap: a search tree of ids that is a heap of random numbers, and so as deep as one whose
 * ids came in random order (Seidel and Aragon, 1996), whatever ids controllers choose.
 */
#include "mode/relays_internal.h"

static struct entry_fork *fork_of(const struct relays *t, enum order order, uint32_t e)
{
	return &entry_at(t, e)->order[order];
}

static bool below(const struct relays *t, uint32_t e, const uint8_t id[RELAY_ID_SIZE])
{
	return memcmp(entry_at(t, e)->r.id, id, RELAY_ID_SIZE) < 0;
}

/* The heap's number, by the entry's place: no two are equal (each step can be undone). */
static uint32_t weight(const struct relays *t, uint32_t e)
{
	e ^= (uint32_t)t->hash_key[0];
	e = (e ^ e >> 16) * 0x85ebca6b;
	e = (e ^ e >> 13) * 0xc2b2ae35;
	return e ^ e >> 16;
}

/* What is below the id, and what is above. */
static void split(const struct relays *t, enum order order, uint32_t tree,
		const uint8_t id[RELAY_ID_SIZE], uint32_t *low, uint32_t *high)
{
	while (tree) {
		struct entry_fork *f = fork_of(t, order, tree);

		if (below(t, tree, id)) {
			*low = tree;
			low = &f->right;
			tree = f->right;
		} else {
			*high = tree;
			high = &f->left;
			tree = f->left;
		}
	}
	*low = *high = NONE;
}

static void join(const struct relays *t, enum order order, uint32_t low, uint32_t high,
		uint32_t *tree)
{
	while (low && high) {
		bool first = weight(t, low) > weight(t, high);

		*tree = first ? low : high;
		tree = first ? &fork_of(t, order, low)->right : &fork_of(t, order, high)->left;
		*(first ? &low : &high) = *tree;
	}
	*tree = low ? low : high;
}

void order_add(const struct relays *t, enum order order, uint32_t *root, uint32_t e)
{
	const uint8_t *id = entry_at(t, e)->r.id;
	struct entry_fork *f = fork_of(t, order, e), *at;

	while (*root && weight(t, *root) > weight(t, e)) {
		at = fork_of(t, order, *root);
		root = below(t, *root, id) ? &at->right : &at->left;
	}
	split(t, order, *root, id, &f->left, &f->right);
	*root = e;
}

void order_remove(const struct relays *t, enum order order, uint32_t *root, uint32_t e)
{
	const uint8_t *id = entry_at(t, e)->r.id;
	struct entry_fork *f = fork_of(t, order, e), *at;

	while (*root != e) {
		at = fork_of(t, order, *root);
		root = below(t, *root, id) ? &at->right : &at->left;
	}
	join(t, order, f->left, f->right, root);
}

uint32_t order_above(const struct relays *t, enum order order, uint32_t root,
		const uint8_t id[RELAY_ID_SIZE])
{
	uint32_t best = NONE;

	while (root) {
		const struct entry_fork *f = fork_of(t, order, root);
		bool above = memcmp(entry_at(t, root)->r.id, id, RELAY_ID_SIZE) > 0;

		best = above ? root : best;
		root = above ? f->left : f->right;
	}
	return best;
}
