/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "proto/relay_keys.h"

#include "proto/epoch.h"

void relay_keys_make(struct relay_keys *k, const struct cluster_secrets *c)
{
	k->count = 0;
	k->own = c->count - 1; /* the current one is the last of them */
	for (unsigned i = c->count; i-- > 0;)
		relay_key(c->secret[i], k->key[k->count++]);
	if (c->has_past)
		memcpy(k->key[k->count++], c->past, KEY_SIZE);
}
