/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The mesh's socket: UDP on the server's own unicast address.  It belongs to the
 * main thread, which waits for its descriptor and for the time that
 * mesh_io_tick() returns.
 */
#ifndef CLUSTER_MESH_IO_H
#define CLUSTER_MESH_IO_H

#include "cluster/peers.h"

/* X(name, key, text): what the socket counts; bytes are those of UDP's payload. */
#define MESH_TRAFFIC(X)                                                                            \
	X(PACKETS_IN, "packets_in", "packets from other servers")                                  \
	X(PACKETS_OUT, "packets_out", "packets to other servers")                                  \
	X(BYTES_IN, "bytes_in", "bytes of the packets from other servers")                         \
	X(BYTES_OUT, "bytes_out", "bytes of the packets to other servers")                         \
	X(UNSENT, "unsent", "packets to other servers that the socket refused")
enum mesh_traffic {
#define X(name, key, text) MESH_##name,
	MESH_TRAFFIC(X)
#undef X
	MESH_TRAFFIC_COUNT
};
const char *mesh_traffic_key(enum mesh_traffic t);

struct mesh_io {
	struct output out; /* first member */
	int fd;            /* -1: there is no mesh */
	uint64_t traffic[MESH_TRAFFIC_COUNT];
	struct peers peers;
};

/* The socket; then the caller sets up the peers with &m->out.  0, or a negative errno and a sentence. */
int mesh_io_open(struct mesh_io *m, const struct endpoint *local, char error[PEERS_ERROR]);
/* Says goodbye. */
void mesh_io_close(struct mesh_io *m);
/* Reads what has come; also before a tick that is late, lest the living be taken for dead. */
void mesh_io_receive(struct mesh_io *m);
/* The boot time of the next call, at the latest. */
ticks mesh_io_tick(struct mesh_io *m);

#endif
