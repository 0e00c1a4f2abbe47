/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The numbers of spliced TCP connections.  Everything is a function of the
 * record, so that all servers compute the same.
 *
 * A caller that was held is told the other's numbers as they are; what a server
 * answered by itself (a deferred caller, whose first `skip` bytes servers
 * consumed) is what makes the two halves differ.
 */
#include "proto/relay.h"

#define HASH_MASK    0xffffff80u /* H25 */
#define WSCALE_SHIFT 3
#define SACK_BIT     4u
#define SMALL_BIT    2u
#define WSCALE_MAX   14 /* RFC 7323 section 2.3 */
#define MSS_LEAST    536 /* RFC 9293 section 3.7.1 */

static uint32_t tuple_hash(const uint8_t key[KEY_SIZE], const struct endpoint *caller, uint16_t port)
{
	static const char label[] = "isn";
	uint8_t from[ENDPOINT_WIRE], to[2], hash[HASH_SIZE];

	endpoint_store(from, caller);
	store_be16(to, port);
	hmac_parts(key, KEY_SIZE, (const struct part[]){PART(label, 3), PART(from, sizeof from),
			PART(to, sizeof to)}, 3, hash);
	return load_be32(hash) & HASH_MASK;
}

uint32_t relay_isn(const uint8_t key[KEY_SIZE], const struct endpoint *caller, uint16_t port,
		uint32_t isn, uint8_t wscale, bool sack, bool small)
{
	return isn + (tuple_hash(key, caller, port) | (uint32_t)(wscale & 15) << WSCALE_SHIFT |
			(sack ? SACK_BIT : 0) | (small ? SMALL_BIT : 0));
}

bool relay_isn_recover(const uint8_t key[KEY_SIZE], const struct endpoint *caller, uint16_t port,
		uint32_t seq, uint32_t ack, size_t len, struct relay_leg *leg)
{
	bool keepalive = (ack - seq) & 1; /* seq is isn, not isn + 1 */
	uint32_t isn = keepalive ? seq : seq - 1;
	uint32_t offset = ack - 1 - isn;

	if ((keepalive && len > 0) || (offset & HASH_MASK) != tuple_hash(key, caller, port))
		return false;
	*leg = (struct relay_leg){.at = *caller, .isn = isn, .ours = ack - 1,
		.skip = RELAY_TOKEN_SIZE, .wscale = offset >> WSCALE_SHIFT & 15,
		.our_wscale = RELAY_OUR_WSCALE, .sack = offset & SACK_BIT,
		.mss = offset & SMALL_BIT ? MSS_LEAST : 0};
	return true;
}

bool relay_ready(const struct relay *r, unsigned from, unsigned offset)
{
	const struct relay_side *side = &r->side[from], *other = &r->side[!from];
	const struct relay_side *caller = relay_listens(side) ? other : side;

	if (r->protocol != RELAY_TCP)
		return relay_latched(other, offset) || relay_unanswered(other, offset);
	if (!relay_latched(caller, 0))
		return false;
	if (!relay_listens(side) && !relay_listens(other))
		return relay_latched(side, 0) && relay_latched(other, 0);
	if (!caller->leg[0].skip)
		return true; /* the two kernels talk to each other from the first SYN on */
	side = caller == side ? other : side;
	return relay_latched(side, 0) && side->leg[0].ours == caller->leg[0].isn + caller->leg[0].skip;
}

uint32_t relay_told_isn(const struct relay *r, unsigned side)
{
	const struct relay_leg *leg = &r->side[side].leg[0], *other = &r->side[!side].leg[0];

	return leg->skip ? leg->ours : other->isn + other->skip;
}

static bool offers_scaling(const struct relay_leg *leg)
{
	return leg->wscale != RELAY_NO_WSCALE;
}

/* Scaling was agreed with this side; a deferred caller's offer is taken before its peer is known. */
static bool scales(const struct relay *r, unsigned side)
{
	const struct relay_leg *leg = &r->side[side].leg[0];

	return offers_scaling(leg) && (leg->skip || offers_scaling(&r->side[!side].leg[0]));
}

uint8_t relay_told_wscale(const struct relay *r, unsigned side)
{
	const struct relay_leg *leg = &r->side[side].leg[0];

	if (!scales(r, side))
		return RELAY_NO_WSCALE;
	return MIN(leg->skip ? leg->our_wscale : r->side[!side].leg[0].wscale, WSCALE_MAX);
}

uint8_t relay_own_wscale(const struct relay *r, unsigned side)
{
	return scales(r, side) ? MIN(r->side[side].leg[0].wscale, WSCALE_MAX) : 0;
}

void relay_shift(const struct relay *r, unsigned from, struct relay_shift *shift)
{
	const struct relay_leg *leg = &r->side[from].leg[0], *other = &r->side[!from].leg[0];
	uint8_t told = relay_told_wscale(r, !from);

	*shift = (struct relay_shift){0};
	if (r->protocol != RELAY_TCP || (!leg->skip && !other->skip))
		return;
	shift->seq = relay_told_isn(r, !from) - leg->isn - leg->skip;
	shift->ack = other->isn + other->skip - relay_told_isn(r, from);
	shift->window = (int8_t)(relay_own_wscale(r, from) - (told == RELAY_NO_WSCALE ? 0 : told));
	shift->any = shift->seq || shift->ack || shift->window;
}
