/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * cluster-key: another key for the cluster, in an order that locks no client out.
 *
 *	next      a second key and its announcement go into the key file, which is
 *	          copied to every server and read there: message 1 for either is taken,
 *	          and once all servers have both, clients are told
 *	finish    when they have had the time to hear of it: all records sealed for the
 *	          new key, which the servers can open already; then the old key leaves
 *	          the file, which is copied again
 */
#include "ctl/enrolled.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/base64.h"
#include "base/util.h"
#include "proto/epoch.h"

#define CONF_DEFAULT "/etc/anyrelay/server.conf"
#define HEAR_SECONDS 600 /* a connected client has shaken hands again by then */

/* ---- list ---- */

static json_t *keys_json(const struct cluster_secrets *c)
{
	json_t *keys = json_array();

	for (unsigned i = 0; i < c->count; i++) {
		char text[BASE64_SIZE(KEY_SIZE)];
		uint8_t public[KEY_SIZE];

		x25519_public(c->secret[i], public);
		json_array_append_new(keys, json_pack("{s:s, s:s}", "public_key",
				base64_encode(text, public, KEY_SIZE), "state",
				i ? "next" : "current"));
	}
	return json_pack("{s:o, s:I}", "cluster_keys", keys, "version",
			(json_int_t)announcement_version(c->announcement, c->announcement_len));
}

static int report(const struct cluster_secrets *c, const struct options *o)
{
	json_t *answer = keys_json(c), *key;
	size_t i;

	if (o->json)
		return print_json(answer);
	json_array_foreach(json_object_get(answer, "cluster_keys"), i, key)
		printf("%-8s %s\n", json_string_value(json_object_get(key, "state")),
				json_string_value(json_object_get(key, "public_key")));
	json_decref(answer);
	return EXIT_OK;
}

static int load(struct conf *conf, const struct options *o)
{
	char error[CONF_ERROR];

	if (conf_load(conf, o->conf ? o->conf : CONF_DEFAULT, error))
		return failed("%s", error);
	if (conf->role == CONF_SERVER)
		return EXIT_OK;
	return failed("%s is the configuration of a client; the cluster's keys belong to that of a "
			"server.", conf->path);
}

int cmd_cluster_key_list(const struct options *o)
{
	struct conf conf;
	int code = load(&conf, o);

	if (!code)
		code = report(&conf.cluster, o);
	conf_wipe(&conf);
	return code;
}

/* ---- what both steps end with ---- */

/* Later than any before, also if the clock has been set back. */
static uint64_t next_version(const struct cluster_secrets *c)
{
	uint64_t last = announcement_version(c->announcement, c->announcement_len);

	return MAX(last + 1, (uint64_t)time(NULL));
}

/* Signs what clients are to be told of these keys, and writes the file.  An exit code. */
static int commit(const struct conf *conf, const struct operator_key *op, struct cluster_secrets *c,
		const struct options *o)
{
	struct announcement a = {.version = next_version(c), .count = (uint8_t)c->count};
	char error[CONF_ERROR];

	for (unsigned i = 0; i < c->count; i++)
		x25519_public(c->secret[c->count - 1 - i], a.keys[i]); /* the newest first */
	c->announcement_len = (uint16_t)announcement_write(c->announcement, &a, op->seed);
	if (conf_write_cluster_keys(conf, c, error))
		return failed("%s", error);
	reload_server(conf, "keys of the cluster");
	return report(c, o);
}

/* ---- next ---- */

static int make_next(const struct conf *conf, const struct operator_key *op, const struct options *o)
{
	struct cluster_secrets c = conf->cluster;
	int code;

	if (c.count == CLUSTER_KEYS_MAX)
		return failed("%s holds a next key already; anyrelay cluster-key finish makes it the "
				"current one.", conf->cluster_key_file);
	random_bytes(c.secret[1], KEY_SIZE);
	c.secret[1][0] &= 248; /* as genkey does */
	c.secret[1][31] = (c.secret[1][31] & 127) | 64;
	c.count = 2;
	code = commit(conf, op, &c, o);
	if (!code)
		fprintf(stderr, "Copy %s to every server, and reload each.  When all have had it for "
				"%d s: anyrelay cluster-key finish.\n", conf->cluster_key_file, HEAR_SECONDS);
	wipe(&c, sizeof c);
	return code;
}

