/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * What enroll, revoke and clients work on: the server's configuration, the
 * operator's key, and all records of the clients file in memory.
 */
#ifndef CTL_ENROLLED_H
#define CTL_ENROLLED_H

#include "cluster/clients_file.h"
#include "cluster/nats_clients.h"
#include "ctl/ctl.h"

struct enrolled {
	struct conf conf;
	struct operator_key op; /* only after enrolled_open() for writing */
	uint8_t seal_key[KEY_SIZE]; /* what is written is sealed with it: for the current cluster key */
	struct seal_keys seal_keys; /* for each of the cluster's */
	int lock; /* of the clients file, or -1 */
	bool writing;
	struct nats_clients *nats; /* in its place, where the registry is NATS */
	uint32_t highest; /* index ever given, 0: none */
	size_t count, room;
	struct record *records; /* tombstones too; one an index */
};

/* Reads all of it; for writing also the operator's key, under the file's lock.  An exit code. */
int enrolled_open(struct enrolled *e, const struct options *o, bool writing);
/* With NATS it first brings the digests up to date, if this was for writing. */
void enrolled_close(struct enrolled *e);
/* The client of this name that is not removed, or NULL. */
struct record *enrolled_find(const struct enrolled *e, const char *name);
/* Signs r and puts it into the file.  An exit code. */
int enrolled_put(const struct enrolled *e, const struct record *r);
/* All clients' records sealed for the newest key of the cluster, and signed.  An exit code. */
int enrolled_seal_again(struct enrolled *e);
/* Reads the operator's key, and sees that it is the one whose signatures count here.  An exit code. */
int operator_key_load(struct operator_key *op, const struct conf *conf, const struct options *o);
/*
 * Has the server of this configuration read its files again if it runs here, and
 * says on stderr what came of it; what: "clients".
 */
bool reload_server(const struct conf *conf, const char *what);
/* Has the server read its clients again if it runs here, and says on stderr what came of it. */
bool enrolled_reload(const struct enrolled *e);
/* The record as JSON, without its secret. */
json_t *enrolled_json(const struct record *r);

#endif
