/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The daemon, put together: the only place that knows every part.  main.c
 * begins and ends it, server_role.c and client_role.c set up what one role
 * needs, control.c and status.c answer the tool.
 *
 * Threads.  The main thread does what is not a packet: control socket, signals,
 * reload, housekeeping.  Workers do packets and nothing else.
 */
#ifndef CTX_H
#define CTX_H

#include "cluster/mesh_io.h"
#include "cluster/asking.h"
#include "cluster/lent.h"
#include "cluster/notices.h"
#include "cluster/registry.h"
#include "conf.h"
#include "metrics/http.h"
#include "mode/members.h"
#include "overload.h"
#include "path/anycast.h"
#include "path/path.h"
#include "relay_client.h"
#include "relay_role.h"
#include "watchdog.h"

#define SENTENCE 640 /* room for an error sentence */

struct daemon;
/* A descriptor that the main thread waits for, and what it then does. */
#define WATCHED_MAX 8
struct watched {
	int fd;
	void (*ready)(struct daemon *d, const struct instant *now);
};

/* Metrics and health over HTTP (metrics.c). */
struct metrics {
	struct http *http; /* NULL: not wanted */
	bool pending;      /* there is more to do for it at once */
	ticks next_tick;   /* boot time */
	char *page;        /* the last one made, or NULL */
	size_t len;
	ticks made;        /* boot time */
	bool session_up;   /* client: as of then */
};

struct daemon {
	struct conf conf;
	struct path path;
	struct server server;
	struct uplink uplink;
	struct registry registry;
	struct notices *notices; /* a cluster's: records that cannot wait for the registry */
	struct lent *lent; /* a cluster's: clients known from tickets */
	struct asking *asking; /* likewise: clients whose session records are missed */
	char client_cache[CONF_PATH_MAX + 64], servers_cache[CONF_PATH_MAX + 64],
			relays_file[CONF_PATH_MAX + 64]; /* files of the registry */
	struct server_list servers; /* from the file, and, with NATS, from the registry */
	char expelled[SENTENCE];    /* why it has to end: it was in the list, and is no longer */
	struct mesh_io mesh; /* server; its fd is -1 if it is alone */
	ticks mesh_due;      /* boot time of its next tick */
	struct overload overload; /* server */
	struct members_owner members;
	struct anycast anycast; /* server */
	bool newest_key; /* server: every living one of the cluster has the newest cluster key */
	ticks newest_since; /* boot time */
	struct relay_client relay_client; /* client */
	struct relay_role relay; /* server */
	struct notify notify;
	struct watchdog watchdog;
	struct metrics metrics;
	struct instant started;
	unsigned running; /* workers whose thread has been made */
	int control, control_lock; /* descriptors */
	struct watched watched[WATCHED_MAX];
	unsigned watched_count;
	int signals;
	int mark;            /* server: the clock's high-water mark on disk */
	struct pmtu_memory path_memory; /* client: what its next run may begin with */
	int path_memory_fd;             /* -1: it has nowhere to be kept */
	unsigned tunnel_mtu; /* client: as set on the device */
	int netwatch;        /* client */
	ticks next_groups;   /* client: boot time of the next look at the multicast groups */
};

/* ---- server_role.c, client_role.c: 0 or a negative errno and a sentence ---- */
int server_role_start(struct daemon *d, char error[SENTENCE]);
/* After privileges are dropped: the threads beside the workers. */
int server_role_run(struct daemon *d, char error[SENTENCE]);
void server_role_tick(struct daemon *d, const struct instant *now);
/* The clients, by this configuration; nothing has changed if it fails. */
int server_role_reload(struct daemon *d, const struct conf *fresh, char error[SENTENCE]);
/* Announces the anycast address if the server can serve now, and withdraws it if it cannot. */
int server_role_announce(struct daemon *d, char error[SENTENCE]);
/* What a reload may change, from d->conf to where it is used. */
void server_role_apply(struct daemon *d);
/* Another list of servers, too, changes what clients may reach. */
void server_role_networks(struct daemon *d);
int client_role_start(struct daemon *d, char error[SENTENCE]);

/* ---- client_keys.c: what a client has learned of the cluster's keys; before and while it runs ---- */
void client_keys_read(struct daemon *d);
void client_keys_tick(struct daemon *d);

/* ---- mesh_role.c: a server's mesh with the others; nothing to do without [Mesh] ---- */
int mesh_role_start(struct daemon *d, char error[SENTENCE]);
void mesh_role_tick(struct daemon *d);
/* A reload in two steps, of which only the first may find something wrong.  *list: to be freed. */
int mesh_role_read(struct daemon *d, const char *servers_file, struct server_list **list,
		char error[SENTENCE]);
