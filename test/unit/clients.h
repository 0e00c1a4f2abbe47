/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* A directory for tests that need clients and nothing special about them. */
#ifndef TEST_UNIT_CLIENTS_H
#define TEST_UNIT_CLIENTS_H

#include <stdio.h>
#include <string.h>

#include "proto/directory.h"

/* Clients 1 and 2, and the tombstone of 3. */
static inline struct directory *three_clients(void)
{
	struct directory *d = directory_new(3);
	char error[200];

	for (uint32_t i = 1; i <= 3; i++) {
		struct record r = {.index = i, .version = 1, .removed = i == 3};

		memset(r.public, (int)i, KEY_SIZE);
		snprintf(r.name, sizeof r.name, "client-%u", i);
		assert_int_equal(directory_add(d, NULL, &r, r.public, error, sizeof error), 0);
	}
	assert_int_equal(directory_finish(d), 0);
	return d;
}

#endif
