/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* Packets to the tunnel device: few large frames (gro.h), written at the end of a batch. */
#include "path/path.h"

void device_put(struct worker *w, const struct packet *p)
{
	uint8_t *place = w->placed;

	if (w->device[DEVICE_TUN] < 0) {
		count_drop(w, DROP_NO_ROUTE);
		return;
	}
	w->to_device = true;
	if (place && place != p->data) {
		coalesce_cancel(&w->gro);
		place = NULL;
	}
	w->placed = NULL;
	if (!place) {
		place = coalesce_place(&w->gro, p->len);
		if (!place) {
			device_flush(w);
			place = coalesce_place(&w->gro, p->len);
		}
		memcpy(place, p->data, p->len);
	}
	coalesce_commit(&w->gro, p->len);
	count(w, TRAFFIC_DEVICE_TX_PACKETS, 1);
}

void device_flush(struct worker *w)
{
	coalesce_finish(&w->gro);
	for (unsigned i = 0; i < w->gro.count; i++) {
		const struct gro_frame *f = &w->gro.frame[i];

		if (tun_write(w->device[DEVICE_TUN], &f->vh, f->data, f->len) < 0)
			count_drop(w, DROP_DEVICE);
		else
			count(w, TRAFFIC_DEVICE_TX_FRAMES, 1);
	}
	coalesce_begin(&w->gro, w->gro_buffer, true, w->path->device[DEVICE_TUN].uso);
}

void device_put_frame(struct worker *w, const uint8_t *frame, size_t len)
{
	static const struct virtio_net_hdr plain;

	if (w->device[DEVICE_TAP] < 0 ||
			tun_write(w->device[DEVICE_TAP], &plain, frame, len) < 0) {
		count_drop(w, DROP_DEVICE);
		return;
	}
	count(w, TRAFFIC_DEVICE_TX_FRAMES, 1);
	count(w, TRAFFIC_DEVICE_TX_PACKETS, 1);
}

unsigned device_gso_max(unsigned mtu)
{
	unsigned packets = MIN(UDP_RUN_BYTES / (mtu + PACKET_OVERHEAD), UDP_SEGMENTS);

	/*
	 * Linux fills a frame with whole segments up to this size less 1 + 320
	 * bytes for headers (MAX_TCP_HEADER), so allow that and a little slack,
	 * less than one segment.
	 */
	return packets * (mtu - 40) + 400;
}
