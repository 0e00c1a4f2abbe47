/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Who gets a copy: for each multicast group the clients that subscribed to it
 * in their HELLO, and two lists that every client with a session is on:
 * everybody (broadcast) and those with Ethernet payload (flooding).
 *
 * Readers take no lock: a list only grows in place or is replaced whole, and a
 * client that leaves has its place set to NULL.
 */
#ifndef MODE_MEMBERS_H
#define MODE_MEMBERS_H

#include "proto/server.h"

struct members;

struct member_list {
	_Atomic uint32_t count; /* places in use, some of them NULL */
	uint32_t capacity, gone; /* gone: places that are NULL */
	_Atomic(struct client *) client[];
};

struct members *members_new(void);
void members_free(struct members *m);
/* A record_changed function (server.h); arg is a struct members_owner. */
struct members_owner {
	struct members *members;
	struct server *server; /* whose lock is held, and who frees what was replaced */
};
void members_record_changed(void *arg, struct client *client, const struct session_record *old,
		const struct session_record *now);

/* NULL: nobody. */
const struct member_list *members_of_group(const struct members *m, const uint8_t group[16]);
const struct member_list *members_all(const struct members *m);
const struct member_list *members_ethernet(const struct members *m);

#endif
