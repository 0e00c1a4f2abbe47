/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * One implementation of bulk AEAD.  Internal to crypto: everyone else calls
 * aead_*() of crypto.h, which goes to the implementation that crypto_init()
 * chose.  The contracts are those of crypto.h; key->aead is set already when
 * expand() is called.
 */
#ifndef PROTO_AEAD_H
#define PROTO_AEAD_H

#include "proto/crypto.h"

struct aead_ops {
	const char *name;
	int (*init)(void); /* 0 or -ENOTSUP; may be called again */
	void (*expand)(struct aead_key *key, const uint8_t raw[KEY_SIZE]);
	void (*seal)(const struct aead_key *key, const uint8_t nonce[NONCE_SIZE], const void *ad,
			size_t ad_len, const uint8_t *in, size_t len, uint8_t *out);
	bool (*open)(const struct aead_key *key, const uint8_t nonce[NONCE_SIZE], const void *ad,
			size_t ad_len, const uint8_t *in, size_t len, uint8_t *out);
};

extern const struct aead_ops aead_openssl;
#ifdef HAVE_IPSEC_MB
extern const struct aead_ops aead_ipsec_mb;
#endif

#endif
