/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The registry of a single server: a text file with one client record a line,
 * base64, a blank, the client's name (for people; the signed one counts).  Empty
 * lines and lines that begin with # are skipped.  A file that does not exist has
 * no clients.
 *
 * Writers hold a lock on FILE.lock from reading to writing, and replace the file
 * whole, so that a reader sees the old one or the new one.
 */
#ifndef CLUSTER_CLIENTS_FILE_H
#define CLUSTER_CLIENTS_FILE_H

#include "proto/record.h"

#define CLIENTS_ERROR 512 /* room for a sentence */

/* Called for every record in the order of the file; not 0 ends the reading, with a sentence. */
typedef int clients_visit(void *arg, const struct record *r, char *error, size_t error_size);

/*
 * 0, or a negative errno with a sentence in error that names the file and, for a
 * bad line, its number.  Every record is verified before visit sees it.
 */
int clients_file_read(const char *path, const struct operator_public *op,
		const uint8_t seal_key[KEY_SIZE], clients_visit *visit, void *arg,
		char error[CLIENTS_ERROR]);

/* The lock of writers, waited for; to be given to clients_file_unlock().  Or -errno, and a sentence. */
int clients_file_lock(const char *path, char error[CLIENTS_ERROR]);
void clients_file_unlock(int lock);
/*
 * Under the lock: the record takes the place of all that have its index, or comes
 * last.  0; or a negative errno, a sentence, and the file as it was.
 */
int clients_file_put(const char *path, const uint8_t *bytes, size_t len, const char *name,
		char error[CLIENTS_ERROR]);

#endif
