/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The connection to the NATS servers, which libnats keeps up by itself: it
 * connects in the background, for ever, and tells nobody to wait for it.
 *
 * Credentials and TLS keys are read once, while the daemon may still read them,
 * and kept in memory: libnats would open the files again at every reconnect.
 */
#ifndef CLUSTER_NATS_LINK_H
#define CLUSTER_NATS_LINK_H

#include <nats/nats.h>

#include "cluster/registry.h"

#define NATS_WAIT_MS 2000 /* for an answer of JetStream */

struct nats_files {
	char *credentials, *ca, *cert, *key; /* text; NULL: not given */
};

struct nats_link {
	struct nats_files files;
	natsOptions *options;
	natsConnection *connection;
	jsCtx *js;
};

/* The files that the options name.  0 or a negative errno and a sentence. */
int nats_link_read(struct nats_link *l, const struct registry_options *o, char *error,
		size_t error_size);
/*
 * Begins to connect, as `name`; with wait the first connection must succeed.
 * Makes threads.  Likewise.
 */
int nats_link_open(struct nats_link *l, const struct registry_options *o, const char *name,
		bool wait, char *error, size_t error_size);
bool nats_link_up(const struct nats_link *l);
/* Counts what has been sent and received since the start; untouched if out of memory. */
void nats_link_traffic(const struct nats_link *l, struct registry_status *status);
void nats_link_close(struct nats_link *l);

#endif
