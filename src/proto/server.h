/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The server's side of the protocol: any packet of any session, from the epoch
 * key and the client directory alone (PROTOCOL.md, "Acceptance").  No
 * descriptors and no clock: packets and time come in, packets go out through
 * struct output.
 *
 * Threads.  server_open() and server_seal() run in any number of workers and
 * take no lock; what they read is replaced whole and freed only after every
 * worker has passed a quiescent state (RCU).  Everything that changes a table
 * (first packet of a session, HELLO, eviction, reload) takes server->lock.
 */
#ifndef PROTO_SERVER_H
#define PROTO_SERVER_H

#include <pthread.h>
#include <stdatomic.h>
#include "proto/directory.h"
#include "proto/drop.h"
#include "proto/epoch.h"
#include "proto/handshake.h"
#include "proto/relay_message.h"
#include "proto/replay.h"
#include "proto/session.h"

/*
 * Active ones of one client; the least used one gives way, once idle.  A client
 * that is told once a second that its session is unknown, and believes it, has nine.
 */
#define CLIENT_SESSIONS_MAX    10
#define LIMITER_SLOTS          4096

/* Where the core's packets go.  packet is borrowed for the call. */
struct output {
	void (*send)(struct output *out, const struct endpoint *to, const uint8_t *packet,
			size_t len);
};

/* What a HELLO told of a client.  Never changed once published, replaced whole. */
struct session_record {
	uint8_t sid[SID_SIZE];
	uint64_t full_t, epoch; /* version: (full T, epoch, number), from the HELLO */
	uint32_t number;
	struct endpoint endpoint;
	uint16_t writer; /* number of the server that took the HELLO */
	uint8_t kid, aead;
	uint16_t down_mtu, keepalive;
	uint8_t group_count, mac_count;
	uint8_t hold;    /* s until the endpoint may move again: 1, doubling to 30 */
	uint8_t changes; /* of the record in this second of boot time, after the first */
	uint32_t second;
	ticks moved;     /* cluster time of the last move */
	ticks since;     /* cluster time of the session's first HELLO */
	uint8_t data[];  /* groups, 16 bytes each; then MACs, 6 bytes each */
};

/*
 * An active session: one with expanded keys.  Made by the first packet that is
 * accepted, forgotten 5 s after the last: an idle session costs nothing.
 */
struct active {
	_Atomic(struct active *) next; /* in its hash chain */
	struct active *sibling;        /* of the same client; under the lock */
	_Atomic(struct client *) client; /* another object after a reload */
	uint8_t sid[SID_SIZE];
	uint8_t kid, aead;
	uint64_t epoch;
	ticks end;                /* cluster time */
	ticks first_seen;         /* boot time */
	_Atomic ticks last_used;  /* boot time, either direction */
	_Atomic int16_t off;      /* calibrated delay in 1/16 s */
	_Atomic bool calibrated;
	_Atomic bool has_tx;
	uint64_t told_next;       /* server_sending: the next number at the last look, */
	ticks told_at;            /* and whom it was told when (boot time); under the lock */
	uint16_t told_to;
	ticks probe_window;       /* PROBE budget; under the lock */
	uint8_t probes;
	uint8_t s[KEY_SIZE];
	struct rx_key rx;
	struct tx_key tx;
	struct replay seen;
};

/* X(name, key, text): things that happen, beside drops. */
#define SERVER_EVENTS(X)                                                                           \
	X(HANDSHAKES, "handshakes", "handshakes answered")                                         \
	X(RETRIES, "retries", "retry tokens sent")                                                 \
	X(SESSIONS, "sessions", "sessions confirmed by a HELLO")                                   \
	X(FIRST_SIGHTS, "first_sights", "sessions first seen here, keys derived")                  \
	X(EVICTIONS, "evictions", "idle sessions whose keys were forgotten")                       \
	X(HINTS, "hints", "hints sent")                                                            \
	X(PATH_CHALLENGES, "path_challenges", "challenges to a new address")                       \
	X(TIME_CHALLENGES, "time_challenges", "challenges because of a packet's age")              \
	X(MOVES, "moves", "endpoints moved")                                                       \
	X(PROBES, "probes", "path MTU probes sent")                                                \
	X(TICKETS, "tickets", "client records taken from tickets")                                  \
	X(RELAY_QUESTIONS, "relay_questions", "questions about relays answered")                   \
	X(TOO_BIG, "too_big", "ICMP too-big about our packets passed on to the client")            \
	X(OVERLOADS, "overloads", "times that a worker could not keep up and fair shares began")
enum server_event {
#define X(name, key, text) SERVER_##name,
	SERVER_EVENTS(X)
#undef X
	SERVER_EVENT_COUNT
};
const char *server_event_key(enum server_event e);

/* Called, under the lock, when a client's record has changed; either may be NULL. */
typedef void record_changed(void *arg, struct client *client, const struct session_record *old,
		const struct session_record *now);

