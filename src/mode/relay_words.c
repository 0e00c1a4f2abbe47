/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "mode/relay_words.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/util.h"
#include "mode/relays.h" /* RELAY_LIFETIME_MAX */

/* What stands after the words that must be there. */
struct words {
	char text[RELAY_WORDS_MAX];
	char *rest;
	char *error;
};

#define refuse(w, ...) fail(-EINVAL, (w)->error, RELAY_WORDS_ERROR, __VA_ARGS__)

static const char *next_word(struct words *w)
{
	return strtok_r(NULL, " ", &w->rest);
}

/* ---- ids and sides ---- */

int relay_id_read(const char *word, uint8_t id[RELAY_ID_SIZE])
{
	uint8_t found[RELAY_ID_SIZE];

	if (strlen(word) != 2 * RELAY_ID_SIZE ||
			strspn(word, "0123456789abcdefABCDEF") != 2 * RELAY_ID_SIZE)
		return -EINVAL;
	for (unsigned i = 0; i < RELAY_ID_SIZE; i++)
		sscanf(word + 2 * i, "%2hhx", &found[i]);
	memcpy(id, found, RELAY_ID_SIZE);
	return 0;
}

const char *relay_id_write(const uint8_t id[RELAY_ID_SIZE], char out[static RELAY_ID_TEXT])
{
	static const char digits[] = "0123456789abcdef";

	for (unsigned i = 0; i < RELAY_ID_SIZE; i++) {
		out[2 * i] = digits[id[i] >> 4];
		out[2 * i + 1] = digits[id[i] & 15];
	}
	out[2 * RELAY_ID_SIZE] = 0;
	return out;
}

int relay_side_read(const char *word, struct relay_side *s)
{
	struct relay_side found = {0};
	bool any = !strncmp(word, "any", 3), token = !strncmp(word, "token", 5);
	const char *family = word + (any ? 3 : 5);

	if (any || token) {
		if (strcmp(family, "4") != 0 && strcmp(family, "6") != 0)
			return -EINVAL;
		found.kind = any ? RELAY_LEARNT : RELAY_TOKEN;
		found.v4 = *family == '4';
	} else {
		/* "2001:db8::5" is an address alone: one with a port stands in brackets */
		bool host = addr_parse(word, found.given.ip) == 0;

		if (!host && (endpoint_parse(word, 0, &found.given) || found.given.port == 0))
			return -EINVAL;
		found.kind = host ? RELAY_HOST : RELAY_GIVEN;
		found.v4 = addr_is_v4(found.given.ip);
	}
	*s = found;
	return 0;
}

const char *relay_side_write(const struct relay_view_side *s, char out[static ENDPOINT_TEXT])
{
	char family = addr_is_v4(s->ours.ip) ? '4' : '6';

	if (s->kind == RELAY_GIVEN)
		return endpoint_format(&s->given, out);
	if (s->kind == RELAY_HOST)
		return addr_format(s->given.ip, out);
	snprintf(out, ENDPOINT_TEXT, "%s%c", s->kind == RELAY_TOKEN ? "token" : "any", family);
	return out;
}

/* ---- options ---- */

static int read_number(const char *text, unsigned most, unsigned *value)
{
	size_t digits = strspn(text, "0123456789");

	if (digits == 0 || digits > 5 || text[digits] || strtoul(text, NULL, 10) > most)
		return -EINVAL;
	*value = (unsigned)strtoul(text, NULL, 10);
	return 0;
}

static int read_option(struct words *w, const char *word, struct relay_request *q)
{
	unsigned n;

	if (!strncmp(word, "lifetime=", 9)) {
		if (read_number(word + 9, RELAY_LIFETIME_MAX, &n) || (n && n < RELAY_LIFETIME_MIN))
			return refuse(w, "%s is not a lifetime in seconds (%d to %d, or 0 for ever)", word + 9,
					RELAY_LIFETIME_MIN, RELAY_LIFETIME_MAX);
		q->lifetime = (uint16_t)n;
	} else if (!strncmp(word, "span=", 5)) {
		if (read_number(word + 5, RELAY_SPAN_MAX, &n) || n == 0)
			return refuse(w, "%s is not a number of ports for each side (1 or 2)", word + 5);
		q->span = (uint8_t)n;
	} else if (!strncmp(word, "id=", 3)) {
		if (relay_id_read(word + 3, q->id))
			return refuse(w, "%s is not the id of a relay (32 hexadecimal digits)", word + 3);
	} else if (!strcmp(word, "even")) {
		q->even = true;
	} else {
		return refuse(w, "%s: a relay has no such option", word);
	}
	return 0;
}

static int read_options(struct words *w, struct relay_request *q)
{
	const char *word;

	while ((word = next_word(w))) {
		int failed = read_option(w, word, q);

		if (failed)
			return failed;
	}
	return 0;
}

/* ---- operations ---- */

static int read_add(struct words *w, struct relay_request *q)
{
	const char *protocol = next_word(w), *side;
	int failed;

	if (!protocol || (strcmp(protocol, "udp") != 0 && strcmp(protocol, "tcp") != 0))
		return refuse(w, "%s is not a protocol of relays (udp or tcp)", protocol ? protocol : "nothing");
	q->protocol = *protocol == 'u' ? RELAY_UDP : RELAY_TCP;
	q->span = 1;
	random_bytes(q->id, sizeof q->id);
	for (unsigned i = 0; i < 2; i++) {
		side = next_word(w);
		if (!side || relay_side_read(side, &q->side[i]))
			return refuse(w, "%s is not a side of a relay (ADDRESS:PORT, ADDRESS, any4, any6, "
					"token4 or token6)", side ? side : "nothing");
	}
	failed = read_options(w, q);
	if (failed)
		return failed;
	if (q->protocol == RELAY_TCP && q->span > 1)
		return refuse(w, "a relay of TCP has one port a side: span is for udp");
	if (q->even && q->span == 1)
		return refuse(w, "of one port there is nothing to choose: even needs a span of 2");
	if (!relay_request_sound(q))
		return refuse(w, "with a span of 2 there must be another port after the one that is given");
	return 0;
}

/* ID, and what may follow. */
static int read_id(struct words *w, struct relay_request *q, bool needed)
{
	const char *word = next_word(w);

	if (!word && !needed)
		return 0;
	if (!word || relay_id_read(word, q->id))
		return refuse(w, "%s is not the id of a relay (32 hexadecimal digits)",
				word ? word : "nothing");
	return read_options(w, q);
}

static int read_op(struct words *w, const char *word, struct relay_question *q)
{
#define X(name, value, key)                                                                        \
	if (word && !strcmp(word, key))                                                            \
		q->op = value;
	RELAY_OPS(X)
#undef X
	if (!q->op)
		return refuse(w, "%s is nothing that can be done with relays (add, refresh, del, get, list)",
				word ? word : "nothing");
	return q->op == RELAY_OP_ADD ? read_add(w, &q->request) :
				       read_id(w, &q->request, q->op != RELAY_OP_LIST);
}

int relay_words_read(const char *words, struct relay_question *q, char error[RELAY_WORDS_ERROR])
{
	struct relay_question found = {.request.lifetime = RELAY_LIFETIME};
	struct words w = {.error = error};
	int failed;

	if (strlen(words) >= sizeof w.text)
		return refuse(&w, "this is longer than %zu characters", sizeof w.text - 1);
	strcpy(w.text, words);
	failed = read_op(&w, strtok_r(w.text, " ", &w.rest), &found);
	if (!failed)
		*q = found;
	return failed;
}
