/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* See clients_file.h for the form of the file and for who may write it. */
#include "cluster/clients_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/util.h"

static int __attribute__((format(printf, 3, 4)))
fail(char error[CLIENTS_ERROR], int rc, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	vsnprintf(error, CLIENTS_ERROR, format, list);
	va_end(list);
	return rc;
}

/* ---- reading ---- */

/* The record's bytes from a line; 0 for a line without one, -EINVAL for a bad one. */
static long line_decode(uint8_t out[RECORD_MAX], const char *line)
{
	line += strspn(line, " \t");
	size_t len = strcspn(line, " \t\r\n");

	if (len == 0 || line[0] == '#')
		return 0;
	return base64_decode(out, RECORD_MAX, line, len);
}

static const char *refusal(int rc)
{
	switch (rc) {
	case -EBADMSG:
		return "the record is not signed by the operator whose OperatorKey is configured";
	case -EKEYREJECTED:
		return "the record was made for another cluster key; enrol the client again";
	default:
		return "this is not a client record, as anyrelay enroll writes them";
	}
}

static int take_line(const char *line, const struct operator_public *op,
		const uint8_t seal_key[KEY_SIZE], clients_visit *visit, void *arg,
		char why[CLIENTS_ERROR])
{
	uint8_t bytes[RECORD_MAX];
	struct record r;

	long len = line_decode(bytes, line);
	if (len == 0)
		return 0;
	int rc = len < 0 ? (int)len : record_read(&r, bytes, (size_t)len, op, seal_key);
	if (rc)
		return fail(why, rc, "%s", refusal(rc));
	rc = visit(arg, &r, why, CLIENTS_ERROR);
	wipe(&r, sizeof r);
	return rc;
}

/* NULL with *rc 0 if there is no such file. */
static FILE *open_for_reading(const char *path, int *rc, char error[CLIENTS_ERROR])
{
	FILE *file = fopen(path, "re");

	*rc = 0;
	if (!file && errno != ENOENT)
		*rc = fail(error, -errno, "%s: cannot read the clients: %s", path, strerror(errno));
	return file;
}

int clients_file_read(const char *path, const struct operator_public *op,
		const uint8_t seal_key[KEY_SIZE], clients_visit *visit, void *arg,
		char error[CLIENTS_ERROR])
{
	char why[CLIENTS_ERROR] = "";
	char *line = NULL;
	size_t room = 0, number = 0;
	int rc;

	FILE *file = open_for_reading(path, &rc, error);
	if (!file)
		return rc;
	errno = 0;
	while (!rc && getline(&line, &room, file) >= 0) {
		number++;
		rc = take_line(line, op, seal_key, visit, arg, why);
	}
	if (rc)
		fail(error, rc, "%.250s:%zu: %.230s", path, number, why);
	else if (ferror(file))
		rc = fail(error, errno ? -errno : -EIO, "%.250s: reading the clients broke off: %s",
				path, strerror(errno ? errno : EIO));
	free(line);
	fclose(file);
	return rc;
}

/* ---- writing ---- */

int clients_file_lock(const char *path, char error[CLIENTS_ERROR])
{
	char name[PATH_MAX];

	if (snprintf(name, sizeof name, "%s.lock", path) >= (int)sizeof name)
		return fail(error, -ENAMETOOLONG, "%.250s: this path is too long", path);
	int lock = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (lock < 0)
		return fail(error, -errno, "%.250s: cannot be opened for locking: %s", name,
				strerror(errno));
	int rc;
	while ((rc = flock(lock, LOCK_EX)) && errno == EINTR)
		;
	if (rc) {
		rc = fail(error, -errno, "%.250s: cannot be locked: %s", name, strerror(errno));
		close(lock);
		return rc;
	}
	return lock;
}

void clients_file_unlock(int lock)
{
	close(lock);
}

static int write_record(FILE *to, const uint8_t *bytes, size_t len, const char *name)
{
	char text[BASE64_SIZE(RECORD_MAX)];

	return fprintf(to, "%s %s\n", base64_encode(text, bytes, len), name) < 0 ? -errno : 0;
}

/* All lines of from but those of this index; the record where the first of them was, or last. */
static int copy_replacing(FILE *from, FILE *to, const uint8_t *bytes, size_t len, const char *name)
{
	uint8_t old[RECORD_MAX];
	char *line = NULL;
	size_t room = 0;
	uint32_t index = 0, other;
	bool written = false;
	int rc = record_peek_index(&index, bytes, len) ? 0 : -EINVAL;
	ssize_t n;

	while (!rc && from && (n = getline(&line, &room, from)) >= 0) {
		long size = line_decode(old, line);
		bool same = size > 0 && record_peek_index(&other, old, (size_t)size) &&
				other == index;
		if (!same && fprintf(to, "%s%s", line, line[n - 1] == '\n' ? "" : "\n") < 0)
			rc = -errno;
		if (!rc && same && !written)
			rc = write_record(to, bytes, len, name);
		written |= same;
	}
	if (!rc && from && ferror(from))
		rc = -EIO;
	if (!rc && !written)
		rc = write_record(to, bytes, len, name);
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

static int sync_directory(const char *path)
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
static int write_beside(const char *name, FILE *from, const uint8_t *bytes, size_t len,
		const char *client)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	FILE *to = fdopen(fd, "w");
	if (!to) {
		close(fd);
		return -ENOMEM;
	}
	int rc = copy_replacing(from, to, bytes, len, client);
	if (!rc)
		rc = keep_owner(from, to);
	if (!rc && (fflush(to) || fsync(fd)))
		rc = -errno;
	if (fclose(to) && !rc)
		rc = -errno;
	return rc;
}

int clients_file_put(const char *path, const uint8_t *bytes, size_t len, const char *client,
		char error[CLIENTS_ERROR])
{
	char name[PATH_MAX];
	int rc;

	if (snprintf(name, sizeof name, "%s.new", path) >= (int)sizeof name)
		return fail(error, -ENAMETOOLONG, "%.250s: this path is too long", path);
	FILE *from = open_for_reading(path, &rc, error);
	if (rc)
		return rc;
	rc = write_beside(name, from, bytes, len, client);
	if (from)
		fclose(from);
	if (!rc && rename(name, path))
		rc = -errno;
	if (rc) {
		unlink(name);
		return fail(error, rc, "%.250s: the new clients cannot be written: %s; the file is as "
				"it was", path, strerror(-rc));
	}
	rc = sync_directory(path);
	if (rc)
		return fail(error, rc, "%.250s: written, but the directory cannot be flushed to disk: "
				"%s", path, strerror(-rc));
	return 0;
}
