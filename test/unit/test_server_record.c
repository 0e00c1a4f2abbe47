/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* Session records that other servers made: the winner stays, whatever the order they come in. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "base/rcu.h"

#include "clients.h"
#include "proto/server.h"

#define EPOCH 5900000

static struct server server;
static struct instant now;
static unsigned changed, written;
static const struct session_record *last;

static void on_changed(void *arg, struct client *client, const struct session_record *old,
		const struct session_record *fresh)
{
	(void)arg;
	assert_ptr_equal(client->session, old);
	changed++;
	last = fresh;
}

static void on_written(void *arg, const struct client *client, const struct session_record *old,
		const struct session_record *fresh)
{
	(void)arg;
	(void)client;
	(void)old;
	(void)fresh;
	written++;
}

static int set_up(void **state)
{
	struct server_options o = {
		.number = 1, .active_sessions = 16, .cluster_key_count = 1, .limits = key_limits,
		.record_changed = on_changed, .record_written = on_written,
	};
	(void)state;

	crypto_init(CRYPTO_AUTO);
	now.cluster = TICKS_S(EPOCH * (ticks)EPOCH_SECONDS + 10);
	now.boot = TICKS_S(1000);
	changed = written = 0;
	memset(o.cluster_secrets[0], 4, KEY_SIZE);
	if (server_init(&server, &o, &now) != 0)
		return -1;
	server_set_directory(&server, three_clients());
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	server_free(&server);
	return 0;
}

static int apply(uint32_t index, uint64_t full_t, uint64_t epoch, uint32_t number, uint16_t writer)
{
	struct session_record *r = calloc(1, sizeof *r);

	assert_non_null(r);
	r->full_t = full_t;
	r->epoch = epoch;
	r->number = number;
	r->writer = writer;
	return server_apply_record(&server, &now, index, r);
}

static const struct session_record *held(uint32_t index)
{
	return directory_by_index(server.directory, index)->session;
}

static void newer_ones_replace(void **state)
{
	struct server_counts counts;
	(void)state;

	assert_int_equal(apply(1, 10, EPOCH, 5, 2), 1);
	assert_int_equal(apply(1, 10, EPOCH, 6, 2), 1);
	assert_int_equal(apply(1, 10, EPOCH + 1, 0, 2), 1);
	assert_int_equal(apply(1, 11, EPOCH, 0, 2), 1);
	assert_ptr_equal(held(1), last);
	assert_int_equal(held(1)->full_t, 11);
	assert_int_equal(changed, 4);
	assert_int_equal(written, 0); /* it came from elsewhere: nobody is to be told */
	server_count(&server, &counts);
	assert_int_equal(counts.records, 1);
}

/* A stolen server's, against which nothing would stand for years. */
static void from_the_future(void **state)
{
	uint64_t t = time_16th(now.cluster);

	(void)state;
	assert_int_equal(apply(1, UINT64_MAX, EPOCH, 0, 2), -ERANGE);
	assert_int_equal(apply(1, t, (1ull << 40) - 1, 0, 2), -ERANGE);
	assert_int_equal(apply(1, t, EPOCH + 2, 0, 2), -ERANGE);
	assert_null(held(1));
	assert_int_equal(apply(1, t + 160, EPOCH + 1, 0, 2), 1); /* a clock that is 10 s ahead */
	assert_int_equal(apply(1, t + 16 * (EPOCH_SECONDS + 1), EPOCH, 0, 2), -ERANGE);
	assert_int_equal(held(1)->full_t, t + 160);
}

static void older_ones_do_not(void **state)
{
	(void)state;
	assert_int_equal(apply(1, 10, EPOCH, 5, 2), 1);
	assert_int_equal(apply(1, 10, EPOCH, 4, 2), -ESTALE);
	assert_int_equal(apply(1, 10, EPOCH - 1, 9, 2), -ESTALE);
	assert_int_equal(apply(1, 9, EPOCH + 1, 9, 2), -ESTALE);
	assert_int_equal(apply(1, 10, EPOCH, 5, 2), 0);
	assert_int_equal(changed, 1);
	assert_int_equal(held(1)->number, 5);
}

