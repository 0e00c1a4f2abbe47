/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* See line_file.h for the form of the file and for who may write it. */
#include "cluster/line_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/fail.h"
#include "base/util.h"

/* ---- reading ---- */

/* The bytes of a line; 0 for a line without one, -EINVAL for a bad one. */
static long line_decode(uint8_t out[LINE_BYTES_MAX], const char *line)
{
	line += strspn(line, " \t");
	size_t len = strcspn(line, " \t\r\n");

	if (len == 0 || line[0] == '#')
		return 0;
	return base64_decode(out, LINE_BYTES_MAX, line, len);
}

static int take_line(const char *line, line_visit *visit, void *arg, char why[LINE_FILE_ERROR])
{
	uint8_t bytes[LINE_BYTES_MAX];

	long len = line_decode(bytes, line);
	if (len == 0)
		return 0;
	return visit(arg, len < 0 ? NULL : bytes, len < 0 ? 0 : (size_t)len, why);
}

/* NULL with *rc 0 if there is no such file. */
static FILE *open_for_reading(const char *path, const char *what, int *rc,
		char error[LINE_FILE_ERROR])
{
	FILE *file = fopen(path, "re");

	*rc = 0;
	if (!file && errno != ENOENT)
		*rc = fail(-errno, error, LINE_FILE_ERROR, "%s: cannot read %s: %s", path, what,
				strerror(errno));
	return file;
}

int line_file_read(const char *path, const char *what, line_visit *visit, void *arg,
		char error[LINE_FILE_ERROR])
{
	char why[LINE_FILE_ERROR] = "";
	char *line = NULL;
	size_t room = 0, number = 0;
	int rc;

	FILE *file = open_for_reading(path, what, &rc, error);
	if (!file)
		return rc;
	errno = 0;
	while (!rc && getline(&line, &room, file) >= 0) {
		number++;
		rc = take_line(line, visit, arg, why);
	}
	if (rc)
		fail(rc, error, LINE_FILE_ERROR, "%.250s:%zu: %.230s", path, number, why);
	else if (ferror(file))
		rc = fail(errno ? -errno : -EIO, error, LINE_FILE_ERROR, "%.250s: reading %s broke off: %s",
				path, what, strerror(errno ? errno : EIO));
	free(line);
	fclose(file);
	return rc;
}

/* ---- writing ---- */

int line_file_lock(const char *path, char error[LINE_FILE_ERROR])
{
	char name[PATH_MAX];

	if (snprintf(name, sizeof name, "%s.lock", path) >= (int)sizeof name)
		return fail(-ENAMETOOLONG, error, LINE_FILE_ERROR, "%.250s: this path is too long", path);
	int lock = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (lock < 0)
		return fail(-errno, error, LINE_FILE_ERROR, "%.250s: cannot be opened for locking: %s",
				name, strerror(errno));
	int rc;
	while ((rc = flock(lock, LOCK_EX)) && errno == EINTR)
		;
	if (rc) {
		rc = fail(-errno, error, LINE_FILE_ERROR, "%.250s: cannot be locked: %s", name,
				strerror(errno));
		close(lock);
		return rc;
	}
	return lock;
}

void line_file_unlock(int lock)
{
	close(lock);
}

static int write_line(FILE *to, const struct line_put *put)
{
	char text[BASE64_SIZE(LINE_BYTES_MAX)];

	base64_encode(text, put->bytes, put->len);
	return fprintf(to, "%s %s\n", text, put->name) < 0 ? -errno : 0;
}

/* From the old file (NULL: there is none) to the new one.  0 or -errno. */
typedef int line_copy(FILE *from, FILE *to, const void *how);

struct changing {
	line_change *change;
	void *arg;
};

static int copy_changing(FILE *from, FILE *to, const void *how)
{
	const struct changing *c = how;
	char text[BASE64_SIZE(LINE_BYTES_MAX)], *line = NULL;
	uint8_t bytes[LINE_BYTES_MAX];
	size_t room = 0;
	int rc = 0;

	while (!rc && from && getline(&line, &room, from) >= 0) {
		const char *rest = line + strspn(line, " \t");
		long n = line_decode(bytes, line);

		if (n) {
			n = c->change(c->arg, bytes, n < 0 ? 0 : (size_t)n);
			rest += strcspn(rest, " \t\r\n");
		}
		if (n < 0)
			rc = (int)n;
		else if (fprintf(to, "%s%s", n ? base64_encode(text, bytes, (size_t)n) : "", rest) < 0)
			rc = -errno;
	}
	if (!rc && from && ferror(from))
		rc = -EIO;
	free(line);
	return rc;
}

