/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* A set of client indexes, over proto/table.h.  For one thread. */
#ifndef CLUSTER_INDEX_SET_H
#define CLUSTER_INDEX_SET_H

#include "proto/table.h"

struct index_set {
	struct table table;
};

static inline uint32_t index_hash(uint32_t index)
{
	return index * 2654435769u; /* golden ratio: neighbours fall far apart */
}

static inline int index_set_init(struct index_set *s)
{
	return table_init(&s->table, 0);
}

static inline void index_set_free(struct index_set *s)
{
	table_free(&s->table);
}

static inline bool index_set_has(const struct index_set *s, uint32_t index)
{
	uint32_t at = index_hash(index), ref;

	while ((ref = table_next(&s->table, index_hash(index), &at)) != 0)
		if (ref == index)
			return true;
	return false;
}

/* 0 or -ENOMEM. */
static inline int index_set_add(struct index_set *s, uint32_t index)
{
	return index_set_has(s, index) ? 0 : table_add(&s->table, index_hash(index), index);
}

static inline void index_set_remove(struct index_set *s, uint32_t index)
{
	if (index_set_has(s, index))
		table_remove(&s->table, index_hash(index), index);
}

static inline bool index_set_empty(const struct index_set *s)
{
	return s->table.used == 0;
}

/* -ENOMEM leaves it as it was. */
static inline int index_set_clear(struct index_set *s)
{
	struct index_set fresh;
	int failed = index_set_init(&fresh);

	if (failed)
		return failed;
	index_set_free(s);
	*s = fresh;
	return 0;
}

#endif
