/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* Base64 (RFC 4648 section 4): how keys and records stand in files. */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include <stddef.h>
#include <stdint.h>

#define BASE64_SIZE(n) (((n) + 2) / 3 * 4 + 1) /* text of n bytes, with its NUL */

/* out has BASE64_SIZE(n) bytes; returns out. */
char *base64_encode(char *out, const void *in, size_t n);
/*
 * The number of bytes, or -EINVAL: padding left out, blanks, a character outside
 * of the alphabet, stray bits before the padding, or more than room bytes.  out
 * is touched only on success.  -ENOMEM.
 */
long base64_decode(uint8_t *out, size_t room, const char *text, size_t len);

#endif
