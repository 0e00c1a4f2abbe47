/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The relays' fast path in the kernel: loading and attaching the program, its
 * table, and what it hands up.  See bpf/relay_shared.h for what it does.
 */
#ifndef PATH_RELAY_BPF_H
#define PATH_RELAY_BPF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "bpf/relay_shared.h"

struct relay_bpf;

struct relay_bpf_options {
	const struct relay_config *config;
	unsigned uplink_count;
	const char (*uplinks)[16];  /* names of devices */
	unsigned entries;           /* places in the table */
	/* In relay_bpf_poll(): borrowed for the call. */
	void (*up)(void *arg, const struct relay_event *e);
	void *arg;
};

/*
 * As root, before privileges are dropped; what follows needs none.  Takes the place of
 * what an earlier daemon left attached.  NULL with a sentence in error.
 */
struct relay_bpf *relay_bpf_open(const struct relay_bpf_options *o, char *error, size_t error_size);
/* Detaches, if that is still allowed. */
void relay_bpf_close(struct relay_bpf *b);
/*
 * Once a second: a device that has gone and come back, or has lost the program, gets it again.
 * Takes CAP_NET_ADMIN.  Not thread-safe.
 */
void relay_bpf_tend(struct relay_bpf *b);
uint64_t relay_bpf_reattached(const struct relay_bpf *b); /* how often it did */

/*
 * 0 or a negative errno.  Put keeps the counters of an entry that is there (but for packets
 * that are counted at that very moment).  Thread-safe.
 * Which of several puts of one key lasts is the caller's to order.
 */
int relay_bpf_put(struct relay_bpf *b, const struct relay_key *key, const struct relay_entry *e);
int relay_bpf_delete(struct relay_bpf *b, const struct relay_key *key);
int relay_bpf_counters(struct relay_bpf *b, const struct relay_key *key, uint64_t *packets,
		uint64_t *bytes);

/*
 * Before a packet is sent to a side that has not answered: it is counted with what the program
 * sends to that host.  False: one too many.
 */
bool relay_bpf_admit(struct relay_bpf *b, const uint8_t ip[16]);
/* A side at this host has answered. */
void relay_bpf_heard(struct relay_bpf *b, const uint8_t ip[16]);

/* Places of the table that are taken. */
unsigned relay_bpf_entries(const struct relay_bpf *b);

/* Readable when there is something to poll; never blocks. */
int relay_bpf_fd(const struct relay_bpf *b);
/* As many as there are, but at most so many; true: there may be more. */
#define RELAY_BPF_ROUND 64
bool relay_bpf_poll(struct relay_bpf *b);
/* Sums over all CPUs. */
void relay_bpf_totals(struct relay_bpf *b, uint64_t up[RELAY_UP_COUNT],
		uint64_t dropped[RELAY_BPF_DROP_COUNT]);

#endif
