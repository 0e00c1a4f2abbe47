/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "proto/mesh_message.h"

#include "base/cursor.h"

size_t heartbeat_write(uint8_t out[HEARTBEAT_SIZE], const struct heartbeat *h)
{
	struct writer w = writer_over(out, HEARTBEAT_SIZE);

	write_u8(&w, MESH_HEARTBEAT);
	write_u8(&w, h->flags);
	write_bytes(&w, h->version, sizeof h->version);
	write_bytes(&w, h->boot_random, sizeof h->boot_random);
	write_u64(&w, h->sent);
	write_u64(&w, h->echo);
	write_u64(&w, h->echo_got);
	write_u64(&w, h->highest.generation);
	write_u64(&w, h->highest.id);
	write_u64(&w, h->highest.epoch);
	write_u64(&w, h->digest);
	write_u16(&w, h->withdrawn);
	for (unsigned i = 0; i < CLUSTER_KEYS_MAX; i++)
		write_u64(&w, h->cluster_keys[i]);
	return (size_t)(w.at - out);
}

bool heartbeat_read(struct heartbeat *h, const uint8_t *in, size_t len)
{
	struct reader r = reader_over(in, len);
	struct heartbeat found = {0};

	if (read_u8(&r) != MESH_HEARTBEAT)
		return false;
	found.flags = read_u8(&r);
	read_copy(&r, found.version, sizeof found.version);
	read_copy(&r, found.boot_random, sizeof found.boot_random);
	found.sent = read_u64(&r);
	found.echo = read_u64(&r);
	found.echo_got = read_u64(&r);
	found.highest.generation = read_u64(&r);
	found.highest.id = read_u64(&r);
	found.highest.epoch = read_u64(&r);
	found.digest = read_u64(&r);
	found.withdrawn = read_u16(&r);
	for (unsigned i = 0; i < CLUSTER_KEYS_MAX; i++)
		found.cluster_keys[i] = read_u64(&r);
	if (r.bad)
		return false;
	*h = found;
	return true;
}

size_t keys_write(uint8_t out[KEYS_SIZE_MAX], const struct lineage_seeds *seeds)
{
	struct writer w = writer_over(out, KEYS_SIZE_MAX);

	write_u8(&w, MESH_KEYS);
	write_u8(&w, (uint8_t)seeds->count);
	for (unsigned i = 0; i < seeds->count; i++) {
		write_u64(&w, seeds->seed[i].generation);
		write_u64(&w, seeds->seed[i].id);
		write_u64(&w, seeds->seed[i].epoch);
		write_u64(&w, seeds->seed[i].outranked);
		write_bytes(&w, seeds->seed[i].k, KEY_SIZE);
	}
	return (size_t)(w.at - out);
}

bool keys_read(struct lineage_seeds *seeds, const uint8_t *in, size_t len)
{
	struct reader r = reader_over(in, len);
	struct lineage_seeds found;
	bool good;

	if (read_u8(&r) != MESH_KEYS)
		return false;
	found.count = read_u8(&r);
	found.count = MIN(found.count, (unsigned)KEYRING_LINEAGES);
	for (unsigned i = 0; i < found.count; i++) {
		found.seed[i].generation = read_u64(&r);
		found.seed[i].id = read_u64(&r);
		found.seed[i].epoch = read_u64(&r);
		found.seed[i].outranked = read_u64(&r);
		read_copy(&r, found.seed[i].k, KEY_SIZE);
	}
	good = !r.bad;
	if (good)
		*seeds = found;
	wipe(&found, sizeof found);
	return good;
}

uint64_t lineages_digest(const struct lineage_name *names, unsigned count)
{
	uint8_t each[KEYRING_LINEAGES * 16], hash[HASH_SIZE];
	struct writer w = writer_over(each, sizeof each);

	for (unsigned i = 0; i < count; i++) {
		write_u64(&w, names[i].generation);
		write_u64(&w, names[i].id);
	}
	sha256_parts(&PART(each, (size_t)(w.at - each)), 1, hash);
	return load_be64(hash);
}
