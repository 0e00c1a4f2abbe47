/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Coalescing: from packets as they leave the tunnel to few large frames for
 * the TUN device (TSO, and USO where the kernel takes it).  Consecutive packets
 * of one TCP or UDP flow become one frame; all others are frames of their own.
 * Order is kept.
 *
 * No payload is copied in the common case: coalesce_place() says where the next
 * packet should be decrypted to, which is such that its payload directly
 * continues the open frame; its headers lie over the end of that frame, whose
 * bytes are kept aside meanwhile.
 */
#ifndef PATH_GRO_H
#define PATH_GRO_H

#include <linux/virtio_net.h>
#include "base/util.h"

#define GRO_FRAMES_MAX  256
#define GRO_BUFFER      (256 * 1024)
#define GRO_HEADERS_MAX 128

struct gro_frame {
	struct virtio_net_hdr vh;
	uint8_t *data;
	size_t len;
};

struct coalescer {
	bool tcp, udp; /* offloads that the device takes */
	size_t used;   /* of buffer */
	unsigned count;
	struct gro_frame frame[GRO_FRAMES_MAX];
	/* the open frame, if any, is frame[count - 1] */
	bool open;
	uint16_t header_len, l4, size; /* its headers, upper header's offset, payload per packet */
	uint16_t packets;
	uint32_t next_seq;
	uint8_t *place; /* of the packet under way */
	size_t saved_len; /* as a uint8_t, gcc would copy with "rep movs": slow to start */
	uint8_t saved[GRO_HEADERS_MAX];
	uint8_t *buffer; /* GRO_BUFFER bytes, the owner's */
};

void coalesce_begin(struct coalescer *c, uint8_t *buffer, bool tcp, bool udp);
/*
 * Where to put the next packet, of at most len bytes: room for it, or NULL when
 * the frames must be written first.  Followed by exactly one of the other two.
 */
uint8_t *coalesce_place(struct coalescer *c, size_t len);
/* What was put there is no packet for the device. */
void coalesce_cancel(struct coalescer *c);
/* An IP packet of len bytes (no padding, inner_read() has accepted it) lies there. */
void coalesce_commit(struct coalescer *c, size_t len);
/* Closes the open frame: c->frame[0 … c->count - 1] are ready; then coalesce_begin() anew. */
void coalesce_finish(struct coalescer *c);

#endif