int cmd_cluster_key_next(const struct options *o)
{
	struct operator_key op;
	struct conf conf;
	int code = load(&conf, o);

	if (!code)
		code = operator_key_load(&op, &conf, o);
	if (!code)
		code = make_next(&conf, &op, o);
	wipe(&op, sizeof op);
	conf_wipe(&conf);
	return code;
}

/* ---- finish ---- */

/* The daemon's answer to a line, NULL: it has not answered so. */
static json_t *ask(const struct conf *conf, const char *line)
{
	char error[CONF_ERROR], *text = NULL;
	json_t *answer;

	if (control_ask(conf->control_socket, line, &text, error))
		return NULL;
	answer = json_loads(text, 0, NULL);
	free(text);
	return answer;
}

/* The first server of the list that is not known to have the next key, or NULL. */
static const char *server_without(const json_t *servers)
{
	json_t *server;
	size_t i;

	json_array_foreach(json_object_get(servers, "servers"), i, server)
		if (!json_is_true(json_object_get(server, "newest_cluster_key")))
			return json_string_value(json_object_get(server, "name"));
	return NULL;
}

/* Nobody is to be locked out.  An exit code. */
static int ready(const struct conf *conf)
{
	json_t *status = ask(conf, "status"), *servers = conf->mesh.port ? ask(conf, "servers") : NULL;
	json_t *keys = json_object_get(status, "cluster_keys");
	json_t *since = json_object_get(keys, "newest_everywhere_s");
	uint64_t version = announcement_version(conf->cluster.announcement,
			conf->cluster.announcement_len);
	const char *without = server_without(servers);
	int code = EXIT_OK;

	if (!keys || (conf->mesh.port && !servers))
		code = failed("No server answers at %s, so it is not known who has the next key.  With "
				"--force it is not asked.", conf->control_socket);
	else if ((uint64_t)json_integer_value(json_object_get(keys, "version")) != version)
		code = failed("The server at %s has not read %s again: anyrelay reload.",
				conf->control_socket, conf->cluster_key_file);
	else if (without)
		code = failed("Server %s does not have the next key, or is not heard: copy %s to it and "
				"reload it.  With --force it is left behind.", without,
				conf->cluster_key_file);
	else if (!since || json_integer_value(since) < HEAR_SECONDS)
		code = failed("Clients have been told of the next key for %d s; those that are connected "
				"have all heard of it after %d s.  With --force the others are locked out.",
				(int)json_integer_value(since), HEAR_SECONDS);
	json_decref(status);
	json_decref(servers);
	return code;
}

static int give_up_current(struct enrolled *e, const struct options *o)
{
	struct cluster_secrets c = e->conf.cluster;
	int code = enrolled_seal_again(e);

	if (!code) {
		relay_key(c.secret[0], c.past); /* what relays have of it is still in people's hands */
		c.has_past = true;
		memcpy(c.secret[0], c.secret[1], KEY_SIZE);
		wipe(c.secret[1], KEY_SIZE);
		c.count = 1;
		code = commit(&e->conf, &e->op, &c, o);
	}
	if (!code)
		fprintf(stderr, "Copy %s to every server, and reload each: until then it takes the old "
				"key.\n", e->conf.cluster_key_file);
	wipe(&c, sizeof c);
	return code;
}

int cmd_cluster_key_finish(const struct options *o)
{
	struct enrolled e;
	int code = enrolled_open(&e, o, true);

	if (code)
		return code;
	if (e.conf.cluster.count < 2)
		code = failed("%s holds no next key; anyrelay cluster-key next makes one.",
				e.conf.cluster_key_file);
	else if (!o->force)
		code = ready(&e.conf);
	if (!code)
		code = give_up_current(&e, o);
	enrolled_close(&e);
	return code;
}
