/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Fair shares of a worker that cannot keep up: what the socket filter
 * (fair.bpf.c) and user space (path/fair.h, path/fair_bpf.h) have in common.
 *
 * The filter runs when a datagram is about to enter the socket's queue, the last
 * moment at which a drop keeps room there for others.  Each source (address and
 * port) may spend at a rate that user space sets; its state is one time, `due`,
 * before which nothing more of it is let in.  Sources are hashed to a slot in
 * each of two rows, and are let in if either has room: to suffer from a heavy
 * one, another has to meet it in both.  The hash is keyed, and the key of the
 * slots changes, so that nobody can choose whom to meet and nobody meets the
 * same for long.
 *
 * A source is `known` if a client with a session is there (a Bloom filter that
 * user space fills).  All others have one slot together: whoever forges addresses
 * does not get a share for each.
 *
 * The state is written by several CPUs without a lock: what gets lost is a
 * little accuracy.
 */
#ifndef BPF_FAIR_SHARED_H
#define BPF_FAIR_SHARED_H

#include <linux/types.h>
#include <stdbool.h>

#define FAIR_ROWS       2
#define FAIR_SLOTS      8192
#define FAIR_KNOWN_BITS (1u << 22)
/*
 * What a datagram costs: its bytes, and this.  Both what a worker can do and the
 * room in a socket's queue depend on the number of datagrams as well as on bytes.
 */
#define FAIR_OVERHEAD   1024
/* A source that has been silent may spend this much of its rate at once. */
#define FAIR_BURST_NS   (1ull << 25) /* 34 ms */
/* What a single message costs at most: the price may be another by then. */
#define FAIR_DEBT_NS    (1ull << 28) /* 268 ms */
/* Prices are in ns for a unit, times 1 << FAIR_PRICE_SHIFT. */
#define FAIR_PRICE_SHIFT 10

struct fair_source {
	union {
		__u8 ip[16]; /* IPv4 as ::ffff:a.b.c.d */
		__u64 half[2];
	};
	__be16 port;
	__u8 pad[6];
};

struct fair_slot {
	__u64 arrived; /* units, let in or not */
	__u64 due;     /* CLOCK_MONOTONIC, ns */
};

struct fair_state {
	/* user space's */
	__u64 secret;          /* of identities */
	__u64 salt;            /* of slots */
	__u64 price;           /* of a unit; 0: no limit */
	__u64 strangers_price;
	__u64 sorted;          /* whether who is not known is a stranger */
	/* the filter's; row 0 alone counts arrivals */
	__u64 dropped;         /* datagrams */
	__u64 dropped_messages; /* … and how many messages they came in: GRO joins datagrams */
	struct fair_slot strangers;
	struct fair_slot slot[FAIR_ROWS][FAIR_SLOTS];
	__u8 known[FAIR_KNOWN_BITS / 8];
};

_Static_assert(sizeof(struct fair_source) == 24, "struct fair_source");
_Static_assert(sizeof(struct fair_slot) == 16, "struct fair_slot");
_Static_assert(sizeof(struct fair_state) == 72 + 16 * FAIR_ROWS * FAIR_SLOTS + FAIR_KNOWN_BITS / 8,
		"struct fair_state");

static inline __attribute__((always_inline)) __u64 fair_mix(__u64 h)
{
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93ull;
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93ull;
	return h ^ h >> 32;
}

static inline __attribute__((always_inline)) __u64 fair_identity(__u64 secret,
		const struct fair_source *s)
{
	return fair_mix(fair_mix(fair_mix(secret ^ s->half[0]) ^ s->half[1]) ^ s->port);
}

static inline __attribute__((always_inline)) __u32 fair_known_bit(__u64 identity, int which)
{
	return (__u32)(which ? identity >> 32 : identity) % FAIR_KNOWN_BITS;
}

static inline __attribute__((always_inline)) bool fair_is_known(const struct fair_state *f,
		__u64 identity)
{
	__u32 a = fair_known_bit(identity, 0), b = fair_known_bit(identity, 1);

	return f->known[a / 8] >> a % 8 & f->known[b / 8] >> b % 8 & 1;
}

/* True, and charged for: it may pass. */
static inline __attribute__((always_inline)) bool fair_charge(struct fair_slot *s, __u64 now,
		__u64 ns)
{
	__u64 due = s->due, earliest = now - FAIR_BURST_NS;

	if (due > now)
		return false;
	if (ns > FAIR_DEBT_NS)
		ns = FAIR_DEBT_NS;
	s->due = (due > earliest ? due : earliest) + ns;
	return true;
}

/* May a message of this cost enter the queue? */
static inline __attribute__((always_inline)) bool fair_admit(struct fair_state *f, __u64 identity,
		__u64 cost, __u64 now)
{
	__u64 price = f->price, at = fair_mix(identity ^ f->salt);
	struct fair_slot *first = &f->slot[0][at % FAIR_SLOTS];
	struct fair_slot *second = &f->slot[1][(at >> 32) % FAIR_SLOTS];
	bool stranger = f->sorted && !fair_is_known(f, identity), pass;

	if (stranger) {
		first = &f->strangers;
		price = f->strangers_price;
	}
	__sync_fetch_and_add(&first->arrived, cost);
	if (!price)
		return true;
	price = cost * price >> FAIR_PRICE_SHIFT;
	pass = fair_charge(first, now, price);
	if (!stranger)
		pass |= fair_charge(second, now, price);
	return pass;
}

#endif
