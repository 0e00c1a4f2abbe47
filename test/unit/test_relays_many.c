/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* Many relays in the table: lists, visits, and all that end at once. */
#include <stdlib.h>

#include "bytes.h"
#include "mode/relays.h"
#include "proto/wire.h"

static const struct relay_keys keys = {.count = 1, .key = {{1}}};
static struct relays *t;
static struct instant now;
static unsigned ends;
static uint64_t seed;

static void changed(void *arg, const struct relay *was, const struct relay *is)
{
	(void)arg;
	(void)was;
	ends += !is;
}

static void publish(void *arg, const struct relay *r)
{
	(void)arg;
	assert_true(relay_sound(r));
}

static int set_up(void **state)
{
	const struct relays_options o = {
		.server = 5, .keys = &keys, .has_v4 = true, .port_first = 20000, .port_last = 23999,
		.per_client = 1000, .changed = changed, .publish = publish, .alone = true,
	};

	(void)state;
	seed = 5;
	ends = 0;
	t = relays_new(&o);
	now = (struct instant){TICKS_S((ticks)1770000000), TICKS_S(1000)};
	return t ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	relays_free(t);
	return 0;
}

static void pass_a_second(void)
{
	now.cluster += TICKS_S(1);
	now.boot += TICKS_S(1);
	assert_true(relays_tick(t, &now) > now.boot);
}

static struct relay_request request(void)
{
	struct relay_request q = {.protocol = RELAY_UDP, .span = 1, .lifetime = 600,
		.side = {{.kind = RELAY_LEARNT, .v4 = true}, {.kind = RELAY_LEARNT, .v4 = true}}};

	fill(&seed, q.id, sizeof q.id);
	return q;
}

/* What the lists say, against all that there is: by other code, in the table's own order. */
struct expected {
	uint32_t owner;
	uint8_t id[1000][RELAY_ID_SIZE];
	size_t count;
};

static void expect(void *arg, const struct relay *r, unsigned state)
{
	struct expected *x = arg;

	if ((state & RELAY_CARRIES) && (!x->owner || r->owner == x->owner))
		memcpy(x->id[x->count++], r->id, RELAY_ID_SIZE);
}

static int compare_ids(const void *a, const void *b)
{
	return memcmp(a, b, RELAY_ID_SIZE);
}

static void check_list(uint32_t owner, size_t page_size)
{
	struct expected x = {.owner = owner};
	uint8_t after[RELAY_ID_SIZE] = {0};
	struct relay_listed page[16];
	size_t count, sum = 0;

	relays_each(t, expect, &x);
	qsort(x.id, x.count, RELAY_ID_SIZE, compare_ids);
	while ((count = relays_list(t, &now, owner, after, page, page_size))) {
		for (size_t i = 0; i < count; i++)
			assert_memory_equal(page[i].relay.id, x.id[sum++], RELAY_ID_SIZE);
		memcpy(after, page[count - 1].relay.id, sizeof after);
	}
	assert_int_equal(sum, x.count);
}

/* Ids that a controller has chosen, in order, and random ones; made, removed, ended, forgotten. */
static void lists_are_sorted(void **state)
{
	uint8_t ids[600][RELAY_ID_SIZE] = {0};
	struct relay r;

	(void)state;
	for (unsigned step = 0; step < 3000; step++) {
		unsigned i = (unsigned)next_random(&seed) % 600;
		uint32_t owner = 1 + i % 3;

		if (next_random(&seed) % 3 == 0) {
			relays_remove(t, &now, owner, ids[i]);
		} else {
			struct relay_request q = request();

			q.lifetime = (uint16_t)(10 + next_random(&seed) % 300);
			if (i % 2) /* rising and falling */
				memcpy(q.id, (uint8_t[RELAY_ID_SIZE]){i % 4 == 1 ? (uint8_t)(step >> 8) :
						(uint8_t)(255 - (step >> 8)), (uint8_t)step}, sizeof q.id);
			memcpy(ids[i], q.id, sizeof q.id);
			relays_add(t, &now, owner, &q, &r);
		}
		if (step % 8 == 0)
			pass_a_second();
		if (step % 64 == 0)
			for (owner = 0; owner < 4; owner++)
				check_list(owner, 1 + step % 16);
	}
	assert_in_range(ends, 1000, 3000);
}

/* More relays than one visit takes, of which some come and go between two. */
static void visit_one(void *arg, const struct relay *r, unsigned state)
{
	uint8_t *visited = arg;

	assert_int_equal(state & RELAY_CARRIES, r->removed ? 0 : RELAY_CARRIES);
	visited[load_be16(r->id)]++;
}

static void visits(void **state)
{
	struct relay_request q = request();
	uint8_t visited[2000] = {0};
	unsigned calls = 1;
	struct relay r;
	uint32_t at = 0;

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		store_be16(q.id, (uint16_t)i);
		assert_int_equal(relays_add(t, &now, 0, &q, &r), RELAY_STATUS_OK);
	}
	for (; relays_visit(t, &at, visit_one, visited); calls++) {
		store_be16(q.id, (uint16_t)(200 * calls));
		relays_remove(t, &now, 0, q.id);
		store_be16(q.id, (uint16_t)(1000 + calls));
		assert_int_equal(relays_add(t, &now, 0, &q, &r), RELAY_STATUS_OK);
	}
	assert_int_equal(calls, 4);
	for (unsigned i = 0; i < ARRAY_SIZE(visited); i++)
		assert_in_range(visited[i], i < 1000, i < 1000 + calls);
}

/* All end in one second: each tick takes some, and none carries longer for it here. */
static void ends_in_portions(void **state)
{
	struct relay_request q = request();
	unsigned ticks_needed = 1, side, offset;
	struct relay r;

	(void)state;
	for (unsigned i = 0; i < 3 * RELAYS_TICK; i++) {
		store_be16(q.id, (uint16_t)i);
		assert_int_equal(relays_add(t, &now, 0, &q, &r), RELAY_STATUS_OK);
	}
	now.cluster += TICKS_S(600);
	now.boot += TICKS_S(600);
	for (; relays_tick(t, &now) <= now.boot; ticks_needed++) {
		assert_int_equal(ends, ticks_needed * RELAYS_TICK);
		assert_null(relays_at(t, &now, true, r.protocol, r.side[0].port, &side, &offset));
	}
	assert_int_equal(ends, 3 * RELAYS_TICK);
	assert_in_range(ticks_needed, 3, 4);
}

static int set_up_all(void **state)
{
	(void)state;
	return crypto_init(CRYPTO_AUTO);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(lists_are_sorted), TEST(visits), TEST(ends_in_portions)};

	return cmocka_run_group_tests(tests, set_up_all, NULL);
}
