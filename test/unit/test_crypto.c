/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/util.h"
#include "bytes.h"
#include "proto/crypto.h"

#define TEXT(s) PART(s, strlen(s))

static void hashes(void **state)
{
	const struct part abc[] = {TEXT("a"), TEXT(""), TEXT("bc")};
	uint8_t out[HASH_SIZE], long_key[131];

	(void)state;
	sha256_parts(abc, 3, out);
	assert_hex(out, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	/* RFC 4231, cases 2 and 6 (a key longer than a block) */
	const struct part want[] = {TEXT("what do ya want "), TEXT("for nothing?")};
	hmac_parts((const uint8_t *)"Jefe", 4, want, 2, out);
	assert_hex(out, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	memset(long_key, 0xaa, sizeof long_key);
	hmac_parts(long_key, sizeof long_key,
			&TEXT("Test Using Larger Than Block-Size Key - Hash Key First"), 1, out);
	assert_hex(out, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static void hkdf(void **state)
{
	uint8_t prk[KEY_SIZE], info[10], okm[42], more[255 * 32];
	const struct part parts[] = {PART(info, 4), PART(info + 4, 6)};

	(void)state; /* RFC 5869, A.1 */
	unhex("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5", prk);
	unhex("f0f1f2f3f4f5f6f7f8f9", info);
	hkdf_expand(prk, parts, 2, okm, sizeof okm);
	assert_hex(okm, "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
			"34007208d5b887185865");
	hkdf_expand(prk, parts, 2, more, sizeof more); /* the longest; a longer one begins alike */
	assert_memory_equal(more, okm, sizeof okm);
}

static void x25519_vectors(void **state)
{
	uint8_t k[KEY_SIZE], u[KEY_SIZE], out[KEY_SIZE];

	(void)state; /* RFC 7748, 5.2 */
	unhex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4", k);
	unhex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c", u);
	assert_int_equal(x25519(k, u, out), 0);
	assert_hex(out, "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");
	memset(k, 0, sizeof k);
	k[0] = 9;
	x25519_public(k, out);
	assert_hex(out, "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079");
	memcpy(u, k, sizeof u);
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(x25519(k, u, out), 0);
		memcpy(u, k, sizeof u);
		memcpy(k, out, sizeof k);
	}
	assert_hex(k, "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51");
}

/* The points of small order, and their forms not reduced: the shared secret would be zero. */
static void x25519_low_order(void **state)
{
	static const char *const points[] = {
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
		"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	};
	uint64_t seed = 1;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(points); i++) {
		uint8_t k[KEY_SIZE], u[KEY_SIZE], out[KEY_SIZE];

		fill(&seed, k, sizeof k);
		unhex(points[i], u);
		assert_int_equal(x25519(k, u, out), -EPROTO);
	}
}

static void ed25519(void **state)
{
	/* RFC 8032, 7.1, tests 1 and 3 */
	static const struct {
		const char *seed, *public, *message, *signature;
	} v[] = {
		{"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
				"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
				"",
				"e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
				"5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"},
		{"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
				"fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
				"af82",
				"6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
				"18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(v); i++) {
		uint8_t seed[KEY_SIZE], public[KEY_SIZE], message[2], signature[SIGNATURE_SIZE];
		size_t n = unhex(v[i].message, message);

		unhex(v[i].seed, seed);
		ed25519_public(seed, public);
		assert_hex(public, v[i].public);
		ed25519_sign(seed, message, n, signature);
		assert_hex(signature, v[i].signature);
		assert_true(ed25519_verify(public, message, n, signature));
		signature[i] ^= 1;
		assert_false(ed25519_verify(public, message, n, signature));
		signature[i] ^= 1;
		public[5] ^= 1; /* another point, or none */
		assert_false(ed25519_verify(public, message, n, signature));
	}
}

/* Every back end that runs here; OpenSSL runs everywhere. */
static const enum crypto_backend backends[] = {CRYPTO_OPENSSL, CRYPTO_IPSEC_MB};

static void use(enum crypto_backend b)
{
	if (crypto_init(b) != 0)
		skip();
}

static void aead_vector(enum aead aead, const char *key_hex, const char *nonce_hex,
		const char *ad_hex, const uint8_t *plain, size_t len, const char *sealed_hex)
{
	uint8_t raw[KEY_SIZE], nonce[NONCE_SIZE], ad[32], sealed[256], opened[256];
	size_t ad_len = unhex(ad_hex, ad);
	struct aead_key key;

	unhex(key_hex, raw);
	unhex(nonce_hex, nonce);
	for (size_t i = 0; i < ARRAY_SIZE(backends); i++) {
		if (crypto_init(backends[i]) != 0)
			continue;
		aead_expand(&key, aead, raw);
		aead_seal(&key, nonce, ad, ad_len, plain, len, sealed);
		assert_int_equal(strlen(sealed_hex) / 2, len + TAG_SIZE);
		assert_hex(sealed, sealed_hex);
		assert_true(aead_open(&key, nonce, ad, ad_len, sealed, len + TAG_SIZE, opened));
		assert_memory_equal(opened, plain, len);
	}
}

static void aead_vectors(void **state)
{
	static const char zero[] = "00000000000000000000000000000000"
				   "00000000000000000000000000000000";
	static const char sunscreen[] =
			"Ladies and Gentlemen of the class of '99: If I could offer you only one "
			"tip for the future, sunscreen would be it.";
	uint8_t plain[60] = {0};

	(void)state;
	/* McGrew and Viega, "The Galois/Counter Mode of Operation", cases 13 and 16 */
	aead_vector(AEAD_AES_256_GCM, zero, "000000000000000000000000", "", plain, 0,
			"530f8afbc74536b9a963b4f1c4cb738b");
	unhex("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
	      "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39", plain);
	aead_vector(AEAD_AES_256_GCM,
			"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
			"cafebabefacedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2",
			plain, sizeof plain,
			"522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
			"8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
			"76fc6ece0f4e1768cddf8853bb2d551b");
	/* RFC 8439, 2.8.2 */
	aead_vector(AEAD_CHACHA20_POLY1305,
			"808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
			"070000004041424344454647", "50515253c0c1c2c3c4c5c6c7",
			(const uint8_t *)sunscreen, sizeof sunscreen - 1,
			"d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6"
			"3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36"
			"92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
			"3ff4def08e4b7a9de576d26586cec64b6116"
			"1ae10b594f09e26a7e902ecbd0600691");
}

struct sample {
	uint8_t raw[KEY_SIZE], nonce[NONCE_SIZE], ad[48], plain[2000];
	size_t ad_len, len;
};

/* Sealed by one back end, in place or not, and opened by the other. */
static void cross(const struct sample *s, enum aead aead, enum crypto_backend from,
		enum crypto_backend to, bool in_place, uint8_t sealed[2016])
{
	uint8_t opened[2016];
	struct aead_key key;

	use(from);
	aead_expand(&key, aead, s->raw);
	if (in_place)
		memcpy(sealed, s->plain, s->len);
	aead_seal(&key, s->nonce, s->ad, s->ad_len, in_place ? sealed : s->plain, s->len, sealed);
	use(to);
	aead_expand(&key, aead, s->raw);
	if (in_place)
		memcpy(opened, sealed, s->len + TAG_SIZE);
	assert_true(aead_open(&key, s->nonce, s->ad, s->ad_len, in_place ? opened : sealed,
			s->len + TAG_SIZE, opened));
	assert_memory_equal(opened, s->plain, s->len);
}

static void backends_agree(void **state)
{
	uint64_t seed = 2;
	struct sample s;

	(void)state;
	use(CRYPTO_IPSEC_MB);
	for (size_t len = 0; len <= 2000; len += len < 300 ? 1 : 1 + next_random(&seed) % 20) {
		for (enum aead a = 0; a < AEAD_COUNT; a++) {
			uint8_t one[2016], other[2016];
			bool in_place = next_random(&seed) & 1;

			fill(&seed, &s, offsetof(struct sample, ad_len));
			s.len = len;
			s.ad_len = next_random(&seed) % (sizeof s.ad + 1);
			cross(&s, a, CRYPTO_OPENSSL, CRYPTO_IPSEC_MB, in_place, one);
			cross(&s, a, CRYPTO_IPSEC_MB, CRYPTO_OPENSSL, !in_place, other);
			assert_memory_equal(one, other, len + TAG_SIZE);
		}
	}
}

/* Every bit of ciphertext, tag, associated data and nonce counts. */
static void aead_refuses(void **state)
{
	uint64_t seed = 3;

	(void)state;
	for (size_t b = 0; b < ARRAY_SIZE(backends); b++) {
		if (crypto_init(backends[b]) != 0)
			continue;
		for (enum aead a = 0; a < AEAD_COUNT; a++) {
			struct {
				uint8_t nonce[NONCE_SIZE], ad[16], sealed[40 + TAG_SIZE];
			} m;
			uint8_t raw[KEY_SIZE], out[40];
			struct aead_key key;

			fill(&seed, raw, sizeof raw);
			fill(&seed, &m, sizeof m);
			aead_expand(&key, a, raw);
			aead_seal(&key, m.nonce, m.ad, 16, m.sealed, 40, m.sealed);
			for (size_t bit = 0; bit < 8 * sizeof m; bit++) {
				((uint8_t *)&m)[bit / 8] ^= (uint8_t)(1 << bit % 8);
				assert_false(aead_open(&key, m.nonce, m.ad, 16, m.sealed,
						sizeof m.sealed, out));
				((uint8_t *)&m)[bit / 8] ^= (uint8_t)(1 << bit % 8);
			}
			assert_true(aead_open(&key, m.nonce, m.ad, 16, m.sealed, sizeof m.sealed,
					out));
			wipe(&key, sizeof key); /* is the end of it: nothing is kept elsewhere */
			key.aead = a;
			assert_false(aead_open(&key, m.nonce, m.ad, 16, m.sealed, sizeof m.sealed,
					out));
		}
	}
}

#define SHARED_KEYS 8
static struct aead_key shared[SHARED_KEYS];

/* Uses all keys by turns, in an order of its own. */
static void *user(void *argument)
{
	uint64_t seed = (uintptr_t)argument;
	uintptr_t bad = 0;

	for (int i = 0; i < 4000; i++) {
		const struct aead_key *key = &shared[next_random(&seed) % SHARED_KEYS];
		uint8_t nonce[NONCE_SIZE], plain[100], packet[100 + TAG_SIZE];

		fill(&seed, nonce, sizeof nonce);
		fill(&seed, plain, sizeof plain);
		aead_seal(key, nonce, "ad", 2, plain, sizeof plain, packet);
		if (!aead_open(key, nonce, "ad", 2, packet, sizeof packet, packet) ||
				memcmp(packet, plain, sizeof plain) != 0)
			bad++;
	}
	return (void *)bad;
}

static void threads_share_keys(void **state)
{
	uint64_t seed = 4;

	(void)state;
	for (size_t b = 0; b < ARRAY_SIZE(backends); b++) {
		pthread_t threads[4];

		if (crypto_init(backends[b]) != 0)
			continue;
		for (unsigned i = 0; i < SHARED_KEYS; i++) {
			uint8_t raw[KEY_SIZE];

			fill(&seed, raw, sizeof raw);
			aead_expand(&shared[i], i % AEAD_COUNT, raw);
		}
		for (uintptr_t i = 0; i < ARRAY_SIZE(threads); i++)
			assert_int_equal(pthread_create(&threads[i], NULL, user, (void *)(i + 1)),
					0);
		for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
			void *bad;

			assert_int_equal(pthread_join(threads[i], &bad), 0);
			assert_null(bad);
		}
	}
}

static void small_things(void **state)
{
	uint8_t a[32] = {0}, b[32] = {0};

	(void)state;
	assert_int_equal(sizeof(struct aead_key), 1024);
	assert_int_equal(crypto_init(CRYPTO_OPENSSL), 0);
	assert_string_equal(crypto_backend_name(), "openssl");
	assert_int_equal(crypto_init(CRYPTO_AUTO), 0);
	assert_string_equal(aead_name(AEAD_AES_256_GCM), "AES-256-GCM");
	random_bytes(a, sizeof a);
	random_bytes(b, sizeof b);
	assert_false(equal_secret(a, b, sizeof a));
	assert_true(equal_secret(a, a, sizeof a));
	assert_true(equal_secret(a, b, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hashes),
		cmocka_unit_test(hkdf),
		cmocka_unit_test(x25519_vectors),
		cmocka_unit_test(x25519_low_order),
		cmocka_unit_test(ed25519),
		cmocka_unit_test(aead_vectors),
		cmocka_unit_test(backends_agree),
		cmocka_unit_test(aead_refuses),
		cmocka_unit_test(threads_share_keys),
		cmocka_unit_test(small_things),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
