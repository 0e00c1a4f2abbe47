/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "mode/rtpproxy.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define WORDS_MAX   8
#define STREAMS_MAX 16 /* media streams of a call */
#define TRIES_MAX   8  /* of one call: an offer that was refused, and made again, is another relay */
#define COOKIE_MAX  64

/* What rtpproxy calls its errors. */
#define ERROR_COMMAND   "E0"
#define ERROR_ARGUMENTS "E1"
#define ERROR_UNKNOWN   "E50"
#define ERROR_ROOM      "E71"

struct word {
	const char *at;
	size_t len;
};

struct line {
	unsigned count;
	struct word word[WORDS_MAX];
};

/* Places in a relay's id, after what is derived from the call. */
enum { ID_STREAM = RELAY_ID_SIZE - 2, ID_TRY };

/* The relay that a command is about. */
struct call {
	struct word id, from, to; /* tags without their stream; to.len 0: none */
	unsigned stream;          /* counted from 1; 0: all of the call's */
};

/* ---- reading ---- */

static bool split(struct line *l, const char *text, size_t len)
{
	const char *end = text + len;

	l->count = 0;
	while (len && (end[-1] == '\n' || end[-1] == '\r' || end[-1] == 0))
		end--, len--;
	while (text < end && l->count < WORDS_MAX) {
		const char *space = memchr(text, ' ', (size_t)(end - text));
		const char *stop = space ? space : end;

		if (stop > text)
			l->word[l->count++] = (struct word){text, (size_t)(stop - text)};
		text = stop + 1;
	}
	for (unsigned i = 0; i < l->count; i++)
		for (size_t j = 0; j < l->word[i].len; j++)
			if (!isgraph((unsigned char)l->word[i].at[j]))
				return false;
	return l->count >= 2 && l->word[0].len <= COOKIE_MAX;
}

/* At most five digits. */
static bool read_number(const struct word *w, unsigned max, unsigned *value)
{
	unsigned n = 0;

	if (!w->len || w->len > 5)
		return false;
	for (size_t i = 0; i < w->len; i++) {
		if (!isdigit((unsigned char)w->at[i]))
			return false;
		n = 10 * n + (unsigned)(w->at[i] - '0');
	}
	*value = n;
	return n <= max;
}

/* "tag;2": the number of the stream goes off the tag. */
static bool read_tag(const struct word *w, struct word *tag, unsigned *stream)
{
	const char *semicolon = memrchr(w->at, ';', w->len);
	struct word number;

	*tag = *w;
	*stream = 0;
	if (!semicolon)
		return true;
	tag->len = (size_t)(semicolon - w->at);
	number = (struct word){semicolon + 1, w->len - tag->len - 1};
	return tag->len && read_number(&number, STREAMS_MAX, stream) && *stream;
}

static bool read_call(const struct word *id, const struct word *from, const struct word *to,
		struct call *c)
{
	unsigned other;

	*c = (struct call){.id = *id};
	if (!read_tag(from, &c->from, &c->stream))
		return false;
	return !to || read_tag(to, &c->to, &other);
}

static bool read_address(const struct word *w, uint8_t ip[16])
{
	char text[ENDPOINT_TEXT];

	if (w->len >= sizeof text)
		return false;
	memcpy(text, w->at, w->len);
	text[w->len] = 0;
	return addr_parse(text, ip) == 0;
}

/* ---- relays of a call ---- */

/* Of the call as this tag began it; stream and try follow.  Lengths go in, so that no two calls run together. */
static void relay_id(const uint8_t key[KEY_SIZE], const struct call *c, const struct word *caller,
		uint8_t id[RELAY_ID_SIZE])
{
	uint8_t sizes[4], hash[HASH_SIZE];
	const struct part parts[] = {
		PART("rtpproxy", 8), PART(sizes, sizeof sizes), PART(c->id.at, c->id.len),
		PART(caller->at, caller->len),
	};

	store_be16(sizes, (uint16_t)c->id.len);
	store_be16(sizes + 2, (uint16_t)caller->len);
	hmac_parts(key, KEY_SIZE, parts, ARRAY_SIZE(parts), hash);
	memcpy(id, hash, RELAY_ID_SIZE);
	id[ID_STREAM] = (uint8_t)MAX(c->stream, 1);
}

static bool has_ended(enum relay_status status)
{
	return status == RELAY_STATUS_UNKNOWN || status == RELAY_STATUS_EXISTS ||
			status == RELAY_STATUS_LOST;
}

