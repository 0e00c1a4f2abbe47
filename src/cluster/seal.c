/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "cluster/seal.h"

#include <errno.h>
#include <stdio.h>

#include "base/util.h"

static const uint8_t zero_nonce[NONCE_SIZE];

struct sealing {
	struct aead_key key;
	char ad[SEAL_NAME_MAX + 1];
	size_t ad_len;
};

static bool begin(struct sealing *s, const uint8_t seal_key[KEY_SIZE], const char *bucket,
		const char *key, const uint8_t salt[SEAL_SALT_SIZE])
{
	int n = snprintf(s->ad, sizeof s->ad, "%s.%s", bucket, key);
	uint8_t raw[KEY_SIZE];

	if (n < 0 || n > SEAL_NAME_MAX)
		return false;
	s->ad_len = (size_t)n;
	hkdf_expand(seal_key, &PART(salt, SEAL_SALT_SIZE), 1, raw, sizeof raw);
	aead_expand(&s->key, AEAD_AES_256_GCM, raw);
	wipe(raw, sizeof raw);
	return true;
}

bool seal_value(const uint8_t seal_key[KEY_SIZE], const char *bucket, const char *key,
		const void *plain, size_t len, uint8_t *out)
{
	struct sealing s;

	random_bytes(out, SEAL_SALT_SIZE);
	if (!begin(&s, seal_key, bucket, key, out))
		return false;
	aead_seal(&s.key, zero_nonce, s.ad, s.ad_len, plain, len, out + SEAL_SALT_SIZE);
	wipe(&s, sizeof s);
	return true;
}

long seal_open(const uint8_t seal_key[KEY_SIZE], const char *bucket, const char *key,
		const uint8_t *value, size_t len, uint8_t *plain)
{
	struct sealing s;
	bool good;

	if (len < SEAL_OVERHEAD || !begin(&s, seal_key, bucket, key, value))
		return -EBADMSG;
	good = aead_open(&s.key, zero_nonce, s.ad, s.ad_len, value + SEAL_SALT_SIZE,
			len - SEAL_SALT_SIZE, plain);
	wipe(&s, sizeof s);
	return good ? (long)(len - SEAL_OVERHEAD) : -EBADMSG;
}
