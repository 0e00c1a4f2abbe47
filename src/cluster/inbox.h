/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * What the threads of a registry hand to the main thread: changes in their
 * order, and a descriptor that wakes it.  A full inbox makes the thread wait,
 * not the main thread and not the packets.
 */
#ifndef CLUSTER_INBOX_H
#define CLUSTER_INBOX_H

#include <pthread.h>

#include "base/util.h"

#define INBOX_ROOM 16384

enum change_of { OF_CLIENTS, OF_SESSIONS, OF_SERVERS, OF_RELAYS, CHANGE_OF_COUNT };
enum change_kind {
	CHANGE_BEGIN,    /* everything there is comes now */
	CHANGE_COMPLETE, /* that was everything */
	CHANGE_VALUE,
	CHANGE_KNOWN,    /* the value that came last time */
	CHANGE_DELETED
};

struct change {
	enum change_of of;
	enum change_kind kind;
	uint32_t index; /* of a server: its number */
	void *value; /* CHANGE_VALUE: known_client, session_record, server_entry or relay; owned */
};

struct inbox {
	pthread_mutex_t lock;
	pthread_cond_t drained;
	struct change *in, *out;
	size_t count;
	bool closed;
	int event; /* eventfd: readable when there is something */
};

int inbox_init(struct inbox *b); /* 0 or a negative errno */
void inbox_free(struct inbox *b);
/* Any thread.  false: the inbox is closed, the value is still the caller's. */
bool inbox_put(struct inbox *b, const struct change *c);
/* The main thread: all there is, borrowed until the next call; their values are the caller's. */
size_t inbox_take(struct inbox *b, struct change **changes);
/* Nothing more is taken, and nobody waits any more. */
void inbox_close(struct inbox *b);

#endif
