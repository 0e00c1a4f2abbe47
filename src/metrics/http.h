/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * A small HTTP server for pages that are made when somebody asks: GET and HEAD,
 * nothing else.  libmicrohttpd without threads of its own: everything happens in
 * http_serve(), which never waits.
 *
 * Who asks may be hostile.  A connection has 5 s, whatever it does with them,
 * and answers one request; there are at most 64, 16 from one address.
 */
#ifndef METRICS_HTTP_H
#define METRICS_HTTP_H

#include <stdbool.h>
#include "base/addr.h"
#include "base/clock.h"

struct http;

struct http_page {
	unsigned status;  /* 200 … */
	const char *type; /* Content-Type */
	char *text;       /* from malloc(), given away; NULL: out of memory */
	size_t len;
};
/* Makes it a line of plain text. */
void http_say(struct http_page *page, unsigned status, const char *sentence);
/* The page of a path.  One of status 404 if there is none. */
typedef void http_answer(void *arg, const char *path, struct http_page *page);

/* NULL, with a sentence in error.  arg is borrowed. */
struct http *http_open(const struct endpoint *listen, http_answer *answer, void *arg, char *error,
		size_t error_size);
/* To be polled: http_serve() is due when it is readable, and once a second. */
int http_fd(const struct http *h);
/* One round of what is there.  True: there is more, call again soon. */
bool http_serve(struct http *h, const struct instant *now);
void http_close(struct http *h);

#endif
