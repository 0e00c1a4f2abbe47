/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "base/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>

#include "base/util.h"

#define V4_BITS 96 /* an IPv4 address begins after that many bits of ::ffff:0:0/96 */

static const uint8_t v4_mapped[12] = {[10] = 0xff, [11] = 0xff};

bool addr_is_v4(const uint8_t ip[16])
{
	return memcmp(ip, v4_mapped, sizeof v4_mapped) == 0;
}

void addr_from_v4(uint8_t ip[16], const void *v4)
{
	memcpy(ip, v4_mapped, sizeof v4_mapped);
	memcpy(ip + 12, v4, 4);
}

bool addr_is_multicast(const uint8_t ip[16])
{
	return addr_is_v4(ip) ? (ip[12] & 0xf0) == 0xe0 : ip[0] == 0xff;
}

bool addr_is_link_local(const uint8_t ip[16])
{
	if (addr_is_v4(ip))
		return (ip[12] == 169 && ip[13] == 254) ||
		       (ip[12] == 224 && ip[13] == 0 && ip[14] == 0);
	return (ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80) || (ip[0] == 0xff && ip[1] == 0x02);
}

bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
	return a->port == b->port && memcmp(a->ip, b->ip, sizeof a->ip) == 0;
}

void endpoint_store(uint8_t out[ENDPOINT_WIRE], const struct endpoint *e)
{
	memcpy(out, e->ip, 16);
	store_be16(out + 16, e->port);
}

void endpoint_load(struct endpoint *e, const uint8_t in[ENDPOINT_WIRE])
{
	memcpy(e->ip, in, 16);
	e->port = load_be16(in + 16);
}

socklen_t endpoint_to_sockaddr(const struct endpoint *e, struct sockaddr_storage *ss)
{
	if (addr_is_v4(e->ip)) {
		struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(e->port)};

		memcpy(&in.sin_addr, e->ip + 12, 4);
		memcpy(ss, &in, sizeof in);
		return sizeof in;
	}
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(e->port)};

	memcpy(&in6.sin6_addr, e->ip, 16);
	memcpy(ss, &in6, sizeof in6);
	return sizeof in6;
}

bool endpoint_from_sockaddr(struct endpoint *e, const struct sockaddr *sa)
{
	if (sa->sa_family == AF_INET) {
		struct sockaddr_in in;

		memcpy(&in, sa, sizeof in);
		addr_from_v4(e->ip, &in.sin_addr);
		e->port = ntohs(in.sin_port);
		return true;
	}
	if (sa->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;

		memcpy(&in6, sa, sizeof in6);
		memcpy(e->ip, &in6.sin6_addr, 16);
		e->port = ntohs(in6.sin6_port);
		return true;
	}
	return false;
}

/* ---- text ---- */

/* A whole number of digits only, 0 … most; -1 if it is none. */
static long parse_number(const char *text, long most)
{
	long value = 0;

	if (*text == '\0')
		return -1;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -1;
		value = value * 10 + (*text - '0');
		if (value > most)
			return -1;
	}
	return value;
}

/* n characters of text as a string of its own. */
static bool copy_text(char out[static ENDPOINT_TEXT], const char *text, size_t n)
{
	if (n >= ENDPOINT_TEXT)
		return false;
	memcpy(out, text, n);
	out[n] = '\0';
	return true;
}

int addr_parse(const char *text, uint8_t ip[16])
{
	char inside[ENDPOINT_TEXT];
	size_t n = strlen(text);
	uint8_t v6[16];
	struct in_addr v4;

	if (inet_pton(AF_INET, text, &v4) == 1) {
		addr_from_v4(ip, &v4);
		return 0;
	}
	if (n >= 2 && text[0] == '[' && text[n - 1] == ']') {
		if (!copy_text(inside, text + 1, n - 2))
			return -EINVAL;
		text = inside;
	}
	if (inet_pton(AF_INET6, text, v6) != 1)
		return -EINVAL;
	memcpy(ip, v6, 16);
	return 0;
}

