/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "cluster/nats_link.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/log.h"

#define FILE_MAX_BYTES  (1 << 20)
#define RECONNECT_MS    250
#define JITTER_MS       250
#define PING_MS         2000 /* a dead peer is noticed after two of them */
#define PINGS_OUT       2

/* ---- files ---- */

/* The whole text, to be wiped and freed; NULL with errno. */
static char *read_text(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	char *text = NULL;
	ssize_t n = -1;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= FILE_MAX_BYTES)
		text = calloc(1, (size_t)st.st_size + 1);
	else
		errno = EINVAL;
	if (text)
		n = read(fd, text, (size_t)st.st_size);
	close(fd);
	if (text && n < 0) {
		free(text);
		text = NULL;
	}
	return text;
}

static int read_file(const char *key, const char *path, char **text, char *error, size_t error_size)
{
	if (!path || !path[0])
		return 0;
	*text = read_text(path);
	if (!*text)
		return fail(-errno, error, error_size, "%s: %s cannot be read: %s", key, path,
				strerror(errno));
	return 0;
}

int nats_link_read(struct nats_link *l, const struct registry_options *o, char *error,
		size_t error_size)
{
	int failed = read_file("Credentials", o->credentials, &l->files.credentials, error,
			error_size);

	if (!failed)
		failed = read_file("TLSCA", o->tls_ca, &l->files.ca, error, error_size);
	if (!failed)
		failed = read_file("TLSCert", o->tls_cert, &l->files.cert, error, error_size);
	if (!failed)
		failed = read_file("TLSKey", o->tls_key, &l->files.key, error, error_size);
	return failed;
}

static void free_text(char **text)
{
	if (*text)
		wipe(*text, strlen(*text));
	free(*text);
	*text = NULL;
}

/* ---- credentials: a JWT and the seed of a key, each between two lines of dashes ---- */

/* A copy of what stands between "-----BEGIN what-----" and the next line of dashes. */
static char *section(const char *text, const char *what)
{
	char begin[64];
	const char *from, *to;

	snprintf(begin, sizeof begin, "-----BEGIN %s-----", what);
	from = strstr(text, begin);
	from = from ? from + strlen(begin) : NULL;
	to = from ? strstr(from, "---") : NULL;
	if (!to)
		return NULL;
	from += strspn(from, "\r\n \t");
	while (to > from && strchr("\r\n \t", to[-1]))
		to--;
	return to > from ? strndup(from, (size_t)(to - from)) : NULL;
}

static natsStatus give_jwt(char **jwt, char **text, void *link)
{
	const struct nats_link *l = link;

	(void)text;
	*jwt = section(l->files.credentials, "NATS USER JWT");
	return *jwt ? NATS_OK : NATS_NO_MEMORY;
}

static natsStatus give_signature(char **text, unsigned char **signature, int *len,
		const char *nonce, void *link)
{
	const struct nats_link *l = link;
	char *seed = section(l->files.credentials, "USER NKEY SEED");
	natsStatus status = seed ? nats_Sign(seed, nonce, signature, len) : NATS_NO_MEMORY;

	(void)text;
	free_text(&seed);
	return status;
}

static int check_credentials(const struct nats_link *l, const char *path, char *error,
		size_t error_size)
{
	char *jwt = section(l->files.credentials, "NATS USER JWT");
	char *seed = section(l->files.credentials, "USER NKEY SEED");
	bool good = jwt && seed;

	free(jwt);
	free_text(&seed);
	if (good)
		return 0;
	return fail(-EINVAL, error, error_size, "Credentials: %s does not hold a NATS user's JWT and "
			"seed, as nsc writes them", path);
}

/* ---- events, in libnats's threads ---- */

/* Called also for a connection that we have closed, when its link may be gone. */
static void disconnected(natsConnection *connection, void *link)
{
	(void)link;
	if (natsConnection_IsClosed(connection))
		return;
	log_limited(LOG_WARNING, 3, "registry: the connection to NATS is lost; clients are served from "
			"what is known");
}

static void reconnected(natsConnection *connection, void *link)
{
	char url[128] = "";

	(void)link;
	natsConnection_GetConnectedUrl(connection, url, sizeof url);
	log_limited(LOG_NOTICE, 3, "registry: connected to NATS at %s", url);
}

static void complained(natsConnection *connection, natsSubscription *subscription,
		natsStatus status, void *link)
{
	(void)connection;
	(void)subscription;
	(void)link;
	log_limited(LOG_INFO, 3, "registry: NATS: %s", natsStatus_GetText(status));
}

/* ---- opening ---- */

