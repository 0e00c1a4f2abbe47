/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The file is written anew beside itself, some relays a second, while every change
 * goes into both (ADR 34).  The new one takes the place of the old one when it has
 * all: so whenever the process or the machine ends, one of them is there, and whole.
 */
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
#include "cluster/relay_value.h"

#define LINE_SIZE     (BASE64_SIZE(RELAY_RECORD_MAX) + 1 + RELAY_KEY_SIZE + 1)
#define COMPACT_LEAST (1 << 20) /* bytes that are not worth the trouble */
#define SYNC_INTERVAL TICKS_S(1)
#define STEP_VISITS   64 /* of relays_visit(), and so 16,384 relays a second */

/* ---- writing ---- */

/* The characters of a line; 0: not a sound relay. */
static size_t make_line(char line[LINE_SIZE], const struct relay *r)
{
	uint8_t bytes[RELAY_RECORD_MAX];
	size_t len = relay_write(bytes, r), n;

	if (!len)
		return 0;
	n = strlen(base64_encode(line, bytes, len));
	line[n++] = ' ';
	relay_value_key(line + n, r->id);
	n += RELAY_KEY_SIZE - 1;
	line[n++] = '\n';
	return n;
}

static int append(int fd, const char *text, size_t len, off_t *end)
{
	ssize_t done = pwrite(fd, text, len, *end);

	if (done != (ssize_t)len)
		return done < 0 ? -errno : -ENOSPC;
	*end += done;
	return 0;
}

/* ---- anew ---- */

static void new_name(const struct relays_file *f, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s.new", f->path);
}

/* If it fails it is tried again when the file has grown by as much again. */
static int begin_anew(struct relays_file *f)
{
	char path[PATH_MAX];

	f->compact_at = 2 * f->end + COMPACT_LEAST;
	new_name(f, path);
	f->anew.fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	f->anew.end = 0;
	f->anew.at = 0;
	f->anew.under_way = f->anew.fd >= 0;
	return f->anew.under_way ? 0 : -errno;
}

/* The old one stays, which is as good and only longer. */
static void leave_old(struct relays_file *f)
{
	char path[PATH_MAX];

	new_name(f, path);
	close(f->anew.fd);
	unlink(path);
	f->anew.under_way = false;
}

struct batch {
	size_t len;
	char text[RELAYS_VISIT * LINE_SIZE];
};

static void copy(void *arg, const struct relay *r, unsigned state)
{
	struct batch *b = arg;

	(void)state;
	b->len += make_line(b->text + b->len, r);
}

/* So many visits more, the lock being held for one at a time.  *more: there are others. */
static int copy_some(struct relays_file *f, struct relays *relays, unsigned visits, bool *more)
{
	struct batch *b = malloc(sizeof *b);
	int failed = b ? 0 : -ENOMEM;

	*more = true;
	for (unsigned i = 0; i < visits && *more && !failed; i++) {
		b->len = 0;
		relays_lock(relays);
		*more = relays_visit(relays, &f->anew.at, copy, b);
		relays_unlock(relays);
		failed = append(f->anew.fd, b->text, b->len, &f->anew.end);
	}
	free(b);
	return failed;
}

static int take_place(struct relays_file *f)
{
	char path[PATH_MAX];

	new_name(f, path);
	if (rename(path, f->path))
		return -errno;
	close(f->fd);
	f->fd = f->anew.fd;
	f->end = f->anew.end;
	f->anew.under_way = false;
	f->compact_at = 4 * f->end + COMPACT_LEAST;
	return line_file_sync_directory(f->path);
}

static int go_on_anew(struct relays_file *f, struct relays *relays, unsigned visits)
{
	bool more;
	int failed = copy_some(f, relays, visits, &more);

	if (!failed && fdatasync(f->anew.fd))
		failed = -errno;
	if (!failed && !more)
		failed = take_place(f);
	if (failed && f->anew.under_way)
		leave_old(f);
	return failed;
}

/* ---- as changes come ---- */

int relays_file_put(struct relays_file *f, const struct relay *r)
{
	char line[LINE_SIZE];
	size_t len = make_line(line, r);

	if (!len)
		return -EINVAL;
	f->dirty = true;
	if (f->anew.under_way && append(f->anew.fd, line, len, &f->anew.end))
		leave_old(f);
	return append(f->fd, line, len, &f->end);
}

int relays_file_sync(struct relays_file *f, struct relays *relays, const struct instant *now)
{
	int failed = 0;

	if (now->boot < f->next_sync)
		return 0;
	f->next_sync = now->boot + SYNC_INTERVAL;
	if (f->dirty && fdatasync(f->fd))
		return -errno;
	f->dirty = false;
	if (!f->anew.under_way && f->end > f->compact_at)
		failed = begin_anew(f);
	return f->anew.under_way ? go_on_anew(f, relays, STEP_VISITS) : failed;
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
	failed = begin_anew(f);
	if (!failed)
		failed = go_on_anew(f, relays, UINT_MAX);
	if (failed)
		return fail(failed, error, error_size, "%s: cannot be written anew: %s", path,
				strerror(-failed));
	return 0;
}

void relays_file_close(struct relays_file *f)
{
	if (f->path && f->fd >= 0 && f->anew.under_way)
		leave_old(f);
	if (f->path && f->fd >= 0)
		close(f->fd);
	*f = (struct relays_file){.fd = -1};
}
