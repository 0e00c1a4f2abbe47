/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "cluster/nats_clients.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/fail.h"
#include "cluster/nats_store.h"
#include "cluster/registry_value.h"
#include "proto/digests.h"

struct nats_clients {
	struct nats_store *store;
	struct value_keys keys;
	struct digests digests; /* as they are in NATS, and then as they ought to be */
};

int nats_clients_open(struct nats_clients **clients, const struct registry_options *o,
		char error[CLIENTS_ERROR])
{
	struct nats_clients *c = calloc(1, sizeof *c);
	int failed;

	if (!c)
		return fail(-ENOMEM, error, CLIENTS_ERROR, "out of memory");
	failed = digests_init(&c->digests);
	if (failed) {
		free(c);
		return fail(failed, error, CLIENTS_ERROR, "out of memory");
	}
	failed = value_keys_make(&c->keys, o->cluster, o->op, false);
	failed = failed ? fail(failed, error, CLIENTS_ERROR, "OperatorKey: its sealing half is not "
							     "usable") :
			  nats_store_open(&c->store, o, error);
	if (failed)
		nats_clients_close(c);
	else
		*clients = c;
	return failed;
}

void nats_clients_close(struct nats_clients *c)
{
	if (c->store)
		nats_store_close(c->store);
	digests_free(&c->digests);
	wipe(c, sizeof *c);
	free(c);
}

/* ---- reading ---- */

struct clients_reading {
	struct nats_clients *c;
	clients_visit *visit;
	void *arg;
	unsigned *refused;
};

/* One that is no good is written anew. */
static int take_page(void *arg, const char *key, const uint8_t *value, size_t len,
		char error[STORE_ERROR])
{
	struct nats_clients *c = arg;
	uint32_t number;

	if (index_from_key(key, &number) &&
			digests_read(&c->digests, number, value, len, c->keys.op->sign) == -ENOMEM)
		return fail(-ENOMEM, error, STORE_ERROR, "out of memory");
	return 0;
}

static int take_value(void *arg, const char *key, const uint8_t *value, size_t len,
		char error[STORE_ERROR])
{
	const struct clients_reading *g = arg;
	struct nats_clients *c = g->c;
	uint8_t digest[DIGEST_SIZE];
	struct record r;
	uint32_t index = 0;
	int failed;

	digest_make(value, len, digest);
	index_from_key(key, &index);
	failed = digests_has(&c->digests, index, digest) ?
			client_value_read_checked(&c->keys, key, value, len, &r) :
			client_value_read(&c->keys, key, value, len, &r);
	if (failed) {
		++*g->refused;
		return 0;
	}
	failed = digests_set(&c->digests, index, digest);
	if (!failed)
		failed = g->visit(g->arg, &r, error, CLIENTS_ERROR);
	else
		fail(failed, error, STORE_ERROR, "out of memory");
	wipe(&r, sizeof r);
	return failed;
}

int nats_clients_read(struct nats_clients *c, clients_visit *visit, void *arg, unsigned *refused,
		char error[CLIENTS_ERROR])
{
	struct clients_reading g = {c, visit, arg, refused};
	int failed = nats_store_read(c->store, BUCKET_DIGESTS, take_page, c, error);

	*refused = 0;
	return failed ? failed : nats_store_read(c->store, BUCKET_CLIENTS, take_value, &g, error);
}

/* ---- writing ---- */

/* Over what is older, or none of ours. */
static bool is_newer(const void *keys, const struct store_put *put, const uint8_t *there, size_t len)
{
	uint64_t version;
	struct record r;
	bool ours = client_value_read(keys, put->key, there, len, &r) == 0;
	uint64_t present = ours ? r.version : 0;

	wipe(&r, sizeof r);
	return record_peek_version(&version, put->bytes, put->len) && version > present;
}

int nats_clients_put(struct nats_clients *c, const uint8_t *bytes, size_t len,
		char error[CLIENTS_ERROR])
{
	char key[INDEX_KEY_SIZE], what[32];
	struct store_put put = {
		.bucket = BUCKET_CLIENTS, .key = key, .bytes = bytes, .len = len,
		.newer = is_newer, .arg = &c->keys, .what = what,
	};
	uint8_t digest[DIGEST_SIZE];
	uint32_t index;
	int failed;

	if (!record_peek_index(&index, bytes, len))
		return fail(-EINVAL, error, CLIENTS_ERROR, "this is not a client record");
	index_key(key, index);
	snprintf(what, sizeof what, "client %u", index);
	if ((failed = nats_store_put(c->store, &put, error)))
		return failed;
	digest_make(bytes, len, digest);
	return digests_set(&c->digests, index, digest) == 0 ? 0 :
			fail(-ENOMEM, error, CLIENTS_ERROR, "out of memory");
}

static bool any_is_newer(const void *arg, const struct store_put *put, const uint8_t *there,
		size_t len)
{
	(void)arg, (void)put, (void)there, (void)len;
	return true;
}

int nats_clients_digest(struct nats_clients *c, const uint8_t operator_seed[KEY_SIZE],
		char error[CLIENTS_ERROR])
{
	uint8_t bytes[DIGEST_PAGE_SIZE];
	char key[INDEX_KEY_SIZE];
	struct store_put put = {
		.bucket = BUCKET_DIGESTS, .key = key, .bytes = bytes, .len = sizeof bytes,
		.newer = any_is_newer, .what = "a page of digests",
	};
	int failed = 0;

	for (uint32_t i = 1; !failed && i <= c->digests.count; i++) {
		struct digest_page *p = c->digests.page[i];

		if (!p->dirty)
			continue;
		index_key(key, p->number);
		digest_page_write(p, operator_seed, bytes);
		failed = nats_store_put(c->store, &put, error);
		p->dirty = failed;
	}
	return failed;
}
