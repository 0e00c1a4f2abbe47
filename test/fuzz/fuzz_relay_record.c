/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * What servers read about relays: records (of the registry and the mesh), tokens
 * (of strangers), messages of the mesh.  Input: length of a record, the record,
 * another one; whatever it is, it is also taken as the other things.
 */
#include "cluster/relay_mesh.h"
#include "cluster/relay_value.h"
#include "fuzz.h"

static uint8_t key[KEY_SIZE] = {7};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	MUST(crypto_init(CRYPTO_OPENSSL) == 0);
	return 0;
}

/* What is read is sound, and written again as it was. */
static bool take(struct relay *r, const uint8_t *bytes, size_t len)
{
	uint8_t again[RELAY_RECORD_MAX];

	if (!relay_read(r, bytes, len))
		return false;
	MUST(relay_sound(r) && relay_equal(r, r) && relay_same_request(r, r));
	MUST(relay_write(again, r) == len && memcmp(again, bytes, len) == 0);
	return true;
}

static void join(const struct relay *a, const struct relay *b)
{
	struct relay ab = *a, ba = *b;

	relay_merge(&ab, b);
	relay_merge(&ba, a);
	MUST(relay_sound(&ab) && relay_equal(&ab, &ba));
	MUST(!relay_merge(&ab, &ba));
}

static void as_token(const uint8_t *bytes, size_t len)
{
	char token[RELAY_TOKEN_SIZE] = "";
	uint8_t id[RELAY_ID_SIZE];
	unsigned side;

	memcpy(token, bytes, MIN(len, sizeof token));
	MUST(!relay_token_check(key, token, id, &side));
	if (len < RELAY_ID_SIZE)
		return;
	relay_token(key, bytes, len & 1, token);
	MUST(relay_token_check(key, token, id, &side) && side == (len & 1));
	MUST(memcmp(id, bytes, RELAY_ID_SIZE) == 0);
}

static void as_message(const uint8_t *bytes, size_t len)
{
	uint8_t again[RELAY_MESH_MAX];
	struct relay_port port;

	if (!relay_port_read(&port, bytes, len))
		return;
	MUST(port.port != 0);
	MUST(relay_port_write(again, (enum relay_mesh_message)bytes[0], &port) <= len);
	MUST(memcmp(again, bytes, 5) == 0);
}

static void as_key(const uint8_t *bytes, size_t len)
{
	char text[40] = "", again[RELAY_KEY_SIZE];
	uint8_t id[RELAY_ID_SIZE];

	memcpy(text, bytes, MIN(len, sizeof text - 1));
	if (!relay_value_id(text, id))
		return;
	relay_value_key(again, id);
	MUST(strcmp(text, again) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reader script = reader_over(data, size);
	size_t len_a, len_b;
	uint8_t *a = script_bytes(&script, read_u16(&script), &len_a);
	uint8_t *b = script_bytes(&script, size, &len_b);
	struct relay r[2];

	if (take(&r[0], a, len_a) && take(&r[1], b, len_b)) {
		memcpy(r[1].id, r[0].id, RELAY_ID_SIZE); /* merging is for records of one id */
		join(&r[0], &r[1]);
	}
	as_token(a, len_a);
	as_message(a, len_a);
	as_key(a, len_a);
	free(a);
	free(b);
	return 0;
}
