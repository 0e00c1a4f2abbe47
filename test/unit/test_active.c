/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "bytes.h"

#include "proto/active.h"

static void make_sid(uint8_t sid[SID_SIZE], uint64_t n)
{
	store_be64(sid, n * UINT64_C(0x9e3779b97f4a7c15));
}

static struct active *put(struct active_table *t, uint64_t n)
{
	struct active *a = active_take(t);

	if (!a)
		return NULL;
	make_sid(a->sid, n);
	active_publish(t, a);
	return a;
}

static struct active *get(const struct active_table *t, uint64_t n)
{
	uint8_t sid[SID_SIZE];

	make_sid(sid, n);
	return active_find(t, sid);
}

static void drop(struct active_table *t, struct active *a)
{
	active_unlink(t, a);
	active_give_back(t, a);
}

static void finds_what_was_published(void **state)
{
	struct active_table *t = active_table_new(1000);
	struct active *a[1000];

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		assert_null(get(t, i));
		a[i] = put(t, i);
		assert_non_null(a[i]);
		assert_int_equal((uintptr_t)a[i] % 64, 0);
	}
	assert_null(active_take(t));
	for (unsigned i = 0; i < 1000; i++)
		assert_ptr_equal(get(t, i), a[i]);
	assert_null(get(t, 1000));
	for (unsigned i = 0; i < 1000; i += 2)
		drop(t, a[i]);
	for (unsigned i = 0; i < 1000; i++)
		assert_ptr_equal(get(t, i), i % 2 ? a[i] : NULL);
	assert_int_equal(t->used, 500);
	active_table_free(t);
}

/* A place that is taken is not found before it is published, nor after it is unlinked. */
static void readers_see_whole_entries_only(void **state)
{
	struct active_table *t = active_table_new(4);
	struct active *a = active_take(t);

	(void)state;
	make_sid(a->sid, 7);
	assert_null(get(t, 7));
	active_publish(t, a);
	assert_ptr_equal(get(t, 7), a);
	active_unlink(t, a);
	assert_null(get(t, 7));
	/* who found it earlier goes on from it, until it is given back */
	make_sid(a->sid, 7);
	assert_int_equal(t->used, 1);
	active_give_back(t, a);
	assert_int_equal(t->used, 0);
	active_table_free(t);
}

static void a_place_is_given_back_wiped(void **state)
{
	struct active_table *t = active_table_new(2);
	struct active *a = put(t, 1), *again;
	static const struct active nothing;

	(void)state;
	memset(a->s, 0x55, sizeof a->s);
	memset(&a->tx, 0x55, sizeof a->tx);
	memset(&a->seen, 0x55, sizeof a->seen);
	drop(t, a);
	again = active_take(t);
	assert_ptr_equal(again, a);
	assert_memory_equal(again, &nothing, sizeof nothing);
	active_table_free(t);
}

/* One bucket with many: order of removal does not matter. */
static void a_chain_survives_removal_anywhere(void **state)
{
	uint64_t seed = 3;

	(void)state;
	for (unsigned round = 0; round < 200; round++) {
		struct active_table *t = active_table_new(40);
		struct active *a[40];
		unsigned n = 0;

		for (uint64_t sid = 0; n < 40; sid++) {
			uint8_t bytes[SID_SIZE];

			make_sid(bytes, sid);
			if (active_bucket(t, bytes) == 0)
				a[n++] = put(t, sid);
		}
		for (unsigned left = 40; left; left--) {
			unsigned i = next_random(&seed) % left;
			uint8_t sid[SID_SIZE];

			memcpy(sid, a[i]->sid, SID_SIZE);
			assert_ptr_equal(active_find(t, sid), a[i]);
			drop(t, a[i]);
			assert_null(active_find(t, sid));
			a[i] = a[left - 1];
			for (unsigned k = 0; k + 1 < left; k++)
				assert_ptr_equal(active_find(t, a[k]->sid), a[k]);
		}
		active_table_free(t);
	}
}

/* Against a model: anything in any order. */
static void any_order_of_taking_and_giving_back(void **state)
{
	enum { PLACES = 64, SIDS = 200 };
	struct active_table *t = active_table_new(PLACES);
	struct active *model[SIDS] = {0};
	unsigned used = 0;
	uint64_t seed = 11;

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		unsigned n = next_random(&seed) % SIDS;

		if (model[n]) {
			drop(t, model[n]);
			model[n] = NULL;
			used--;
		} else {
			model[n] = put(t, n);
			assert_int_equal(model[n] != NULL, used < PLACES);
			used += model[n] != NULL;
		}
		n = next_random(&seed) % SIDS;
		assert_ptr_equal(get(t, n), model[n]);
		assert_int_equal(t->used, used);
	}
	active_table_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_what_was_published),
		cmocka_unit_test(readers_see_whole_entries_only),
		cmocka_unit_test(a_place_is_given_back_wiped),
		cmocka_unit_test(a_chain_survives_removal_anywhere),
		cmocka_unit_test(any_order_of_taking_and_giving_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
