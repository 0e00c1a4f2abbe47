/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The uplink: the client's side of the protocol (PROTOCOL.md, "Client").  It
 * talks to the cluster as to one peer; which server answers is only visible in
 * the sender of each packet.  No descriptors and no clock: packets and time
 * come in, packets go out through struct output.  One thread.
 *
 * Timers, all in uplink_tick():
 *
 *   handshake   no session, session needed      1, 2, 4 … 16 s ± 25 %
 *   renewal     45–80 % of a session's rest     a handshake beside the session
 *   HELLO       new session, challenge, change  0.2, 0.4, 0.8, 2, 4 … 16 s ± 25 %
 *   keep-alive  nothing sent for the interval   one empty packet
 *   relays      a question without its answer   0.2, 0.4, 0.8, 2, 4 … 16 s ± 25 %
 *   path MTU    see pmtu.h
 *   who is there  data without an answer        3 round trips, doubling to 3 s; else 10 s
 */
#ifndef PROTO_UPLINK_H
#define PROTO_UPLINK_H

#include "proto/drop.h"
#include "proto/handshake.h"
#include "proto/pmtu.h"
#include "proto/relay_message.h"
#include "proto/replay.h"
#include "proto/server.h" /* struct output, struct datagram */
#include "proto/session.h"

#define UPLINK_SESSIONS     4
#define UPLINK_SENDERS      256 /* of one session; at the limit, a new handshake */
#define UPLINK_ATTEMPTS     3   /* handshakes whose late answer still counts */
#define UPLINK_CLUSTER_KEYS 4
#define UPLINK_SERVERS      2
#define UPLINK_QUESTIONS    16  /* about relays, under way */

/* One server's packets in one session. */
struct uplink_sender {
	uint8_t id[SENDER_SIZE];
	ticks noted; /* boot time at which path MTU discovery was last told of it */
	struct rx_key rx;
	uint64_t packets, blocks;
	struct replay seen;
};

struct uplink_session {
	bool live;
	bool confirmed; /* HELLO acknowledged */
	uint8_t sid[SID_SIZE];
	uint8_t kid;
	enum aead aead;
	uint64_t epoch;
	ticks end;   /* cluster time */
	ticks renew; /* boot time */
	ticks born;  /* boot time */
	uint8_t s[KEY_SIZE];
	struct tx_key tx;
	uint16_t ticket_len;
	uint8_t ticket[TICKET_MAX];
	unsigned sender_count;
	struct uplink_sender *sender[UPLINK_SENDERS];
};

struct uplink_handshake {
	bool wanted;
	unsigned tries;
	ticks next; /* boot time of the next try */
	struct {
		bool used;
		ticks sent;
		struct initiator initiator;
	} attempt[UPLINK_ATTEMPTS]; /* [tries] is the present one, the others are late */
	unsigned present;
};

struct uplink_hello {
	bool pending, known; /* known: there is a cookie */
	uint8_t kind;
	struct endpoint address;
	uint8_t cookie[COOKIE_SIZE];
	uint64_t first; /* packets from this number on say all that is to be said */
	unsigned tries;
	ticks next;
};

/*
 * The answer, or NULL: none came in time; PENDING if it was still that when the time was over.
 * May ask the next question.
 */
typedef void relay_answered(void *arg, const struct instant *now, const struct relay_answer *a);

struct uplink_question {
	bool used;
	bool pending; /* so it was answered last */
	unsigned tries;
	ticks next, end; /* boot time */
	struct relay_question q;
	relay_answered *answered;
	void *arg;
};

/* X(name, key, text) */
#define UPLINK_EVENTS(X)                                                                           \
	X(HANDSHAKES_SENT, "handshakes_sent", "handshakes sent")                                   \
	X(SESSIONS, "sessions", "sessions begun")                                                  \
	X(RETRIES, "retries", "retry tokens received")                                             \
	X(HELLOS, "hellos", "HELLOs sent")                                                         \
	X(CHALLENGES, "challenges", "challenges received")                                         \
	X(TICKETS, "tickets", "tickets shown")                                                     \
	X(HINTS, "hints", "hints believed")                                                        \
	X(KEYS_LEARNED, "keys_learned", "changes of the cluster's keys learned")                   \
	X(KEYS_REFUSED, "keys_refused", "changes of them that the operator has not signed")        \
	X(RELAY_QUESTIONS, "relay_questions", "questions about relays sent")                       \
	X(KEEPALIVES, "keepalives", "keep-alives sent")                                            \
	X(PROBES, "probes", "path MTU probes sent or asked for")                                       \
	X(ASKED, "asked", "questions to which server packets go")
enum uplink_event {
#define X(name, key, text) UPLINK_EV_##name,
	UPLINK_EVENTS(X)
#undef X
	UPLINK_EV_COUNT
};
const char *uplink_event_key(enum uplink_event e);