int mesh_role_apply(struct daemon *d, const struct server_list *list, char error[SENTENCE]);
/* d->servers has changed (registry_options.servers_changed). */
void mesh_role_changed(void *daemon);
/* The servers last known are known: says what this one waits for. */
void mesh_role_ready(const struct daemon *d);
/* 0, or a negative errno and a sentence: this server must not go on. */
int mesh_role_verdict(const struct daemon *d, char error[SENTENCE]);
/* Which keys of the cluster this server has; and whether every living one has the newest of them. */
void mesh_role_tell_keys(struct daemon *d);
bool mesh_role_have_newest(const struct daemon *d);
char *servers_json(struct daemon *d);
char *rotate_json(struct daemon *d);

/* ---- setup.c: what both roles need ---- */
int setup_workers(struct daemon *d, unsigned count, char error[SENTENCE]);
/* Nobody else's tunnel devices; before anything of that name is made. */
int setup_claim(struct daemon *d, char error[SENTENCE]);
/* The sentence for a file of the state directory that is locked. */
int setup_state_taken(const struct daemon *d, char error[SENTENCE]);
/* What a reload may change in both roles. */
void setup_apply(struct daemon *d);
int setup_device(struct daemon *d, enum device which, const char *name, bool ethernet,
		char error[SENTENCE]);
int setup_sockets(struct daemon *d, const struct endpoint local[FAMILY_COUNT],
		const bool present[FAMILY_COUNT], char error[SENTENCE]);
void setup_free(struct daemon *d);

/* ---- control.c ---- */
int control_open(struct daemon *d, char error[SENTENCE]);
void control_serve(struct daemon *d);
/* Before control_serve(), at most WATCHED_MAX times: to be called when fd is readable. */
void control_watch(struct daemon *d, int fd, void (*ready)(struct daemon *d, const struct instant *now));
void control_close(struct daemon *d);
/* The answer to who has waited for it: text is freed (NULL: out of memory), fd is closed. */
void control_answer(int fd, char *text);
/* SIGHUP and `anyrelay reload`.  0 or a negative errno and a sentence; notes say what needs a restart. */
int daemon_reload(struct daemon *d, char sentence[SENTENCE]);

/* ---- relay_role.c: a server's relays; nothing to do without [Relay] ---- */
/* The table, before the registry is opened, and the rest when devices are there. */
int relay_role_open(struct daemon *d, char error[SENTENCE]);
int relay_role_start(struct daemon *d, char error[SENTENCE]);
/* After privileges are dropped: the thread. */
int relay_role_run(struct daemon *d, char error[SENTENCE]);
/* The thread, if there is one, is to be watched. */
void relay_role_watch(struct daemon *d);
/* What a reload or another list of servers may change. */
void relay_role_apply(struct daemon *d);
/* Once a second. */
void relay_role_tick(struct daemon *d);
void relay_role_stop(struct daemon *d);
void relay_role_free(struct daemon *d);

/* ---- relay_share.c: the main thread's part, which tells other servers ---- */
void relay_share_start(struct daemon *d);
/* A message of the mesh about relays; false: malformed. */
bool relay_share_take(struct daemon *d, const struct instant *now, uint16_t from,
		const uint8_t *message, size_t len);

/* ---- relay_command.c ---- */
/* "relay …": text to be freed; or NULL and *later: then fd is kept until control_answer(). */
char *relay_command(struct daemon *d, const char *words, int fd, bool *later);
/* As JSON, to be freed; of NULL, that there was none. */
char *relay_answer_text(const struct relay_answer *a);

/* ---- relay_client.c ---- */
int relay_client_start(struct daemon *d, char error[SENTENCE]);
void relay_client_tick(struct daemon *d, struct worker *w); /* in the worker's thread */
/* False: too many are waiting. */
bool relay_client_ask(struct daemon *d, const struct relay_question *q, int fd);

/* ---- overload_role.c: a server's fair shares between clients (overload.h) ---- */
void overload_role_start(struct daemon *d); /* when sockets are there; says what it cannot do */
void overload_role_apply(struct daemon *d);
void overload_role_tick(struct daemon *d);
unsigned overload_role_count(const struct daemon *d); /* workers with fair shares at the moment */
void overload_role_free(struct daemon *d);

/* ---- metrics.c: pages for Prometheus and load balancers; nothing to do without [Metrics] ---- */
int metrics_open(struct daemon *d, char error[SENTENCE]);
void metrics_tick(struct daemon *d, const struct instant *now);
void metrics_close(struct daemon *d);

/* ---- status.c: JSON text, to be freed; NULL: out of memory ---- */
char *status_json(struct daemon *d);
char *sessions_json(struct daemon *d);
char *anycast_json(struct daemon *d);

#endif
