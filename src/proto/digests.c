/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The bytes of a page:
 *
 *	   0  format 1            1, the only one
 *	   1  number 4            1 and up
 *	   5  256 digests 16      SHA-256 of a record, cut off; zeros: there is none
 *	4101  Ed25519 signature 64, over "anyrelay record digests" and the SHA-256 of all bytes before it
 */
#include "proto/digests.h"

#include <errno.h>
#include <stdlib.h>

#include "proto/signed.h"

#define FORMAT 1
#define FIXED  5

static const char label[] = "anyrelay record digests";
static const uint8_t none[DIGEST_SIZE];

int digests_init(struct digests *d)
{
	memset(d, 0, sizeof *d);
	return table_init(&d->by_number, 0);
}

void digests_free(struct digests *d)
{
	for (uint32_t i = 1; i <= d->count; i++)
		free(d->page[i]);
	free(d->page);
	table_free(&d->by_number);
	memset(d, 0, sizeof *d);
}

static uint32_t hash_of(uint32_t number)
{
	return number * 2654435769u; /* golden ratio: neighbours fall far apart */
}

static struct digest_page *find(const struct digests *d, uint32_t number)
{
	uint32_t at = hash_of(number), ref;

	while ((ref = table_next(&d->by_number, hash_of(number), &at)) != 0)
		if (d->page[ref]->number == number)
			return d->page[ref];
	return NULL;
}

/* A page that is there, or a new one without digests; NULL: no memory. */
static struct digest_page *need(struct digests *d, uint32_t number)
{
	struct digest_page *p = find(d, number);

	if (p)
		return p;
	if (d->count + 1 >= d->room) {
		uint32_t room = d->room ? 2 * d->room : 64;
		struct digest_page **larger = reallocarray(d->page, room, sizeof *larger);

		if (!larger)
			return NULL;
		d->page = larger;
		d->room = room;
	}
	p = calloc(1, sizeof *p);
	if (!p || table_add(&d->by_number, hash_of(number), d->count + 1) != 0) {
		free(p);
		return NULL;
	}
	p->number = number;
	d->page[++d->count] = p;
	return p;
}

void digest_make(const uint8_t *bytes, size_t len, uint8_t digest[DIGEST_SIZE])
{
	uint8_t hash[HASH_SIZE];

	sha256_parts(&PART(bytes, len), 1, hash);
	memcpy(digest, hash, DIGEST_SIZE);
}

bool digests_has(const struct digests *d, uint32_t index, const uint8_t digest[DIGEST_SIZE])
{
	const struct digest_page *p = find(d, digest_page_of(index));

	/* nobody can make a record whose digest is zeros, but nothing should rest on that */
	return p && memcmp(digest, none, DIGEST_SIZE) != 0 &&
	       !memcmp(p->digest[index % DIGESTS_A_PAGE], digest, DIGEST_SIZE);
}

int digests_set(struct digests *d, uint32_t index, const uint8_t digest[DIGEST_SIZE])
{
	struct digest_page *p = need(d, digest_page_of(index));
	uint8_t *to;

	if (!p)
		return -ENOMEM;
	to = p->digest[index % DIGESTS_A_PAGE];
	p->dirty |= memcmp(to, digest, DIGEST_SIZE) != 0;
	memcpy(to, digest, DIGEST_SIZE);
	return 0;
}

/* ---- bytes ---- */

int digests_read(struct digests *d, uint32_t number, const uint8_t *in, size_t len,
		const uint8_t operator_public[KEY_SIZE])
{
	struct digest_page *p;
	uint8_t hash[HASH_SIZE];

	if (len != DIGEST_PAGE_SIZE || in[0] != FORMAT || load_be32(in + 1) != number || !number)
		return -EINVAL;
	sha256_parts(&PART(in, len - SIGNATURE_SIZE), 1, hash);
	if (!operator_signed(label, hash, sizeof hash, operator_public, in + len - SIGNATURE_SIZE))
		return -EBADMSG;
	p = need(d, number);
	if (!p)
		return -ENOMEM;
	memcpy(p->digest, in + FIXED, sizeof p->digest);
	return 0;
}

void digest_page_write(const struct digest_page *p, const uint8_t operator_seed[KEY_SIZE],
		uint8_t out[DIGEST_PAGE_SIZE])
{
	uint8_t hash[HASH_SIZE];
	size_t len = FIXED + sizeof p->digest;

	out[0] = FORMAT;
	store_be32(out + 1, p->number);
	memcpy(out + FIXED, p->digest, sizeof p->digest);
	sha256_parts(&PART(out, len), 1, hash);
	operator_sign(label, hash, sizeof hash, operator_seed, out + len);
}
