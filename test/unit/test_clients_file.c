/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* The clients file: reading with line numbers, replacing, a full disk, two writers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "cluster/clients_file.h"
#include "cluster/registry_verified.h"

static char directory[] = "/tmp/test_clients_XXXXXX";
static char path[64];
static struct operator_key op;
static struct operator_public op_public;
static struct seal_keys keys = {.count = 1};

static int setup(void **state)
{
	(void)state;
	crypto_init(CRYPTO_OPENSSL);
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof path, "%s/clients", directory);
	operator_key_from_seed(&op, (const uint8_t[KEY_SIZE]){1});
	memcpy(op_public.sign, op.sign_public, KEY_SIZE);
	memcpy(op_public.seal, op.seal_public, KEY_SIZE);
	memset(keys.key[0], 3, KEY_SIZE);
	return 0;
}

static int clean(void **state)
{
	char name[80];

	(void)state;
	unlink(path);
	snprintf(name, sizeof name, "%s.lock", path);
	unlink(name);
	snprintf(name, sizeof name, "%s.new", path);
	assert_int_equal(access(name, F_OK), -1); /* never left behind */
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return rmdir(directory);
}

struct seen {
	unsigned count, removed;
	uint32_t index[64];
	uint64_t version[64];
	int stop_at; /* the visit that fails, -1: none */
};

static int visit(void *arg, const struct record *r, char *error, size_t error_size)
{
	struct seen *s = arg;

	if ((int)s->count == s->stop_at) {
		snprintf(error, error_size, "enough of %s", r->name);
		return -E2BIG;
	}
	s->index[s->count] = r->index;
	s->version[s->count++] = r->version;
	s->removed += r->removed;
	return 0;
}

static int read_all(struct seen *s, char error[CLIENTS_ERROR])
{
	*s = (struct seen){.stop_at = -1};
	return clients_file_read(path, &op_public, &keys, NULL, visit, s, error);
}

static int put(uint32_t index, uint64_t version, bool removed, char error[CLIENTS_ERROR])
{
	struct record r = {.index = index, .version = version, .removed = removed};
	uint8_t bytes[RECORD_MAX];

	snprintf(r.name, sizeof r.name, "client-%u", index);
	size_t len = record_write(bytes, &r, &op, keys.key[0]);
	int lock = line_file_lock(path, error);
	assert_true(lock >= 0);
	int rc = clients_file_put(path, bytes, len, r.name, error);
	line_file_unlock(lock);
	return rc;
}

static void append(const char *text)
{
	FILE *file = fopen(path, "a");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void test_missing_and_empty(void **state)
{
	char error[CLIENTS_ERROR];
	struct seen s;

	(void)state;
	assert_int_equal(read_all(&s, error), 0);
	append("");
	assert_int_equal(read_all(&s, error), 0);
	append("\n# a comment\n   \n");
	assert_int_equal(read_all(&s, error), 0);
	assert_int_equal(s.count, 0);
}

static void test_put_and_replace(void **state)
{
	char error[CLIENTS_ERROR];
	struct seen s;
	struct stat st;

	(void)state;
	for (uint32_t i = 1; i <= 5; i++)
		assert_int_equal(put(i, 1, false, error), 0);
	assert_int_equal(chmod(path, 0640), 0);
	assert_int_equal(put(3, 2, true, error), 0);
	assert_int_equal(read_all(&s, error), 0);
	assert_int_equal(s.count, 5);
	assert_int_equal(s.removed, 1);
	assert_int_equal(s.index[2], 3);
	assert_int_equal(s.version[2], 2);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640); /* kept */
}

/* Comments stay, a missing newline at the end is made good, twice the same index becomes once. */
static void test_put_keeps_the_rest(void **state)
{
	char error[CLIENTS_ERROR], *line = NULL, text[1024];
	struct seen s;
	size_t room = 0;

	(void)state;
	append("# our clients\n");
	assert_int_equal(put(1, 1, false, error), 0);
	FILE *file = fopen(path, "r");
	assert_non_null(file);
	assert_true(getline(&line, &room, file) > 0);
	assert_string_equal(line, "# our clients\n");
	assert_true(getline(&line, &room, file) > 0);
	fclose(file);
	snprintf(text, sizeof text, "%.*s", (int)strlen(line) - 1, line);
	append(text);
	free(line);
	assert_int_equal(read_all(&s, error), 0);
	assert_int_equal(s.count, 2);
	assert_int_equal(put(2, 1, false, error), 0);
	assert_int_equal(put(1, 9, false, error), 0);
	assert_int_equal(read_all(&s, error), 0);
	assert_int_equal(s.count, 2);
	assert_int_equal(s.version[0], 9);
}

static void test_bad_lines(void **state)
{
	static const char *const bad[] = {"x\n", "AAAA name\n", "!!!! name\n", "AAAA\n",
			"AQAAAAAB\n"};
	char error[CLIENTS_ERROR], expected[CLIENTS_ERROR];
	struct seen s;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		unlink(path);
		assert_int_equal(put(1, 1, false, error), 0);
		append("\n");
		append(bad[i]);
		assert_int_equal(read_all(&s, error), -EINVAL);
		snprintf(expected, sizeof expected, "%s:3: this is not a client record, as anyrelay "
				"enroll writes them", path);
		assert_string_equal(error, expected);
	}
}

