/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* One value of the configuration: from text, checked, to its member of struct conf. */
#include "conf_keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/util.h"

#define PORT_DEFAULT 4444
#define PORTS_MIN    1024 /* of relays: those below are of services */

const struct conf_key conf_keys[] = {
#define X(section_, name_, roles_, flags_, parse_, member_, limits_and_allowed, ...)               \
	ROW(section_, name_, roles_, flags_, parse_, member_, limits_and_allowed, __VA_ARGS__)
#define ROW(section_, name_, roles_, flags_, parse_, member_, min_, max_, allowed_, fallback_,     \
		text_)                                                                             \
	{.section = section_, .name = name_, .roles = roles_, .flags = flags_, .parse = parse_,    \
	 .offset = offsetof(struct conf, member_), .size = sizeof(((struct conf *)0)->member_),    \
	 .min = min_, .max = max_, .allowed = allowed_, .fallback = fallback_, .text = text_},
	CONF_KEYS(X)
#undef ROW
#undef X
};
const size_t conf_key_count = ARRAY_SIZE(conf_keys);
_Static_assert(ARRAY_SIZE(conf_keys) <= CONF_TABLE_MAX, "the reader has a place for every key");

/* conf_one_of stores the position of the word in `allowed`. */
_Static_assert(CRYPTO_AUTO == 0 && CRYPTO_OPENSSL == 1 && CRYPTO_IPSEC_MB == 2, "CryptoBackend");
_Static_assert(AEAD_AES_256_GCM == 0 && AEAD_CHACHA20_POLY1305 == 1, "Cipher");
_Static_assert(LOG_ERROR == 0 && LOG_NOTICE == 2 && LOG_DEBUG == 4, "LogLevel");
_Static_assert(sizeof(bool) == 1 && sizeof(enum aead) == 4, "sizes that store() knows");

static int __attribute__((format(printf, 2, 3))) refuse(char why[CONF_WHY], const char *format, ...)
{
	va_list list;

	va_start(list, format);
	vsnprintf(why, CONF_WHY, format, list);
	va_end(list);
	return -EINVAL;
}

static void *member(const struct conf_key *key, struct conf *conf)
{
	return (char *)conf + key->offset;
}

static void store(const struct conf_key *key, struct conf *conf, uint32_t value)
{
	uint8_t v8 = (uint8_t)value;
	uint16_t v16 = (uint16_t)value;
	const void *from = key->size == 1 ? &v8 : key->size == 2 ? (void *)&v16 : &value;

	memcpy(member(key, conf), from, key->size);
}

int conf_number(const struct conf_key *key, struct conf *conf, const char *text,
		char why[CONF_WHY])
{
	(void)why;
	size_t digits = strspn(text, "0123456789");
	if (digits == 0 || digits > 9 || text[digits])
		return -EINVAL;
	long value = strtol(text, NULL, 10);
	if (value < key->min || value > key->max)
		return -EINVAL;
	/* The one range with a hole: a keep-alive below 10 s would be a load, 0 is none. */
	if (key->offset == offsetof(struct conf, keepalive) && value > 0 && value < 10)
		return -EINVAL;
	store(key, conf, (uint32_t)value);
	return 0;
}

int conf_one_of(const struct conf_key *key, struct conf *conf, const char *text,
		char why[CONF_WHY])
{
	const char *word = key->allowed + strlen("one of ");
	size_t len = strlen(text);

	(void)why;
	for (uint32_t i = 0; *word; i++) {
		size_t n = strcspn(word, ",");
		if (n == len && memcmp(word, text, n) == 0) {
			store(key, conf, i);
			return 0;
		}
		word += n;
		word += strspn(word, ", ");
	}
	return -EINVAL;
}

int conf_path(const struct conf_key *key, struct conf *conf, const char *text, char why[CONF_WHY])
{
	size_t len = strlen(text);

	(void)why;
	if (text[0] != '/' || len > (size_t)key->max)
		return -EINVAL;
	memcpy(member(key, conf), text, len + 1);
	return 0;
}

/* Of names that stand in paths, "." and ".." are none. */
static bool name_valid(const char *text, size_t room)
{
	return strlen(text) < room && record_name_valid(text) && strcmp(text, ".") != 0 &&
	       strcmp(text, "..") != 0;
}

int conf_name(const struct conf_key *key, struct conf *conf, const char *text, char why[CONF_WHY])
{
	(void)why;
	if (!name_valid(text, key->size))
		return -EINVAL;
	strcpy(member(key, conf), text);
	return 0;
}

