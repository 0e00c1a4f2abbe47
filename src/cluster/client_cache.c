/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "cluster/client_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base64.h"
#include "proto/record.h"

/* The first line has one length, so that it can be written over. */
#define STAMP_FORMAT "# clients of the registry, current at %020" PRIu64 "\n"
#define STAMP_PREFIX "# clients of the registry, current at "
#define STAMP_SIZE   (sizeof STAMP_PREFIX - 1 + 20 + 1)
#define CACHE_MAC    16
#define LINE_SIZE    (BASE64_SIZE(RECORD_MAX + CACHE_MAC) + 1 + RECORD_NAME_MAX + 1)
_Static_assert(RECORD_MAX + CACHE_MAC <= LINE_BYTES_MAX, "a line holds the largest record");

static const char mac_label[] = "anyrelay client cache";

static void make_mac(const struct client_cache *c, const uint8_t *bytes, size_t len,
		uint8_t mac[CACHE_MAC])
{
	uint8_t whole[HASH_SIZE];

	hmac_parts(c->mac_key, KEY_SIZE, &PART(bytes, len), 1, whole);
	memcpy(mac, whole, CACHE_MAC);
}

static int write_at(const struct client_cache *c, const char *text, size_t len, off_t at)
{
	ssize_t n = pwrite(c->fd, text, len, at);

	return n == (ssize_t)len ? 0 : n < 0 ? -errno : -ENOSPC;
}

int client_cache_stamp(const struct client_cache *c, uint64_t now_s)
{
	char line[STAMP_SIZE + 1];

	snprintf(line, sizeof line, STAMP_FORMAT, now_s);
	return write_at(c, line, STAMP_SIZE, 0);
}

int client_cache_clear(struct client_cache *c)
{
	int failed = ftruncate(c->fd, 0) ? -errno : client_cache_stamp(c, 0);

	c->end = STAMP_SIZE;
	return failed;
}

/* When it was current, 0: never; -EINVAL: this is no cache. */
static int64_t read_stamp(const struct client_cache *c)
{
	char line[STAMP_SIZE + 1] = "";

	if (pread(c->fd, line, STAMP_SIZE, 0) != (ssize_t)STAMP_SIZE ||
			strncmp(line, STAMP_PREFIX, strlen(STAMP_PREFIX)) != 0 ||
			line[STAMP_SIZE - 1] != '\n')
		return -EINVAL;
	return strtoll(line + strlen(STAMP_PREFIX), NULL, 10);
}

int client_cache_open(struct client_cache *c, const char *path,
		const uint8_t cluster_secret[KEY_SIZE], const struct operator_public *op, uint64_t now_s,
		int64_t *age_s, char *error, size_t error_size)
{
	const struct part material[] = {PART(cluster_secret, KEY_SIZE), PART(op->sign, KEY_SIZE)};
	int64_t stamp;
	int failed = 0;

	*c = (struct client_cache){.path = path, .fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644)};
	hmac_parts((const uint8_t *)mac_label, strlen(mac_label), material, ARRAY_SIZE(material),
			c->mac_key);
	if (c->fd < 0)
		failed = -errno;
	else
		c->end = lseek(c->fd, 0, SEEK_END);
	stamp = failed ? 0 : read_stamp(c);
	if (!failed && stamp < 0) {
		failed = client_cache_clear(c);
		stamp = 0;
	}
	*age_s = stamp == 0 ? -1 : (int64_t)now_s > stamp ? (int64_t)now_s - stamp : 0;
	if (failed)
		snprintf(error, error_size, "%s: the clients cannot be kept there: %s", path,
				strerror(-failed));
	return failed;
}

void client_cache_close(struct client_cache *c)
{
	close(c->fd);
	wipe(c, sizeof *c);
	c->fd = -1;
}

int client_cache_append(struct client_cache *c, const uint8_t *bytes, size_t len, const char *name)
{
	uint8_t kept[RECORD_MAX + CACHE_MAC];
	char line[LINE_SIZE];
	int n, failed;

	memcpy(kept, bytes, len);
	make_mac(c, bytes, len, kept + len);
	base64_encode(line, kept, len + CACHE_MAC);
	n = (int)strlen(line);
	n += snprintf(line + n, sizeof line - (size_t)n, " %s\n", name);
	failed = write_at(c, line, (size_t)n, c->end);
	if (!failed)
		c->end += n;
	return failed;
}

struct cache_reading {
	const struct client_cache *cache;
	cache_visit *visit;
	void *arg;
};

static int take_line(void *arg, const uint8_t *bytes, size_t len, char why[LINE_FILE_ERROR])
{
	const struct cache_reading *g = arg;
	uint8_t mac[CACHE_MAC];

	if (bytes && len > CACHE_MAC) {
		make_mac(g->cache, bytes, len - CACHE_MAC, mac);
		if (equal_secret(mac, bytes + len - CACHE_MAC, CACHE_MAC))
			return g->visit(g->arg, bytes, len - CACHE_MAC, why);
	}
	snprintf(why, LINE_FILE_ERROR, "this was not written by a server of this cluster");
	return -EBADMSG;
}

int client_cache_read(const struct client_cache *c, cache_visit *visit, void *arg,
		char error[LINE_FILE_ERROR])
{
	struct cache_reading g = {c, visit, arg};

	return line_file_read(c->path, "the clients last known", take_line, &g, error);
}
