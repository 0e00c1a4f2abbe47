/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * What the relay's BPF program (relay.bpf.c) and user space (path/relay_bpf.c)
 * have in common: the maps' layout and the reasons for which a packet goes up
 * to user space.  All fields of addresses and ports are in network order, all
 * others in host order; no implicit padding; sizes are asserted, for both sides.
 *
 * The program hangs at the ingress of each uplink.  A packet to the anycast
 * address and a relay port is rewritten and sent on at once (redirect_neigh), or
 * handed up, or dropped and counted; all others pass untouched.  It is harmless
 * without its daemon: what it knows it goes on relaying until the route is gone,
 * what it would hand up it drops.
 *
 * Fragments: a first fragment is treated like a packet, but stays in its family.
 * Its id is remembered, and later fragments go where it went; those whose first
 * one was not seen here are dropped.  A first fragment may also be handed up:
 * something may be learnt from it, but it is not to be sent on.
 */
#ifndef BPF_RELAY_SHARED_H
#define BPF_RELAY_SHARED_H

#include <linux/types.h>

#define RELAY_UPLINKS_MAX 4
#define RELAY_CAPTURE     2048 /* bytes of a packet that user space is shown, from its IP header on */
#define RELAY_RING_BYTES  (2 << 20) /* about 1000 events */
#define RELAY_FRAGMENTS   4096 /* fragmented packets remembered, the latest */

/* What the packet was sent to. */
struct relay_key {
	__u8 v4, protocol; /* IPPROTO_TCP, IPPROTO_UDP */
	__be16 port;       /* on the anycast address */
};

enum relay_entry_flag {
	RELAY_ENTRY_LATCHED = 1, /* packets must come from `from`; without it all go up */
	RELAY_ENTRY_READY = 2,   /* the other side's address is known: packets may be sent on */
	RELAY_ENTRY_LIMITED = 4, /* the other side has not answered yet: RELAY_LIMIT packets a second, see below */
	RELAY_ENTRY_SPLICED = 8, /* seq, ack and window differ between the two halves (TCP) */
	RELAY_ENTRY_TO_V4 = 16,  /* family of the other side */
	RELAY_ENTRY_TOKEN = 32   /* a stranger may show the token; without it strangers are dropped */
};
#define RELAY_LIMIT 50

/*
 * What sides that have not answered are sent together at one host, of however many relays: so
 * many packets a second, from program and user space.  Not if one of them has answered lately:
 * a gateway has many.  Who has many relays but no answer cannot make the servers a weapon.
 */
#define RELAY_HOST_LIMIT 100
#define RELAY_HOSTS      4096 /* hosts remembered, the latest */
#define RELAY_HEARD      56   /* periods: for so long it has answered "lately" */
#define RELAY_PERIOD(ns) ((__u32)((ns) >> 30)) /* of CLOCK_MONOTONIC: 1.07 s */

struct relay_host_key {
	__u64 half[2]; /* IPv4 as ::ffff:a.b.c.d, of IPv6 the first half alone: a /64 is one host */
};

struct relay_host {
	__u32 period, count; /* sent in this period */
	__u32 heard;         /* period of the last answer; 0: none */
	__u32 pad;
};

/*
 * What looks like a token is handed up from whoever it comes: 64 bytes of payload,
 * of which these eight are the zeros after id and side (proto/relay.h), in base64.
 */
#define RELAY_TOKEN_LOOK_AT   24
#define RELAY_TOKEN_LOOK      0x4141414141414141ull /* "AAAAAAAA" */
#define RELAY_TOKEN_LOOK_SIZE 64

struct relay_entry {
	__u8 from[16], to[16]; /* IPv4 as ::ffff:a.b.c.d */
	__be16 from_port, to_port;
	__be16 out_port;       /* source port on the anycast address of to's family */
	__u8 flags;            /* enum relay_entry_flag */
	__s8 window_shift;     /* -14 … 14 */
	__u32 seq_add, ack_add;
	/* The program's own: a window each of what goes to a side that has not answered, and of what goes up. */
	__u16 limit_period, limit_count, up_period, up_count;
	/* Sent on; the program's own.  Whole IP packets as they came, and GSO frames as their segments. */
	__u64 packets, bytes;
};

