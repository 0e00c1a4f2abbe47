/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* genkey and pubkey: keys as base64, one a line. */
#include "ctl/ctl.h"

#include <stdio.h>

#include "base/base64.h"
#include "base/util.h"

static int print_key(const struct options *o, const char *label, const uint8_t *key, size_t n)
{
	char text[BASE64_SIZE(2 * KEY_SIZE)];
	int code = EXIT_OK;

	base64_encode(text, key, n);
	if (o->json)
		code = print_json(json_pack("{s:s}", label, text));
	else
		puts(text);
	wipe(text, sizeof text);
	return code;
}

int cmd_genkey(const struct options *o)
{
	uint8_t key[KEY_SIZE];

	random_bytes(key, sizeof key);
	if (!o->operator) { /* as X25519 uses it (RFC 7748 5), so that tools agree on the text */
		key[0] &= 248;
		key[31] = (key[31] & 127) | 64;
	}
	int code = print_key(o, o->operator ? "operator_key" : "private_key", key, sizeof key);
	wipe(key, sizeof key);
	return code;
}

/* A key from stdin, which may end with a newline and nothing else. */
static bool read_secret(uint8_t key[KEY_SIZE])
{
	char text[BASE64_SIZE(KEY_SIZE) + 1];

	size_t n = fread(text, 1, sizeof text, stdin);
	if (n > 0 && text[n - 1] == '\n')
		n--;
	bool ok = base64_decode(key, KEY_SIZE, text, n) == KEY_SIZE;
	wipe(text, sizeof text);
	return ok;
}

int cmd_pubkey(const struct options *o)
{
	uint8_t secret[KEY_SIZE], public[2 * KEY_SIZE];
	size_t n = KEY_SIZE;

	if (!read_secret(secret))
		return failed("Standard input does not hold a key (base64 of 32 bytes, one line), as "
				"anyrelay genkey prints it.");
	if (o->operator) {
		struct operator_key key;
		operator_key_from_seed(&key, secret);
		memcpy(public, key.sign_public, KEY_SIZE);
		memcpy(public + KEY_SIZE, key.seal_public, KEY_SIZE);
		n = sizeof public;
		wipe(&key, sizeof key);
	} else {
		x25519_public(secret, public);
	}
	wipe(secret, sizeof secret);
	return print_key(o, "public_key", public, n);
}
