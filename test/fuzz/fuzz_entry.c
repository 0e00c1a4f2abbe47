/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Server entries.  A signature is not found by mutation, so the input is also
 * signed with a key of this harness; what is then read must keep the limits, and
 * must be the same bytes after being written again.
 */
#include <errno.h>

#include "fuzz.h"
#include "proto/entry.h"
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
	uint8_t bytes[ENTRY_MAX], again[ENTRY_MAX];
	struct server_entry e;
	uint16_t number;

	MUST(entry_read(&e, data, size, public) != 0);
	if (size < SIGNATURE_SIZE || size > ENTRY_MAX)
		return 0;
	memcpy(bytes, data, size);
	operator_sign("anyrelay server entry", bytes, size - SIGNATURE_SIZE, seed,
			bytes + size - SIGNATURE_SIZE);
	int rc = entry_read(&e, bytes, size, public);
	MUST(rc == 0 || rc == -EINVAL);
	if (rc)
		return 0;
	MUST(e.number && record_name_valid(e.name) && (e.removed || e.mesh.port));
	MUST(entry_peek_number(&number, bytes, size) && number == e.number);
	MUST(entry_write(again, &e) == size && !memcmp(again, bytes, size));
	return 0;
}
