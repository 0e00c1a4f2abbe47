/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Ethernet payload: the server is a learning switch whose ports are the clients
 * with the right `ethernet`, and its own TAP.  A MAC address is learnt from the
 * source of frames; while it is alive it cannot be taken over by another port,
 * and one client has at most 16.  Frames to unknown addresses, broadcast and
 * multicast go to all ports but the one they came from, within a budget.
 *
 * Servers of a cluster see the frames of other clients each.  So a client says in
 * its HELLO which addresses are behind it, and its record brings them to all.
 */
#ifndef MODE_ETHERNET_H
#define MODE_ETHERNET_H

#include "path/path.h"

#define ETHERNET_MACS 8192 /* places in the table */

struct ethernet *ethernet_new(void);
void ethernet_free(struct ethernet *e);

/* A frame from a client (origin) or from the server's TAP (NULL). */
void ethernet_frame(struct worker *w, struct client *origin, uint8_t *frame, size_t len);
/* Client: to the cluster. */
void ethernet_frame_to_server(struct worker *w, uint8_t *frame, size_t len);
/* Client, each second or so: who has moved elsewhere must not be held here by our record. */
void ethernet_forget_silent(struct worker *w);

/*
 * The client's record is another one now (either may be NULL): addresses that it has are
 * known until its session's end (boot time), those that it has no longer are forgotten.
 */
void ethernet_record_changed(struct ethernet *e, const struct client *c,
		const struct session_record *old, const struct session_record *record, ticks now,
		ticks end);

/* ---- the table, on its own for tests ---- */
enum mac_verdict { MAC_LEARNT, MAC_REFUSED };
/* port: a client's index, or 0 for the TAP.  now: boot time. */
enum mac_verdict mac_learn(struct ethernet *e, const uint8_t mac[6], uint32_t port, ticks now);
/* The same until then, without a frame; and no longer, although it may be alive. */
enum mac_verdict mac_learn_until(struct ethernet *e, const uint8_t mac[6], uint32_t port, ticks now,
		ticks until);
void mac_forget(struct ethernet *e, const uint8_t mac[6], uint32_t port);
/* Known to be behind this port, and so lately that mac_learn() has nothing to write. */
bool mac_settled(struct ethernet *e, const uint8_t mac[6], uint32_t port, ticks now);
/* The port it is behind; false: not known. */
bool mac_find(struct ethernet *e, const uint8_t mac[6], ticks now, uint32_t *port);

#endif
