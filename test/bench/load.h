/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Between the load program's files: load.c (the command line), load_clients.c
 * (who its clients are), load_net.c (their packets), and one file for each
 * thing it does with them.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include "proto/noise.h"
#include "proto/record.h"
#include "proto/uplink.h"

/* A sentence, and the end of the program. */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));
double seconds_now(void); /* of CLOCK_MONOTONIC */

/* ---- clients: everything about client 0, 1, 2 … follows from its number ---- */

#define CLIENTS_MAX 4000000 /* so many have an inner address in 10.64.0.0/10 */

struct load_client {
	struct key_pair own;
	uint8_t psk[KEY_SIZE];
};
void client_make(struct load_client *c, uint32_t number);
void client_record(struct record *r, uint32_t number);
/* Outer address in 10.128.0.0/9, host order: neighbours in number are in different /24s. */
uint32_t client_source(uint32_t number);
uint32_t client_of_source(uint32_t ip);
/* What a session of it needs to begin. */
void client_uplink(struct uplink_options *o, uint32_t number,
		const uint8_t cluster_public[KEY_SIZE], const struct endpoint *server);

/* A message 1 that can be sent again and again: a server keeps nothing of it, so it stays good. */
struct attempt {
	struct initiator initiator;
	uint8_t fresh[MESSAGE1_SIZE]; /* without a token */
	bool verified;                /* an answer to it has been */
	double sent;                  /* 0: not under way */
};
struct attempt *attempts_make(uint32_t count, const uint8_t cluster_public[KEY_SIZE]);

/* ---- net: one socket that speaks for all clients ---- */

#define NET_BATCH 64

struct net;
struct net_message {
	uint8_t *data; /* until the next net_receive() */
	size_t len;
	uint32_t client;
};
struct net *net_open(const struct endpoint *server);
void net_close(struct net *n);
/* Queued until net_flush(). */
void net_send(struct net *n, uint32_t client, const uint8_t *packet, size_t len);
void net_flush(struct net *n);
/* What has come from the server, without waiting; how many. */
unsigned net_receive(struct net *n, struct net_message message[NET_BATCH]);
/* Until something can be received, ms at most. */
void net_wait(struct net *n, int ms);

/* ---- what it does; all print one line of JSON ---- */

void load_records(uint32_t count, const uint8_t operator_seed[KEY_SIZE],
		const uint8_t cluster_public[KEY_SIZE], const char *path);
/* True if every client got its session. */
bool load_sessions(uint32_t count, unsigned window, const uint8_t cluster_public[KEY_SIZE],
		const struct endpoint *server);
void load_handshakes(double seconds, unsigned window, const uint8_t cluster_public[KEY_SIZE],
		const struct endpoint *server, int pid);
/* Until SIGTERM. */
void load_relays(uint32_t clients, uint32_t relays, uint16_t lifetime,
		const uint8_t cluster_public[KEY_SIZE], const struct endpoint *server);
void load_core(uint32_t count, double seconds);

#endif
