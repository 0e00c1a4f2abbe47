/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * What is to be written to the registry: the newest of each client, at most once
 * a second, and again until it has been seen there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "bytes.h"
#include "cluster/index_set.h"
#include "cluster/write_queue.h"

#define EPOCH 5900000

static struct write_queue *q;
static struct instant now;

static int set_up(void **state)
{
	(void)state;
	now.cluster = TICKS_S(EPOCH * (ticks)EPOCH_SECONDS + 5);
	now.boot = TICKS_S(1000);
	q = write_queue_new();
	return q ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	write_queue_free(q);
	return 0;
}

static void pass(ticks t)
{
	now.cluster += t;
	now.boot += t;
}

static struct session_record record(uint64_t full_t, uint16_t writer)
{
	return (struct session_record){.full_t = full_t, .epoch = EPOCH, .writer = writer};
}

static void put(uint32_t index, uint64_t full_t, ticks due)
{
	struct session_record r = record(full_t, 1);

	assert_int_equal(write_queue_put(q, &now, index, &r, due), 0);
}

static void seen(uint32_t index, uint64_t full_t)
{
	struct session_record r = record(full_t, 1);

	write_queue_seen(q, &now, index, &r);
}

static void sends(uint32_t index, uint64_t full_t)
{
	uint32_t got = 0;
	const struct session_record *r = write_queue_next(q, &now, &got);

	assert_non_null(r);
	assert_int_equal(got, index);
	assert_int_equal(r->full_t, full_t);
}

static void sends_nothing(void)
{
	uint32_t index;

	assert_null(write_queue_next(q, &now, &index));
}

static void sent_once_and_seen(void **state)
{
	(void)state;
	sends_nothing();
	put(7, 1, now.boot);
	assert_int_equal(write_queue_length(q), 1);
	sends(7, 1);
	sends_nothing();
	assert_int_equal(write_queue_length(q), 1);
	pass(TICKS_MS(5));
	seen(7, 1);
	assert_int_equal(write_queue_length(q), 0);
	pass(TICKS_S(100));
	sends_nothing();
}

static void sent_again_until_seen(void **state)
{
	(void)state;
	put(7, 1, now.boot);
	for (int i = 0; i < 5; i++) {
		sends(7, 1);
		pass(WRITE_RETRY - 1);
		sends_nothing();
		pass(1);
	}
	seen(7, 0); /* an older one proves nothing */
	sends(7, 1);
	seen(7, 2); /* a newer one does */
	pass(WRITE_RETRY);
	sends_nothing();
	assert_int_equal(write_queue_length(q), 0);
}

static void latest_wins(void **state)
{
	(void)state;
	put(7, 5, now.boot);
	put(7, 4, now.boot);
	put(7, 6, now.boot);
	assert_int_equal(write_queue_length(q), 1);
	sends(7, 6);
	sends_nothing();
}

static void once_a_second(void **state)
{
	(void)state;
	put(7, 1, now.boot);
	sends(7, 1);
	seen(7, 1);
	for (uint64_t v = 2; v < 50; v++) {
		put(7, v, now.boot);
		sends_nothing();
		pass(TICKS_MS(20));
	}
	pass(WRITE_SPACING - 48 * TICKS_MS(20) - 1);
	sends_nothing();
	pass(1);
	sends(7, 49);
	seen(7, 49);
	pass(WRITE_SPACING);
	sends_nothing();
	put(7, 50, now.boot); /* the spacing is over: at once */
	sends(7, 50);
}

static void a_newer_one_while_in_flight(void **state)
{
	(void)state;
	put(7, 1, now.boot);
	sends(7, 1);
	put(7, 2, now.boot);
	seen(7, 1);
	assert_int_equal(write_queue_length(q), 1);
	sends_nothing();
	pass(WRITE_SPACING);
	sends(7, 2);
	seen(7, 2);
	assert_int_equal(write_queue_length(q), 0);
}

static void waits_for_its_time(void **state)
{
	(void)state;
	put(7, 1, now.boot + TICKS_S(60)); /* several turns of the wheel */
	pass(TICKS_S(60) - 1);
	sends_nothing();
	pass(1);
	sends(7, 1);
}

static void seen_before_its_time(void **state)
{
	(void)state;
	put(7, 1, now.boot + TICKS_S(5));
	seen(7, 1);
	assert_int_equal(write_queue_length(q), 0);
	pass(TICKS_S(10));
	sends_nothing();
}

