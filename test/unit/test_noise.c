/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* The published IKpsk2 vector, from both sides, through the steps that handshakes use. */
#include <errno.h>
#include <jansson.h>

#include "base/util.h"
#include "bytes.h"
#include "proto/noise_ik.h"

#ifndef TEST_DATA
#define TEST_DATA "test/unit/data"
#endif

#define ROOM 256

struct message {
	uint8_t payload[ROOM], bytes[ROOM];
	size_t payload_len, len;
};

static struct {
	uint8_t prologue[ROOM], psk[KEY_SIZE], h[HASH_SIZE];
	size_t prologue_len;
	struct key_pair init, init_e, resp, resp_e;
	struct message messages[2];
} v;

static size_t field(const json_t *object, const char *name, uint8_t *out)
{
	const char *text = json_string_value(json_object_get(object, name));

	assert_non_null(text);
	assert_true(strlen(text) <= 2 * ROOM);
	return unhex(text, out);
}

static void pair(const json_t *object, const char *name, struct key_pair *out)
{
	assert_int_equal(field(object, name, out->secret), KEY_SIZE);
	key_pair_from_secret(out, out->secret);
}

static int load(void **state)
{
	json_t *root = json_load_file(TEST_DATA "/noise-ikpsk2-vector.json", 0, NULL);

	(void)state;
	assert_non_null(root);
	v.prologue_len = field(root, "prologue", v.prologue);
	field(root, "psk", v.psk);
	field(root, "handshake_hash", v.h);
	pair(root, "init_static", &v.init);
	pair(root, "init_ephemeral", &v.init_e);
	pair(root, "resp_static", &v.resp);
	pair(root, "resp_ephemeral", &v.resp_e);
	for (size_t i = 0; i < ARRAY_SIZE(v.messages); i++) {
		const json_t *m = json_array_get(json_object_get(root, "messages"), i);

		v.messages[i].payload_len = field(m, "payload", v.messages[i].payload);
		v.messages[i].len = field(m, "ciphertext", v.messages[i].bytes);
	}
	json_decref(root);
	return crypto_init(CRYPTO_AUTO);
}

static void initiator(void **state)
{
	uint8_t out[ROOM];
	struct noise s;

	(void)state;
	ik_begin(&s, v.prologue, v.prologue_len, v.resp.public);
	assert_int_equal(ik_write_1(&s, &v.init, &v.init_e, v.resp.public, v.messages[0].payload,
			v.messages[0].payload_len, out), 0);
	assert_int_equal(v.messages[0].len, v.messages[0].payload_len + IK_MESSAGE1_OVERHEAD);
	assert_memory_equal(out, v.messages[0].bytes, v.messages[0].len);
	assert_int_equal(ik_read_2(&s, &v.init, v.init_e.secret, v.psk, v.messages[1].bytes,
			v.messages[1].len, out), 0);
	assert_memory_equal(out, v.messages[1].payload, v.messages[1].payload_len);
	assert_memory_equal(s.h, v.h, HASH_SIZE);
}

static void responder(void **state)
{
	uint8_t e[KEY_SIZE], client[KEY_SIZE], ss[KEY_SIZE], out[ROOM];
	const struct message *m = v.messages;
	struct noise s;

	(void)state;
	ik_begin(&s, v.prologue, v.prologue_len, v.resp.public);
	assert_int_equal(ik_read_1_keys(&s, &v.resp, m[0].bytes, e, client), 0);
	assert_memory_equal(client, v.init.public, KEY_SIZE);
	assert_memory_equal(e, v.init_e.public, KEY_SIZE);
	assert_int_equal(x25519(v.resp.secret, client, ss), 0);
	assert_true(ik_read_1_payload(&s, ss, m[0].bytes + IK_MESSAGE1_KEYS,
			m[0].len - IK_MESSAGE1_KEYS, out));
	assert_memory_equal(out, m[0].payload, m[0].payload_len);
	assert_int_equal(ik_write_2_keys(&s, &v.resp_e, e, client, v.psk), 0);
	assert_memory_equal(v.resp_e.public, m[1].bytes, KEY_SIZE);
	assert_int_equal(noise_encrypt(&s, m[1].payload, m[1].payload_len, out),
			m[1].len - KEY_SIZE);
	assert_memory_equal(out, m[1].bytes + KEY_SIZE, m[1].len - KEY_SIZE);
	assert_memory_equal(s.h, v.h, HASH_SIZE);
}

/* Another prologue, or a psk that is wrong in one bit: nothing opens. */
static void bound_to_prologue_and_psk(void **state)
{
	uint8_t e[KEY_SIZE], client[KEY_SIZE], psk[KEY_SIZE], out[ROOM];
	struct noise s;

	(void)state;
	ik_begin(&s, v.prologue, v.prologue_len - 1, v.resp.public);
	assert_int_equal(ik_read_1_keys(&s, &v.resp, v.messages[0].bytes, e, client), -EBADMSG);
	memcpy(psk, v.psk, sizeof psk);
	psk[31] ^= 0x80;
	ik_begin(&s, v.prologue, v.prologue_len, v.resp.public);
	ik_write_1(&s, &v.init, &v.init_e, v.resp.public, v.messages[0].payload,
			v.messages[0].payload_len, out);
	assert_int_equal(ik_read_2(&s, &v.init, v.init_e.secret, psk, v.messages[1].bytes,
			v.messages[1].len, out), -EBADMSG);
}

/* Both ends get the same pair, and a longer name is hashed (Noise rev. 34, 5.2). */
static void split_and_names(void **state)
{
	static const char long_name[] = "Noise_IKpsk2_25519_ChaChaPoly_SHA256";
	uint8_t k1[KEY_SIZE], k2[KEY_SIZE], hash[2 * HASH_SIZE];
	struct noise s;

	(void)state;
	noise_begin(&s, long_name, NULL, 0);
	sha256_parts(&PART(long_name, sizeof long_name - 1), 1, hash);
	assert_memory_equal(s.ck, hash, HASH_SIZE);
	sha256_parts(&PART(hash, HASH_SIZE), 1, hash);
	assert_memory_equal(s.h, hash, HASH_SIZE);
	noise_split(&s, k1, k2);
	assert_memory_not_equal(k1, k2, KEY_SIZE);
	/* HKDF(ck, "", 2) by its definition in 4.3 */
	hmac_parts(s.ck, HASH_SIZE, NULL, 0, hash);
	uint8_t first[HASH_SIZE], second[HASH_SIZE];
	hmac_parts(hash, HASH_SIZE, &PART("\1", 1), 1, first);
	const struct part parts[] = {PART(first, HASH_SIZE), PART("\2", 1)};
	hmac_parts(hash, HASH_SIZE, parts, 2, second);
	assert_memory_equal(k1, first, KEY_SIZE);
	assert_memory_equal(k2, second, KEY_SIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(initiator),
		cmocka_unit_test(responder),
		cmocka_unit_test(bound_to_prologue_and_psk),
		cmocka_unit_test(split_and_names),
	};

	return cmocka_run_group_tests(tests, load, NULL);
}
