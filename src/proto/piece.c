/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Cutting packets into two pieces, and joining them.  The table is searched
 * from end to end: it is small, and pieces are rare.
 */
#include "proto/piece.h"

#include "base/cursor.h"

#define PIECE_LAST_MAX (PIECE_PACKET_MAX / 2)
/* A shorter plaintext would be padded on its way to a server. */
#define PLAINTEXT_MIN (UPSTREAM_MIN - PACKET_OVERHEAD)

struct piece {
	unsigned index;
	uint16_t id;
	const uint8_t *data;
	size_t len;
};

bool piece_split(size_t len, size_t room, size_t cut[2])
{
	size_t half = (len + 1) / 2;

	if (len > PIECE_PACKET_MAX || half + PIECE_HEADER > room ||
			half + PIECE_HEADER < PLAINTEXT_MIN)
		return false;
	cut[0] = half;
	cut[1] = len - half;
	return true;
}

void piece_header(uint8_t out[PIECE_HEADER], unsigned index, uint16_t id)
{
	out[0] = (uint8_t)(INNER_PIECE << 4 | index);
	out[1] = (uint8_t)index;
	store_be16(out + 2, id);
}

static bool piece_read(struct piece *piece, const uint8_t *plain, size_t len)
{
	struct reader r = reader_over(plain, len);
	uint8_t kind = read_u8(&r), index = read_u8(&r);
	uint16_t id = read_u16(&r);

	/* There are two, so the index says which is the last. */
	if (r.bad || index > 1 || kind != (INNER_PIECE << 4 | index))
		return false;
	len = reader_left(&r);
	/* Of piece 1, what is more than half of a packet can only be padding. */
	if (index)
		len = MIN(len, PIECE_LAST_MAX);
	if (!len || len > PIECE_PACKET_MAX)
		return false;
	*piece = (struct piece){index, id, read_bytes(&r, len), len};
	return true;
}

unsigned pieces_expire(struct pieces *p, ticks now)
{
	unsigned lost = 0;

	for (size_t i = 0; i < PIECE_ENTRIES; i++) {
		struct piece_entry *e = &p->entry[i];

		if (e->len && now > e->since + PIECE_LIFETIME) {
			e->len = 0;
			lost++;
		}
	}
	return lost;
}

static struct piece_entry *find_entry(struct pieces *p, uint64_t key, uint16_t id)
{
	for (size_t i = 0; i < PIECE_ENTRIES; i++) {
		struct piece_entry *e = &p->entry[i];

		if (e->len && e->key == key && e->id == id)
			return e;
	}
	return NULL;
}

/* A free entry, or the oldest. */
static struct piece_entry *choose_entry(struct pieces *p)
{
	struct piece_entry *oldest = &p->entry[0];

	for (size_t i = 0; i < PIECE_ENTRIES; i++) {
		struct piece_entry *e = &p->entry[i];

		if (!e->len)
			return e;
		if (e->since < oldest->since)
			oldest = e;
	}
	return oldest;
}

static uint8_t *entry_data(struct pieces *p, const struct piece_entry *e)
{
	return p->data[e - p->entry];
}

/* Makes one packet of the piece that is in the entry and the other one; returns its length. */
static size_t join(struct pieces *p, const struct piece_entry *e, const struct piece *other)
{
	uint8_t *data = entry_data(p, e);

	if (other->index) {
		memcpy(data + e->len, other->data, other->len);
	} else {
		memcpy(data, other->data, other->len);
		memmove(data + other->len, data + PIECE_PACKET_MAX, e->len);
	}
	return MIN(e->len + other->len, PIECE_PACKET_MAX);
}

struct piece_result pieces_add(struct pieces *p, uint64_t key, const uint8_t *plain, size_t len,
		ticks now)
{
	struct piece_result result = {.lost = pieces_expire(p, now)};
	struct piece_entry *e;
	struct piece piece;
	size_t at;

	if (!piece_read(&piece, plain, len)) {
		result.refused = true;
		return result;
	}
	e = find_entry(p, key, piece.id);
	if (e && e->index == piece.index) {
		result.refused = true;
	} else if (e) {
		result.len = join(p, e, &piece);
		result.packet = entry_data(p, e);
		e->len = 0;
	} else {
		e = choose_entry(p);
		result.lost += e->len != 0;
		*e = (struct piece_entry){
			.key = key,
			.since = now,
			.id = piece.id,
			.len = (uint16_t)piece.len,
			.index = (uint8_t)piece.index,
		};
		at = piece.index ? PIECE_PACKET_MAX : 0;
		memcpy(entry_data(p, e) + at, piece.data, piece.len);
	}
	return result;
}
