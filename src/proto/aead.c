/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Which implementation serves bulk AEAD.  Chosen once, at start; a key that was
 * expanded by one implementation means nothing to the other.
 */
#include "proto/aead.h"

#include <errno.h>

static const struct aead_ops *ops;

static int choose(const struct aead_ops *wanted)
{
	int r = wanted->init();

	if (r == 0)
		ops = wanted;
	return r;
}

int crypto_init(enum crypto_backend wanted)
{
#ifdef HAVE_IPSEC_MB
	if (wanted != CRYPTO_OPENSSL && choose(&aead_ipsec_mb) == 0)
		return 0;
#endif
	return wanted == CRYPTO_IPSEC_MB ? -ENOTSUP : choose(&aead_openssl);
}

const char *crypto_backend_name(void)
{
	return ops->name;
}

const char *aead_name(enum aead aead)
{
	static const char *const names[AEAD_COUNT] = {
		[AEAD_AES_256_GCM] = "AES-256-GCM",
		[AEAD_CHACHA20_POLY1305] = "ChaCha20-Poly1305",
	};

	return names[aead];
}

void aead_expand(struct aead_key *key, enum aead aead, const uint8_t raw[KEY_SIZE])
{
	key->aead = aead;
	ops->expand(key, raw);
}

void aead_seal(const struct aead_key *key, const uint8_t nonce[NONCE_SIZE], const void *ad,
		size_t ad_len, const uint8_t *in, size_t len, uint8_t *out)
{
	ops->seal(key, nonce, ad, ad_len, in, len, out);
}

bool aead_open(const struct aead_key *key, const uint8_t nonce[NONCE_SIZE], const void *ad,
		size_t ad_len, const uint8_t *in, size_t len, uint8_t *out)
{
	return ops->open(key, nonce, ad, ad_len, in, len, out);
}
