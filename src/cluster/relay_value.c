/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "cluster/relay_value.h"

#include <errno.h>

static const char digits[] = "0123456789abcdef";

void relay_value_key(char key[RELAY_KEY_SIZE], const uint8_t id[RELAY_ID_SIZE])
{
	for (unsigned i = 0; i < RELAY_ID_SIZE; i++) {
		key[2 * i] = digits[id[i] >> 4];
		key[2 * i + 1] = digits[id[i] & 15];
	}
	key[RELAY_KEY_SIZE - 1] = '\0';
}

bool relay_value_id(const char *key, uint8_t id[RELAY_ID_SIZE])
{
	uint8_t found[RELAY_ID_SIZE] = {0};

	if (strnlen(key, RELAY_KEY_SIZE) != RELAY_KEY_SIZE - 1)
		return false;
	for (unsigned i = 0; i < RELAY_KEY_SIZE - 1; i++) {
		const char *digit = strchr(digits, key[i]);

		if (!digit)
			return false;
		found[i / 2] = (uint8_t)(found[i / 2] << 4 | (digit - digits));
	}
	memcpy(id, found, RELAY_ID_SIZE);
	return true;
}

size_t relay_value_seal(const struct value_keys *k, const struct relay *r,
		uint8_t out[RELAY_SEALED_MAX])
{
	uint8_t plain[RELAY_RECORD_MAX];
	size_t len = relay_write(plain, r);
	char key[RELAY_KEY_SIZE];

	relay_value_key(key, r->id);
	return len && seal_value(k->seal[k->write], BUCKET_RELAYS, key, plain, len, out) ?
		len + SEAL_OVERHEAD : 0;
}

int relay_value_open(const struct value_keys *k, const char *key, const uint8_t *value, size_t len,
		struct relay *r)
{
	uint8_t plain[RELAY_RECORD_MAX], id[RELAY_ID_SIZE];
	struct relay found;
	long n = -EBADMSG;

	if (!relay_value_id(key, id) || len < SEAL_OVERHEAD || len > RELAY_SEALED_MAX)
		return -EINVAL;
	for (unsigned i = 0; i < k->count && n < 0; i++)
		n = seal_open(k->seal[i], BUCKET_RELAYS, key, value, len, plain);
	if (n < 0)
		return (int)n;
	if (!relay_read(&found, plain, (size_t)n))
		return -EINVAL;
	if (memcmp(found.id, id, RELAY_ID_SIZE) != 0)
		return -EBADMSG;
	*r = found;
	return 0;
}
