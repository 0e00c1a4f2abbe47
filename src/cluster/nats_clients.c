/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "cluster/nats_clients.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "cluster/nats_bucket.h"
#include "cluster/registry_value.h"

#define READ_MS 5000 /* for the next value */

struct nats_clients {
	struct nats_link link;
	struct value_keys keys;
	kvStore *store;
};

__attribute__((format(printf, 3, 4)))
static int fail(int result, char error[CLIENTS_ERROR], const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(error, CLIENTS_ERROR, format, ap);
	va_end(ap);
	return result;
}

static int open_store(struct nats_clients *c, const struct registry_options *o,
		char error[CLIENTS_ERROR])
{
	natsStatus s;
	int failed = nats_link_read(&c->link, o, error, CLIENTS_ERROR);

	if (!failed)
		failed = nats_link_open(&c->link, o, "anyrelay tool", true, error, CLIENTS_ERROR);
	if (failed)
		return failed;
	s = bucket_find(&c->store, c->link.js, BUCKET_CLIENTS, o->replicas, 0);
	if (s == NATS_OK)
		return 0;
	return fail(-EIO, error, "NATS: the bucket " BUCKET_CLIENTS " cannot be used: %s (%s)",
			natsStatus_GetText(s), nats_GetLastError(NULL));
}

int nats_clients_open(struct nats_clients **clients, const struct registry_options *o,
		char error[CLIENTS_ERROR])
{
	struct nats_clients *c = calloc(1, sizeof *c);
	int failed;

	if (!c)
		return fail(-ENOMEM, error, "out of memory");
	c->keys.op = o->op;
	failed = record_seal_key(o->cluster_secret, o->op->seal, c->keys.record);
	failed = failed ? fail(failed, error, "OperatorKey: its sealing half is not usable") :
			  open_store(c, o, error);
	if (failed)
		nats_clients_close(c);
	else
		*clients = c;
	return failed;
}

void nats_clients_close(struct nats_clients *c)
{
	kvStore_Destroy(c->store);
	nats_link_close(&c->link);
	wipe(c, sizeof *c);
	free(c);
}

/* ---- reading ---- */

static int take_entry(const struct nats_clients *c, kvEntry *e, clients_visit *visit, void *arg,
		unsigned *refused, char error[CLIENTS_ERROR])
{
	struct record r;
	int failed = 0;

	if (kvEntry_Operation(e) != kvOp_Put || strncmp(kvEntry_Key(e), "alive.", 6) == 0)
		return 0;
	if (client_value_read(&c->keys, kvEntry_Key(e), kvEntry_Value(e),
			(size_t)kvEntry_ValueLen(e), &r) != 0) {
		++*refused;
		return 0;
	}
	failed = visit(arg, &r, error, CLIENTS_ERROR);
	wipe(&r, sizeof r);
	return failed;
}

int nats_clients_read(struct nats_clients *c, clients_visit *visit, void *arg, unsigned *refused,
		char error[CLIENTS_ERROR])
{
	kvWatcher *watcher = NULL;
	kvEntry *e = NULL;
	natsStatus s = kvStore_WatchAll(&watcher, c->store, NULL);
	int failed = 0;

	*refused = 0;
	while (s == NATS_OK && !failed) {
		s = kvWatcher_Next(&e, watcher, READ_MS);
		if (s != NATS_OK || !e)
			break;
		failed = take_entry(c, e, visit, arg, refused, error);
		kvEntry_Destroy(e);
		e = NULL;
	}
	kvWatcher_Destroy(watcher);
	if (s != NATS_OK)
		return fail(-EIO, error, "NATS: reading the clients broke off: %s",
				natsStatus_GetText(s));
	return failed;
}

/* ---- writing ---- */

/* Over what is there, if that is older or nothing of ours. */
static natsStatus replace(struct nats_clients *c, const char *key, kvEntry *there,
		const uint8_t *bytes, size_t len, bool *older)
{
	uint64_t version, present;
	struct record r;
	bool ours = client_value_read(&c->keys, key, kvEntry_Value(there),
			(size_t)kvEntry_ValueLen(there), &r) == 0;

	present = ours ? r.version : 0;
	wipe(&r, sizeof r);
	*older = record_peek_version(&version, bytes, len) && version > present;
	if (!*older)
		return NATS_ERR;
	return kvStore_Update(NULL, c->store, key, bytes, (int)len, kvEntry_Revision(there));
}

int nats_clients_put(struct nats_clients *c, const uint8_t *bytes, size_t len,
		char error[CLIENTS_ERROR])
{
	char key[INDEX_KEY_SIZE];
	kvEntry *there = NULL;
	bool older = true;
	uint32_t index;
	natsStatus s;

	if (!record_peek_index(&index, bytes, len))
		return fail(-EINVAL, error, "this is not a client record");
	index_key(key, index);
	s = kvStore_Get(&there, c->store, key);
	if (s == NATS_OK)
		s = replace(c, key, there, bytes, len, &older);
	else if (s == NATS_NOT_FOUND)
		s = kvStore_Create(NULL, c->store, key, bytes, (int)len);
	kvEntry_Destroy(there);
	if (s == NATS_OK)
		return 0;
	/* for a wrong sequence libnats has only this text */
	if (!older || strstr(nats_GetLastError(NULL), "wrong last sequence"))
		return fail(-EAGAIN, error, "somebody else has changed client %u in the meantime; try "
				"again", index);
	return fail(-EIO, error, "NATS: client %u cannot be written: %s (%s)", index,
			natsStatus_GetText(s), nats_GetLastError(NULL));
}
