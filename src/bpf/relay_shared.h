/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * What the relay's BPF program (relay.bpf.c) and user space (path/relay_bpf.c)
 * have in common: the maps' layout and the reasons for which a packet goes up
 * to user space.  All fields of addresses and ports are in network order, all
 * others in host order; no implicit padding; sizes are asserted on both sides.
 *
 * The program hangs at the ingress of each uplink.  A packet to the anycast
 * address and a relay port is rewritten and sent on at once (redirect_neigh), or
 * handed up, or dropped and counted; all others pass untouched.  It is harmless
 * without its daemon: what it knows it goes on relaying until the route is gone,
 * what it would hand up it drops.
 */
#ifndef BPF_RELAY_SHARED_H
#define BPF_RELAY_SHARED_H

#include <linux/types.h>

#define RELAY_UPLINKS_MAX 4
#define RELAY_CAPTURE     2048 /* bytes of a packet that user space is shown, from its IP header on */

/* What the packet was sent to. */
struct relay_key {
	__u8 v4, protocol; /* IPPROTO_TCP, IPPROTO_UDP */
	__be16 port;       /* on the anycast address */
};

enum relay_entry_flag {
	RELAY_ENTRY_LATCHED = 1, /* packets must come from `from`; without it all go up */
	RELAY_ENTRY_READY = 2,   /* the other side's address is known: packets may be sent on */
	RELAY_ENTRY_LIMITED = 4, /* the other side has not answered yet: RELAY_LIMIT packets a second */
	RELAY_ENTRY_SPLICED = 8, /* seq, ack and window differ between the two halves (TCP) */
	RELAY_ENTRY_TO_V4 = 16,  /* family of the other side */
	RELAY_ENTRY_TOKEN = 32   /* a stranger may show the token; without it strangers are dropped */
};
#define RELAY_LIMIT 50

struct relay_entry {
	__u8 from[16], to[16]; /* IPv4 as ::ffff:a.b.c.d */
	__be16 from_port, to_port;
	__be16 out_port;       /* source port on the anycast address of to's family */
	__u8 flags;            /* enum relay_entry_flag */
	__s8 window_shift;
	__u32 seq_add, ack_add;
	__u32 limit_second, limit_count; /* the program's own */
	__u64 packets, bytes;            /* sent on; the program's own: segments, not GSO frames */
};

/* One for the program, in an array map. */
struct relay_config {
	__u8 anycast4[4], anycast6[16]; /* zeros: none of this family */
	__be16 pad;
	__u16 port_first, port_last;    /* of relays, host order */
	__u16 mss;                      /* not used by the program; user space clamps */
};

/*
 * X(name, key, text): why a packet is handed up.  Each is also a counter of the
 * program, as are the drops.
 */
#define RELAY_UP_REASONS(X)                                                                        \
	X(UNKNOWN, "unknown", "no relay with this port is known here")                             \
	X(UNLATCHED, "unlatched", "from a side that has not been learnt yet")                      \
	X(STRANGER, "stranger", "not from the side that was learnt: it may show the token")        \
	X(WAITING, "waiting", "the other side is not known yet")                                   \
	X(SYN, "syn", "TCP SYN or SYN-ACK")                                                        \
	X(CHECKSUM, "checksum", "UDP without checksum on its way to IPv6")                         \
	X(TTL, "ttl", "hop limit used up: the sender is told")                                     \
	X(TOO_BIG, "too_big", "larger than the way out takes: the sender is told")                 \
	X(ICMP, "icmp", "ICMP error about a relayed packet")
enum relay_up {
#define X(name, key, text) RELAY_UP_##name,
	RELAY_UP_REASONS(X)
#undef X
	RELAY_UP_COUNT
};

/* X(name, key, text): what the program drops by itself. */
#define RELAY_BPF_DROPS(X)                                                                         \
	X(STRANGER, "relay_stranger", "not from the side that was learnt")                         \
	X(LIMITED, "relay_limited", "more than a side that has not answered is sent")              \
	X(FRAGMENT, "relay_fragment", "fragment whose first one did not come to this server")      \
	X(ROUTE, "relay_route", "no way to the other side from here")                              \
	X(RING, "relay_ring", "more for user space than it takes")                                 \
	X(SHAPE, "relay_shape", "headers that cannot be read or rewritten")
enum relay_bpf_drop {
#define X(name, key, text) RELAY_BPF_DROP_##name,
	RELAY_BPF_DROPS(X)
#undef X
	RELAY_BPF_DROP_COUNT
};

/* In the ring buffer. */
struct relay_event {
	__u8 reason; /* enum relay_up */
	__u8 pad;
	__u16 len;     /* of data: the packet may be longer, and GSO frames are */
	__u32 ifindex;
	__u32 whole;   /* the packet's length from its IP header on */
	__u32 mtu;     /* TOO_BIG: of the way out, as the sender should hear it */
	__u8 data[RELAY_CAPTURE];
};

#endif
