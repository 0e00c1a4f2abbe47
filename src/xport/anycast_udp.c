/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Anycast UDP: stateless, the default.  A packet is a datagram; each worker has
 * a socket of its own for each family, and the kernel spreads clients over them.
 */
#include <errno.h>
#include <stdlib.h>

#include "path/xport.h"

static int udp_xport_open(struct worker *w, const struct endpoint local[FAMILY_COUNT],
		const bool present[FAMILY_COUNT], char *error, size_t error_size)
{
	struct udp_options options = {
		.reuse_port = w->path->worker_count > 1,
		.first = w == w->path->worker[0],
		.free_bind = w->path->free_bind,
	};

	for (int f = 0; f < FAMILY_COUNT; f++) {
		if (!present[f])
			continue;
		w->udp[f] = udp_open(&local[f], options, error, error_size);
		if (w->udp[f] < 0)
			return w->udp[f];
		w->out[f] = malloc(sizeof *w->out[f]);
		if (!w->out[f])
			return -ENOMEM;
		udp_sender_init(w->out[f], w->udp[f]);
	}
	return 0;
}

static int udp_xport_receive(struct worker *w, enum family f)
{
	return udp_receive(w->in, w->udp[f]);
}

static void udp_xport_errors(struct worker *w, enum family f)
{
	struct udp_error e;

	while (udp_read_error(w->udp[f], &e))
		if (e.too_big)
			receive_too_big(w, e.quoted, e.len);
}

static struct udp_sender *sender_to(struct worker *w, const struct endpoint *to)
{
	struct udp_sender *out = w->out[addr_is_v4(to->ip) ? FAMILY_V4 : FAMILY_V6];

	if (!out)
		count_drop(w, DROP_SOCKET);
	return out;
}

static void udp_xport_send(struct worker *w, const struct endpoint *to, uint8_t tos,
		const uint8_t *data, size_t len)
{
	struct udp_sender *out = sender_to(w, to);

	if (likely(out))
		udp_send_add(out, to, tos, data, len);
}

static void udp_xport_send_alone(struct worker *w, const struct endpoint *to, const uint8_t *data,
		size_t len)
{
	struct udp_sender *out = sender_to(w, to);

	if (out)
		udp_send_alone(out, to, 0, data, len);
}

static void udp_xport_flush(struct worker *w)
{
	for (int f = 0; f < FAMILY_COUNT; f++) {
		struct udp_sender *out = w->out[f];

		if (!out)
			continue;
		udp_send_flush(out); /* it may have flushed itself before, so counts are taken here */
		count(w, TRAFFIC_TX_DATAGRAMS, out->counters.datagrams);
		count(w, TRAFFIC_TX_BYTES, out->counters.bytes);
		counter_add(&w->counters.drop[DROP_TOO_BIG], out->counters.too_big);
		counter_add(&w->counters.drop[DROP_SOCKET],
				out->counters.full + out->counters.refused);
		out->counters = (struct udp_counters){0};
	}
}

const struct xport xport_anycast_udp = {
	.name = "anycast-udp",
	.open = udp_xport_open,
	.receive = udp_xport_receive,
	.errors = udp_xport_errors,
	.send = udp_xport_send,
	.send_alone = udp_xport_send_alone,
	.flush = udp_xport_flush,
};