/* Constant while the program is loaded. */
struct relay_config {
	__u8 anycast4[4], anycast6[16]; /* zeros: none of this family */
	__u16 port_first, port_last;    /* of relays, host order */
	__u16 mss;                      /* not used by the program; user space clamps */
	__u16 pad;
};

/*
 * X(name, key, budget, text): why a packet is handed up.  Each is also a counter of
 * the program, as are the drops.  The budget is how many packets a second each CPU
 * hands up for this reason (given out in sixteenths, so that a flood does not shut
 * others out for long); more are dropped as RING.  So a flood of whatever kind costs
 * user space some thousand packets a second.  One side's port gets an eighth of it, so
 * that who floods one does not keep others from being learnt.
 */
#define RELAY_UP_SHARES 8
#define RELAY_UP_REASONS(X)                                                                        \
	X(UNKNOWN, "unknown", 1600, "no relay with this port is known here")                       \
	X(UNLATCHED, "unlatched", 3200, "from a side that has not been learnt yet")                \
	X(STRANGER, "stranger", 1600, "not from the side that was learnt: it may show the token")  \
	X(WAITING, "waiting", 1600, "the other side is not known yet")                             \
	X(SYN, "syn", 3200, "TCP SYN or SYN-ACK")                                                  \
	X(TOKEN, "token", 800, "the token once more, from the side that has shown it")             \
	X(CHECKSUM, "checksum", 1600, "UDP without checksum on its way to IPv6")                   \
	X(TTL, "ttl", 160, "hop limit used up: the sender is told")                                \
	X(TOO_BIG, "too_big", 800, "larger than the way out takes: the sender is told")            \
	X(ICMP, "icmp", 800, "ICMP error about a relayed packet")
enum relay_up {
#define X(name, key, budget, text) RELAY_UP_##name,
	RELAY_UP_REASONS(X)
#undef X
	RELAY_UP_COUNT
};

/* X(name, key, text): what the program drops by itself. */
#define RELAY_BPF_DROPS(X)                                                                         \
	X(STRANGER, "relay_stranger", "not from the side that was learnt")                         \
	X(LIMITED, "relay_limited", "more than a side, or host, that has not answered is sent")    \
	X(FRAGMENT, "relay_fragment", "fragment that cannot be assigned or translated")            \
	X(ROUTE, "relay_route", "no way to the other side from here")                              \
	X(RING, "relay_ring", "more for user space than it takes")                                 \
	X(SHAPE, "relay_shape", "headers that cannot be read or rewritten")
enum relay_bpf_drop {
#define X(name, key, text) RELAY_BPF_DROP_##name,
	RELAY_BPF_DROPS(X)
#undef X
	RELAY_BPF_DROP_COUNT
};

/* In the per-CPU array of counters: ups, then drops. */
#define RELAY_COUNTERS (RELAY_UP_COUNT + RELAY_BPF_DROP_COUNT)
struct relay_counter {
	__u64 total;
	__u32 period, in_period; /* of the budget */
};

/* In the ring buffer. */
struct relay_event {
	__u8 reason; /* enum relay_up */
	__u8 pad;
	__u16 len;     /* of data: the packet may be longer, and GSO frames are */
	__u16 segment; /* of a GSO frame: TCP or UDP payload of each of its packets; else 0 */
	__u16 pad2;
	__u32 ifindex;
	__u32 whole;   /* the packet's length from its IP header on */
	__u32 mtu;     /* TOO_BIG: of the way out, as the sender should hear it */
	/* Its TCP or UDP checksum may not have been filled in yet (CHECKSUM_PARTIAL): not to be verified. */
	__u8 data[RELAY_CAPTURE];
};

_Static_assert(sizeof(struct relay_key) == 4, "struct relay_key");
_Static_assert(sizeof(struct relay_entry) == 72, "struct relay_entry");
_Static_assert(sizeof(struct relay_host_key) == 16, "struct relay_host_key");
_Static_assert(sizeof(struct relay_host) == 16, "struct relay_host");
_Static_assert(sizeof(struct relay_config) == 28, "struct relay_config");
_Static_assert(sizeof(struct relay_counter) == 16, "struct relay_counter");
_Static_assert(sizeof(struct relay_event) == 20 + RELAY_CAPTURE, "struct relay_event");

#endif
