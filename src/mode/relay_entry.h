/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* What the relays' fast path is told of one side of a relay: computed from the record alone. */
#ifndef MODE_RELAY_ENTRY_H
#define MODE_RELAY_ENTRY_H

#include "bpf/relay_shared.h"
#include "proto/relay.h"

/* For packets from this side to one port of its span; key->port is that, on the anycast address. */
void relay_entry_make(const struct relay *r, unsigned side, unsigned offset,
		struct relay_entry *entry, struct relay_key *key);

#endif
