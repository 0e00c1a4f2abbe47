/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * What comes in: datagrams from the network, frames from the tunnel device.
 *
 * A plaintext is decrypted to where it will most likely be needed: behind the
 * packets already waiting for the device, so that payloads join without a copy
 * (gro.h), or in place, so that it can be sealed again for another client where
 * it lies.  Which of the two is guessed from the last packet; a wrong guess
 * costs one copy or none.
 */
#include <errno.h>

#include "path/gso.h"
#include "path/mode.h"
#include "path/xport.h"

/* A datagram being taken in. */
struct intake {
	const struct udp_message *m;
	uint8_t *data; /* the datagram */
	size_t len;
	unsigned more;
};

static void take_ip(struct worker *w, const struct intake *t, struct client *origin, uint8_t *plain,
		size_t len, uint8_t *room)
{
	struct packet p = {.data = plain, .origin = origin, .room = room, .more = t->more};

	if (!inner_read(&p.in, plain, len)) {
		count_drop(w, DROP_MALFORMED);
		return;
	}
	p.len = p.in.len;
	if (unlikely(t->m->tos & 3) && !ecn_decapsulate(plain, &p.in, t->m->tos)) {
		count_drop(w, DROP_DENIED);
		return;
	}
	if (origin)
		w->path->mode->from_client(w, &p);
	else
		w->path->mode->from_server(w, &p);
}

/* Ids of pieces belong to one sender of one session. */
static uint64_t piece_key(const struct intake *t)
{
	return load_be64(t->data + HEADER_TO);
}

static void take_piece(struct worker *w, const struct intake *t, struct client *origin,
		const uint8_t *plain, size_t len)
{
	struct piece_result r = pieces_add(w->pieces, piece_key(t), plain, len, w->now.boot);
	uint8_t copy[PIECE_PACKET_MAX]; /* not in the arena: what becomes of it may flush that */

	counter_add(&w->counters.drop[DROP_PIECES], r.lost);
	if (r.refused)
		count_drop(w, DROP_MALFORMED);
	if (!r.packet)
		return;
	memcpy(copy, r.packet, r.len);
	take_ip(w, t, origin, copy, r.len, NULL);
}

static void take_frame(struct worker *w, struct client *origin, uint8_t *plain, size_t len)
{
	size_t n = len >= ETHERNET_HEADER ? load_be16(plain + 2) : 0;

	if (n < 14 || n > len - ETHERNET_HEADER) {
		count_drop(w, DROP_MALFORMED);
		return;
	}
	if (origin)
		w->path->mode->frame(w, origin, plain + ETHERNET_HEADER, n);
	else if (w->device[DEVICE_TAP] >= 0)
		device_put_frame(w, plain + ETHERNET_HEADER, n);
	else
		count_drop(w, DROP_DENIED);
}

static void take_plain(struct worker *w, const struct intake *t, struct client *origin,
		uint8_t *plain, size_t len)
{
	switch (plain[0] >> 4) {
	case INNER_PIECE:
		take_piece(w, t, origin, plain, len);
		break;
	case INNER_ETHERNET:
		take_frame(w, origin, plain, len);
		break;
	default:
		take_ip(w, t, origin, plain, len, t->data);
	}
}

/* Where to decrypt to. */
static uint8_t *place_plain(struct worker *w, const struct intake *t)
{
	if (!w->to_device || t->len <= PACKET_OVERHEAD)
		return t->data + HEADER_SIZE;
	w->placed = coalesce_place(&w->gro, t->len);
	if (!w->placed) {
		device_flush(w);
		w->placed = coalesce_place(&w->gro, t->len);
	}
	return w->placed ? w->placed : t->data + HEADER_SIZE;
}

