/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * TCP segments that servers make themselves, all from the record or from the
 * segment that they answer: every server makes the same.  None is a reset of
 * somebody whose numbers are not certain.
 */
#include "mode/relay_input_internal.h"

#define OWN_TTL   64
#define MSS_LEAST 536 /* RFC 9293 section 3.7.1: of a SYN without the option */

/* From the anycast address to this side, wherever it is. */
static void send_segment(struct relay_input *in, const struct relay_side *side,
		const struct endpoint *to, struct relay_segment *s)
{
	struct relay_ip h = {.v4 = side->v4, .df = true, .ttl = OWN_TTL, .protocol = RELAY_TCP,
		.src = relay_input_anycast(in, side->v4), .dst = to->ip};
	size_t len;

	s->from_port = side->port;
	s->to_port = to->port;
	len = relay_tcp_write(in->out, &h, s);
	in->o.out->send(in->o.out, in->out, len);
}

static const struct relay_offer nothing = {.wscale = RELAY_NO_WSCALE};

/* What a side can receive, as its peer is to be told; 0 where a deferred caller did not say less. */
static uint16_t clamped(const struct relay_input *in, uint16_t mss)
{
	return mss ? MIN(mss, in->o.mss) : in->o.mss;
}

/* The window that the other side offered last, in the scale that this side was told. */
static uint16_t scaled_window(const struct relay *r, unsigned side)
{
	uint8_t scale = relay_told_wscale(r, side);
	uint16_t window = r->side[!side].leg[0].window;

	if (scale == RELAY_NO_WSCALE || !window)
		return window;
	return (uint16_t)MAX(window >> scale, 1);
}

void relay_answer_deferred(struct relay_input *in, const struct relay_packet *syn,
		const struct relay *r, unsigned side)
{
	const struct relay_offer *o = &syn->offer;
	uint16_t mss = o->mss ? o->mss : MSS_LEAST;
	struct relay_segment s = {.flags = TCP_SYN | TCP_ACK, .ack = syn->seq + 1,
		.window = RELAY_TOKEN_SIZE, .offer = {.mss = in->o.mss, .sack = o->sack,
			.wscale = RELAY_NO_WSCALE}};

	if (o->wscale != RELAY_NO_WSCALE)
		s.offer.wscale = RELAY_OUR_WSCALE;
	s.seq = relay_isn(relay_keys_own(in->o.keys), &syn->src, r->side[side].port, syn->seq, o->wscale,
			o->sack, mss < in->o.mss);
	send_segment(in, &r->side[side], &syn->src, &s);
}

void relay_answer_held(struct relay_input *in, const struct relay *r, unsigned side, uint32_t tsval)
{
	const struct relay_leg *leg = &r->side[side].leg[0], *other = &r->side[!side].leg[0];
	struct relay_segment s = {.flags = TCP_SYN | TCP_ACK, .seq = relay_told_isn(r, side),
		.ack = leg->isn + 1, .window = other->window, .tsecr = tsval,
		.offer = {.mss = clamped(in, other->mss), .sack = leg->sack && other->sack,
			.wscale = relay_told_wscale(r, side),
			.timestamps = leg->timestamps && other->timestamps,
			.tsval = other->tsval}};

	send_segment(in, &r->side[side], &leg->at, &s);
}

void relay_answer_wait(struct relay_input *in, const struct relay_packet *p, const struct relay *r,
		unsigned side, uint32_t ack, uint16_t window)
{
	struct relay_segment s = {.flags = TCP_ACK, .seq = p->ack, .ack = ack, .window = window,
		.offer = nothing};

	send_segment(in, &r->side[side], &p->src, &s);
}

void relay_answer_open(struct relay_input *in, const struct relay *r, unsigned side)
{
	const struct relay_leg *leg = &r->side[side].leg[0];
	struct relay_segment s = {.flags = TCP_ACK, .seq = relay_told_isn(r, side) + 1,
		.ack = leg->isn + 1 + leg->skip, .window = scaled_window(r, side),
		.offer = nothing};

	if (!leg->skip && !relay_listens(&r->side[side]))
		relay_answer_held(in, r, side, leg->tsval);
	else
		send_segment(in, &r->side[side], &leg->at, &s);
}

void relay_answer_call(struct relay_input *in, const struct relay *r, unsigned side)
{
	const struct relay_leg *caller = &r->side[!side].leg[0];
	struct relay_segment s = {.flags = TCP_SYN, .seq = caller->isn + caller->skip,
		.window = caller->window, .offer = {.mss = clamped(in, caller->mss),
			.sack = caller->sack, .wscale = caller->wscale}};

	if (relay_input_admit(in, r, r->side[side].given.ip))
		send_segment(in, &r->side[side], &r->side[side].given, &s);
}

void relay_answer_refuse(struct relay_input *in, const struct relay *r, unsigned side)
{
	const struct relay_leg *leg = &r->side[side].leg[0];
	struct relay_segment s = {.flags = TCP_RST | TCP_ACK, .seq = leg->ours + 1,
		.ack = leg->isn + 1 + leg->skip, .offer = nothing};

	send_segment(in, &r->side[side], &leg->at, &s);
}
