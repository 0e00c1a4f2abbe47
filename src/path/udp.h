/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The daemon's UDP sockets: opened with everything that the tunnel relies on
 * (DF without the kernel's path MTU, GRO, TOS of each packet), and read and
 * written in batches.  A batch costs a few system calls whatever its size:
 * recvmmsg() with UDP_GRO in, sendmmsg() with UDP_SEGMENT out.
 */
#ifndef PATH_UDP_H
#define PATH_UDP_H

#include <sys/socket.h>
#include <sys/uio.h>
#include "base/addr.h"
#include "base/util.h"

/* ---- socket ---- */

struct udp_options {
	bool reuse_port; /* one socket a worker: the kernel spreads clients over them */
	bool first;      /* … and this is the first one: nobody else's may be there */
	bool free_bind;  /* the address need not be on this machine (yet) */
};

/*
 * A non-blocking, unconnected socket bound to `local`, of its family only; the
 * family's wildcard address and port 0 for a client.  Returns the descriptor,
 * or a negative errno with a sentence in error.
 */
int udp_open(const struct endpoint *local, struct udp_options options, char *error,
		size_t error_size);

/* What waits in a socket to be received, in bytes of the kernel's memory. */
struct udp_queue {
	uint32_t used, room;
	uint32_t dropped; /* messages so far that were not let in, for want of room or by a filter; it wraps */
};
bool udp_queue_read(int fd, struct udp_queue *q);

/* ---- receiving ---- */

#define UDP_BATCH      8          /* messages of one read */
#define UDP_BUFFER     (64 * 1024) /* of each: a GRO message has up to 65,535 bytes */
#define UDP_CMSG_SPACE 64

struct udp_message {
	uint8_t *data;
	size_t len;       /* of all its datagrams together */
	uint16_t segment; /* of each datagram; the last may be shorter */
	uint8_t tos;      /* TOS or traffic class: DSCP and ECN; the same for all of them */
	struct endpoint from;
};

/* Some 512 KB: allocate it once, and udp_receiver_init() it. */
struct udp_receiver {
	unsigned count;
	struct udp_message message[UDP_BATCH]; /* read these */
	struct mmsghdr header[UDP_BATCH];
	struct iovec iov[UDP_BATCH];
	struct sockaddr_storage name[UDP_BATCH];
	_Alignas(8) uint8_t control[UDP_BATCH][UDP_CMSG_SPACE];
	_Alignas(64) uint8_t buffer[UDP_BATCH][UDP_BUFFER];
};

void udp_receiver_init(struct udp_receiver *r);
/*
 * What is there: fills message[0 … count - 1], whose data are the caller's to
 * change until the next call.  Returns count, or a negative errno (-EAGAIN).
 */
int udp_receive(struct udp_receiver *r, int fd);

/* An ICMP error about a datagram of ours: hearsay, anybody can forge it. */
struct udp_error {
	bool too_big;
	uint8_t quoted[64]; /* the beginning of our datagram's payload */
	size_t len;
};
/* The next one; false when there are no more.  They must be read, or the socket stays in error. */
bool udp_read_error(int fd, struct udp_error *e);

/* ---- sending ---- */

#define UDP_RUNS      64    /* of a queue: it flushes itself when full */
#define UDP_SEGMENTS  64    /* datagrams of a run: the kernel's UDP_MAX_SEGMENTS before 6.9 */
#define UDP_RUN_BYTES 65400 /* IP and UDP headers must fit in 65,535 with it; 45 packets of 1452 bytes */
#define UDP_LOOK_BACK 8     /* runs searched for one to the same destination */

/* Datagrams that leave in one UDP_SEGMENT send: one destination, one TOS, one size but the last. */
struct udp_run {
	struct endpoint to;
	uint8_t tos;
	bool closed;      /* its last datagram was shorter */
	uint16_t segment; /* size of its first datagram */
	uint16_t count, iov_count;
	uint32_t bytes;
	struct iovec iov[UDP_SEGMENTS];
};

struct udp_counters {
	uint64_t datagrams, bytes; /* accepted by the kernel */
	uint64_t calls;            /* system calls that sent something */
	uint64_t too_big;          /* datagrams larger than the device's MTU: dropped */
	uint64_t full;             /* … dropped because the socket's buffer stayed full */
	uint64_t refused;          /* … dropped for any other error (no route, packet filter) */
};

struct udp_sender {
	int fd;
	unsigned count;
	struct udp_counters counters;
	struct udp_run run[UDP_RUNS];
	struct mmsghdr header[UDP_RUNS];
	struct sockaddr_storage name[UDP_RUNS];
	_Alignas(8) uint8_t control[UDP_RUNS][UDP_CMSG_SPACE];
};

void udp_sender_init(struct udp_sender *s, int fd);
/*
 * Queues a datagram of 1 … UDP_RUN_BYTES bytes, which are borrowed until the
 * flush.  `to` is of the socket's family.  Datagrams to one destination stay in
 * order, those to several may overtake each other.
 */
void udp_send_add(struct udp_sender *s, const struct endpoint *to, uint8_t tos, const void *data,
		size_t len);
/*
 * The same in a run of its own.  For path MTU probes, above all: a router that
 * finds one segment of a run too big drops the whole run, and data with it.
 */
void udp_send_alone(struct udp_sender *s, const struct endpoint *to, uint8_t tos, const void *data,
		size_t len);
/*
 * Sends what is queued.  Waits a few ms for a full socket at most; what cannot
 * be sent is dropped and counted, never an error: this is UDP.
 */
void udp_send_flush(struct udp_sender *s);

#endif
