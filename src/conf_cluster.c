/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The file that ClusterKeyFile names, one for all servers of a cluster:
 *
 *	KEY                      the current secret key, base64: all that genkey makes
 *	next KEY                 the one that is to take its place
 *	past KEY                 what relays were derived from before the last change
 *	announcement TEXT        what clients are told (proto/cluster_keys.h), base64
 *
 * It is one file so that a server has all of a change or nothing of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/util.h"
#include "conf_keys.h"

#define FILE_ROOM 1024

static const char next_word[] = "next ", past_word[] = "past ",
		announcement_word[] = "announcement ";

/* ---- reading ---- */

static bool take_key(struct cluster_secrets *c, const char *text)
{
	return c->count < CLUSTER_KEYS_MAX &&
	       base64_decode(c->secret[c->count++], KEY_SIZE, text, strlen(text)) == KEY_SIZE;
}

static bool take_past(struct cluster_secrets *c, const char *text)
{
	bool first = !c->has_past;

	c->has_past = true;
	return first && base64_decode(c->past, KEY_SIZE, text, strlen(text)) == KEY_SIZE;
}

static bool take_line(struct cluster_secrets *c, const char *line)
{
	long n;

	if (c->count == 0)
		return take_key(c, line);
	if (!strncmp(line, next_word, strlen(next_word)))
		return take_key(c, line + strlen(next_word));
	if (!strncmp(line, past_word, strlen(past_word)))
		return take_past(c, line + strlen(past_word));
	if (strncmp(line, announcement_word, strlen(announcement_word)) || c->announcement_len)
		return false;
	line += strlen(announcement_word);
	n = base64_decode(c->announcement, sizeof c->announcement, line, strlen(line));
	c->announcement_len = n > 0 ? (uint16_t)n : 0;
	return n > 0;
}

static int take_text(struct cluster_secrets *c, const char *path, char *text, char why[CONF_WHY])
{
	unsigned number = 0;

	for (char *line = strsep(&text, "\n"); line; line = strsep(&text, "\n")) {
		number++;
		line[strcspn(line, "\r")] = 0;
		if (take_line(c, line))
			continue;
		if (number == 1)
			snprintf(why, CONF_WHY, "%s does not hold a key (base64 of 32 bytes, one line)",
					path);
		else
			snprintf(why, CONF_WHY, "%.120s:%u: this is not a line of a cluster's key file, as "
					"anyrelay cluster-key writes it", path, number);
		return -EINVAL;
	}
	return 0;
}

int conf_cluster_file(const struct conf_key *key, struct conf *conf, const char *text,
		char why[CONF_WHY])
{
	struct cluster_secrets c = {0};
	char file[FILE_ROOM];
	int rc;

	if (text[0] != '/' || strlen(text) > (size_t)key->max)
		return -EINVAL;
	rc = conf_private_file(text, file, sizeof file, why);
	if (!rc)
		rc = take_text(&c, text, file, why);
	if (!rc) {
		strcpy(conf->cluster_key_file, text);
		conf->cluster = c;
	}
	wipe(file, sizeof file);
	wipe(&c, sizeof c);
	return rc;
}

static bool announces(const struct announcement *a, const struct cluster_secrets *c)
{
	uint8_t public[KEY_SIZE];

	for (unsigned i = 0; i < c->count; i++) {
		x25519_public(c->secret[c->count - 1 - i], public); /* the newest first */
		if (memcmp(a->keys[i], public, KEY_SIZE))
			return false;
	}
	return a->count == c->count;
}

int conf_check_cluster(const struct conf *conf, char why[CONF_WHY])
{
	const struct cluster_secrets *c = &conf->cluster;
	struct announcement a;
	int failed;

	if (c->count == 1 && !c->announcement_len)
		return 0; /* it has never been changed */
	failed = announcement_read(&a, c->announcement, c->announcement_len, conf->operator.sign);
	if (failed == -EBADMSG)
		snprintf(why, CONF_WHY, "the announcement in %.120s is not signed by the operator whose "
				"key is OperatorKey", conf->cluster_key_file);
	else if (failed || !announces(&a, c))
		snprintf(why, CONF_WHY, "the announcement in %.120s is missing, or is not of the keys in "
				"it; anyrelay cluster-key writes both", conf->cluster_key_file);
	else
		return 0;
	return -EINVAL;
}

/* ---- writing ---- */

static void print_keys(FILE *to, const struct cluster_secrets *c)
{
	char text[BASE64_SIZE(ANNOUNCEMENT_MAX)];

	for (unsigned i = 0; i < c->count; i++)
		fprintf(to, "%s%s\n", i ? next_word : "",
				base64_encode(text, c->secret[i], KEY_SIZE));
	if (c->has_past)
		fprintf(to, "%s%s\n", past_word, base64_encode(text, c->past, KEY_SIZE));
	fprintf(to, "%s%s\n", announcement_word,
			base64_encode(text, c->announcement, c->announcement_len));
	wipe(text, sizeof text);
}

/* Whose file it was keeps it: the daemon must be able to read it at a reload. */
static int write_like(const char *old, const char *name, const struct cluster_secrets *c)
{
	struct stat st;
	int fd, failed = 0;
	FILE *to;

	if (stat(old, &st))
		return -errno;
	fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	to = fd < 0 ? NULL : fdopen(fd, "w");
	if (!to)
		return -errno;
	setvbuf(to, NULL, _IONBF, 0); /* no copy of a secret in a buffer */
	if (geteuid() == 0 && fchown(fd, st.st_uid, st.st_gid))
		failed = -errno;
	print_keys(to, c);
	if (!failed && (ferror(to) || fsync(fd)))
		failed = errno ? -errno : -EIO;
	if (fclose(to) && !failed)
		failed = -errno;
	return failed;
}

int conf_write_cluster_keys(const struct conf *conf, const struct cluster_secrets *keys,
		char error[CONF_ERROR])
{
	char name[CONF_PATH_MAX + 8];
	int failed;

	snprintf(name, sizeof name, "%s.new", conf->cluster_key_file);
	failed = write_like(conf->cluster_key_file, name, keys);
	if (!failed && rename(name, conf->cluster_key_file))
		failed = -errno;
	if (failed) {
		unlink(name);
		snprintf(error, CONF_ERROR, "%s: cannot be written: %s; the keys are as they were",
				conf->cluster_key_file, strerror(-failed));
	}
	return failed;
}
