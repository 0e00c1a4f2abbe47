/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "cluster/relays_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/fail.h"
#include "base/log.h"
#include "cluster/line_file.h"

#define LINE_SIZE    (BASE64_SIZE(RELAY_RECORD_MAX) + 1 + 2 * RELAY_ID_SIZE + 2)
#define COMPACT_LEAST (1 << 20) /* bytes that are not worth the trouble */

/* ---- writing ---- */

static int append(int fd, const struct relay *r, off_t *end)
{
	uint8_t bytes[RELAY_RECORD_MAX];
	size_t len = relay_write(bytes, r);
	char line[LINE_SIZE];
	ssize_t done;
	int n;

	if (!len)
		return -EINVAL;
	base64_encode(line, bytes, len);
	n = (int)strlen(line);
	line[n++] = ' ';
	for (unsigned i = 0; i < RELAY_ID_SIZE; i++)
		n += snprintf(line + n, sizeof line - (size_t)n, "%02x", r->id[i]);
	line[n++] = '\n';
	done = pwrite(fd, line, (size_t)n, *end);
	if (done != n)
		return done < 0 ? -errno : -ENOSPC;
	*end += n;
	return 0;
}

int relays_file_put(struct relays_file *f, const struct relay *r)
{
	f->dirty = true;
	return append(f->fd, r, &f->end);
}

/* ---- anew ---- */

struct copying {
	int fd, failed;
	off_t end;
};

static void copy(void *arg, const struct relay *r)
{
	struct copying *c = arg;

	if (!c->failed)
		c->failed = append(c->fd, r, &c->end);
}

/* If it fails the old one stays, which is as good and only longer. */
static int compact(struct relays_file *f, struct relays *relays)
{
	char path[PATH_MAX];
	struct copying c = {0};

	snprintf(path, sizeof path, "%s.new", f->path);
	c.fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (c.fd < 0)
		return -errno;
	relays_lock(relays);
	relays_reading(relays); /* nothing of it is met: all of it comes */
	relays_missing(relays, copy, &c);
	relays_unlock(relays);
	if (!c.failed && (fdatasync(c.fd) || rename(path, f->path)))
		c.failed = -errno;
	if (c.failed) {
		close(c.fd);
		unlink(path);
		return c.failed;
	}
	close(f->fd);
	f->fd = c.fd;
	f->end = c.end;
	f->dirty = false;
	return 0;
}

int relays_file_sync(struct relays_file *f, struct relays *relays)
{
	int failed = 0;

	if (f->end > f->compact_at) {
		failed = compact(f, relays);
		f->compact_at = 4 * f->end + COMPACT_LEAST;
	}
	if (f->dirty && fdatasync(f->fd))
		return -errno;
	f->dirty = false;
	return failed;
}

/* ---- reading ---- */

struct loading {
	struct relays *relays;
	const struct instant *now;
	unsigned bad;
};

static int load_one(void *arg, const uint8_t *bytes, size_t len, char why[LINE_FILE_ERROR])
{
	struct loading *l = arg;
	struct relay r;

	(void)why;
	if (bytes && relay_read(&r, bytes, len))
		relays_learn(l->relays, l->now, &r);
	else
		l->bad++;
	return 0;
}

int relays_file_open(struct relays_file *f, const char *path, struct relays *relays,
		const struct instant *now, char *error, size_t error_size)
{
	struct loading l = {relays, now, 0};
	char why[LINE_FILE_ERROR];
	int failed;

	*f = (struct relays_file){.path = path, .fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
	if (f->fd < 0)
		return fail(-errno, error, error_size, "%s: the relays cannot be kept there: %s", path,
				strerror(errno));
	relays_lock(relays);
	failed = line_file_read(path, "the relays", load_one, &l, why);
	relays_unlock(relays);
	if (failed)
		return fail(failed, error, error_size, "%s", why);
	if (l.bad) /* of a power failure: the last line is not whole */
		log_warning("%s: %u lines hold no relay, and are left out", path, l.bad);
	failed = compact(f, relays);
	if (failed)
		return fail(failed, error, error_size, "%s: cannot be written anew: %s", path,
				strerror(-failed));
	f->compact_at = 4 * f->end + COMPACT_LEAST;
	return 0;
}

void relays_file_close(struct relays_file *f)
{
	if (f->path && f->fd >= 0)
		close(f->fd);
	*f = (struct relays_file){.fd = -1};
}
