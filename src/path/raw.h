/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Sends whole IP packets, with whatever source they have: what the relays'
 * slow path makes.  One raw socket for each family, which receives nothing.
 */
#ifndef PATH_RAW_H
#define PATH_RAW_H

#include <stddef.h>
#include <stdint.h>

struct raw {
	int v4, v6; /* descriptors, -1: none */
};

/* As root: later the right to open raw sockets is gone.  0, or a negative errno and a sentence. */
int raw_open(struct raw *r, char *error, size_t error_size);
void raw_close(struct raw *r);
/*
 * 0 or a negative errno: -EMSGSIZE if the way out is too narrow for it, -EINVAL if
 * it has no IP header.  Never blocks.
 */
int raw_send(const struct raw *r, const uint8_t *packet, size_t len);

#endif
