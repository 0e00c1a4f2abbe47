/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * server add and server remove: entries of the list of servers, signed by the
 * operator.  With NATS they are written there, once for all servers; otherwise to
 * the file, which is then to be copied to every server.
 */
#include "ctl/enrolled.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/fail.h"
#include "base/util.h"
#include "cluster/nats_store.h"
#include "cluster/registry_value.h"
#include "cluster/servers_file.h"

#define CONF_DEFAULT "/etc/anyrelay/server.conf"
#define MESH_PORT    4445

struct editing {
	const struct options *o;
	struct conf conf;
	struct operator_key op;
	int lock; /* of the file, or -1 */
	struct nats_store *nats; /* in the file's place, where the registry is NATS */
	struct server_list list;
};

/* 0: it is none, and a sentence has been printed. */
static uint16_t take_number(const char *text)
{
	size_t digits = strspn(text, "0123456789");
	long value = digits && digits < 6 && !text[digits] ? atol(text) : 0;

	if (value >= 1 && value <= 65535)
		return (uint16_t)value;
	failed("%s is not a server number (1 to 65535).", text);
	return 0;
}

static int read_file(struct editing *g)
{
	char error[CONF_ERROR];

	if (!g->conf.registry_nats) {
		g->lock = line_file_lock(g->conf.servers_file, error);
		if (g->lock < 0)
			return failed("%s", error);
	}
	if (servers_file_read(g->conf.servers_file, g->conf.operator.sign, &g->list, error))
		return failed("%s", error);
	return EXIT_OK;
}

static int take_value(void *arg, const char *key, const uint8_t *value, size_t len,
		char error[STORE_ERROR])
{
	struct editing *g = arg;
	const struct value_keys keys = {.op = &g->conf.operator};
	struct server_entry e;

	if (server_value_read(&keys, key, value, len, &e))
		fprintf(stderr, "The value of %s in NATS is not an entry of this operator; it is "
				"ignored.\n", key);
	else if (server_list_add(&g->list, &e) < 0)
		return fail(-E2BIG, error, STORE_ERROR, "a cluster has at most %d servers", SERVERS_MAX);
	return 0;
}

/* On top of the file, if there is one: its entries are the servers' to write to NATS. */
static int read_nats(struct editing *g)
{
	struct registry_options o;
	char error[STORE_ERROR];

	if (!g->conf.registry_nats)
		return EXIT_OK;
	conf_registry(&g->conf, &o);
	if (nats_store_open(&g->nats, &o, error) ||
			nats_store_read(g->nats, BUCKET_SERVERS, take_value, g, error))
		return failed("%s", error);
	return EXIT_OK;
}

static int open_list(struct editing *g)
{
	char error[CONF_ERROR];
	int code;

	if (conf_load(&g->conf, g->o->conf ? g->o->conf : CONF_DEFAULT, error))
		return failed("%s", error);
	if (g->conf.role != CONF_SERVER)
		return failed("%s is the configuration of a client; the list of servers belongs to "
				"that of a server.", g->conf.path);
	code = operator_key_load(&g->op, &g->conf, g->o);
	if (!code)
		code = read_file(g);
	return code ? code : read_nats(g);
}

static void close_list(struct editing *g)
{
	if (g->lock >= 0)
		line_file_unlock(g->lock);
	if (g->nats)
		nats_store_close(g->nats);
	conf_wipe(&g->conf);
	wipe(g, sizeof *g);
	free(g);
}

static json_t *entry_json(const struct server_entry *e)
{
	char key[BASE64_SIZE(KEY_SIZE)], text[ENDPOINT_TEXT];

	return json_pack("{s:i, s:s, s:I, s:b, s:s, s:s}", "number", (int)e->number, "name", e->name,
			"version", (json_int_t)e->version, "removed", (int)e->removed, "mesh",
			endpoint_format(&e->mesh, text), "public_key",
			base64_encode(key, e->public, KEY_SIZE));
}

struct putting {
	const struct editing *g;
	const struct server_entry *e;
};

/* Over what is older, or none of ours. */
static bool is_newer(const void *arg, const struct store_put *put, const uint8_t *there, size_t len)
{
	const struct putting *p = arg;
	const struct value_keys keys = {.op = &p->g->conf.operator};
	struct server_entry old;

	return server_value_read(&keys, put->key, there, len, &old) || entry_order(p->e, &old) > 0;
}

