/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* The clients last known, on disk: they come back, and with them when they were current. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "cluster/client_cache.h"
#include "cluster/registry_internal.h"

static char path[] = "/tmp/anyrelay-cache-XXXXXX", error[LINE_FILE_ERROR];
static struct client_cache cache;
static uint8_t secret[KEY_SIZE] = {1};
static struct operator_public op = {{2}, {3}};
static unsigned seen;

static int set_up(void **state)
{
	(void)state;
	strcpy(path + sizeof path - 7, "XXXXXX");
	int fd = mkstemp(path);
	if (fd < 0)
		return -1;
	close(fd);
	return unlink(path);
}

static int tear_down(void **state)
{
	(void)state;
	return unlink(path);
}

static int64_t open_at(uint64_t now)
{
	int64_t age;

	assert_int_equal(client_cache_open(&cache, path, secret, &op, now, &age, error, sizeof error), 0);
	return age;
}

static int visit(void *arg, const uint8_t *bytes, size_t len, char why[LINE_FILE_ERROR])
{
	(void)arg;
	(void)why;
	assert_int_equal(len, 100 + seen);
	assert_int_equal(bytes[0], seen);
	seen++;
	return 0;
}

static void append(uint8_t n)
{
	uint8_t bytes[200];

	memset(bytes, n, sizeof bytes);
	assert_int_equal(client_cache_append(&cache, bytes, 100u + n, "a-name"), 0);
}

static void assert_count(unsigned count)
{
	seen = 0;
	assert_int_equal(client_cache_read(&cache, visit, NULL, error), 0);
	assert_int_equal(seen, count);
}

static void clients_come_back(void **state)
{
	(void)state;
	assert_int_equal(open_at(1000), -1);
	assert_count(0);
	append(0);
	append(1);
	client_cache_close(&cache);
	open_at(1000);
	append(2);
	assert_count(3);
	assert_int_equal(client_cache_clear(&cache), 0);
	assert_count(0);
	append(0);
	assert_count(1);
	client_cache_close(&cache);
}

static void age_is_kept(void **state)
{
	(void)state;
	assert_int_equal(open_at(1000), -1);
	append(0);
	client_cache_close(&cache);
	assert_int_equal(open_at(1500), -1); /* never said to be current */
	assert_int_equal(client_cache_stamp(&cache, 1700000000), 0);
	client_cache_close(&cache);
	assert_int_equal(open_at(1700000060), 60);
	assert_count(1);
	client_cache_close(&cache);
	assert_int_equal(open_at(1699999999), 0); /* a clock behind */
	client_cache_close(&cache);
}

static void another_file_is_begun_anew(void **state)
{
	FILE *file = fopen(path, "w");
	(void)state;

	fprintf(file, "something else, which is longer than the first line of a cache would be, so\n");
	fclose(file);
	assert_int_equal(open_at(1000), -1);
	append(0);
	assert_count(1);
	client_cache_close(&cache);
}

/* Lines are authenticated: those of another cluster or operator, or with a byte changed, are refused. */
static void only_what_was_written(void **state)
{
	FILE *file;
	(void)state;

	open_at(1000);
	append(0);
	append(1);
	client_cache_close(&cache);
	secret[0] = 9;
	open_at(1000);
	assert_int_equal(client_cache_read(&cache, visit, NULL, error), -EBADMSG);
	client_cache_close(&cache);
	secret[0] = 1;
	op.sign[0] = 9;
	open_at(1000);
	assert_int_equal(client_cache_read(&cache, visit, NULL, error), -EBADMSG);
	client_cache_close(&cache);
	op.sign[0] = 2;
	open_at(1000);
	assert_count(2);
	client_cache_close(&cache);
	file = fopen(path, "r+");
	fseek(file, 200, SEEK_SET); /* in the second record */
	fputc('B', file);
	fclose(file);
	open_at(1000);
	seen = 0;
	assert_int_equal(client_cache_read(&cache, visit, NULL, error), -EBADMSG);
	client_cache_close(&cache);
}

static void the_place_is_named(void **state)
{
	struct client_cache none;
	int64_t age;
	(void)state;

	open_at(1);
	client_cache_close(&cache);
	assert_int_equal(client_cache_open(&none, "/nonexistent/cache", secret, &op, 1, &age, error,
			sizeof error), -ENOENT);
	assert_non_null(strstr(error, "/nonexistent/cache"));
}

/* ---- what has been checked before ---- */

static void checked_bytes_are_known_again(void **state)
{
	struct verified *v = verified_new();
	const uint8_t one[DIGEST_SIZE] = {1}, other[DIGEST_SIZE] = {2};
	(void)state;

	open_at(1);
	client_cache_close(&cache);
	assert_false(verified_has(v, 5, one));
	verified_add(v, 5, 7, one);
	assert_true(verified_has(v, 5, one));
	assert_false(verified_has(v, 6, one));
	assert_false(verified_has(v, 5, other));
	verified_add(v, 5, 6, other); /* set back: not what is to be known */
	assert_false(verified_has(v, 5, other));
	verified_add(v, 5, 8, other);
	assert_true(verified_has(v, 5, other));
	for (uint32_t i = 10; i < 1000; i++)
		verified_add(v, i, 1, one);
	for (uint32_t i = 10; i < 1000; i++)
		assert_true(verified_has(v, i, one));
	verified_free(v);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(clients_come_back),
		CASE(age_is_kept),
		CASE(another_file_is_begun_anew),
		CASE(only_what_was_written),
		CASE(the_place_is_named),
		CASE(checked_bytes_are_known_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