static void of_twins_the_lower_server_wins(void **state)
{
	(void)state;
	assert_int_equal(apply(1, 10, EPOCH, 5, 3), 1);
	assert_int_equal(apply(1, 10, EPOCH, 5, 2), 1);
	assert_int_equal(apply(1, 10, EPOCH, 5, 3), -ESTALE);
	assert_int_equal(held(1)->writer, 2);
}

static void only_for_clients_with_a_session_to_come(void **state)
{
	(void)state;
	assert_int_equal(apply(9, 10, EPOCH, 5, 2), -ENOENT);
	assert_int_equal(apply(3, 10, EPOCH, 5, 2), -ENOENT);
	assert_int_equal(apply(2, 10, EPOCH - 3, 5, 2), -ETIME);
	assert_null(held(2));
	assert_int_equal(changed, 0);
}

static void every_order_ends_alike(void **state)
{
	static const struct {
		uint64_t full_t, epoch;
		uint32_t number;
		uint16_t writer;
	} r[] = {{10, EPOCH, 1, 1}, {10, EPOCH, 1, 2}, {9, EPOCH, 7, 1}, {10, EPOCH - 1, 9, 1}};
	unsigned order[] = {0, 1, 2, 3};
	(void)state;

	for (unsigned p = 0; p < 24; p++) {
		for (unsigned i = 0; i < 4; i++)
			order[i] = i;
		for (unsigned i = 0, n = p; i < 3; n /= 4 - i, i++) { /* the p-th permutation */
			unsigned k = i + n % (4 - i), t = order[i];
			order[i] = order[k];
			order[k] = t;
		}
		for (unsigned i = 0; i < 4; i++)
			apply(1, r[order[i]].full_t + p * 100, r[order[i]].epoch,
					r[order[i]].number, r[order[i]].writer);
		assert_int_equal(held(1)->full_t, 10 + p * 100);
		assert_int_equal(held(1)->epoch, EPOCH);
		assert_int_equal(held(1)->writer, 1);
	}
}

static void nobody_is_served_when_cut_off(void **state)
{
	uint8_t packet[100] = {0xa0};
	struct endpoint from = {.port = 1};
	struct datagram d = {packet, sizeof packet, &from};
	struct downstream down;
	struct opened o;
	(void)state;

	assert_int_equal(apply(1, 10, EPOCH, 5, 2), 1);
	server_set_cut_off(&server, true);
	assert_int_equal(server_open(&server, &now, &d, packet, NULL, &o), DROP_CUT_OFF);
	packet[0] = 0xa4;
	assert_int_equal(server_open(&server, &now, &d, packet, NULL, &o), DROP_CUT_OFF);
	assert_int_equal(server_downstream(&server, &now, directory_by_index(server.directory, 1),
			&down), DROP_CUT_OFF);
	server_set_cut_off(&server, false);
	assert_int_not_equal(server_open(&server, &now, &d, packet, NULL, &o), DROP_CUT_OFF);
}

/* A directory that differs in one client: the others are the same objects. */
static void directories_share_clients(void **state)
{
	const uint32_t without[] = {2};
	struct directory *d = directory_new(3), *old = server.directory;
	struct client *one = directory_by_index(old, 1);
	(void)state;

	assert_int_equal(apply(1, 10, EPOCH, 5, 2), 1);
	assert_int_equal(directory_share(d, old, without, 1), 0);
	assert_int_equal(directory_finish(d), 0);
	assert_ptr_equal(directory_by_index(d, 1), one);
	assert_null(directory_by_index(d, 2));
	assert_true(directory_by_index(d, 3)->removed);
	assert_int_equal(directory_count(d), 1);
	server_set_directory(&server, d);
	assert_false(one->removed);
	assert_int_equal(held(1)->number, 5);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(newer_ones_replace),
		CASE(from_the_future),
		CASE(older_ones_do_not),
		CASE(of_twins_the_lower_server_wins),
		CASE(only_for_clients_with_a_session_to_come),
		CASE(every_order_ends_alike),
		CASE(nobody_is_served_when_cut_off),
		CASE(directories_share_clients),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
