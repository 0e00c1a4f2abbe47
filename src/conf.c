/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The reader of configuration files: init, a call for each line, finish.  What a
 * key is and may be stands in conf_keys.h; here are the form of the file, the
 * defaults, and what must hold between keys.
 *
 * A line is a [Section], "Key = value", or nothing.  # and ; begin a comment at
 * the start of a line or after a blank.  A value, or an item of a list, may stand
 * in double quotes; nothing is special inside them.
 */
#include "conf_keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"

#define LINE_MAX_BYTES 4096
#define FILE_MAX_BYTES (1 << 20)

static const char *const sections[] = {"Server", "Client", "Tunnel", "Anycast", "Mesh",
		"Registry", "Relay", "Metrics", "Daemon"};

struct reader_state {
	struct conf *conf;
	char *error;
	unsigned line;
	const char *section; /* one of sections, or NULL before the first */
	unsigned role_line;
	unsigned seen[CONF_TABLE_MAX]; /* the line where a key was first given, 0: not yet */
};

/* "path:line: sentence", or without a line where line is 0. */
static int __attribute__((format(printf, 3, 4)))
refuse(struct reader_state *s, unsigned line, const char *format, ...)
{
	va_list list;
	char sentence[CONF_ERROR], at[16] = "";

	va_start(list, format);
	vsnprintf(sentence, sizeof sentence, format, list);
	va_end(list);
	if (line)
		snprintf(at, sizeof at, ":%u", line);
	snprintf(s->error, CONF_ERROR, "%.*s%s: %.*s", 200, s->conf->path, at, CONF_ERROR - 220,
			sentence);
	wipe(sentence, sizeof sentence);
	return -EINVAL;
}

/* ---- the nearest known name ---- */

#define WORD_MAX 32

/* Levenshtein's distance, without regard to case. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[WORD_MAX + 1];
	size_t na = strlen(a), nb = strlen(b);

	if (na > WORD_MAX || nb > WORD_MAX)
		return WORD_MAX;
	for (unsigned j = 0; j <= nb; j++)
		row[j] = j;
	for (unsigned i = 1; i <= na; i++) {
		unsigned diagonal = row[0];
		row[0] = i;
		for (unsigned j = 1; j <= nb; j++) {
			unsigned change = diagonal + (strncasecmp(&a[i - 1], &b[j - 1], 1) != 0);
			diagonal = row[j];
			row[j] = MIN(change, MIN(row[j], row[j - 1]) + 1);
		}
	}
	return row[nb];
}

static bool near(const char *word, unsigned d)
{
	return d <= MAX(strlen(word) / 3, 2);
}

static int fail_section(struct reader_state *s, const char *name)
{
	const char *nearest = NULL;
	unsigned least = WORD_MAX;

	for (unsigned i = 0; i < ARRAY_SIZE(sections); i++) {
		unsigned d = distance(name, sections[i]);
		if (d < least) {
			least = d;
			nearest = sections[i];
		}
	}
	if (nearest && near(name, least))
		return refuse(s, s->line, "[%s]: no such section; did you mean [%s]?", name, nearest);
	return refuse(s, s->line, "[%s]: no such section; there are [Server] or [Client], [Tunnel], "
			"[Anycast], [Mesh], [Registry], [Relay], [Metrics] and [Daemon]", name);
}

static int fail_key(struct reader_state *s, const char *name)
{
	const struct conf_key *nearest = NULL;
	unsigned least = WORD_MAX;

	for (unsigned i = 0; i < conf_key_count; i++) {
		const struct conf_key *k = &conf_keys[i];
		/* Of two as near, the one in this section. */
		unsigned d = 2 * distance(name, k->name) + (strcmp(k->section, s->section) != 0);
		if (d < least) {
			least = d;
			nearest = k;
		}
	}
	if (nearest && least == 1)
		return refuse(s, s->line, "%s: this key belongs in [%s], not in [%s]", name,
				nearest->section, s->section);
	if (nearest && near(name, least / 2))
		return refuse(s, s->line, "%s: no such key in [%s]; did you mean %s in [%s]?", name,
				s->section, nearest->name, nearest->section);
	return refuse(s, s->line, "%s: no such key in [%s]; anyrelay.conf(5) has the list", name,
			s->section);
}

/* ---- values ---- */

