/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Clients known from a ticket alone (proto/ticket.h): workers hand the records
 * over, the main thread puts them into the directory, a batch at a time, and
 * takes each out again when its session has ended, unless the registry has
 * brought the client's own record meanwhile.
 */
#ifndef CLUSTER_LENT_H
#define CLUSTER_LENT_H

#include "proto/server.h"

struct lent;

/* NULL: out of memory. */
struct lent *lent_new(struct server *s);
void lent_free(struct lent *l);
/* A client_lent function (server.h): any worker. */
void lent_offer(void *arg, const struct record *r);
/* To be polled by the main thread. */
int lent_event(const struct lent *l);
/* In the main thread: when the descriptor is readable, and once a second. */
void lent_serve(struct lent *l, const struct instant *now);

#endif
