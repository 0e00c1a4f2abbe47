/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Client records that have been checked: a signature costs as much as a hundred
 * hashes, and a bucket that is read again brings the same bytes again.
 */
#include "cluster/index_set.h"
#include "cluster/registry_verified.h"

#include <errno.h>
#include <stdlib.h>

struct checked {
	uint64_t version;
	uint32_t index;
	uint8_t digest[DIGEST_SIZE];
};

struct verified {
	struct table by_index;
	struct checked *at; /* [0] is not used */
	uint32_t count, room;
};

struct verified *verified_new(void)
{
	struct verified *v = calloc(1, sizeof *v);

	if (v && table_init(&v->by_index, 0) != 0) {
		free(v);
		return NULL;
	}
	return v;
}

void verified_free(struct verified *v)
{
	if (!v)
		return;
	table_free(&v->by_index);
	free(v->at);
	free(v);
}

static struct checked *find(const struct verified *v, uint32_t index)
{
	uint32_t at = index_hash(index), ref;

	while ((ref = table_next(&v->by_index, index_hash(index), &at)) != 0)
		if (v->at[ref].index == index)
			return &v->at[ref];
	return NULL;
}

bool verified_has(const struct verified *v, uint32_t index, const uint8_t digest[DIGEST_SIZE])
{
	const struct checked *c = find(v, index);

	return c && !memcmp(c->digest, digest, DIGEST_SIZE);
}

/* NULL: no memory, and nothing is remembered. */
static struct checked *add(struct verified *v, uint32_t index)
{
	if (v->count + 1 >= v->room) {
		uint32_t room = v->room ? 2 * v->room : 64;
		struct checked *larger = reallocarray(v->at, room, sizeof *larger);

		if (!larger)
			return NULL;
		v->at = larger;
		v->room = room;
	}
	if (table_add(&v->by_index, index_hash(index), v->count + 1) != 0)
		return NULL;
	v->count++;
	v->at[v->count] = (struct checked){.index = index};
	return &v->at[v->count];
}

void verified_add(struct verified *v, uint32_t index, uint64_t version,
		const uint8_t digest[DIGEST_SIZE])
{
	struct checked *c = find(v, index);

	if (!c)
		c = add(v, index);
	if (!c || version < c->version)
		return;
	c->version = version;
	memcpy(c->digest, digest, DIGEST_SIZE);
}
