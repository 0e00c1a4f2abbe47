/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Clients stand in two arrays: those enrolled, and tombstones.  Four hash
 * tables (proto/table.h) refer to places in them: by index, by public key, by
 * prefix, and, only while a directory is built, by name.
 *
 * Longest prefix match is one table over (length, address masked to it) and the
 * sorted list of the lengths that occur: a cluster has a handful of those, so
 * a route is that many lookups at most, whatever the number of clients.
 *
 * Hashes are keyed, so that keys and addresses cannot be chosen to collide.
 */
#include "proto/directory.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/table.h"

#define PREFIX_SIZE 17 /* in client.data: address, length */
#define V4_BITS     96

/* A reference: position + 1, and beside it which prefix it is, or that it is a tombstone. */
#define REF_SHIFT    4
#define REF_PREFIX   7u
#define REF_DEAD     8u
#define POSITION_MAX ((1u << (32 - REF_SHIFT)) - 2)

_Static_assert(RECORD_PREFIXES_MAX - 1 <= REF_PREFIX, "a prefix number fits a reference");

struct client_list {
	struct client **at;
	size_t count, room;
};

struct directory {
	struct client_list live, dead;
	struct table by_index, by_key, by_prefix, by_name;
	uint64_t seed[2];
	uint8_t length_count;
	uint8_t lengths[129]; /* longest first */
	uint32_t with_length[129];
};

/* ---- clients ---- */

void client_prefix(const struct client *c, unsigned i, struct prefix *p)
{
	memcpy(p->ip, c->data + PREFIX_SIZE * i, 16);
	p->len = c->data[PREFIX_SIZE * i + 16];
}

bool client_has_source(const struct client *c, const uint8_t ip[16])
{
	struct prefix p;

	for (unsigned i = 0; i < c->prefix_count; i++) {
		client_prefix(c, i, &p);
		if (prefix_contains(&p, ip))
			return true;
	}
	return false;
}

/* Prefixes are stored without host bits, and none twice. */
static uint8_t store_prefixes(uint8_t *data, const struct record *r)
{
	uint8_t count = 0;

	for (unsigned i = 0; i < r->prefix_count; i++) {
		uint8_t *to = data + PREFIX_SIZE * count;
		bool repeated = false;

		memcpy(to, r->prefixes[i].ip, 16);
		addr_mask(to, r->prefixes[i].len);
		to[16] = r->prefixes[i].len;
		for (unsigned k = 0; k < count; k++)
			repeated |= memcmp(to, data + PREFIX_SIZE * k, PREFIX_SIZE) == 0;
		count += !repeated;
	}
	return count;
}

static struct client *client_new(const struct record *r, const uint8_t ss[KEY_SIZE])
{
	uint8_t prefixes[PREFIX_SIZE * RECORD_PREFIXES_MAX];
	uint8_t count = r->removed ? 0 : store_prefixes(prefixes, r);
	size_t name_len = r->removed ? 0 : strlen(r->name);
	size_t prefix_size = (size_t)PREFIX_SIZE * count;
	struct client *c = calloc(1, sizeof *c + prefix_size + name_len);

	if (!c)
		return NULL;
	c->index = r->index;
	c->version = r->version;
	c->references = 1;
	atomic_init(&c->removed, r->removed);
	if (r->removed)
		return c;
	c->lent = r->lent;
	c->rights = r->rights;
	c->port_first = r->port_first;
	c->port_count = r->port_count;
	memcpy(c->public, r->public, KEY_SIZE);
	memcpy(c->psk, r->psk, KEY_SIZE);
	if (ss) {
		memcpy(c->ss, ss, KEY_SIZE);
		atomic_init(&c->ss_of, 1);
	}
	c->prefix_count = count;
	memcpy(c->data, prefixes, prefix_size);
	c->name_len = (uint8_t)name_len;
	memcpy(c->data + prefix_size, r->name, name_len);
	return c;
}

static bool client_same(const struct client *a, const struct client *b)
{
	return a->version == b->version && a->removed == b->removed && a->lent == b->lent &&
	       a->rights == b->rights && a->port_first == b->port_first && a->port_count == b->port_count &&
	       memcmp(a->public, b->public, KEY_SIZE) == 0 &&
	       equal_secret(a->psk, b->psk, KEY_SIZE) &&
	       a->prefix_count == b->prefix_count && a->name_len == b->name_len &&
	       memcmp(a->data, b->data, PREFIX_SIZE * a->prefix_count + (size_t)a->name_len) == 0;
}

