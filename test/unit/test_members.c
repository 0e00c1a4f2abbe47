/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "bytes.h"

#include <stdlib.h>

#include "mode/members.h"

#define CLIENTS 300
#define NOW     ((struct instant){TICKS_S(1900000000), TICKS_S(1000)})

static struct server server;
static struct members *members;
static struct members_owner owner;
static struct client *client[CLIENTS];
static struct session_record *record[CLIENTS];

static void make_clients(void)
{
	struct directory *d = directory_new(CLIENTS);
	static const uint8_t ss[KEY_SIZE];
	char error[200];

	for (uint32_t i = 0; i < CLIENTS; i++) {
		struct record r = {.index = i + 1, .version = 1,
				.rights = i % 3 ? 0 : RIGHT_ETHERNET};

		snprintf(r.name, sizeof r.name, "c%u", i);
		store_be32(r.public, i + 1);
		assert_int_equal(directory_add(d, NULL, &r, ss, error, sizeof error), 0);
	}
	assert_int_equal(directory_finish(d), 0);
	server_set_directory(&server, d);
	for (uint32_t i = 0; i < CLIENTS; i++) {
		client[i] = directory_by_index(d, i + 1);
		record[i] = NULL;
	}
}

static int setup(void **state)
{
	struct server_options o = {.number = 1, .active_sessions = 4,
			.record_changed = members_record_changed, .record_changed_arg = &owner};
	struct instant now = NOW;

	(void)state;
	crypto_init(CRYPTO_AUTO);
	members = members_new();
	owner = (struct members_owner){.members = members, .server = &server};
	if (!members || server_init(&server, &o, &now) != 0)
		return -1;
	make_clients();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (unsigned i = 0; i < CLIENTS; i++)
		free(record[i]);
	server_free(&server);
	members_free(members);
	return 0;
}

static void group_address(uint8_t group[16], unsigned n)
{
	memset(group, 0, 16);
	group[0] = 0xff;
	group[1] = 0x05;
	store_be32(group + 12, n);
}

/* As a HELLO does it: this client's groups are now those with a bit in `set`; -1: session over. */
static void say(unsigned i, int set)
{
	struct session_record *new = NULL, *old = record[i];

	if (set >= 0) {
		new = calloc(1, sizeof *new + 16 * 32);
		assert_non_null(new);
		for (unsigned n = 0; n < 31; n++)
			if (set >> n & 1)
				group_address(new->data + 16 * new->group_count++, n);
	}
	pthread_mutex_lock(&server.lock);
	members_record_changed(&owner, client[i], old, new);
	pthread_mutex_unlock(&server.lock);
	record[i] = new;
	free(old);
}

static unsigned times_on(const struct member_list *l, const struct client *c)
{
	unsigned n = 0;

	for (uint32_t i = 0; l && i < l->count; i++)
		n += l->client[i] == c;
	return n;
}

static const struct member_list *of_group(unsigned n)
{
	uint8_t group[16];

	group_address(group, n);
	return members_of_group(members, group);
}

static void nobody_at_first(void **state)
{
	(void)state;
	assert_null(of_group(1));
	assert_null(members_all(members));
	assert_null(members_ethernet(members));
}

static void a_session_puts_its_client_on_the_lists(void **state)
{
	(void)state;
	say(0, 0);
	say(1, 1 << 4 | 1 << 5);
	assert_int_equal(times_on(members_all(members), client[0]), 1);
	assert_int_equal(times_on(members_all(members), client[1]), 1);
	assert_int_equal(times_on(members_ethernet(members), client[0]), 1);
	assert_int_equal(times_on(members_ethernet(members), client[1]), 0);
	assert_int_equal(times_on(of_group(4), client[1]), 1);
	assert_int_equal(times_on(of_group(5), client[1]), 1);
	assert_int_equal(times_on(of_group(4), client[0]), 0);
	say(1, 1 << 5 | 1 << 6);
	assert_null(of_group(4)); /* the last one has left */
	assert_int_equal(times_on(of_group(5), client[1]), 1);
	assert_int_equal(times_on(of_group(6), client[1]), 1);
	assert_int_equal(times_on(members_all(members), client[1]), 1);
	say(1, -1);
	assert_null(of_group(5));
	assert_int_equal(times_on(members_all(members), client[1]), 0);
	assert_int_equal(times_on(members_all(members), client[0]), 1);
}

/* A list that is full is replaced by a larger one; who holds the old one reads on in it. */
static void readers_of_an_old_list_are_safe_until_the_grace_period(void **state)
{
	const struct member_list *old;
	uint32_t count;

	(void)state;
	for (unsigned i = 0; i < 8; i++)
		say(i, 1);
	old = of_group(0);
	count = old->count;
	say(8, 1);
	assert_ptr_not_equal(of_group(0), old);
	assert_int_equal(old->count, count);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(times_on(old, client[i]), 1);
	for (unsigned i = 0; i < 9; i++)
		assert_int_equal(times_on(of_group(0), client[i]), 1);
}

/* Who comes and goes all the time does not make the list grow. */
static void gaps_are_closed(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 10000; i++) {
		say(1, 1);
		say(2, 1 << 1 | 1);
		say(1, -1);
		say(2, 0);
		if (i % 1000 == 0) {
			struct instant now = NOW;
			server_tick(&server, &now);
		}
	}
	assert_in_range(members_all(members)->capacity, 1, 64);
	assert_int_equal(times_on(members_all(members), client[1]), 0);
	assert_int_equal(times_on(members_all(members), client[2]), 1);
}

/* Against a model: any sequence of subscriptions. */
static void lists_follow_any_sequence_of_records(void **state)
{
	static int model[CLIENTS];
	uint64_t seed = 21;

	(void)state;
	memset(model, 0xff, sizeof model);
	for (unsigned round = 0; round < 20000; round++) {
		unsigned i = next_random(&seed) % CLIENTS;

		model[i] = next_random(&seed) % 4 ? (int)(next_random(&seed) & 0x7fff) : -1;
		say(i, model[i]);
		i = next_random(&seed) % CLIENTS;
		assert_int_equal(times_on(members_all(members), client[i]), model[i] >= 0);
		assert_int_equal(times_on(members_ethernet(members), client[i]),
				model[i] >= 0 && (client[i]->rights & RIGHT_ETHERNET));
		for (unsigned n = 0; n < 16; n++)
			assert_int_equal(times_on(of_group(n), client[i]),
					model[i] >= 0 && (model[i] >> n & 1));
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nobody_at_first),
		TEST(a_session_puts_its_client_on_the_lists),
		TEST(readers_of_an_old_list_are_safe_until_the_grace_period),
		TEST(gaps_are_closed),
		TEST(lists_follow_any_sequence_of_records),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
