/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Client records.  A signature is not found by mutation, so the input is also
 * signed with a key of this harness; what is then read must keep the limits, and
 * must be read again after being written again.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LABEL "anyrelay client record"
#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

static struct operator_key op;
static struct operator_public op_public;
static const struct seal_keys keys = {1, {{3}}};

static void start(void)
{
	static const uint8_t seed[KEY_SIZE] = {1};

	MUST(crypto_init(CRYPTO_OPENSSL) == 0);
	operator_key_from_seed(&op, seed);
	memcpy(op_public.sign, op.sign_public, KEY_SIZE);
	memcpy(op_public.seal, op.seal_public, KEY_SIZE);
}

static void check(const struct record *r)
{
	uint8_t bytes[RECORD_MAX];
	struct record again;

	MUST(record_name_valid(r->name) && r->prefix_count <= RECORD_PREFIXES_MAX);
	MUST(r->port_first + r->port_count <= 65536);
	size_t len = record_write(bytes, r, &op, keys.key[0]);
	MUST(len && record_read(&again, bytes, len, &op_public, &keys) == 0);
	MUST(again.index == r->index && again.version == r->version);
	MUST(!memcmp(again.prefixes, r->prefixes, sizeof r->prefixes));
	MUST(!memcmp(again.psk, r->psk, KEY_SIZE) && !strcmp(again.name, r->name));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t label = sizeof LABEL - 1;
	uint8_t message[sizeof LABEL + RECORD_MAX];
	struct record r;

	if (!op.seed[0])
		start();
	MUST(size < SIGNATURE_SIZE || record_read(&r, data, size, &op_public, &keys) <= 0);
	if (size < SIGNATURE_SIZE || size > RECORD_MAX)
		return 0;
	memcpy(message, LABEL, label);
	memcpy(message + label, data, size);
	ed25519_sign(op.seed, message, label + size - SIGNATURE_SIZE,
			message + label + size - SIGNATURE_SIZE);
	int rc = record_read(&r, message + label, size, &op_public, &keys);
	MUST(rc == 0 || rc == -EINVAL || rc == -EKEYREJECTED);
	if (rc == 0)
		check(&r);
	return 0;
}