/* All lines of from but those of the same thing; the new one where the first of them was, or last. */
static int copy_replacing(FILE *from, FILE *to, const void *how)
{
	const struct line_put *put = how;
	uint8_t old[LINE_BYTES_MAX];
	char *line = NULL;
	size_t room = 0;
	bool written = false;
	int rc = 0;
	ssize_t n;

	while (!rc && from && (n = getline(&line, &room, from)) >= 0) {
		long size = line_decode(old, line);
		bool same = size > 0 && put->same(old, (size_t)size, put->bytes, put->len);
		if (!same && fprintf(to, "%s%s", line, line[n - 1] == '\n' ? "" : "\n") < 0)
			rc = -errno;
		if (!rc && same && !written)
			rc = write_line(to, put);
		written |= same;
	}
	if (!rc && from && ferror(from))
		rc = -EIO;
	if (!rc && !written)
		rc = write_line(to, put);
	free(line);
	return rc;
}

/*
 * The daemon's user must be able to read the file, which holds no open secret: a
 * replaced file keeps its owner and mode, a first one is readable whatever the umask.
 */
static int keep_owner(FILE *from, FILE *to)
{
	struct stat st;

	if (!from)
		return fchmod(fileno(to), 0644) ? -errno : 0;
	if (fstat(fileno(from), &st) || fchmod(fileno(to), st.st_mode & 07777))
		return -errno;
	if (geteuid() == 0 && fchown(fileno(to), st.st_uid, st.st_gid))
		return -errno;
	return 0;
}

int line_file_sync_directory(const char *path)
{
	char copy[PATH_MAX];
	int rc = 0;

	snprintf(copy, sizeof copy, "%s", path);
	int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fsync(fd))
		rc = -errno;
	close(fd);
	return rc;
}

/* Writes the whole new file beside the old one.  0 or -errno. */
static int write_beside(const char *name, FILE *from, line_copy *copy, const void *how)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	FILE *to = fdopen(fd, "w");
	if (!to) {
		close(fd);
		return -ENOMEM;
	}
	int rc = copy(from, to, how);
	if (!rc)
		rc = keep_owner(from, to);
	if (!rc && (fflush(to) || fsync(fd)))
		rc = -errno;
	if (fclose(to) && !rc)
		rc = -errno;
	return rc;
}

static int replace_file(const char *path, const char *what, line_copy *copy, const void *how,
		char error[LINE_FILE_ERROR])
{
	char name[PATH_MAX];
	int rc;

	if (snprintf(name, sizeof name, "%s.new", path) >= (int)sizeof name)
		return fail(-ENAMETOOLONG, error, LINE_FILE_ERROR, "%.250s: this path is too long", path);
	FILE *from = open_for_reading(path, what, &rc, error);
	if (rc)
		return rc;
	rc = write_beside(name, from, copy, how);
	if (from)
		fclose(from);
	if (!rc && rename(name, path))
		rc = -errno;
	if (rc) {
		unlink(name);
		return fail(rc, error, LINE_FILE_ERROR, "%.250s: %s cannot be written: %s; the file is as "
				"it was", path, what, strerror(-rc));
	}
	rc = line_file_sync_directory(path);
	if (rc)
		return fail(rc, error, LINE_FILE_ERROR, "%.250s: written, but the directory cannot be "
				"flushed to disk: %s", path, strerror(-rc));
	return 0;
}

int line_file_put(const char *path, const struct line_put *put, char error[LINE_FILE_ERROR])
{
	return replace_file(path, put->what, copy_replacing, put, error);
}

int line_file_change(const char *path, const char *what, line_change *change, void *arg,
		char error[LINE_FILE_ERROR])
{
	return replace_file(path, what, copy_changing, &(struct changing){change, arg}, error);
}
