/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include <errno.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "proto/directory.h"

struct session_record {
	int number;
};

static unsigned sessions_freed;

static void free_session(struct session_record *s)
{
	sessions_freed++;
	free(s);
}

static struct session_record *new_session(int number)
{
	struct session_record *s = malloc(sizeof *s);

	assert_non_null(s);
	s->number = number;
	return s;
}

static uint32_t random_state;

static uint32_t random_u32(void) /* xorshift32 (Marsaglia 2003) */
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 17;
	random_state ^= random_state << 5;
	return random_state;
}

static const uint8_t ss[KEY_SIZE] = {1, 2, 3};

static struct record make(uint32_t index, uint64_t version)
{
	struct record r = {.index = index, .version = version, .rights = RIGHT_MULTICAST,
			.port_first = 1000, .port_count = 10};

	memset(r.public, 0xab, KEY_SIZE);
	memcpy(r.public, &index, sizeof index);
	memcpy(r.psk, &index, sizeof index);
	snprintf(r.name, sizeof r.name, "client-%05u", index);
	return r;
}

static void give(struct record *r, const char *prefix)
{
	assert_int_equal(prefix_parse(prefix, &r->prefixes[r->prefix_count++]), 0);
}

static void add(struct directory *d, const struct directory *from, const struct record *r)
{
	char error[200] = "";

	assert_int_equal(directory_add(d, from, r, ss, error, sizeof error), 0);
	assert_string_equal(error, "");
}

static void refused(struct directory *d, const struct record *r, const char *sentence)
{
	char error[200] = "";

	assert_int_equal(directory_add(d, NULL, r, ss, error, sizeof error), -EEXIST);
	assert_string_equal(error, sentence);
}

static uint32_t routed(const struct directory *d, const char *text)
{
	uint8_t ip[16];
	struct client *c;

	assert_int_equal(addr_parse(text, ip), 0);
	c = directory_route(d, ip);
	return c ? c->index : 0;
}

static void clients_are_found(void **state)
{
	struct directory *d = directory_new(0);
	struct record a = make(1, 10), b = make(2, 10);
	struct client *c;
	struct prefix p;
	char text[PREFIX_TEXT];
	uint8_t ip[16];
	(void)state;

	give(&a, "10.1.2.3/8"); /* host bits go */
	give(&a, "2001:db8::/32");
	give(&a, "10.9.9.9/8"); /* the same again */
	give(&b, "10.1.2.0/24");
	give(&b, "::/0");
	add(d, NULL, &a);
	add(d, NULL, &b);
	assert_int_equal(directory_finish(d), 0);

	assert_int_equal(directory_count(d), 2);
	c = directory_by_index(d, 1);
	assert_non_null(c);
	assert_ptr_equal(directory_by_key(d, a.public), c);
	assert_ptr_equal(directory_at(d, 0), c);
	assert_int_equal(c->version, 10);
	assert_int_equal(c->rights, RIGHT_MULTICAST);
	assert_int_equal(c->port_first, 1000);
	assert_int_equal(c->port_count, 10);
	assert_memory_equal(c->psk, a.psk, KEY_SIZE);
	assert_memory_equal(c->ss, ss, KEY_SIZE);
	assert_false(c->removed);
	assert_int_equal(c->prefix_count, 2);
	client_prefix(c, 0, &p);
	assert_string_equal(prefix_format(&p, text), "10.0.0.0/8");
	assert_int_equal(c->name_len, 12);
	assert_memory_equal(client_name(c), "client-00001", 12);

	assert_null(directory_by_index(d, 3));
	assert_null(directory_by_key(d, ss));
	assert_int_equal(routed(d, "10.1.2.3"), 2);
	assert_int_equal(routed(d, "10.1.3.3"), 1);
	assert_int_equal(routed(d, "11.0.0.1"), 0); /* ::/0 is not for IPv4 */
	assert_int_equal(routed(d, "2001:db8::1"), 1);
	assert_int_equal(routed(d, "2001:db9::1"), 2);

	addr_parse("10.1.2.3", ip);
	assert_true(client_has_source(c, ip));
	addr_parse("192.0.2.1", ip);
	assert_false(client_has_source(c, ip));
	directory_free(d, free_session);
}

