/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "path_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/addr.h"

#define LINE_SIZE 320 /* always: written in place, with one call */

_Static_assert(ENDPOINT_TEXT + PMTU_SENDERS * sizeof " 65535=1500" + 1 <= LINE_SIZE,
		"the longest line fits");

/* Only a whole line counts. */
static void parse(const char *text, struct pmtu_memory *m)
{
	struct pmtu_memory found = {0};
	char address[ENDPOINT_TEXT];
	unsigned server, size;
	int n = 0;

	if (sscanf(text, "%55s%n", address, &n) != 1 || addr_parse(address, found.ip))
		return;
	for (text += n; found.count < PMTU_SENDERS; text += n) {
		if (sscanf(text, " %5u=%5u%n", &server, &size, &n) != 2)
			break;
		if (server < 1 || server > 65535 || size <= PMTU_BASE || size > PMTU_FIRST)
			return;
		found.path[found.count].server = (uint16_t)server;
		found.path[found.count++].size = (uint16_t)size;
	}
	*m = found;
}

int path_memory_open(const char *path, struct pmtu_memory *m)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	char text[LINE_SIZE + 1] = "";

	*m = (struct pmtu_memory){0};
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		close(fd);
		return -EBUSY;
	}
	if (pread(fd, text, LINE_SIZE, 0) == LINE_SIZE && text[LINE_SIZE - 1] == '\n')
		parse(text, m);
	return fd;
}

int path_memory_store(int fd, const struct pmtu_memory *m)
{
	char text[LINE_SIZE + 1], address[ENDPOINT_TEXT];
	size_t n = (size_t)snprintf(text, sizeof text, "%s", addr_format(m->ip, address));
	ssize_t written;

	for (unsigned i = 0; i < m->count; i++)
		n += (size_t)snprintf(text + n, sizeof text - n, " %u=%u", m->path[i].server,
				m->path[i].size);
	memset(text + n, ' ', LINE_SIZE - n);
	text[LINE_SIZE - 1] = '\n';
	written = pwrite(fd, text, LINE_SIZE, 0);
	return written == LINE_SIZE ? 0 : written < 0 ? -errno : -ENOSPC;
}
