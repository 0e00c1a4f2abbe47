/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* Relays on their way to the registry and back: the queue of what is to be written, and the sealed value. */
#include <errno.h>
#include <stdlib.h>

#include "cluster/relay_queue.h"
#include "cluster/relay_value.h"
#include "proto/epoch.h"
#include "relay_make.h"

#define HEAL TICKS_S(5)

static struct relay_queue *q;
static ticks now;

static int set_up(void **state)
{
	(void)state;
	now = TICKS_S(100);
	q = relay_queue_new(HEAL);
	return q ? crypto_init(CRYPTO_AUTO) : -1;
}

static int tear_down(void **state)
{
	(void)state;
	relay_queue_free(q);
	return 0;
}

static void put(uint32_t which, bool heal)
{
	uint8_t id[RELAY_ID_SIZE] = {0};

	store_be32(id, which);
	assert_int_equal(relay_queue_put(q, now, id, heal), 0);
}

static void done(uint32_t which)
{
	uint8_t id[RELAY_ID_SIZE] = {0};

	store_be32(id, which);
	relay_queue_done(q, id);
}

/* The next to be written, 0: none. */
static uint32_t next(void)
{
	uint8_t id[RELAY_ID_SIZE];

	return relay_queue_next(q, now, id) ? load_be32(id) : 0;
}

static void until_shown(void **state)
{
	(void)state;
	put(1, false);
	put(1, false);
	put(2, false);
	assert_int_equal(relay_queue_length(q), 2);
	assert_int_equal(next(), 1);
	assert_int_equal(next(), 2);
	assert_int_equal(next(), 0);
	done(2);
	now += RELAY_WRITE_RETRY - 1;
	assert_int_equal(next(), 0);
	now++;
	assert_int_equal(next(), 1);
	done(1);
	done(1);
	now += 10 * RELAY_WRITE_RETRY;
	assert_int_equal(next(), 0);
	assert_int_equal(relay_queue_length(q), 0);
}

static void spaced(void **state)
{
	(void)state;
	put(1, false);
	assert_int_equal(next(), 1);
	put(1, false); /* it has changed again */
	put(2, false); /* which keeps nobody else */
	assert_int_equal(next(), 2);
	assert_int_equal(next(), 0);
	now += RELAY_WRITE_SPACING;
	assert_int_equal(next(), 1);
	now += RELAY_WRITE_SPACING;
	put(1, false);
	assert_int_equal(next(), 1);
}

/* What the registry has lost waits for others, unless it is to be written anyway. */
static void healing(void **state)
{
	(void)state;
	put(1, true);
	put(2, true);
	put(3, false);
	put(3, true);
	assert_int_equal(next(), 3);
	put(3, true);
	assert_int_equal(next(), 0);
	done(1); /* another server was faster */
	put(2, false);
	assert_int_equal(next(), 2);
	done(2);
	done(3);
	put(4, true);
	now += HEAL - 1;
	assert_int_equal(next(), 0);
	now++;
	assert_int_equal(next(), 4);
}

static void flight(void **state)
{
	unsigned written = 0;

	(void)state;
	for (uint32_t i = 1; i <= 5000; i++)
		put(i, false);
	while (next())
		written++;
	assert_int_equal(written, RELAY_WRITE_FLIGHT);
	done(1);
	done(2);
	assert_int_equal(next(), RELAY_WRITE_FLIGHT + 1);
	assert_int_equal(next(), RELAY_WRITE_FLIGHT + 2);
	assert_int_equal(next(), 0);
	for (uint32_t i = 1; i <= 5000; i++)
		done(i);
	assert_int_equal(relay_queue_length(q), 0);
}

static void keys_of_values(void **state)
{
	static const char *const bad[] = {"", "0", "000102030405060708090a0b0c0d0e0",
		"000102030405060708090a0b0c0d0e0f0", "000102030405060708090A0b0c0d0e0f",
		"000102030405060708090a0b0c0d0e0g", "alive.3"};
	uint8_t id[RELAY_ID_SIZE], found[RELAY_ID_SIZE];
	char key[RELAY_KEY_SIZE];

	(void)state;
	for (unsigned i = 0; i < RELAY_ID_SIZE; i++)
		id[i] = (uint8_t)i;
	relay_value_key(key, id);
	assert_string_equal(key, "000102030405060708090a0b0c0d0e0f");
	assert_true(relay_value_id(key, found));
	assert_memory_equal(id, found, sizeof id);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(relay_value_id(bad[i], found));
}

/* A NATS administrator without keys: other bytes, another key's value. */
static void sealed(void **state)
{
	uint64_t seed = 3;
	struct value_keys keys = {.count = 1};
	struct relay r = make_relay(&seed, 2), found;
	uint8_t value[RELAY_SEALED_MAX];
	char key[RELAY_KEY_SIZE];
	size_t len;

	(void)state;
	fill(&seed, keys.seal[0], KEY_SIZE);
	len = relay_value_seal(&keys, &r, value);
	assert_int_equal(len, RELAY_RECORD_MAX + SEAL_OVERHEAD);
	relay_value_key(key, r.id);
	assert_int_equal(relay_value_open(&keys, key, value, len, &found), 0);
	assert_true(relay_equal(&r, &found));
	assert_int_equal(relay_value_open(&keys, key, value, len - 1, &found), -EBADMSG);
	assert_int_equal(relay_value_open(&keys, key, value, 5, &found), -EINVAL);
	key[3] = key[3] == '0' ? '1' : '0';
	assert_int_equal(relay_value_open(&keys, key, value, len, &found), -EBADMSG);
	relay_value_key(key, r.id);
	for (size_t at = 0; at < len; at++) {
		value[at] ^= 4;
		assert_int_equal(relay_value_open(&keys, key, value, len, &found), -EBADMSG);
		value[at] ^= 4;
	}
	keys.seal[0][0] ^= 1;
	assert_int_equal(relay_value_open(&keys, key, value, len, &found), -EBADMSG);
}

#define QUEUE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		QUEUE(until_shown), QUEUE(spaced), QUEUE(healing), QUEUE(flight),
		QUEUE(keys_of_values), QUEUE(sealed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
