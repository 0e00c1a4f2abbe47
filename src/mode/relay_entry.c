/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "mode/relay_entry.h"

#include <arpa/inet.h>

static uint8_t flags_of(const struct relay *r, unsigned side, unsigned offset,
		const struct relay_shift *shift)
{
	const struct relay_side *here = &r->side[side], *other = &r->side[!side];
	uint8_t flags = 0;

	/* A listener or given side that has not answered comes up, to be noted as answered. */
	if (relay_latched(here, offset))
		flags |= RELAY_ENTRY_LATCHED;
	if (relay_ready(r, side, offset))
		flags |= RELAY_ENTRY_READY;
	if (relay_unanswered(other, offset))
		flags |= RELAY_ENTRY_LIMITED;
	if (shift->any)
		flags |= RELAY_ENTRY_SPLICED;
	if (other->v4)
		flags |= RELAY_ENTRY_TO_V4;
	if (here->kind == RELAY_TOKEN)
		flags |= RELAY_ENTRY_TOKEN;
	return flags;
}

void relay_entry_make(const struct relay *r, unsigned side, unsigned offset,
		struct relay_entry *entry, struct relay_key *key)
{
	const struct relay_side *here = &r->side[side], *other = &r->side[!side];
	struct endpoint given[2];
	const struct endpoint *from = relay_side_at(here, offset, &given[0]);
	const struct endpoint *to = relay_side_at(other, offset, &given[1]);
	struct relay_shift shift = {0};

	*key = (struct relay_key){.v4 = here->v4, .protocol = r->protocol,
		.port = htons((uint16_t)(here->port + offset))};
	*entry = (struct relay_entry){.out_port = htons((uint16_t)(other->port + offset))};
	if (from) {
		memcpy(entry->from, from->ip, sizeof entry->from);
		entry->from_port = htons(from->port);
	}
	if (to) {
		memcpy(entry->to, to->ip, sizeof entry->to);
		entry->to_port = htons(to->port);
	}
	if (relay_ready(r, side, offset))
		relay_shift(r, side, &shift);
	entry->seq_add = shift.seq;
	entry->ack_add = shift.ack;
	entry->window_shift = shift.window;
	entry->flags = flags_of(r, side, offset, &shift);
}