static int fail_value(struct reader_state *s, const struct conf_key *k, const char *value,
		const char *why)
{
	if (why[0])
		return refuse(s, s->line, "%s: %s", k->name, why);
	if (value[0] == 0)
		return refuse(s, s->line, "%s: there is no value; it must be %s", k->name, k->allowed);
	if (k->flags & CONF_SECRET)
		return refuse(s, s->line, "%s: the value is not %s", k->name, k->allowed);
	return refuse(s, s->line, "%s: %.100s is not %s", k->name, value, k->allowed);
}

static int take_value(struct reader_state *s, const struct conf_key *k, const char *value)
{
	char why[CONF_WHY] = "";

	if (k->parse(k, s->conf, value, why))
		return fail_value(s, k, value, why);
	return 0;
}

static char *trim(char *text)
{
	text += strspn(text, " \t");
	size_t n = strlen(text);
	while (n > 0 && strchr(" \t\r", text[n - 1]))
		text[--n] = 0;
	return text;
}

/* The end of an unquoted item: a comma in a list, a comment, or the end of the line. */
static char *item_end(char *at, bool list)
{
	for (char *p = at; ; p++) {
		if (*p == 0 || (list && *p == ','))
			return p;
		if ((*p == '#' || *p == ';') && (p == at || p[-1] == ' ' || p[-1] == '\t'))
			return p;
	}
}

/* Cuts the next item off *rest; *more tells whether a comma follows.  NULL: said in error. */
static char *next_item(struct reader_state *s, const struct conf_key *k, char **rest, bool *more)
{
	bool list = k->flags & CONF_LIST, quoted = **rest == '"';
	char *item = *rest, *end = item;

	if (quoted) {
		item++;
		end = strchr(item, '"');
		if (!end) {
			refuse(s, s->line, "%s: the quotation mark is not closed", k->name);
			return NULL;
		}
		*end++ = 0;
		end += strspn(end, " \t\r");
		if (item_end(end, list) != end) {
			refuse(s, s->line, "%s: there is something after the closing quotation mark",
					k->name);
			return NULL;
		}
	} else {
		end = item_end(item, list);
	}
	*more = *end == ',';
	*rest = *more ? end + 1 + strspn(end + 1, " \t") : end;
	*end = 0;
	return quoted ? item : trim(item);
}

static int take_values(struct reader_state *s, const struct conf_key *k, char *rest)
{
	bool more = true;

	while (more) {
		const char *item = next_item(s, k, &rest, &more);
		if (!item)
			return -EINVAL;
		int rc = take_value(s, k, item);
		if (rc)
			return rc;
	}
	return 0;
}

/* ---- lines ---- */

static int take_section(struct reader_state *s, char *line)
{
	char *end = strchr(line, ']');
	char *rest = end ? end + 1 + strspn(end + 1, " \t") : NULL;

	if (!rest || item_end(rest, false) != rest)
		return refuse(s, s->line, "a section stands alone in its line, as [Tunnel]");
	*end = 0;
	s->section = NULL;
	for (unsigned i = 0; i < ARRAY_SIZE(sections); i++) {
		if (!strcmp(line + 1, sections[i]))
			s->section = sections[i];
	}
	if (!s->section)
		return fail_section(s, line + 1);
	enum conf_role role = s->section == sections[0] ? CONF_SERVER :
			s->section == sections[1] ? CONF_CLIENT : 0;
	if (role && s->conf->role && role != s->conf->role)
		return refuse(s, s->line, "[%s]: a file is for a server or for a client, and line %u "
				"has [%s]", s->section, s->role_line,
				s->conf->role == CONF_SERVER ? "Server" : "Client");
	if (role && !s->conf->role) {
		s->conf->role = role;
		s->role_line = s->line;
	}
	return 0;
}

static const struct conf_key *find_key(const char *section, const char *name)
{
	for (unsigned i = 0; i < conf_key_count; i++) {
		if (!strcmp(conf_keys[i].section, section) && !strcmp(conf_keys[i].name, name))
			return &conf_keys[i];
	}
	return NULL;
}

