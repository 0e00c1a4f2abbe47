/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "proto/signed.h"

#include <assert.h>
#include <string.h>

static size_t join(uint8_t message[SIGNED_MAX], const char *label, const uint8_t *bytes, size_t len)
{
	size_t label_len = strlen(label);

	assert(label_len + len <= SIGNED_MAX);
	memcpy(message, label, label_len);
	memcpy(message + label_len, bytes, len);
	return label_len + len;
}

void operator_sign(const char *label, const uint8_t *bytes, size_t len,
		const uint8_t seed[KEY_SIZE], uint8_t signature[SIGNATURE_SIZE])
{
	uint8_t message[SIGNED_MAX];

	ed25519_sign(seed, message, join(message, label, bytes, len), signature);
}

bool operator_signed(const char *label, const uint8_t *bytes, size_t len,
		const uint8_t public[KEY_SIZE], const uint8_t signature[SIGNATURE_SIZE])
{
	uint8_t message[SIGNED_MAX];

	return ed25519_verify(public, message, join(message, label, bytes, len), signature);
}
