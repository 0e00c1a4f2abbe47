/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * One link of the mesh: what two servers say to each other, in Noise KK
 * sessions between their own keys (PROTOCOL.md, "Mesh").  Nothing here comes
 * from an epoch key, so who has those reads nothing and can pose as nobody.
 * Pure: packets and time come in, packets go out to the caller's buffer.
 *
 * Sessions.  Either side may start one, and does so when it has none or the
 * present one is old.  If both do at the same time that of the lower number
 * counts, so that both then send in the same one.  Who answers does not use the new session before a packet
 * of the other side has come in it: so a repeated first message changes nothing
 * but a place that waits, and no packet is lost when keys change.  The session
 * before is kept for what is still under way.
 */
#ifndef PROTO_MESH_H
#define PROTO_MESH_H

#include "proto/noise_kk.h"
#include "proto/replay.h"
#include "proto/wire.h"

#define MESH_MESSAGE_MAX  1200 /* plaintext: in IPv6 an outer packet of 1280 */
#define MESH_OVERHEAD     (16 + TAG_SIZE)
#define MESH_PACKET_MAX   (MESH_MESSAGE_MAX + MESH_OVERHEAD)
#define MESH_OPENING_SIZE 84   /* of init and answer */

enum mesh_subtype { MESH_INIT = 1, MESH_ANSWER = 2, MESH_DATA = 3 };

/* What the answer says to an init.  All but OK: nothing was kept. */
enum mesh_status {
	MESH_OK,
	MESH_TAKEN,   /* another living server has your number */
	MESH_ADDRESS, /* you send from another address than that in the list of servers */
	MESH_CLOCK,   /* our clocks differ too much */
	MESH_NEWER    /* I do not speak your version */
};

/* X(name, key, text): how a packet ends; all but ACCEPTED are drops. */
#define MESH_RESULTS(X)                                                                            \
	X(ACCEPTED, "accepted", "accepted")                                                        \
	X(MALFORMED, "malformed", "not a packet of the mesh, or a malformed message in it")        \
	X(STRANGER, "stranger", "from a number that is not in the list of servers")                \
	X(MAC, "mac", "not made by the server whose number it bears")                              \
	X(OLD, "old", "first message repeated, or older than the last one")                        \
	X(CROSSED, "crossed", "first message while one of ours was under way, which counts")       \
	X(REFUSED, "refused", "first message of a server that may not join, and was told so")      \
	X(SESSION, "session", "of a session that is not known, or an answer to nothing asked")     \
	X(TAG, "tag", "authentication tag wrong")                                                  \
	X(REPLAY, "replay", "packet number seen before, or too old to tell")
enum mesh_result {
#define X(name, key, text) MESH_##name,
	MESH_RESULTS(X)
#undef X
	MESH_RESULT_COUNT
};
const char *mesh_result_key(enum mesh_result r);

struct mesh_session {
	bool live, initiator; /* initiator: this side began it */
	uint32_t id;
	ticks born;           /* boot time; of PREVIOUS: when it was replaced */
	uint64_t next;        /* number of the next packet */
	struct aead_key tx, rx;
	struct replay seen;
};
enum { MESH_CURRENT, MESH_PREVIOUS, MESH_PENDING, MESH_SESSIONS };

struct mesh_link {
	uint16_t own, peer; /* numbers */
	const struct key_pair *pair; /* our own, borrowed */
	uint8_t peer_public[KEY_SIZE];
	uint8_t ss[KEY_SIZE], mac_key[KEY_SIZE];
	struct mesh_session session[MESH_SESSIONS];
	/* the init that waits for its answer */
	bool trying;
	uint32_t try_id;
	uint8_t try_secret[KEY_SIZE];
	struct noise try_noise;
	ticks tried;    /* boot time of the last init */
	unsigned tries; /* without a session since */
	uint64_t sent_time, seen_time; /* time of our last init, and of the peer's last good one */
	ticks clock_answered; /* boot time of the last CLOCK */
};

/* The pair is borrowed for as long as the link.  0, or -EPROTO for a key that is none. */
int mesh_link_init(struct mesh_link *l, uint16_t own, const struct key_pair *pair, uint16_t peer,
		const uint8_t peer_public[KEY_SIZE]);
void mesh_link_wipe(struct mesh_link *l);

/* The sender's number and the subtype of a packet of the mesh; false if it is none. */
bool mesh_peek(const uint8_t *packet, size_t len, uint16_t *from, enum mesh_subtype *subtype);

/* ---- sessions ---- */

/* Ends what is over; whether an init is due. */
bool mesh_link_tick(struct mesh_link *l, const struct instant *now);
/* False: no init can be made.  It takes the place of an earlier one that waits. */
bool mesh_write_init(struct mesh_link *l, const struct instant *now, const uint8_t boot_random[3],
		uint8_t out[MESH_OPENING_SIZE]);

/* An init that has been verified, and waits for the caller's verdict. */
struct mesh_init {
	enum mesh_status status; /* CLOCK, NEWER, or OK: then the caller's to change */
	uint32_t id;
	uint8_t ephemeral[KEY_SIZE], boot_random[3];
	struct noise noise;
};
/* ACCEPTED: to be answered by mesh_write_answer(), which wipes it.  Else init is untouched. */
enum mesh_result mesh_read_init(struct mesh_link *l, const struct instant *now, const uint8_t *in,
		size_t len, struct mesh_init *init);
/* False: no answer can be made. */
bool mesh_write_answer(struct mesh_link *l, const struct instant *now, struct mesh_init *init,
		uint8_t out[MESH_OPENING_SIZE]);

struct mesh_answer {
	enum mesh_status status;
	uint8_t version; /* that the peer speaks */
	ticks time;      /* the peer's cluster time */
};
/* With status OK the session is there, and is used. */
enum mesh_result mesh_read_answer(struct mesh_link *l, const struct instant *now, const uint8_t *in,
		size_t len, struct mesh_answer *answer);

/* out has room for len + MESH_OVERHEAD.  The packet's size, or 0: there is no session to send in. */
size_t mesh_seal(struct mesh_link *l, const uint8_t *plain, size_t len, uint8_t *out);
/* plain has room for MESH_MESSAGE_MAX bytes. */
enum mesh_result mesh_open(struct mesh_link *l, const struct instant *now, const uint8_t *in,
		size_t len, uint8_t *plain, size_t *plain_len);

#endif
