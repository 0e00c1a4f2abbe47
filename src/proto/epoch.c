/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* Epoch keys and what is made from them; see epoch.h for how they hang together. */
#include "proto/epoch.h"

#include <assert.h>
#include <errno.h>

#define COOKIE_MAC (COOKIE_SIZE - 4)
#define TOKEN_TIME 4
#define TOKEN_MAC  8

enum label {
#define X(key, name, text) LABEL_##name,
	OTHER_LABELS(X)
#undef X
};

static struct part label(enum label l)
{
	static const char *const text[] = {
#define X(key, name, text) [LABEL_##name] = text,
		OTHER_LABELS(X)
#undef X
	};

	return PART(text[l], strlen(text[l]));
}

void derive(const uint8_t k[KEY_SIZE], const struct part *info, size_t count, uint8_t *out,
		size_t n)
{
	struct part parts[1 + DERIVE_PARTS] = {PART("anytun2 ", 8)};

	assert(count <= DERIVE_PARTS);
	memcpy(parts + 1, info, count * sizeof *info);
	hkdf_expand(k, parts, 1 + count, out, n);
}

/* ---- lineages ---- */

/* next = K(e+1) and its number, nothing else yet. */
static void ratchet(const struct epoch_keys *k, struct epoch_keys *next)
{
	uint8_t epoch[8];
	const struct part info[] = {label(LABEL_RATCHET), PART(epoch, sizeof epoch)};

	next->epoch = k->epoch + 1;
	store_be64(epoch, next->epoch);
	derive(k->k, info, ARRAY_SIZE(info), next->k, KEY_SIZE);
}

/* kid and the labelled keys, from epoch and k. */
static void complete(struct epoch_keys *k)
{
	const struct part kid = label(LABEL_KID);

	derive(k->k, &kid, 1, &k->kid, 1);
#define X(name, text) derive(k->k, &PART(text, strlen(text)), 1, k->name, KEY_SIZE);
	EPOCH_LABELS(X)
#undef X
}

void lineage_birth(struct lineage *l, uint64_t generation, uint64_t id, uint64_t epoch,
		const uint8_t start[KEY_SIZE])
{
	struct epoch_keys *current = &l->keys[EPOCH_CURRENT], *next = &l->keys[EPOCH_NEXT];

	memset(l, 0, sizeof *l);
	l->generation = generation;
	l->id = id;
	current->epoch = epoch;
	memcpy(current->k, start, KEY_SIZE);
	complete(current);
	ratchet(current, next);
	complete(next);
}

void lineage_step(struct lineage *l, uint64_t epoch)
{
	struct epoch_keys *keys = l->keys;

	if (epoch <= keys[EPOCH_CURRENT].epoch)
		return;
	while (keys[EPOCH_CURRENT].epoch < epoch) {
		keys[EPOCH_PREVIOUS] = keys[EPOCH_CURRENT];
		keys[EPOCH_CURRENT] = keys[EPOCH_NEXT];
		ratchet(&keys[EPOCH_CURRENT], &keys[EPOCH_NEXT]);
	}
	l->has_previous = true;
	for (unsigned i = 0; i < LINEAGE_EPOCHS; i++)
		complete(&keys[i]);
}

void keyring_wipe(struct keyring *ring)
{
	wipe(ring, sizeof *ring);
}

const struct epoch_keys *keyring_find(const struct keyring *ring, uint8_t kid, unsigned *at)
{
	while (*at < ring->count * LINEAGE_EPOCHS) {
		const struct lineage *l = &ring->lineage[*at / LINEAGE_EPOCHS];
		unsigned which = *at % LINEAGE_EPOCHS;

		++*at;
		if (l->keys[which].kid == kid && (which != EPOCH_PREVIOUS || l->has_previous))
			return &l->keys[which];
	}
	return NULL;
}

const struct epoch_keys *keyring_issuer(const struct keyring *ring)
{
	return ring->count > 0 ? &ring->lineage[0].keys[EPOCH_CURRENT] : NULL;
}

/* ---- sessions ---- */

static uint32_t sid_mask(const struct epoch_keys *k, const uint8_t r[4])
{
	const struct part parts[] = {label(LABEL_SID_MASK), PART(r, 4)};
	uint8_t mac[HASH_SIZE];

	hmac_parts(k->mask, KEY_SIZE, parts, ARRAY_SIZE(parts), mac);
	return load_be32(mac);
}

void sid_make(const struct epoch_keys *k, const uint8_t noise_h[HASH_SIZE], uint32_t index,
		uint8_t sid[SID_SIZE])
{
	const struct part parts[] = {label(LABEL_SID_RANDOM), PART(noise_h, HASH_SIZE)};
	uint8_t mac[HASH_SIZE];

	hmac_parts(k->mask, KEY_SIZE, parts, ARRAY_SIZE(parts), mac);
	memcpy(sid, mac, 4);
	store_be32(sid + 4, index ^ sid_mask(k, sid));
}

uint32_t sid_index(const struct epoch_keys *k, const uint8_t sid[SID_SIZE])
{
	return load_be32(sid + 4) ^ sid_mask(k, sid);
}

void session_secret(const struct epoch_keys *k, const uint8_t sid[SID_SIZE],
		const uint8_t client_public[KEY_SIZE], uint8_t s[KEY_SIZE])
{
	const struct part info[] = {PART(sid, SID_SIZE), PART(client_public, KEY_SIZE)};

	derive(k->session, info, ARRAY_SIZE(info), s, KEY_SIZE);
}

