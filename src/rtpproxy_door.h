/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The door for SIP proxies: a UDP socket on which the commands of mode/rtpproxy.h
 * come.  The relay thread's.  A command that is not settled in the cluster yet waits
 * here, so that the SIP proxy need not repeat it.
 */
#ifndef RTPPROXY_DOOR_H
#define RTPPROXY_DOOR_H

#include "mode/rtpproxy.h"

#define DOOR_WAITING_MAX 256
#define DOOR_ALLOW_MAX   16

struct door_waiting {
	struct endpoint from;
	ticks until; /* boot time */
	size_t len;  /* 0: free */
	char line[RTPPROXY_LINE_MAX];
};

struct door {
	int fd; /* -1: there is none */
	struct rtpproxy rtpproxy;
	unsigned allow_count;
	struct prefix allow[DOOR_ALLOW_MAX]; /* who may ask */
	unsigned waiting_count;
	struct door_waiting *waiting;
	uint64_t commands, refused, crowded;
};

/* The rest of *door has been set.  0, or a negative errno and a sentence. */
int door_open(struct door *door, const struct endpoint *local, char *error, size_t error_size);
void door_close(struct door *door);
/* What has come, and what waits, under the relays' lock; boot time of the next call, at the latest. */
ticks door_serve(struct door *door, const struct instant *now);

#endif