static natsStatus set_security(struct nats_link *l)
{
	const struct nats_files *f = &l->files;
	natsStatus s = NATS_OK;

	if (f->credentials)
		s = natsOptions_SetUserCredentialsCallbacks(l->options, give_jwt, l, give_signature, l);
	if (s == NATS_OK && f->ca)
		s = natsOptions_SetCATrustedCertificates(l->options, f->ca);
	if (s == NATS_OK && f->cert)
		s = natsOptions_SetCertificatesChain(l->options, f->cert, f->key);
	if (s == NATS_OK && (f->ca || f->cert))
		s = natsOptions_SetSecure(l->options, true);
	return s;
}

static natsStatus set_options(struct nats_link *l, const struct registry_options *o,
		const char *name, bool wait)
{
	const char *urls[REGISTRY_URLS_MAX];
	natsStatus s;

	for (unsigned i = 0; i < o->url_count; i++)
		urls[i] = o->urls[i];
	s = natsOptions_SetServers(l->options, urls, (int)o->url_count);
	if (s == NATS_OK)
		s = natsOptions_SetName(l->options, name);
	if (s == NATS_OK)
		s = natsOptions_SetTimeout(l->options, NATS_WAIT_MS);
	if (s == NATS_OK)
		s = natsOptions_SetMaxReconnect(l->options, -1);
	if (s == NATS_OK)
		s = natsOptions_SetReconnectWait(l->options, RECONNECT_MS);
	if (s == NATS_OK)
		s = natsOptions_SetReconnectJitter(l->options, JITTER_MS, JITTER_MS);
	if (s == NATS_OK)
		s = natsOptions_SetPingInterval(l->options, PING_MS);
	if (s == NATS_OK)
		s = natsOptions_SetMaxPingsOut(l->options, PINGS_OUT);
	if (s == NATS_OK)
		s = natsOptions_SetDisconnectedCB(l->options, disconnected, l);
	if (s == NATS_OK)
		s = natsOptions_SetReconnectedCB(l->options, reconnected, l);
	if (s == NATS_OK)
		s = natsOptions_SetErrorHandler(l->options, complained, l);
	if (s == NATS_OK && !wait)
		s = natsOptions_SetRetryOnFailedConnect(l->options, true, reconnected, l);
	return s == NATS_OK ? set_security(l) : s;
}

int nats_link_open(struct nats_link *l, const struct registry_options *o, const char *name,
		bool wait, char *error, size_t error_size)
{
	natsStatus s;
	jsOptions js;

	if (l->files.credentials && check_credentials(l, o->credentials, error, error_size))
		return -EINVAL;
	s = natsOptions_Create(&l->options);
	if (s == NATS_OK)
		s = set_options(l, o, name, wait);
	if (s != NATS_OK)
		return fail(-EINVAL, error, error_size, "[Registry]: NATS takes a setting not (%s): %s",
				natsStatus_GetText(s), nats_GetLastError(NULL));
	s = natsConnection_Connect(&l->connection, l->options);
	if (s != NATS_OK && s != NATS_NOT_YET_CONNECTED)
		return fail(-ECONNREFUSED, error, error_size, "[Registry] Servers: no connection to "
				"NATS: %s", nats_GetLastError(NULL));
	if (!wait && s == NATS_OK)
		reconnected(l->connection, l);
	else if (!wait)
		log_warning("registry: NATS cannot be reached yet; clients are served from what is known");
	s = jsOptions_Init(&js);
	js.Wait = NATS_WAIT_MS;
	if (s == NATS_OK)
		s = natsConnection_JetStream(&l->js, l->connection, &js);
	if (s != NATS_OK)
		return fail(-EIO, error, error_size, "NATS: JetStream cannot be used: %s",
				natsStatus_GetText(s));
	return 0;
}

bool nats_link_up(const struct nats_link *l)
{
	return natsConnection_Status(l->connection) == NATS_CONN_STATUS_CONNECTED;
}

void nats_link_traffic(const struct nats_link *l, struct registry_status *status)
{
	natsStatistics *s = NULL;

	if (natsStatistics_Create(&s) == NATS_OK &&
			natsConnection_GetStats(l->connection, s) == NATS_OK)
		natsStatistics_GetCounts(s, &status->messages_in, &status->bytes_in,
				&status->messages_out, &status->bytes_out, NULL);
	natsStatistics_Destroy(s);
}

void nats_link_close(struct nats_link *l)
{
	jsCtx_Destroy(l->js);
	natsConnection_Destroy(l->connection);
	natsOptions_Destroy(l->options);
	free_text(&l->files.credentials);
	free_text(&l->files.ca);
	free_text(&l->files.cert);
	free_text(&l->files.key);
	l->js = NULL;
	l->connection = NULL;
	l->options = NULL;
}
