/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * A bounds-checked reader and writer over bytes.  A read or write past the end
 * sets `bad`, returns zeros and moves nothing; the caller looks at `bad` once,
 * at the end.  So no parser can read beyond its message by construction.
 */
#ifndef BASE_CURSOR_H
#define BASE_CURSOR_H

#include "base/util.h"

struct reader {
	const uint8_t *at, *end;
	bool bad;
};

struct writer {
	uint8_t *at, *end;
	bool bad;
};

static inline struct reader reader_over(const void *p, size_t n)
{
	return (struct reader){.at = p, .end = (const uint8_t *)p + n};
}

static inline size_t reader_left(const struct reader *r)
{
	return (size_t)(r->end - r->at);
}

/* n bytes borrowed from the message, or NULL. */
static inline const uint8_t *read_bytes(struct reader *r, size_t n)
{
	if (r->bad || reader_left(r) < n) {
		r->bad = true;
		return NULL;
	}
	r->at += n;
	return r->at - n;
}

static inline void read_copy(struct reader *r, void *out, size_t n)
{
	const uint8_t *p = read_bytes(r, n);
	if (p)
		memcpy(out, p, n);
	else
		memset(out, 0, n);
}

static inline uint8_t read_u8(struct reader *r)
{
	const uint8_t *p = read_bytes(r, 1);
	return p ? *p : 0;
}

static inline uint16_t read_u16(struct reader *r)
{
	const uint8_t *p = read_bytes(r, 2);
	return p ? load_be16(p) : 0;
}

static inline uint32_t read_u32(struct reader *r)
{
	const uint8_t *p = read_bytes(r, 4);
	return p ? load_be32(p) : 0;
}

static inline uint64_t read_u64(struct reader *r)
{
	const uint8_t *p = read_bytes(r, 8);
	return p ? load_be64(p) : 0;
}

static inline struct writer writer_over(void *p, size_t n)
{
	return (struct writer){.at = p, .end = (uint8_t *)p + n};
}

/* n bytes of room, to be filled by the caller, or NULL. */
static inline uint8_t *write_room(struct writer *w, size_t n)
{
	if (w->bad || (size_t)(w->end - w->at) < n) {
		w->bad = true;
		return NULL;
	}
	w->at += n;
	return w->at - n;
}

static inline void write_bytes(struct writer *w, const void *p, size_t n)
{
	uint8_t *to = write_room(w, n);
	if (to)
		memcpy(to, p, n);
}

static inline void write_u8(struct writer *w, uint8_t v)
{
	write_bytes(w, &v, 1);
}

static inline void write_u16(struct writer *w, uint16_t v)
{
	uint8_t *to = write_room(w, 2);
	if (to)
		store_be16(to, v);
}

static inline void write_u32(struct writer *w, uint32_t v)
{
	uint8_t *to = write_room(w, 4);
	if (to)
		store_be32(to, v);
}

static inline void write_u64(struct writer *w, uint64_t v)
{
	uint8_t *to = write_room(w, 8);
	if (to)
		store_be64(to, v);
}

#endif
