/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "cluster/nats_clients.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/fail.h"
#include "cluster/nats_store.h"
#include "cluster/registry_value.h"

struct nats_clients {
	struct nats_store *store;
	struct value_keys keys;
};

int nats_clients_open(struct nats_clients **clients, const struct registry_options *o,
		char error[CLIENTS_ERROR])
{
	struct nats_clients *c = calloc(1, sizeof *c);
	int failed;

	if (!c)
		return fail(-ENOMEM, error, CLIENTS_ERROR, "out of memory");
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
	wipe(c, sizeof *c);
	free(c);
}

/* ---- reading ---- */

struct clients_reading {
	const struct value_keys *keys;
	clients_visit *visit;
	void *arg;
	unsigned *refused;
};

static int take_value(void *arg, const char *key, const uint8_t *value, size_t len,
		char error[STORE_ERROR])
{
	const struct clients_reading *g = arg;
	struct record r;
	int failed;

	if (client_value_read(g->keys, key, value, len, &r) != 0) {
		++*g->refused;
		return 0;
	}
	failed = g->visit(g->arg, &r, error, CLIENTS_ERROR);
	wipe(&r, sizeof r);
	return failed;
}

int nats_clients_read(struct nats_clients *c, clients_visit *visit, void *arg, unsigned *refused,
		char error[CLIENTS_ERROR])
{
	struct clients_reading g = {&c->keys, visit, arg, refused};

	*refused = 0;
	return nats_store_read(c->store, BUCKET_CLIENTS, take_value, &g, error);
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
	uint32_t index;

	if (!record_peek_index(&index, bytes, len))
		return fail(-EINVAL, error, CLIENTS_ERROR, "this is not a client record");
	index_key(key, index);
	snprintf(what, sizeof what, "client %u", index);
	return nats_store_put(c->store, &put, error);
}
