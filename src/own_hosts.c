/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "own_hosts.h"

#include <stdlib.h>
#include <string.h>

#include "ctx.h"

static void add(struct prefix *list, unsigned *count, const uint8_t ip[16])
{
	struct prefix *p = &list[(*count)++];

	memcpy(p->ip, ip, sizeof p->ip);
	p->len = 128;
}

static int by_address(const void *a, const void *b)
{
	return memcmp(((const struct prefix *)a)->ip, ((const struct prefix *)b)->ip, 16);
}

unsigned own_hosts(const struct daemon *d, struct prefix list[OWN_HOSTS_MAX])
{
	const struct conf *c = &d->conf;
	unsigned count = 0;
	struct endpoint e;

	if (c->listen_v4)
		add(list, &count, c->listen[FAMILY_V4].ip);
	if (c->listen_v6)
		add(list, &count, c->listen[FAMILY_V6].ip);
	if (c->metrics.port)
		add(list, &count, c->metrics.ip);
	for (unsigned i = 0; i < c->registry_url_count; i++) {
		const char *host = strstr(c->registry_urls[i], "://");

		if (host && !endpoint_parse(host + 3, 4222, &e)) /* not a name: that may change */
			add(list, &count, e.ip);
	}
	if (c->mesh.port) {
		add(list, &count, c->mesh.ip);
		for (unsigned i = 0; i < d->mesh.peers.count; i++)
			add(list, &count, d->mesh.peers.peer[i]->entry.mesh.ip);
	}
	qsort(list, count, sizeof list[0], by_address);
	return count;
}
