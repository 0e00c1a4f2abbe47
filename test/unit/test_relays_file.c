/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* Relays that survive a restart of a server without another registry. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "bytes.h"
#include "cluster/relays_file.h"
#include "proto/wire.h"

static char path[] = "/tmp/anyrelay-test-relays-XXXXXX";
static struct relays *t;
static struct relays_file file;
static struct instant now;
static struct relay published;
static unsigned publishes;

static void changed(void *arg, const struct relay *was, const struct relay *is)
{
	(void)arg;
	(void)was;
	(void)is;
}

static void publish(void *arg, const struct relay *r)
{
	(void)arg;
	published = *r;
	publishes++;
}

static void start(void)
{
	const struct relays_options o = {
		.server = 1, .has_v4 = true, .port_first = 20000, .port_last = 20999,
		.changed = changed, .publish = publish,
	};
	char error[512];

	t = relays_new(&o);
	assert_non_null(t);
	assert_int_equal(relays_file_open(&file, path, t, &now, error, sizeof error), 0);
}

static void stop(void)
{
	relays_file_close(&file);
	relays_free(t);
}

static int set_up(void **state)
{
	int fd = mkstemp(path);

	(void)state;
	now = (struct instant){TICKS_S((ticks)1770000000), TICKS_S(1000)};
	close(fd);
	return fd < 0 ? -1 : crypto_init(CRYPTO_AUTO);
}

static int tear_down(void **state)
{
	(void)state;
	unlink(path);
	strcpy(path + strlen(path) - 6, "XXXXXX");
	return 0;
}

/* What the registry does: written, shown, until nothing is new. */
static void settle(void)
{
	while (publishes) {
		const struct relay r = published;

		publishes = 0;
		assert_int_equal(relays_file_put(&file, &r), 0);
		relays_shown(t, &now, &r);
	}
}

static struct relay make(uint8_t which)
{
	struct relay_request q = {.id = {which}, .protocol = RELAY_TCP, .span = 1, .lifetime = 600,
		.side = {{.kind = RELAY_TOKEN, .v4 = true}, {.kind = RELAY_TOKEN, .v4 = true}}};
	struct relay r;

	assert_int_equal(relays_add(t, &now, 0, &q, &r), RELAY_STATUS_PENDING);
	settle();
	assert_int_equal(relays_add(t, &now, 0, &q, &r), RELAY_STATUS_OK);
	return r;
}

static void restart(void **state)
{
	struct relay a, b, found;

	(void)state;
	start();
	a = make(1);
	b = make(2);
	assert_int_equal(relays_remove(t, &now, 0, b.id), RELAY_STATUS_OK);
	settle();
	stop();
	start();
	assert_int_equal(relays_get(t, &now, 0, a.id, &found), RELAY_STATUS_OK);
	assert_true(relay_equal(&a, &found));
	assert_int_equal(relays_get(t, &now, 0, b.id, &found), RELAY_STATUS_UNKNOWN);
	assert_true(relays_known(t, b.id)->removed);
	stop();
	now.cluster += TICKS_S(3000);
	start();
	assert_null(relays_known(t, a.id)); /* ended long ago */
	assert_int_equal(file.end, 0);
	stop();
}

/* Many refreshes: the file does not grow without end, and what is in it stays. */
static void grows_no_further(void **state)
{
	struct relay r, found;
	off_t largest = 0;

	(void)state;
	start();
	r = make(1);
	for (unsigned i = 0; i < 20000; i++) {
		now.cluster += TICKS_S(1);
		assert_int_equal(relays_refresh(t, &now, 0, r.id, 600, &r), RELAY_STATUS_OK);
		settle();
		if (i % 64 == 0)
			assert_int_equal(relays_file_sync(&file, t), 0);
		largest = file.end > largest ? file.end : largest;
	}
	assert_in_range(largest, 1 << 20, 2 << 20);
	stop();
	start();
	assert_int_equal(relays_get(t, &now, 0, r.id, &found), RELAY_STATUS_OK);
	assert_true(relay_equal(&r, &found));
	stop();
}

/* The machine lost power while a line was written. */
static void torn_line(void **state)
{
	struct relay a, found;

	(void)state;
	start();
	a = make(1);
	make(2);
	assert_int_equal(ftruncate(file.fd, file.end - 60), 0);
	stop();
	start();
	assert_int_equal(relays_get(t, &now, 0, a.id, &found), RELAY_STATUS_OK);
	stop();
}

static void unusable(void **state)
{
	const struct relays_options o = {.server = 1, .changed = changed, .publish = publish};
	char error[512];

	(void)state;
	t = relays_new(&o);
	assert_int_equal(relays_file_open(&file, "/nonexistent/x", t, &now, error, sizeof error), -ENOENT);
	assert_non_null(strstr(error, "/nonexistent/x: the relays cannot be kept there"));
	relays_free(t);
}

#define FILE_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FILE_TEST(restart), FILE_TEST(grows_no_further), FILE_TEST(torn_line), FILE_TEST(unusable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
