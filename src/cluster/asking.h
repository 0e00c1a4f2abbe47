/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Clients that something is to be sent to and whose session record is not here:
 * workers say which, the main thread asks the other servers (peers.h).
 */
#ifndef CLUSTER_ASKING_H
#define CLUSTER_ASKING_H

#include "base/util.h"

#define ASKING_MAX 64 /* at a time; more ask again with their next packet */

struct asking;

/* NULL: out of memory or descriptors. */
struct asking *asking_new(void);
void asking_free(struct asking *a);
/* A record_missing function (server.h): any worker. */
void asking_offer(void *arg, uint32_t index);
/* To be polled by the main thread. */
int asking_event(const struct asking *a);
/* In the main thread, when that is readable: how many, each once. */
unsigned asking_take(struct asking *a, uint32_t index[ASKING_MAX]);

#endif
