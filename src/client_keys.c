/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * What the operator has announced of the cluster's keys, kept over a restart of
 * the client (PROTOCOL.md, "Cluster keys").  The uplink learns it in a worker;
 * the main thread writes it down, since that may take a disk its time.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cluster/line_file.h"
#include "ctx.h"

#define KEPT_MAX (HASH_SIZE + ANNOUNCEMENT_MAX)
static const char kept_what[] = "the cluster's keys";

static void kept_path(const struct daemon *d, char path[CONF_PATH_MAX + 64])
{
	snprintf(path, CONF_PATH_MAX + 64, "%s/%s.cluster-keys", d->conf.state_directory, d->conf.name);
}

/* What it was learned beside: who changes these in the configuration knows better. */
static void hash_configured(const struct conf *c, uint8_t hash[HASH_SIZE])
{
	const struct part parts[] = {
		PART(c->cluster_keys, c->cluster_key_count * KEY_SIZE),
		PART(c->operator.sign, KEY_SIZE),
	};

	sha256_parts(parts, ARRAY_SIZE(parts), hash);
}

static int take_kept(void *arg, const uint8_t *bytes, size_t len, char why[LINE_FILE_ERROR])
{
	struct daemon *d = arg;
	struct announcement a;
	uint8_t hash[HASH_SIZE];

	hash_configured(&d->conf, hash);
	if (!bytes || len < HASH_SIZE || announcement_read(&a, bytes + HASH_SIZE, len - HASH_SIZE,
			d->conf.operator.sign)) {
		snprintf(why, LINE_FILE_ERROR, "this is not an announcement of this cluster's operator");
		return -EBADMSG;
	}
	if (!memcmp(bytes, hash, HASH_SIZE))
		uplink_set_keys(&d->uplink, &a);
	return 0;
}

void client_keys_read(struct daemon *d)
{
	char path[CONF_PATH_MAX + 64], error[LINE_FILE_ERROR];

	kept_path(d, path);
	if (line_file_read(path, kept_what, take_kept, d, error))
		log_warning("%s; only ClusterKeys of the configuration are known", error);
}

static bool any_line(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	(void)a, (void)a_len, (void)b, (void)b_len;
	return true; /* there is one */
}

struct learned {
	size_t len;
	uint8_t bytes[KEPT_MAX];
};

/* In the worker, which the uplink belongs to. */
static void take_learned(void *arg, struct worker *w)
{
	struct learned *l = arg;
	struct uplink *u = w->path->uplink;

	l->len = HASH_SIZE + u->learned_len;
	memcpy(l->bytes + HASH_SIZE, u->learned, u->learned_len);
	u->learned_len = 0;
}

void client_keys_tick(struct daemon *d)
{
	char path[CONF_PATH_MAX + 64], error[LINE_FILE_ERROR];
	struct learned l;

	if (!d->uplink.learned_len)
		return;
	worker_do(d->path.worker[0], take_learned, &l);
	hash_configured(&d->conf, l.bytes);
	kept_path(d, path);
	if (line_file_put(path, &(struct line_put){.what = kept_what, .name = "announcement",
			.bytes = l.bytes, .len = l.len, .same = any_line}, error))
		log_warning("%s; they will have to be learned again after a restart", error);
	log_notice("the cluster's keys have changed, says its operator");
}
