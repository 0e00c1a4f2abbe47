/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * What the fuzzers of the protocol have in common.  Their input is a script: a
 * reader over it that gives zeros past its end, so that every input is valid.
 * What the harness fixes (keys, clock) is fixed; where the code under test
 * draws random numbers, the checks do not depend on them.
 */
#ifndef TEST_FUZZ_H
#define TEST_FUZZ_H

#include <stdio.h>
#include <stdlib.h>

#include "base/cursor.h"
#include "proto/crypto.h"
#include "proto/noise.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x)) {                                                                        \
			fprintf(stderr, "%s:%d: must be: %s\n", __FILE__, __LINE__, #x);           \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

#define FUZZ_EPOCH  5900000 /* of the start of every script */
#define FUZZ_BOOT   1000    /* s */
#define SCRIPT_STEPS 96

/* At most n bytes of the script, in memory of exactly their number; the caller frees it. */
static inline uint8_t *script_bytes(struct reader *script, size_t n, size_t *len)
{
	uint8_t *copy;

	*len = MIN(n, reader_left(script));
	copy = malloc(*len ? *len : 1);
	MUST(copy);
	read_copy(script, copy, *len);
	return copy;
}

static inline void fuzz_key(uint8_t key[KEY_SIZE], uint8_t which)
{
	memset(key, which, KEY_SIZE);
}

static inline void fuzz_pair(struct key_pair *pair, uint8_t which)
{
	uint8_t secret[KEY_SIZE];

	fuzz_key(secret, which);
	key_pair_from_secret(pair, secret);
}

#endif
