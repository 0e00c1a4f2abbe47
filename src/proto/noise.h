/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The symmetric state of the Noise Protocol Framework (rev. 34, section 5.2)
 * for 25519, AES-256-GCM and SHA-256.  The handshake patterns that use it are
 * IKpsk2 (noise_ik.c) and, between servers, KK.
 */
#ifndef PROTO_NOISE_H
#define PROTO_NOISE_H

#include "proto/crypto.h"

struct key_pair {
	uint8_t secret[KEY_SIZE], public[KEY_SIZE];
};
void key_pair_from_secret(struct key_pair *pair, const uint8_t secret[KEY_SIZE]);

struct noise {
	uint8_t ck[HASH_SIZE], h[HASH_SIZE];
	uint8_t k[KEY_SIZE];
	uint64_t n;
	bool has_key;
};

void noise_begin(struct noise *s, const char *protocol_name, const void *prologue, size_t len);
void noise_mix_hash(struct noise *s, const void *data, size_t n);
void noise_mix_key(struct noise *s, const uint8_t ikm[KEY_SIZE]);
void noise_mix_key_and_hash(struct noise *s, const uint8_t ikm[KEY_SIZE]);
/* MixKey(DH(secret, public)).  0 or -EPROTO for an all-zero result. */
int noise_mix_dh(struct noise *s, const uint8_t secret[KEY_SIZE], const uint8_t public[KEY_SIZE]);
/* EncryptAndHash: out gets len + 16 bytes (a key has been mixed).  Its size. */
size_t noise_encrypt(struct noise *s, const uint8_t *in, size_t len, uint8_t *out);
/* DecryptAndHash: len with tag; on false the state is spent. */
bool noise_decrypt(struct noise *s, const uint8_t *in, size_t len, uint8_t *out);
void noise_split(struct noise *s, uint8_t k1[KEY_SIZE], uint8_t k2[KEY_SIZE]);

#endif