/* The one that lives, of all keys and tries; its lifetime begins anew. */
static enum relay_status find_of(struct rtpproxy *p, const struct instant *now, const struct call *c,
		const struct word *caller, uint8_t id[RELAY_ID_SIZE], struct relay *r)
{
	for (unsigned i = 0; i < p->keys->count; i++) {
		relay_id(p->keys->key[i], c, caller, id);
		for (id[ID_TRY] = 0; id[ID_TRY] < TRIES_MAX; id[ID_TRY]++) {
			enum relay_status status = relays_refresh(p->relays, now, 0, id, p->lifetime, r);

			if (!has_ended(status))
				return status;
		}
	}
	return RELAY_STATUS_UNKNOWN;
}

/* *swapped: who sends this command's request is the one who was called. */
static enum relay_status find(struct rtpproxy *p, const struct instant *now, const struct call *c,
		bool *swapped, uint8_t id[RELAY_ID_SIZE], struct relay *r)
{
	enum relay_status status = find_of(p, now, c, &c->from, id, r);

	*swapped = status == RELAY_STATUS_UNKNOWN && c->to.len;
	return *swapped ? find_of(p, now, c, &c->to, id, r) : status;
}

/* Calls leave a quarter of the ports to other controllers. */
static bool has_room(const struct rtpproxy *p, bool v4)
{
	struct relays_counts c;

	relays_count(p->relays, &c);
	return c.ports_free[v4][false] >= p->ports / 4;
}

static enum relay_status ask_for(struct rtpproxy *p, const struct instant *now,
		const uint8_t id[RELAY_ID_SIZE], bool v4, struct relay *r)
{
	struct relay_request q = {
		.protocol = RELAY_UDP,
		.span = 2, /* RTP and RTCP */
		.even = true,
		.lifetime = p->lifetime,
		.side = {{.kind = RELAY_HINTED, .v4 = v4}, {.kind = RELAY_HINTED, .v4 = v4}},
	};

	memcpy(q.id, id, sizeof q.id);
	return relays_add(p->relays, now, 0, &q, r);
}

static enum relay_status make(struct rtpproxy *p, const struct instant *now, const struct call *c,
		bool v4, struct relay *r)
{
	enum relay_status status = RELAY_STATUS_EXISTS;
	uint8_t id[RELAY_ID_SIZE];

	if (!has_room(p, v4))
		return RELAY_STATUS_NO_PORTS;
	relay_id(relay_keys_own(p->keys), c, &c->from, id);
	for (id[ID_TRY] = 0; id[ID_TRY] < TRIES_MAX && has_ended(status); id[ID_TRY]++)
		status = ask_for(p, now, id, v4, r);
	return status;
}

/* ---- answers ---- */

__attribute__((format(printf, 3, 4)))
static enum rtpproxy_result say(char answer[RTPPROXY_ANSWER_MAX], const struct word *cookie,
		const char *format, ...)
{
	int n = snprintf(answer, RTPPROXY_ANSWER_MAX, "%.*s ", (int)cookie->len, cookie->at);
	va_list ap;

	va_start(ap, format);
	n += vsnprintf(answer + n, (size_t)(RTPPROXY_ANSWER_MAX - n), format, ap);
	va_end(ap);
	answer[n] = '\n'; /* all answers are short; the caller terminates */
	answer[n + 1] = 0;
	return RTPPROXY_ANSWERED;
}

/* The port that the given side is to send to. */
static enum rtpproxy_result say_port(const struct rtpproxy *p, char answer[RTPPROXY_ANSWER_MAX],
		const struct word *cookie, const struct relay_side *s)
{
	char text[ENDPOINT_TEXT];

	addr_format(s->v4 ? p->anycast4 : p->anycast6, text);
	return say(answer, cookie, "%u %s%s", s->port, text, s->v4 ? "" : " 6");
}

/* ---- commands ---- */

/* U and L: CALL-ID ADDRESS PORT FROM-TAG;STREAM [TO-TAG;STREAM] */
static enum rtpproxy_result look_up(struct rtpproxy *p, const struct instant *now,
		const struct line *l, bool offer, char answer[RTPPROXY_ANSWER_MAX])
{
	const struct word *w = l->word;
	uint8_t id[RELAY_ID_SIZE];
	enum relay_status status;
	struct endpoint media;
	unsigned port;
	bool swapped;
	struct relay r;
	struct call c;

	if (l->count < 6 || !read_address(w + 3, media.ip) || !read_number(w + 4, 65535, &port) ||
			!read_call(w + 2, w + 5, l->count > 6 ? w + 6 : NULL, &c))
		return say(answer, w, ERROR_ARGUMENTS);
	media.port = (uint16_t)port;
	status = find(p, now, &c, &swapped, id, &r);
	if (offer && status == RELAY_STATUS_UNKNOWN) {
		swapped = false;
		status = make(p, now, &c, addr_is_v4(media.ip), &r);
	} else if (offer && status == RELAY_STATUS_PENDING && !swapped) {
		status = ask_for(p, now, id, addr_is_v4(media.ip), &r); /* until it is settled */
	}
	if (status == RELAY_STATUS_UNKNOWN) /* an answer to no offer that is known */
		return say(answer, w, "0");
	if (status == RELAY_STATUS_PENDING)
		return RTPPROXY_PENDING;
	if (status != RELAY_STATUS_OK)
		return say(answer, w, ERROR_ROOM);
	/* Whose SDP it is; an address behind a NAT is no place to send to, and is then just not taken. */
	relays_hint(p->relays, now, 0, r.id, offer != swapped ? 0 : 1, &media, &r);
	/* An offer's port is for who is to answer it, an answer's for who made the offer. */
	return say_port(p, answer, w, &r.side[offer != swapped ? 1 : 0]);
}

