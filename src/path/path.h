/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The packet path: what all workers share, and what each has for itself.
 *
 * A worker is a thread that does everything for the packets it reads: opens,
 * routes, seals and sends them, batch by batch, without handing any to another
 * thread, without a lock and without allocating (worker.c is the loop; start
 * reading at receive.c and send.c).  A quiet daemon is one thread.
 */
#ifndef PATH_PATH_H
#define PATH_PATH_H

#include <pthread.h>
#include <semaphore.h>
#include "path/gro.h"
#include "path/inner.h"
#include "path/tun.h"
#include "path/udp.h"
#include "proto/piece.h"
#include "proto/server.h"
#include "proto/uplink.h"

#define WORKERS_MAX   64
#define WATCHES_MAX   16
#define ARENA_SIZE    (320 * 1024)
#define FRAME_ROOM    (68 * 1024)
#define DEVICE_FRAMES 64 /* read from a device in one go */

/* X(name, key, text): what passes; drops are counted beside it. */
#define TRAFFIC_COUNTERS(X)                                                                        \
	X(RX_DATAGRAMS, "rx_datagrams", "datagrams received")                                      \
	X(RX_BYTES, "rx_bytes", "bytes in datagrams received")                                     \
	X(TX_DATAGRAMS, "tx_datagrams", "datagrams sent")                                          \
	X(TX_BYTES, "tx_bytes", "bytes in datagrams sent")                                         \
	X(DEVICE_RX_FRAMES, "device_rx_frames", "frames read from the tunnel device")              \
	X(DEVICE_RX_PACKETS, "device_rx_packets", "packets in frames read from the device")        \
	X(DEVICE_TX_FRAMES, "device_tx_frames", "frames written to the tunnel device")             \
	X(DEVICE_TX_PACKETS, "device_tx_packets", "packets in frames written to the device")       \
	X(COPIES, "copies", "copies made of multicast, broadcast and flooded packets")             \
	X(PIECES, "pieces", "packets sent in two pieces")                                          \
	X(FRAGMENTS, "fragments", "IPv4 fragments made")                                           \
	X(ICMP_ERRORS, "icmp_errors", "ICMP errors sent to inner senders")                         \
	X(LOOPS, "loops", "rounds of the workers' loops")
enum traffic {
#define X(name, key, text) TRAFFIC_##name,
	TRAFFIC_COUNTERS(X)
#undef X
	TRAFFIC_COUNT
};
const char *traffic_key(enum traffic t);

struct counters {
	uint64_t drop[DROP_COUNT];
	uint64_t traffic[TRAFFIC_COUNT];
};

enum device { DEVICE_TUN, DEVICE_TAP, DEVICE_COUNT };
enum family { FAMILY_V4, FAMILY_V6, FAMILY_COUNT };

struct mode;
struct xport;
struct worker;
struct ethernet;
struct members;

/* Inner destinations behind the server's device, and hosts in them that are not.  Replaced whole (RCU). */
struct networks {
	unsigned count, denied_count;
	struct prefix list[]; /* networks, then the hosts denied, ascending */
};

/* MAC addresses from which a client has had frames lately. */
struct macs_behind {
	unsigned count;
	struct {
		uint8_t mac[MAC_ADDR_SIZE];
		ticks heard; /* boot time */
	} entry[MACS_MAX];
};

/* Shared by all workers; set up before they start. */
struct path {
	struct server *server; /* role server, or NULL */
	struct uplink *uplink; /* role client, or NULL; one worker */
	const struct mode *mode;
	const struct xport *xport;
	bool has_device[DEVICE_COUNT];
	struct tun device[DEVICE_COUNT];
	_Atomic unsigned mtu; /* of the tunnel: what TCP is clamped to */
	_Atomic bool clamp_mss, copy_dscp, broadcast; /* a reload may change these */
	bool free_bind; /* our outer addresses come with the device, after the sockets */
	bool has_own[FAMILY_COUNT];
	uint8_t own[FAMILY_COUNT][16]; /* the server's inner address, source of its ICMP errors */
	_Atomic(struct networks *) networks;
	unsigned broadcast_count;      /* directed broadcast addresses of the tunnel's networks */
	uint8_t broadcast_ip[8][16];
	_Atomic unsigned flood_rate, client_rate; /* likewise */
	_Atomic bool groups_changed; /* client: the machine joined or left a multicast group */
	struct members *members;   /* who gets multicast and broadcast */
	struct ethernet *ethernet; /* MAC table */
	struct macs_behind behind; /* client: of its one worker */
	unsigned worker_count;
	struct worker *worker[WORKERS_MAX];
	_Atomic bool stop;
};

/* Something another thread wants done in a worker's own. */
struct worker_call {
	void (*run)(void *arg, struct worker *w);
	void *arg;
	sem_t done;
};

