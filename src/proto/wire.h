/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The whole wire on one page: every message that a daemon sends or accepts, its
 * offsets and sizes.  docs/PROTOCOL.md draws the same bytes and says what they
 * mean.  Reading (bytes to struct) is here; handling (struct to state) is in
 * server.c and client.c.  A parser touches its output only on success.
 */
#ifndef PROTO_WIRE_H
#define PROTO_WIRE_H

#include "base/addr.h"
#include "base/cursor.h"
#include "base/util.h"
#include "proto/crypto.h"

#define PROTOCOL_VERSION 2
#define EPOCH_SECONDS    300
#define WIRE_MAGIC       0xA0 /* first nibble of every datagram */

/* Low nibble of byte 0 (PROTOCOL.md, "Types").  X(name, value, text) */
#define WIRE_TYPES(X)                                                                              \
	X(DATA_UP, 0, "data to the server, AES-256-GCM")                                           \
	X(DATA_DOWN, 1, "data from the server, AES-256-GCM")                                       \
	X(DATA_UP_CHACHA, 2, "data to the server, ChaCha20-Poly1305")                              \
	X(DATA_DOWN_CHACHA, 3, "data from the server, ChaCha20-Poly1305")                          \
	X(HANDSHAKE_1, 4, "handshake message 1")                                                   \
	X(HANDSHAKE_2, 5, "handshake message 2")                                                   \
	X(RETRY, 6, "retry with a token")                                                          \
	X(HINT, 7, "hint: session unknown here")                                                   \
	X(MESH, 8, "mesh between servers")                                                         \
	X(VERSIONS, 9, "version list")                                                             \
	X(TICKET_UP, 10, "HELLO with a ticket, AES-256-GCM")                                       \
	X(TICKET_UP_CHACHA, 11, "HELLO with a ticket, ChaCha20-Poly1305")

enum wire_type {
#define X(name, value, text) WIRE_##name = value,
	WIRE_TYPES(X)
#undef X
};

static inline uint8_t wire_type_data(enum aead aead, bool down)
{
	return (uint8_t)(2 * aead + down);
}

/* ---- packet: header | ciphertext | tag ---- */
#define HEADER_SIZE     16
#define PACKET_OVERHEAD (HEADER_SIZE + TAG_SIZE)
#define SENDER_SIZE     5  /* server number u16 | boot random 24 */
#define SID_SIZE        8
#define UPSTREAM_MIN    80 /* least UDP payload of a client's packet; zeros end the plaintext */

enum header_offset { HEADER_TYPE = 0, HEADER_KID = 1, HEADER_T = 2, HEADER_NUMBER = 4, HEADER_TO = 8 };

struct header {
	uint8_t type; /* enum wire_type */
	uint8_t kid;
	uint16_t t; /* cluster time in 1/16 s, low 16 bits */
	uint32_t number;
	uint8_t to[SID_SIZE]; /* up: sid.  down: sender | sid bytes 5…7 */
};

static inline void header_load(struct header *h, const uint8_t in[HEADER_SIZE])
{
	h->type = in[HEADER_TYPE] & 0x0f;
	h->kid = in[HEADER_KID];
	h->t = load_be16(in + HEADER_T);
	h->number = load_be32(in + HEADER_NUMBER);
	memcpy(h->to, in + HEADER_TO, SID_SIZE);
}

static inline void header_store(uint8_t out[HEADER_SIZE], const struct header *h)
{
	out[HEADER_TYPE] = (uint8_t)(WIRE_MAGIC | h->type);
	out[HEADER_KID] = h->kid;
	store_be16(out + HEADER_T, h->t);
	store_be32(out + HEADER_NUMBER, h->number);
	memcpy(out + HEADER_TO, h->to, SID_SIZE);
}

/* iv XOR (0^48 | T | number) */
static inline void packet_nonce(uint8_t nonce[NONCE_SIZE], const uint8_t iv[NONCE_SIZE], uint16_t t,
		uint32_t number)
{
	memcpy(nonce, iv, NONCE_SIZE);
	store_be16(nonce + 6, (uint16_t)(load_be16(iv + 6) ^ t));
	store_be32(nonce + 8, load_be32(iv + 8) ^ number);
}

/* ---- time ---- */
static inline uint64_t time_16th(ticks cluster)
{
	return cluster >> 20;
}
static inline uint64_t time_seconds(ticks cluster)
{
	return cluster >> 24;
}
static inline uint64_t time_epoch(ticks cluster)
{
	return time_seconds(cluster) / EPOCH_SECONDS;
}
/* The time in 1/16 s nearest to now that is congruent to t modulo 2^16. */
static inline uint64_t time_full(uint64_t now_16th, uint16_t t)
{
	return now_16th + (uint64_t)(int64_t)(int16_t)(uint16_t)(t - (uint16_t)now_16th);
}
/* Hard end of a session issued in epoch e, in Unix seconds. */
static inline uint64_t session_end(uint64_t epoch)
{
	return (epoch + 2) * EPOCH_SECONDS - 5;
}

