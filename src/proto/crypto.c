/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Hashes, HKDF, X25519, Ed25519 and random numbers, over OpenSSL.
 *
 * SHA-256 goes through the calls that OpenSSL 3 calls deprecated: their state is
 * a plain struct on the stack, which costs no allocation, is copied by
 * assignment (HKDF keys HMAC once for all its blocks) and is wiped with
 * certainty.  A handshake hashes some forty times.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "proto/crypto.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/log.h"
#include "base/util.h"

/* For what can only fail without memory or entropy: going on would be worse. */
static _Noreturn void die(const char *what)
{
	log_error("%s: the process ends, because without it nothing is secret", what);
	abort();
}

void random_bytes(void *out, size_t n)
{
	uint8_t *at = out;

	while (n > 0) {
		ssize_t got = getrandom(at, n, 0);

		if (got < 0 && errno != EINTR)
			die("the kernel gives no random numbers (getrandom)");
		if (got > 0) {
			at += got;
			n -= (size_t)got;
		}
	}
}

bool equal_secret(const void *a, const void *b, size_t n)
{
	return CRYPTO_memcmp(a, b, n) == 0;
}

/* ---- SHA-256, HMAC (RFC 2104), HKDF (RFC 5869) ---- */

static void add_parts(SHA256_CTX *c, const struct part *parts, size_t count)
{
	for (size_t i = 0; i < count; i++)
		SHA256_Update(c, parts[i].data, parts[i].len);
}

void sha256_parts(const struct part *parts, size_t count, uint8_t out[HASH_SIZE])
{
	SHA256_CTX c;

	SHA256_Init(&c);
	add_parts(&c, parts, count);
	SHA256_Final(out, &c);
	wipe(&c, sizeof c);
}

struct hmac {
	SHA256_CTX inner, outer;
};

static void hmac_begin(struct hmac *m, const uint8_t *key, size_t key_len)
{
	uint8_t block[SHA256_CBLOCK] = {0};

	if (key_len > sizeof block)
		sha256_parts(&PART(key, key_len), 1, block);
	else if (key_len > 0)
		memcpy(block, key, key_len);
	for (size_t i = 0; i < sizeof block; i++)
		block[i] ^= 0x36;
	SHA256_Init(&m->inner);
	SHA256_Update(&m->inner, block, sizeof block);
	for (size_t i = 0; i < sizeof block; i++)
		block[i] ^= 0x36 ^ 0x5c;
	SHA256_Init(&m->outer);
	SHA256_Update(&m->outer, block, sizeof block);
	wipe(block, sizeof block);
}

static void hmac_end(struct hmac *m, uint8_t out[HASH_SIZE])
{
	SHA256_Final(out, &m->inner);
	SHA256_Update(&m->outer, out, HASH_SIZE);
	SHA256_Final(out, &m->outer);
	wipe(m, sizeof *m);
}

void hmac_parts(const uint8_t *key, size_t key_len, const struct part *parts, size_t count,
		uint8_t out[HASH_SIZE])
{
	struct hmac m;

	hmac_begin(&m, key, key_len);
	add_parts(&m.inner, parts, count);
	hmac_end(&m, out);
}

void hkdf_expand(const uint8_t key[KEY_SIZE], const struct part *info, size_t count, uint8_t *out,
		size_t n)
{
	struct hmac keyed, m;
	uint8_t t[HASH_SIZE];

	hmac_begin(&keyed, key, KEY_SIZE);
	for (uint8_t i = 1; n > 0; i++) {
		size_t take = MIN(n, sizeof t);

		m = keyed;
		if (i > 1)
			SHA256_Update(&m.inner, t, sizeof t);
		add_parts(&m.inner, info, count);
		SHA256_Update(&m.inner, &i, 1);
		hmac_end(&m, t);
		memcpy(out, t, take);
		out += take;
		n -= take;
	}
	wipe(&keyed, sizeof keyed);
	wipe(t, sizeof t);
}

/* ---- X25519 (RFC 7748) ---- */

