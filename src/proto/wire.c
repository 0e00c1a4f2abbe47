/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Control messages, bytes to struct and back (PROTOCOL.md, "Control messages").
 * A message has no length: its fixed part, then TLVs, ended by type 0, which
 * padding is made of, or by the end of the plaintext.
 */
#include "proto/wire.h"

bool tlv_next(struct reader *r, uint8_t *type, const uint8_t **value, uint16_t *len)
{
	if (r->bad || reader_left(r) == 0)
		return false;
	*type = read_u8(r);
	if (*type == TLV_END)
		return false;
	*len = read_u16(r);
	*value = read_bytes(r, *len);
	return !r->bad;
}

bool tlvs_skip(struct reader *r)
{
	const uint8_t *value;
	uint16_t len;
	uint8_t type;

	while (tlv_next(r, &type, &value, &len))
		;
	return !r->bad;
}

static bool is_message(struct reader *r, enum control_message message)
{
	return read_u8(r) == CONTROL_BYTE(message);
}

static bool kind_valid(uint8_t kind)
{
	return kind == KIND_PATH || kind == KIND_TIME;
}

void read_endpoint(struct reader *r, struct endpoint *e)
{
	uint8_t wire[ENDPOINT_WIRE];

	read_copy(r, wire, sizeof wire);
	endpoint_load(e, wire);
}

void write_endpoint(struct writer *w, const struct endpoint *e)
{
	uint8_t wire[ENDPOINT_WIRE];

	endpoint_store(wire, e);
	write_bytes(w, wire, sizeof wire);
}

/* ---- CHALLENGE ---- */

bool challenge_read(struct challenge *c, const uint8_t *plain, size_t len)
{
	struct reader r = reader_over(plain, len);
	struct challenge v;

	if (!is_message(&r, CONTROL_CHALLENGE))
		return false;
	v.kind = read_u8(&r);
	read_endpoint(&r, &v.address);
	read_copy(&r, v.cookie, COOKIE_SIZE);
	v.time = read_u64(&r);
	if (!tlvs_skip(&r) || !kind_valid(v.kind))
		return false;
	*c = v;
	return true;
}

size_t challenge_write(uint8_t out[CHALLENGE_SIZE], const struct challenge *c)
{
	struct writer w = writer_over(out, CHALLENGE_SIZE);

	write_u8(&w, CONTROL_BYTE(CONTROL_CHALLENGE));
	write_u8(&w, c->kind);
	write_endpoint(&w, &c->address);
	write_bytes(&w, c->cookie, COOKIE_SIZE);
	write_u64(&w, c->time);
	return (size_t)(w.at - out);
}

/* ---- HELLO ---- */

/* A TLV that is an array of entries; repeated TLVs of one type add up. */
static bool list_read(uint8_t *list, uint8_t *count, size_t most, size_t entry,
		const uint8_t *value, uint16_t len)
{
	if (len % entry != 0 || *count + len / entry > most)
		return false;
	memcpy(list + *count * entry, value, len);
	*count = (uint8_t)(*count + len / entry);
	return true;
}

static void list_write(struct writer *w, enum tlv_type type, const void *list, unsigned count,
		size_t entry)
{
	if (count == 0)
		return;
	write_u8(w, (uint8_t)type);
	write_u16(w, (uint16_t)(count * entry));
	write_bytes(w, list, count * entry);
}

static bool hello_tlvs_read(struct hello *h, struct reader *r)
{
	const uint8_t *value;
	uint16_t len;
	uint8_t type;

	while (tlv_next(r, &type, &value, &len)) {
		bool good = true;

		if (type == TLV_GROUPS)
			good = list_read(h->groups[0], &h->group_count, GROUPS_MAX, 16, value, len);
		else if (type == TLV_MACS)
			good = list_read(h->macs[0], &h->mac_count, MACS_MAX, MAC_ADDR_SIZE, value,
					len);
		if (!good)
			return false;
	}
	return !r->bad;
}

