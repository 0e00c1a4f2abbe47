/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* An error on its way up: the sentence that a person will read, and the code that the caller returns. */
#ifndef BASE_FAIL_H
#define BASE_FAIL_H

#include <stddef.h>

/* Writes the sentence, cut off at error_size, and returns result. */
__attribute__((format(printf, 4, 5)))
int fail(int result, char *error, size_t error_size, const char *format, ...);

#endif