static void ends_with_its_session(void **state)
{
	(void)state;
	put(7, 1, now.boot);
	sends(7, 1);
	pass(TICKS_S(2 * EPOCH_SECONDS));
	sends_nothing();
	assert_int_equal(write_queue_length(q), 0);
}

static void not_all_at_once(void **state)
{
	uint32_t index;
	unsigned sent = 0;
	(void)state;

	for (uint32_t i = 1; i <= 3 * WRITE_IN_FLIGHT; i++)
		put(i, 1, now.boot);
	while (write_queue_next(q, &now, &index))
		sent++;
	assert_int_equal(sent, WRITE_IN_FLIGHT);
	seen(1, 1);
	assert_non_null(write_queue_next(q, &now, &index));
	sends_nothing();
	/* if all of those are lost, they go first, and then the rest when they are seen */
	pass(WRITE_RETRY);
	for (sent = 0; write_queue_next(q, &now, &index); sent++)
		;
	assert_int_equal(sent, WRITE_IN_FLIGHT);
	for (uint32_t i = 1; i <= 3 * WRITE_IN_FLIGHT; i++) {
		while (write_queue_next(q, &now, &index))
			;
		seen(i, 1);
	}
	assert_int_equal(write_queue_length(q), 0);
}

static void twins_have_one_winner(void **state)
{
	struct session_record a = record(5, 2), b = record(5, 1);
	uint32_t index;
	(void)state;

	assert_int_equal(write_queue_put(q, &now, 7, &a, now.boot), 0);
	write_queue_seen(q, &now, 7, &b); /* the lower server number has won */
	assert_int_equal(write_queue_length(q), 0);
	assert_int_equal(write_queue_put(q, &now, 7, &b, now.boot), 0);
	write_queue_seen(q, &now, 7, &a);
	assert_int_equal(write_queue_length(q), 1);
	assert_int_equal(write_queue_next(q, &now, &index)->writer, 1);
}

/* Against a model: a registry that loses some writes ends with the newest of everything. */
static void a_registry_that_loses_writes(void **state)
{
	enum { CLIENTS = 300 };
	uint64_t newest[CLIENTS + 1] = {0}, there[CLIENTS + 1] = {0}, seed = 99;
	ticks written[CLIENTS + 1] = {0};
	const struct session_record *r;
	uint32_t index;
	(void)state;

	for (unsigned step = 0; step < 4000; step++) {
		uint32_t i = (uint32_t)(1 + next_random(&seed) % CLIENTS);

		if (step < 2000)
			put(i, newest[i] = step + 1, now.boot + next_random(&seed) % TICKS_S(3));
		while ((r = write_queue_next(q, &now, &index))) {
			assert_true(!written[index] || now.boot >= written[index] + WRITE_SPACING);
			written[index] = now.boot;
			if (next_random(&seed) % 3 == 0)
				continue; /* lost */
			there[index] = r->full_t;
			seen(index, r->full_t);
		}
		pass(TICKS_MS(10));
	}
	assert_int_equal(write_queue_length(q), 0);
	assert_memory_equal(newest, there, sizeof newest);
}

static void index_sets(void **state)
{
	struct index_set s;
	uint64_t seed = 5;
	bool model[512] = {0};
	(void)state;

	assert_int_equal(index_set_init(&s), 0);
	for (unsigned i = 0; i < 20000; i++) {
		uint32_t x = (uint32_t)(1 + next_random(&seed) % 511);

		assert_int_equal(index_set_has(&s, x), model[x]);
		model[x] = next_random(&seed) & 1;
		if (model[x])
			assert_int_equal(index_set_add(&s, x), 0);
		else
			index_set_remove(&s, x);
	}
	assert_false(index_set_empty(&s));
	assert_int_equal(index_set_clear(&s), 0);
	assert_true(index_set_empty(&s));
	index_set_free(&s);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(sent_once_and_seen),
		CASE(sent_again_until_seen),
		CASE(latest_wins),
		CASE(once_a_second),
		CASE(a_newer_one_while_in_flight),
		CASE(waits_for_its_time),
		CASE(seen_before_its_time),
		CASE(ends_with_its_session),
		CASE(not_all_at_once),
		CASE(twins_have_one_winner),
		CASE(a_registry_that_loses_writes),
		cmocka_unit_test(index_sets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
