/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "proto/relay_message.h"

#include "proto/wire.h"

#define FLAG_EVEN  1
#define FLAG_MORE  1
#define VIEW_FIXED (RELAY_ID_SIZE + 7 + 2 * (2 + 2 * ENDPOINT_WIRE))

const char *relay_status_key(enum relay_status s)
{
	switch (s) {
#define X(name, value, key, text)                                                                  \
	case value:                                                                                \
		return key;
	RELAY_STATUSES(X)
#undef X
	}
	return "other";
}

const char *relay_status_text(enum relay_status s)
{
	switch (s) {
#define X(name, value, key, text)                                                                  \
	case value:                                                                                \
		return text;
	RELAY_STATUSES(X)
#undef X
	}
	return "refused for a reason that this version does not know";
}

static const uint8_t zeros[sizeof(struct endpoint)];

/* message | op | number: of both; where the rest goes. */
static struct writer write_head(uint8_t *out, size_t room, enum control_message message, uint8_t op,
		uint32_t number)
{
	out[0] = CONTROL_BYTE(message);
	out[1] = op;
	store_be32(out + 2, number);
	return writer_over(out + 6, room - 6);
}

/* ---- RELAY ---- */

static void read_request_side(struct reader *r, struct relay_side *s)
{
	uint8_t family;

	*s = (struct relay_side){.kind = read_u8(r)};
	family = read_u8(r);
	read_endpoint(r, &s->given);
	s->v4 = family == 4;
	if (family != 4 && family != 6)
		s->kind = 0; /* unsound */
}

bool relay_question_read(struct relay_question *q, const uint8_t *plain, size_t len)
{
	struct reader r = reader_over(plain, len);
	struct relay_question v = {0};

	if (read_u8(&r) != CONTROL_BYTE(CONTROL_RELAY))
		return false;
	v.op = read_u8(&r);
	v.number = read_u32(&r);
	read_copy(&r, v.request.id, RELAY_ID_SIZE);
	v.request.lifetime = read_u16(&r);
	v.request.protocol = read_u8(&r);
	v.request.span = read_u8(&r);
	v.request.even = read_u8(&r) & FLAG_EVEN;
	read_u8(&r);
	for (unsigned i = 0; i < 2; i++)
		read_request_side(&r, &v.request.side[i]);
	if (!tlvs_skip(&r))
		return false;
	*q = v;
	return true;
}

size_t relay_question_write(uint8_t out[RELAY_QUESTION_SIZE], const struct relay_question *q)
{
	struct writer w = write_head(out, RELAY_QUESTION_SIZE, CONTROL_RELAY, q->op, q->number);

	write_bytes(&w, q->request.id, RELAY_ID_SIZE);
	write_u16(&w, q->request.lifetime);
	write_u8(&w, q->request.protocol);
	write_u8(&w, q->request.span);
	write_u8(&w, q->request.even ? FLAG_EVEN : 0);
	write_u8(&w, 0);
	for (unsigned i = 0; i < 2; i++) {
		write_u8(&w, q->request.side[i].kind);
		write_u8(&w, q->request.side[i].v4 ? 4 : 6);
		write_endpoint(&w, &q->request.side[i].given);
	}
	return (size_t)(w.at - out);
}

static bool side_sound(const struct relay_side *s)
{
	switch (s->kind) {
	case RELAY_GIVEN:
		return s->given.port != 0 && addr_is_v4(s->given.ip) == s->v4;
	case RELAY_HOST:
		return s->given.port == 0 && addr_is_v4(s->given.ip) == s->v4;
	case RELAY_LEARNT:
	case RELAY_TOKEN:
	case RELAY_HINTED:
		return !memcmp(s->given.ip, zeros, sizeof s->given.ip) && s->given.port == 0;
	default:
		return false;
	}
}

bool relay_request_sound(const struct relay_request *q)
{
	if (q->protocol != RELAY_TCP && q->protocol != RELAY_UDP)
		return false;
	if (q->span < 1 || q->span > (q->protocol == RELAY_UDP ? RELAY_SPAN_MAX : 1) ||
			(q->even && q->span == 1))
		return false;
	for (unsigned i = 0; i < 2; i++)
		if (!side_sound(&q->side[i]) || q->side[i].given.port + q->span - 1 > UINT16_MAX)
			return false;
	return true;
}

