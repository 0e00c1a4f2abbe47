/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The clock's state is the process's, so its story is told in one test, in
 * order; `boot` only ever goes on.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <pthread.h>
#include <cmocka.h>

#include "base/clock.h"

#define DAY TICKS_S(86400)

static ticks at(ticks realtime, ticks boottime)
{
	struct instant now;

	clock_read_from(&now, realtime, boottime);
	assert_int_equal(now.boot, boottime);
	return now.cluster;
}

static void steps_of_the_system_clock(void **state)
{
	ticks start = TICKS_S(1000000000), boot = TICKS_S(100);
	(void)state;

	/* It follows the system clock. */
	assert_int_equal(at(start, boot), start);
	assert_int_equal(at(start + TICKS_S(5), boot + TICKS_S(5)), start + TICKS_S(5));

	/* Back by half a second: it stands still, and then follows. */
	assert_int_equal(at(start + TICKS_MS(4500), boot + TICKS_S(5)), start + TICKS_S(5));
	assert_int_equal(at(start + TICKS_MS(4900), boot + TICKS_MS(5400)), start + TICKS_S(5));
	assert_int_equal(at(start + TICKS_MS(6000), boot + TICKS_MS(6500)), start + TICKS_S(6));

	/* Half a second more: told from the clock as it is now, not from the first one. */
	assert_int_equal(at(start + TICKS_MS(5400), boot + TICKS_MS(6500)), start + TICKS_S(6));
	assert_int_equal(at(start + TICKS_MS(6500), boot + TICKS_MS(7600)), start + TICKS_MS(6500));

	/* A step forward by a day is followed. */
	assert_int_equal(at(start + DAY, boot + TICKS_S(8)), start + DAY);

	/* Back by a day: it runs on with the boot clock, for as long as that takes. */
	assert_int_equal(at(start + TICKS_S(1), boot + TICKS_S(9)), start + DAY + TICKS_S(1));
	assert_int_equal(at(start + DAY, boot + TICKS_S(8) + DAY), start + 2 * DAY);
	/* A machine that sleeps: both clocks go on. */
	assert_int_equal(at(start + 2 * DAY, boot + TICKS_S(8) + 2 * DAY), start + 3 * DAY);

	/* Set right again: followed. */
	assert_int_equal(at(start + 4 * DAY, boot + TICKS_S(9) + 2 * DAY), start + 4 * DAY);
	assert_int_equal(at(start + 4 * DAY + 1, boot + TICKS_S(9) + 2 * DAY + 1), start + 4 * DAY + 1);
}

static _Atomic ticks shared_latest;

static void *reader(void *arg)
{
	struct instant now;
	ticks before;
	long wrong = 0;
	(void)arg;

	for (unsigned i = 0; i < 100000; i++) {
		before = shared_latest;
		clock_read(&now);
		wrong += now.cluster < before;
		shared_latest = now.cluster;
	}
	return (void *)wrong;
}

/* What one thread has seen before another reads, the other does not fall below. */
static void no_thread_sees_time_go_back(void **state)
{
	pthread_t thread[2];
	void *wrong;
	(void)state;

	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, reader, NULL), 0);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(pthread_join(thread[i], &wrong), 0);
		assert_null(wrong);
	}
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void mark_tells_a_clock_that_is_behind(void **state)
{
	static const char *const malformed[] = {"", "12\n", "0000000000100000000x\n",
			"-0000000001000000000\n", "000000000010000000000", "99999999999999999999\n",
			"00000000001000000000\n0"};
	char directory[] = "/tmp/test_clock.XXXXXX", path[64];
	int fd;
	(void)state;

	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof path, "%s/mark", directory);
	assert_int_equal(clock_mark_check(path, TICKS_S(5)), -ENOENT);
	assert_int_equal(clock_mark_open("/nonexistent/mark"), -ENOENT);

	fd = clock_mark_open(path);
	assert_true(fd >= 0);
	assert_int_equal(clock_mark_open(path), -EBUSY); /* as long as the first one lives */
	assert_int_equal(clock_mark_store(fd, TICKS_S(1000000000) + 1), 0);
	assert_int_equal(clock_mark_store(fd, TICKS_S(2000)), 0); /* all digits are replaced */
	close(fd);
	assert_int_equal(clock_mark_check(path, TICKS_S(2000)), 0);
	assert_int_equal(clock_mark_check(path, TICKS_S(9000)), 0);
	assert_int_equal(clock_mark_check(path, TICKS_S(1990)), 10);

	for (unsigned i = 0; i < ARRAY_SIZE(malformed); i++) {
		write_file(path, malformed[i]);
		assert_int_equal(clock_mark_check(path, 0), -EINVAL);
	}
	unlink(path);
	rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(steps_of_the_system_clock),
			cmocka_unit_test(no_thread_sees_time_go_back),
			cmocka_unit_test(mark_tells_a_clock_that_is_behind),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
