/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Tickets (PROTOCOL.md, "Ticket"): what a server must know of a client to serve
 * it, sealed under an epoch key and carried by the client itself.  A server that
 * has the epoch keys but not this client's record (it has just joined, or the
 * registry is away) takes the record from the ticket.  It binds the session id,
 * and is worth nothing without a packet that verifies under that session's
 * secret, nor against a record or tombstone that the server has.
 *
 *	kid | nonce 12 | AES-256-GCM(Kticket, record; AD "ticket" | sid) | tag 16
 *	record: index u32 | version u64 | rights u16 | port block u16 u16
 *	        | public key 32 | psk 32 | prefixes u8 | name length u8
 *	        | prefixes, 17 bytes each | name
 */
#ifndef PROTO_TICKET_H
#define PROTO_TICKET_H

#include "proto/directory.h"
#include "proto/epoch.h"

#define TICKET_MIN 29 /* kid, nonce and tag */

/* The ticket for this session of this client; its size. */
size_t ticket_make(const struct epoch_keys *k, const uint8_t sid[SID_SIZE], const struct client *c,
		uint8_t ticket[TICKET_MAX]);
/* 0 and *r (with psk: the caller wipes it), or -EBADMSG.  k: keys with the kid that the ticket names. */
int ticket_open(const struct epoch_keys *k, const uint8_t sid[SID_SIZE], const uint8_t *ticket,
		size_t len, struct record *r);

#endif
