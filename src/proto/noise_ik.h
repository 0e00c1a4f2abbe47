/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The pattern Noise_IKpsk2_25519_AESGCM_SHA256 (Noise rev. 34, 7.5 and 9),
 * without anything of our own: prologue and payloads are the caller's, so that
 * published vectors run through the same code as real handshakes.
 *
 *	<- s
 *	-> e, es, s, ss, payload 1
 *	<- e, ee, se, psk, payload 2
 *
 * The responder's half comes in the steps between which it has to look up who
 * the client is.  Functions of type int return 0 or -EPROTO for an all-zero DH.
 */
#ifndef PROTO_NOISE_IK_H
#define PROTO_NOISE_IK_H

#include "proto/noise.h"

#define IK_MESSAGE1_KEYS     (KEY_SIZE + KEY_SIZE + TAG_SIZE) /* e, s: before payload 1 */
#define IK_MESSAGE1_OVERHEAD (IK_MESSAGE1_KEYS + TAG_SIZE)
#define IK_MESSAGE2_OVERHEAD (KEY_SIZE + TAG_SIZE)

/* Both sides: protocol name, prologue, the responder's static key. */
void ik_begin(struct noise *s, const void *prologue, size_t len,
		const uint8_t responder_public[KEY_SIZE]);

/* Initiator.  out gets len + IK_MESSAGE1_OVERHEAD bytes. */
int ik_write_1(struct noise *s, const struct key_pair *own, const struct key_pair *ephemeral,
		const uint8_t responder_public[KEY_SIZE], const uint8_t *payload, size_t len,
		uint8_t *out);
/* payload gets len - IK_MESSAGE2_OVERHEAD bytes.  0 or -EBADMSG; the state is then spent. */
int ik_read_2(struct noise *s, const struct key_pair *own, const uint8_t ephemeral[KEY_SIZE],
		const uint8_t psk[KEY_SIZE], const uint8_t *in, size_t len, uint8_t *payload);

/* Responder: e, es, s.  0 or -EBADMSG. */
int ik_read_1_keys(struct noise *s, const struct key_pair *own, const uint8_t in[IK_MESSAGE1_KEYS],
		uint8_t client_ephemeral[KEY_SIZE], uint8_t client_public[KEY_SIZE]);
/* ss (computed by the caller), payload: gets len - 16 bytes. */
bool ik_read_1_payload(struct noise *s, const uint8_t ss[KEY_SIZE], const uint8_t *in, size_t len,
		uint8_t *payload);
/* e, ee, se, psk.  Payload 2 then follows by noise_encrypt(). */
int ik_write_2_keys(struct noise *s, const struct key_pair *ephemeral,
		const uint8_t client_ephemeral[KEY_SIZE], const uint8_t client_public[KEY_SIZE],
		const uint8_t psk[KEY_SIZE]);

#endif