/* Called, under the lock, when a HELLO taken here has changed a record: others are to be told.  old may be NULL. */
typedef void record_written(void *arg, const struct client *client, const struct session_record *old,
		const struct session_record *now);

/*
 * Called, under the lock, in server_tick(): this server is sending to a client
 * whose record is another server's; at most each 10 s for each writer.
 */
typedef void server_sending(void *arg, const struct client *client, uint16_t writer);

/*
 * Called, in a worker, for a client that is to be sent something and has no record
 * here, at most four times a second for one client: others may have one.
 */
typedef void record_missing(void *arg, uint32_t index);

/*
 * Called, in a worker, at most ten times a second: ICMP said that a packet of another
 * server was too big, and quotes this header of it.
 */
typedef void others_too_big(void *arg, uint16_t server, const uint8_t quoted[HEADER_SIZE]);

/* Called, in a worker, with the record of a ticket that was good; borrowed, with secrets. */
typedef void client_lent(void *arg, const struct record *r);

/*
 * Called, in a worker, with what a client asks about relays that has the right to,
 * from its proven endpoint.  Fills in status, more, count and relays.
 */
typedef void relay_control(void *arg, const struct instant *now, uint32_t owner,
		const struct relay_question *q, struct relay_answer *a);

/* What another server needs to have the same lineage: the oldest key that is still held.  Secret. */
struct lineage_seed {
	uint64_t generation, id, epoch;
	uint8_t k[KEY_SIZE];
	uint64_t outranked; /* epoch since which it does not issue, 0: it may issue */
};
/* What may be said of a lineage to anybody. */
struct lineage_name {
	uint64_t generation, id, epoch; /* epoch: the present one */
};

struct server_options {
	uint16_t number;          /* of this server */
	uint8_t boot_random[3];
	unsigned active_sessions; /* places */
	unsigned handshake_rate, handshake_prefix_rate;
	uint16_t keepalive_min, keepalive_max;
	unsigned cluster_key_count;
	uint8_t cluster_secrets[CLUSTER_KEYS_MAX][KEY_SIZE]; /* the current one first */
	const struct lineage_seed *start; /* NULL: no keys yet, nothing is answered until they come */
	struct key_limits limits;
	record_changed *record_changed;
	void *record_changed_arg;
	record_written *record_written; /* NULL: there is nobody to tell */
	void *record_written_arg;
	server_sending *sending; /* NULL: nobody wants to know */
	void *sending_arg;
	record_missing *record_missing; /* NULL: there is nobody to ask */
	void *record_missing_arg;
	others_too_big *others_too_big; /* NULL: it cannot be told */
	void *others_too_big_arg;
	client_lent *client_lent; /* NULL: tickets are neither given nor taken */
	void *client_lent_arg;
	relay_control *relay_control; /* NULL: there are no relays */
	void *relay_control_arg;
};

struct cluster_key {
	struct key_pair pair;
	uint8_t id, mac_key[KEY_SIZE];
	uint8_t serial; /* in this process; what is kept for a client names its key so */
};
/* Those that message 1 may be for.  Never changed once published, replaced whole. */
struct cluster_keyset {
	unsigned count;
	struct cluster_key key[CLUSTER_KEYS_MAX];
	uint16_t announcement_len;
	uint8_t announcement[ANNOUNCEMENT_MAX];
};

/* A token bucket of a hashed table: whom it counts is not stored, so it costs nothing to attack. */
struct limiter {
	_Atomic uint64_t slot[LIMITER_SLOTS];
};

struct active_table;
struct retired;
struct server {
	_Atomic(struct directory *) directory;
	_Atomic(struct keyring *) keyring;
	struct active_table *active;
	uint8_t sender[SENDER_SIZE];
	ticks start; /* cluster time: older packets are refused */
	_Atomic(struct cluster_keyset *) cluster;
	_Atomic bool announcing; /* clients are told of its keys */
	/* a reload may change these */
	_Atomic unsigned handshake_rate, handshake_prefix_rate;
	_Atomic uint16_t keepalive_min, keepalive_max;
	struct key_limits limits;
	uint64_t hash_key[2]; /* of the limiters: not to be guessed from outside */
	struct limiter challenges, handshakes, proven, hints, relay_questions, asks;
	_Atomic uint64_t handshake_second; /* second << 32 | messages 1 in it */
	_Atomic uint64_t hint_second, icmp_second, ticket_second, ask_second;
	others_too_big *others_too_big;
	void *others_too_big_arg;
	client_lent *client_lent;
	void *client_lent_arg;
	relay_control *relay_control;
	void *relay_control_arg;
	record_changed *record_changed;
	void *record_changed_arg;
	record_written *record_written;
	void *record_written_arg;
	server_sending *sending;
	void *sending_arg;
	record_missing *record_missing;
	void *record_missing_arg;
	_Atomic bool cut_off; /* the directory is too old to be believed: nobody is served */
	pthread_mutex_t lock;
	struct retired *retired; /* under the lock: to be freed after a grace period */
	struct active *gone;     /* likewise */
	ticks tx_last;           /* likewise: when a sending state last took its first number */
	size_t sweep;
	size_t record_count;
	_Atomic uint64_t events[SERVER_EVENT_COUNT];
};