static void nothing_is_given_twice(void **state)
{
	struct directory *d = directory_new(10);
	struct record a = make(1, 1), b = make(2, 1);
	(void)state;

	give(&a, "10.0.0.0/8");
	add(d, NULL, &a);

	memcpy(b.public, a.public, KEY_SIZE);
	refused(d, &b, "client client-00002 has the public key of client client-00001: each needs "
		       "its own");
	b = make(2, 1);
	strcpy(b.name, a.name);
	refused(d, &b, "clients 1 and 2 are both named client-00001: each needs its own name");
	b = make(2, 1);
	give(&b, "10.5.5.5/8");
	refused(d, &b, "client client-00002 has the prefix 10.0.0.0/8 of client client-00001: each "
		       "needs its own");
	assert_null(directory_by_index(d, 2));
	assert_int_equal(directory_count(d), 1);

	/* A refused newer version leaves the older one in place. */
	b = make(2, 1);
	give(&b, "10.0.0.0/9");
	add(d, NULL, &b);
	b.version = 2;
	b.prefixes[0].len--;
	refused(d, &b, "client client-00002 has the prefix 10.0.0.0/8 of client client-00001: each "
		       "needs its own");
	assert_int_equal(directory_finish(d), 0);
	assert_int_equal(routed(d, "10.0.0.1"), 2);
	directory_free(d, NULL);
}

static void higher_version_wins(void **state)
{
	struct directory *d = directory_new(10);
	struct record first = make(1, 5), second = make(1, 6), third = make(3, 1), dead = make(1, 7);
	(void)state;

	give(&first, "10.0.0.0/8");
	give(&second, "11.0.0.0/8");
	give(&third, "10.0.0.0/8"); /* free again after the second */
	dead.removed = true;
	add(d, NULL, &first);
	add(d, NULL, &second);
	add(d, NULL, &first);
	add(d, NULL, &third);
	assert_int_equal(directory_finish(d), 0);
	assert_int_equal(directory_count(d), 2);
	assert_int_equal(directory_by_index(d, 1)->version, 6);
	assert_int_equal(routed(d, "10.0.0.1"), 3);
	assert_int_equal(routed(d, "11.0.0.1"), 1);
	directory_free(d, NULL);

	d = directory_new(10);
	add(d, NULL, &second);
	add(d, NULL, &third);
	add(d, NULL, &dead);
	add(d, NULL, &second); /* does not come back */
	assert_int_equal(directory_finish(d), 0);
	assert_int_equal(directory_count(d), 1);
	assert_int_equal(directory_at(d, 0)->index, 3);
	assert_true(directory_by_index(d, 1)->removed);
	assert_null(directory_by_key(d, second.public));
	assert_int_equal(routed(d, "11.0.0.1"), 0);
	assert_int_equal(routed(d, "10.0.0.1"), 3);
	directory_free(d, NULL);

	/* A higher version after the tombstone enrols again. */
	d = directory_new(10);
	dead.version = 2;
	add(d, NULL, &dead);
	add(d, NULL, &second);
	assert_int_equal(directory_finish(d), 0);
	assert_int_equal(directory_count(d), 1);
	assert_false(directory_by_index(d, 1)->removed);
	directory_free(d, NULL);
}

/* 1 stays, 2 changes, 3 gets a tombstone, 4 is left out, 5 is new. */
static void reload_keeps_what_has_not_changed(void **state)
{
	struct directory *old = directory_new(4), *new = directory_new(4);
	struct client *was[6], *is[6];
	struct session_record *session2;
	(void)state;

	for (uint32_t i = 1; i <= 4; i++) {
		struct record r = make(i, 1);

		add(old, NULL, &r);
	}
	assert_int_equal(directory_finish(old), 0);
	for (uint32_t i = 1; i <= 4; i++) {
		was[i] = directory_by_index(old, i);
		was[i]->session = new_session((int)i);
	}
	session2 = was[2]->session;
	for (uint32_t i = 1; i <= 5; i++) {
		struct record r = make(i, i == 2 || i == 3 ? 2 : 1);

		r.removed = i == 3;
		if (i != 4)
			add(new, old, &r);
	}
	assert_int_equal(directory_finish(new), 0);
	for (uint32_t i = 1; i <= 5; i++)
		is[i] = directory_by_index(new, i);

	/* Before the change nothing is taken from the old one. */
	assert_ptr_equal(is[1], was[1]);
	assert_ptr_not_equal(is[2], was[2]);
	assert_null(is[2]->session);
	assert_ptr_equal(was[2]->session, session2);
	assert_false(was[2]->removed || was[3]->removed || was[4]->removed);

	directory_retire(old, new);
	assert_false(was[1]->removed);
	assert_int_equal(is[1]->session->number, 1);
	assert_true(was[2]->removed && was[3]->removed && was[4]->removed);
	assert_false(is[2]->removed);
	assert_ptr_equal(is[2]->session, session2);
	assert_null(was[2]->session);
	assert_true(is[3]->removed);
	assert_null(is[4]);
	assert_null(is[5]->session);

	sessions_freed = 0;
	directory_free(old, free_session);
	assert_int_equal(sessions_freed, 2); /* of 3 and 4 */
	assert_int_equal(is[1]->session->number, 1);
	directory_free(new, free_session);
	assert_int_equal(sessions_freed, 4);
}

