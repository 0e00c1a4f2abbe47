/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "cluster/clients_file.h"
#include "cluster/registry.h"
#include "cluster/registry_verified.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

struct loading {
	const struct registry_options *o;
	struct verified *verified;
	const struct directory *from;
	struct directory *to;
};

static int add_client(void *arg, const struct record *r, char *error, size_t error_size)
{
	const struct loading *l = arg;

	return directory_add(l->to, l->from, r, NULL, error, error_size);
}

static int read_all(struct loading *l, const char *path, char *error)
{
	struct seal_keys keys;
	int failed = seal_keys_make(&keys, l->o->cluster, l->o->op->seal);

	if (failed) {
		snprintf(error, CLIENTS_ERROR, "OperatorKey: its sealing half is not usable");
		return failed;
	}
	failed = clients_file_read(path, l->o->op, &keys, l->verified, add_client, l, error);
	wipe(&keys, sizeof keys);
	return failed;
}

/* A directory from a clients file, ready for readers, which shares what is unchanged in `from`. */
static int load_file(const struct registry *r, const char *path, const struct directory *from,
		struct directory **directory, char *error, size_t error_size)
{
	struct loading l = {&r->o, r->verified, from, directory_new(from ? directory_count(from) : 16)};
	char why[CLIENTS_ERROR] = "out of memory";
	int failed;

	failed = l.to ? read_all(&l, path, why) : -ENOMEM;
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

static int local_reload(struct registry *r, const char *clients_file, char *error,
		size_t error_size)
{
	struct directory *fresh;
	int failed = load_file(r, clients_file, r->server->directory, &fresh, error,
			error_size);

	if (!failed)
		server_set_directory(r->server, fresh);
	return failed;
}

static int local_open(struct registry *r, char *error, size_t error_size)
{
	struct instant now;
	int failed;

	r->event = -1;
	r->verified = verified_new(); /* NULL: every reload checks all */
	failed = local_reload(r, r->o.clients_file, error, error_size);
	if (failed || !r->relays)
		return failed;
	clock_read(&now);
	return relays_file_open(&r->relays_file, r->o.relays_file, r->relays, &now, error, error_size);
}

static void complain(const struct registry *r, int failed)
{
	if (failed)
		log_limited(LOG_ERROR, 1, "%s: relays cannot be written: %s", r->o.relays_file,
				strerror(-failed));
}

/* What is written is shown at once.  What cannot be written stays pending, as without a registry. */
static void local_put_relay(struct registry *r, const struct instant *now,
		const struct relay *relay)
{
	int failed = relays_file_put(&r->relays_file, relay);

	complain(r, failed);
	if (failed)
		return;
	relays_lock(r->relays);
	relays_shown(r->relays, now, relay);
	relays_unlock(r->relays);
}

static void local_serve(struct registry *r, const struct instant *now)
{
	if (r->relays)
		complain(r, relays_file_sync(&r->relays_file, r->relays, now));
}

static void local_close(struct registry *r)
{
	relays_file_close(&r->relays_file);
	verified_free(r->verified);
	r->verified = NULL;
}

const struct registry_ops registry_local = {
	.name = "local",
	.open = local_open,
	.reload = local_reload,
	.serve = local_serve,
	.put_relay = local_put_relay,
	.close = local_close,
};
