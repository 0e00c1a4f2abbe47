/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* A server of a cluster begins with the clients that it knew, before there is any NATS. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/rcu.h"

#include "base/clock.h"
#include "cluster/registry_internal.h"

static char path[64], error[256];
static const uint8_t secret[KEY_SIZE] = {2}, operator_seed[KEY_SIZE] = {1};
static struct operator_key op;
static struct operator_public op_public;
static uint8_t seal_key[KEY_SIZE];
static struct server server;
static struct registry registry;

static void ignore(void *arg, struct client *client, const struct session_record *old,
		const struct session_record *now)
{
	(void)arg;
	(void)client;
	(void)old;
	(void)now;
}

static struct cluster_secrets secrets = {.count = 1};

static int set_up(void **state)
{
	struct server_options o = {.number = 1, .active_sessions = 16, .cluster_key_count = 1,
			.limits = key_limits, .record_changed = ignore};
	uint8_t public[KEY_SIZE];
	struct instant now;
	(void)state;

	crypto_init(CRYPTO_AUTO);
	operator_key_from_seed(&op, operator_seed);
	memcpy(op_public.sign, op.sign_public, KEY_SIZE);
	memcpy(op_public.seal, op.seal_public, KEY_SIZE);
	x25519_public(secret, public);
	assert_int_equal(record_seal_key(op.seal_secret, public, seal_key), 0);
	snprintf(path, sizeof path, "/tmp/anyrelay-load-%d", (int)getpid());
	unlink(path);
	clock_read(&now);
	memcpy(o.cluster_secrets[0], secret, KEY_SIZE);
	secrets.count = 1;
	memcpy(secrets.secret[0], secret, KEY_SIZE);
	assert_int_equal(server_init(&server, &o, &now), 0);
	registry = (struct registry){
		.ops = &registry_nats, .server = &server, .event = -1,
		.o = {.op = &op_public, .cluster = &secrets, .server_number = 1,
		      .cache_file = path, .max_age = 3600},
	};
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	server_free(&server);
	return unlink(path);
}

static void open_cache(struct client_cache *c, uint64_t now_s)
{
	int64_t age;

	assert_int_equal(client_cache_open(c, path, secret, &op_public, now_s, &age, error,
			sizeof error), 0);
}

static void append(struct client_cache *c, uint32_t index, uint64_t version, bool removed)
{
	struct record r = {.index = index, .version = version, .removed = removed};
	uint8_t bytes[RECORD_MAX];
	size_t len;

	memset(r.public, (int)index, KEY_SIZE);
	snprintf(r.name, sizeof r.name, "client-%u", index);
	len = record_write(bytes, &r, &op, seal_key);
	assert_true(len > 0);
	assert_int_equal(client_cache_append(c, bytes, len, r.name), 0);
}

static off_t size_of_cache(void)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_size;
}

static void open_registry(void)
{
	assert_int_equal(registry.ops->open(&registry, error, sizeof error), 0);
}

/* Without threads there is nothing that registry.ops->close() could stop. */
static void close_registry(void)
{
	struct registry_nats *n = registry.nats;

	writer_close(n);
	registry_nats_free(n);
}

static void clients_are_known(void **state)
{
	struct client_cache c;
	(void)state;

	open_cache(&c, 1000);
	append(&c, 1, 1, false);
	append(&c, 2, 1, false);
	append(&c, 1, 3, false);
	append(&c, 1, 2, false);
	append(&c, 2, 2, true);
	client_cache_close(&c);
	open_registry();
	assert_int_equal(directory_count(server.directory), 1);
	assert_int_equal(directory_by_index(server.directory, 1)->version, 3);
	assert_true(directory_by_index(server.directory, 2)->removed);
	close_registry();
}

static void nothing_is_known_at_first(void **state)
{
	(void)state;
	open_registry();
	assert_int_equal(directory_count(server.directory), 0);
	close_registry();
}

static void a_damaged_cache_is_begun_anew(void **state)
{
	struct client_cache c;
	(void)state;

	open_cache(&c, 1000);
	append(&c, 1, 1, false);
	assert_int_equal(pwrite(c.fd, "AAAA", 4, c.end - 40), 4);
	client_cache_close(&c);
	open_registry();
	assert_int_equal(directory_count(server.directory), 0);
	close_registry();
	open_cache(&c, 1000);
	append(&c, 1, 1, false);
	client_cache_close(&c);
	open_registry();
	assert_int_equal(directory_count(server.directory), 1);
	close_registry();
}

/* How long ago the clients were current survives both a restart and the compaction. */
static void long_caches_are_shortened(void **state)
{
	struct client_cache c;
	struct instant now;
	off_t before;
	(void)state;

	clock_read(&now);
	open_cache(&c, 1000);
	for (uint64_t v = 1; v <= 1100; v++)
		append(&c, 1 + v % 3, v, v == 1099);
	assert_int_equal(client_cache_stamp(&c, time_seconds(now.cluster) - 100), 0);
	client_cache_close(&c);
	before = size_of_cache();
	for (int round = 0; round < 2; round++) {
		open_registry();
		assert_true(size_of_cache() < before / 100);
		assert_int_equal(directory_count(server.directory), 2);
		assert_int_equal(directory_by_index(server.directory, 3)->version, 1100);
		assert_int_equal(directory_by_index(server.directory, 2)->version, 1099);
		assert_true(directory_by_index(server.directory, 2)->removed);
		int64_t silent = ((int64_t)now.boot - registry.nats->contact) / (int64_t)TICKS_PER_SEC;
		assert_in_range(silent, 98, 110);
		close_registry();
	}
}

/*
 * The cluster's key changes while the record sealed for the new one is still on
 * its way: what is kept afterwards can be read with the new key alone.
 */
static void the_key_may_change(void **state)
{
	static const uint8_t next[KEY_SIZE] = {0, 77};
	struct client_cache c;
	uint8_t public[KEY_SIZE];
	(void)state;

	open_cache(&c, 1000);
	append(&c, 1, 1, false);
	append(&c, 2, 1, true);
	client_cache_close(&c);
	secrets.count = 2;
	memcpy(secrets.secret[1], next, KEY_SIZE);
	open_registry();
	assert_int_equal(directory_count(server.directory), 1);
	secrets.count = 1;
	memcpy(secrets.secret[0], next, KEY_SIZE);
	registry.ops->set_keys(&registry, true);
	x25519_public(next, public);
	assert_int_equal(record_seal_key(op.seal_secret, public, seal_key), 0);
	append(&registry.nats->clients.cache, 1, 2, false);
	close_registry();
	open_registry();
	assert_int_equal(directory_count(server.directory), 1);
	assert_int_equal(directory_by_index(server.directory, 1)->version, 2);
	assert_true(directory_by_index(server.directory, 2)->removed);
	close_registry();
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(nothing_is_known_at_first),
		CASE(clients_are_known),
		CASE(a_damaged_cache_is_begun_anew),
		CASE(long_caches_are_shortened),
		CASE(the_key_may_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
