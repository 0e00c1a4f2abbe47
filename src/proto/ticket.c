/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "proto/ticket.h"

#include <errno.h>

#define RECORD_FIXED 84
#define AD_SIZE      (6 + SID_SIZE)

static void associated_data(uint8_t ad[AD_SIZE], const uint8_t sid[SID_SIZE])
{
	memcpy(ad, "ticket", 6);
	memcpy(ad + 6, sid, SID_SIZE);
}

static void record_store(struct writer *w, const struct client *c)
{
	write_u32(w, c->index);
	write_u64(w, c->version);
	write_u16(w, c->rights);
	write_u16(w, c->port_first);
	write_u16(w, c->port_count);
	write_bytes(w, c->public, KEY_SIZE);
	write_bytes(w, c->psk, KEY_SIZE);
	write_u8(w, c->prefix_count);
	write_u8(w, c->name_len);
	write_bytes(w, c->data, 17u * c->prefix_count);
	write_bytes(w, client_name(c), c->name_len);
}

static bool record_load(struct record *r, const uint8_t *p, size_t len)
{
	struct reader in = reader_over(p, len);
	uint8_t name_len;

	memset(r, 0, sizeof *r);
	r->index = read_u32(&in);
	r->version = read_u64(&in);
	r->rights = read_u16(&in);
	r->port_first = read_u16(&in);
	r->port_count = read_u16(&in);
	read_copy(&in, r->public, KEY_SIZE);
	read_copy(&in, r->psk, KEY_SIZE);
	r->prefix_count = read_u8(&in);
	name_len = read_u8(&in);
	if (r->prefix_count > RECORD_PREFIXES_MAX || name_len > RECORD_NAME_MAX)
		return false;
	for (unsigned i = 0; i < r->prefix_count; i++) {
		read_copy(&in, r->prefixes[i].ip, 16);
		r->prefixes[i].len = read_u8(&in);
	}
	read_copy(&in, r->name, name_len);
	return !in.bad && reader_left(&in) == 0;
}

size_t ticket_make(const struct epoch_keys *k, const uint8_t sid[SID_SIZE], const struct client *c,
		uint8_t ticket[TICKET_MAX])
{
	uint8_t plain[TICKET_MAX - TICKET_MIN], ad[AD_SIZE];
	struct writer w = writer_over(plain, sizeof plain);
	struct aead_key key;
	size_t len;

	record_store(&w, c);
	len = (size_t)(w.at - plain);
	ticket[0] = k->kid;
	random_bytes(ticket + 1, NONCE_SIZE);
	associated_data(ad, sid);
	aead_expand(&key, AEAD_AES_256_GCM, k->ticket);
	aead_seal(&key, ticket + 1, ad, sizeof ad, plain, len, ticket + 1 + NONCE_SIZE);
	wipe(&key, sizeof key);
	wipe(plain, sizeof plain);
	return w.bad ? 0 : TICKET_MIN + len;
}

int ticket_open(const struct epoch_keys *k, const uint8_t sid[SID_SIZE], const uint8_t *ticket,
		size_t len, struct record *r)
{
	uint8_t plain[TICKET_MAX - TICKET_MIN], ad[AD_SIZE];
	struct aead_key key;
	bool good;

	if (len < TICKET_MIN + RECORD_FIXED || len > TICKET_MAX || ticket[0] != k->kid)
		return -EBADMSG;
	associated_data(ad, sid);
	aead_expand(&key, AEAD_AES_256_GCM, k->ticket);
	good = aead_open(&key, ticket + 1, ad, sizeof ad, ticket + 1 + NONCE_SIZE,
			len - 1 - NONCE_SIZE, plain) &&
	       record_load(r, plain, len - TICKET_MIN);
	wipe(&key, sizeof key);
	wipe(plain, sizeof plain);
	return good ? 0 : -EBADMSG;
}
