/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The cryptography that the protocol names, and nothing else: thin covers over
 * OpenSSL, with bulk AEAD through libipsec-mb where the CPU has AES-NI.  Safe to
 * call from several threads after crypto_init().  Buffers are the caller's.
 */
#ifndef PROTO_CRYPTO_H
#define PROTO_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HASH_SIZE      32 /* SHA-256 */
#define KEY_SIZE       32 /* X25519, Ed25519 seed and public key, AES-256, ChaCha20, every X(k, info) */
#define SIGNATURE_SIZE 64
#define TAG_SIZE       16
#define NONCE_SIZE     12

/* Which implementation serves bulk AEAD; AUTO takes the fastest that this CPU has. */
enum crypto_backend { CRYPTO_AUTO, CRYPTO_OPENSSL, CRYPTO_IPSEC_MB };
/* 0, or -ENOTSUP where the wanted back end does not run here.  Once, before any thread. */
int crypto_init(enum crypto_backend wanted);
const char *crypto_backend_name(void);

void random_bytes(void *out, size_t n); /* getrandom(); ends the process if the kernel has none */
bool equal_secret(const void *a, const void *b, size_t n); /* in constant time */

/* A piece of a message that is hashed or authenticated without being joined first. */
struct part {
	const void *data;
	size_t len;
};
#define PART(p, n) ((struct part){(p), (n)})

void sha256_parts(const struct part *parts, size_t count, uint8_t out[HASH_SIZE]);
void hmac_parts(const uint8_t *key, size_t key_len, const struct part *parts, size_t count,
		uint8_t out[HASH_SIZE]);
/* HKDF-Expand-SHA256 (RFC 5869 2.3) with info in parts; n at most 255 * 32. */
void hkdf_expand(const uint8_t key[KEY_SIZE], const struct part *info, size_t count, uint8_t *out,
		size_t n);

void x25519_public(const uint8_t secret[KEY_SIZE], uint8_t public[KEY_SIZE]);
/* 0, or -EPROTO for an all-zero result (RFC 7748 6.1): the caller must give up. */
int x25519(const uint8_t secret[KEY_SIZE], const uint8_t public[KEY_SIZE], uint8_t out[KEY_SIZE]);

void ed25519_public(const uint8_t seed[KEY_SIZE], uint8_t public[KEY_SIZE]);
void ed25519_sign(const uint8_t seed[KEY_SIZE], const void *data, size_t n,
		uint8_t signature[SIGNATURE_SIZE]);
bool ed25519_verify(const uint8_t public[KEY_SIZE], const void *data, size_t n,
		const uint8_t signature[SIGNATURE_SIZE]);

/* ---- AEAD ---- numbers as on the wire (PROTOCOL.md, "Packet") */
enum aead { AEAD_AES_256_GCM = 0, AEAD_CHACHA20_POLY1305 = 1, AEAD_COUNT };
const char *aead_name(enum aead aead);

/*
 * An expanded key, in the caller's memory (aligned to 64 bytes, because the
 * vector code reads it so).  It owns nothing outside itself, so wiping the
 * memory ends it.  Read-only after aead_expand(): threads may share it.  The
 * room is what libipsec-mb needs for AES-256-GCM; with it the struct is 1 KiB.
 */
#define AEAD_KEY_ROOM 1008
struct aead_key {
	_Alignas(64) uint8_t room[AEAD_KEY_ROOM];
	enum aead aead;
};

void aead_expand(struct aead_key *key, enum aead aead, const uint8_t raw[KEY_SIZE]);
/* out gets len bytes and then the tag; it may be in itself, not overlap it otherwise. */
void aead_seal(const struct aead_key *key, const uint8_t nonce[NONCE_SIZE], const void *ad,
		size_t ad_len, const uint8_t *in, size_t len, uint8_t *out);
/*
 * len counts ciphertext and tag (at least 16).  out gets len - 16 bytes and may
 * be in itself.  false if the tag does not fit: out is then undefined (in is
 * lost as well when it was the same memory).
 */
bool aead_open(const struct aead_key *key, const uint8_t nonce[NONCE_SIZE], const void *ad,
		size_t ad_len, const uint8_t *in, size_t len, uint8_t *out);

#endif
