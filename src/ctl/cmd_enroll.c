/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * enroll: gives a new client its index, keys and addresses, signs its record into
 * the clients file, and prints the client's complete configuration.  An index is
 * the highest ever given plus one: tombstones stay in the file, so that none is
 * given twice.
 */
#include "ctl/enrolled.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/util.h"

struct enrolment {
	const struct options *o;
	const struct enrolled *e;
	struct record r;
	unsigned address_count; /* of r.prefixes, the first so many are addresses */
	bool own_key;           /* the client brought its public key */
	uint8_t secret[KEY_SIZE];
	unsigned server_count;
	struct endpoint servers[2];
};

/* Calls take for each item between commas; stops at the first that does not return EXIT_OK. */
static int each_item(struct enrolment *n, const char *list,
		int (*take)(struct enrolment *n, const char *item))
{
	char *copy = strdup(list ? list : ""), *save = NULL;
	int code = copy ? EXIT_OK : failed("Out of memory.");

	for (char *item = code ? NULL : strtok_r(copy, ", ", &save); item && !code;
			item = strtok_r(NULL, ", ", &save))
		code = take(n, item);
	free(copy);
	return code;
}

/* ---- addresses ---- */

static const struct record *owner_of(const struct enrolled *e, const struct prefix *p, bool inside)
{
	for (size_t i = 0; i < e->count; i++) {
		const struct record *r = &e->records[i];
		for (unsigned k = 0; !r->removed && k < r->prefix_count; k++) {
			const struct prefix *q = &r->prefixes[k];
			bool same = q->len == p->len && !memcmp(q->ip, p->ip, sizeof p->ip);
			if (same || (inside && prefix_contains(q, p->ip)))
				return r;
		}
	}
	return NULL;
}

static bool is_own_address(const struct conf *conf, const uint8_t ip[16])
{
	for (unsigned i = 0; i < conf->address.count; i++) {
		if (!memcmp(conf->address.list[i].ip, ip, 16))
			return true;
	}
	return false;
}

static int add_prefix(struct enrolment *n, const struct prefix *p)
{
	char text[PREFIX_TEXT];
	const struct record *owner = owner_of(n->e, p, false);

	if (owner)
		return failed("%s belongs to client %s (index %u).", prefix_format(p, text),
				owner->name, owner->index);
	if (p->len == 128 && is_own_address(&n->e->conf, p->ip))
		return failed("%s is the server's own address.", prefix_format(p, text));
	for (unsigned i = 0; i < n->r.prefix_count; i++) {
		if (n->r.prefixes[i].len == p->len && !memcmp(n->r.prefixes[i].ip, p->ip, 16))
			return failed("%s is given twice.", prefix_format(p, text));
	}
	if (n->r.prefix_count == RECORD_PREFIXES_MAX)
		return failed("A client has at most %d addresses and prefixes.", RECORD_PREFIXES_MAX);
	n->r.prefixes[n->r.prefix_count++] = *p;
	return EXIT_OK;
}

static int take_address(struct enrolment *n, const char *item)
{
	struct prefix p = {.len = 128};

	if (addr_parse(item, p.ip))
		return failed("--address: %s is not an address, as 10.7.0.9 or fd07::9; a network "
				"is given with --prefix.", item);
	return add_prefix(n, &p);
}

static int take_prefix(struct enrolment *n, const char *item)
{
	struct prefix p;

	if (prefix_parse(item, &p))
		return failed("--prefix: %s is not a prefix, as 10.8.0.0/24 or fd08::/64.", item);
	addr_mask(p.ip, p.len);
	return add_prefix(n, &p);
}

/*
 * The next free host of the network: host number index + 1, so that client 1
 * comes after a server at the first address, or the first free one behind it.
 */
