/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include <errno.h>

#include "bytes.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/addr.h"
#include "path_memory.h"

static char path[] = "/tmp/path-memory-XXXXXX";

static int make(void **state)
{
	(void)state;
	strcpy(path + strlen(path) - 6, "XXXXXX");
	int fd = mkstemp(path);
	close(fd);
	return fd < 0 ? -1 : 0;
}

static int drop(void **state)
{
	(void)state;
	return unlink(path);
}

static void round_trip(void **state)
{
	struct pmtu_memory m = {.count = PMTU_SENDERS}, found;

	(void)state;
	assert_int_equal(addr_parse("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", m.ip), 0);
	for (unsigned i = 0; i < PMTU_SENDERS; i++) { /* the longest line */
		m.path[i].server = (uint16_t)(65535 - i);
		m.path[i].size = PMTU_FIRST;
	}
	int fd = path_memory_open(path, &found);
	assert_true(fd >= 0);
	assert_int_equal(found.count, 0);
	assert_int_equal(path_memory_open(path, &found), -EBUSY);
	assert_int_equal(path_memory_store(fd, &m), 0);
	close(fd);
	fd = path_memory_open(path, &found);
	assert_int_equal(found.count, m.count);
	assert_memory_equal(found.ip, m.ip, sizeof m.ip);
	assert_memory_equal(found.path, m.path, sizeof m.path);

	/* a shorter one over it */
	m.count = 1;
	assert_int_equal(addr_parse("198.51.100.2", m.ip), 0);
	assert_int_equal(path_memory_store(fd, &m), 0);
	close(fd);
	fd = path_memory_open(path, &found);
	assert_int_equal(found.count, 1);
	assert_memory_equal(found.ip, m.ip, sizeof m.ip);
	close(fd);
}

/* What is not a whole line of ours is nothing. */
static void nonsense(void **state)
{
	static const char *const texts[] = {"", "\n", "198.51.100.2 1=1500", "x 1=1500", "198.51.100.2 0=1500",
			"198.51.100.2 1=1280", "198.51.100.2 1=1501", "198.51.100.2 65536=1500",
			"198.51.100.2 1=1500 99999=1400"};
	struct pmtu_memory found;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		FILE *f = fopen(path, "w");
		assert_non_null(f);
		fprintf(f, i < 3 ? "%s" : "%-319s\n", texts[i]);
		fclose(f);
		int fd = path_memory_open(path, &found);
		assert_true(fd >= 0);
		assert_int_equal(found.count, 0);
		close(fd);
	}
	assert_true(path_memory_open("/no/such/place", &found) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(round_trip, make, drop),
		cmocka_unit_test_setup_teardown(nonsense, make, drop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