static void session_key(const uint8_t s[KEY_SIZE], const struct part *info, size_t count,
		uint8_t key[KEY_SIZE], uint8_t iv[NONCE_SIZE])
{
	uint8_t out[KEY_SIZE + NONCE_SIZE];

	derive(s, info, count, out, sizeof out);
	memcpy(key, out, KEY_SIZE);
	memcpy(iv, out + KEY_SIZE, NONCE_SIZE);
	wipe(out, sizeof out);
}

void session_key_up(const uint8_t s[KEY_SIZE], enum aead aead, uint8_t key[KEY_SIZE],
		uint8_t iv[NONCE_SIZE])
{
	const uint8_t number = (uint8_t)aead;
	const struct part info[] = {label(LABEL_UP), PART(&number, 1)};

	session_key(s, info, ARRAY_SIZE(info), key, iv);
}

void session_key_down(const uint8_t s[KEY_SIZE], enum aead aead, const uint8_t sender[SENDER_SIZE],
		uint8_t key[KEY_SIZE], uint8_t iv[NONCE_SIZE])
{
	const uint8_t number = (uint8_t)aead;
	const struct part info[] = {label(LABEL_DOWN), PART(&number, 1), PART(sender, SENDER_SIZE)};

	session_key(s, info, ARRAY_SIZE(info), key, iv);
}

/* ---- path cookies ---- */

static void cookie_mac(const struct epoch_keys *k, uint8_t kind, const uint8_t sid[SID_SIZE],
		const struct endpoint *address, const uint8_t t[4], uint8_t mac[HASH_SIZE])
{
	uint8_t wire[ENDPOINT_WIRE];
	const struct part parts[] = {
		PART(&kind, 1), PART(sid, SID_SIZE), PART(wire, sizeof wire), PART(t, 4),
	};

	endpoint_store(wire, address);
	hmac_parts(k->path, KEY_SIZE, parts, ARRAY_SIZE(parts), mac);
}

void cookie_make(const struct epoch_keys *k, uint8_t kind, const uint8_t sid[SID_SIZE],
		const struct endpoint *address, ticks now, uint8_t cookie[COOKIE_SIZE])
{
	uint8_t mac[HASH_SIZE];

	store_be32(cookie, (uint32_t)time_16th(now));
	cookie_mac(k, kind, sid, address, cookie, mac);
	memcpy(cookie + 4, mac, COOKIE_MAC);
}

int cookie_check(const struct epoch_keys *k, uint8_t kind, const uint8_t sid[SID_SIZE],
		const struct endpoint *address, ticks now, const uint8_t cookie[COOKIE_SIZE])
{
	int32_t age = (int32_t)((uint32_t)time_16th(now) - load_be32(cookie));
	int32_t most = kind == KIND_TIME ? 4 * 16 : 10 * 16;
	uint8_t mac[HASH_SIZE];

	cookie_mac(k, kind, sid, address, cookie, mac);
	if (!equal_secret(mac, cookie + 4, COOKIE_MAC))
		return -EBADMSG;
	return age >= -16 && age <= most ? 0 : -ETIME;
}

/* ---- retry tokens ---- */

static void token_mac(const struct epoch_keys *k, const struct endpoint *address,
		const uint8_t time[4], uint8_t mac[HASH_SIZE])
{
	uint8_t wire[ENDPOINT_WIRE];
	const struct part parts[] = {PART(wire, sizeof wire), PART(time, 4)};

	endpoint_store(wire, address);
	hmac_parts(k->retry, KEY_SIZE, parts, ARRAY_SIZE(parts), mac);
}

void token_make(const struct epoch_keys *k, const struct endpoint *address, ticks now,
		uint8_t token[TOKEN_SIZE])
{
	uint8_t mac[HASH_SIZE];

	memset(token, 0, TOKEN_TIME);
	token[0] = k->kid;
	store_be32(token + TOKEN_TIME, (uint32_t)time_seconds(now));
	token_mac(k, address, token + TOKEN_TIME, mac);
	memcpy(token + TOKEN_MAC, mac, TOKEN_SIZE - TOKEN_MAC);
}

bool token_check(const struct keyring *ring, const struct endpoint *address, ticks now,
		const uint8_t token[TOKEN_SIZE])
{
	int32_t age = (int32_t)((uint32_t)time_seconds(now) - load_be32(token + TOKEN_TIME));
	const struct epoch_keys *k;
	unsigned at = 0;

	if (age < -1 || age > 10)
		return false;
	while ((k = keyring_find(ring, token[0], &at))) {
		uint8_t mac[HASH_SIZE];

		token_mac(k, address, token + TOKEN_TIME, mac);
		if (equal_secret(mac, token + TOKEN_MAC, TOKEN_SIZE - TOKEN_MAC))
			return true;
	}
	return false;
}

void registry_key(const uint8_t cluster_secret[KEY_SIZE], uint8_t key[KEY_SIZE])
{
	const struct part info = label(LABEL_REGISTRY);

	derive(cluster_secret, &info, 1, key, KEY_SIZE);
}

void relay_key(const uint8_t cluster_secret[KEY_SIZE], uint8_t key[KEY_SIZE])
{
	const struct part info = label(LABEL_RELAY);

	derive(cluster_secret, &info, 1, key, KEY_SIZE);
}
