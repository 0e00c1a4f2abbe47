/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Noise rev. 34, section 5.2, with the HKDF of section 4.3 written as the
 * extract and expand of RFC 5869, which it is.
 */
#include "proto/noise.h"

#include "base/util.h"

void key_pair_from_secret(struct key_pair *pair, const uint8_t secret[KEY_SIZE])
{
	memmove(pair->secret, secret, KEY_SIZE);
	x25519_public(pair->secret, pair->public);
}

/* outputs of 32 bytes each, one behind the other */
static void noise_hkdf(const uint8_t ck[HASH_SIZE], const uint8_t *ikm, size_t ikm_len,
		uint8_t *out, size_t outputs)
{
	uint8_t extracted[HASH_SIZE];

	hmac_parts(ck, HASH_SIZE, &PART(ikm, ikm_len), 1, extracted);
	hkdf_expand(extracted, NULL, 0, out, outputs * HASH_SIZE);
	wipe(extracted, sizeof extracted);
}

void noise_begin(struct noise *s, const char *protocol_name, const void *prologue, size_t len)
{
	size_t name_len = strlen(protocol_name);

	memset(s, 0, sizeof *s);
	if (name_len <= HASH_SIZE)
		memcpy(s->h, protocol_name, name_len);
	else
		sha256_parts(&PART(protocol_name, name_len), 1, s->h);
	memcpy(s->ck, s->h, HASH_SIZE);
	noise_mix_hash(s, prologue, len);
}

void noise_mix_hash(struct noise *s, const void *data, size_t n)
{
	const struct part parts[] = {PART(s->h, HASH_SIZE), PART(data, n)};

	sha256_parts(parts, ARRAY_SIZE(parts), s->h);
}

static void set_key(struct noise *s, const uint8_t k[KEY_SIZE])
{
	memcpy(s->k, k, KEY_SIZE);
	s->n = 0;
	s->has_key = true;
}

void noise_mix_key(struct noise *s, const uint8_t ikm[KEY_SIZE])
{
	uint8_t out[2 * HASH_SIZE];

	noise_hkdf(s->ck, ikm, KEY_SIZE, out, 2);
	memcpy(s->ck, out, HASH_SIZE);
	set_key(s, out + HASH_SIZE);
	wipe(out, sizeof out);
}

void noise_mix_key_and_hash(struct noise *s, const uint8_t ikm[KEY_SIZE])
{
	uint8_t out[3 * HASH_SIZE];

	noise_hkdf(s->ck, ikm, KEY_SIZE, out, 3);
	memcpy(s->ck, out, HASH_SIZE);
	noise_mix_hash(s, out + HASH_SIZE, HASH_SIZE);
	set_key(s, out + 2 * HASH_SIZE);
	wipe(out, sizeof out);
}

int noise_mix_dh(struct noise *s, const uint8_t secret[KEY_SIZE], const uint8_t public[KEY_SIZE])
{
	uint8_t shared[KEY_SIZE];
	int r = x25519(secret, public, shared);

	if (r == 0)
		noise_mix_key(s, shared);
	wipe(shared, sizeof shared);
	return r;
}

/* 32 bits of zeros, then n big-endian (Noise rev. 34, 12.4). */
static void next_nonce(struct noise *s, uint8_t nonce[NONCE_SIZE])
{
	memset(nonce, 0, 4);
	store_be64(nonce + 4, s->n++);
}

size_t noise_encrypt(struct noise *s, const uint8_t *in, size_t len, uint8_t *out)
{
	uint8_t nonce[NONCE_SIZE];
	struct aead_key key;

	next_nonce(s, nonce);
	aead_expand(&key, AEAD_AES_256_GCM, s->k);
	aead_seal(&key, nonce, s->h, HASH_SIZE, in, len, out);
	wipe(&key, sizeof key);
	noise_mix_hash(s, out, len + TAG_SIZE);
	return len + TAG_SIZE;
}

bool noise_decrypt(struct noise *s, const uint8_t *in, size_t len, uint8_t *out)
{
	uint8_t nonce[NONCE_SIZE], ad[HASH_SIZE];
	struct aead_key key;
	bool good;

	if (len < TAG_SIZE)
		return false;
	memcpy(ad, s->h, HASH_SIZE);
	noise_mix_hash(s, in, len); /* before it is lost, where out is in */
	next_nonce(s, nonce);
	aead_expand(&key, AEAD_AES_256_GCM, s->k);
	good = aead_open(&key, nonce, ad, HASH_SIZE, in, len, out);
	wipe(&key, sizeof key);
	return good;
}

void noise_split(struct noise *s, uint8_t k1[KEY_SIZE], uint8_t k2[KEY_SIZE])
{
	uint8_t out[2 * HASH_SIZE];

	noise_hkdf(s->ck, NULL, 0, out, 2);
	memcpy(k1, out, KEY_SIZE);
	memcpy(k2, out + HASH_SIZE, KEY_SIZE);
	wipe(out, sizeof out);
}
