/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * IP packets of relays: read from a capture, and written whole.  No relays
 * here, and no state.  Both families, UDP, TCP, and what ICMP errors quote.
 */
#ifndef MODE_RELAY_INPUT_PACKET_H
#define MODE_RELAY_INPUT_PACKET_H

#include "base/addr.h"
#include "proto/relay.h"

#define RELAY_IPV4_HEADER 20
#define RELAY_IPV6_HEADER 40
#define RELAY_UDP_HEADER  8
#define RELAY_TCP_HEADER  20
#define RELAY_ICMP_HEADER 8
#define RELAY_ICMP_MAX    1280 /* of an error with its quotation (RFC 4443 section 2.4) */

enum { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_PSH = 8, TCP_ACK = 16 };

/* Views into the bytes that were read, valid as long as those are. */
struct relay_packet {
	const uint8_t *ip;
	size_t len;        /* bytes that there are, from the IP header on, without padding */
	size_t whole;      /* the packet's own length; more than len: its end is missing */
	bool v4, df;
	uint8_t tos, ttl, protocol;
	uint16_t id;
	struct endpoint src, dst;
	const uint8_t *upper; /* TCP, UDP or ICMP header */
	size_t upper_len;     /* bytes that there are of it and of what follows */
	const uint8_t *payload;
	size_t payload_len;   /* of the packet, also where its end is missing */
	bool no_checksum;     /* UDP over IPv4 without one */
	/* TCP */
	uint32_t seq, ack;
	uint16_t window;
	uint8_t flags;
	struct relay_offer {
		uint16_t mss;   /* 0: none */
		uint8_t wscale; /* RELAY_NO_WSCALE: none */
		bool sack, timestamps;
		uint32_t tsval;
	} offer;
};

/*
 * False: malformed, a fragment, or of a transport that relays do not have; *p is then
 * untouched.  The transport's checksum is verified where the whole packet is there; one
 * that the sending machine left to its network card (the sum of the pseudo header) is good.
 */
bool relay_packet_read(struct relay_packet *p, const uint8_t *data, size_t len, size_t whole);
/* What an ICMP error quotes: headers up to the ports and, of TCP, seq; flags and options are 0. */
bool relay_packet_read_quote(struct relay_packet *p, const uint8_t *data, size_t len);
/* An ICMP packet, its checksum verified: upper is its header, payload what it quotes. */
bool relay_packet_read_icmp(struct relay_packet *p, const uint8_t *data, size_t len, size_t whole);

/* What an IP header is to say. */
struct relay_ip {
	bool v4, df;
	uint8_t tos, ttl, protocol;
	uint16_t id;
	const uint8_t *src, *dst; /* 16 bytes; IPv4 mapped */
};

/* The header of a packet with so many bytes after it; the header's size. */
size_t relay_ip_write(uint8_t *out, const struct relay_ip *h, size_t upper_len);
/* Sets the checksum of the TCP, UDP or ICMP packet that follows the header of h. */
void relay_upper_checksum(uint8_t *upper, size_t len, const struct relay_ip *h);

/* A TCP segment without payload; the options are those of its offer. */
struct relay_segment {
	uint16_t from_port, to_port;
	uint32_t seq, ack;
	uint8_t flags;
	uint16_t window;
	struct relay_offer offer;
	uint32_t tsecr;
};
#define RELAY_SEGMENT_MAX (RELAY_IPV6_HEADER + RELAY_TCP_HEADER + 20)
size_t relay_tcp_write(uint8_t out[RELAY_SEGMENT_MAX], const struct relay_ip *h,
		const struct relay_segment *s);

/* Moves SEQ, ACK, SACK blocks and, but in a SYN, the window; the checksum is set afterwards. */
void relay_tcp_shift(uint8_t *tcp, size_t len, const struct relay_shift *shift);
/* Lowers the MSS option, or leaves it. */
void relay_tcp_clamp(uint8_t *tcp, size_t len, uint16_t mss);

#endif
