/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* IPv4 fragmentation (RFC 791 section 3.2), also of what is a fragment already. */
#include "path/inner.h"

#include "base/csum.h"

#define IPV4_HEADER     20
#define IPV4_HEADER_MAX 60
#define IPV4_MF         0x2000
#define OPTION_END      0
#define OPTION_NOP      1
#define OPTION_COPIED   0x80

/*
 * In place: keeps those of the n bytes of options that go into every fragment,
 * and fills up to whole 32-bit words.  Returns their new size.
 */
static size_t keep_copied_options(uint8_t *options, size_t n)
{
	size_t from = 0, to = 0, len;

	while (from < n && options[from] != OPTION_END) {
		if (options[from] == OPTION_NOP) {
			from++;
			continue;
		}
		if (n - from < 2 || options[from + 1] < 2 || options[from + 1] > n - from)
			break;
		len = options[from + 1];
		if (options[from] & OPTION_COPIED) {
			memmove(options + to, options + from, len);
			to += len;
		}
		from += len;
	}
	while (to % 4)
		options[to++] = OPTION_END;
	return to;
}

unsigned ipv4_fragment(const uint8_t *p, const struct inner *in, unsigned mtu, uint8_t *scratch,
		void (*emit)(void *arg, uint8_t *fragment, size_t len), void *arg)
{
	uint8_t header[IPV4_HEADER_MAX];
	size_t start = (p[0] & 15) * 4u, size = start, at = start, n;
	uint16_t place = load_be16(p + 6), check; /* flags and offset */
	unsigned count = 0;
	bool last;

	memcpy(header, p, size);
	do {
		n = in->len - at;
		last = size + n <= mtu;
		if (!last)
			n = (mtu - size) & ~(size_t)7;
		store_be16(header + 2, (uint16_t)(size + n));
		store_be16(header + 6, (uint16_t)(place + (at - start) / 8) | (last ? 0 : IPV4_MF));
		memset(header + 10, 0, 2);
		check = csum_finish(csum_add(0, header, size));
		memcpy(header + 10, &check, 2);
		memcpy(scratch, header, size);
		memcpy(scratch + size, p + at, n);
		emit(arg, scratch, size + n);
		at += n;
		if (count++ == 0) {
			size -= IPV4_HEADER;
			size = IPV4_HEADER + keep_copied_options(header + IPV4_HEADER, size);
			header[0] = (uint8_t)(0x40 | size / 4);
		}
	} while (!last);
	return count;
}