static void take_datagram(struct worker *w, const struct intake *t)
{
	const struct datagram d = {.data = t->data, .len = t->len, .from = &t->m->from};
	uint8_t *plain = place_plain(w, t);
	struct opened o = {.plain = plain};
	enum drop why;

	if (w->path->server)
		why = server_open(w->path->server, &w->now, &d, plain, &w->output, &o);
	else
		why = uplink_open(w->path->uplink, &w->now, &d, plain, &w->output, &o.len);
	if (unlikely(why != DROP_NONE))
		count_drop(w, why);
	else if (o.len)
		take_plain(w, t, o.client, plain, o.len);
	if (w->placed) {
		coalesce_cancel(&w->gro);
		w->placed = NULL;
	}
}

static void take_message(struct worker *w, const struct udp_message *m)
{
	struct intake t = {.m = m};
	unsigned segments = m->segment ? (unsigned)((m->len + m->segment - 1) / m->segment) : 0;

	count(w, TRAFFIC_RX_DATAGRAMS, segments);
	count(w, TRAFFIC_RX_BYTES, m->len);
	if (m->len == 0)
		count_drop(w, DROP_SIZE);
	for (size_t at = 0; at < m->len; at += m->segment) {
		t.data = m->data + at;
		t.len = MIN(m->segment, m->len - at);
		t.more = --segments;
		take_datagram(w, &t);
	}
}

void receive_udp(struct worker *w, enum family f)
{
	int n = w->path->xport->receive(w, f);

	coalesce_begin(&w->gro, w->gro_buffer, true, w->path->device[DEVICE_TUN].uso);
	for (int i = 0; i < n; i++)
		take_message(w, &w->in->message[i]);
	device_flush(w);
	worker_flush(w); /* packets may lie in the receive buffers */
}

void receive_too_big(struct worker *w, const uint8_t *quoted, size_t len)
{
	if (w->path->server)
		server_too_big(w->path->server, &w->now, quoted, len, &w->output);
	else
		uplink_too_big(w->path->uplink, &w->now, quoted, len);
	w->deadline = 0;
}

/* ---- frames from the device ---- */

static void take_device_packet(struct worker *w, uint8_t *data, size_t len, unsigned more)
{
	struct packet p = {.data = data, .more = more};

	if (!inner_read(&p.in, data, len)) {
		count_drop(w, DROP_MALFORMED);
		return;
	}
	p.len = p.in.len;
	if (w->path->server)
		w->path->mode->from_device(w, &p);
	else
		w->path->mode->to_server(w, &p);
}

static void take_device_frame(struct worker *w, enum device dev, const struct virtio_net_hdr *vh,
		size_t len)
{
	struct segmenter s;
	unsigned packets;
	uint8_t *data;
	size_t n;

	if (segment_begin(&s, vh, w->frame, len, dev == DEVICE_TAP ? 14 : 0) != 0) {
		count_drop(w, DROP_MALFORMED);
		return;
	}
	packets = s.size ? (unsigned)((len - s.header_len + s.size - 1) / s.size) : 1;
	count(w, TRAFFIC_DEVICE_RX_FRAMES, 1);
	count(w, TRAFFIC_DEVICE_RX_PACKETS, packets);
	while ((data = segment_next(&s, &n))) {
		packets -= packets > 0;
		if (dev == DEVICE_TUN)
			take_device_packet(w, data, n, packets);
		else if (w->path->server)
			w->path->mode->frame(w, NULL, data, n);
		else
			w->path->mode->frame_to_server(w, data, n);
	}
}

void receive_device(struct worker *w, enum device dev)
{
	struct virtio_net_hdr vh;
	ssize_t n;

	coalesce_begin(&w->gro, w->gro_buffer, true, w->path->device[DEVICE_TUN].uso);
	for (int i = 0; i < DEVICE_FRAMES; i++) {
		n = tun_read(w->device[dev], &vh, w->frame, FRAME_ROOM);
		if (n < 0)
			break;
		take_device_frame(w, dev, &vh, (size_t)n);
	}
	device_flush(w); /* ICMP errors to the device, for one */
}
