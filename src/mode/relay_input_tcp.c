/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * TCP segments that the fast path does not send on by itself.
 *
 *	caller      other side     its SYN is             the other side gets
 *	plain       listener       sent on                the SYN, all end to end
 *	plain       caller         held                   –
 *	token       any            answered at once       a listener: our SYN, once the token is shown
 *
 * Held callers are answered when both legs are in the record, deferred ones then
 * get the other side's window.  All of it is decided by record and segment alone,
 * so that the next segment may come to any other server.
 */
#include "mode/relay_input_internal.h"

#define MSS_LEAST  536           /* of a SYN without the option */
#define ACK_AHEAD  (1u << 30)    /* how far a listener's ACK may be past the caller's SYN */

/* The relay after a latch, which changed the table; NULL: gone. */
static const struct relay *look_again(struct relay_input *in, const struct relay_packet *p,
		unsigned *side)
{
	unsigned offset;

	return relays_at(in->o.relays, &in->now, p->v4, p->protocol, p->dst.port, side, &offset);
}

static struct relay_leg leg_of(const struct relay_packet *p)
{
	const struct relay_offer *o = &p->offer;

	return (struct relay_leg){.at = p->src, .isn = p->seq, .wscale = o->wscale, .sack = o->sack,
		.timestamps = o->timestamps, .mss = o->mss ? o->mss : MSS_LEAST,
		.window = p->window, .tsval = o->tsval};
}

/* ---- callers ---- */

static unsigned take_syn(struct relay_input *in, const struct relay_packet *p, const struct relay *r,
		unsigned side)
{
	const struct relay_side *here = &r->side[side];
	struct relay_leg leg = leg_of(p);

	if (p->flags & (TCP_ACK | TCP_RST | TCP_FIN))
		return RELAY_DROP_SEQUENCE;
	if (here->kind == RELAY_TOKEN) {
		/* We see packets before the kernel has looked where they say that they come from. */
		if (relays_denied(in->o.relays, p->src.ip))
			return RELAY_DROP_ADDRESS;
		relay_answer_deferred(in, p, r, side);
		return RELAY_TAKEN;
	}
	if (!relay_input_fits(here, 0, &p->src))
		return RELAY_DROP_ADDRESS;
	if (!relay_latched(here, 0)) {
		if (!relay_input_latch(in, r, side, 0, &leg, false))
			return RELAY_DROP_ADDRESS;
		r = look_again(in, p, &side);
		if (!r)
			return RELAY_DROP_UNKNOWN;
		/* A caller whose peer is known has been answered on the way: relay_wake_changed(). */
		return relay_listens(&r->side[!side]) ? relay_input_forward(in, p, r, side, 0) :
				RELAY_TAKEN;
	}
	if (relay_listens(&r->side[!side]))
		return relay_input_forward(in, p, r, side, 0);
	if (p->seq != here->leg[0].isn)
		return RELAY_DROP_SEQUENCE; /* another call: without a token none is learnt anew */
	if (relay_ready(r, side, 0))
		relay_answer_held(in, r, side, p->offer.tsval);
	return RELAY_TAKEN; /* or held */
}

static unsigned take_token(struct relay_input *in, const struct relay_packet *p,
		const struct relay *r, unsigned side, struct relay_leg *leg)
{
	uint8_t scale = leg->wscale == RELAY_NO_WSCALE ? 0 : MIN(leg->wscale, 14);

	if (!relay_input_token(in, p, r, side))
		return RELAY_DROP_TOKEN;
	leg->window = (uint16_t)MIN((uint32_t)p->window << scale, UINT16_MAX);
	if (!relay_input_latch(in, r, side, 0, leg, true))
		return RELAY_DROP_ADDRESS;
	r = look_again(in, p, &side);
	if (r && !relay_ready(r, side, 0)) /* else its window has been opened on the way */
		relay_answer_wait(in, p, r, side, leg->isn + 1 + leg->skip, 0);
	return RELAY_TAKEN;
}

/* Whichever key the server that answered its SYN had. */
static bool recover(const struct relay_input *in, const struct relay_packet *p, struct relay_leg *leg)
{
	const struct relay_keys *k = in->o.keys;

	for (unsigned i = 0; i < k->count; i++)
		if (relay_isn_recover(k->key[i], &p->src, p->dst.port, p->seq, p->ack, p->payload_len,
				leg))
			return true;
	return false;
}

/* From whoever was answered and has not shown the token: what it offered is in its numbers. */
static unsigned take_unproven(struct relay_input *in, const struct relay_packet *p,
		const struct relay *r, unsigned side)
{
	struct relay_leg leg;

	if ((p->flags & (TCP_ACK | TCP_RST)) != TCP_ACK || !recover(in, p, &leg))
		return RELAY_DROP_SEQUENCE;
	if (p->payload_len)
		return take_token(in, p, r, side, &leg);
	if (p->seq == leg.isn) /* a keep-alive; the handshake's last segment has isn + 1 */
		relay_answer_wait(in, p, r, side, leg.isn + 1, RELAY_TOKEN_SIZE);
	return RELAY_TAKEN;
}

