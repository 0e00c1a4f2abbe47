/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * ICMP errors about relayed packets.  What comes back to the anycast address is
 * about a packet that a server has rewritten; its sender gets the error as if
 * it were about the packet that it sent (RFC 7915 sections 4.2 to 4.4 and 5.2 to
 * 5.4 across families), from the anycast address, because nobody else may be
 * the source of a packet from here.
 *
 * Everybody can forge an error.  So it must quote a flow that there is, and the
 * rest is left to the sender's own check of the sequence number, which it gets
 * translated exactly; only a SYN's number is known here.
 */
#include "mode/relay_input_internal.h"

#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>

#include "base/csum.h"
#include "path/inner.h"

#define ERRORS_MOST    500 /* a second: of all */
#define ERRORS_OF_MOST 20  /* about one relay, to one sender */
#define V4_MTU_LEAST   576
#define V6_MTU_LEAST   1280
#define HEADER_DIFFERENCE (RELAY_IPV6_HEADER - RELAY_IPV4_HEADER)
#define V4_ERROR_MAX   576 /* RFC 1812 section 4.3.2.3 */
#define V4_PROTOCOL_AT 9   /* what a parameter problem points to */
#define V6_NEXT_AT     6

/* An error in both families; a row is what there is on both sides. */
struct meaning {
	bool too_big, unreachable;
	struct {
		uint8_t type, code;
	} v4, v6;
	uint8_t v6_pointer;
};

/* The first row with the type and code that came tells those of the other family. */
static const struct meaning meanings[] = {
	{false, true, {ICMP_DEST_UNREACH, ICMP_HOST_UNREACH}, {ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_NOROUTE}, 0},
	{false, true, {ICMP_DEST_UNREACH, ICMP_NET_UNREACH}, {ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_NOROUTE}, 0},
	{false, true, {ICMP_DEST_UNREACH, ICMP_HOST_ANO}, {ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_ADMIN}, 0},
	{false, true, {ICMP_DEST_UNREACH, ICMP_NET_ANO}, {ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_ADMIN}, 0},
	{false, true, {ICMP_DEST_UNREACH, ICMP_PKT_FILTERED}, {ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_ADMIN}, 0},
	{false, true, {ICMP_DEST_UNREACH, ICMP_PREC_CUTOFF}, {ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_ADMIN}, 0},
	{false, true, {ICMP_DEST_UNREACH, ICMP_HOST_UNREACH}, {ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_BEYONDSCOPE}, 0},
	{false, true, {ICMP_DEST_UNREACH, ICMP_HOST_UNREACH}, {ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_ADDR}, 0},
	{false, true, {ICMP_DEST_UNREACH, ICMP_PORT_UNREACH}, {ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_NOPORT}, 0},
	{false, true, {ICMP_DEST_UNREACH, ICMP_PROT_UNREACH}, {ICMP6_PARAM_PROB, ICMP6_PARAMPROB_NEXTHEADER}, V6_NEXT_AT},
	{false, true, {ICMP_DEST_UNREACH, ICMP_SR_FAILED}, {ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_NOROUTE}, 0},
	{false, true, {ICMP_DEST_UNREACH, ICMP_NET_UNKNOWN}, {ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_NOROUTE}, 0},
	{false, true, {ICMP_DEST_UNREACH, ICMP_HOST_UNKNOWN}, {ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_NOROUTE}, 0},
	{false, true, {ICMP_DEST_UNREACH, ICMP_HOST_ISOLATED}, {ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_NOROUTE}, 0},
	{false, true, {ICMP_DEST_UNREACH, ICMP_NET_UNR_TOS}, {ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_NOROUTE}, 0},
	{false, true, {ICMP_DEST_UNREACH, ICMP_HOST_UNR_TOS}, {ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_NOROUTE}, 0},
	{true, false, {ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED}, {ICMP6_PACKET_TOO_BIG, 0}, 0},
	{false, false, {ICMP_TIME_EXCEEDED, ICMP_EXC_TTL}, {ICMP6_TIME_EXCEEDED, ICMP6_TIME_EXCEED_TRANSIT}, 0},
	{false, false, {ICMP_TIME_EXCEEDED, ICMP_EXC_FRAGTIME}, {ICMP6_TIME_EXCEEDED, ICMP6_TIME_EXCEED_REASSEMBLY}, 0},
};

/* An error that came, and the flow that it is about. */
struct error {
	const struct meaning *meaning;
	uint32_t mtu;
	struct relay_packet quote; /* as a server sent it, from side `from` */
	const struct relay *relay;
	unsigned from, offset;
};

static const struct meaning *find_meaning(bool v4, uint8_t type, uint8_t code)
{
	for (unsigned i = 0; i < ARRAY_SIZE(meanings); i++) {
		const struct meaning *m = &meanings[i];

		if (v4 ? m->v4.type == type && m->v4.code == code :
				m->v6.type == type && m->v6.code == code)
			return m;
	}
	return NULL;
}

