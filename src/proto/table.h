/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * An open-addressing hash table from a 32-bit hash to a 32-bit reference (an
 * array position or the like, never 0).  The owner makes the hashes and
 * compares what the references mean; several entries may have one hash.  Eight
 * bytes a slot: a lookup rarely leaves one cache line before it has the answer.
 */
#ifndef PROTO_TABLE_H
#define PROTO_TABLE_H

#include "base/util.h"

struct table_slot {
	uint32_t hash, ref; /* ref 0: empty */
};

struct table {
	struct table_slot *slot;
	uint32_t mask; /* slots less one: a power of two */
	uint32_t used;
};

int table_init(struct table *t, size_t expected); /* 0 or -ENOMEM; grows by itself */
void table_free(struct table *t);
int table_add(struct table *t, uint32_t hash, uint32_t ref); /* 0 or -ENOMEM */
void table_remove(struct table *t, uint32_t hash, uint32_t ref);

/*
 * The next entry with this hash, 0 after the last.  Start with *at = hash:
 *	for (at = hash; (ref = table_next(t, hash, &at)) != 0;)
 */
static inline uint32_t table_next(const struct table *t, uint32_t hash, uint32_t *at)
{
	for (;;) {
		struct table_slot s = t->slot[(*at)++ & t->mask];

		if (s.ref == 0 || s.hash == hash)
			return s.ref;
	}
}

#endif
