/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* One packet to many clients, within a budget that is counted in copies. */
#ifndef MODE_FLOOD_H
#define MODE_FLOOD_H

#include "mode/members.h"
#include "path/path.h"

/*
 * A copy to each member but the sender, as long as the sender's budget lasts
 * (path->flood_rate copies a second; for the server's own device, where origin
 * is NULL, there is none).  Inner packets that do not fit a member's path are
 * fragmented or dropped for it, without an ICMP error.
 */
void flood_packet(struct worker *w, const struct member_list *list, const struct packet *p);
void flood_frame(struct worker *w, const struct member_list *list, const struct client *origin,
		const uint8_t *plain, size_t len);
/* `copies` from the client's budget: how many of them it may still make. */
uint32_t flood_take(struct worker *w, struct client *origin, uint32_t copies);

#endif