int conf_device(const struct conf_key *key, struct conf *conf, const char *text,
		char why[CONF_WHY])
{
	return conf_name(key, conf, text, why);
}

int conf_uplink(const struct conf_key *key, struct conf *conf, const char *text,
		char why[CONF_WHY])
{
	struct conf_devices *list = member(key, conf);

	if (!name_valid(text, sizeof list->name[0]))
		return -EINVAL;
	for (unsigned i = 0; i < list->count; i++)
		if (!strcmp(list->name[i], text))
			return refuse(why, "%s stands there twice", text);
	if (list->count == ARRAY_SIZE(list->name))
		return refuse(why, "more than %zu devices", ARRAY_SIZE(list->name));
	strcpy(list->name[list->count++], text);
	return 0;
}

/* FIRST-LAST, of two ports at least: one for each side. */
int conf_ports(const struct conf_key *key, struct conf *conf, const char *text, char why[CONF_WHY])
{
	char *end;
	long first, last;

	(void)key;
	if (strspn(text, "0123456789-") != strlen(text) || text[0] == '-')
		return -EINVAL;
	first = strtol(text, &end, 10);
	if (*end != '-' || end[1] < '0')
		return -EINVAL;
	last = strtol(end + 1, &end, 10);
	if (*end || first < PORTS_MIN || last > UINT16_MAX)
		return -EINVAL;
	if (last <= first)
		return refuse(why, "%s has fewer than the two ports that a relay needs", text);
	conf->relay_ports.first = (uint16_t)first;
	conf->relay_ports.last = (uint16_t)last;
	return 0;
}

/* ---- keys ---- */

/* Where the next key goes: a list of keys grows, one key stands alone. */
static int key_store(const struct conf_key *key, struct conf *conf, const uint8_t value[KEY_SIZE],
		char why[CONF_WHY])
{
	uint8_t *to = member(key, conf);

	if (key->flags & CONF_LIST) {
		if (conf->cluster_key_count == CONF_KEYS_MAX)
			return refuse(why, "more than %d keys", CONF_KEYS_MAX);
		to += KEY_SIZE * conf->cluster_key_count++;
	}
	memcpy(to, value, KEY_SIZE);
	return 0;
}

int conf_key_text(const struct conf_key *key, struct conf *conf, const char *text,
		char why[CONF_WHY])
{
	uint8_t value[KEY_SIZE];
	int rc = -EINVAL;

	if (base64_decode(value, sizeof value, text, strlen(text)) == KEY_SIZE)
		rc = key_store(key, conf, value, why);
	wipe(value, sizeof value);
	return rc;
}

int conf_operator(const struct conf_key *key, struct conf *conf, const char *text,
		char why[CONF_WHY])
{
	uint8_t value[sizeof conf->operator];

	(void)why;
	if (base64_decode(value, sizeof value, text, strlen(text)) != sizeof value)
		return -EINVAL;
	memcpy(member(key, conf), value, sizeof value);
	conf->has_operator = true;
	return 0;
}