/* line is the reader's own copy, cut up on the way. */
static int take_line(struct reader_state *s, char *line)
{
	line = trim(line);
	if (line[0] == 0 || line[0] == '#' || line[0] == ';')
		return 0;
	if (line[0] == '[')
		return take_section(s, line);
	char *equals = strchr(line, '=');
	if (!equals)
		return refuse(s, s->line, "this line is neither [Section] nor Key = value");
	*equals = 0;
	const char *name = trim(line);
	if (!s->section)
		return refuse(s, s->line, "%.*s: a key must stand below a section, as [Server]",
				WORD_MAX, name);
	const struct conf_key *k = find_key(s->section, name);
	if (!k)
		return fail_key(s, name);
	unsigned *seen = &s->seen[k - conf_keys];
	if (*seen && !(k->flags & CONF_LIST))
		return refuse(s, s->line, "%s: given twice, the first time in line %u", k->name, *seen);
	if (!*seen)
		*seen = s->line;
	return take_values(s, k, equals + 1 + strspn(equals + 1, " \t"));
}

static int take_text(struct reader_state *s, const char *text, size_t len)
{
	char line[LINE_MAX_BYTES];
	int rc = 0;

	while (len > 0 && !rc) {
		const char *newline = memchr(text, '\n', len);
		size_t n = newline ? (size_t)(newline - text) : len;
		s->line++;
		if (n >= sizeof line) {
			rc = refuse(s, s->line, "this line is longer than %zu characters; a list may be "
					"given in several lines", sizeof line - 1);
			break;
		}
		memcpy(line, text, n);
		line[n] = 0;
		if (memchr(line, 0, n))
			rc = refuse(s, s->line, "this line has a NUL character; is this a text file?");
		else
			rc = take_line(s, line);
		n += newline != NULL;
		text += n;
		len -= n;
	}
	wipe(line, sizeof line);
	return rc;
}

/* ---- finish ---- */

static unsigned seen(const struct reader_state *s, const char *section, const char *name)
{
	return s->seen[find_key(section, name) - conf_keys];
}

static int finish_keys(struct reader_state *s)
{
	for (unsigned i = 0; i < conf_key_count; i++) {
		const struct conf_key *k = &conf_keys[i];
		bool ours = k->roles & s->conf->role;
		if (s->seen[i] && !ours)
			return refuse(s, s->seen[i], "%s: this key is for %s", k->name,
					k->roles == CONF_SERVER ? "servers" : "clients");
		if (s->seen[i] || !ours)
			continue;
		if (k->flags & CONF_REQUIRED)
			return refuse(s, 0, "%s is missing in [%s]; it must be %s. %s", k->name, k->section,
					k->allowed, k->text);
		if (!k->fallback || k->flags & CONF_COMPUTED)
			continue;
		int rc = take_value(s, k, k->fallback);
		if (rc)
			return rc;
	}
	return 0;
}

/* A secret comes from the file or from a file of its own. */
static int finish_secret(struct reader_state *s, const char *name, const char *file)
{
	unsigned a = seen(s, "Client", name), b = seen(s, "Client", file);

	if (a && b)
		return refuse(s, MAX(a, b), "%s and %s are both given; one of the two is enough", name,
				file);
	if (!a && !b)
		return refuse(s, 0, "%s or %s is missing in [Client]; anyrelay enroll prints both", name,
				file);
	return 0;
}

/* Both or none: without them the server is alone, and [Mesh] only names a file for the tool. */
static int finish_mesh(struct reader_state *s)
{
	const struct conf *c = s->conf;
	unsigned address = seen(s, "Mesh", "Address"), key = seen(s, "Mesh", "PrivateKeyFile");

	if (key && !address)
		return refuse(s, key, "Address is missing in [Mesh]: the unicast address at which other "
				"servers reach this one");
	if (address && !key)
		return refuse(s, address, "PrivateKeyFile is missing in [Mesh]: the file with this server's "
				"own secret key, made by anyrelay genkey");
	for (unsigned i = 0; address && i < ARRAY_SIZE(c->listen); i++) {
		if (!memcmp(c->listen[i].ip, c->mesh.ip, sizeof c->mesh.ip))
			return refuse(s, address, "Address: this is the anycast address (Listen); the mesh "
					"needs one that only this server has");
	}
	return 0;
}

