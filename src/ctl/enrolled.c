/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "ctl/enrolled.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base64.h"
#include "base/util.h"
#include "conf_keys.h"

#define CONF_DEFAULT         "/etc/anyrelay/server.conf"
#define OPERATOR_KEY_DEFAULT "/etc/anyrelay/operator.key"

static int visit(void *arg, const struct record *r, char *error, size_t error_size)
{
	struct enrolled *e = arg;

	/* Indexes mostly rise in the file: only one that may be there already is looked for. */
	for (size_t i = 0; r->index <= e->highest && i < e->count; i++) {
		if (e->records[i].index != r->index)
			continue;
		if (r->version > e->records[i].version)
			e->records[i] = *r;
		return 0;
	}
	if (e->count == e->room) {
		size_t room = e->room ? 2 * e->room : 64;
		struct record *more = reallocarray(e->records, room, sizeof *more);
		if (!more) {
			snprintf(error, error_size, "not enough memory for so many clients");
			return -ENOMEM;
		}
		e->records = more;
		e->room = room;
	}
	e->records[e->count++] = *r;
	e->highest = MAX(e->highest, r->index);
	return 0;
}

int operator_key_load(struct operator_key *op, const struct conf *conf, const struct options *o)
{
	const char *path = o->operator_key ? o->operator_key : OPERATOR_KEY_DEFAULT;
	uint8_t seed[KEY_SIZE];
	char why[CONF_WHY];

	if (conf_secret_file(path, seed, why))
		return failed("The operator's key is needed: %s.", why);
	operator_key_from_seed(op, seed);
	wipe(seed, sizeof seed);
	if (memcmp(op->sign_public, conf->operator.sign, KEY_SIZE) ||
			memcmp(op->seal_public, conf->operator.seal, KEY_SIZE))
		return failed("%s is not the key whose public key is OperatorKey in %s; the server "
				"would refuse what it signs.", path, conf->path);
	return EXIT_OK;
}

static int read_file(struct enrolled *e, bool writing)
{
	char error[CONF_ERROR];

	if (writing) {
		e->lock = line_file_lock(e->conf.clients_file, error);
		if (e->lock < 0)
			return failed("%s", error);
	}
	if (clients_file_read(e->conf.clients_file, &e->conf.operator, &e->seal_keys, NULL, visit, e,
			error))
		return failed("%s", error);
	return EXIT_OK;
}

static int read_nats(struct enrolled *e)
{
	struct registry_options o;
	char error[CLIENTS_ERROR];
	unsigned refused;

	conf_registry(&e->conf, &o);
	if (nats_clients_open(&e->nats, &o, error) ||
			nats_clients_read(e->nats, visit, e, &refused, error))
		return failed("%s", error);
	if (refused)
		fprintf(stderr, "%u values in NATS are not records of this operator and cluster; they are "
				"ignored.\n", refused);
	return EXIT_OK;
}

static int read_all(struct enrolled *e, const struct options *o, bool writing)
{
	char error[CONF_ERROR];

	if (conf_load(&e->conf, o->conf ? o->conf : CONF_DEFAULT, error))
		return failed("%s", error);
	if (e->conf.role != CONF_SERVER)
		return failed("%s is the configuration of a client; clients are enrolled with that of "
				"a server.", e->conf.path);
	if (seal_keys_make(&e->seal_keys, &e->conf.cluster, e->conf.operator.seal))
		return failed("%s: OperatorKey is not a usable public key.", e->conf.path);
	memcpy(e->seal_key, e->seal_keys.key[0], KEY_SIZE);
	if (writing) {
		int code = operator_key_load(&e->op, &e->conf, o);
		if (code)
			return code;
	}
	return e->conf.registry_nats ? read_nats(e) : read_file(e, writing);
}

int enrolled_open(struct enrolled *e, const struct options *o, bool writing)
{
	memset(e, 0, sizeof *e);
	e->lock = -1;
	e->writing = writing;
	int code = read_all(e, o, writing);
	if (code)
		enrolled_close(e);
	return code;
}

void enrolled_close(struct enrolled *e)
{
	char error[CLIENTS_ERROR];

	if (e->lock >= 0)
		line_file_unlock(e->lock);
	if (e->nats && e->writing && nats_clients_digest(e->nats, e->op.seed, error))
		fprintf(stderr, "What is written is in NATS, but not its digests (%s): servers that start "
				"check it by its own signature.\n", error);
	if (e->nats)
		nats_clients_close(e->nats);
	if (e->records)
		wipe(e->records, e->room * sizeof *e->records);
	free(e->records);
	wipe(e, sizeof *e);
}

