/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The token of a side: 48 bytes as 64 characters of base64url.
 *
 *	 0   id 16 | side 1 (0 or 1) | zeros 7
 *	24   HMAC(relay key, "token" | bytes 0 … 23)[0..23]
 */
#include "proto/relay.h"

#define TOKEN_BYTES 48
#define CLAIM_SIZE  24
#define MAC_SIZE    24
_Static_assert(TOKEN_BYTES / 3 * 4 == RELAY_TOKEN_SIZE, "no padding");

static void token_mac(const uint8_t key[KEY_SIZE], const uint8_t claim[CLAIM_SIZE],
		uint8_t mac[HASH_SIZE])
{
	const struct part parts[] = {PART("token", 5), PART(claim, CLAIM_SIZE)};

	hmac_parts(key, KEY_SIZE, parts, ARRAY_SIZE(parts), mac);
}

/* ---- base64url (RFC 4648, 5) ---- */

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void to_text(char text[RELAY_TOKEN_SIZE], const uint8_t bytes[TOKEN_BYTES])
{
	for (unsigned i = 0; i < TOKEN_BYTES; i += 3) {
		uint32_t v = (uint32_t)bytes[i] << 16 | (uint32_t)bytes[i + 1] << 8 | bytes[i + 2];

		for (unsigned c = 0; c < 4; c++)
			*text++ = alphabet[v >> (18 - 6 * c) & 63];
	}
}

static int value_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '-' ? 62 : c == '_' ? 63 : -1;
}

static bool from_text(uint8_t bytes[TOKEN_BYTES], const char text[RELAY_TOKEN_SIZE])
{
	for (unsigned i = 0; i < TOKEN_BYTES; i += 3) {
		uint32_t v = 0;

		for (unsigned c = 0; c < 4; c++) {
			int six = value_of(*text++);

			if (six < 0)
				return false;
			v = v << 6 | (uint32_t)six;
		}
		bytes[i] = (uint8_t)(v >> 16);
		bytes[i + 1] = (uint8_t)(v >> 8);
		bytes[i + 2] = (uint8_t)v;
	}
	return true;
}

/* ---- */

void relay_token(const uint8_t key[KEY_SIZE], const uint8_t id[RELAY_ID_SIZE], unsigned side,
		char token[RELAY_TOKEN_SIZE])
{
	uint8_t bytes[TOKEN_BYTES] = {0}, mac[HASH_SIZE];

	memcpy(bytes, id, RELAY_ID_SIZE);
	bytes[RELAY_ID_SIZE] = (uint8_t)side;
	token_mac(key, bytes, mac);
	memcpy(bytes + CLAIM_SIZE, mac, MAC_SIZE);
	to_text(token, bytes);
	wipe(bytes, sizeof bytes);
	wipe(mac, sizeof mac);
}

bool relay_token_check(const uint8_t key[KEY_SIZE], const char token[RELAY_TOKEN_SIZE],
		uint8_t id[RELAY_ID_SIZE], unsigned *side)
{
	static const uint8_t zeros[CLAIM_SIZE - RELAY_ID_SIZE - 1];
	uint8_t bytes[TOKEN_BYTES], mac[HASH_SIZE];
	bool good;

	/* Which characters a stranger has sent is nothing that he does not know. */
	if (!from_text(bytes, token))
		return false;
	token_mac(key, bytes, mac);
	good = equal_secret(mac, bytes + CLAIM_SIZE, MAC_SIZE) && bytes[RELAY_ID_SIZE] <= 1 &&
		memcmp(bytes + RELAY_ID_SIZE + 1, zeros, sizeof zeros) == 0;
	if (good) {
		memcpy(id, bytes, RELAY_ID_SIZE);
		*side = bytes[RELAY_ID_SIZE];
	}
	wipe(mac, sizeof mac);
	return good;
}