/* A session that the new object got in the meantime is newer; the old one is freed, once. */
static void newer_session_stays(void **state)
{
	struct directory *old = directory_new(1), *new = directory_new(1);
	struct record r = make(1, 1);
	(void)state;

	add(old, NULL, &r);
	directory_finish(old);
	directory_by_index(old, 1)->session = new_session(1);
	r.psk[0] ^= 1; /* the same version with other content is a change, too */
	add(new, old, &r);
	directory_finish(new);
	directory_by_index(new, 1)->session = new_session(2);
	directory_retire(old, new);
	assert_int_equal(directory_by_index(new, 1)->session->number, 2);
	sessions_freed = 0;
	directory_free(old, free_session);
	assert_int_equal(sessions_freed, 1);
	directory_free(new, free_session);
	assert_int_equal(sessions_freed, 2);
}

/* A build that is given up leaves the directory in use as it was. */
static void build_given_up(void **state)
{
	struct directory *old = directory_new(1), *half = directory_new(1);
	struct record r = make(1, 1);
	(void)state;

	add(old, NULL, &r);
	directory_finish(old);
	directory_by_index(old, 1)->session = new_session(1);
	add(half, old, &r);
	sessions_freed = 0;
	directory_free(half, free_session);
	assert_int_equal(sessions_freed, 0);
	assert_int_equal(directory_by_index(old, 1)->references, 1);
	assert_int_equal(directory_by_index(old, 1)->session->number, 1);
	directory_free(old, free_session);
	assert_int_equal(sessions_freed, 1);
}

/* ---- longest prefix match against a plain search ---- */

#define RANDOM_CLIENTS 300

/* Few bits differ, so that prefixes nest and addresses hit. */
static void random_address(uint8_t ip[16])
{
	uint8_t v4[4] = {10, (uint8_t)(random_u32() & 3), (uint8_t)(random_u32() & 0xc1),
			(uint8_t)random_u32()};

	if (random_u32() & 1) {
		addr_from_v4(ip, v4);
		return;
	}
	memset(ip, 0, 16);
	ip[0] = 0x20;
	ip[1] = (uint8_t)(random_u32() & 1);
	ip[7] = (uint8_t)(random_u32() & 0x81);
	ip[15] = (uint8_t)(random_u32() & 3);
}

static uint32_t plain_search(const struct record *r, unsigned count, const uint8_t ip[16])
{
	uint32_t best = 0;
	int best_len = -1;

	for (unsigned i = 0; i < count; i++) {
		for (unsigned k = 0; k < r[i].prefix_count; k++) {
			const struct prefix *p = &r[i].prefixes[k];

			if (p->len > best_len && prefix_contains(p, ip)) {
				best_len = p->len;
				best = r[i].index;
			}
		}
	}
	return best;
}

