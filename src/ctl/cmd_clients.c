/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* revoke and clients: the end of an enrolment, and the list of all. */
#include "ctl/enrolled.h"

#include <stdio.h>

#include "base/base64.h"
#include "base/util.h"

/* The tombstone keeps who it was; addresses, rights and the pre-shared key go. */
static void make_tombstone(struct record *t, const struct record *r)
{
	memset(t, 0, sizeof *t);
	t->index = r->index;
	t->version = r->version + 1;
	t->removed = true;
	memcpy(t->public, r->public, KEY_SIZE);
	memcpy(t->name, r->name, sizeof t->name);
}

static int revoke(const struct enrolled *e, const struct options *o)
{
	const struct record *r = enrolled_find(e, o->argument);
	struct record tombstone;

	if (!r)
		return failed("%s: no client of this name is enrolled in %s.", o->argument,
				e->conf.clients_file);
	make_tombstone(&tombstone, r);
	int code = enrolled_put(e, &tombstone);
	if (code)
		return code;
	fprintf(stderr, "%s (index %u) is removed.\n", r->name, r->index);
	bool reloaded = enrolled_reload(e);
	if (!o->json)
		return EXIT_OK;
	json_t *answer = enrolled_json(&tombstone);
	json_object_set_new(answer, "reloaded", json_boolean(reloaded));
	return print_json(answer);
}

int cmd_revoke(const struct options *o)
{
	struct enrolled e;

	int code = enrolled_open(&e, o, true);
	if (code)
		return code;
	code = revoke(&e, o);
	enrolled_close(&e);
	return code;
}

static int list_json(const struct enrolled *e)
{
	json_t *list = json_array();

	for (size_t i = 0; i < e->count; i++)
		json_array_append_new(list, enrolled_json(&e->records[i]));
	return print_json(json_pack("{s:o}", "clients", list));
}

static int list_text(const struct enrolled *e)
{
	char key[BASE64_SIZE(KEY_SIZE)], prefix[PREFIX_TEXT];

	printf("%10s  %-*s  %-44s  %s\n", "INDEX", RECORD_NAME_MAX, "NAME", "PUBLIC KEY",
			"ADDRESSES AND PREFIXES");
	for (size_t i = 0; i < e->count; i++) {
		const struct record *r = &e->records[i];
		printf("%10u  %-*s  %s ", r->index, RECORD_NAME_MAX, r->name,
				base64_encode(key, r->public, KEY_SIZE));
		for (unsigned p = 0; p < r->prefix_count; p++)
			printf(" %s", prefix_format(&r->prefixes[p], prefix));
		puts(r->removed ? " (removed)" : "");
	}
	return EXIT_OK;
}

int cmd_clients(const struct options *o)
{
	struct enrolled e;

	int code = enrolled_open(&e, o, false);
	if (code)
		return code;
	code = o->json ? list_json(&e) : list_text(&e);
	enrolled_close(&e);
	return code;
}
