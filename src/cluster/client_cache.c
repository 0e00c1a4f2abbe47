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
#define LINE_SIZE    (BASE64_SIZE(RECORD_MAX) + 1 + RECORD_NAME_MAX + 1)

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

int client_cache_open(struct client_cache *c, const char *path, uint64_t now_s, int64_t *age_s,
		char *error, size_t error_size)
{
	int64_t stamp;
	int failed = 0;

	*c = (struct client_cache){.path = path, .fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644)};
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
	c->fd = -1;
}

int client_cache_append(struct client_cache *c, const uint8_t *bytes, size_t len, const char *name)
{
	char line[LINE_SIZE];
	int n, failed;

	base64_encode(line, bytes, len);
	n = (int)strlen(line);
	n += snprintf(line + n, sizeof line - (size_t)n, " %s\n", name);
	failed = write_at(c, line, (size_t)n, c->end);
	if (!failed)
		c->end += n;
	return failed;
}
