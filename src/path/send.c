/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * What goes out: inner packets sealed for the far end of a session.  Most fit
 * and take the short way through send_plain(); the rest of this file is about
 * those that do not.
 */
#include "path/mode.h"
#include "path/xport.h"

#define RUN_LONGEST      64  /* numbers reserved at a time */
#define ICMP_A_SECOND    100

enum drop far_end_client(struct worker *w, struct client *c, struct far_end *end)
{
	struct server *s = w->path->server;
	struct downstream down;
	enum drop why = server_downstream(s, &w->now, c, &down);

	if (unlikely(why != DROP_NONE))
		return why;
	end->tx = &down.active->tx;
	end->limits = &s->limits;
	end->to = &down.record->endpoint;
	end->room = down.record->down_mtu - outer_overhead(addr_is_v4(end->to->ip)) - PACKET_OVERHEAD;
	end->least = 0;
	end->t = (uint16_t)time_16th(w->now.cluster);
	return DROP_NONE;
}

enum drop far_end_server(struct worker *w, struct far_end *end)
{
	struct uplink *u = w->path->uplink;

	if (unlikely(!uplink_ready(u, &w->now, &w->output)))
		return DROP_NO_SESSION;
	end->tx = &u->newest->tx;
	end->limits = &u->o.limits;
	end->to = uplink_server(u);
	end->room = uplink_plain_max(u, &w->now);
	end->least = UPSTREAM_MIN - PACKET_OVERHEAD;
	end->t = uplink_time(u, &w->now);
	uplink_sends(u, &w->now);
	return DROP_NONE;
}

void send_plain(struct worker *w, const struct far_end *end, const uint8_t *plain, size_t len,
		uint8_t tos, uint8_t *room, unsigned more)
{
	uint8_t padded[UPSTREAM_MIN];
	uint32_t number;

	if (unlikely(!tx_number(&w->run, end->tx, MIN(more + 1, RUN_LONGEST), end->limits, &number))) {
		count_drop(w, DROP_SPENT);
		return;
	}
	if (unlikely(len < end->least)) {
		memset(padded, 0, sizeof padded);
		memcpy(padded, plain, len);
		plain = padded;
		len = end->least;
		room = NULL;
	}
	if (!room)
		room = arena_take(w, len + PACKET_OVERHEAD);
	len = tx_seal(end->tx, end->t, number, plain, len, room);
	tx_count(end->tx, len, 1);
	w->path->xport->send(w, end->to, tos, room, len);
}

/* ---- what does not fit ---- */

static void send_pieces(struct worker *w, const struct far_end *end, const struct packet *p)
{
	uint8_t tos = ecn_encapsulate(p->in.tos, w->path->copy_dscp);
	uint8_t plain[PIECE_HEADER + PIECE_PACKET_MAX];
	const uint8_t *at = p->data;
	size_t cut[2];

	if (!piece_split(p->len, end->room, cut)) {
		count_drop(w, DROP_TOO_BIG);
		return;
	}
	w->piece_id++;
	for (unsigned i = 0; i < 2; at += cut[i++]) {
		piece_header(plain, i, w->piece_id);
		memcpy(plain + PIECE_HEADER, at, cut[i]);
		send_plain(w, end, plain, PIECE_HEADER + cut[i], tos, NULL, 1 - i);
	}
	count(w, TRAFFIC_PIECES, 1);
}

struct fragment_sink {
	struct worker *w;
	const struct far_end *end;
	uint8_t tos;
};

static void send_fragment(void *arg, uint8_t *fragment, size_t len)
{
	struct fragment_sink *sink = arg;

	send_plain(sink->w, sink->end, fragment, len, sink->tos, NULL, 0);
}

static void send_fragments(struct worker *w, const struct far_end *end, const struct packet *p)
{
	struct fragment_sink sink = {w, end, ecn_encapsulate(p->in.tos, w->path->copy_dscp)};
	uint8_t scratch[PMTU_FIRST];

	count(w, TRAFFIC_FRAGMENTS, ipv4_fragment(p->data, &p->in, MIN(end->room, sizeof scratch),
			scratch, send_fragment, &sink));
}

/* Who provokes errors of one kind must not keep others from learning their path MTU. */
static bool icmp_allowed(struct worker *w, enum icmp_error what)
{
	uint32_t second = (uint32_t)(w->now.boot / TICKS_PER_SEC);

	if (w->icmp_second != second) {
		w->icmp_second = second;
		memset(w->icmp_count, 0, sizeof w->icmp_count);
	}
	return w->icmp_count[what == ICMP_ERROR_TOO_BIG]++ < ICMP_A_SECOND;
}

void send_icmp_error(struct worker *w, const struct packet *p, enum icmp_error what, unsigned mtu)
{
	enum family f = p->in.v4 ? FAMILY_V4 : FAMILY_V6;
	uint8_t buffer[ICMP_ERROR_MAX];
	struct packet error = {.data = buffer};
	struct far_end end;

	/*
	 * From the server's inner address; where there is none (a client), from
	 * the destination, which the sender's reverse path check lets in.
	 */
	error.len = icmp_error(buffer, p->data, &p->in, what, mtu,
			w->path->has_own[f] ? w->path->own[f] : p->in.dst);
	if (!error.len || !icmp_allowed(w, what))
		return;
	count(w, TRAFFIC_ICMP_ERRORS, 1);
	if (!p->origin)
		device_put(w, &error);
	else if (far_end_client(w, p->origin, &end) == DROP_NONE && error.len <= end.room)
		send_plain(w, &end, buffer, error.len, 0, NULL, 0);
}

static void send_too_big(struct worker *w, const struct far_end *end, struct packet *p)
{
	if (p->len <= PIECE_PACKET_MAX) {
		send_pieces(w, end, p);
	} else if (p->in.v4 && !p->in.df) {
		send_fragments(w, end, p);
	} else {
		count_drop(w, DROP_TOO_BIG);
		send_icmp_error(w, p, ICMP_ERROR_TOO_BIG, MAX(end->room, PIECE_PACKET_MAX));
	}
}

void send_packet(struct worker *w, const struct far_end *end, struct packet *p)
{
	if (unlikely(p->len > end->room)) {
		send_too_big(w, end, p);
		return;
	}
	send_plain(w, end, p->data, p->len, ecn_encapsulate(p->in.tos, w->path->copy_dscp), p->room,
			p->more);
}