static int put_nats(const struct editing *g, const struct server_entry *e, const char *what)
{
	char key[INDEX_KEY_SIZE], error[STORE_ERROR], name[32];
	const struct putting p = {g, e};
	uint8_t bytes[ENTRY_MAX];
	struct store_put put = {
		.bucket = BUCKET_SERVERS, .key = key, .bytes = bytes, .len = entry_write(bytes, e),
		.newer = is_newer, .arg = &p, .what = name,
	};

	index_key(key, e->number);
	snprintf(name, sizeof name, "server %u", e->number);
	if (nats_store_put(g->nats, &put, error))
		return failed("%s", error);
	fprintf(stderr, "Server %u (%s) %s in NATS, from where every server learns it.\n", e->number,
			e->name, what);
	return g->o->json ? print_json(entry_json(e)) : EXIT_OK;
}

static int put_file(const struct editing *g, const struct server_entry *e, const char *what)
{
	char error[LINE_FILE_ERROR];

	if (servers_file_put(g->conf.servers_file, e, error))
		return failed("%s", error);
	fprintf(stderr, "Server %u (%s) %s in %s; every server of the cluster needs this file.\n",
			e->number, e->name, what, g->conf.servers_file);
	bool reloaded = g->conf.mesh.port && reload_server(&g->conf, "servers");
	if (!g->o->json)
		return EXIT_OK;
	json_t *answer = entry_json(e);
	json_object_set_new(answer, "reloaded", json_boolean(reloaded));
	return print_json(answer);
}

static int put(const struct editing *g, struct server_entry *e, const char *what)
{
	if (!entry_sign(e, g->op.seed))
		return failed("A server has a number of 1 to 65535, a name of 1 to %d letters, digits "
				"and . _ -, and a unicast address with a port.", RECORD_NAME_MAX);
	return g->nats ? put_nats(g, e, what) : put_file(g, e, what);
}

static int take_key(const struct editing *g, struct server_entry *e)
{
	const char *text = g->o->public_key;
	uint8_t shared[KEY_SIZE];

	if (!text)
		return failed("--public-key is missing: that of the server's own key, as anyrelay pubkey "
				"prints it.");
	int rc = base64_decode(e->public, KEY_SIZE, text, strlen(text)) == KEY_SIZE ? 0 : -1;
	if (!rc)
		rc = x25519(g->op.seal_secret, e->public, shared);
	wipe(shared, sizeof shared);
	if (rc)
		return failed("--public-key: %s is not a public key (base64 of 32 bytes), as anyrelay "
				"pubkey prints it.", text);
	for (unsigned i = 0; i < g->list.count; i++) {
		const struct server_entry *other = &g->list.entry[i];
		if (!other->removed && other->number != e->number &&
				!memcmp(other->public, e->public, KEY_SIZE))
			return failed("--public-key: server %u (%s) has this key; each server needs one "
					"of its own.", other->number, other->name);
	}
	return EXIT_OK;
}

static int add(struct editing *g)
{
	struct server_entry e = {.number = take_number(g->o->argument)};

	if (!e.number)
		return EXIT_FAILED;
	if (!record_name_valid(g->o->argument2))
		return failed("%s is not a name for a server: 1 to %d letters, digits and . _ -.",
				g->o->argument2, RECORD_NAME_MAX);
	strcpy(e.name, g->o->argument2);
	if (!g->o->mesh || endpoint_parse(g->o->mesh, MESH_PORT, &e.mesh))
		return failed("--mesh: the server's unicast address is needed, with a port unless it is "
				"%d, as 192.0.2.11:4445 or [2001:db8::11]:4445.", MESH_PORT);
	int code = take_key(g, &e);
	if (code)
		return code;
	const struct server_entry *old = server_list_find(&g->list, e.number);
	e.version = old ? old->version + 1 : 1;
	return put(g, &e, old && !old->removed ? "is changed" : "is added");
}

static int withdraw(struct editing *g)
{
	uint16_t number = take_number(g->o->argument);

	if (!number)
		return EXIT_FAILED;
	const struct server_entry *old = server_list_find(&g->list, number);
	if (!old || old->removed)
		return failed("There is no server %u in %s.", number,
				g->nats ? "NATS" : g->conf.servers_file);
	struct server_entry e = *old;
	e.version++;
	e.removed = true;
	return put(g, &e, "is removed");
}

static int edit(const struct options *o, int (*change)(struct editing *g))
{
	struct editing *g = calloc(1, sizeof *g);

	if (!g)
		return failed("Out of memory.");
	g->o = o;
	g->lock = -1;
	int code = open_list(g);
	if (!code)
		code = change(g);
	close_list(g);
	return code;
}

int cmd_server_add(const struct options *o)
{
	return edit(o, add);
}

int cmd_server_remove(const struct options *o)
{
	return edit(o, withdraw);
}