static void test_foreign(void **state)
{
	char error[CLIENTS_ERROR], expected[CLIENTS_ERROR];
	struct operator_public other = op_public;
	struct seal_keys other_seal = {1, {{1}}};
	struct seen s = {.stop_at = -1};

	(void)state;
	assert_int_equal(put(1, 1, false, error), 0);
	memset(other.sign, 1, KEY_SIZE);
	assert_int_equal(clients_file_read(path, &other, &keys, NULL, visit, &s, error), -EBADMSG);
	snprintf(expected, sizeof expected, "%s:1: the record is not signed by the operator whose "
			"OperatorKey is configured", path);
	assert_string_equal(error, expected);
	assert_int_equal(clients_file_read(path, &op_public, &other_seal, NULL, visit, &s, error),
			-EKEYREJECTED);
	assert_int_equal(s.count, 0);
}

/* A second reading trusts what the first has checked: the very same bytes, and no others. */
static void test_read_again(void **state)
{
	struct verified *v = verified_new();
	struct operator_public nobody = op_public;
	char error[CLIENTS_ERROR];
	struct seen s = {.stop_at = -1};

	(void)state;
	memset(nobody.sign, 1, KEY_SIZE); /* whose signatures count is asked for new bytes alone */
	assert_int_equal(put(1, 1, false, error), 0);
	assert_int_equal(put(2, 1, false, error), 0);
	assert_int_equal(clients_file_read(path, &nobody, &keys, v, visit, &s, error), -EBADMSG);
	assert_int_equal(clients_file_read(path, &op_public, &keys, v, visit, &s, error), 0);
	assert_int_equal(clients_file_read(path, &nobody, &keys, v, visit, &s, error), 0);
	assert_int_equal(s.count, 4);
	assert_int_equal(put(2, 2, false, error), 0);
	assert_int_equal(clients_file_read(path, &nobody, &keys, v, visit, &s, error), -EBADMSG);
	assert_int_equal(clients_file_read(path, &op_public, &keys, v, visit, &s, error), 0);
	verified_free(v);
}

static void test_visit_stops(void **state)
{
	char error[CLIENTS_ERROR], expected[CLIENTS_ERROR];
	struct seen s = {.stop_at = 1};

	(void)state;
	for (uint32_t i = 1; i <= 3; i++)
		assert_int_equal(put(i, 1, false, error), 0);
	assert_int_equal(clients_file_read(path, &op_public, &keys, NULL, visit, &s, error), -E2BIG);
	snprintf(expected, sizeof expected, "%s:2: enough of client-2", path);
	assert_string_equal(error, expected);
}

/* A file size limit stands for a full disk: both end in a failing write. */
static void test_full_disk(void **state)
{
	char error[CLIENTS_ERROR] = "";
	struct rlimit old, tight;
	struct seen s;

	(void)state;
	for (uint32_t i = 1; i <= 20; i++)
		assert_int_equal(put(i, 1, false, error), 0);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	tight = old;
	tight.rlim_cur = 1000;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
	int rc = put(21, 1, false, error);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(rc, -EFBIG);
	assert_non_null(strstr(error, "the file is as it was"));
	assert_int_equal(read_all(&s, error), 0);
	assert_int_equal(s.count, 20);
}

/* Writers wait for each other: of two processes' puts none is lost. */
static void test_two_writers(void **state)
{
	char error[CLIENTS_ERROR];
	struct seen s;
	int status;

	(void)state;
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		int rc = 0;
		for (uint32_t i = 0; i < 15 && !rc; i++)
			rc = put(100 + i, 1, false, error);
		_exit(rc ? 1 : 0);
	}
	for (uint32_t i = 0; i < 15; i++)
		assert_int_equal(put(200 + i, 1, false, error), 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(read_all(&s, error), 0);
	assert_int_equal(s.count, 30);
}

static void test_no_directory(void **state)
{
	char error[CLIENTS_ERROR];

	(void)state;
	assert_int_equal(line_file_lock("/nonexistent/clients", error), -ENOENT);
	assert_string_equal(error, "/nonexistent/clients.lock: cannot be opened for locking: No such "
			"file or directory");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_missing_and_empty, clean),
		cmocka_unit_test_teardown(test_put_and_replace, clean),
		cmocka_unit_test_teardown(test_put_keeps_the_rest, clean),
		cmocka_unit_test_teardown(test_bad_lines, clean),
		cmocka_unit_test_teardown(test_foreign, clean),
		cmocka_unit_test_teardown(test_read_again, clean),
		cmocka_unit_test_teardown(test_visit_stops, clean),
		cmocka_unit_test_teardown(test_full_disk, clean),
		cmocka_unit_test_teardown(test_two_writers, clean),
		cmocka_unit_test(test_no_directory),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
