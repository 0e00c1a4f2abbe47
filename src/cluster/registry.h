/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The contract of a registry: where enrolled clients are known from.  Nothing
 * outside src/cluster asks which registry it is.  Never called on the packet
 * path: a load may take as long as it likes.
 */
#ifndef CLUSTER_REGISTRY_H
#define CLUSTER_REGISTRY_H

#include "proto/directory.h"

struct registry;

struct registry_ops {
	const char *name;
	/*
	 * A directory of all clients, ready for readers, which shares the objects of
	 * unchanged ones with `from` (in use, may be NULL).  0 or a negative errno
	 * with a sentence in error, and nothing changed.
	 */
	int (*load)(struct registry *r, const struct directory *from, struct directory **directory,
			char *error, size_t error_size);
};

struct registry {
	const struct registry_ops *ops;
	const char *path;                 /* local: the clients file */
	const struct operator_public *op; /* whose signatures count */
	const uint8_t *cluster_secret;    /* for the sealed parts, and each client's ss */
};

/* A single server's: the clients file. */
extern const struct registry_ops registry_local;

#endif
