/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Packets from a description, with checksums computed from all their bytes: what the relay
 * program gets, and, independently of its incremental sums, what it must make of it.
 */
#ifndef TEST_BPF_PACKET_H
#define TEST_BPF_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_MAX 3600
#define ETHER     14

enum { SPEC_SYN = 2, SPEC_RST = 4, SPEC_ACK = 16 };

struct spec {
	bool v4;
	uint8_t src[16], dst[16]; /* as in base/addr.h */
	uint16_t sport, dport;
	uint8_t protocol, ttl, class;
	uint32_t label;          /* IPv6 flow label */
	uint16_t id, frag;       /* IPv4: identification; flags and offset as in the header */
	uint8_t ip_options_len, ip_options[40];
	bool extension;          /* IPv6: a fragment header with frag as its offset field, and id */
	uint32_t seq, ack;
	uint16_t window, urgent;
	uint8_t flags, options_len, options[40];
	bool no_checksum;        /* UDP: 0 */
	bool bad_checksum;       /* of TCP or UDP: off by one */
	size_t payload;          /* bytes, of a pattern that depends on their place and on `fill` */
	uint8_t fill;
	const uint8_t *data;     /* instead of the pattern; of a later fragment all behind IP */
	bool later;              /* a fragment without the TCP or UDP header */
};

/* The frame; the length with its Ethernet header (of which only the type is set). */
size_t spec_build(const struct spec *s, uint8_t frame[FRAME_MAX]);
/* An ICMP error from s->src to s->dst: what stands behind its checksum, and what it quotes. */
size_t spec_build_error(const struct spec *s, uint8_t type, uint8_t code, uint32_t word,
		const uint8_t *quoted, size_t len, uint8_t frame[FRAME_MAX]);
/*
 * A TCP or UDP packet without IP options, extension headers or fragments, as a description;
 * its data are borrowed.  False: it is something else.
 */
bool spec_parse(struct spec *s, const uint8_t *ip, size_t len);

#endif
