/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Session records from server to server, when one has to send to a client and
 * has no record of it: it has just started, and the registry is away or late.
 * Who has one answers with a RECORD, which notices.h takes; nobody has to.
 */
#include "base/cursor.h"
#include "cluster/notices.h"
#include "cluster/peers_internal.h"
#include "cluster/session_value.h"

#define ASK_MAX      ((MESH_MESSAGE_MAX - 1) / 4)
#define ANSWERS_MAX  64 /* to one question */
#define SESSION_HEAD (1 + 4)
_Static_assert(SESSION_HEAD + SESSION_VALUE_MAX <= MESH_MESSAGE_MAX, "every record fits");

void peers_ask(struct peers *p, const uint32_t *index, unsigned count)
{
	uint8_t message[MESH_MESSAGE_MAX];
	struct writer w = writer_over(message, sizeof message);

	write_u8(&w, MESH_ASK);
	for (unsigned i = 0; i < MIN(count, (unsigned)ASK_MAX); i++)
		write_u32(&w, index[i]);
	for (unsigned i = 0; i < p->count; i++)
		if (p->peer[i]->alive)
			peer_send(p, p->peer[i], message, (size_t)(w.at - message));
	p->events[PEERS_ASKED] += count;
}

static void tell(struct peers *p, const struct instant *now, struct peer *r, uint32_t index)
{
	const struct client *c = directory_by_index(p->o.server->directory, index);
	const struct session_record *s = c && !c->removed ? c->session : NULL;
	uint8_t message[SESSION_HEAD + SESSION_VALUE_MAX] = {NOTICE_RECORD};
	size_t n;

	if (!s || time_seconds(now->cluster) >= session_end(s->epoch))
		return;
	store_be32(message + 1, index);
	n = SESSION_HEAD + session_value_write(message + SESSION_HEAD, s);
	if (peer_send(p, r, message, n))
		p->events[PEERS_TOLD]++;
}

enum mesh_result sessions_answer(struct peers *p, const struct instant *now, struct peer *r,
		const uint8_t *message, size_t len)
{
	struct reader in = reader_over(message + 1, len - 1);

	if (len < 5 || (len - 1) % 4 != 0)
		return MESH_MALFORMED;
	for (unsigned i = 0; i < ANSWERS_MAX && reader_left(&in); i++)
		tell(p, now, r, read_u32(&in));
	return MESH_ACCEPTED;
}