int conf_private_file(const char *path, char *text, size_t room, char why[CONF_WHY])
{
	struct stat st;
	int rc = 0;

	/* Not blocking, so that a FIFO cannot hold us up. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return refuse(why, "cannot read %s: %s", path, strerror(errno));
	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		rc = refuse(why, "%s is not a file", path);
	else if (st.st_mode & 077)
		rc = refuse(why, "%s holds a secret, but others may use it (mode %04o); make it 0600",
				path, (unsigned)st.st_mode & 07777);
	ssize_t n = rc ? 0 : read(fd, text, room - 1);
	if (n < 0)
		rc = refuse(why, "cannot read %s: %s", path, strerror(errno));
	close(fd);
	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
		n--;
	text[rc ? 0 : n] = 0;
	return rc;
}

int conf_secret_file(const char *path, uint8_t secret[KEY_SIZE], char why[CONF_WHY])
{
	char text[BASE64_SIZE(KEY_SIZE) + 2];
	int rc = conf_private_file(path, text, sizeof text, why);

	if (!rc && base64_decode(secret, KEY_SIZE, text, strlen(text)) != KEY_SIZE)
		rc = refuse(why, "%s does not hold a key (base64 of 32 bytes, one line)", path);
	wipe(text, sizeof text);
	return rc;
}

int conf_key_file(const struct conf_key *key, struct conf *conf, const char *text,
		char why[CONF_WHY])
{
	uint8_t value[KEY_SIZE];

	if (text[0] != '/' || strlen(text) > (size_t)key->max)
		return -EINVAL;
	int rc = conf_secret_file(text, value, why);
	if (!rc)
		rc = key_store(key, conf, value, why);
	wipe(value, sizeof value);
	return rc;
}

/* ---- addresses ---- */

static bool is_wildcard(const uint8_t ip[16])
{
	static const uint8_t zeros[16];

	return memcmp(addr_is_v4(ip) ? ip + 12 : ip, zeros, addr_is_v4(ip) ? 4 : 16) == 0;
}

int conf_listen(const struct conf_key *key, struct conf *conf, const char *text,
		char why[CONF_WHY])
{
	uint8_t ip[16];

	(void)key;
	if (addr_parse(text, ip))
		return -EINVAL;
	if (is_wildcard(ip))
		return refuse(why, "%s would answer on every address of this machine, and from another "
				"one than the client called; name the anycast address", text);
	if (addr_is_multicast(ip))
		return refuse(why, "%s is a multicast address; an anycast address is an ordinary one",
				text);
	bool v4 = addr_is_v4(ip), *taken = v4 ? &conf->listen_v4 : &conf->listen_v6;
	if (*taken)
		return refuse(why, "%s is a second IPv%d address; at most one of each family is "
				"possible", text, v4 ? 4 : 6);
	*taken = true;
	memcpy(conf->listen[v4 ? 0 : 1].ip, ip, sizeof ip);
	return 0;
}

int conf_server(const struct conf_key *key, struct conf *conf, const char *text,
		char why[CONF_WHY])
{
	struct endpoint e;

	(void)key;
	if (endpoint_parse(text, PORT_DEFAULT, &e) || e.port == 0)
		return -EINVAL;
	if (is_wildcard(e.ip) || addr_is_multicast(e.ip))
		return refuse(why, "%s is not the address of a server", text);
	for (unsigned i = 0; i < conf->server_count; i++) {
		if (endpoint_equal(&e, &conf->servers[i]))
			return refuse(why, "%s stands there twice", text);
	}
	if (conf->server_count == ARRAY_SIZE(conf->servers))
		return refuse(why, "more than %zu addresses", ARRAY_SIZE(conf->servers));
	conf->servers[conf->server_count++] = e;
	return 0;
}

int conf_endpoint(const struct conf_key *key, struct conf *conf, const char *text,
		char why[CONF_WHY])
{
	struct endpoint e;

	if (endpoint_parse(text, (uint16_t)key->max, &e) || e.port == 0)
		return -EINVAL;
	if (is_wildcard(e.ip) || addr_is_multicast(e.ip))
		return refuse(why, "%s is not an address of one machine", text);
	memcpy(member(key, conf), &e, sizeof e);
	return 0;
}

int conf_metrics(const struct conf_key *key, struct conf *conf, const char *text,
		char why[CONF_WHY])
{
	struct endpoint e = {.port = 0};

	if (strcmp(text, "no") && (endpoint_parse(text, METRICS_PORT, &e) || e.port == 0))
		return -EINVAL;
	if (e.port && (is_wildcard(e.ip) || addr_is_multicast(e.ip)))
		return refuse(why, "%s would answer clients of the tunnel too; name one address of this "
				"machine", text);
	memcpy(member(key, conf), &e, sizeof e);
	return 0;
}

int conf_prefix(const struct conf_key *key, struct conf *conf, const char *text,
		char why[CONF_WHY])
{
	struct conf_prefixes *list = member(key, conf);
	struct prefix p;

	if (prefix_parse(text, &p))
		return -EINVAL;
	if (list->count == CONF_PREFIXES_MAX)
		return refuse(why, "more than %d entries", CONF_PREFIXES_MAX);
	list->list[list->count++] = p;
	return 0;
}

/* nats://HOST[:PORT] or tls://…; who one is stands in a file of its own, so no user@. */
int conf_url(const struct conf_key *key, struct conf *conf, const char *text, char why[CONF_WHY])
{
	const char *host = strncmp(text, "nats://", 7) == 0 ? text + 7 :
			   strncmp(text, "tls://", 6) == 0 ? text + 6 : NULL;

	(void)key;
	if (host && strchr(host, '@'))
		return refuse(why, "a user is given with Credentials, not in the URL");
	if (!host || !*host || strlen(text) >= REGISTRY_URL_MAX ||
			host[strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
					  "0123456789.-_:[]")])
		return -EINVAL;
	if (conf->registry_url_count == REGISTRY_URLS_MAX)
		return refuse(why, "more than %d servers", REGISTRY_URLS_MAX);
	strcpy(conf->registry_urls[conf->registry_url_count++], text);
	return 0;
}
