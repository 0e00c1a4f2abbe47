/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "cluster/clients_file.h"
#include "cluster/registry.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct loading {
	const struct registry *registry;
	const struct directory *from;
	struct directory *to;
};

static int add_client(void *arg, const struct record *r, char *error, size_t error_size)
{
	const struct loading *l = arg;
	const struct client *known = l->from ? directory_by_key(l->from, r->public) : NULL;
	uint8_t ss[KEY_SIZE] = {0};
	int failed;

	/* the static-static part costs a DH, and depends on nothing but the two keys */
	if (known) {
		memcpy(ss, known->ss, KEY_SIZE);
	} else if (!r->removed && x25519(l->registry->cluster_secret, r->public, ss) != 0) {
		snprintf(error, error_size, "client %s: its public key is not usable", r->name);
		return -EPROTO;
	}
	failed = directory_add(l->to, l->from, r, ss, error, error_size);
	wipe(ss, sizeof ss);
	return failed;
}

static int read_all(struct loading *l, char *error)
{
	const struct registry *r = l->registry;
	uint8_t seal_key[KEY_SIZE];
	int failed = record_seal_key(r->cluster_secret, r->op->seal, seal_key);

	if (failed) {
		snprintf(error, CLIENTS_ERROR, "OperatorKey: its sealing half is not usable");
		return failed;
	}
	failed = clients_file_read(r->path, r->op, seal_key, add_client, l, error);
	wipe(seal_key, sizeof seal_key);
	return failed;
}

static int local_load(struct registry *r, const struct directory *from,
		struct directory **directory, char *error, size_t error_size)
{
	struct loading l = {r, from, directory_new(from ? directory_count(from) : 16)};
	char why[CLIENTS_ERROR] = "out of memory";
	int failed;

	failed = l.to ? read_all(&l, why) : -ENOMEM;
	if (!failed)
		failed = directory_finish(l.to);
	if (failed) {
		snprintf(error, error_size, "%s", why);
		if (l.to)
			directory_free(l.to, NULL);
		return failed;
	}
	*directory = l.to;
	return 0;
}

const struct registry_ops registry_local = {
	.name = "local",
	.load = local_load,
};