static int finish_registry(struct reader_state *s)
{
	const struct conf *c = s->conf;

	if (c->registry_nats && c->registry_url_count == 0)
		return refuse(s, 0, "Servers is missing in [Registry], where Type is nats; it must be URLs "
				"as nats://192.0.2.10:4222 or tls://nats.example:4222");
	if (!c->registry_nats && c->registry_url_count)
		return refuse(s, seen(s, "Registry", "Servers"), "Servers: it is for Type = nats, but Type "
				"is local");
	if (!c->tls_cert[0] != !c->tls_key[0])
		return refuse(s, MAX(seen(s, "Registry", "TLSCert"), seen(s, "Registry", "TLSKey")),
				"TLSCert and TLSKey belong together; only one of them is given");
	return 0;
}

/* The first line of a section that has a key, 0: none has been given. */
static unsigned section_line(const struct reader_state *s, const char *section)
{
	unsigned line = 0;

	for (unsigned i = 0; i < conf_key_count; i++)
		if (!strcmp(conf_keys[i].section, section) && s->seen[i])
			line = line ? MIN(line, s->seen[i]) : s->seen[i];
	return line;
}

static int finish_relay(struct reader_state *s)
{
	const struct conf *c = s->conf;
	unsigned first = c->relay_ports.first, last = c->relay_ports.last;

	if (!first && section_line(s, "Relay"))
		return refuse(s, section_line(s, "Relay"), "Ports is missing in [Relay]; it must be a range "
				"of ports, as 20000-59999");
	if (first <= c->port && c->port <= last)
		return refuse(s, seen(s, "Relay", "Ports"), "Ports: %u is between %u and %u, and there clients "
				"are served (Port)", c->port, first, last);
	return 0;
}

static int finish_server(struct reader_state *s)
{
	struct conf *c = s->conf;
	char why[CONF_WHY];

	if (c->keepalive_min > c->keepalive_max)
		return refuse(s, MAX(seen(s, "Server", "KeepaliveMin"), seen(s, "Server", "KeepaliveMax")),
				"KeepaliveMin: %u is more than KeepaliveMax (%u)", c->keepalive_min,
				c->keepalive_max);
	if (conf_check_cluster(c, why))
		return refuse(s, seen(s, "Server", "ClusterKeyFile"), "ClusterKeyFile: %s", why);
	if (!strcmp(c->device, c->ethernet_device))
		return refuse(s, seen(s, "Tunnel", "EthernetDevice"),
				"EthernetDevice: %s is already the name of Device", c->device);
	for (unsigned i = 0; i < ARRAY_SIZE(c->listen); i++)
		c->listen[i].port = c->port;
	int rc = finish_registry(s);
	if (!rc)
		rc = finish_mesh(s);
	return rc ? rc : finish_relay(s);
}

static int finish(struct reader_state *s)
{
	struct conf *c = s->conf;
	int rc;

	if (!c->role)
		return refuse(s, 0, "there is neither [Server] nor [Client]; one of them says what this "
				"daemon is");
	rc = finish_keys(s);
	if (!rc && c->role == CONF_SERVER)
		rc = finish_server(s);
	if (!rc && c->role == CONF_CLIENT)
		rc = finish_secret(s, "PrivateKey", "PrivateKeyFile");
	if (!rc && c->role == CONF_CLIENT)
		rc = finish_secret(s, "PresharedKey", "PresharedKeyFile");
	if (rc)
		return rc;
	if (c->role == CONF_SERVER && !seen(s, "Metrics", "Listen"))
		endpoint_parse("127.0.0.1", METRICS_PORT, &c->metrics);
	if (!c->name[0])
		strcpy(c->name, c->role == CONF_SERVER ? "server" : "client");
	if (!c->control_socket[0])
		snprintf(c->control_socket, sizeof c->control_socket, "/run/anyrelay/%s.sock", c->name);
	return 0;
}

/* ---- the whole ---- */

/* Whether the text itself holds a secret: then its file must be private. */
static unsigned secret_line(const struct reader_state *s)
{
	for (unsigned i = 0; i < conf_key_count; i++) {
		if (conf_keys[i].flags & CONF_SECRET && s->seen[i])
			return s->seen[i];
	}
	return 0;
}

static int read_text(struct reader_state *s, const char *path, const char *text, size_t len)
{
	memset(s->conf, 0, sizeof *s->conf);
	snprintf(s->conf->path, sizeof s->conf->path, "%s", path);
	int rc = take_text(s, text, len);
	return rc ? rc : finish(s);
}

