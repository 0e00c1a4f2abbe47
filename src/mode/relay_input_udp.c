/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * UDP: the first fitting packet of a side teaches where it is, and is sent on.
 * A side with a token is learnt, and learnt again, from a datagram that is the
 * token and nothing else; that one is answered, so that its sender need not
 * guess whether it came (ADR 26).
 */
#include "mode/relay_input_internal.h"

static const char answer[] = "ok\n";

static void confirm(struct relay_input *in, const struct relay_packet *p)
{
	struct relay_ip h = {.v4 = p->v4, .tos = p->tos, .ttl = 64, .protocol = RELAY_UDP,
		.src = p->dst.ip, .dst = p->src.ip};
	size_t len = RELAY_UDP_HEADER + sizeof answer - 1;
	size_t ip = relay_ip_write(in->out, &h, len);
	uint8_t *udp = in->out + ip;

	store_be16(udp, p->dst.port);
	store_be16(udp + 2, p->src.port);
	store_be16(udp + 4, (uint16_t)len);
	memcpy(udp + RELAY_UDP_HEADER, answer, sizeof answer - 1);
	relay_upper_checksum(udp, len, &h);
	in->o.out->send(in->o.out, in->out, ip + len);
}

static unsigned take_token(struct relay_input *in, const struct relay_packet *p,
		const struct relay *r, unsigned side, unsigned offset)
{
	const struct relay_leg leg = {.at = p->src};

	if (!relay_input_latch(in, r, side, offset, &leg, true))
		return RELAY_DROP_ADDRESS;
	confirm(in, p);
	return RELAY_TAKEN;
}

unsigned relay_input_udp(struct relay_input *in, const struct relay_packet *p, const struct relay *r,
		unsigned side, unsigned offset)
{
	const struct relay_side *here = &r->side[side];
	const struct relay_leg leg = {.at = p->src};

	if (here->kind == RELAY_TOKEN) {
		if (relay_input_token(in, p, r, side))
			return take_token(in, p, r, side, offset);
		if (!relay_input_fits(here, offset, &p->src))
			return RELAY_DROP_TOKEN;
	}
	if (!relay_input_fits(here, offset, &p->src))
		return RELAY_DROP_ADDRESS;
	if (!relay_latched(here, offset)) {
		if (!relay_input_latch(in, r, side, offset, &leg, false))
			return RELAY_DROP_ADDRESS;
		r = relays_at(in->o.relays, &in->now, p->v4, p->protocol, p->dst.port, &side,
				&offset);
		if (!r)
			return RELAY_DROP_UNKNOWN;
	}
	if (!relay_ready(r, side, offset))
		return RELAY_DROP_WAITING;
	return relay_input_forward(in, p, r, side, offset);
}
