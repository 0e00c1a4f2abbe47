/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The pattern Noise_KK_25519_AESGCM_SHA256 (Noise rev. 34, 7.5), between two
 * servers that know each other's key:
 *
 *	-> s
 *	<- s
 *	...
 *	-> e, es, ss, payload 1
 *	<- e, ee, se, payload 2
 *
 * ss depends on nothing but the two keys, and is given by the caller.  Functions
 * of type int return 0, or -EPROTO for an all-zero DH or -EBADMSG for bytes that
 * do not decrypt; the state is then spent.
 */
#ifndef PROTO_NOISE_KK_H
#define PROTO_NOISE_KK_H

#include "proto/noise.h"

#define KK_OVERHEAD (KEY_SIZE + TAG_SIZE) /* of either message: e, tag of the payload */

void kk_begin(struct noise *s, const void *prologue, size_t len,
		const uint8_t initiator[KEY_SIZE], const uint8_t responder[KEY_SIZE]);

/* Initiator.  out gets len + KK_OVERHEAD bytes, payload len - KK_OVERHEAD. */
int kk_write_1(struct noise *s, const struct key_pair *ephemeral, const uint8_t responder[KEY_SIZE],
		const uint8_t ss[KEY_SIZE], const uint8_t *payload, size_t len, uint8_t *out);
int kk_read_2(struct noise *s, const uint8_t own_secret[KEY_SIZE],
		const uint8_t ephemeral_secret[KEY_SIZE], const uint8_t *in, size_t len,
		uint8_t *payload);

/* Responder.  The peer's ephemeral key is in[0..31] of message 1. */
int kk_read_1(struct noise *s, const uint8_t own_secret[KEY_SIZE], const uint8_t ss[KEY_SIZE],
		const uint8_t *in, size_t len, uint8_t *payload);
int kk_write_2(struct noise *s, const struct key_pair *ephemeral,
		const uint8_t peer_ephemeral[KEY_SIZE], const uint8_t initiator[KEY_SIZE],
		const uint8_t *payload, size_t len, uint8_t *out);

#endif
