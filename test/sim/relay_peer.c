/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "relay_peer.h"

#include <netinet/in.h>

#define TICK       TICKS_MS(10)
#define RTO_FIRST  TICKS_MS(300)
#define RTO_SYN    TICKS_S(1)
#define RTO_MOST   TICKS_S(4)
#define ANSWER_GAP TICKS_MS(500) /* Linux: tcp_invalid_ratelimit */

static uint32_t token_len(const struct peer *p)
{
	return p->o.token ? RELAY_TOKEN_SIZE : 0;
}

static uint32_t total(const struct peer *p)
{
	return token_len(p) + p->o.bytes;
}

static uint8_t stream_byte(unsigned side, uint32_t at)
{
	return (uint8_t)((at * 0x9e3779b1u >> 13) + side * 101 + at);
}

static uint8_t byte_at(const struct peer *p, uint32_t at)
{
	return at < token_len(p) ? (uint8_t)p->o.token[at] : stream_byte(p->side, at - token_len(p));
}

static uint32_t clock_of(const struct peer *p)
{
	return p->ts_offset + (uint32_t)((p->net->now - p->began) * 1000 / TICKS_PER_SEC);
}

static uint32_t free_room(const struct peer *p)
{
	return p->o.room - p->used;
}

static bool before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

/* seq, payload [from, from + len) of the stream, and options as agreed; a SACK block if there is one. */
static void emit(struct peer *p, uint8_t flags, uint32_t seq, uint32_t from, uint32_t len,
		const uint32_t *block)
{
	uint8_t packet[2048];
	struct relay_ip h = {.v4 = true, .df = true, .ttl = 64, .protocol = RELAY_TCP,
		.src = p->at.ip, .dst = p->to.ip};
	uint8_t *tcp = packet + RELAY_IPV4_HEADER, *at = tcp + RELAY_TCP_HEADER;
	bool syn = flags & TCP_SYN;
	uint32_t window = free_room(p) >> (syn ? 0 : p->own_scale);

	if (syn && p->o.mss) {
		store_be16(at, 0x0204);
		store_be16(at + 2, p->o.mss);
		at += 4;
	}
	if (syn && (flags & TCP_ACK ? p->sack_ok : p->o.sack)) {
		store_be32(at, 0x01010402);
		at += 4;
	}
	if (syn ? (flags & TCP_ACK ? p->ts_ok : p->o.timestamps) : p->ts_ok) {
		store_be32(at, 0x0101080a);
		store_be32(at + 4, clock_of(p));
		store_be32(at + 8, p->ts_recent);
		at += 12;
	}
	if (syn && p->o.wscale != RELAY_NO_WSCALE && (!(flags & TCP_ACK) || p->own_scale)) {
		store_be32(at, 0x01030300u | p->o.wscale);
		at += 4;
	}
	if (block) {
		store_be32(at, 0x0101050a);
		store_be32(at + 4, block[0]);
		store_be32(at + 8, block[1]);
		at += 12;
	}
	store_be16(tcp, p->at.port);
	store_be16(tcp + 2, p->to.port);
	store_be32(tcp + 4, seq);
	store_be32(tcp + 8, flags & TCP_ACK ? p->rcv_nxt : 0);
	tcp[12] = (uint8_t)((at - tcp) / 4 << 4);
	tcp[13] = flags;
	store_be16(tcp + 14, (uint16_t)MIN(window, UINT16_MAX));
	store_be32(tcp + 16, 0);
	for (uint32_t i = 0; i < len; i++)
		*at++ = byte_at(p, from + i);
	relay_ip_write(packet, &h, (size_t)(at - tcp));
	relay_upper_checksum(tcp, (size_t)(at - tcp), &h);
	p->send(p->arg, packet, (size_t)(at - packet));
}

static void acknowledge(struct peer *p, const uint32_t *block)
{
	emit(p, TCP_ACK, p->nxt, 0, 0, p->sack_ok ? block : NULL);
}

/* An unacceptable segment is answered, but not at once again. */
static void challenge(struct peer *p)
{
	if (p->answered && p->net->now - p->answered < ANSWER_GAP)
		return;
	p->answered = p->net->now;
	acknowledge(p, NULL);
}

static void rearm(struct peer *p, ticks pause)
{
	p->pause = MIN(pause, RTO_MOST);
	p->due = p->net->now + p->pause;
}

/* ---- sending ---- */

static void send_syn(struct peer *p)
{
	p->syns++;
	emit(p, p->state == PEER_SYN_SENT ? TCP_SYN : TCP_SYN | TCP_ACK, p->iss, 0, 0, NULL);
	p->nxt = p->max = p->iss + 1;
}