static void routes_are_the_longest(void **state)
{
	static struct record records[RANDOM_CLIENTS];
	struct directory *d = directory_new(8); /* must grow */
	unsigned count = 0, hits = 0;
	(void)state;

	random_state = 20260301;
	for (unsigned i = 0; i < RANDOM_CLIENTS; i++) {
		struct record r = make(i + 1, 1);
		char error[200];

		r.prefix_count = (uint8_t)(random_u32() % (RECORD_PREFIXES_MAX + 1));
		for (unsigned k = 0; k < r.prefix_count; k++) {
			random_address(r.prefixes[k].ip);
			r.prefixes[k].len = addr_is_v4(r.prefixes[k].ip)
							    ? (uint8_t)(100 + random_u32() % 29)
							    : (uint8_t)(random_u32() % 129);
		}
		if (directory_add(d, NULL, &r, ss, error, sizeof error) == 0)
			records[count++] = r;
	}
	assert_int_equal(directory_finish(d), 0);
	assert_int_equal(directory_count(d), count);
	assert_true(count > 50);
	for (unsigned i = 0; i < 20000; i++) {
		uint8_t ip[16];
		struct client *c;
		uint32_t want;

		random_address(ip);
		want = plain_search(records, count, ip);
		c = directory_route(d, ip);
		assert_int_equal(c ? c->index : 0, want);
		hits += want != 0;
	}
	assert_true(hits > 1000);
	directory_free(d, NULL);
}

/* Additions and replacements in random order end as the highest versions say. */
static void random_replacements(void **state)
{
	enum { INDEXES = 40 };
	struct directory *d = directory_new(4);
	struct record best[INDEXES + 1] = {0};
	unsigned live = 0;
	(void)state;

	random_state = 7;
	for (unsigned i = 0; i < 3000; i++) {
		uint32_t index = 1 + random_u32() % INDEXES;
		struct record r = make(index, random_u32() % 1000 + 1);
		char prefix[32];

		r.removed = random_u32() % 4 == 0;
		snprintf(prefix, sizeof prefix, "10.%u.%u.0/24", index, random_u32() % 4);
		give(&r, prefix);
		add(d, NULL, &r);
		if (r.version > best[index].version)
			best[index] = r;
	}
	assert_int_equal(directory_finish(d), 0);
	for (uint32_t index = 1; index <= INDEXES; index++) {
		const struct record *r = &best[index];
		struct client *c = directory_by_index(d, index);

		assert_int_equal(c->version, r->version);
		assert_int_equal(c->removed, r->removed);
		live += !r->removed;
		for (unsigned k = 0; k < 4; k++) {
			uint8_t ip[16];

			addr_from_v4(ip, (uint8_t[4]){10, (uint8_t)index, (uint8_t)k, 9});
			c = directory_route(d, ip);
			assert_int_equal(c != NULL, !r->removed && prefix_contains(r->prefixes, ip));
		}
	}
	assert_int_equal(directory_count(d), live);
	directory_free(d, NULL);
}

/* An idle client with two prefixes and a name of 12 must cost less than 280 bytes in all. */
static void idle_client_is_small(void **state)
{
	enum { CLIENTS = 100000 };
	size_t before = mallinfo2().uordblks + mallinfo2().hblkhd, used;
	struct directory *d = directory_new(CLIENTS);
	(void)state;

	for (uint32_t i = 1; i <= CLIENTS; i++) {
		struct record r = make(i, 1);

		r.prefix_count = 2;
		addr_from_v4(r.prefixes[0].ip, (uint8_t[4]){10, (uint8_t)(i >> 16), (uint8_t)(i >> 8),
				(uint8_t)i});
		r.prefixes[0].len = 128;
		r.prefixes[1].ip[0] = 0xfd;
		memcpy(r.prefixes[1].ip + 4, &i, sizeof i);
		r.prefixes[1].len = 64;
		add(d, NULL, &r);
	}
	assert_int_equal(directory_finish(d), 0);
	used = mallinfo2().uordblks + mallinfo2().hblkhd - before;
	print_message("# %zu bytes a client with its place in all tables\n", used / CLIENTS);
	/* A sanitizer's allocator reports nothing. */
	assert_true(used / CLIENTS < 280);
	assert_int_equal(directory_by_index(d, 77777)->index, 77777);
	assert_int_equal(routed(d, "10.1.134.160"), 100000);
	directory_free(d, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(clients_are_found),
			cmocka_unit_test(nothing_is_given_twice),
			cmocka_unit_test(higher_version_wins),
			cmocka_unit_test(reload_keeps_what_has_not_changed),
			cmocka_unit_test(newer_session_stays),
			cmocka_unit_test(build_given_up),
			cmocka_unit_test(routes_are_the_longest),
			cmocka_unit_test(random_replacements),
			cmocka_unit_test(idle_client_is_small),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