/* RFC 4884: extensions follow a quotation whose length is told; they are not passed on. */
static size_t quoted_len(const struct relay_packet *p, const struct meaning *m)
{
	size_t told = p->v4 ? p->upper[5] * 4u : p->upper[4] * 8u;

	return told && !m->too_big ? MIN(told, p->payload_len) : p->payload_len;
}

static bool read_error(struct error *x, const struct relay_event *e, struct relay_packet *p)
{
	if (!relay_packet_read_icmp(p, e->data, e->len, e->whole))
		return false;
	x->meaning = find_meaning(p->v4, p->upper[0], p->upper[1]);
	x->mtu = p->v4 ? load_be16(p->upper + 6) : load_be32(p->upper + 4);
	return x->meaning && relay_packet_read_quote(&x->quote, p->payload,
			quoted_len(p, x->meaning)) && x->quote.v4 == p->v4;
}

/* The quoted packet is one that servers send: to this side, from its port. */
static bool find_flow(struct relay_input *in, struct error *x)
{
	const struct relay_packet *q = &x->quote;
	const struct relay_side *to, *from;
	struct endpoint room;
	unsigned side;

	if (!(q->v4 ? in->o.has_v4 : in->o.has_v6) ||
			memcmp(q->src.ip, relay_input_anycast(in, q->v4), sizeof q->src.ip) != 0)
		return false;
	x->relay = relays_at(in->o.relays, &in->now, q->v4, q->protocol, q->src.port, &side,
			&x->offset);
	if (!x->relay)
		return false;
	x->from = !side;
	to = &x->relay->side[side];
	from = &x->relay->side[!side];
	if (!relay_side_at(to, x->offset, &room) ||
			!endpoint_equal(relay_side_at(to, x->offset, &room), &q->dst) ||
			!relay_side_at(from, x->offset, &room))
		return false;
	/* A listener that has not answered has been sent a SYN and nothing else. */
	if (q->protocol == RELAY_TCP && relay_listens(to) && !relay_latched(to, 0))
		return relay_latched(from, 0) && q->seq == from->leg[0].isn + from->leg[0].skip;
	return relay_ready(x->relay, x->from, x->offset);
}

static bool may_send(struct relay_input *in, const void *about, size_t len)
{
	return relay_bucket_pass(relay_bucket_of(in, in->errors_of, about, len), &in->now,
			ERRORS_OF_MOST) && relay_bucket_pass(&in->errors, &in->now, ERRORS_MOST);
}

/* RFC 7915 sections 4.2 and 5.2; nobody is made to send less than every path must take. */
static uint32_t translated_mtu(uint32_t mtu, bool from_v4, bool to_v4)
{
	if (from_v4 && !to_v4)
		mtu = MIN(mtu, UINT16_MAX) + HEADER_DIFFERENCE;
	else if (!from_v4 && to_v4)
		mtu = mtu > HEADER_DIFFERENCE ? mtu - HEADER_DIFFERENCE : 0;
	if (to_v4)
		return MIN(MAX(mtu, V4_MTU_LEAST), UINT16_MAX);
	return MAX(mtu, V6_MTU_LEAST);
}

static void write_error(uint8_t *icmp, const struct error *x, bool same, const uint8_t *came, bool to_v4)
{
	const struct meaning *m = x->meaning;

	memset(icmp, 0, RELAY_ICMP_HEADER);
	icmp[0] = same ? came[0] : to_v4 ? m->v4.type : m->v6.type;
	icmp[1] = same ? came[1] : to_v4 ? m->v4.code : m->v6.code;
	if (m->too_big) {
		uint32_t mtu = translated_mtu(x->mtu, x->quote.v4, to_v4);

		store_be32(icmp + 4, mtu); /* IPv4: 16 bits after two unused bytes */
	} else if (!to_v4)
		icmp[7] = m->v6_pointer;
}

/* Ones' complement sum of what the rewriting changes: pseudo header, ports, seq and ack. */
static uint64_t changing_sum(const struct relay_ip *h, const uint8_t *upper, size_t len)
{
	size_t skip = h->v4 ? 12 : 0;
	uint64_t sum = csum_add(0, h->src + skip, 16 - skip);

	sum = csum_add(sum, h->dst + skip, 16 - skip);
	return csum_add(sum, upper, MIN(len, h->protocol == RELAY_TCP ? 12u : 4u));
}