static bool send_one(struct peer *p)
{
	uint32_t offset = p->nxt - p->iss - 1, edge = p->una + p->window, len;
	bool fin;

	if (offset > total(p))
		return false; /* the FIN is out */
	len = MIN(total(p) - offset, p->send_mss);
	if (before(edge, p->nxt + len))
		len = before(p->nxt, edge) ? edge - p->nxt : 0;
	fin = offset + len == total(p) && before(p->nxt + len, edge);
	if (!len && !fin)
		return false;
	emit(p, TCP_ACK | TCP_PSH | (fin ? TCP_FIN : 0), p->nxt, offset, len, NULL);
	p->nxt += len + fin;
	if (before(p->max, p->nxt))
		p->max = p->nxt;
	return true;
}

static void send_more(struct peer *p)
{
	bool idle = p->una == p->nxt;

	for (unsigned i = 0; i < 8 && p->nxt - p->una < 16u * p->send_mss; i++)
		if (!send_one(p))
			break;
	if (idle && p->una != p->nxt)
		rearm(p, RTO_FIRST);
}

static void time_out(struct peer *p)
{
	if (p->state == PEER_SYN_SENT || p->state == PEER_SYN_RECEIVED) {
		send_syn(p);
	} else if (p->una != p->max) {
		p->nxt = p->una; /* go back */
		if (!send_one(p)) { /* the window has been closed meanwhile */
			p->probes++;
			emit(p, TCP_ACK, p->una - 1, 0, 0, NULL);
		}
	} else if (p->una - p->iss - 1 <= total(p)) {
		p->probes++;
		emit(p, TCP_ACK, p->una - 1, 0, 0, NULL); /* zero window: as Linux probes */
	}
	rearm(p, 2 * p->pause);
}

static void tick(void *arg)
{
	struct peer *p = arg;
	uint32_t was = free_room(p);

	if (p->state == PEER_RESET)
		return;
	if (p->state != PEER_CLOSED && p->net->now >= p->due)
		time_out(p);
	if (p->state == PEER_ESTABLISHED) {
		if (p->used && net_chance(p->net, 300000)) { /* the application reads */
			p->used = 0;
			if (was < p->o.room / 2)
				acknowledge(p, NULL);
		}
		send_more(p);
	}
	net_at(p->net, p->net->now + TICK, tick, p);
}

/* ---- receiving ---- */

/* Of all options what the model looks at besides a SYN's offer. */
static void check_options(struct peer *p, const struct relay_packet *in)
{
	const uint8_t *at = in->upper + RELAY_TCP_HEADER, *end = in->payload;

	while (at < end && *at) {
		if (*at == 1) {
			at++;
			continue;
		}
		if (*at == 8) {
			check(p->net, p->ts_ok || p->state != PEER_ESTABLISHED || in->flags & TCP_SYN);
			/* It tells a moment at which this peer spoke. */
			if (p->state != PEER_CLOSED && in->flags & TCP_ACK)
				check_range(p->net, load_be32(at + 6) - p->ts_offset, 0,
						clock_of(p) - p->ts_offset);
		} else if (*at == 5) {
			/* Who was answered before the other called may have been promised too much. */
			check(p->net, p->sack_ok || p->other->o.token);
			for (unsigned i = 2; i + 8 <= at[1]; i += 8) {
				uint32_t left = load_be32(at + i), right = load_be32(at + i + 4);

				check(p->net, before(left, right) && !before(p->max, right));
				check(p->net, before(p->iss, left));
			}
		}
		at += at[1];
	}
}

static void agree(struct peer *p, const struct relay_packet *syn)
{
	const struct relay_offer *o = &syn->offer;
	bool scaled = o->wscale != RELAY_NO_WSCALE && p->o.wscale != RELAY_NO_WSCALE;

	check(p->net, !(syn->flags & TCP_ACK) || !o->sack || p->o.sack);
	check(p->net, !(syn->flags & TCP_ACK) || !o->timestamps || p->o.timestamps);
	check(p->net, !(syn->flags & TCP_ACK) || o->wscale == RELAY_NO_WSCALE || scaled);
	p->irs = syn->seq;
	p->rcv_nxt = syn->seq + 1;
	p->window = syn->window;
	p->wl1 = syn->seq;
	p->own_scale = scaled ? p->o.wscale : 0;
	p->peer_scale = scaled ? o->wscale : 0;
	p->sack_ok = o->sack && p->o.sack;
	p->ts_ok = o->timestamps && p->o.timestamps;
	p->ts_recent = o->tsval;
	p->send_mss = (uint16_t)MIN(o->mss ? o->mss : 536, 1400) - (p->ts_ok ? 12 : 0);
}

