/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Tries every 32 bytes of a memory image as each secret that would open one
 * captured packet of type 0, by what PROTOCOL.md says of keys:
 *
 *	keyfinder IMAGE PACKET PUBLIC EPOCH [IV]      all but IMAGE and EPOCH in hex
 *
 * K: the epoch key of the packet's session, or the one before it; S: its session
 * secret; key: the packet's own key, with the iv that was found before.  PUBLIC
 * is the client's key.  Prints what opens the packet, and how much was tried.
 *
 * Windows with fewer than DISTINCT different bytes are left out: of 32 random
 * bytes that is one in more than 10^9.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <fcntl.h>

#include "base/util.h"
#include "proto/crypto.h"

#define DISTINCT 19
#define IV_SIZE  12
#define HEADER   16

struct wanted {
	uint8_t packet[2048], public[KEY_SIZE], iv[IV_SIZE];
	size_t len;
	uint64_t epoch;
	bool has_iv;
};

static size_t unhex(const char *text, uint8_t *out, size_t room)
{
	size_t n = strlen(text) / 2;

	for (size_t i = 0; i < n && i < room; i++)
		if (sscanf(text + 2 * i, "%2hhx", out + i) != 1)
			exit(2);
	return MIN(n, room);
}

static void expand(const uint8_t key[KEY_SIZE], const char *label, const void *more, size_t len,
		uint8_t *out, size_t n)
{
	const struct part info[] = {PART("anytun2 ", 8), PART(label, strlen(label)), PART(more, len)};

	hkdf_expand(key, info, ARRAY_SIZE(info), out, n);
}

static bool opens(const struct wanted *w, const uint8_t key[KEY_SIZE], const uint8_t iv[IV_SIZE])
{
	uint8_t nonce[IV_SIZE], plain[2048];
	struct aead_key expanded;

	memcpy(nonce, iv, IV_SIZE);
	for (unsigned i = 0; i < 6; i++)
		nonce[6 + i] ^= w->packet[2 + i]; /* T, number */
	aead_expand(&expanded, AEAD_AES_256_GCM, key);
	return aead_open(&expanded, nonce, w->packet, HEADER, w->packet + HEADER, w->len - HEADER,
			plain);
}

static bool is_session_secret(const struct wanted *w, const uint8_t s[KEY_SIZE])
{
	uint8_t key[KEY_SIZE + IV_SIZE];

	expand(s, "c2s", "", 1, key, sizeof key); /* AEAD 0 */
	return opens(w, key, key + KEY_SIZE);
}

static bool is_epoch_key(const struct wanted *w, const uint8_t k[KEY_SIZE])
{
	uint8_t kid[KEY_SIZE], session[KEY_SIZE], s[KEY_SIZE], sid_public[8 + KEY_SIZE];

	expand(k, "kid", NULL, 0, kid, 1);
	if (kid[0] != w->packet[1])
		return false;
	expand(k, "session", NULL, 0, session, sizeof session);
	memcpy(sid_public, w->packet + 8, 8);
	memcpy(sid_public + 8, w->public, KEY_SIZE);
	expand(session, "", sid_public, sizeof sid_public, s, sizeof s);
	return is_session_secret(w, s);
}

static void found(const char *what, const uint8_t *at)
{
	printf("%s ", what);
	for (unsigned i = 0; i < KEY_SIZE; i++)
		printf("%02x", at[i]);
	putchar('\n');
}

static void try(const struct wanted *w, const uint8_t *at)
{
	uint8_t epoch[8], next[KEY_SIZE];

	store_be64(epoch, w->epoch);
	expand(at, "ratchet", epoch, sizeof epoch, next, sizeof next);
	if (is_epoch_key(w, at))
		found("K", at);
	if (is_epoch_key(w, next))
		found("K-1", at);
	if (is_session_secret(w, at))
		found("S", at);
	if (w->has_iv && opens(w, at, w->iv))
		found("key", at);
}

static void search(const struct wanted *w, const uint8_t *image, size_t size)
{
	unsigned seen[256] = {0}, distinct = 0;
	size_t tried = 0;

	for (size_t i = 0; i < size; i++) {
		distinct += seen[image[i]]++ == 0;
		if (i >= KEY_SIZE)
			distinct -= --seen[image[i - KEY_SIZE]] == 0;
		if (i + 1 >= KEY_SIZE && distinct >= DISTINCT) {
			try(w, image + i + 1 - KEY_SIZE);
			tried++;
		}
	}
	printf("tried %zu of %zu\n", tried, size);
}

int main(int argc, char **argv)
{
	static struct wanted w;
	struct stat st;
	int fd = argc >= 5 ? open(argv[1], O_RDONLY) : -1;

	if (fd < 0 || fstat(fd, &st) || crypto_init(CRYPTO_AUTO))
		return 2;
	w.len = unhex(argv[2], w.packet, sizeof w.packet);
	unhex(argv[3], w.public, KEY_SIZE);
	w.epoch = strtoull(argv[4], NULL, 10);
	w.has_iv = argc > 5 && unhex(argv[5], w.iv, IV_SIZE) == IV_SIZE;
	const uint8_t *image = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (image == MAP_FAILED)
		return 2;
	search(&w, image, (size_t)st.st_size);
	return 0;
}
