/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Digests of client records, 256 to a page that the operator signs once: so that
 * a server which reads very many records checks one signature for 256 of them
 * (PROTOCOL.md, "Digests").  A page says that the operator has signed these very
 * bytes, and nothing else: which version counts, the record itself says.  So a
 * page that is old, or missing, costs time and never truth.
 */
#ifndef PROTO_DIGESTS_H
#define PROTO_DIGESTS_H

#include "proto/crypto.h"
#include "proto/table.h"

#define DIGEST_SIZE      16
#define DIGESTS_A_PAGE   256
#define DIGEST_PAGE_SIZE (1 + 4 + DIGESTS_A_PAGE * DIGEST_SIZE + SIGNATURE_SIZE)

/* Pages count from 1: page n is of the indexes 256 (n - 1) … 256 n - 1. */
static inline uint32_t digest_page_of(uint32_t index)
{
	return index / DIGESTS_A_PAGE + 1;
}

struct digest_page {
	uint32_t number;
	bool dirty; /* not as it was read */
	uint8_t digest[DIGESTS_A_PAGE][DIGEST_SIZE]; /* zeros: none */
};

struct digests {
	struct table by_number;
	struct digest_page **page; /* [0] is not used */
	uint32_t count, room;
};

int digests_init(struct digests *d); /* 0 or -ENOMEM */
void digests_free(struct digests *d);

/* Of a record's bytes, with its signature. */
void digest_make(const uint8_t *bytes, size_t len, uint8_t digest[DIGEST_SIZE]);
/* The operator has signed a record of this index with this digest. */
bool digests_has(const struct digests *d, uint32_t index, const uint8_t digest[DIGEST_SIZE]);
/* He has, as the caller knows: its page says so from now on.  0 or -ENOMEM. */
int digests_set(struct digests *d, uint32_t index, const uint8_t digest[DIGEST_SIZE]);

/* A page as it was signed, which must be this one.  0; -EINVAL malformed, -EBADMSG signature, -ENOMEM. */
int digests_read(struct digests *d, uint32_t number, const uint8_t *in, size_t len,
		const uint8_t operator_public[KEY_SIZE]);
void digest_page_write(const struct digest_page *p, const uint8_t operator_seed[KEY_SIZE],
		uint8_t out[DIGEST_PAGE_SIZE]);

#endif
