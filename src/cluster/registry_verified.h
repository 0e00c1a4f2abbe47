/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* Client records whose signature has been checked, so that it need not be again.  For one thread. */
#ifndef CLUSTER_REGISTRY_VERIFIED_H
#define CLUSTER_REGISTRY_VERIFIED_H

#include "proto/digests.h"

struct verified;

struct verified *verified_new(void); /* NULL: out of memory */
void verified_free(struct verified *v);
/* The very bytes that were checked last for this index. */
bool verified_has(const struct verified *v, uint32_t index, const uint8_t digest[DIGEST_SIZE]);
/* To be remembered, unless a higher version is. */
void verified_add(struct verified *v, uint32_t index, uint64_t version,
		const uint8_t digest[DIGEST_SIZE]);

#endif