int endpoint_parse(const char *text, uint16_t default_port, struct endpoint *e)
{
	char host[ENDPOINT_TEXT];
	const char *first = strchr(text, ':'), *last = strrchr(text, ':');
	const char *bracket = strchr(text, ']');
	struct endpoint out = {.port = default_port};
	bool has_port = bracket ? last > bracket : first && first == last;
	size_t host_len = has_port ? (size_t)(last - text) : strlen(text);

	if (has_port) {
		long port = parse_number(last + 1, UINT16_MAX);

		if (port <= 0)
			return -EINVAL;
		out.port = (uint16_t)port;
	}
	if (out.port == 0 || !copy_text(host, text, host_len) || addr_parse(host, out.ip) != 0)
		return -EINVAL;
	*e = out;
	return 0;
}

int prefix_parse(const char *text, struct prefix *p)
{
	char host[ENDPOINT_TEXT];
	const char *slash = strchr(text, '/');
	struct prefix out;
	unsigned base;
	long len;

	if (!copy_text(host, text, slash ? (size_t)(slash - text) : strlen(text)) ||
	    addr_parse(host, out.ip) != 0)
		return -EINVAL;
	/* "::ffff:0:0/96" is written as IPv6: its length counts from the left of all 128 bits. */
	base = strchr(host, ':') ? 0 : V4_BITS;
	len = slash ? parse_number(slash + 1, 128 - base) : 128 - base;
	if (len < 0)
		return -EINVAL;
	out.len = (uint8_t)(base + len);
	*p = out;
	return 0;
}

const char *addr_format(const uint8_t ip[16], char out[static ENDPOINT_TEXT])
{
	if (addr_is_v4(ip))
		inet_ntop(AF_INET, ip + 12, out, ENDPOINT_TEXT);
	else
		inet_ntop(AF_INET6, ip, out, ENDPOINT_TEXT);
	return out;
}

const char *endpoint_format(const struct endpoint *e, char out[static ENDPOINT_TEXT])
{
	char host[ENDPOINT_TEXT];

	addr_format(e->ip, host);
	/* No IPv6 address with brackets and port is longer than 55 characters. */
	snprintf(out, ENDPOINT_TEXT, addr_is_v4(e->ip) ? "%.46s:%u" : "[%.46s]:%u", host, e->port);
	return out;
}

const char *prefix_format(const struct prefix *p, char out[static PREFIX_TEXT])
{
	char host[ENDPOINT_TEXT];

	if (addr_is_v4(p->ip) && p->len >= V4_BITS) {
		addr_format(p->ip, host);
		snprintf(out, PREFIX_TEXT, "%.46s/%u", host, p->len - V4_BITS);
	} else {
		inet_ntop(AF_INET6, p->ip, host, sizeof host);
		snprintf(out, PREFIX_TEXT, "%.46s/%u", host, p->len);
	}
	return out;
}

/* ---- prefixes ---- */

void addr_mask(uint8_t ip[16], uint8_t len)
{
	for (unsigned i = 0; i < 16; i++) {
		int bits = (int)len - 8 * (int)i;

		if (bits <= 0)
			ip[i] = 0;
		else if (bits < 8)
			ip[i] &= (uint8_t)(0xff00 >> bits);
	}
}

bool prefix_contains(const struct prefix *p, const uint8_t ip[16])
{
	uint8_t a[16], b[16];

	/* ::/0 is all of IPv6, not IPv4 besides. */
	if (p->len < V4_BITS && addr_is_v4(ip))
		return false;
	memcpy(a, p->ip, 16);
	memcpy(b, ip, 16);
	addr_mask(a, p->len);
	addr_mask(b, p->len);
	return memcmp(a, b, 16) == 0;
}

bool prefix_overlaps(const struct prefix *a, const struct prefix *b)
{
	return a->len <= b->len ? prefix_contains(a, b->ip) : prefix_contains(b, a->ip);
}