bool hello_read(struct hello *h, const uint8_t *plain, size_t len)
{
	struct reader r = reader_over(plain, len);
	struct hello v = {0};

	if (!is_message(&r, CONTROL_HELLO))
		return false;
	v.kind = read_u8(&r);
	read_endpoint(&r, &v.address);
	read_copy(&r, v.cookie, COOKIE_SIZE);
	v.down_mtu = read_u16(&r);
	v.keepalive = read_u16(&r);
	if (r.bad || !hello_tlvs_read(&v, &r) || !kind_valid(v.kind))
		return false;
	*h = v;
	return true;
}

size_t hello_write(uint8_t out[HELLO_MAX], const struct hello *h)
{
	struct writer w = writer_over(out, HELLO_MAX);

	write_u8(&w, CONTROL_BYTE(CONTROL_HELLO));
	write_u8(&w, h->kind);
	write_endpoint(&w, &h->address);
	write_bytes(&w, h->cookie, COOKIE_SIZE);
	write_u16(&w, h->down_mtu);
	write_u16(&w, h->keepalive);
	list_write(&w, TLV_GROUPS, h->groups, h->group_count, 16);
	list_write(&w, TLV_MACS, h->macs, h->mac_count, MAC_ADDR_SIZE);
	return (size_t)(w.at - out);
}

/* ---- HELLO_ACK, PROBE, PROBE_REQ, PROBE_ACK; byte 1 is reserved: 0 when sent, not looked at ---- */

bool hello_ack_read(struct hello_ack *a, const uint8_t *plain, size_t len)
{
	struct reader r = reader_over(plain, len);
	struct hello_ack v;

	if (!is_message(&r, CONTROL_HELLO_ACK))
		return false;
	read_u8(&r);
	v.number = read_u32(&r);
	if (!tlvs_skip(&r))
		return false;
	*a = v;
	return true;
}

size_t hello_ack_write(uint8_t out[HELLO_ACK_SIZE], const struct hello_ack *a)
{
	out[0] = CONTROL_BYTE(CONTROL_HELLO_ACK);
	out[1] = 0;
	store_be32(out + 2, a->number);
	return HELLO_ACK_SIZE;
}

bool probe_read(struct probe *p, const uint8_t *plain, size_t len)
{
	struct reader r = reader_over(plain, len);
	struct probe v;
	uint8_t first = read_u8(&r);

	if (first != CONTROL_BYTE(CONTROL_PROBE) && first != CONTROL_BYTE(CONTROL_PROBE_REQ))
		return false;
	read_u8(&r);
	v.size = read_u16(&r);
	v.id = read_u32(&r);
	if (!tlvs_skip(&r))
		return false;
	*p = v;
	return true;
}

size_t probe_write(uint8_t out[PROBE_FIXED], enum control_message which, const struct probe *p)
{
	out[0] = CONTROL_BYTE(which);
	out[1] = 0;
	store_be16(out + 2, p->size);
	store_be32(out + 4, p->id);
	return PROBE_FIXED;
}

bool probe_ack_read(struct probe_ack *a, const uint8_t *plain, size_t len)
{
	struct reader r = reader_over(plain, len);
	struct probe_ack v;

	if (!is_message(&r, CONTROL_PROBE_ACK))
		return false;
	read_u8(&r);
	v.size = read_u16(&r);
	v.id = read_u32(&r);
	read_copy(&r, v.sender, SENDER_SIZE);
	if (!tlvs_skip(&r))
		return false;
	*a = v;
	return true;
}

size_t probe_ack_write(uint8_t out[PROBE_ACK_SIZE], const struct probe_ack *a)
{
	out[0] = CONTROL_BYTE(CONTROL_PROBE_ACK);
	out[1] = 0;
	store_be16(out + 2, a->size);
	store_be32(out + 4, a->id);
	memcpy(out + 8, a->sender, SENDER_SIZE);
	return PROBE_ACK_SIZE;
}