/* From a caller that has shown its token and waits for the other side. */
static unsigned take_waiting(struct relay_input *in, const struct relay_packet *p,
		const struct relay *r, unsigned side)
{
	const struct relay_leg *leg = &r->side[side].leg[0];
	uint32_t ahead = p->seq - leg->isn, taken = 1u + leg->skip;
	bool token = ahead == 1 && p->payload_len == leg->skip;

	if (p->flags & TCP_RST || !(p->flags & TCP_ACK) || ahead > taken || p->ack != leg->ours + 1)
		return take_unproven(in, p, r, side); /* of another call, which has not shown it yet */
	/* Probes repeat the byte before what was acknowledged, or send the next one. */
	if (token || (ahead == taken - 1 && p->payload_len <= 1) ||
			(ahead == taken && p->payload_len)) {
		relay_answer_wait(in, p, r, side, leg->isn + taken, 0);
		if (relay_listens(&r->side[!side]))
			relay_wake_listener(in, r, !side);
	}
	return RELAY_TAKEN;
}

/* The token in another call than the one that was learnt, from the same port. */
static bool calls_again(const struct relay_input *in, const struct relay_packet *p,
		const struct relay *r, unsigned side)
{
	struct relay_leg leg;

	return r->side[side].kind == RELAY_TOKEN && p->payload_len == RELAY_TOKEN_SIZE &&
			recover(in, p, &leg) && leg.isn != r->side[side].leg[0].isn && relay_input_token(in, p, r, side);
}

static unsigned take_segment(struct relay_input *in, const struct relay_packet *p,
		const struct relay *r, unsigned side)
{
	const struct relay_side *here = &r->side[side];
	const struct relay_leg *leg = &here->leg[0];

	if (!relay_input_fits(here, 0, &p->src) || calls_again(in, p, r, side))
		return here->kind == RELAY_TOKEN ? take_unproven(in, p, r, side) : RELAY_DROP_ADDRESS;
	if (!relay_latched(here, 0))
		return RELAY_DROP_WAITING; /* only a SYN teaches; another server has seen it */
	if (!relay_ready(r, side, 0) && leg->skip)
		return take_waiting(in, p, r, side);
	if (!relay_ready(r, side, 0)) /* a reset does not wait: by then it would be about something else */
		return p->flags & TCP_RST ? RELAY_DROP_SEQUENCE : RELAY_DROP_WAITING;
	if (leg->skip && p->seq == leg->isn + 1 && p->payload_len == leg->skip &&
			p->ack == leg->ours + 1) {
		relay_answer_open(in, r, side); /* the token once more: not for the other side */
		return RELAY_TAKEN;
	}
	return relay_input_forward(in, p, r, side, 0);
}

/* ---- listeners ---- */

/* To a plain caller everything passes; the first of it shows that the listener is there. */
static unsigned answer_to_plain(struct relay_input *in, const struct relay_packet *p,
		const struct relay *r, unsigned side)
{
	const struct relay_leg *caller = &r->side[!side].leg[0];
	struct relay_leg leg = leg_of(p);

	if (!relay_latched(&r->side[side], 0) && p->flags & TCP_ACK &&
			p->ack - caller->isn - 1 < ACK_AHEAD) {
		if (p->flags & TCP_RST)
			relays_note(in->o.relays, r->id, RELAY_STATUS_UNREACHABLE);
		else if (relay_input_latch(in, r, side, 0, &leg, false))
			r = look_again(in, p, &side);
	}
	return r ? relay_input_forward(in, p, r, side, 0) : RELAY_DROP_UNKNOWN;
}

static unsigned take_syn_ack(struct relay_input *in, const struct relay_packet *p,
		const struct relay *r, unsigned side)
{
	const struct relay_side *here = &r->side[side];
	const struct relay_leg *caller = &r->side[!side].leg[0];
	struct relay_leg leg = leg_of(p);

	if (relay_ready(r, side, 0)) {
		if (p->seq != here->leg[0].isn)
			return RELAY_DROP_SEQUENCE;
		relay_answer_open(in, r, side); /* it has not heard us */
		return RELAY_TAKEN;
	}
	leg.ours = caller->isn + caller->skip;
	/* Of another call than the one it answered before: the caller has shown its token again. */
	return relay_input_latch(in, r, side, 0, &leg, relay_latched(here, 0)) ? RELAY_TAKEN :
			RELAY_DROP_ADDRESS;
}

static unsigned answer_to_token(struct relay_input *in, const struct relay_packet *p,
		const struct relay *r, unsigned side)
{
	const struct relay_leg *caller = &r->side[!side].leg[0];
	bool to_our_syn = p->flags & TCP_ACK && p->ack == caller->isn + caller->skip + 1;

	if (p->flags & TCP_SYN)
		return to_our_syn && !(p->flags & TCP_RST) ? take_syn_ack(in, p, r, side) :
				RELAY_DROP_SEQUENCE;
	if (relay_ready(r, side, 0))
		return relay_input_forward(in, p, r, side, 0);
	if (!(p->flags & TCP_RST))
		return RELAY_DROP_WAITING;
	if (!to_our_syn)
		return RELAY_DROP_SEQUENCE;
	relays_note(in->o.relays, r->id, RELAY_STATUS_UNREACHABLE);
	relay_wake_end(in, r, side);
	relay_answer_refuse(in, r, !side);
	return RELAY_TAKEN;
}

unsigned relay_input_tcp(struct relay_input *in, const struct relay_packet *p, const struct relay *r,
		unsigned side)
{
	const struct relay_side *other = &r->side[!side];

	if (!relay_listens(&r->side[side]))
		return p->flags & TCP_SYN ? take_syn(in, p, r, side) : take_segment(in, p, r, side);
	if (!relay_input_fits(&r->side[side], 0, &p->src))
		return RELAY_DROP_ADDRESS;
	if (!relay_latched(other, 0))
		return RELAY_DROP_WAITING;
	return other->leg[0].skip ? answer_to_token(in, p, r, side) : answer_to_plain(in, p, r, side);
}
