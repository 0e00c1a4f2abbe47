/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * A text file with one signed thing a line: its bytes in base64, a blank, a name
 * (for people; the signed one counts).  Empty lines and lines that begin with #
 * are skipped.  A file that does not exist is an empty one.
 *
 * Writers hold a lock on FILE.lock from reading to writing, and replace the file
 * whole, so that a reader sees the old one or the new one.
 */
#ifndef CLUSTER_LINE_FILE_H
#define CLUSTER_LINE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINE_FILE_ERROR 512 /* room for a sentence */
#define LINE_BYTES_MAX  512 /* of one thing */

/* The bytes of one line, or NULL for a line that is not base64.  Not 0 ends the reading, with a sentence. */
typedef int line_visit(void *arg, const uint8_t *bytes, size_t len, char why[LINE_FILE_ERROR]);
/* Do the two stand for the same thing, of which the file has one?  False also if either is none. */
typedef bool line_same(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len);

/*
 * 0, or a negative errno with a sentence in error that names the file and, for a
 * line that was refused, its number.  what: "the clients".
 */
int line_file_read(const char *path, const char *what, line_visit *visit, void *arg,
		char error[LINE_FILE_ERROR]);

/* The lock of writers, waited for; to be given to line_file_unlock().  Or -errno, and a sentence. */
int line_file_lock(const char *path, char error[LINE_FILE_ERROR]);
void line_file_unlock(int lock);
/*
 * Under the lock: the thing takes the place of all that are the same, or comes
 * last.  0; or a negative errno, a sentence, and the file as it was.
 */
struct line_put {
	const char *what, *name;
	const uint8_t *bytes;
	size_t len;
	line_same *same;
};
int line_file_put(const char *path, const struct line_put *put, char error[LINE_FILE_ERROR]);
/*
 * Under the lock: every thing in the file made into another one, in its place.
 * change gets the bytes (len 0: the line is no base64), and returns their new
 * number or a negative errno, which ends it.  Otherwise as line_file_put().
 */
typedef long line_change(void *arg, uint8_t bytes[LINE_BYTES_MAX], size_t len);
int line_file_change(const char *path, const char *what, line_change *change, void *arg,
		char error[LINE_FILE_ERROR]);
/* That a file at path has taken another's place outlives the machine.  0 or -errno. */
int line_file_sync_directory(const char *path);

#endif
