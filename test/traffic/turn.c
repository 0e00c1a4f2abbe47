/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "traffic/turn.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "traffic/common.h"

#define MAGIC          0x2112a442u /* RFC 8489 5 */
#define CHANNEL        0x4000
#define HEADER         20
#define ANSWER_MAX     512
#define TRIES          20
#define ALLOCATE       0x0003 /* RFC 8656 17; a success has 0x0100 as well */
#define CHANNEL_BIND   0x0009
#define SUCCESS        0x0100
#define CHANNEL_NUMBER 0x000c /* RFC 8656 18 */
#define XOR_PEER       0x0012
#define TRANSPORT      0x0019
#define FAMILY_IPV4    1

struct message {
	size_t len;
	uint8_t data[64];
};

static void put16(struct message *m, uint16_t value)
{
	value = htobe16(value);
	memcpy(m->data + m->len, &value, sizeof value);
	m->len += sizeof value;
}

static void put32(struct message *m, uint32_t value)
{
	put16(m, (uint16_t)(value >> 16));
	put16(m, (uint16_t)value);
}

/*
 * The transaction id is always the same for a type.  So a server that still has an
 * allocation for our port takes an Allocate for its repetition, and agrees.
 */
static void begin(struct message *m, uint16_t type, uint16_t attributes)
{
	m->len = 0;
	put16(m, type);
	put16(m, attributes);
	put32(m, MAGIC);
	put32(m, 0);
	put32(m, 0);
	put32(m, type);
}

/* Again and again, until the server agrees. */
static void ask(int fd, const struct message *m, const char *what)
{
	struct timeval timeout = {.tv_usec = 100000};
	uint8_t answer[ANSWER_MAX];
	uint16_t expected;

	memcpy(&expected, m->data, sizeof expected);
	expected |= htobe16(SUCCESS);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout))
		die("receive timeout");
	for (unsigned i = 0; i < TRIES; i++) {
		if (send(fd, m->data, m->len, 0) < 0 && errno != ECONNREFUSED)
			die("send");
		if (recv(fd, answer, sizeof answer, 0) >= HEADER &&
				!memcmp(answer, &expected, sizeof expected))
			return;
	}
	fprintf(stderr, "%s: the TURN server grants no %s\n", program_invocation_short_name, what);
	exit(1);
}

void turn_open(int fd, const struct sockaddr_in *peer)
{
	struct message m;

	begin(&m, ALLOCATE, 8);
	put16(&m, TRANSPORT);
	put16(&m, 4);
	put32(&m, (uint32_t)IPPROTO_UDP << 24);
	ask(fd, &m, "allocation");

	begin(&m, CHANNEL_BIND, 20);
	put16(&m, CHANNEL_NUMBER);
	put16(&m, 4);
	put32(&m, CHANNEL << 16);
	put16(&m, XOR_PEER);
	put16(&m, 8);
	put16(&m, FAMILY_IPV4);
	put16(&m, be16toh(peer->sin_port) ^ (MAGIC >> 16));
	put32(&m, be32toh(peer->sin_addr.s_addr) ^ MAGIC);
	ask(fd, &m, "channel");
}

void turn_header(uint8_t header[TURN_HEADER], size_t payload)
{
	uint16_t words[] = {htobe16(CHANNEL), htobe16((uint16_t)payload)};

	memcpy(header, words, TURN_HEADER);
}
