/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* Relays that survive a restart of a server without another registry. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bytes.h"
#include "cluster/relays_file.h"
#include "proto/wire.h"

static const struct relay_keys keys = {.count = 1, .key = {{1}}};
static char path[] = "/tmp/anyrelay-test-relays-XXXXXX";
static char beside[sizeof path + 4];
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
		.server = 1, .keys = &keys, .has_v4 = true, .has_v6 = true, .port_first = 1024, .port_last = 65535,
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
	snprintf(beside, sizeof beside, "%s.new", path);
	return fd < 0 ? -1 : crypto_init(CRYPTO_AUTO);
}

static int tear_down(void **state)
{
	(void)state;
	unlink(path);
	assert_int_equal(access(beside, F_OK), -1); /* nothing is left of writing it anew */
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

static void pass_a_second(void)
{
	now.cluster += TICKS_S(1);
	now.boot += TICKS_S(1);
}

static struct relay make(uint32_t which)
{
	struct relay_request q = {.protocol = RELAY_TCP, .span = 1, .lifetime = 3600};
	struct relay r;

	store_be32(q.id, which);
	for (unsigned i = 0; i < 2; i++)
		q.side[i] = (struct relay_side){.kind = RELAY_TOKEN, .v4 = which % 2};
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
	now.cluster += TICKS_S(5000);
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
		pass_a_second();
		assert_int_equal(relays_refresh(t, &now, 0, r.id, 600, &r), RELAY_STATUS_OK);
		settle();
		if (i % 64 == 0)
			assert_int_equal(relays_file_sync(&file, t, &now), 0);
		largest = file.end > largest ? file.end : largest;
	}
	assert_in_range(largest, 1 << 20, 2 << 20);
	stop();
	start();
	assert_int_equal(relays_get(t, &now, 0, r.id, &found), RELAY_STATUS_OK);
	assert_true(relay_equal(&r, &found));
	stop();
}

/* A change, as a controller makes it. */
static void refresh(uint32_t which, uint16_t lifetime)
{
	uint8_t id[RELAY_ID_SIZE] = {0};
	struct relay r;

	store_be32(id, which);
	assert_int_equal(relays_refresh(t, &now, 0, id, lifetime, &r), RELAY_STATUS_OK);
	settle();
}

/* Until it begins to be written anew.  More relays than one step takes: it is left in the middle. */
#define MANY 20000
static void make_many(void)
{
	uint64_t seed = 3;

	for (uint32_t i = 0; i < MANY; i++)
		make(i);
	while (!file.anew.under_way) {
		pass_a_second();
		for (unsigned i = 0; i < 5000; i++)
			refresh((uint32_t)(next_random(&seed) % MANY), 3600);
		assert_int_equal(relays_file_sync(&file, t, &now), 0);
	}
	assert_int_equal(access(beside, F_OK), 0);
}

/* What the file holds is what the table held. */
static void compare(void *arg, const struct relay *r, unsigned state)
{
	const struct relay *found = relays_known(arg, r->id);

	(void)state;
	assert_non_null(found);
	assert_true(relay_equal(r, found));
}

static void read_again(void)
{
	struct relays *was = t;

	relays_file_close(&file);
	start();
	relays_each(was, compare, t);
	relays_free(was);
	stop();
}

/* A step a second, and changes of what has been copied and of what has not. */
static void anew_in_steps(void **state)
{
	unsigned steps = 1;
	off_t before;

	(void)state;
	start();
	make_many();
	before = file.end;
	for (; file.anew.under_way; steps++) {
		assert_int_equal(file.end, before); /* no second has passed: no step */
		refresh(1, (uint16_t)(600 + steps));
		refresh(MANY - 1, (uint16_t)(700 + steps));
		assert_int_equal(relays_file_sync(&file, t, &now), 0);
		pass_a_second();
		before = file.end;
		assert_int_equal(relays_file_sync(&file, t, &now), 0);
	}
	assert_int_equal(steps, 2);
	assert_in_range(file.end, 1, before / 2);
	assert_int_equal(access(beside, F_OK), -1);
	refresh(2, 900);
	read_again();
}

/* An orderly end in the middle: the old one is whole. */
static void stopped_in_the_middle(void **state)
{
	(void)state;
	start();
	make_many();
	refresh(1, 601);
	refresh(MANY - 1, 602);
	read_again();
}

/* It cannot be written beside: it goes on as it was, and says so once in a while. */
static void no_room_beside(void **state)
{
	unsigned failures = 0;

	(void)state;
	start();
	for (uint32_t i = 0; i < 100; i++)
		make(i);
	assert_int_equal(mkdir(beside, 0700), 0);
	for (unsigned i = 0; i < 12000; i++) {
		pass_a_second();
		refresh(i % 100, (uint16_t)(3000 + i % 7));
		if (i % 2)
			failures += relays_file_sync(&file, t, &now) == -EISDIR;
	}
	assert_in_range(failures, 1, 3);
	assert_int_equal(rmdir(beside), 0);
	read_again();
}

/* ---- killed ---- */

/* The relays' process: changes without end, each told through the pipe once it is written. */
static void change_until_killed(int tell)
{
	uint64_t seed = (uint64_t)getpid();

	for (;;) {
		uint32_t which = (uint32_t)(next_random(&seed) % MANY);
		uint8_t id[RELAY_ID_SIZE] = {0};
		struct relay r;

		store_be32(id, which);
		if (next_random(&seed) % 256 == 0)
			pass_a_second();
		file.compact_at = 0; /* anew, and anew */
		relays_refresh(t, &now, 0, id, 3600, &r);
		settle();
		if (write(tell, &r, sizeof r) != sizeof r || relays_file_sync(&file, t, &now))
			_exit(1);
	}
}

/* Whenever it is: what was written is there, by the old file or by the new one. */
static void killed(void **state)
{
	(void)state;
	start();
	make_many();
	stop();
	for (unsigned round = 0; round < 6; round++) {
		struct relay r, *last = calloc(MANY, sizeof *last);
		int ends[2], status;
		pid_t child;

		assert_int_equal(pipe(ends), 0);
		start();
		child = fork();
		if (child == 0)
			change_until_killed(ends[1]);
		close(ends[1]);
		for (unsigned i = 0; i < 300 + 200 * round; i++) {
			assert_int_equal(read(ends[0], &r, sizeof r), sizeof r);
			last[load_be32(r.id)] = r;
		}
		kill(child, SIGKILL);
		while (read(ends[0], &r, sizeof r) == sizeof r)
			last[load_be32(r.id)] = r;
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, 1);
		close(ends[0]);
		close(file.fd);
		relays_free(t);
		start();
		for (unsigned i = 0; i < MANY; i++) {
			uint8_t id[RELAY_ID_SIZE] = {0};

			store_be32(id, i);
			assert_non_null(relays_known(t, id));
			assert_true(relays_known(t, id)->version >= last[i].version);
		}
		stop();
		free(last);
	}
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
		FILE_TEST(anew_in_steps), FILE_TEST(stopped_in_the_middle), FILE_TEST(no_room_beside),
		FILE_TEST(killed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
