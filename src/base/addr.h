/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Addresses.  One form for both families: 16 bytes, IPv4 as ::ffff:a.b.c.d.
 * Ports are in host order here and big-endian on the wire.
 */
#ifndef BASE_ADDR_H
#define BASE_ADDR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct endpoint {
	uint8_t ip[16];
	uint16_t port;
};

/* An address with a prefix length of 0…128; IPv4 a.b.c.d/n has length 96 + n. */
struct prefix {
	uint8_t ip[16];
	uint8_t len;
};

#define ENDPOINT_WIRE 18 /* "address 18" of PROTOCOL.md: 16 bytes of address, 2 of port */
#define ENDPOINT_TEXT 64 /* room for "[v6 address]:port" with its NUL */
#define PREFIX_TEXT   56

bool addr_is_v4(const uint8_t ip[16]);
void addr_from_v4(uint8_t ip[16], const void *v4);
bool addr_is_multicast(const uint8_t ip[16]);   /* 224.0.0.0/4, ff00::/8 */
bool addr_is_link_local(const uint8_t ip[16]);  /* 169.254/16, fe80::/10, 224.0.0.0/24, ff02::/16 */

bool endpoint_equal(const struct endpoint *a, const struct endpoint *b);
void endpoint_store(uint8_t out[ENDPOINT_WIRE], const struct endpoint *e);
void endpoint_load(struct endpoint *e, const uint8_t in[ENDPOINT_WIRE]);
/* To and from the kernel's form; IPv4 becomes AF_INET.  from returns false for other families. */
socklen_t endpoint_to_sockaddr(const struct endpoint *e, struct sockaddr_storage *ss);
bool endpoint_from_sockaddr(struct endpoint *e, const struct sockaddr *sa);

/*
 * Text.  parse functions return 0 or -EINVAL and touch the output only on
 * success.  addr: "192.0.2.1", "2001:db8::1", "[2001:db8::1]".  endpoint:
 * "192.0.2.1:4444", "[2001:db8::1]:4444"; without a port, default_port, unless
 * that is 0: then an error.  prefix: "10.0.0.0/8"; without a length, a host.
 * format functions return out.
 */
int addr_parse(const char *text, uint8_t ip[16]);
int endpoint_parse(const char *text, uint16_t default_port, struct endpoint *e);
int prefix_parse(const char *text, struct prefix *p); /* keeps the host bits */
const char *addr_format(const uint8_t ip[16], char out[static ENDPOINT_TEXT]);
const char *endpoint_format(const struct endpoint *e, char out[static ENDPOINT_TEXT]);
const char *prefix_format(const struct prefix *p, char out[static PREFIX_TEXT]);

bool prefix_contains(const struct prefix *p, const uint8_t ip[16]);
bool prefix_overlaps(const struct prefix *a, const struct prefix *b);
void addr_mask(uint8_t ip[16], uint8_t len); /* zero the bits after len */

#endif
