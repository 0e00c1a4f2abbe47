/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* Server entries, and the list of servers as a file. */
#include "bytes.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "cluster/servers_file.h"

static const uint8_t seed[KEY_SIZE] = {1, 1, 1, 1};
static uint8_t public[KEY_SIZE];
static char path[] = "/tmp/test_servers_XXXXXX";

static int setup(void **state)
{
	(void)state;
	ed25519_public(seed, public);
	return crypto_init(CRYPTO_OPENSSL);
}

static struct server_entry sample(uint16_t number)
{
	struct server_entry e = {.number = number, .version = 7, .name = "frankfurt-1"};

	memset(e.public, 9, sizeof e.public);
	assert_int_equal(endpoint_parse("192.0.2.11:4445", 0, &e.mesh), 0);
	return e;
}

static void assert_same(const struct server_entry *a, const struct server_entry *b)
{
	assert_int_equal(a->number, b->number);
	assert_int_equal(a->version, b->version);
	assert_int_equal(a->removed, b->removed);
	assert_memory_equal(a->public, b->public, KEY_SIZE);
	assert_true(endpoint_equal(&a->mesh, &b->mesh));
	assert_string_equal(a->name, b->name);
}

/* Signs and writes; 0 if that is refused. */
static size_t sign(uint8_t out[ENTRY_MAX], struct server_entry *e)
{
	return entry_sign(e, seed) ? entry_write(out, e) : 0;
}

/* The bytes are those of the manual: what one release signs another must read. */
static void layout(void **state)
{
	struct server_entry e = sample(0x0102);
	uint8_t out[ENTRY_MAX];

	(void)state;
	assert_int_equal(sign(out, &e), 62 + 1 + 11 + 64);
	assert_hex(out, "01000102"
			"0000000000000007"
			"0909090909090909090909090909090909090909090909090909090909090909"
			"00000000000000000000ffffc000020b115d"
			"0b6672616e6b667572742d31");
	uint8_t message[21 + 74];
	memcpy(message, "anyrelay server entry", 21);
	memcpy(message + 21, out, 74);
	assert_true(ed25519_verify(public, message, sizeof message, out + 74));
}

static void round_trip(void **state)
{
	struct server_entry e = sample(65535), found;
	uint8_t out[ENTRY_MAX];
	size_t len;

	(void)state;
	len = sign(out, &e);
	assert_int_equal(entry_read(&found, out, len, public), 0);
	assert_same(&found, &e);
	memset(e.name, 'a', RECORD_NAME_MAX);
	e.removed = true;
	memset(&e.mesh, 0, sizeof e.mesh);
	len = sign(out, &e);
	assert_int_equal(len, ENTRY_MAX);
	assert_int_equal(entry_read(&found, out, len, public), 0);
	assert_same(&found, &e);
}

static void limits(void **state)
{
	static const char *const bad[] = {"0.0.0.0:1", "224.0.0.1:1", "[::]:1", "[ff02::1]:1"};
	struct server_entry e = sample(0);
	uint8_t out[ENTRY_MAX];

	(void)state;
	assert_int_equal(sign(out, &e), 0);
	e = sample(1);
	e.name[0] = ' ';
	assert_int_equal(sign(out, &e), 0);
	e = sample(1);
	e.mesh.port = 0;
	assert_int_equal(sign(out, &e), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(endpoint_parse(bad[i], 0, &e.mesh), 0);
		assert_int_equal(sign(out, &e), 0);
	}
}

/* Not one bit, not one byte less or more; and what was there before is left alone. */
static void tampering(void **state)
{
	struct server_entry e = sample(3), found = sample(4);
	uint8_t out[ENTRY_MAX + 1] = {0};
	size_t len = sign(out, &e);

	(void)state;
	for (size_t i = 0; i < 8 * len; i++) {
		out[i / 8] ^= (uint8_t)(1 << i % 8);
		assert_int_not_equal(entry_read(&found, out, len, public), 0);
		out[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	for (size_t n = 0; n <= sizeof out; n++)
		if (n != len)
			assert_int_not_equal(entry_read(&found, out, n, public), 0);
	uint8_t other[KEY_SIZE];
	ed25519_public((const uint8_t[KEY_SIZE]){2}, other);
	assert_int_equal(entry_read(&found, out, len, other), -EBADMSG);
	assert_int_equal(found.number, 4);
}

/* ---- the file ---- */

static void put(uint16_t number, uint64_t version, bool removed)
{
	struct server_entry e = sample(number);
	char error[LINE_FILE_ERROR];

	e.version = version;
	e.removed = removed;
	int lock = line_file_lock(path, error);
	assert_true(lock >= 0);
	assert_true(entry_sign(&e, seed));
	assert_int_equal(servers_file_put(path, &e, error), 0);
	line_file_unlock(lock);
}

static void file(void **state)
{
	struct server_list *list = calloc(1, sizeof *list);
	char error[LINE_FILE_ERROR], name[64], expected[LINE_FILE_ERROR];

	(void)state;
	assert_non_null(list);
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	put(3, 1, false);
	put(1, 1, false);
	put(2, 1, false);
	put(3, 2, true);
	assert_int_equal(servers_file_read(path, public, list, error), 0);
	assert_int_equal(list->count, 3);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(list->entry[i].number, i + 1);
	assert_true(list->entry[2].removed);
	/* a copy of the old line does not bring the server back */
	struct server_entry old = sample(3);
	old.version = 1;
	assert_int_equal(server_list_add(list, &old), 0);
	assert_true(server_list_find(list, 3)->removed);
	assert_null(server_list_find(list, 4));

	FILE *f = fopen(path, "a");
	fputs("# and\nAAAA x\n", f);
	fclose(f);
	assert_int_equal(servers_file_read(path, public, list, error), -EINVAL);
	snprintf(expected, sizeof expected, "%s:5: this is not a server entry, as anyrelay server add "
			"writes them", path);
	assert_string_equal(error, expected);
	assert_int_equal(list->count, 3); /* as it was */
	unlink(path);
	snprintf(name, sizeof name, "%s.lock", path);
	unlink(name);
	free(list);
}

static void full_list(void **state)
{
	struct server_list *list = calloc(1, sizeof *list);
	struct server_entry e;

	(void)state;
	assert_non_null(list);
	for (unsigned i = SERVERS_MAX; i > 0; i--) {
		e = sample((uint16_t)i);
		assert_int_equal(server_list_add(list, &e), 1);
	}
	e = sample(SERVERS_MAX + 1);
	assert_int_equal(server_list_add(list, &e), -E2BIG);
	e = sample(SERVERS_MAX);
	e.version = 100;
	assert_int_equal(server_list_add(list, &e), 1);
	assert_int_equal(list->entry[SERVERS_MAX - 1].version, 100);
	/* two of one version: whichever comes first, the same one stays */
	e.signature[0] = 1;
	assert_int_equal(server_list_add(list, &e), 1);
	e.signature[0] = 0;
	assert_int_equal(server_list_add(list, &e), 0);
	free(list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(layout),    cmocka_unit_test(round_trip), cmocka_unit_test(limits),
		cmocka_unit_test(tampering), cmocka_unit_test(file),       cmocka_unit_test(full_list),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