/* ---- handshake ---- */
#define MESSAGE1_SIZE    1200
#define MESSAGE1_NOISE   8
#define MESSAGE1_ZEROS   1152 /* Noise message and zeros end here */
#define MESSAGE1_TOKEN   1152
#define MESSAGE1_MAC     1184
#define MESSAGE1_N_MIN   96
#define MESSAGE1_N_MAX   1144
#define TOKEN_SIZE       32
#define MAC_SIZE         16
#define RETRY_SIZE       56
#define RETRY_TOKEN      8
#define RETRY_MAC        40
#define MESSAGE2_NOISE   8
#define COOKIE_SIZE      16
#define PAYLOAD2_FIXED   89 /* up to and with kid, before the TLVs */
#define TICKET_MAX       400

/* ---- hint: 0xA7 | kid | reason | 0 | zeros 12 | bytes 0…15 of the trigger ---- */
#define HINT_SIZE 32
enum hint_reason { HINT_KID = 0, HINT_INDEX = 1 };

/* ---- plaintext: first nibble ---- */
enum inner_kind {
	INNER_KEEPALIVE = 0,
	INNER_CONTROL = 1,
	INNER_PIECE = 2,
	INNER_ETHERNET = 3,
	INNER_IPV4 = 4,
	INNER_IPV6 = 6,
};
#define PIECE_HEADER    4 /* 0x20 + last | index | id u16 */
#define ETHERNET_HEADER 4 /* 0x30 | 0 | length u16 */

/* ---- control messages; byte 0 is 0x10 + message ---- */
#define CONTROL_MESSAGES(X)                                                                        \
	X(CHALLENGE, 1)                                                                            \
	X(HELLO, 2)                                                                                \
	X(HELLO_ACK, 3)                                                                            \
	X(PROBE, 4)                                                                                \
	X(PROBE_ACK, 5)                                                                            \
	X(PROBE_REQ, 6)                                                                            \
	X(RELAY, 7)        /* relay_message.h */                                                   \
	X(RELAY_ANSWER, 8) /* likewise */
enum control_message {
#define X(name, value) CONTROL_##name = value,
	CONTROL_MESSAGES(X)
#undef X
};

#define CONTROL_BYTE(message) (uint8_t)(INNER_CONTROL << 4 | (message))

enum path_kind { KIND_PATH = 0, KIND_TIME = 1 };

#define CHALLENGE_SIZE 44
#define HELLO_FIXED    40
#define HELLO_ACK_SIZE 6
#define PROBE_FIXED    8
#define PROBE_ACK_SIZE 13
#define PROBE_REQ_SIZE 8
#define GROUPS_MAX     16
#define MACS_MAX       16
#define MAC_ADDR_SIZE  6

enum tlv_type { TLV_END = 0, TLV_TICKET = 1, TLV_GROUPS = 2, TLV_MACS = 3, TLV_CLUSTER_KEYS = 4 };

struct challenge {
	uint8_t kind;
	struct endpoint address;
	uint8_t cookie[COOKIE_SIZE];
	ticks time;
};

struct hello {
	uint8_t kind;
	struct endpoint address;
	uint8_t cookie[COOKIE_SIZE];
	uint16_t down_mtu;  /* outer IP packet size */
	uint16_t keepalive; /* s, 0 none */
	uint8_t group_count, mac_count;
	uint8_t groups[GROUPS_MAX][16];
	uint8_t macs[MACS_MAX][MAC_ADDR_SIZE];
};
#define HELLO_MAX (HELLO_FIXED + 3 + GROUPS_MAX * 16 + 3 + MACS_MAX * MAC_ADDR_SIZE)

struct hello_ack {
	uint32_t number; /* of the packet with the HELLO */
};

struct probe { /* PROBE and PROBE_REQ */
	uint16_t size; /* outer IP packet size */
	uint32_t id;
};

struct probe_ack {
	uint16_t size;
	uint32_t id;
	uint8_t sender[SENDER_SIZE];
};

/* All read_*: plain is a verified plaintext (padding included); false if malformed. */
bool challenge_read(struct challenge *c, const uint8_t *plain, size_t len);
bool hello_read(struct hello *h, const uint8_t *plain, size_t len);
bool hello_ack_read(struct hello_ack *a, const uint8_t *plain, size_t len);
bool probe_read(struct probe *p, const uint8_t *plain, size_t len);
bool probe_ack_read(struct probe_ack *a, const uint8_t *plain, size_t len);
/* All write_*: the size written.  hello needs up to HELLO_MAX bytes of room. */
size_t challenge_write(uint8_t out[CHALLENGE_SIZE], const struct challenge *c);
size_t hello_write(uint8_t out[HELLO_MAX], const struct hello *h);
size_t hello_ack_write(uint8_t out[HELLO_ACK_SIZE], const struct hello_ack *a);
size_t probe_write(uint8_t out[PROBE_FIXED], enum control_message which, const struct probe *p);
size_t probe_ack_write(uint8_t out[PROBE_ACK_SIZE], const struct probe_ack *a);

/* Next TLV, or false at the end of the list; sets r->bad if it is cut. */
bool tlv_next(struct reader *r, uint8_t *type, const uint8_t **value, uint16_t *len);
/* To the end of a list of which nothing is wanted; false if it is cut. */
bool tlvs_skip(struct reader *r);
/* "address 18" */
void read_endpoint(struct reader *r, struct endpoint *e);
void write_endpoint(struct writer *w, const struct endpoint *e);

/* Outer sizes: bytes of IP and UDP header around a UDP payload. */
static inline unsigned outer_overhead(bool v4)
{
	return v4 ? 28 : 48;
}

#endif
