/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * A HELLO with a ticket: how a server without a client's record comes to it.
 * It only learns the record here (through the hook, since the directory is not
 * the core's to change); the client's next ordinary HELLO is then served like
 * any other.
 */
#include "proto/server_internal.h"
#include "proto/ticket.h"

#define TICKET_AT        (HEADER_SIZE + 2)
#define TICKETS_A_SECOND 2000

/* header | n u16 | ticket n | ciphertext | tag; all before the ciphertext is associated data. */
static bool verify(const struct record *r, const struct epoch_keys *k, const struct datagram *d,
		size_t ad_len, enum aead aead)
{
	uint8_t s[KEY_SIZE], nonce[NONCE_SIZE], plain[MESSAGE1_SIZE];
	struct rx_key rx;
	bool good;

	session_secret(k, d->data + HEADER_TO, r->public, s);
	rx_key_up(&rx, s, aead);
	packet_nonce(nonce, rx.iv, load_be16(d->data + HEADER_T), load_be32(d->data + HEADER_NUMBER));
	good = aead_open(&rx.key, nonce, d->data, ad_len, d->data + ad_len, d->len - ad_len, plain);
	wipe(s, sizeof s);
	wipe(&rx, sizeof rx);
	return good;
}

static enum drop take_ticket(struct server *s, uint32_t second, const struct epoch_keys *k,
		const struct datagram *d, size_t n, enum aead aead)
{
	struct record r;
	enum drop why = DROP_TAG;

	if (ticket_open(k, d->data + HEADER_TO, d->data + TICKET_AT, n, &r) == 0 &&
			r.index == sid_index(k, d->data + HEADER_TO) &&
			verify(&r, k, d, TICKET_AT + n, aead)) {
		if (!limiter_pass_all(&s->ticket_second, second, TICKETS_A_SECOND)) {
			wipe(&r, sizeof r);
			return DROP_RATE;
		}
		server_event(s, SERVER_TICKETS);
		s->client_lent(s->client_lent_arg, &r);
		why = DROP_NONE;
	}
	wipe(&r, sizeof r);
	return why;
}

enum drop server_ticket(struct server *s, const struct instant *now, const struct datagram *d,
		enum aead aead)
{
	const struct keyring *ring = atomic_load_explicit(&s->keyring, memory_order_acquire);
	const struct directory *dir = atomic_load_explicit(&s->directory, memory_order_acquire);
	const struct epoch_keys *k;
	enum drop why = DROP_KID;
	unsigned at = 0;
	size_t n;

	if (!s->client_lent)
		return DROP_TYPE;
	if (d->len < TICKET_AT + TICKET_MIN + TAG_SIZE || d->len > MESSAGE1_SIZE)
		return DROP_SIZE;
	n = load_be16(d->data + HEADER_SIZE);
	if (n < TICKET_MIN || n > TICKET_MAX || d->len < TICKET_AT + n + TAG_SIZE)
		return DROP_SIZE;
	while (why != DROP_NONE && (k = keyring_find(ring, d->data[HEADER_KID], &at))) {
		const struct client *c = directory_by_index(dir, sid_index(k, d->data + HEADER_TO));

		if (c) /* a record beats a ticket, and so does a tombstone */
			why = c->removed ? DROP_REVOKED : DROP_STALE;
		else if (time_seconds(now->cluster) < session_end(k->epoch))
			why = take_ticket(s, (uint32_t)(now->boot / TICKS_PER_SEC), k, d, n, aead);
	}
	return why;
}