static void client_release(struct client *c, void (*free_session)(struct session_record *))
{
	struct session_record *session;

	if (--c->references > 0)
		return;
	session = atomic_load_explicit(&c->session, memory_order_acquire);
	if (session && free_session)
		free_session(session);
	wipe(c->psk, KEY_SIZE);
	wipe(c->ss, KEY_SIZE);
	free(c);
}

/* ---- hashes ---- */

/* Both halves of a 128-bit product depend on all bits of both factors. */
static inline uint64_t fold(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint32_t hash_words(const struct directory *d, uint64_t a, uint64_t b, uint64_t c)
{
	uint64_t h = fold(a ^ d->seed[0], b ^ d->seed[1]);

	return (uint32_t)(fold(h ^ c, d->seed[0] | 1) >> 32);
}

static uint32_t hash_index(const struct directory *d, uint32_t index)
{
	return hash_words(d, index, 0, 0);
}

static uint32_t hash_key(const struct directory *d, const uint8_t public[KEY_SIZE])
{
	uint64_t w[4];

	memcpy(w, public, sizeof w);
	return hash_words(d, w[0], w[1], fold(w[2] ^ d->seed[1], w[3] ^ d->seed[0]));
}

static inline uint32_t hash_prefix(const struct directory *d, const uint8_t ip[16], uint8_t len)
{
	uint64_t w[2];

	memcpy(w, ip, sizeof w);
	return hash_words(d, w[0], w[1], len);
}

static uint32_t hash_name(const struct directory *d, const char *name, size_t len)
{
	uint64_t h = len, w;

	for (size_t i = 0; i < len; i += sizeof w) {
		w = 0;
		memcpy(&w, name + i, MIN(sizeof w, len - i));
		h = fold(h ^ d->seed[0], w ^ d->seed[1]);
	}
	return hash_words(d, h, 0, 0);
}

/* ---- lookups ---- */

static inline struct client *resolve(const struct directory *d, uint32_t ref)
{
	size_t position = (ref >> REF_SHIFT) - 1;

	return ref & REF_DEAD ? d->dead.at[position] : d->live.at[position];
}

/* The reference by index, 0 if there is none: it also says where the client stands. */
static uint32_t find_index(const struct directory *d, uint32_t index)
{
	uint32_t hash = hash_index(d, index), at = hash, ref;

	while ((ref = table_next(&d->by_index, hash, &at)) != 0) {
		if (resolve(d, ref)->index == index)
			return ref;
	}
	return 0;
}

struct client *directory_by_index(const struct directory *d, uint32_t index)
{
	uint32_t ref = find_index(d, index);

	return ref ? resolve(d, ref) : NULL;
}

struct client *directory_by_key(const struct directory *d, const uint8_t public[KEY_SIZE])
{
	uint32_t hash = hash_key(d, public), at = hash, ref;

	while ((ref = table_next(&d->by_key, hash, &at)) != 0) {
		struct client *c = resolve(d, ref);

		if (memcmp(c->public, public, KEY_SIZE) == 0)
			return c;
	}
	return NULL;
}

/* ip is masked to len. */
static struct client *find_prefix(const struct directory *d, const uint8_t ip[16], uint8_t len)
{
	uint32_t hash = hash_prefix(d, ip, len), at = hash, ref;

	while ((ref = table_next(&d->by_prefix, hash, &at)) != 0) {
		struct client *c = resolve(d, ref);
		const uint8_t *p = c->data + PREFIX_SIZE * (ref & REF_PREFIX);

		if (p[16] == len && memcmp(p, ip, 16) == 0)
			return c;
	}
	return NULL;
}

struct client *directory_route(const struct directory *d, const uint8_t ip[16])
{
	uint8_t least = addr_is_v4(ip) ? V4_BITS : 0; /* ::/0 is for IPv6 alone */
	uint8_t masked[16];

	memcpy(masked, ip, 16);
	for (unsigned i = 0; i < d->length_count && d->lengths[i] >= least; i++) {
		struct client *c;

		addr_mask(masked, d->lengths[i]);
		c = find_prefix(d, masked, d->lengths[i]);
		if (c)
			return c;
	}
	return NULL;
}

static struct client *find_name(const struct directory *d, const char *name, size_t len)
{
	uint32_t hash = hash_name(d, name, len), at = hash, ref;

	while ((ref = table_next(&d->by_name, hash, &at)) != 0) {
		struct client *c = resolve(d, ref);

		if (c->name_len == len && memcmp(client_name(c), name, len) == 0)
			return c;
	}
	return NULL;
}

size_t directory_count(const struct directory *d)
{
	return d->live.count;
}

struct client *directory_at(const struct directory *d, size_t position)
{
	return d->live.at[position];
}

/* ---- building ---- */

struct directory *directory_new(size_t expected)
{
	struct directory *d = calloc(1, sizeof *d);

	if (!d)
		return NULL;
	random_bytes(d->seed, sizeof d->seed);
	if (table_init(&d->by_index, expected) != 0 || table_init(&d->by_key, expected) != 0 ||
	    table_init(&d->by_prefix, expected) != 0 || table_init(&d->by_name, expected) != 0) {
		directory_free(d, NULL);
		return NULL;
	}
	return d;
}

static int list_reserve(struct client_list *list)
{
	size_t room = list->room ? list->room * 2 : 64;
	struct client **larger;

	if (list->count < list->room)
		return 0;
	if (list->count >= POSITION_MAX)
		return -ENOMEM;
	larger = realloc(list->at, room * sizeof *larger);
	if (!larger)
		return -ENOMEM;
	list->at = larger;
	list->room = room;
	return 0;
}

/* Takes the client at `position` of its list out of the tables. */
static void unlink_client(struct directory *d, const struct client *c, uint32_t ref)
{
	table_remove(&d->by_index, hash_index(d, c->index), ref);
	if (ref & REF_DEAD)
		return;
	table_remove(&d->by_key, hash_key(d, c->public), ref);
	table_remove(&d->by_name, hash_name(d, client_name(c), c->name_len), ref);
	for (unsigned i = 0; i < c->prefix_count; i++) {
		const uint8_t *p = c->data + PREFIX_SIZE * i;

		table_remove(&d->by_prefix, hash_prefix(d, p, p[16]), ref | i);
		d->with_length[p[16]]--;
	}
}

/* Puts it in.  On -ENOMEM some tables have it: the directory is then of no use. */
static int link_client(struct directory *d, const struct client *c, uint32_t ref)
{
	int result = table_add(&d->by_index, hash_index(d, c->index), ref);

	if (ref & REF_DEAD)
		return result;
	if (result == 0)
		result = table_add(&d->by_key, hash_key(d, c->public), ref);
	if (result == 0)
		result = table_add(&d->by_name, hash_name(d, client_name(c), c->name_len), ref);
	for (unsigned i = 0; result == 0 && i < c->prefix_count; i++) {
		const uint8_t *p = c->data + PREFIX_SIZE * i;

		result = table_add(&d->by_prefix, hash_prefix(d, p, p[16]), ref | i);
		d->with_length[p[16]]++;
	}
	return result;
}

/* Takes it out of its list as well; the last of the list moves to its place. */
static int take_out(struct directory *d, uint32_t ref)
{
	struct client_list *list = ref & REF_DEAD ? &d->dead : &d->live;
	size_t position = (ref >> REF_SHIFT) - 1;
	uint32_t last_ref = (uint32_t)(list->count << REF_SHIFT) | (ref & REF_DEAD);
	struct client *last = list->at[list->count - 1];
	int result = 0;

	unlink_client(d, list->at[position], ref);
	client_release(list->at[position], NULL);
	if (last_ref != ref) {
		unlink_client(d, last, last_ref);
		list->at[position] = last;
		result = link_client(d, last, ref);
	}
	list->count--;
	return result;
}

/* Consumes c, also if it fails. */
static int put_in(struct directory *d, struct client *c)
{
	bool dead = c->removed;
	struct client_list *list = dead ? &d->dead : &d->live;

	if (list_reserve(list) != 0) {
		client_release(c, NULL);
		return -ENOMEM;
	}
	list->at[list->count++] = c;
	return link_client(d, c, (uint32_t)(list->count << REF_SHIFT) | (dead ? REF_DEAD : 0));
}

__attribute__((format(printf, 3, 4)))
static int refuse(char *error, size_t error_size, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(error, error_size, format, ap);
	va_end(ap);
	return -EEXIST;
}

/* Nothing of c may belong to another client, that is, to one with another index. */
static int check_unique(const struct directory *d, const struct client *c, char *error,
		size_t error_size)
{
	const struct client *other = directory_by_key(d, c->public);
	char text[PREFIX_TEXT];
	struct prefix p;

	if (other && other->index != c->index)
		return refuse(error, error_size, "client %.*s has the public key of client %.*s: each "
				"needs its own", c->name_len, client_name(c), other->name_len,
				client_name(other));
	other = find_name(d, client_name(c), c->name_len);
	if (other && other->index != c->index)
		return refuse(error, error_size, "clients %u and %u are both named %.*s: each needs "
				"its own name", other->index, c->index, c->name_len, client_name(c));
	for (unsigned i = 0; i < c->prefix_count; i++) {
		client_prefix(c, i, &p);
		other = find_prefix(d, p.ip, p.len);
		if (other && other->index != c->index)
			return refuse(error, error_size, "client %.*s has the prefix %s of client %.*s: "
					"each needs its own", c->name_len, client_name(c),
					prefix_format(&p, text), other->name_len,
					client_name(other));
	}
	return 0;
}

int directory_add(struct directory *d, const struct directory *from, const struct record *r,
		const uint8_t ss[KEY_SIZE], char *error, size_t error_size)
{
	uint32_t present = find_index(d, r->index);
	struct client *c, *old = from ? directory_by_index(from, r->index) : NULL;
	int result = 0;

	if (present && resolve(d, present)->version >= r->version)
		return 0;
	c = client_new(r, ss);
	if (!c)
		return -ENOMEM;
	if (old && client_same(old, c)) {
		client_release(c, NULL);
		c = old;
		c->references++;
	}
	if (!r->removed)
		result = check_unique(d, c, error, error_size);
	if (result == 0 && present)
		result = take_out(d, present);
	if (result != 0) {
		client_release(c, NULL);
		return result;
	}
	return put_in(d, c);
}

static int compare_index(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static int share_list(struct directory *d, const struct client_list *list, const uint32_t *without,
		size_t count)
{
	int result = 0;

	for (size_t i = 0; result == 0 && i < list->count; i++) {
		struct client *c = list->at[i];

		if (bsearch(&c->index, without, count, sizeof *without, compare_index))
			continue;
		c->references++;
		result = put_in(d, c);
	}
	return result;
}

int directory_share(struct directory *d, const struct directory *from, const uint32_t *without,
		size_t count)
{
	int result = share_list(d, &from->live, without, count);

	return result ? result : share_list(d, &from->dead, without, count);
}

int directory_finish(struct directory *d)
{
	table_free(&d->by_name);
	d->length_count = 0;
	for (int len = 128; len >= 0; len--) {
		if (d->with_length[len] > 0)
			d->lengths[d->length_count++] = (uint8_t)len;
	}
	return 0;
}

/* ---- retiring ---- */

static void retire_client(struct client *c, struct client *successor)
{
	struct session_record *session, *none = NULL;

	atomic_store_explicit(&c->removed, true, memory_order_release);
	if (!successor || successor->removed)
		return;
	session = atomic_exchange(&c->session, NULL);
	/* If the new object has one already, that is newer; this one is freed with the old object. */
	if (session && !atomic_compare_exchange_strong(&successor->session, &none, session))
		atomic_store(&c->session, session);
}

void directory_retire(struct directory *old, struct directory *new)
{
	for (size_t i = 0; i < old->live.count; i++) {
		struct client *c = old->live.at[i];
		struct client *successor = directory_by_index(new, c->index);

		if (successor != c)
			retire_client(c, successor);
	}
}

void directory_free(struct directory *d, void (*free_session)(struct session_record *))
{
	for (size_t i = 0; i < d->live.count; i++)
		client_release(d->live.at[i], free_session);
	for (size_t i = 0; i < d->dead.count; i++)
		client_release(d->dead.at[i], free_session);
	free(d->live.at);
	free(d->dead.at);
	table_free(&d->by_index);
	table_free(&d->by_key);
	table_free(&d->by_prefix);
	table_free(&d->by_name);
	free(d);
}
