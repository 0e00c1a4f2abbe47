/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The servers of the cluster: a file with one server entry a line (see
 * line_file.h, whose lock its writers hold), the same at every server.
 */
#ifndef CLUSTER_SERVERS_FILE_H
#define CLUSTER_SERVERS_FILE_H

#include "cluster/line_file.h"
#include "proto/entry.h"

#define SERVERS_MAX 256 /* in one cluster */

/* One entry a number, the highest version of it; tombstones too.  In the order of the numbers. */
struct server_list {
	unsigned count;
	struct server_entry entry[SERVERS_MAX];
};

/* 0, or a negative errno with a sentence in error; *list is touched only on success. */
int servers_file_read(const char *path, const uint8_t operator_public[KEY_SIZE],
		struct server_list *list, char error[LINE_FILE_ERROR]);
/* Under the lock.  0; or a negative errno, a sentence, and the file as it was. */
int servers_file_put(const char *path, const struct server_entry *e, char error[LINE_FILE_ERROR]);
/* NULL: there is none.  Also a tombstone. */
const struct server_entry *server_list_find(const struct server_list *list, uint16_t number);
/* > 0 if a wins over b, an entry of the same number. */
int entry_order(const struct server_entry *a, const struct server_entry *b);
/* Into its place, unless the list has one that wins over it.  1, 0: nothing has changed, or -E2BIG. */
int server_list_add(struct server_list *list, const struct server_entry *e);

#endif
