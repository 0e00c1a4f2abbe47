/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * "relay …" at the control socket: words to a question, its answer to JSON.  At a
 * server it is the operator who asks, owner 0, and who answers clients answers at
 * once; a client's daemon asks the cluster.
 */
#include <jansson.h>
#include <stdio.h>

#include "base/clock.h"
#include "ctx.h"
#include "mode/relay_words.h"

/* ---- answers ---- */

static json_t *side_json(const struct relay_view *v, const struct relay_view_side *s)
{
	json_t *o, *at = json_array();
	char text[ENDPOINT_TEXT];

	for (unsigned port = 0; port < v->span; port++)
		if (s->latched[port])
			json_array_append_new(at, json_string(endpoint_format(&s->at[port], text)));
	o = json_pack("{s:s}", "side", relay_side_write(s, text));
	json_object_set_new(o, "send_to", json_string(endpoint_format(&s->ours, text)));
	json_object_set_new(o, "port", json_integer(s->ours.port));
	json_object_set_new(o, "at", at);
	if (s->kind == RELAY_TOKEN)
		json_object_set_new(o, "token", json_stringn(s->token, RELAY_TOKEN_SIZE));
	return o;
}

static json_t *relay_json(const struct relay_view *v)
{
	char id[RELAY_ID_TEXT];

	return json_pack("{s:s, s:s, s:i, s:s, s:o, s:[o, o]}",
			"id", relay_id_write(v->id, id),
			"protocol", v->protocol == RELAY_UDP ? "udp" : "tcp",
			"span", v->span,
			"status", relay_status_key((enum relay_status)v->status),
			"ends_s", v->left == RELAY_FOR_EVER ? json_null() : json_integer(v->left),
			"sides", side_json(v, &v->side[0]), side_json(v, &v->side[1]));
}

static json_t *list_json(const struct relay_answer *a)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < a->count; i++)
		json_array_append_new(list, relay_json(&a->relay[i]));
	return json_pack("{s:o, s:b}", "relays", list, "more", a->more);
}

static json_t *refusal(const char *status, const char *sentence)
{
	return json_pack("{s:s, s:s}", "error", sentence, "status", status);
}

static json_t *answer_json(const struct relay_answer *a)
{
	enum relay_status status = (enum relay_status)a->status;

	if (status != RELAY_STATUS_OK)
		return refusal(relay_status_key(status), relay_status_text(status));
	if (a->op == RELAY_OP_LIST)
		return list_json(a);
	if (a->op == RELAY_OP_REMOVE)
		return json_pack("{s:b}", "removed", true);
	return a->count ? json_pack("{s:o}", "relay", relay_json(&a->relay[0])) : NULL;
}

static char *text_of(json_t *o)
{
	char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;

	json_decref(o);
	return text;
}

char *relay_answer_text(const struct relay_answer *a)
{
	char sentence[160];

	if (a)
		return text_of(answer_json(a));
	snprintf(sentence, sizeof sentence, "no server has answered within %d s; if a relay was made all "
			"the same, it ends by itself after its lifetime", RELAY_PATIENCE);
	return text_of(refusal("silence", sentence));
}

/* ---- questions ---- */

static char *ask_table(struct daemon *d, const struct relay_question *q)
{
	struct relay_answer a = {.op = q->op, .status = RELAY_STATUS_OFF};
	struct instant now;
	char *text;

	clock_read(&now);
	if (d->server.relay_control) {
		a.status = RELAY_STATUS_OK;
		d->server.relay_control(d->server.relay_control_arg, &now, 0, q, &a);
	}
	text = relay_answer_text(&a);
	wipe(&a, sizeof a); /* tokens */
	return text;
}

char *relay_command(struct daemon *d, const char *words, int fd, bool *later)
{
	char error[RELAY_WORDS_ERROR];
	struct relay_question q;

	if (relay_words_read(words, &q, error))
		return text_of(refusal("malformed", error));
	if (d->conf.role == CONF_SERVER)
		return ask_table(d, &q);
	if (q.request.lifetime == 0)
		return text_of(refusal("malformed", "a client's relays do not last for ever: the lifetime "
				"is 10 to 3600 s, and is renewed as long as the daemon runs"));
	*later = relay_client_ask(d, &q, fd);
	return *later ? NULL : text_of(refusal("busy", "too many questions about relays are under way; "
			"ask again"));
}