static int choose_address(struct enrolment *n, const struct prefix *network)
{
	unsigned bits = 128u - network->len;
	uint64_t hosts = (bits < 32 ? 1ull << bits : 1ull << 32) - 2; /* not the first, not the last */
	char text[PREFIX_TEXT];

	for (uint64_t try = 0; try < hosts; try++) {
		struct prefix p = {.len = 128};
		memcpy(p.ip, network->ip, sizeof p.ip);
		addr_mask(p.ip, network->len);
		uint32_t host = (uint32_t)((n->r.index + try) % hosts + 1);
		store_be32(p.ip + 12, load_be32(p.ip + 12) + host);
		if (!is_own_address(&n->e->conf, p.ip) && !owner_of(n->e, &p, true))
			return add_prefix(n, &p);
	}
	return failed("%s has no free address; give one with --address.",
			prefix_format(network, text));
}

static int choose_addresses(struct enrolment *n)
{
	const struct conf_prefixes *networks = &n->e->conf.address;

	for (unsigned i = 0; i < networks->count; i++) {
		if (networks->list[i].len > 126)
			continue; /* a host or a pair: no network to give addresses from */
		int code = choose_address(n, &networks->list[i]);
		if (code)
			return code;
	}
	if (n->r.prefix_count == 0)
		return failed("Address in [Tunnel] of %s names no network to take the client's "
				"address from; give one with --address.", n->e->conf.path);
	return EXIT_OK;
}

/* ---- the rest of the record ---- */

static int take_right(struct enrolment *n, const char *item)
{
	char known[128] = "";

#define X(name, bit, key, text)                                                                    \
	if (!strcmp(item, key)) {                                                                  \
		n->r.rights |= RIGHT_##name;                                                       \
		return EXIT_OK;                                                                    \
	}                                                                                          \
	snprintf(known + strlen(known), sizeof known - strlen(known), " " key);
	CLIENT_RIGHTS(X)
#undef X
	return failed("--right: there is no right %s; there are:%s.", item, known);
}

static int take_server(struct enrolment *n, const char *item)
{
	struct endpoint e;

	if (endpoint_parse(item, n->e->conf.port, &e))
		return failed("--server: %s is not an address with a port, as 192.0.2.1:4444 or "
				"[2001:db8::1]:4444.", item);
	if (n->server_count == ARRAY_SIZE(n->servers))
		return failed("--server: a client has at most %zu addresses of its servers.",
				ARRAY_SIZE(n->servers));
	n->servers[n->server_count++] = e;
	return EXIT_OK;
}

static int choose_servers(struct enrolment *n)
{
	const struct conf *conf = &n->e->conf;

	if (n->o->servers)
		return each_item(n, n->o->servers, take_server);
	if (conf->listen_v4)
		n->servers[n->server_count++] = conf->listen[0];
	if (conf->listen_v6)
		n->servers[n->server_count++] = conf->listen[1];
	return EXIT_OK;
}

static int choose_index(struct enrolment *n)
{
	if (n->e->highest == UINT32_MAX)
		return failed("Every index has been given; a new cluster is needed.");
	n->r.index = n->e->highest + 1;
	n->r.version = 1;
	return EXIT_OK;
}

static int choose_keys(struct enrolment *n)
{
	const char *text = n->o->public_key;
	uint8_t shared[KEY_SIZE];

	random_bytes(n->r.psk, KEY_SIZE);
	n->own_key = text != NULL;
	if (!text) {
		random_bytes(n->secret, KEY_SIZE);
		x25519_public(n->secret, n->r.public);
		return EXIT_OK;
	}
	int rc = base64_decode(n->r.public, KEY_SIZE, text, strlen(text)) == KEY_SIZE ? 0 : -EINVAL;
	if (!rc)
		rc = x25519(n->e->conf.cluster.secret[0], n->r.public, shared);
	wipe(shared, sizeof shared);
	if (rc)
		return failed("--public-key: %s is not a public key (base64 of 32 bytes), as anyrelay "
				"pubkey prints it.", text);
	for (size_t i = 0; i < n->e->count; i++) {
		const struct record *r = &n->e->records[i];
		if (!r->removed && !memcmp(r->public, n->r.public, KEY_SIZE))
			return failed("--public-key: client %s (index %u) has this key.", r->name,
					r->index);
	}
	return EXIT_OK;
}

