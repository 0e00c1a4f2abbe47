/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The anycast addresses of a server, and whether it announces them.
 *
 * The addresses lie on the daemon's own tunnel device.  The kernel removes the
 * device when the process ends, however it ends, and the addresses with it; and
 * the marker route, from which BIRD (packaging/bird) learns that this server
 * serves.  Deleting the marker alone withdraws the server, which serves on.
 *
 * What must outlive the process is made before the address is:
 *
 *   guard      an nftables table that keeps a dying server silent.  When the
 *              kernel closes its sockets it would send FIN, RST and ICMP port
 *              unreachable to every client, as of an address that lives on
 *              elsewhere.  A close that is wanted carries ANYCAST_CLOSE_MARK.
 *   blackhole  a route of the worst metric to each address.  Without it packets
 *              that still come go back to the router by the default route, and
 *              round and round.
 *
 * At a start both replace what an earlier daemon of this device left.
 */
#ifndef PATH_ANYCAST_H
#define PATH_ANYCAST_H

#include <stdbool.h>
#include "base/addr.h"

#define ANYCAST_CLOSE_MARK 0x616e79 /* SO_MARK of a socket whose FIN or RST may leave */
#define ANYCAST_ADDRESSES  2

/* Protocols of our routes (rtnetlink), for people and for BIRD's krt_source. */
#define ANYCAST_PROTO_BLACKHOLE 77
#define ANYCAST_PROTO_MARKER    78

/* X(name, key, text): why a server does not announce itself; any of them is enough.
 * Servers tell each other by the places in this list (PROTOCOL.md, HEARTBEAT). */
#define ANYCAST_REASONS(X)                                                                         \
	X(STARTING, "starting", "the daemon is starting")                                          \
	X(DRAINED, "drained", "anyrelay drain")                                                    \
	X(JOINING, "joining", "this server has no epoch keys yet")                                 \
	X(READING, "reading", "the registry has not been read yet")                                \
	X(CUT_OFF, "cut_off", "the list of clients is too old to be believed")                     \
	X(CLOCK, "clock", "the clock is too far from the other servers'")                          \
	X(STOPPING, "stopping", "the daemon is about to end")
enum anycast_reason {
#define X(name, key, text) ANYCAST_##name,
	ANYCAST_REASONS(X)
#undef X
	ANYCAST_REASON_COUNT
};
const char *anycast_reason_key(enum anycast_reason r);

struct anycast {
	bool enabled;
	int device; /* interface index; 0 before the addresses are set */
	unsigned count;
	struct prefix address[ANYCAST_ADDRESSES]; /* as hosts */
	unsigned reasons; /* bits of enum anycast_reason */
	bool announced;   /* the markers are in place */
};

/*
 * Before the first socket on the addresses: guard (unless that is not wanted) and
 * blackholes.  device_name names the guard's table.  The next two functions, too,
 * return 0 or a negative errno, with a sentence in error.
 */
int anycast_prepare(struct anycast *a, const struct endpoint *listen, const bool *present,
		const char *device_name, bool guard, char *error, size_t error_size);
/* The addresses, on the device; still not announced, for ANYCAST_STARTING. */
int anycast_take_addresses(struct anycast *a, int device, char *error, size_t error_size);
/*
 * There is this reason not to announce, or not any more; announces or withdraws
 * accordingly, and logs it.  Not thread-safe: the main thread's.
 */
int anycast_set(struct anycast *a, enum anycast_reason reason, bool on, char *error,
		size_t error_size);

#endif
