/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The operator's signature: Ed25519 over a label and the signed bytes, so that
 * what was signed as one kind of thing is never taken for another.
 */
#ifndef PROTO_SIGNED_H
#define PROTO_SIGNED_H

#include "proto/crypto.h"

#define SIGNED_MAX 512 /* label and bytes together */

void operator_sign(const char *label, const uint8_t *bytes, size_t len,
		const uint8_t seed[KEY_SIZE], uint8_t signature[SIGNATURE_SIZE]);
bool operator_signed(const char *label, const uint8_t *bytes, size_t len,
		const uint8_t public[KEY_SIZE], const uint8_t signature[SIGNATURE_SIZE]);

#endif
