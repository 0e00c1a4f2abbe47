/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Relays in the daemon: the table, the fast path in the kernel, the slow path,
 * and the thread in which what is not the kernel's is done.
 *
 *	kernel ── ring ──► relay thread ──► relay_input() ──► raw sockets
 *	   ▲                    │ learns a side
 *	   │ entries            ▼
 *	   └─────────────── relays (table, one lock) ◄── tool, clients' control messages
 *	                        │ dirty                ▲
 *	                        ▼                      │
 *	                   main thread ──► mesh, registry
 *
 * The thread holds the table's lock while it works on what the kernel has handed
 * up.  The main thread sends what has changed to the other servers, since mesh and
 * registry are its own.
 */
#ifndef RELAY_ROLE_H
#define RELAY_ROLE_H

#include "cluster/relay_mesh.h"
#include "conf.h"
#include "mode/relay_control.h"
#include "mode/relay_input.h"
#include "own_hosts.h"
#include "path/raw.h"
#include "path/relay_bpf.h"
#include "rtpproxy_door.h"

#define RELAY_ASKS_MAX 64

/* Where relays may never lead. */
#define RELAY_DENY_MAX (CONF_PREFIXES_MAX + OWN_HOSTS_MAX)
struct relay_deny {
	unsigned count;
	struct prefix list[RELAY_DENY_MAX];
};

/* Relays, by their ids, first come first served; one may be there more than once. */
struct relay_ids {
	uint8_t (*id)[RELAY_ID_SIZE];
	size_t taken, count, room; /* those before `taken` are done */
};

struct relay_role {
	struct relays *relays; /* NULL: this daemon has none */
	struct relay_input *input;
	struct relay_bpf *bpf;
	struct raw raw;
	struct relay_keys keys; /* changed under the table's lock */
	struct relay_desk desk;
	pthread_t thread;
	bool running;
	uint64_t rounds;     /* of the thread, which counts them */
	_Atomic bool stop;
	int wake, main_wake; /* eventfds: for the relay thread, for the main thread */
	uint64_t unsent;     /* packets that the raw sockets refused */
	struct relay_output out;
	struct relay_deny deny; /* replaced under the table's lock */
	struct relay_mesh mesh;
	struct door door;    /* its fd is -1 before it is opened */
	/* under the table's lock */
	struct relay_ids dirty;   /* for the main thread: other servers are to hear of them */
	struct relay_port asks[RELAY_ASKS_MAX]; /* likewise: is there somebody who knows? */
	unsigned ask_count;
};

/* What is counted, for status and metrics; see each list for what it means. */
struct relay_figures {
	struct relays_counts table;
	struct relay_mesh_counts mesh;
	uint64_t up[RELAY_UP_COUNT], bpf_drops[RELAY_BPF_DROP_COUNT], drops[RELAY_DROP_COUNT];
	uint64_t unsent, reattached, entries;
	uint64_t door_commands, door_refused, door_crowded;
};
/* Main thread. */
void relay_role_figures(struct relay_role *role, struct relay_figures *f);

#endif
