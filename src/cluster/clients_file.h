/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The registry of a single server: a file with one client record a line (see
 * line_file.h, whose lock its writers hold).  A file that does not exist has no
 * clients.
 */
#ifndef CLUSTER_CLIENTS_FILE_H
#define CLUSTER_CLIENTS_FILE_H

#include "cluster/line_file.h"
#include "proto/record.h"

#define CLIENTS_ERROR LINE_FILE_ERROR

/* Called for every record in the order of the file; not 0 ends the reading, with a sentence. */
typedef int clients_visit(void *arg, const struct record *r, char *error, size_t error_size);

/*
 * 0, or a negative errno with a sentence in error that names the file and, for a
 * bad line, its number.  Every record is verified before visit sees it; verified
 * (NULL: nothing) says whose signature need not be checked again, and learns.
 */
struct verified;
int clients_file_read(const char *path, const struct operator_public *op,
		const struct seal_keys *keys, struct verified *verified, clients_visit *visit,
		void *arg, char error[CLIENTS_ERROR]);

/*
 * Under the lock: the record takes the place of all that have its index, or comes
 * last.  0; or a negative errno, a sentence, and the file as it was.
 */
int clients_file_put(const char *path, const uint8_t *bytes, size_t len, const char *name,
		char error[CLIENTS_ERROR]);

#endif
