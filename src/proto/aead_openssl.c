/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Bulk AEAD through OpenSSL's EVP, for machines without libipsec-mb.  The
 * aead_key holds the raw key; a cipher context is made and cleared for every
 * call (0.25 us), because a context that outlived its call would keep a copy of the
 * key that nobody can find to wipe.
 */
#include "proto/aead.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

static EVP_CIPHER *ciphers[AEAD_COUNT]; /* fetched once: a fetch takes a lock */

static int openssl_init(void)
{
	for (enum aead a = 0; a < AEAD_COUNT; a++) {
		if (!ciphers[a])
			ciphers[a] = EVP_CIPHER_fetch(NULL, aead_name(a), NULL);
		if (!ciphers[a])
			return -ENOTSUP;
	}
	return 0;
}

static void openssl_expand(struct aead_key *key, const uint8_t raw[KEY_SIZE])
{
	memcpy(key->room, raw, KEY_SIZE);
}

/* A context with key, nonce and associated data.  OpenSSL fails here only without memory. */
static EVP_CIPHER_CTX *start(const struct aead_key *key, bool seal, const uint8_t nonce[NONCE_SIZE],
		const void *ad, size_t ad_len)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int n;

	if (!ctx || !EVP_CipherInit_ex2(ctx, ciphers[key->aead], key->room, nonce, seal, NULL) ||
			(ad_len > 0 && !EVP_CipherUpdate(ctx, NULL, &n, ad, (int)ad_len))) {
		log_error("OpenSSL cannot set up %s: out of memory?", aead_name(key->aead));
		abort();
	}
	return ctx;
}

static void openssl_seal(const struct aead_key *key, const uint8_t nonce[NONCE_SIZE],
		const void *ad, size_t ad_len, const uint8_t *in, size_t len, uint8_t *out)
{
	EVP_CIPHER_CTX *ctx = start(key, true, nonce, ad, ad_len);
	uint8_t none[TAG_SIZE];
	int n;

	if ((len > 0 && !EVP_CipherUpdate(ctx, out, &n, in, (int)len)) ||
			!EVP_CipherFinal_ex(ctx, none, &n) ||
			!EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_SIZE, out + len)) {
		log_error("OpenSSL cannot encrypt with %s", aead_name(key->aead));
		abort(); /* nothing may go out half encrypted */
	}
	EVP_CIPHER_CTX_free(ctx);
}

static bool openssl_open(const struct aead_key *key, const uint8_t nonce[NONCE_SIZE],
		const void *ad, size_t ad_len, const uint8_t *in, size_t len, uint8_t *out)
{
	EVP_CIPHER_CTX *ctx = start(key, false, nonce, ad, ad_len);
	uint8_t tag[TAG_SIZE], none[TAG_SIZE];
	bool good;
	int n;

	len -= TAG_SIZE;
	memcpy(tag, in + len, TAG_SIZE); /* the setter's argument is not const */
	good = EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_SIZE, tag) == 1 &&
	       (len == 0 || EVP_CipherUpdate(ctx, out, &n, in, (int)len) == 1) &&
	       EVP_CipherFinal_ex(ctx, none, &n) == 1;
	EVP_CIPHER_CTX_free(ctx);
	return good;
}

const struct aead_ops aead_openssl = {
	.name = "openssl",
	.init = openssl_init,
	.expand = openssl_expand,
	.seal = openssl_seal,
	.open = openssl_open,
};