struct record *enrolled_find(const struct enrolled *e, const char *name)
{
	for (size_t i = 0; i < e->count; i++) {
		if (!e->records[i].removed && !strcmp(e->records[i].name, name))
			return &e->records[i];
	}
	return NULL;
}

int enrolled_put(const struct enrolled *e, const struct record *r)
{
	uint8_t bytes[RECORD_MAX];
	char error[CLIENTS_ERROR];

	size_t len = record_write(bytes, r, &e->op, e->seal_key);
	if (!len)
		return failed("The client's record breaks a limit: a name of 1 to %d letters, digits "
				"and . _ -, at most %d addresses and prefixes.", RECORD_NAME_MAX,
				RECORD_PREFIXES_MAX);
	if (e->nats ? nats_clients_put(e->nats, bytes, len, error) :
			clients_file_put(e->conf.clients_file, bytes, len, r->name, error))
		return failed("%s", error);
	return EXIT_OK;
}

/* In the file, a line at a time. */
static long seal_line(void *arg, uint8_t bytes[LINE_BYTES_MAX], size_t len)
{
	const struct enrolled *e = arg;
	struct record r;
	int failed = record_read(&r, bytes, len, &e->conf.operator, &e->seal_keys);
	size_t n = len;

	if (!failed && !r.removed) { /* a tombstone holds nothing sealed */
		r.version++;
		n = record_write(bytes, &r, &e->op, e->seal_key);
	}
	wipe(&r, sizeof r);
	return failed ? failed : (long)n;
}

int enrolled_seal_again(struct enrolled *e)
{
	char error[LINE_FILE_ERROR];
	int code = EXIT_OK;

	memcpy(e->seal_key, e->seal_keys.key[e->seal_keys.count - 1], KEY_SIZE);
	if (!e->nats) {
		code = line_file_change(e->conf.clients_file, "the clients", seal_line, e, error);
		return code ? failed("%s", error) : EXIT_OK;
	}
	for (size_t i = 0; i < e->count && !code; i++) {
		if (e->records[i].removed)
			continue;
		e->records[i].version++;
		code = enrolled_put(e, &e->records[i]);
	}
	return code;
}

bool enrolled_reload(const struct enrolled *e)
{
	return reload_server(&e->conf, "clients");
}

bool reload_server(const struct conf *conf, const char *what)
{
	char error[CONF_ERROR], *text = NULL;

	int rc = control_ask(conf->control_socket, "reload", &text, error);
	if (rc) {
		fprintf(stderr, "No server answers at %s: have the server read its %s again, with "
				"anyrelay reload or systemctl reload.\n", conf->control_socket, what);
		return false;
	}
	json_t *answer = json_loads(text, 0, NULL);
	const char *refused = json_string_value(json_object_get(answer, "error"));
	bool ok = json_is_object(answer) && !refused;
	if (ok)
		fprintf(stderr, "The server has read its %s again.\n", what);
	else
		fprintf(stderr, "The server has NOT read its %s again: %s\n", what,
				refused ? refused : "its answer is not a JSON object");
	json_decref(answer);
	free(text);
	return ok;
}

json_t *enrolled_json(const struct record *r)
{
	static const struct {
		unsigned bit;
		const char *key;
	} all_rights[] = {
#define X(name, bit_, key_, text) {RIGHT_##name, key_},
		CLIENT_RIGHTS(X)
#undef X
	};
	char key[BASE64_SIZE(KEY_SIZE)], prefix[PREFIX_TEXT];
	json_t *prefixes = json_array(), *rights = json_array();

	for (unsigned i = 0; i < r->prefix_count; i++)
		json_array_append_new(prefixes,
				json_string(prefix_format(&r->prefixes[i], prefix)));
	for (size_t i = 0; i < ARRAY_SIZE(all_rights); i++) {
		if (r->rights & all_rights[i].bit)
			json_array_append_new(rights, json_string(all_rights[i].key));
	}
	return json_pack("{s:s, s:I, s:I, s:b, s:s, s:o, s:o}", "name", r->name, "index",
			(json_int_t)r->index, "version", (json_int_t)r->version, "removed", r->removed,
			"public_key", base64_encode(key, r->public, KEY_SIZE), "prefixes", prefixes,
			"rights", rights);
}
