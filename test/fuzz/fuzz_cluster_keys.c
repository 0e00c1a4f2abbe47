/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Announcements of the cluster's keys.  A signature is not found by mutation, so
 * the input is also signed with a key of this harness; what is then read must
 * keep the limits, and must be the same bytes after being written again.
 */
#include <errno.h>

#include "fuzz.h"
#include "proto/cluster_keys.h"
#include "proto/signed.h"

static const uint8_t seed[KEY_SIZE] = {1};
static uint8_t public[KEY_SIZE];

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	MUST(crypto_init(CRYPTO_OPENSSL) == 0);
	ed25519_public(seed, public);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t bytes[ANNOUNCEMENT_MAX], again[ANNOUNCEMENT_MAX];
	struct announcement a;
	uint64_t version = announcement_version(data, size);

	MUST(announcement_read(&a, data, size, public) == (version ? -EBADMSG : -EINVAL));
	if (size < SIGNATURE_SIZE || size > ANNOUNCEMENT_MAX)
		return 0;
	memcpy(bytes, data, size);
	operator_sign("anyrelay cluster keys", bytes, size - SIGNATURE_SIZE, seed,
			bytes + size - SIGNATURE_SIZE);
	int rc = announcement_read(&a, bytes, size, public);
	MUST(rc == (version ? 0 : -EINVAL));
	if (rc)
		return 0;
	MUST(a.version == version && a.count >= 1 && a.count <= CLUSTER_KEYS_MAX);
	MUST(announcement_write(again, &a, seed) == size && !memcmp(again, bytes, size));
	return 0;
}
