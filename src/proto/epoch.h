/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Epoch keys (PROTOCOL.md, "Keys").  A lineage starts from a random secret and
 * goes forward only: K(e+1) is a hash of K(e), and what is wiped cannot be had
 * back.  From K(e) come, one label each, the keys that make session ids,
 * session secrets, tickets, path cookies and retry tokens; no key serves two
 * purposes.  Pure: the epoch number is an input.
 */
#ifndef PROTO_EPOCH_H
#define PROTO_EPOCH_H

#include "proto/crypto.h"
#include "proto/wire.h"

/* X(name, label): every use of K(e) besides the ratchet and the kid. */
#define EPOCH_LABELS(X)                                                                            \
	X(mask, "mask")                                                                            \
	X(session, "session")                                                                      \
	X(ticket, "ticket")                                                                        \
	X(path, "path")                                                                            \
	X(retry, "retry")

/*
 * X(key, NAME, label): the other labels, each with the key under which it must
 * be the only one of its name.  A new derivation gets its label here.
 */
#define OTHER_LABELS(X)                                                                            \
	X("K", RATCHET, "ratchet")                                                                 \
	X("K", KID, "kid")                                                                         \
	X("Kmask", SID_RANDOM, "r")                                                                \
	X("Kmask", SID_MASK, "mask")                                                               \
	X("S", UP, "c2s")                                                                          \
	X("S", DOWN, "s2c")                                                                        \
	X("cluster secret", REGISTRY, "registry")                                                  \
	X("cluster secret", RELAY, "relay")

struct epoch_keys {
	uint64_t epoch;
	uint8_t kid;
	uint8_t k[KEY_SIZE];
#define X(name, label) uint8_t name[KEY_SIZE];
	EPOCH_LABELS(X)
#undef X
};

#define LINEAGE_EPOCHS 3 /* previous, current, next */
struct lineage {
	uint64_t generation, id; /* the highest (generation, id) issues */
	bool has_previous;       /* false in the epoch of its birth */
	uint64_t outranked;      /* epoch since which it has not issued any more; 0: it issues */
	struct epoch_keys keys[LINEAGE_EPOCHS];
};
enum { EPOCH_PREVIOUS, EPOCH_CURRENT, EPOCH_NEXT };

#define KEYRING_LINEAGES 4
struct keyring {
	unsigned count;
	struct lineage lineage[KEYRING_LINEAGES]; /* [0] issues */
};

/* X(k, info): HKDF-Expand with "anytun2 " before info, in at most DERIVE_PARTS parts. */
#define DERIVE_PARTS 4
void derive(const uint8_t k[KEY_SIZE], const struct part *info, size_t count, uint8_t *out,
		size_t n);

void lineage_birth(struct lineage *l, uint64_t generation, uint64_t id, uint64_t epoch,
		const uint8_t start[KEY_SIZE]);
/* Go forward to epoch (a pause may skip several); wipes what is older than epoch - 1.  Never back. */
void lineage_step(struct lineage *l, uint64_t epoch);
void keyring_wipe(struct keyring *ring);
/*
 * The live keys with this kid, one after the other (two may share a kid): start
 * with *at = 0; NULL when there are no more.
 */
const struct epoch_keys *keyring_find(const struct keyring *ring, uint8_t kid, unsigned *at);
/* The keys that issue now; NULL in an empty ring. */
const struct epoch_keys *keyring_issuer(const struct keyring *ring);

/* ---- what comes from K(e) ---- */
void sid_make(const struct epoch_keys *k, const uint8_t noise_h[HASH_SIZE], uint32_t index,
		uint8_t sid[SID_SIZE]);
uint32_t sid_index(const struct epoch_keys *k, const uint8_t sid[SID_SIZE]);
void session_secret(const struct epoch_keys *k, const uint8_t sid[SID_SIZE],
		const uint8_t client_public[KEY_SIZE], uint8_t s[KEY_SIZE]);
/* Raw key and iv of one direction; down needs the sender. */
void session_key_up(const uint8_t s[KEY_SIZE], enum aead aead, uint8_t key[KEY_SIZE],
		uint8_t iv[NONCE_SIZE]);
void session_key_down(const uint8_t s[KEY_SIZE], enum aead aead, const uint8_t sender[SENDER_SIZE],
		uint8_t key[KEY_SIZE], uint8_t iv[NONCE_SIZE]);

/* Path cookie: t u32 | HMAC(Kpath, kind | sid | address | t)[0..11]. */
void cookie_make(const struct epoch_keys *k, uint8_t kind, const uint8_t sid[SID_SIZE],
		const struct endpoint *address, ticks now, uint8_t cookie[COOKIE_SIZE]);
/* 0; -EBADMSG if it was not made by this key for this; -ETIME if its age is wrong. */
int cookie_check(const struct epoch_keys *k, uint8_t kind, const uint8_t sid[SID_SIZE],
		const struct endpoint *address, ticks now, const uint8_t cookie[COOKIE_SIZE]);

/* The key of the registry's sealed values (cluster/seal.h): from the cluster's secret key. */
void registry_key(const uint8_t cluster_secret[KEY_SIZE], uint8_t key[KEY_SIZE]);
/* Likewise of relays: signs their tokens, keys the initial sequence numbers that callers are told. */
void relay_key(const uint8_t cluster_secret[KEY_SIZE], uint8_t key[KEY_SIZE]);

/* Retry token: kid | 0 0 0 | time u32 | HMAC(Kretry, address | time)[0..23]. */
void token_make(const struct epoch_keys *k, const struct endpoint *address, ticks now,
		uint8_t token[TOKEN_SIZE]);
bool token_check(const struct keyring *ring, const struct endpoint *address, ticks now,
		const uint8_t token[TOKEN_SIZE]);

#endif