/* ---- RELAY_ANSWER ---- */

static bool read_view_side(struct reader *r, unsigned span, struct relay_view_side *s)
{
	uint8_t latched;

	s->kind = read_u8(r);
	latched = read_u8(r); /* a bit for each port */
	read_endpoint(r, &s->ours);
	read_endpoint(r, &s->given);
	for (unsigned i = 0; i < span; i++) {
		read_endpoint(r, &s->at[i]);
		s->latched[i] = latched >> i & 1;
	}
	if (s->kind == RELAY_TOKEN)
		read_copy(r, s->token, RELAY_TOKEN_SIZE);
	return s->kind >= RELAY_GIVEN && s->kind <= RELAY_HINTED;
}

static bool read_view(struct reader *r, struct relay_view *v)
{
	read_copy(r, v->id, RELAY_ID_SIZE);
	v->protocol = read_u8(r);
	v->span = read_u8(r);
	v->status = read_u8(r);
	v->left = read_u32(r);
	if ((v->protocol != RELAY_TCP && v->protocol != RELAY_UDP) || v->span < 1 ||
			v->span > RELAY_SPAN_MAX)
		return false;
	return read_view_side(r, v->span, &v->side[0]) && read_view_side(r, v->span, &v->side[1]);
}

bool relay_answer_read(struct relay_answer *a, const uint8_t *plain, size_t len)
{
	struct reader r = reader_over(plain, len);
	struct relay_answer v = {0};

	if (read_u8(&r) != CONTROL_BYTE(CONTROL_RELAY_ANSWER))
		return false;
	v.op = read_u8(&r);
	v.number = read_u32(&r);
	v.status = read_u8(&r);
	v.more = read_u8(&r) & FLAG_MORE;
	v.count = read_u8(&r);
	if (v.count > RELAY_PAGE)
		return false;
	for (unsigned i = 0; i < v.count; i++)
		if (!read_view(&r, &v.relay[i]))
			return false;
	if (!tlvs_skip(&r))
		return false;
	*a = v;
	return true;
}

static size_t view_size(const struct relay_view *v)
{
	unsigned tokens = (v->side[0].kind == RELAY_TOKEN) + (v->side[1].kind == RELAY_TOKEN);

	return VIEW_FIXED + 2u * v->span * ENDPOINT_WIRE + tokens * RELAY_TOKEN_SIZE;
}

static void write_view(struct writer *w, const struct relay_view *v)
{
	write_bytes(w, v->id, RELAY_ID_SIZE);
	write_u8(w, v->protocol);
	write_u8(w, v->span);
	write_u8(w, v->status);
	write_u32(w, v->left);
	for (unsigned i = 0; i < 2; i++) {
		const struct relay_view_side *s = &v->side[i];

		write_u8(w, s->kind);
		write_u8(w, (uint8_t)(s->latched[0] | s->latched[1] << 1));
		write_endpoint(w, &s->ours);
		write_endpoint(w, &s->given);
		for (unsigned port = 0; port < v->span; port++)
			write_endpoint(w, &s->at[port]);
		if (s->kind == RELAY_TOKEN)
			write_bytes(w, s->token, RELAY_TOKEN_SIZE);
	}
}

size_t relay_answer_write(uint8_t out[RELAY_ANSWER_MAX], const struct relay_answer *a)
{
	struct writer w = write_head(out, RELAY_ANSWER_MAX, CONTROL_RELAY_ANSWER, a->op, a->number);
	uint8_t count = 0;

	write_u8(&w, a->status);
	write_u8(&w, 0);
	write_u8(&w, 0);
	for (; count < a->count && (size_t)(w.end - w.at) >= view_size(&a->relay[count]); count++)
		write_view(&w, &a->relay[count]);
	out[7] = a->more || count < a->count ? FLAG_MORE : 0;
	out[8] = count;
	return (size_t)(w.at - out);
}
