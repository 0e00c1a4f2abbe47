/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The bucket of clients for the tool: read once, written one record at a time,
 * and waited for.  A record is put by compare-and-set, so that of two operators
 * who enrol at the same time one is told to try again.
 */
#ifndef CLUSTER_NATS_CLIENTS_H
#define CLUSTER_NATS_CLIENTS_H

#include "cluster/clients_file.h"
#include "cluster/registry.h"

struct nats_clients;

/* Connects, and makes the bucket if there is none.  0 or a negative errno and a sentence. */
int nats_clients_open(struct nats_clients **c, const struct registry_options *o,
		char error[CLIENTS_ERROR]);
void nats_clients_close(struct nats_clients *c);
/* Every record that is the operator's, once; *refused counts what is not.  Likewise. */
int nats_clients_read(struct nats_clients *c, clients_visit *visit, void *arg, unsigned *refused,
		char error[CLIENTS_ERROR]);
/* The record must be newer than what is there.  Likewise; -EAGAIN: somebody else was faster. */
int nats_clients_put(struct nats_clients *c, const uint8_t *bytes, size_t len,
		char error[CLIENTS_ERROR]);
/*
 * The pages of digests that are not as the records read and put so far, which are
 * few but for the first time.  Likewise; servers then check records one by one.
 */
int nats_clients_digest(struct nats_clients *c, const uint8_t operator_seed[KEY_SIZE],
		char error[CLIENTS_ERROR]);

#endif
