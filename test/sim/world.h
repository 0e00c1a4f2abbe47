/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * A cluster and its clients, as protocol cores without I/O, on the network of
 * net.h.  All servers share one address; a policy picks the server that gets
 * each packet.  They share a lineage, the cluster key and the clients, as the
 * servers of a cluster do, and nothing else: session records are copied from
 * server to server after a lag, like the registry does, or not at all.
 *
 * Always checked, in every test: no (key, nonce) pair is ever sealed twice.
 */
#ifndef TEST_SIM_WORLD_H
#define TEST_SIM_WORLD_H

#include "cluster/notices.h"
#include "proto/active.h"
#include "proto/mesh.h"
#include "proto/server.h"
#include "proto/uplink.h"
#include "test/sim/net.h"

#define WORLD_SERVERS 8
#define WORLD_PORT    4444
#define PACKET_MAX    1600

struct world;

/* Numbered packets from one end to the other. */
struct flow {
	uint32_t sent, received, repeated;
	uint8_t *seen; /* a bit for each number */
	uint32_t room;
};

struct sim_server {
	struct output out; /* first member */
	struct world *w;
	unsigned id;
	struct server *core; /* NULL: down */
	int64_t skew;        /* its clock less the true time, in ticks */
	ticks lag;           /* so old is the time of the worker that takes the next packet */
	bool paused;         /* packets to it vanish, it does not tick */
	unsigned mtu_up, mtu_down; /* of its part of every path; 0: no limit */
	unsigned boots;
	uint64_t drop[DROP_COUNT], delivered, records_written;
	struct notices *notices; /* NULL: there is no mesh */
	uint64_t mesh_messages;  /* sent */
};

struct sim_client {
	struct output out; /* first member */
	struct world *w;
	unsigned id, enrolled; /* enrolled: whose key it has: its own, unless it is a twin */
	struct uplink u;
	struct endpoint address; /* as servers see it; its port changes with each rebinding */
	struct quality up, down;
	ticks booted;       /* true time at which its boot clock was 0 */
	ticks wall;         /* what its wall clock stands at, which should not matter */
	bool asleep;        /* packets to it vanish, it does not tick */
	struct flow sent_up, sent_down;
	uint64_t drop[DROP_COUNT], sent[16]; /* sent: by type */
	uint64_t tick_order;
	ticks next_tick;    /* true time */
};

enum policy { POLICY_FIXED, POLICY_FLIP, POLICY_SPRAY };

struct world_options {
	unsigned servers, clients, active_sessions, handshake_rate, prefix_rate;
	uint16_t keepalive;
	enum aead aead;
	bool v6, unlinkable, echo; /* echo: a server answers each packet with one */
	struct key_limits client_limits, server_limits;
	ticks delay;        /* one way */
	bool replicate;
	ticks record_lag;
	ticks mesh_delay; /* of notices between servers; 0: there is no mesh */
};

/* One datagram that was sent. */
struct sighted {
	ticks at;
	bool up;
	unsigned server; /* down: who sent it */
	struct endpoint from, to;
	size_t len;
	uint8_t data[PACKET_MAX];
};

/* What an address that is watched has sent to servers, and got from them. */
struct ledger {
	struct endpoint address;
	uint64_t in, out, packets_out;
};

struct world {
	struct net net;
	struct world_options o;
	struct endpoint anycast;
	uint8_t cluster_secret[KEY_SIZE], cluster_public[KEY_SIZE], start[KEY_SIZE];
	ticks birth; /* of the lineage */
	enum policy policy;
	unsigned chosen;  /* POLICY_FIXED */
	ticks flip_every; /* POLICY_FLIP */
	struct sim_server server[WORLD_SERVERS];
	struct sim_client **client;
	uint8_t (*client_secret)[KEY_SIZE], (*client_psk)[KEY_SIZE], (*client_ss)[KEY_SIZE];
	/* called for every datagram that is sent, before the network does anything to it */
	void (*tap)(struct world *w, const struct sighted *p);
	void *tap_arg;
	unsigned ledger_count;
	struct ledger ledger[16];
};

/* Servers up and clients begun, but nothing has run yet. */
struct world *world_new(const struct world_options *o);
void world_free(struct world *w);
void world_run(struct world *w, ticks duration);
/* Runs until every client has a confirmed session; fails after 30 s. */
void world_connect(struct world *w);
struct instant server_now(const struct sim_server *s);
struct instant client_now(const struct sim_client *c);

/* A client's configuration, as world_new() uses it. */
struct uplink_options client_options(const struct world *w, unsigned id);
void client_begin(struct sim_client *c, const struct uplink_options *o);
void client_tick(struct sim_client *c);
/* A numbered packet; false: there is no session (yet).  len: of the plaintext. */
bool client_send(struct sim_client *c, size_t len);
enum drop server_send(struct sim_server *s, struct sim_client *c, size_t len);
struct client *client_at(const struct sim_server *s, unsigned id);
/* Seals any plaintext, unpadded, as a client of ill will could; the packet's size. */
size_t client_seal(struct sim_client *c, const uint8_t *plain, size_t len,
		uint8_t packet[PACKET_MAX]);
/* Its translator forgets the mapping: another address from now on. */
void client_rebind(struct sim_client *c);

/* Process gone (kill), process started: a new boot random, nothing kept. */
void server_stop(struct sim_server *s);
void server_start(struct sim_server *s, const uint8_t boot_random[3]);
void server_restart(struct sim_server *s);
/* A directory of clients first … first + count - 1, for this server. */
struct directory *world_directory(const struct world *w, unsigned first, unsigned count);

/* Hands a datagram to a core, at once and without a network; what it made of it. */
enum drop server_take(struct sim_server *s, const struct endpoint *from, const uint8_t *data,
		size_t len);
enum drop client_take(struct sim_client *c, const uint8_t *data, size_t len);

/* Packets of len bytes, one each interval, from now on for so long. */
void world_traffic(struct world *w, struct sim_client *c, bool up, ticks interval, ticks duration,
		size_t len);

struct ledger *world_watch(struct world *w, const struct endpoint *address);

/* A recording of what was sent, while it is on. */
struct recording {
	bool on;
	size_t count, room;
	struct sighted *packet;
};
void recording_begin(struct world *w, struct recording *r); /* takes the tap */
void recording_end(struct world *w, struct recording *r);

/* Hands the recorded packets to this server, all but those to clients; how many it accepted. */
unsigned recording_replay(const struct recording *r, struct sim_server *s);
/* The last packet of this type in this direction, or NULL. */
const struct sighted *recording_last(const struct recording *r, enum wire_type type);

/* Tables and memory of a server, to show that something changed nothing. */
struct server_state {
	struct server_counts counts;
	uint64_t events[SERVER_EVENT_COUNT];
	size_t heap; /* bytes allocated by the process */
};
struct server_state server_state(struct sim_server *s);

#endif
