/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "cluster/nats_store.h"

#include <errno.h>
#include <stdlib.h>

#include "base/fail.h"
#include "cluster/nats_bucket.h"

#define BUCKETS_MAX 4

struct nats_store {
	struct nats_link link;
	unsigned replicas, count;
	struct {
		const char *name;
		kvStore *kv;
	} bucket[BUCKETS_MAX];
};

int nats_store_open(struct nats_store **store, const struct registry_options *o,
		char error[STORE_ERROR])
{
	struct nats_store *s = calloc(1, sizeof *s);
	int failed;

	if (!s)
		return fail(-ENOMEM, error, STORE_ERROR, "out of memory");
	s->replicas = o->replicas;
	failed = nats_link_read(&s->link, o, error, STORE_ERROR);
	if (!failed)
		failed = nats_link_open(&s->link, o, "anyrelay tool", true, error, STORE_ERROR);
	if (failed)
		nats_store_close(s);
	else
		*store = s;
	return failed;
}

void nats_store_close(struct nats_store *s)
{
	for (unsigned i = 0; i < s->count; i++)
		kvStore_Destroy(s->bucket[i].kv);
	nats_link_close(&s->link);
	free(s);
}

/* Opened when it is first asked for.  NULL, and a sentence. */
static kvStore *find_bucket(struct nats_store *s, const char *name, char error[STORE_ERROR])
{
	natsStatus status;
	kvStore *kv;

	for (unsigned i = 0; i < s->count; i++)
		if (!strcmp(s->bucket[i].name, name))
			return s->bucket[i].kv;
	status = s->count < BUCKETS_MAX ?
			bucket_find(&kv, s->link.js, name, s->replicas, 0) : NATS_NO_MEMORY;
	if (status != NATS_OK) {
		fail(-EIO, error, STORE_ERROR, "NATS: the bucket %s cannot be used: %s (%s)", name,
				natsStatus_GetText(status), nats_GetLastError(NULL));
		return NULL;
	}
	s->bucket[s->count].name = name;
	s->bucket[s->count++].kv = kv;
	return kv;
}

/* ---- reading ---- */

struct store_reading {
	store_visit *visit;
	void *arg;
	char *error;
};

static int take_entry(void *arg, kvEntry *e)
{
	const struct store_reading *g = arg;

	if (kvEntry_Operation(e) != kvOp_Put || !strncmp(kvEntry_Key(e), "alive.", 6))
		return 0;
	return g->visit(g->arg, kvEntry_Key(e), kvEntry_Value(e), (size_t)kvEntry_ValueLen(e), g->error);
}

int nats_store_read(struct nats_store *s, const char *bucket, store_visit *visit, void *arg,
		char error[STORE_ERROR])
{
	struct store_reading g = {visit, arg, error};
	kvStore *kv = find_bucket(s, bucket, error);
	natsStatus status;
	int failed;

	if (!kv)
		return -EIO;
	status = bucket_read(kv, take_entry, &g, &failed);
	if (status != NATS_OK)
		return fail(-EIO, error, STORE_ERROR, "NATS: reading the bucket %s broke off: %s", bucket,
				natsStatus_GetText(status));
	return failed;
}

/* ---- writing ---- */

/* Over what is there, if that may be. */
static natsStatus replace(kvStore *kv, const struct store_put *put, kvEntry *there, bool *newer)
{
	*newer = put->newer(put->arg, put, kvEntry_Value(there), (size_t)kvEntry_ValueLen(there));
	if (!*newer)
		return NATS_ERR;
	return kvStore_Update(NULL, kv, put->key, put->bytes, (int)put->len,
			kvEntry_Revision(there));
}

int nats_store_put(struct nats_store *s, const struct store_put *put, char error[STORE_ERROR])
{
	kvStore *kv = find_bucket(s, put->bucket, error);
	kvEntry *there = NULL;
	bool newer = true;
	natsStatus status;

	if (!kv)
		return -EIO;
	status = kvStore_Get(&there, kv, put->key);
	if (status == NATS_OK)
		status = replace(kv, put, there, &newer);
	else if (status == NATS_NOT_FOUND)
		status = kvStore_Create(NULL, kv, put->key, put->bytes, (int)put->len);
	kvEntry_Destroy(there);
	if (status == NATS_OK)
		return 0;
	/* for a wrong sequence libnats has only this text */
	if (!newer || strstr(nats_GetLastError(NULL), "wrong last sequence"))
		return fail(-EAGAIN, error, STORE_ERROR, "somebody else has changed %s in the meantime; "
				"try again", put->what);
	return fail(-EIO, error, STORE_ERROR, "NATS: %s cannot be written: %s (%s)", put->what,
			natsStatus_GetText(status), nats_GetLastError(NULL));
}
