/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Path MTU discovery at the client, for one direction, after RFC 8899: probes
 * of outer size n are sent (up) or asked for (down); what comes back proves n.
 * ICMP is never believed, it only makes the search begin again.  Results are
 * kept for each server heard in the last 11 minutes, and the smallest counts:
 * the next packet may go to any of them.  A server is known by its number, so its
 * restart changes nothing; and what one run of the client has found it may leave
 * to the next one, for the address at which the cluster sees it.
 *
 * Which server a probe reaches is not ours to choose.  So a size is tried until
 * every server that is being heard has shown it; it is given up when three
 * probes on end are lost, or when after many one server is still missing.
 */
#ifndef PROTO_PMTU_H
#define PROTO_PMTU_H

#include "proto/wire.h"

#define PMTU_BASE    1280
#define PMTU_FIRST   1500
#define PMTU_STEP    8   /* search ends when the gap is smaller */
#define PMTU_LOSSES  3
#define PMTU_TRIES   8 /* of one size, for each server: one is missed at 1 in 3000 */
#define PMTU_SENDERS 16

struct pmtu_path {
	uint8_t sender[SENDER_SIZE];
	uint16_t proven; /* largest size that came through; PMTU_BASE at first */
	bool doubted;    /* that was not shown, it is only no more than this */
	bool recalled;   /* and not heard since */
	ticks heard;     /* boot time */
};

/* What was found where the cluster saw this client at one address. */
struct pmtu_memory {
	uint8_t ip[16];
	unsigned count;
	struct {
		uint16_t server, size; /* number; PMTU_BASE < size <= PMTU_FIRST */
	} path[PMTU_SENDERS];
};

struct pmtu {
	struct pmtu_path path[PMTU_SENDERS];
	unsigned count;
	uint16_t low, high; /* search: low is taken to work, high + 1 not to */
	uint16_t size;      /* being tried; 0: search is over */
	uint8_t losses;     /* on end */
	unsigned tries;     /* probes of the present size */
	bool answered;      /* the last of them, by any server */
	uint32_t id;        /* of the last probe */
	ticks interval;     /* least time between two probes */
	ticks first, sent;  /* boot times of the first probe of this size, and of the last one */
	ticks next;         /* boot time of the next step */
};

void pmtu_begin(struct pmtu *p, ticks interval, ticks now);
/* From 1500 again, keeping what is proven meanwhile: new path, new server, every 10 minutes. */
void pmtu_restart(struct pmtu *p, ticks now);
/* Something says that large packets do not pass: look again, unless a search is under way. */
void pmtu_doubt(struct pmtu *p, ticks now);
/* A packet from this sender, each second at least.  True if it is new: the search begins again. */
bool pmtu_heard(struct pmtu *p, const uint8_t sender[SENDER_SIZE], ticks now);
/* Time for a probe: its size and id, or 0. */
uint16_t pmtu_step(struct pmtu *p, ticks now, ticks rtt, uint32_t *id);
/* Probe id of this size came through to or from sender. */
void pmtu_proven(struct pmtu *p, const uint8_t sender[SENDER_SIZE], uint16_t size, uint32_t id,
		ticks now);
/* What may be sent now. */
uint16_t pmtu_value(const struct pmtu *p, ticks now);
/* The paths of m, of servers that have not been heard; each is searched anew when it is. */
void pmtu_recall(struct pmtu *p, const struct pmtu_memory *m, ticks now);
/* Brings m up to date, unless a search is under way.  True: it has changed. */
bool pmtu_remember(const struct pmtu *p, struct pmtu_memory *m, ticks now);

#endif
