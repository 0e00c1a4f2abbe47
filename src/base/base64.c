/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * OpenSSL does the work, but forgives blanks and stray bits.  So that each value
 * has one text only, a decoded value counts if encoding it gives the text back.
 */
#include "base/base64.h"

#include <errno.h>
#include <limits.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include "base/util.h"

char *base64_encode(char *out, const void *in, size_t n)
{
	EVP_EncodeBlock((unsigned char *)out, in, (int)n);
	return out;
}

long base64_decode(uint8_t *out, size_t room, const char *text, size_t len)
{
	long n = -EINVAL;

	if (len == 0 || len % 4 || len > INT_MAX / 4)
		return -EINVAL;
	size_t padding = (text[len - 1] == '=') + (text[len - 2] == '=');
	size_t size = len / 4 * 3;
	if (size - padding > room)
		return -EINVAL;
	uint8_t *bytes = malloc(size + len + 1);
	if (!bytes)
		return -ENOMEM;
	char *again = (char *)bytes + size;
	if (EVP_DecodeBlock(bytes, (const unsigned char *)text, (int)len) == (int)size) {
		base64_encode(again, bytes, size - padding);
		if (memcmp(again, text, len) == 0) {
			n = (long)(size - padding);
			memcpy(out, bytes, (size_t)n);
		}
	}
	wipe(bytes, size + len + 1);
	free(bytes);
	return n;
}
