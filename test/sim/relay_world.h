/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Servers that relay, in memory: each has a table of relays, the slow path, and
 * a model of the BPF fast path.  Packets to the anycast address come to a server
 * drawn for each packet (spray) or to the one that the route leads to.  Servers
 * tell each other of latches after a moment, or never, if they die before.
 */
#ifndef TEST_SIM_RELAY_WORLD_H
#define TEST_SIM_RELAY_WORLD_H

#include "mode/relay_input.h"
#include "relay_peer.h"

#define SITES 3

struct relay_world;

struct site {
	struct relay_world *w;
	struct relay_keys keys;  /* that of the tokens alone, unless a test changes it */
	uint16_t number;
	bool alive;
	struct relays *relays;
	struct relay_input *input;
	struct relay_output out;
	uint64_t passed[65536];  /* by port: what the fast path has sent on */
};

struct relay_world {
	struct net net;
	struct site site[SITES];
	struct peer peer[2];
	struct quality path;     /* between hosts and servers, and the other way round */
	ticks mesh_delay;
	bool spray;
	unsigned route;          /* without spray: the site that packets come to */
	uint8_t anycast[16], key[KEY_SIZE]; /* of the tokens */
	char token[2][RELAY_TOKEN_SIZE];
	struct relay relay;      /* as it was made */
	unsigned answers, forwarded; /* packets of the slow path, of the fast path */
};

/* A relay between two peers; kinds are those of its sides.  The tokens are made for token sides. */
void relay_world_init(struct relay_world *w, enum relay_side_kind first, enum relay_side_kind second);
void relay_world_free(struct relay_world *w);
void relay_world_begin(struct relay_world *w);
/* Until both are done, or then; true: done. */
bool relay_world_run(struct relay_world *w, ticks most);
void relay_world_kill(struct relay_world *w, unsigned site);
struct instant relay_world_now(const struct relay_world *w);
/* As this server has it. */
const struct relay *relay_world_record(struct relay_world *w, unsigned site);

/*
 * What the BPF program does with a packet that it may send on (struct relay_entry):
 * addresses, ports, numbers, window, hop limit, checksums, in place.  IPv4 on both sides.
 */
void relay_fast_rewrite(const struct relay_entry *e, const uint8_t anycast[16], uint8_t *packet,
		size_t len);
/* Its decision: RELAY_UP_COUNT: sent on; RELAY_UP_COUNT + 1: dropped; else why it goes up. */
unsigned relay_fast_decide(const struct relay_entry *e, const struct relay_packet *p);

#endif
