/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Every reason for which a packet is dropped: the enum, the counter's name in
 * `anyrelay status`, and the sentence in the manual come from this list.
 */
#ifndef PROTO_DROP_H
#define PROTO_DROP_H

#define DROP_REASONS(X)                                                                            \
	X(SIZE, "size", "shorter or longer than any message of its type")                          \
	X(TYPE, "type", "not a type that is accepted here")                                        \
	X(KID, "kid", "key id unknown, or the session has ended")                                  \
	X(INDEX, "index", "no client has this index")                                              \
	X(REVOKED, "revoked", "the client has been removed")                                       \
	X(CUT_OFF, "cut_off", "this server's list of clients is too old to be believed")            \
	X(JOINING, "joining", "this server has no epoch keys yet")                                 \
	X(TAG, "tag", "authentication tag wrong")                                                  \
	X(AGE, "age", "too old, too new, or from before this server started")                      \
	X(REPLAY, "replay", "packet number seen before, or too old to tell")                       \
	X(SENDER, "sender", "too many senders in one session")                                     \
	X(SLOTS, "slots", "no free place for another active session")                              \
	X(MAC1, "mac1", "handshake: not made for this cluster's key")                              \
	X(TOKEN, "token", "handshake: under load, a retry token was asked for instead")            \
	X(HANDSHAKE, "handshake", "handshake: message does not decrypt, or all-zero DH")           \
	X(UNKNOWN_CLIENT, "unknown_client", "handshake: public key not enrolled")                  \
	X(VERSION, "version", "handshake: no version or cipher in common")                         \
	X(RATE, "rate", "handshake: more than its network prefix or the server may make")          \
	X(COOKIE, "cookie", "HELLO: path cookie wrong or too old")                                 \
	X(MOVE_RATE, "move_rate", "HELLO: endpoint moves too often")                               \
	X(MALFORMED, "malformed", "verified, but not a well-formed message")                       \
	X(STALE, "stale", "answer to nothing that was asked")                                      \
	X(SOURCE, "source", "inner source is not one of the client's addresses")                   \
	X(NO_ROUTE, "no_route", "no client and no network has the inner destination")              \
	X(NO_SESSION, "no_session", "the destination client has no session")                       \
	X(DENIED, "denied", "destination or payload not allowed to this client")                   \
	X(TTL, "ttl", "inner hop limit used up")                                                   \
	X(TOO_BIG, "too_big", "inner packet larger than the path, may not be fragmented")          \
	X(PIECES, "pieces", "piece of a packet whose other piece did not come in time")            \
	X(FLOOD_RATE, "flood_rate", "multicast, broadcast or flooding budget used up")             \
	X(CLIENT_RATE, "client_rate", "client's rate limit reached")                               \
	X(MAC_TABLE, "mac_table", "MAC address belongs to another client, or one too many")        \
	X(BUDGET, "budget", "more bytes than may go to an unproven address")                       \
	X(QUEUE, "queue", "waiting queue full")                                                    \
	X(SPENT, "spent", "session key used up")                                                   \
	X(DEVICE, "device", "the tunnel device refused the packet")                                \
	X(SOCKET, "socket", "the socket refused the packet")                                       \
	X(BUFFER, "buffer", "messages that came while the socket's receive buffer was full")       \
	X(OVERLOAD, "overload", "beyond its source's fair share while a worker cannot keep up")

enum drop {
	DROP_NONE = 0, /* accepted */
#define X(name, key, text) DROP_##name,
	DROP_REASONS(X)
#undef X
	DROP_COUNT
};

const char *drop_key(enum drop d);
const char *drop_text(enum drop d);

#endif