/* 0 or -ENOMEM.  The options are borrowed; the caller wipes them. */
int server_init(struct server *s, const struct server_options *o, const struct instant *now);
void server_free(struct server *s);
/*
 * Other keys of the cluster; sessions go on.  Clients hear of them once
 * server_announce() says so.  0, 1: they are the same; or -ENOMEM.  One thread at a time.
 */
int server_set_cluster_keys(struct server *s, const struct cluster_secrets *c);
/* Whether to tell clients of the keys: only while every server that may get their answer has them. */
void server_announce(struct server *s, bool announce);
/* Puts a new directory in place (owned from now on) and retires the old one. */
void server_set_directory(struct server *s, struct directory *d);

/* ---- packet path ---- */

/* A datagram from the network; data is writable and borrowed. */
struct datagram {
	uint8_t *data;
	size_t len;
	const struct endpoint *from;
};

/* A packet that was accepted. */
struct opened {
	struct active *active;
	struct client *client;
	uint8_t *plain;
	size_t len;
	bool proven; /* it came from the endpoint on record */
};

/*
 * Any datagram.  DROP_NONE and *o with a plaintext that is not control: the
 * caller's to deliver.  Otherwise the reason it ends here; DROP_NONE with
 * o->len = 0: handled (control, handshake, keep-alive).  The plaintext goes to
 * `to`, with room for d->len - PACKET_OVERHEAD bytes; it may be d->data + HEADER_SIZE.
 */
enum drop server_open(struct server *s, const struct instant *now, const struct datagram *d,
		uint8_t *to, struct output *out, struct opened *o);

/* Where and how to send to a client now: its record, and the sending state of that session. */
struct downstream {
	const struct session_record *record;
	struct active *active;
};
enum drop server_downstream(struct server *s, const struct instant *now, struct client *c,
		struct downstream *down);

/*
 * ICMP said that a packet of ours was too big, and quotes this of it.  Anybody
 * can say so: the client is asked to look again, no more, and only if a session
 * here may have sent that.
 */
void server_too_big(struct server *s, const struct instant *now, const uint8_t *quoted, size_t len,
		struct output *out);

/* ---- session records of other servers (server_record.c) ---- */

static inline size_t session_record_size(const struct session_record *r)
{
	return sizeof *r + 16u * r->group_count + MAC_ADDR_SIZE * (size_t)r->mac_count;
}
/* > 0 if a wins over b: by version, and for twins by the lower server number; 0: the same one. */
int session_record_order(const struct session_record *a, const struct session_record *b);
/*
 * Takes over a record (owned from now on) that another server made.  1: done; 0:
 * it is ours; -ESTALE: ours is newer; -ENOENT: no such client here; -ETIME: the session is over;
 * -ERANGE: by its version it is from a future that is too far off.
 */
int server_apply_record(struct server *s, const struct instant *now, uint32_t index,
		struct session_record *r);
/*
 * Nobody is served from now on, or everybody again: for a server that has been
 * cut off from the registry for too long to know who has been removed.
 */
void server_set_cut_off(struct server *s, bool cut_off);

/* ---- lineages of epoch keys (server_lineage.c) ---- */

/* 1 if it is new here, 0 if it is known or too low to keep; -EINVAL for a far epoch, -ENOMEM. */
int server_lineage_add(struct server *s, const struct instant *now, const struct lineage_seed *seed);
/* A new one, of the next generation, from fresh randomness: it issues from now on. */
int server_lineage_begin(struct server *s, const struct instant *now);
/* All that are held, the issuing one first; the caller wipes them. */
unsigned server_lineage_seeds(struct server *s, struct lineage_seed seeds[KEYRING_LINEAGES]);
unsigned server_lineage_names(struct server *s, struct lineage_name names[KEYRING_LINEAGES]);

/* ---- from time to time ---- */

/*
 * Epoch steps, eviction, ends of sessions, freeing what was retired.  Call it
 * each second or so from one thread; waits for other workers when there is
 * something to free.
 */
void server_tick(struct server *s, const struct instant *now);
/* Frees p with `destroy` (NULL: free) after a grace period.  Under the lock. */
void server_retire(struct server *s, void *p, void (*destroy)(void *p));

struct server_counts {
	size_t clients, records, active, capacity;
	uint64_t epoch;
	uint8_t kid;
};
void server_count(struct server *s, struct server_counts *c);

static inline const uint8_t *record_group(const struct session_record *r, unsigned i)
{
	return r->data + 16 * i;
}
static inline const uint8_t *record_mac(const struct session_record *r, unsigned i)
{
	return r->data + 16 * r->group_count + MAC_ADDR_SIZE * i;
}

#endif
