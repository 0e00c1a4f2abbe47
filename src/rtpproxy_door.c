/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "rtpproxy_door.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ROUND_MAX 64 /* commands at once: packets wait meanwhile */
#define PATIENCE  TICKS_MS(900) /* then the SIP proxy asks again anyway */
#define AGAIN     TICKS_MS(5)

int door_open(struct door *door, const struct endpoint *local, char *error, size_t error_size)
{
	struct sockaddr_storage address;
	socklen_t size = endpoint_to_sockaddr(local, &address);
	char text[ENDPOINT_TEXT];
	int failed = 0;

	door->waiting = calloc(DOOR_WAITING_MAX, sizeof *door->waiting);
	door->fd = socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (!door->waiting)
		failed = -ENOMEM;
	else if (door->fd < 0 || bind(door->fd, (struct sockaddr *)&address, size))
		failed = -errno;
	if (failed)
		snprintf(error, error_size, "[Relay] RTPProxy: %s cannot be used: %s; it must be the "
				"anycast address or another one of this machine, with a free UDP port",
				endpoint_format(local, text), strerror(-failed));
	return failed;
}

void door_close(struct door *door)
{
	if (door->fd >= 0)
		close(door->fd);
	door->fd = -1;
	free(door->waiting);
	door->waiting = NULL;
}

static bool allowed(const struct door *door, const struct endpoint *from)
{
	for (unsigned i = 0; i < door->allow_count; i++)
		if (prefix_contains(&door->allow[i], from->ip))
			return true;
	return false;
}

/* False: not settled yet. */
static bool answer(struct door *door, const struct instant *now, const struct endpoint *to,
		const char *line, size_t len)
{
	char text[RTPPROXY_ANSWER_MAX];
	struct sockaddr_storage address;
	socklen_t size = endpoint_to_sockaddr(to, &address);
	size_t text_len;
	enum rtpproxy_result result =
			rtpproxy_command(&door->rtpproxy, now, line, len, text, &text_len);

	if (result == RTPPROXY_ANSWERED && sendto(door->fd, text, text_len, MSG_DONTWAIT,
			(struct sockaddr *)&address, size) < 0)
		return true; /* as if it were lost on the way: it will be asked again */
	return result != RTPPROXY_PENDING;
}

static void wait_for_it(struct door *door, const struct instant *now, const struct endpoint *from,
		const char *line, size_t len)
{
	struct door_waiting *w;

	if (door->waiting_count == DOOR_WAITING_MAX) {
		door->crowded++;
		return;
	}
	w = &door->waiting[door->waiting_count++];
	w->from = *from;
	w->until = now->boot + PATIENCE;
	w->len = len;
	memcpy(w->line, line, len);
}

/* False: nothing more has come. */
static bool take_one(struct door *door, const struct instant *now)
{
	char line[RTPPROXY_LINE_MAX + 1]; /* one more: what is too long stays too long */
	struct sockaddr_storage address;
	socklen_t size = sizeof address;
	struct endpoint from;
	ssize_t n = recvfrom(door->fd, line, sizeof line, MSG_DONTWAIT, (struct sockaddr *)&address,
			&size);

	if (n < 0 && errno == EAGAIN)
		return false;
	if (n <= 0 || !endpoint_from_sockaddr(&from, (struct sockaddr *)&address))
		return true;
	if (n > RTPPROXY_LINE_MAX || !allowed(door, &from)) {
		door->refused++;
		return true;
	}
	door->commands++;
	if (!answer(door, now, &from, line, (size_t)n))
		wait_for_it(door, now, &from, line, (size_t)n);
	return true;
}

static void try_waiting(struct door *door, const struct instant *now)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < door->waiting_count; i++) {
		struct door_waiting *w = &door->waiting[i];

		if (now->boot < w->until && !answer(door, now, &w->from, w->line, w->len)) {
			if (kept != i)
				door->waiting[kept] = *w;
			kept++;
		}
	}
	door->waiting_count = kept;
}

ticks door_serve(struct door *door, const struct instant *now)
{
	if (door->fd < 0)
		return UINT64_MAX;
	try_waiting(door, now);
	for (unsigned i = 0; i < ROUND_MAX; i++)
		if (!take_one(door, now))
			break;
	return door->waiting_count ? now->boot + AGAIN : UINT64_MAX;
}
