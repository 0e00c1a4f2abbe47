/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Keys and values from the registry, which anybody with its credentials may have
 * written.  Input: length of the key, key, value.  A seal or a signature is not
 * found by mutation, so the value is also taken as the plaintext of a session
 * record, and sealed and signed with the harness's own keys.
 */
#include <errno.h>

#include "cluster/registry_value.h"
#include "fuzz.h"

static struct operator_key op;
static struct operator_public op_public;
static struct value_keys keys;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const uint8_t seed[KEY_SIZE] = {1};
	struct cluster_secrets cluster = {.count = 2};
	struct key_pair pair;

	(void)argc;
	(void)argv;
	MUST(crypto_init(CRYPTO_OPENSSL) == 0);
	operator_key_from_seed(&op, seed);
	memcpy(op_public.sign, op.sign_public, KEY_SIZE);
	memcpy(op_public.seal, op.seal_public, KEY_SIZE);
	for (unsigned i = 0; i < 2; i++) {
		fuzz_pair(&pair, (uint8_t)(2 + i));
		memcpy(cluster.secret[i], pair.secret, KEY_SIZE);
	}
	MUST(value_keys_make(&keys, &cluster, &op_public, false) == 0);
	return 0;
}

static void check_key(const char *key)
{
	char again[INDEX_KEY_SIZE];
	uint32_t index;

	if (!index_from_key(key, &index))
		return;
	MUST(index != 0);
	index_key(again, index);
	MUST(strcmp(again, key) == 0);
}

/* What is read keeps every limit, and is written again as it was. */
static void check_session(const struct session_record *r, const uint8_t *plain, size_t len)
{
	uint8_t again[SESSION_VALUE_MAX];

	MUST(r->group_count <= GROUPS_MAX && r->mac_count <= MACS_MAX && r->aead < AEAD_COUNT);
	MUST(r->down_mtu >= 1280 && r->down_mtu <= 1500 && r->hold >= 1 && r->hold <= 30);
	MUST(session_end(r->epoch) > r->epoch && session_record_order(r, r) == 0);
	MUST(session_value_write(again, r) == len && memcmp(again, plain, len) == 0);
}

static void as_plaintext(const uint8_t *value, size_t len)
{
	struct session_record *r, *opened;
	uint8_t sealed[SESSION_SEALED_MAX];
	uint32_t index;
	int error = 0;

	r = session_value_read(value, len, &error);
	if (!r) {
		MUST(error == -EINVAL);
		return;
	}
	check_session(r, value, len);
	opened = session_value_open(&keys, "7", sealed, session_value_seal(&keys, "7", r, sealed),
			&index, &error);
	MUST(opened && index == 7 && session_record_order(r, opened) == 0);
	free(opened);
	free(r);
}

static void as_it_is(const char *key, const uint8_t *value, size_t len)
{
	struct record client;
	uint32_t index;
	int error = 0;

	MUST(!session_value_open(&keys, key, value, len, &index, &error));
	MUST(error == -EINVAL || error == -EBADMSG);
	MUST(client_value_read(&keys, key, value, len, &client) != 0);
}

/* The rest of a client record after its index, under the right key, and signed. */
static void as_client(const uint8_t *value, size_t len)
{
	static const char label[] = "anyrelay client record";
	uint8_t message[sizeof label - 1 + RECORD_MAX];
	uint8_t *bytes = message + sizeof label - 1;
	struct record r;

	if (len + SIGNATURE_SIZE > RECORD_MAX)
		return;
	memcpy(message, label, sizeof label - 1);
	memcpy(bytes, value, len);
	if (len >= 6)
		store_be32(bytes + 2, 7);
	ed25519_sign(op.seed, message, sizeof label - 1 + len, bytes + len);
	if (client_value_read(&keys, "7", bytes, len + SIGNATURE_SIZE, &r) == 0)
		MUST(r.index == 7 && record_name_valid(r.name));
	MUST(client_value_read(&keys, "8", bytes, len + SIGNATURE_SIZE, &r) != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reader script = reader_over(data, size);
	size_t key_len, len;
	uint8_t *key_bytes = script_bytes(&script, read_u8(&script) & 31, &key_len);
	uint8_t *value = script_bytes(&script, size, &len);
	char key[32] = "";

	memcpy(key, key_bytes, key_len);
	check_key(key);
	as_it_is(key, value, len);
	as_plaintext(value, len);
	as_client(value, len);
	free(key_bytes);
	free(value);
	return 0;
}