static void take_in_handshake(struct peer *p, const struct relay_packet *in)
{
	if (p->state == PEER_CLOSED) {
		if ((in->flags & (TCP_SYN | TCP_ACK | TCP_RST)) != TCP_SYN)
			return;
		agree(p, in);
		p->state = PEER_SYN_RECEIVED;
		rearm(p, RTO_SYN);
		send_syn(p);
		return;
	}
	if (in->flags & TCP_ACK)
		check_equal(p->net, in->ack, p->iss + 1); /* Linux would reset */
	if (in->flags & TCP_RST) {
		p->state = PEER_RESET;
		p->resets++;
		return;
	}
	if ((in->flags & (TCP_SYN | TCP_ACK)) != (TCP_SYN | TCP_ACK))
		return;
	agree(p, in);
	p->una = p->nxt;
	p->wl2 = in->ack;
	p->state = PEER_ESTABLISHED;
	acknowledge(p, NULL);
	rearm(p, RTO_FIRST);
}

static void take_ack(struct peer *p, const struct relay_packet *in)
{
	uint32_t window = (uint32_t)in->window << p->peer_scale;

	check(p->net, !before(p->max, in->ack)); /* of what was never sent */
	if (before(p->una, in->ack)) {
		p->una = in->ack;
		if (before(p->nxt, p->una))
			p->nxt = p->una;
		rearm(p, RTO_FIRST);
	}
	if (in->ack == p->una && (before(p->wl1, in->seq) ||
			(p->wl1 == in->seq && !before(in->ack, p->wl2)))) {
		if (!p->window && window)
			rearm(p, RTO_FIRST);
		p->window = window;
		p->wl1 = in->seq;
		p->wl2 = in->ack;
	}
}

static void take_data(struct peer *p, const struct relay_packet *in)
{
	uint32_t skip = p->rcv_nxt - in->seq, len = (uint32_t)in->payload_len;
	uint32_t block[2] = {in->seq, in->seq + len};

	if (before(p->rcv_nxt, in->seq)) { /* something is missing before it */
		acknowledge(p, len ? block : NULL);
		return;
	}
	for (uint32_t i = skip; i < len && free_room(p); i++) {
		check_equal(p->net, in->payload[i], stream_byte(!p->side, p->rcv_nxt - p->irs - 1));
		p->rcv_nxt++;
		p->used++;
	}
	if (in->flags & TCP_FIN && p->rcv_nxt == in->seq + len) {
		check_equal(p->net, p->rcv_nxt - p->irs - 1, p->other->o.bytes);
		p->rcv_nxt++;
		p->fin_received = true;
	}
	acknowledge(p, NULL);
}

static void take_established(struct peer *p, const struct relay_packet *in)
{
	uint32_t len = (uint32_t)in->payload_len + (in->flags & TCP_FIN ? 1 : 0);
	uint32_t edge = p->rcv_nxt + free_room(p);

	if (in->flags & TCP_SYN)
		return challenge(p);
	if (before(in->seq + len, p->rcv_nxt + (len > 0)) || before(edge, in->seq))
		return challenge(p);
	if (in->flags & TCP_RST) {
		if (in->seq == p->rcv_nxt) {
			p->state = PEER_RESET;
			p->resets++;
		}
		return;
	}
	if (!(in->flags & TCP_ACK))
		return;
	if (in->offer.timestamps)
		p->ts_recent = in->offer.tsval;
	take_ack(p, in);
	if (len)
		take_data(p, in);
}

void peer_take(struct peer *p, const struct relay_packet *in)
{
	check_options(p, in);
	if (p->state == PEER_SYN_RECEIVED && !(in->flags & (TCP_SYN | TCP_RST)) &&
			in->flags & TCP_ACK && in->ack == p->iss + 1) {
		p->state = PEER_ESTABLISHED;
		p->una = p->nxt;
		p->window = (uint32_t)in->window << p->peer_scale;
		rearm(p, RTO_FIRST);
	}
	switch (p->state) {
	case PEER_CLOSED:
		if (!p->o.listens)
			return;
		/* fall through */
	case PEER_SYN_SENT:
		return take_in_handshake(p, in);
	case PEER_SYN_RECEIVED:
		if (in->flags & TCP_SYN)
			send_syn(p);
		return;
	case PEER_ESTABLISHED:
		return take_established(p, in);
	case PEER_RESET:
		return;
	}
}

static void call(void *arg)
{
	struct peer *p = arg;

	p->state = PEER_SYN_SENT;
	rearm(p, RTO_SYN);
	send_syn(p);
	tick(p);
}

void peer_begin(struct peer *p)
{
	p->began = p->net->now;
	p->iss = p->una = p->nxt = p->max = (uint32_t)net_random(p->net);
	p->ts_offset = (uint32_t)net_random(p->net);
	if (p->o.listens)
		tick(p);
	else
		net_at(p->net, p->net->now + p->o.delay, call, p);
}

bool peer_done(const struct peer *p)
{
	return p->state == PEER_ESTABLISHED && p->fin_received && p->una - p->iss - 2 == total(p);
}
