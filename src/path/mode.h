/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The contract of a mode: what becomes of an inner packet.  Nothing outside
 * src/mode asks which mode it is.  Packets are borrowed for the call and may be
 * changed; every packet ends in exactly one send, device write or counted drop.
 */
#ifndef PATH_MODE_H
#define PATH_MODE_H

#include "path/path.h"

struct mode {
	const char *name;
	/* Server: an IP packet of a client (p->origin), headers read, ECN done. */
	void (*from_client)(struct worker *w, struct packet *p);
	/* Server: an IP packet from the TUN. */
	void (*from_device)(struct worker *w, struct packet *p);
	/* Server: an Ethernet frame of a client, or (origin NULL) from the TAP. */
	void (*frame)(struct worker *w, struct client *origin, uint8_t *frame, size_t len);
	/* Client: an IP packet from the cluster, and one from the TUN. */
	void (*from_server)(struct worker *w, struct packet *p);
	void (*to_server)(struct worker *w, struct packet *p);
	/* Client: an Ethernet frame from the TAP. */
	void (*frame_to_server)(struct worker *w, uint8_t *frame, size_t len);
};

extern const struct mode mode_tunnel;

#endif