struct uplink_options {
	uint8_t secret[KEY_SIZE], psk[KEY_SIZE];
	unsigned cluster_key_count;
	uint8_t cluster_keys[UPLINK_CLUSTER_KEYS][KEY_SIZE]; /* newest first */
	bool has_operator;               /* who may say that there are others now */
	uint8_t operator_sign[KEY_SIZE];
	uint64_t keys_version;           /* of the announcement that they are from, 0: of none */
	unsigned server_count;
	struct endpoint servers[UPLINK_SERVERS];
	uint16_t keepalive; /* s, 0 none */
	bool unlinkable;
	enum aead aead; /* preferred */
	struct key_limits limits;
	struct pmtu_memory memory; /* of the path MTU down; count 0: nothing is known */
};

struct uplink {
	struct key_pair own;
	struct uplink_options o;
	unsigned server; /* in use, of o.servers */

	bool has_time;
	int64_t offset;  /* cluster time less boot time */
	bool followed;   /* a server's clock, forward, since the session began */
	ticks differ;    /* boot time until which servers' clocks are known to differ */
	uint64_t last_t; /* full T of the last packet: over all sessions it never goes back, but */
			 /* for what no server accepted (begin_session) */
	ticks rtt;

	struct uplink_session session[UPLINK_SESSIONS];
	struct uplink_session *newest; /* the one to send in, or NULL */
	struct uplink_handshake handshake;
	struct uplink_hello hello;
	struct uplink_question question[UPLINK_QUESTIONS];
	struct pmtu up, down;
	uint16_t told_down; /* downstream MTU in the last HELLO */
	uint8_t group_count, mac_count;
	uint8_t groups[GROUPS_MAX][16];
	uint8_t macs[MACS_MAX][MAC_ADDR_SIZE];

	ticks last_sent, last_data; /* boot time */
	ticks last_hint, last_tick;
	ticks unanswered; /* boot time of the first data sent since data came; 0: none */
	ticks asked;      /* boot time of the last question who is there, … */
	ticks ask_after;  /* … and how long to wait for data before the next */
	ticks search_after; /* how long after `unanswered` the path MTU is searched anew */
	uint64_t asked_next; /* number after it */
	_Atomic uint16_t learned_len; /* of an announcement that was taken; whoever keeps it sets it to 0 */
	uint8_t learned[ANNOUNCEMENT_MAX];
	uint32_t random; /* for jitter only */
	uint64_t events[UPLINK_EV_COUNT];
};

int uplink_init(struct uplink *u, const struct uplink_options *o, const struct instant *now);
void uplink_free(struct uplink *u);

/* A datagram from the network, as server_open(): DROP_NONE with *len > 0 is a plaintext for us. */
enum drop uplink_open(struct uplink *u, const struct instant *now, const struct datagram *d,
		uint8_t *to, struct output *out, size_t *len);

/* There is something to send: true if it can be, in u->newest->tx.  Otherwise a handshake begins. */
bool uplink_ready(struct uplink *u, const struct instant *now, struct output *out);
/* T for packets sent now. */
uint16_t uplink_time(struct uplink *u, const struct instant *now);
/* Data is being sent. */
void uplink_sends(struct uplink *u, const struct instant *now);
/* After data of so many bytes was sent in u->newest. */
static inline void uplink_sent(struct uplink *u, const struct instant *now, size_t bytes,
		unsigned packets)
{
	tx_count(&u->newest->tx, bytes, packets);
	uplink_sends(u, now);
}
static inline const struct endpoint *uplink_server(const struct uplink *u)
{
	return &u->o.servers[u->server];
}
/* Largest plaintext of a packet up, and largest inner packet that both directions take whole. */
unsigned uplink_plain_max(const struct uplink *u, const struct instant *now);
unsigned uplink_tunnel_mtu(const struct uplink *u, const struct instant *now);

/* Brings up to date what the next run may begin with.  True: it has changed. */
bool uplink_remember(const struct uplink *u, const struct instant *now, struct pmtu_memory *m);

/*
 * Asks the cluster about relays, as often as it takes within `patience` (at least 1 s): after an
 * answer PENDING it is asked again.  False: too many questions are under way.
 * op and request are copied; request may be one of which only the id counts.
 */
bool uplink_relay_ask(struct uplink *u, const struct instant *now, enum relay_op op,
		const struct relay_request *request, ticks patience, relay_answered *answered, void *arg);

/* Whatever is due; returns the boot time at which to call again at the latest. */
ticks uplink_tick(struct uplink *u, const struct instant *now, struct output *out);
/* The cluster's keys as its operator last announced them: what they are replaced by. */
void uplink_set_keys(struct uplink *u, const struct announcement *a);
/* When that is, from the present state: a packet may have brought it forward. */
ticks uplink_deadline(const struct uplink *u, const struct instant *now);
/* The machine woke up, or its addresses changed: the cluster must learn where we are. */
void uplink_moved(struct uplink *u, const struct instant *now, struct output *out);
/*
 * ICMP said that a packet of ours was too big, and quotes this of it.  Anybody
 * can say so: it only makes us look again, and only if we may have sent that.
 */
void uplink_too_big(struct uplink *u, const struct instant *now, const uint8_t *quoted, size_t len);
void uplink_set_groups(struct uplink *u, const struct instant *now, uint8_t groups[][16],
		unsigned count, struct output *out);
/* MACs behind this client (Ethernet payload). */
void uplink_set_macs(struct uplink *u, const struct instant *now, uint8_t macs[][MAC_ADDR_SIZE],
		unsigned count, struct output *out);

#endif
