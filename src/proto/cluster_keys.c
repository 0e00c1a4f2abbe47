/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The bytes of an announcement (PROTOCOL.md, "Cluster keys"):
 *
 *	 0   format 1         1, the only one
 *	 1   version 8
 *	 9   count 1          1 or 2
 *	10   public keys, 32 bytes each, the newest first
 *	     Ed25519 signature 64, over "anyrelay cluster keys" and all bytes before it
 */
#include "proto/cluster_keys.h"

#include <errno.h>

#include "base/cursor.h"
#include "proto/signed.h"

#define FORMAT 1
#define FIXED  (1 + 8 + 1)

static const char sign_label[] = "anyrelay cluster keys";

size_t announcement_write(uint8_t out[ANNOUNCEMENT_MAX], const struct announcement *a,
		const uint8_t operator_seed[KEY_SIZE])
{
	size_t len = FIXED + a->count * KEY_SIZE;

	out[0] = FORMAT;
	store_be64(out + 1, a->version);
	out[9] = a->count;
	memcpy(out + FIXED, a->keys, a->count * KEY_SIZE);
	operator_sign(sign_label, out, len, operator_seed, out + len);
	return len + SIGNATURE_SIZE;
}

/* Its form, which must end just before the signature. */
static bool parse(struct announcement *a, const uint8_t *in, size_t len)
{
	struct reader r = reader_over(in, len < SIGNATURE_SIZE ? 0 : len - SIGNATURE_SIZE);

	if (read_u8(&r) != FORMAT)
		return false;
	a->version = read_u64(&r);
	a->count = read_u8(&r);
	if (a->count < 1 || a->count > CLUSTER_KEYS_MAX)
		return false;
	read_copy(&r, a->keys, a->count * KEY_SIZE);
	return !r.bad && reader_left(&r) == 0 && a->version > 0;
}

int announcement_read(struct announcement *a, const uint8_t *in, size_t len,
		const uint8_t operator_public[KEY_SIZE])
{
	struct announcement found = {0};

	if (!parse(&found, in, len))
		return -EINVAL;
	len -= SIGNATURE_SIZE;
	if (!operator_signed(sign_label, in, len, operator_public, in + len))
		return -EBADMSG;
	*a = found;
	return 0;
}

uint64_t announcement_version(const uint8_t *in, size_t len)
{
	struct announcement found = {0};

	return parse(&found, in, len) ? found.version : 0;
}

uint64_t cluster_key_name(const uint8_t cluster_secret[KEY_SIZE])
{
	uint8_t public[KEY_SIZE], hash[HASH_SIZE];

	x25519_public(cluster_secret, public);
	sha256_parts(&PART(public, KEY_SIZE), 1, hash);
	return load_be64(hash) | 1;
}
