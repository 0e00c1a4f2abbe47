/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The handshake: Noise_IKpsk2_25519_AESGCM_SHA256 (Noise rev. 34), one round
 * trip, and the message formats around it (PROTOCOL.md, "Handshake").  Pure: no
 * clock and no sockets, randomness by argument.  Everything is verified into
 * locals before an output is touched; secrets in locals are wiped.
 */
#ifndef PROTO_HANDSHAKE_H
#define PROTO_HANDSHAKE_H

#include "base/addr.h"
#include "proto/cluster_keys.h"
#include "proto/crypto.h"
#include "proto/noise.h"
#include "proto/wire.h"

uint8_t cluster_key_id(const uint8_t cluster_public[KEY_SIZE]); /* SHA-256 of it, first byte */

/*
 * Payload 1: what the client can do, best first.  What is sent may hold
 * values that nobody knows (grease); what is read holds only those known here.
 */
struct offer {
	uint8_t version_count, aead_count;
	uint8_t versions[8], aeads[8];
};
/* Payload 2: what the server grants. */
struct grant {
	uint8_t s[KEY_SIZE];
	uint8_t sid[SID_SIZE];
	uint32_t end; /* Unix seconds */
	ticks time;   /* the server's cluster time */
	struct endpoint address; /* where message 1 came from */
	uint8_t cookie[COOKIE_SIZE];
	uint8_t version, aead, kid;
	uint16_t ticket_len;
	uint8_t ticket[TICKET_MAX];
	uint16_t announcement_len; /* of the cluster's keys; not checked */
	uint8_t announcement[ANNOUNCEMENT_MAX];
};

/* ---- client ---- */
struct initiator {
	uint8_t message[MESSAGE1_SIZE]; /* as it goes out; a retry changes token and mac1 only */
	uint32_t tag;
	uint8_t ephemeral[KEY_SIZE]; /* secret */
	uint8_t cluster_public[KEY_SIZE];
	uint8_t psk[KEY_SIZE];
	struct noise noise; /* after message 1; finish works on a copy */
	bool retried;       /* since the message was last sent: one retry a packet */
};
/* A new ephemeral and tag (from random), token all zero.  0 or -EPROTO (a bad cluster key). */
int initiator_begin(struct initiator *i, const struct key_pair *own, const uint8_t psk[KEY_SIZE],
		const uint8_t cluster_public[KEY_SIZE], const struct offer *offer,
		const uint8_t ephemeral[KEY_SIZE], uint32_t tag);
/* Takes a retry (0xA6): true if it answers this message; token and mac1 are then replaced. */
bool initiator_retry(struct initiator *i, const uint8_t *packet, size_t len);
/*
 * Reads message 2.  0 and *grant, or -EBADMSG with the initiator as before: it
 * takes any number of bad ones.
 */
int initiator_finish(const struct initiator *i, const struct key_pair *own, const uint8_t *packet,
		size_t len, struct grant *grant);
void initiator_wipe(struct initiator *i);

/*
 * ---- server: message 1 is replayable and forgeable, so nothing is kept or changed for it ----
 * The steps in the order below; after a failed one the noise state is wiped
 * already.  Who stops for a reason of his own wipes the struct.
 */
struct responder {
	struct noise noise;
	uint8_t header[8];
	uint8_t ephemeral[KEY_SIZE];     /* the client's, public */
	uint8_t client_public[KEY_SIZE]; /* after responder_open() */
	uint8_t answer[KEY_SIZE];        /* our ephemeral, public: after responder_answer() */
	const uint8_t *rest;             /* the part of message 1 not read yet, borrowed */
	size_t rest_len;
};
/* mac1 under this cluster key (precomputed by message1_mac_key), size and n. */
#define MAC1_LABEL "mac1"
void message1_mac_key(const uint8_t cluster_public[KEY_SIZE], uint8_t key[KEY_SIZE]);
bool message1_check(const uint8_t *packet, size_t len, const uint8_t mac_key[KEY_SIZE]);
/* es: learns the client's public key.  packet is borrowed until responder_accept().  0, -EBADMSG. */
int responder_open(struct responder *r, const struct key_pair *cluster, const uint8_t *packet,
		size_t len);
/* ss (the caller keeps it per client): proves the client, gives its offer.  0, -EBADMSG. */
int responder_accept(struct responder *r, const uint8_t ss[KEY_SIZE], struct offer *offer);
/* e, ee, se, psk: after this r->noise.h is the h that names the session.  0, -EPROTO. */
int responder_answer(struct responder *r, const uint8_t psk[KEY_SIZE],
		const uint8_t ephemeral[KEY_SIZE]);
/* Message 2 into out (at least MESSAGE1_SIZE bytes); its size. */
size_t responder_finish(struct responder *r, const struct grant *grant, uint8_t *out);
/* Retry for this message 1; out has RETRY_SIZE bytes. */
void retry_write(const uint8_t *message1, const uint8_t token[TOKEN_SIZE],
		const uint8_t mac_key[KEY_SIZE], uint8_t out[RETRY_SIZE]);

#endif
