/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The contract of a registry: where enrolled clients and the servers of the
 * cluster are known from, and through which servers tell each other where
 * clients are.  What it learns of clients it gives to the server core itself:
 * new directories by server_set_directory(), other servers' records by
 * server_apply_record().  Nothing outside src/cluster asks
 * which registry it is, and nothing here is called on the packet path but
 * put_session, which never waits for anything but a short lock.
 */
#ifndef CLUSTER_REGISTRY_H
#define CLUSTER_REGISTRY_H

#include "cluster/relays_file.h"
#include "cluster/servers_file.h"
#include "mode/relays.h"
#include "proto/server.h"

#define REGISTRY_URLS_MAX 8
#define REGISTRY_URL_MAX  256

struct registry;

/* Borrowed for as long as the registry lives; empty strings: not given. */
struct registry_options {
	const struct operator_public *op; /* whose signatures count */
	const struct cluster_secrets *cluster; /* for what is sealed */
	const char *clients_file;         /* local: the clients */
	const char *relays_file;          /* local: the relays, if there are any */
	/* NATS */
	uint16_t server_number;
	unsigned url_count;
	const char (*urls)[REGISTRY_URL_MAX];
	const char *credentials, *tls_ca, *tls_cert, *tls_key; /* files */
	unsigned replicas;
	unsigned max_age;        /* s that clients are served while cut off */
	const char *cache_file;  /* the clients last known */
	const char *servers_cache; /* the servers last known */
	/*
	 * The daemon's list of servers, to which the registry adds what it knows,
	 * in the main thread, and then calls servers_changed.  NULL: there is no mesh.
	 */
	struct server_list *servers;
	void (*servers_changed)(void *arg);
	void *servers_changed_arg;
};

/* X(key, text): what the registry counts. */
#define REGISTRY_COUNTERS(X)                                                                       \
	X(writes, "session records and relays written")                                            \
	X(received, "values that the registry brought")                                            \
	X(refused, "values that are not of this cluster, or lie under another's key")              \
	X(stale, "values older than what is known here")                                           \
	X(deleted, "keys that were deleted")                                                       \
	X(unknown, "session records of clients that are not enrolled")                             \
	X(conflicts, "client records that contradict another client's")                            \
	X(healed, "values written again because the registry had lost or changed them")            \
	X(snapshots, "buckets read from the beginning")                                            \
	X(messages_in, "messages from NATS, own heartbeats among them")                            \
	X(messages_out, "messages to NATS")                                                        \
	X(bytes_in, "bytes of the messages from NATS, without its own framing")                    \
	X(bytes_out, "bytes of the messages to NATS")
struct registry_status {
	bool connected;    /* our own writes come back to us */
	bool read;         /* all that the registry held at our start is known here */
	long lag_ms;       /* how long the last one took; -1: none yet */
	size_t queue;      /* session records and relays that the registry has not shown yet */
	uint64_t silent_s; /* since the list of clients was last known to be current */
#define X(key, text) uint64_t key;
	REGISTRY_COUNTERS(X)
#undef X
};

struct registry_ops {
	const char *name;
	/*
	 * Before privileges are dropped: reads its files, and fills the server's
	 * directory with what is known.  0 or a negative errno and a sentence.
	 */
	int (*open)(struct registry *r, char *error, size_t error_size);
	/* After that: its threads.  NULL: it has none.  Likewise. */
	int (*start)(struct registry *r, char *error, size_t error_size);
	/* The clients file is read again; the server's directory is as it was if that fails. */
	int (*reload)(struct registry *r, const char *clients_file, char *error, size_t error_size);
	/*
	 * Main thread: o.cluster has changed, or `newest` has: whether every server
	 * that reads what is sealed here has the newest of its keys.  NULL: all the same.
	 */
	void (*set_keys)(struct registry *r, bool newest);
	/* In the main thread: when `event` is readable, and once a second. */
	void (*serve)(struct registry *r, const struct instant *now);
	/* A record_written function (server.h): any thread, under the server's lock. */
	record_written *put_session;
	/*
	 * Main thread, without the table's lock: a relay has changed here
	 * (relays_options.publish).  Never waits; the registry tells the table when it has it.
	 */
	void (*put_relay)(struct registry *r, const struct instant *now, const struct relay *relay);
	void (*status)(struct registry *r, const struct instant *now, struct registry_status *status);
	void (*close)(struct registry *r);
};

struct registry {
	const struct registry_ops *ops;
	struct registry_options o;
	struct server *server;
	struct relays *relays;      /* before `open`; outlives the registry; NULL: there are no relays */
	int event;                  /* to be polled, -1: none */
	struct registry_nats *nats; /* its own: registry_nats's, */
	struct verified *verified;  /* registry_local's: what need not be checked again at a reload */
	struct relays_file relays_file; /* local's own */
};

/* A single server's: the clients file; sessions stay in this process. */
extern const struct registry_ops registry_local;
/* A cluster's: NATS JetStream key-value buckets. */
extern const struct registry_ops registry_nats;

#endif
