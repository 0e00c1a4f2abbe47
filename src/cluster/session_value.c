/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "cluster/session_value.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cursor.h"
#include "proto/pmtu.h"

#define FORMAT      1
#define HOLD_MAX    30         /* s */
#define EPOCH_LIMIT (1ull << 40) /* so that no time made from it overflows */

size_t session_value_write(uint8_t out[SESSION_VALUE_MAX], const struct session_record *r)
{
	struct writer w = writer_over(out, SESSION_VALUE_MAX);

	write_u8(&w, FORMAT);
	write_u8(&w, r->aead);
	write_u8(&w, r->kid);
	write_u8(&w, r->hold);
	write_u16(&w, r->writer);
	write_u16(&w, r->down_mtu);
	write_u16(&w, r->keepalive);
	write_u64(&w, r->full_t);
	write_u64(&w, r->epoch);
	write_u32(&w, r->number);
	write_bytes(&w, r->sid, SID_SIZE);
	write_bytes(&w, r->endpoint.ip, sizeof r->endpoint.ip);
	write_u16(&w, r->endpoint.port);
	write_u64(&w, r->since);
	write_u64(&w, r->moved);
	write_u8(&w, r->group_count);
	write_u8(&w, r->mac_count);
	write_bytes(&w, r->data, session_record_size(r) - sizeof *r);
	return (size_t)(w.at - out);
}

/* All but the lists. */
static void read_fixed(struct session_record *r, struct reader *b)
{
	r->aead = read_u8(b);
	r->kid = read_u8(b);
	r->hold = read_u8(b);
	r->writer = read_u16(b);
	r->down_mtu = read_u16(b);
	r->keepalive = read_u16(b);
	r->full_t = read_u64(b);
	r->epoch = read_u64(b);
	r->number = read_u32(b);
	read_copy(b, r->sid, SID_SIZE);
	read_copy(b, r->endpoint.ip, sizeof r->endpoint.ip);
	r->endpoint.port = read_u16(b);
	r->since = read_u64(b);
	r->moved = read_u64(b);
	r->group_count = read_u8(b);
	r->mac_count = read_u8(b);
}

/* What a server would have written. */
static bool plausible(const struct session_record *r)
{
	return r->aead < AEAD_COUNT && r->hold >= 1 && r->hold <= HOLD_MAX &&
	       r->down_mtu >= PMTU_BASE && r->down_mtu <= PMTU_FIRST && r->epoch < EPOCH_LIMIT &&
	       r->endpoint.port != 0 && r->group_count <= GROUPS_MAX &&
	       r->mac_count <= MACS_MAX;
}

struct session_record *session_value_read(const uint8_t *in, size_t len, int *error)
{
	struct reader b = reader_over(in, len);
	struct session_record fixed = {0}, *r;
	size_t lists;

	*error = -EINVAL;
	if (read_u8(&b) != FORMAT)
		return NULL;
	read_fixed(&fixed, &b);
	lists = session_record_size(&fixed) - sizeof fixed;
	if (b.bad || !plausible(&fixed) || reader_left(&b) != lists)
		return NULL;
	r = malloc(sizeof *r + lists);
	if (!r) {
		*error = -ENOMEM;
		return NULL;
	}
	*r = fixed;
	read_copy(&b, r->data, lists);
	return r;
}