static int choose_name(struct enrolment *n)
{
	const char *name = n->o->argument;

	if (!record_name_valid(name))
		return failed("%s is not a name for a client: 1 to %d letters, digits and . _ -.",
				name, RECORD_NAME_MAX);
	const struct record *r = enrolled_find(n->e, name);
	if (r)
		return failed("%s is enrolled already (index %u); anyrelay revoke removes it.", name,
				r->index);
	strcpy(n->r.name, name);
	return EXIT_OK;
}

static int choose_prefixes(struct enrolment *n)
{
	int code = n->o->addresses ? each_item(n, n->o->addresses, take_address) :
			choose_addresses(n);

	n->address_count = n->r.prefix_count;
	return code ? code : each_item(n, n->o->prefixes, take_prefix);
}

static int choose_rights(struct enrolment *n)
{
	return each_item(n, n->o->rights, take_right);
}

/* ---- the client's configuration ---- */

static void print_addresses(FILE *to, const struct enrolment *n)
{
	const struct conf_prefixes *networks = &n->e->conf.address;
	char text[PREFIX_TEXT];

	for (unsigned i = 0; i < n->address_count; i++) {
		/* With the length of the server's network: its other members are then reached too. */
		struct prefix p = n->r.prefixes[i];
		for (unsigned k = 0; k < networks->count; k++) {
			const struct prefix *network = &networks->list[k];
			if (addr_is_v4(network->ip) == addr_is_v4(p.ip) &&
					prefix_contains(network, p.ip))
				p.len = MIN(p.len, network->len);
		}
		fprintf(to, "%s%s", i ? ", " : "Address = ", prefix_format(&p, text));
	}
	if (n->address_count)
		fputc('\n', to);
}

/* A network of the server that the client has no address in, though it speaks that family. */
static bool needs_route(const struct enrolment *n, const struct prefix *network)
{
	bool family = false;

	for (unsigned i = 0; i < n->address_count; i++) {
		const uint8_t *ip = n->r.prefixes[i].ip;
		if (addr_is_v4(ip) != addr_is_v4(network->ip))
			continue;
		if (prefix_contains(network, ip))
			return false;
		family = true;
	}
	return family;
}

static void print_route(FILE *to, const struct prefix *network, bool *any)
{
	struct prefix p = *network;
	char text[PREFIX_TEXT];

	addr_mask(p.ip, p.len);
	fprintf(to, "%s%s", *any ? ", " : "# Networks that are reached through the tunnel.\nRoutes = ",
			prefix_format(&p, text));
	*any = true;
}

static void print_tunnel(FILE *to, const struct enrolment *n)
{
	const struct conf *conf = &n->e->conf;
	bool any = false;

	fputs("\n[Tunnel]\n# The addresses that the servers take packets from.\n", to);
	print_addresses(to, n);
	for (unsigned i = 0; i < conf->address.count; i++) {
		if (needs_route(n, &conf->address.list[i]))
			print_route(to, &conf->address.list[i], &any);
	}
	for (unsigned i = 0; i < conf->networks.count; i++)
		print_route(to, &conf->networks.list[i], &any);
	if (any)
		fputc('\n', to);
}

static void print_cluster(FILE *to, const struct conf *conf)
{
	const struct cluster_secrets *c = &conf->cluster;
	char key[BASE64_SIZE(sizeof conf->operator)];
	uint8_t public[KEY_SIZE];

	fputs("# The cluster: its public key, who may announce another one, and its anycast address.\n"
	      "ClusterKeys = ", to);
	for (unsigned i = 0; i < c->count; i++) {
		x25519_public(c->secret[c->count - 1 - i], public); /* the newest first */
		fprintf(to, "%s%s", i ? ", " : "", base64_encode(key, public, KEY_SIZE));
	}
	fprintf(to, "\nOperatorKey = %s\n", base64_encode(key, (const uint8_t *)&conf->operator,
			sizeof conf->operator));
}