int conf_read_text(struct conf *conf, const char *path, const char *text, size_t len,
		char error[CONF_ERROR])
{
	struct reader_state s = {.conf = conf, .error = error};

	int rc = read_text(&s, path, text, len);
	if (rc)
		conf_wipe(conf);
	return rc;
}

/* The file's text, to be wiped and freed, and its mode.  0 or -errno. */
static int read_file(const char *path, char **text, size_t *len, mode_t *mode)
{
	struct stat st;
	int rc = 0;

	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	*text = malloc(FILE_MAX_BYTES);
	*len = 0;
	if (!*text || fstat(fd, &st))
		rc = *text ? -errno : -ENOMEM;
	else if (!S_ISREG(st.st_mode))
		rc = S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	while (!rc && *len < FILE_MAX_BYTES) {
		ssize_t n = read(fd, *text + *len, FILE_MAX_BYTES - *len);
		if (n == 0)
			break;
		if (n < 0 && errno != EINTR)
			rc = -errno;
		*len += n > 0 ? (size_t)n : 0;
	}
	close(fd);
	if (!rc && *len == FILE_MAX_BYTES)
		rc = -EFBIG;
	if (rc) {
		free(*text);
		return rc;
	}
	*mode = st.st_mode;
	return 0;
}

int conf_load(struct conf *conf, const char *path, char error[CONF_ERROR])
{
	struct reader_state s = {.conf = conf, .error = error};
	char *text = NULL;
	size_t len = 0;
	mode_t mode = 0;

	memset(conf, 0, sizeof *conf);
	int rc = read_file(path, &text, &len, &mode);
	if (rc) {
		snprintf(error, CONF_ERROR, "%.200s: cannot read the configuration: %s", path,
				strerror(-rc));
		return rc;
	}
	rc = read_text(&s, path, text, len);
	wipe(text, len);
	free(text);
	unsigned line = secret_line(&s);
	if (!rc && line && mode & 077)
		rc = refuse(&s, line, "this file holds a secret, but others may use it (mode %04o); make "
				"it 0600", (unsigned)mode & 07777);
	if (rc)
		conf_wipe(conf);
	return rc;
}

void conf_wipe(struct conf *conf)
{
	wipe(conf, sizeof *conf);
}

const char *conf_needs_restart(const struct conf *now, const struct conf *fresh)
{
	if (now->role != fresh->role)
		return now->role == CONF_SERVER ? "[Server]" : "[Client]";
	for (unsigned i = 0; i < conf_key_count; i++) {
		const struct conf_key *k = &conf_keys[i];
		if (!(k->flags & CONF_RELOAD) && memcmp((const char *)now + k->offset,
				(const char *)fresh + k->offset, k->size))
			return k->name;
	}
	return NULL;
}

void conf_take_reload(struct conf *now, const struct conf *fresh)
{
	for (unsigned i = 0; i < conf_key_count; i++) {
		const struct conf_key *k = &conf_keys[i];
		if (k->flags & CONF_RELOAD)
			memcpy((char *)now + k->offset, (const char *)fresh + k->offset, k->size);
	}
}

void conf_print_keys(void)
{
	static const char *const roles[] = {[CONF_SERVER] = "server", [CONF_CLIENT] = "client",
			[CONF_BOTH] = "both"};

	for (unsigned i = 0; i < conf_key_count; i++) {
		const struct conf_key *k = &conf_keys[i];
		printf("%s\t%s\t%s\t%s%s%s\t%s\t%s\t%s\n", k->section, k->name, roles[k->roles],
				k->flags & CONF_REQUIRED ? "required " : "",
				k->flags & CONF_LIST ? "list " : "",
				k->flags & CONF_RELOAD ? "reload" : "",
				k->fallback ? k->fallback : "-", k->allowed, k->text);
	}
}

void conf_registry(const struct conf *conf, struct registry_options *o)
{
	*o = (struct registry_options){
		.op = &conf->operator,
		.cluster = &conf->cluster,
		.clients_file = conf->clients_file,
		.server_number = conf->number,
		.url_count = conf->registry_url_count,
		.urls = conf->registry_urls,
		.credentials = conf->registry_credentials,
		.tls_ca = conf->tls_ca,
		.tls_cert = conf->tls_cert,
		.tls_key = conf->tls_key,
		.replicas = conf->replicas,
		.max_age = conf->max_age,
	};
}