static EVP_PKEY *import(EVP_PKEY_CTX *from, const uint8_t *secret, const uint8_t *public)
{
	OSSL_PARAM params[3], *p = params;
	EVP_PKEY *key = NULL;

	if (secret)
		*p++ = OSSL_PARAM_construct_octet_string(
				OSSL_PKEY_PARAM_PRIV_KEY, (void *)secret, KEY_SIZE);
	*p++ = OSSL_PARAM_construct_octet_string(
			OSSL_PKEY_PARAM_PUB_KEY, (void *)public, KEY_SIZE);
	*p = OSSL_PARAM_construct_end();
	if (EVP_PKEY_fromdata(from, &key, secret ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY,
			params) != 1)
		die("OpenSSL takes no X25519 key");
	return key;
}

/*
 * The secret is imported together with a public key, any one: the agreement
 * does not look at it, and if there were none OpenSSL would compute it, which
 * takes longer than the agreement itself.
 */
int x25519(const uint8_t secret[KEY_SIZE], const uint8_t public[KEY_SIZE], uint8_t out[KEY_SIZE])
{
	EVP_PKEY_CTX *from = EVP_PKEY_CTX_new_from_name(NULL, "X25519", NULL);
	EVP_PKEY *own, *peer;
	EVP_PKEY_CTX *ctx;
	size_t n = KEY_SIZE;
	bool nonzero;

	if (!from || EVP_PKEY_fromdata_init(from) != 1)
		die("OpenSSL has no X25519");
	own = import(from, secret, public);
	peer = import(from, NULL, public);
	ctx = EVP_PKEY_CTX_new_from_pkey(NULL, own, NULL);
	if (!ctx || EVP_PKEY_derive_init(ctx) != 1 ||
			EVP_PKEY_derive_set_peer_ex(ctx, peer, 0) != 1)
		die("OpenSSL sets up no X25519 agreement");
	nonzero = EVP_PKEY_derive(ctx, out, &n) == 1; /* its one reason: an all-zero result */
	if (!nonzero)
		memset(out, 0, KEY_SIZE);
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(own);
	EVP_PKEY_free(peer);
	EVP_PKEY_CTX_free(from);
	return nonzero ? 0 : -EPROTO;
}

/* By the definition of RFC 7748 6.1; OpenSSL's own way, over Edwards points, is slower. */
void x25519_public(const uint8_t secret[KEY_SIZE], uint8_t public[KEY_SIZE])
{
	static const uint8_t base[KEY_SIZE] = {9};

	if (x25519(secret, base, public) != 0)
		die("X25519 of the base point is zero"); /* impossible: clamped, prime order */
}

/* ---- Ed25519 (RFC 8032) ---- */

static EVP_PKEY *ed25519_key(const uint8_t seed[KEY_SIZE])
{
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, KEY_SIZE);

	if (!key)
		die("OpenSSL takes no Ed25519 key");
	return key;
}

void ed25519_public(const uint8_t seed[KEY_SIZE], uint8_t public[KEY_SIZE])
{
	EVP_PKEY *key = ed25519_key(seed);
	size_t n = KEY_SIZE;

	if (EVP_PKEY_get_raw_public_key(key, public, &n) != 1)
		die("OpenSSL gives no Ed25519 public key");
	EVP_PKEY_free(key);
}

void ed25519_sign(const uint8_t seed[KEY_SIZE], const void *data, size_t n,
		uint8_t signature[SIGNATURE_SIZE])
{
	EVP_PKEY *key = ed25519_key(seed);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t size = SIGNATURE_SIZE;

	if (!ctx || EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) != 1 ||
			EVP_DigestSign(ctx, signature, &size, data, n) != 1)
		die("OpenSSL does not sign with Ed25519");
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key);
}

bool ed25519_verify(const uint8_t public[KEY_SIZE], const void *data, size_t n,
		const uint8_t signature[SIGNATURE_SIZE])
{
	EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public, KEY_SIZE);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good;

	if (!key || !ctx || EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) != 1)
		die("OpenSSL sets up no Ed25519 check");
	good = EVP_DigestVerify(ctx, signature, SIGNATURE_SIZE, data, n) == 1;
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key);
	return good;
}