/* The upper header as its sender wrote it; the checksum follows (RFC 1624), as far as it is quoted. */
static void restore_upper(uint8_t *upper, size_t len, const struct error *x,
		const struct relay_ip *h)
{
	const struct relay *r = x->relay;
	const struct relay_packet *q = &x->quote;
	const struct relay_ip was = {.v4 = q->v4, .protocol = q->protocol, .src = q->src.ip,
		.dst = q->dst.ip};
	size_t field = q->protocol == RELAY_TCP ? 16 : 6;
	uint64_t before = changing_sum(&was, upper, len);
	struct relay_shift shift = {0};
	struct endpoint room;
	uint16_t check;

	store_be16(upper, relay_side_at(&r->side[x->from], x->offset, &room)->port);
	store_be16(upper + 2, (uint16_t)(r->side[x->from].port + x->offset));
	if (q->protocol == RELAY_TCP) {
		if (relay_ready(r, x->from, 0))
			relay_shift(r, x->from, &shift);
		store_be32(upper + 4, load_be32(upper + 4) - shift.seq);
		if (len >= 12)
			store_be32(upper + 8, load_be32(upper + 8) - shift.ack);
	}
	if (len < field + 2)
		return;
	memcpy(&check, upper + field, sizeof check);
	if (!check && q->protocol == RELAY_UDP)
		return;
	check = csum_finish((uint64_t)(uint16_t)~check + (uint16_t)~csum_fold(before) +
			csum_fold(changing_sum(h, upper, len)));
	memcpy(upper + field, &check, sizeof check);
}

/* What the error is to quote: the packet as its sender wrote it. */
static size_t write_quote(uint8_t *out, size_t most, const struct relay_input *in,
		const struct error *x)
{
	const struct relay_side *from = &x->relay->side[x->from];
	const struct relay_packet *q = &x->quote;
	struct endpoint room;
	struct relay_ip h = {.v4 = from->v4, .df = q->df, .tos = q->tos, .ttl = q->ttl,
		.protocol = q->protocol, .id = q->id, .src = relay_side_at(from, x->offset, &room)->ip,
		.dst = relay_input_anycast(in, from->v4)};
	size_t ip = relay_ip_write(out, &h, q->whole - (size_t)(q->upper - q->ip));
	size_t len = MIN(q->upper_len, most - ip);

	memcpy(out + ip, q->upper, len);
	restore_upper(out + ip, len, x, &h);
	return ip + len;
}

static void send_error(struct relay_input *in, const struct error *x, const struct relay_packet *p)
{
	const struct relay_side *from = &x->relay->side[x->from];
	struct endpoint room;
	struct relay_ip h = {.v4 = from->v4, .ttl = 64, .tos = p->tos,
		.protocol = from->v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6,
		.src = relay_input_anycast(in, from->v4), .dst = relay_side_at(from, x->offset, &room)->ip};
	size_t ip = from->v4 ? RELAY_IPV4_HEADER : RELAY_IPV6_HEADER;
	size_t most = from->v4 ? V4_ERROR_MAX : RELAY_ICMP_MAX, len;
	uint8_t *icmp = in->out + ip;

	write_error(icmp, x, from->v4 == p->v4, p->upper, from->v4);
	len = RELAY_ICMP_HEADER + write_quote(icmp + RELAY_ICMP_HEADER,
			most - ip - RELAY_ICMP_HEADER, in, x);
	relay_ip_write(in->out, &h, len);
	relay_upper_checksum(icmp, len, &h);
	in->o.out->send(in->o.out, in->out, ip + len);
}

unsigned relay_input_icmp(struct relay_input *in, const struct relay_event *e)
{
	struct relay_packet p;
	struct error x = {0};

	if (!read_error(&x, e, &p))
		return RELAY_DROP_MALFORMED;
	if (!find_flow(in, &x) || !may_send(in, x.relay->id, sizeof x.relay->id))
		return RELAY_DROP_ICMP;
	if (x.meaning->unreachable)
		relays_note(in->o.relays, x.relay->id, RELAY_STATUS_UNREACHABLE);
	send_error(in, &x, &p);
	return RELAY_TAKEN;
}

unsigned relay_input_error(struct relay_input *in, const struct relay_packet *p, uint32_t mtu)
{
	struct inner what = {.v4 = p->v4, .proto = p->protocol, .len = (uint32_t)p->len};
	size_t len;

	if (!may_send(in, p->src.ip, sizeof p->src.ip))
		return RELAY_DROP_ICMP;
	memcpy(what.src, p->src.ip, sizeof what.src);
	memcpy(what.dst, p->dst.ip, sizeof what.dst);
	what.l4 = (uint16_t)(p->upper - p->ip);
	if (mtu)
		mtu = MAX(mtu, p->v4 ? V4_MTU_LEAST : V6_MTU_LEAST);
	len = icmp_error(in->out, p->ip, &what, mtu ? ICMP_ERROR_TOO_BIG : ICMP_ERROR_TIME_EXCEEDED,
			mtu, p->dst.ip);
	if (!len)
		return RELAY_DROP_ICMP;
	in->o.out->send(in->o.out, in->out, len);
	return RELAY_TAKEN;
}