static void print_configuration(FILE *to, const struct enrolment *n)
{
	char key[BASE64_SIZE(KEY_SIZE)], text[ENDPOINT_TEXT];

	fprintf(to, "# anyrelay client %s, index %u.  This file holds secrets: mode 0600.\n"
			"# Every key is explained in anyrelay.conf(5).\n\n[Client]\n", n->r.name,
			n->r.index);
	if (n->own_key)
		fprintf(to, "# The secret key to %s\nPrivateKeyFile = /etc/anyrelay/client.key\n",
				base64_encode(key, n->r.public, KEY_SIZE));
	else
		fprintf(to, "PrivateKey = %s\n", base64_encode(key, n->secret, KEY_SIZE));
	fprintf(to, "PresharedKey = %s\n", base64_encode(key, n->r.psk, KEY_SIZE));
	print_cluster(to, &n->e->conf);
	for (unsigned i = 0; i < n->server_count; i++)
		fprintf(to, "%s%s", i ? ", " : "Server = ",
				endpoint_format(&n->servers[i], text));
	fputc('\n', to);
	wipe(key, sizeof key);
	print_tunnel(to, n);
}

/* The configuration as text, to be wiped and freed, or NULL. */
static char *make_configuration(const struct enrolment *n)
{
	char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);

	if (!to)
		return NULL;
	print_configuration(to, n);
	if (fclose(to)) {
		free(text);
		return NULL;
	}
	return text;
}

static int write_output(const char *path, int fd, const char *text)
{
	size_t len = strlen(text);
	ssize_t n = write(fd, text, len);

	if (n == (ssize_t)len && !fsync(fd))
		return EXIT_OK;
	return failed("%s: the configuration cannot be written: %s.  The client is enrolled; revoke "
			"it before trying again.", path, n < 0 ? strerror(errno) : "the disk is full");
}

/* ---- the command ---- */

static int choose(struct enrolment *n)
{
	static int (*const steps[])(struct enrolment *) = {
		choose_name, choose_index, choose_keys, choose_prefixes, choose_rights, choose_servers,
	};
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		int code = steps[i](n);
		if (code)
			return code;
	}
	return EXIT_OK;
}

static int report(const struct enrolment *n, const char *text)
{
	bool reloaded = enrolled_reload(n->e);

	if (n->o->json) {
		json_t *answer = enrolled_json(&n->r);
		json_object_set_new(answer, "reloaded", json_boolean(reloaded));
		if (!n->o->output)
			json_object_set_new(answer, "configuration", json_string(text));
		return print_json(answer);
	}
	if (!n->o->output)
		fputs(text, stdout);
	return EXIT_OK;
}

/* The output file is made first: a configuration that cannot be kept would be lost. */
static int commit(const struct enrolment *n)
{
	const char *path = n->o->output;
	int fd = -1;

	if (path) {
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd < 0)
			return failed("%s: the configuration cannot be written: %s.", path,
					strerror(errno));
	}
	char *text = make_configuration(n);
	int code = text ? enrolled_put(n->e, &n->r) : failed("Out of memory.");
	if (code && path)
		unlink(path);
	if (!code && path)
		code = write_output(path, fd, text);
	if (!code)
		code = report(n, text);
	if (fd >= 0)
		close(fd);
	if (text)
		wipe(text, strlen(text));
	free(text);
	return code;
}

int cmd_enroll(const struct options *o)
{
	struct enrolled e;

	int code = enrolled_open(&e, o, true);
	if (code)
		return code;
	struct enrolment n = {.o = o, .e = &e};
	code = choose(&n);
	if (!code)
		code = commit(&n);
	wipe(&n, sizeof n);
	enrolled_close(&e);
	return code;
}