struct watch {
	int fd;
	void (*ready)(void *arg, struct worker *w);
	void *arg;
};

struct worker {
	struct output output; /* where the core's own packets go; first member */
	struct path *path;
	unsigned id;
	pthread_t thread;
	int epoll, wake;
	int udp[FAMILY_COUNT];    /* -1: none */
	int device[DEVICE_COUNT]; /* -1: none */
	bool device_paused;       /* client without a session: packets wait in the device's queue */
	struct instant now;
	ticks deadline;           /* boot time */
	struct counters counters;

	struct udp_receiver *in;
	struct udp_sender *out[FAMILY_COUNT];
	struct coalescer gro;
	uint8_t *gro_buffer;
	uint8_t *placed;  /* the packet under way lies in gro_buffer, here; or NULL */
	bool to_device;   /* where the last packet went: a guess at where the next one goes */
	uint8_t *frame;   /* one frame from a device */
	uint8_t *arena;   /* packets until they are flushed */
	size_t arena_used;
	struct tx_run run;
	struct pieces *pieces;
	uint16_t piece_id;
	uint32_t icmp_second, icmp_count[2]; /* errors this second: too big, and all others */

	_Atomic(struct worker_call *) call;
	unsigned watch_count;
	struct watch watch[WATCHES_MAX];
	/* Called by worker 0 when a deadline has passed; returns the next one (boot time). */
	ticks (*timer)(void *arg, struct worker *w);
	void *timer_arg;
};

/* An inner packet on its way. */
struct packet {
	uint8_t *data;
	size_t len;            /* its own length, without padding */
	struct inner in;
	struct client *origin; /* the client that sent it; NULL: from the device */
	uint8_t *room;         /* the sealed packet may lie here; NULL: in the arena */
	unsigned more;         /* packets of this batch after it */
};

static inline void count_drop(struct worker *w, enum drop why)
{
	counter_add(&w->counters.drop[why], 1);
}
static inline void count(struct worker *w, enum traffic what, uint64_t n)
{
	counter_add(&w->counters.traffic[what], n);
}

/* ---- worker.c ---- */
struct worker *worker_new(struct path *p, unsigned id);
void worker_free(struct worker *w);
int worker_watch(struct worker *w, int fd, void (*ready)(void *arg, struct worker *w), void *arg);
void worker_unwatch(struct worker *w, int fd);
/* The loop, until path->stop; the thread is registered with RCU. */
void worker_run(struct worker *w);
void worker_wake(struct worker *w);
/* From another thread, one at a time: runs it in the worker's thread, and waits for its end. */
void worker_do(struct worker *w, void (*run)(void *arg, struct worker *w), void *arg);
/* Sum over all workers, read while they run. */
void path_count(const struct path *p, struct counters *sum);
/* n bytes that stay until the next flush; flushes first if they are not there. */
uint8_t *arena_take(struct worker *w, size_t n);
/* Gives back the last n bytes taken. */
static inline void arena_return(struct worker *w, size_t n)
{
	w->arena_used -= n;
}
void worker_flush(struct worker *w);

/* ---- receive.c ---- */
void receive_udp(struct worker *w, enum family f);
/* ICMP said that a packet of ours was too big, and quotes this much of it. */
void receive_too_big(struct worker *w, const uint8_t *quoted, size_t len);
void receive_device(struct worker *w, enum device dev);

/* ---- send.c ---- */

/* Where packets of one session are sent: by a server to a client, by a client to the cluster. */
struct far_end {
	struct tx_key *tx;
	const struct key_limits *limits;
	const struct endpoint *to;
	unsigned room;  /* largest plaintext that the path takes */
	unsigned least; /* smallest plaintext allowed; zeros fill it up */
	uint16_t t;
};
enum drop far_end_client(struct worker *w, struct client *c, struct far_end *end);
enum drop far_end_server(struct worker *w, struct far_end *end);
/*
 * Seals an inner packet and queues it.  What does not fit goes in pieces or
 * fragments, or its sender gets an ICMP error; too_big is then where to.
 */
void send_packet(struct worker *w, const struct far_end *end, struct packet *p);
/* Any plaintext that fits: Ethernet, for one. */
void send_plain(struct worker *w, const struct far_end *end, const uint8_t *plain, size_t len,
		uint8_t tos, uint8_t *room, unsigned more);
/* An ICMP error to the packet's sender, within the rate. */
void send_icmp_error(struct worker *w, const struct packet *p, enum icmp_error what, unsigned mtu);

/* ---- device.c ---- */
void device_put(struct worker *w, const struct packet *p);
void device_put_frame(struct worker *w, const uint8_t *frame, size_t len);
/* Writes what has been put. */
void device_flush(struct worker *w);
/* Largest TSO frame whose packets fill one UDP send, for this MTU. */
unsigned device_gso_max(unsigned mtu);

#endif
