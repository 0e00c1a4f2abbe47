/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Segmentation: from one large frame that the kernel gave us (TUN or TAP with
 * IFF_VNET_HDR and offloads: TSO, USO, checksum) to packets as they cross the
 * tunnel, each complete with headers and checksums.
 *
 * No payload is copied: each packet's headers are written in front of its
 * payload, over the end of the payload before, which has been encrypted by
 * then.  So a packet must be used up before the next one is asked for.
 */
#ifndef PATH_GSO_H
#define PATH_GSO_H

#include <linux/virtio_net.h>
#include "base/util.h"

#define GSO_HEADERS_MAX 192 /* link, IP with options or extensions, and TCP headers together */

struct segmenter {
	uint8_t *frame;
	size_t len;
	size_t header_len, l3, l4; /* headers in all; offset of IP and of TCP or UDP */
	size_t at;                 /* payload not yet cut */
	uint16_t size;             /* payload of a packet; 0: the frame is one packet */
	bool v4, tcp, done;
	uint16_t ip_id;
	uint32_t seq;
	uint64_t pseudo; /* sum of the pseudo header without its length */
	uint8_t headers[GSO_HEADERS_MAX];
};

/*
 * frame is len bytes after the virtio_net_hdr; l3 is 0 for TUN, 14 for TAP (a
 * TAP frame that is not IP passes whole).  0, or -EINVAL for a frame that is
 * malformed or of a kind that was not asked for.  frame is borrowed, and
 * changed, until the last segment_next().
 */
int segment_begin(struct segmenter *s, const struct virtio_net_hdr *vh, uint8_t *frame, size_t len,
		size_t l3);
/* The next packet (with its link header, if any) and its length, or NULL after the last. */
uint8_t *segment_next(struct segmenter *s, size_t *len);

#endif
