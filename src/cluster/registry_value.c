/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "cluster/registry_value.h"

#include <errno.h>
#include <stdio.h>

int value_keys_make(struct value_keys *k, const struct cluster_secrets *c,
		const struct operator_public *op, bool newest)
{
	k->op = op;
	k->count = c->count;
	k->write = newest ? c->count - 1 : 0;
	for (unsigned i = 0; i < c->count; i++)
		registry_key(c->secret[i], k->seal[i]);
	return seal_keys_make(&k->record, c, op->seal);
}

void index_key(char key[INDEX_KEY_SIZE], uint32_t index)
{
	snprintf(key, INDEX_KEY_SIZE, "%u", index);
}

bool index_from_key(const char *key, uint32_t *index)
{
	size_t digits = strspn(key, "0123456789");
	uint64_t value = 0;

	if (digits == 0 || digits >= INDEX_KEY_SIZE || key[digits] || key[0] == '0')
		return false;
	for (size_t i = 0; i < digits; i++)
		value = value * 10 + (uint64_t)(key[i] - '0');
	*index = (uint32_t)value;
	return value <= UINT32_MAX;
}

static int read_client(const struct value_keys *k, const char *key, const uint8_t *value, size_t len,
		bool checked, struct record *r)
{
	uint32_t index, inside;
	struct record found;
	int failed;

	/* the cheap tests first: a signature costs more than all the rest */
	if (!index_from_key(key, &index) || !record_peek_index(&inside, value, len))
		return -EINVAL;
	if (inside != index)
		return -EBADMSG;
	failed = checked ? record_read_checked(&found, value, len, &k->record) :
			   record_read(&found, value, len, k->op, &k->record);
	if (!failed)
		*r = found;
	wipe(&found, sizeof found);
	return failed;
}

int client_value_read(const struct value_keys *k, const char *key, const uint8_t *value, size_t len,
		struct record *r)
{
	return read_client(k, key, value, len, false, r);
}

int client_value_read_checked(const struct value_keys *k, const char *key, const uint8_t *value,
		size_t len, struct record *r)
{
	return read_client(k, key, value, len, true, r);
}

int server_value_read(const struct value_keys *k, const char *key, const uint8_t *value, size_t len,
		struct server_entry *e)
{
	uint32_t index;
	uint16_t inside;

	if (!index_from_key(key, &index) || !entry_peek_number(&inside, value, len))
		return -EINVAL;
	return inside == index ? entry_read(e, value, len, k->op->sign) : -EBADMSG;
}

struct session_record *session_value_open(const struct value_keys *k, const char *key,
		const uint8_t *value, size_t len, uint32_t *index, int *error)
{
	uint8_t plain[SESSION_VALUE_MAX];
	long n = -EBADMSG;

	*error = -EINVAL;
	if (!index_from_key(key, index) || len < SEAL_OVERHEAD || len > SESSION_SEALED_MAX)
		return NULL;
	for (unsigned i = 0; i < k->count && n < 0; i++)
		n = seal_open(k->seal[i], BUCKET_SESSIONS, key, value, len, plain);
	if (n < 0) {
		*error = (int)n;
		return NULL;
	}
	return session_value_read(plain, (size_t)n, error);
}

size_t session_value_seal(const struct value_keys *k, const char *key,
		const struct session_record *r, uint8_t *out)
{
	uint8_t plain[SESSION_VALUE_MAX];
	size_t len = session_value_write(plain, r);

	return seal_value(k->seal[k->write], BUCKET_SESSIONS, key, plain, len, out) ? len + SEAL_OVERHEAD : 0;
}
