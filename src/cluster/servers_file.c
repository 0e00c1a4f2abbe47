/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "cluster/servers_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/util.h"

struct reading {
	const uint8_t *operator_public;
	struct server_list *list;
};

const struct server_entry *server_list_find(const struct server_list *list, uint16_t number)
{
	for (unsigned i = 0; i < list->count; i++)
		if (list->entry[i].number == number)
			return &list->entry[i];
	return NULL;
}

/* Two of one version, which takes two operators' tools: any rule will do that is everybody's. */
int entry_order(const struct server_entry *a, const struct server_entry *b)
{
	if (a->version != b->version)
		return a->version > b->version ? 1 : -1;
	return memcmp(a->signature, b->signature, sizeof a->signature);
}

int server_list_add(struct server_list *list, const struct server_entry *e)
{
	unsigned at = 0;

	while (at < list->count && list->entry[at].number < e->number)
		at++;
	if (at < list->count && list->entry[at].number == e->number) {
		if (entry_order(e, &list->entry[at]) <= 0)
			return 0;
		list->entry[at] = *e;
		return 1;
	}
	if (list->count == SERVERS_MAX)
		return -E2BIG;
	memmove(&list->entry[at + 1], &list->entry[at], (list->count - at) * sizeof *e);
	list->entry[at] = *e;
	list->count++;
	return 1;
}

static int take_entry(void *arg, const uint8_t *bytes, size_t len, char why[LINE_FILE_ERROR])
{
	const struct reading *g = arg;
	struct server_entry e;

	int rc = bytes ? entry_read(&e, bytes, len, g->operator_public) : -EINVAL;
	if (!rc)
		rc = MIN(server_list_add(g->list, &e), 0);
	if (rc == -E2BIG)
		snprintf(why, LINE_FILE_ERROR, "a cluster has at most %d servers", SERVERS_MAX);
	else if (rc == -EBADMSG)
		snprintf(why, LINE_FILE_ERROR, "the entry is not signed by the operator whose "
				"OperatorKey is configured");
	else if (rc)
		snprintf(why, LINE_FILE_ERROR, "this is not a server entry, as anyrelay server add "
				"writes them");
	return rc;
}

int servers_file_read(const char *path, const uint8_t operator_public[KEY_SIZE],
		struct server_list *list, char error[LINE_FILE_ERROR])
{
	struct reading g = {operator_public, calloc(1, sizeof *g.list)};

	if (!g.list) {
		snprintf(error, LINE_FILE_ERROR, "out of memory");
		return -ENOMEM;
	}
	int rc = line_file_read(path, "the servers", take_entry, &g, error);
	if (!rc)
		*list = *g.list;
	free(g.list);
	return rc;
}

static bool same_number(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	uint16_t x, y;

	return entry_peek_number(&x, a, a_len) && entry_peek_number(&y, b, b_len) && x == y;
}

int servers_file_put(const char *path, const struct server_entry *e, char error[LINE_FILE_ERROR])
{
	uint8_t bytes[ENTRY_MAX];
	struct line_put put = {.what = "the servers", .name = e->name, .bytes = bytes,
			.len = entry_write(bytes, e), .same = same_number};

	return line_file_put(path, &put, error);
}
