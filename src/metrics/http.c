/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "metrics/http.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS_MAX 64
#define CONNECTIONS_OF_ONE 16
#define CONNECTION_LIFE TICKS_S(5)
#define REQUEST_MEMORY  8192 /* a connection's, for its request and our headers */
#define ROUNDS_MAX      4    /* so that a flood does not hold up the thread */

/* An open connection: its descriptor is libmicrohttpd's until it says that it has ended. */
struct connection {
	bool open;
	int fd;
	ticks begun; /* boot time */
};

struct http {
	struct MHD_Daemon *daemon;
	int fd;
	http_answer *answer;
	void *arg;
	ticks now;       /* boot time of this round */
	struct connection connection[CONNECTIONS_MAX];
};

/* ---- requests ---- */

void http_say(struct http_page *page, unsigned status, const char *sentence)
{
	int len = asprintf(&page->text, "%s\n", sentence);

	page->status = status;
	page->type = "text/plain; charset=utf-8";
	page->len = len < 0 ? 0 : (size_t)len;
	if (len < 0)
		page->text = NULL;
}

static enum MHD_Result reply(struct MHD_Connection *c, struct http_page *page)
{
	struct MHD_Response *r = MHD_create_response_from_buffer(page->len, page->text,
			MHD_RESPMEM_MUST_FREE);
	enum MHD_Result done = MHD_NO;

	if (!r) {
		free(page->text);
		return MHD_NO; /* closes the connection */
	}
	if (MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, page->type) == MHD_YES &&
			MHD_add_response_header(r, MHD_HTTP_HEADER_CONNECTION, "close") == MHD_YES &&
			(page->status != MHD_HTTP_METHOD_NOT_ALLOWED ||
			MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, "GET, HEAD") == MHD_YES))
		done = MHD_queue_response(c, page->status, r);
	MHD_destroy_response(r);
	return done;
}

static enum MHD_Result take_request(void *arg, struct MHD_Connection *c, const char *path,
		const char *method, const char *version, const char *body, size_t *body_len,
		void **state)
{
	struct http *h = arg;
	struct http_page page = {0};

	(void)version;
	(void)body;
	(void)body_len;
	(void)state;
	if (!strcmp(method, MHD_HTTP_METHOD_GET) || !strcmp(method, MHD_HTTP_METHOD_HEAD))
		h->answer(h->arg, path, &page);
	else
		http_say(&page, MHD_HTTP_METHOD_NOT_ALLOWED, "GET and HEAD are possible");
	return page.text ? reply(c, &page) : MHD_NO;
}

/* ---- connections ---- */

/* *place is ours for the life of the connection. */
static void note_connection(void *arg, struct MHD_Connection *c, void **place,
		enum MHD_ConnectionNotificationCode what)
{
	const union MHD_ConnectionInfo *info;
	struct connection *mine = *place;
	struct http *h = arg;

	if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
		if (mine)
			mine->open = false;
		return;
	}
	info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
	for (unsigned i = 0; info && i < CONNECTIONS_MAX; i++) {
		if (h->connection[i].open)
			continue;
		h->connection[i] = (struct connection){true, info->connect_fd, h->now};
		*place = &h->connection[i];
		return;
	}
}

/* libmicrohttpd's own limit counts from the last byte, so a byte now and then would last for ever. */
static void end_old_connections(struct http *h)
{
	for (unsigned i = 0; i < CONNECTIONS_MAX; i++)
		if (h->connection[i].open && h->now > h->connection[i].begun + CONNECTION_LIFE)
			shutdown(h->connection[i].fd, SHUT_RDWR); /* which it sees, and closes it */
}

bool http_serve(struct http *h, const struct instant *now)
{
	MHD_UNSIGNED_LONG_LONG wait = 1;

	h->now = now->boot;
	end_old_connections(h);
	for (unsigned i = 0; i < ROUNDS_MAX; i++) {
		MHD_run(h->daemon);
		if (MHD_get_timeout(h->daemon, &wait) != MHD_YES || wait > 0)
			return false;
	}
	return true;
}

/* ---- beginning and end ---- */

static int open_socket(const struct endpoint *listen_at)
{
	struct sockaddr_storage address;
	socklen_t size = endpoint_to_sockaddr(listen_at, &address);
	int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;

	if (fd < 0)
		return -errno;
	/* connections of a daemon before us may linger */
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(fd, (struct sockaddr *)&address, size) == 0 && listen(fd, CONNECTIONS_MAX) == 0)
		return fd;
	on = -errno;
	close(fd);
	return on;
}

static struct MHD_Daemon *start(struct http *h)
{
	return MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, take_request, h,
			MHD_OPTION_LISTEN_SOCKET, h->fd,
			MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
			MHD_OPTION_PER_IP_CONNECTION_LIMIT, (unsigned)CONNECTIONS_OF_ONE,
			MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)REQUEST_MEMORY,
			MHD_OPTION_NOTIFY_CONNECTION, note_connection, h,
			MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1,
			MHD_OPTION_END);
}

struct http *http_open(const struct endpoint *listen_at, http_answer *answer, void *arg, char *error,
		size_t error_size)
{
	struct http *h = calloc(1, sizeof *h);
	char text[ENDPOINT_TEXT];

	if (!h) {
		snprintf(error, error_size, "out of memory");
		return NULL;
	}
	h->answer = answer;
	h->arg = arg;
	h->fd = open_socket(listen_at);
	if (h->fd < 0) {
		snprintf(error, error_size, "[Metrics] Listen: %s cannot be used: %s; it must be an "
				"address of this machine with a free TCP port, or no",
				endpoint_format(listen_at, text), strerror(-h->fd));
		free(h);
		return NULL;
	}
	h->daemon = start(h); /* has the socket from now on */
	if (!h->daemon) {
		snprintf(error, error_size, "[Metrics] Listen: libmicrohttpd cannot be started");
		close(h->fd);
		free(h);
		return NULL;
	}
	return h;
}

int http_fd(const struct http *h)
{
	return MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
}

void http_close(struct http *h)
{
	if (!h)
		return;
	MHD_stop_daemon(h->daemon);
	free(h);
}