/* Of one tag: its relays of this stream, of all keys and tries; how many there were. */
static unsigned remove_of(struct rtpproxy *p, const struct instant *now, const struct call *c,
		const struct word *caller)
{
	unsigned removed = 0;
	uint8_t id[RELAY_ID_SIZE];

	for (unsigned i = 0; i < p->keys->count; i++) {
		relay_id(p->keys->key[i], c, caller, id);
		for (id[ID_TRY] = 0; id[ID_TRY] < TRIES_MAX; id[ID_TRY]++)
			removed += relays_remove(p->relays, now, 0, id) == RELAY_STATUS_OK;
	}
	return removed;
}

/* D: CALL-ID FROM-TAG [TO-TAG] */
static enum rtpproxy_result delete(struct rtpproxy *p, const struct instant *now,
		const struct line *l, char answer[RTPPROXY_ANSWER_MAX])
{
	const struct word *w = l->word;
	unsigned removed = 0, last;
	struct call c;

	if (l->count < 4 || !read_call(w + 2, w + 3, l->count > 4 ? w + 4 : NULL, &c))
		return say(answer, w, ERROR_ARGUMENTS);
	last = c.stream ? c.stream : STREAMS_MAX;
	for (c.stream = c.stream ? c.stream : 1; c.stream <= last; c.stream++) {
		removed += remove_of(p, now, &c, &c.from);
		removed += c.to.len ? remove_of(p, now, &c, &c.to) : 0;
	}
	return say(answer, w, "%s", removed ? "0" : ERROR_UNKNOWN);
}

/* V: the version; VF DATE: is that feature there?  Several streams of a call are. */
static enum rtpproxy_result version(const struct line *l, char answer[RTPPROXY_ANSWER_MAX])
{
	const struct word *w = l->word;

	if (w[1].len == 1)
		return say(answer, w, "20040107");
	if (w[1].len != 2 || toupper((unsigned char)w[1].at[1]) != 'F')
		return say(answer, w, ERROR_COMMAND);
	if (l->count < 3)
		return say(answer, w, ERROR_ARGUMENTS);
	if (w[2].len == 8 && (!memcmp(w[2].at, "20040107", 8) || !memcmp(w[2].at, "20050322", 8)))
		return say(answer, w, "1");
	return say(answer, w, "0");
}

static enum rtpproxy_result information(const struct rtpproxy *p, const struct line *l,
		char answer[RTPPROXY_ANSWER_MAX])
{
	struct relays_counts c;

	relays_count(p->relays, &c);
	return say(answer, l->word, "sessions created: %llu\nactive sessions: %zu",
			(unsigned long long)c.made, c.relays);
}

static enum rtpproxy_result run(struct rtpproxy *p, const struct instant *now, const struct line *l,
		char answer[RTPPROXY_ANSWER_MAX])
{
	switch (toupper((unsigned char)l->word[1].at[0])) {
	case 'V':
		return version(l, answer);
	case 'U':
		return look_up(p, now, l, true, answer);
	case 'L':
		return look_up(p, now, l, false, answer);
	case 'D':
		return delete(p, now, l, answer);
	case 'I':
		return information(p, l, answer);
	default:
		return say(answer, l->word, ERROR_COMMAND);
	}
}

enum rtpproxy_result rtpproxy_command(struct rtpproxy *p, const struct instant *now,
		const char *line, size_t len, char answer[RTPPROXY_ANSWER_MAX], size_t *answer_len)
{
	enum rtpproxy_result result;
	struct line l;

	if (len > RTPPROXY_LINE_MAX || !split(&l, line, len))
		return RTPPROXY_SILENT;
	result = run(p, now, &l, answer);
	if (result == RTPPROXY_ANSWERED)
		*answer_len = strlen(answer);
	return result;
}
