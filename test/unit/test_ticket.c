/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* Tickets: what goes in comes out, for this session and epoch only, and for nobody who changed a bit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "proto/ticket.h"

static struct lineage lineage;
static const uint8_t sid[SID_SIZE] = {1, 2, 3, 4, 5, 6, 7, 8};

static struct client *make_client(uint8_t prefixes, const char *name)
{
	size_t name_len = strlen(name);
	struct client *c = calloc(1, sizeof *c + 17u * prefixes + name_len);

	assert_non_null(c);
	c->index = 77;
	c->version = 12345;
	c->rights = RIGHT_MULTICAST;
	c->prefix_count = prefixes;
	c->name_len = (uint8_t)name_len;
	memset(c->public, 3, KEY_SIZE);
	memset(c->psk, 4, KEY_SIZE);
	for (unsigned i = 0; i < prefixes; i++)
		c->data[17 * i + 16] = (uint8_t)(120 + i);
	memcpy(c->data + 17 * prefixes, name, name_len);
	return c;
}

static int set_up(void **state)
{
	uint8_t start[KEY_SIZE] = {9};
	(void)state;

	crypto_init(CRYPTO_AUTO);
	lineage_birth(&lineage, 1, 1, 1000, start);
	return 0;
}

static void what_goes_in_comes_out(void **state)
{
	struct client *c = make_client(RECORD_PREFIXES_MAX, "a-name-of-thirty-two-characters!");
	const struct epoch_keys *k = &lineage.keys[EPOCH_CURRENT];
	uint8_t ticket[TICKET_MAX];
	struct record r;
	size_t n = ticket_make(k, sid, c, ticket);
	(void)state;

	assert_true(n > TICKET_MIN && n <= TICKET_MAX);
	assert_int_equal(ticket_open(k, sid, ticket, n, &r), 0);
	assert_int_equal(r.index, 77);
	assert_int_equal(r.version, 12345);
	assert_int_equal(r.rights, RIGHT_MULTICAST);
	assert_memory_equal(r.psk, c->psk, KEY_SIZE);
	assert_int_equal(r.prefix_count, RECORD_PREFIXES_MAX);
	assert_int_equal(r.prefixes[7].len, 127);
	assert_string_equal(r.name, "a-name-of-thirty-two-characters!");
	free(c);
}

static void it_is_of_one_session_and_epoch(void **state)
{
	struct client *c = make_client(1, "c");
	uint8_t ticket[TICKET_MAX], other[SID_SIZE] = {1, 2, 3, 4, 5, 6, 7, 9};
	struct record r;
	size_t n = ticket_make(&lineage.keys[EPOCH_CURRENT], sid, c, ticket);
	(void)state;

	assert_int_not_equal(ticket_open(&lineage.keys[EPOCH_CURRENT], other, ticket, n, &r), 0);
	assert_int_not_equal(ticket_open(&lineage.keys[EPOCH_NEXT], sid, ticket, n, &r), 0);
	ticket[0] = lineage.keys[EPOCH_NEXT].kid;
	assert_int_not_equal(ticket_open(&lineage.keys[EPOCH_NEXT], sid, ticket, n, &r), 0);
	free(c);
}

static void every_bit_and_length_counts(void **state)
{
	struct client *c = make_client(2, "client");
	const struct epoch_keys *k = &lineage.keys[EPOCH_CURRENT];
	uint8_t ticket[TICKET_MAX];
	struct record r;
	size_t n = ticket_make(k, sid, c, ticket);
	(void)state;

	for (size_t bit = 0; bit < 8 * n; bit++) {
		ticket[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_not_equal(ticket_open(k, sid, ticket, n, &r), 0);
		ticket[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t cut = 0; cut < n; cut++)
		assert_int_not_equal(ticket_open(k, sid, ticket, cut, &r), 0);
	assert_int_equal(ticket_open(k, sid, ticket, n, &r), 0);
	free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_goes_in_comes_out),
		cmocka_unit_test(it_is_of_one_session_and_epoch),
		cmocka_unit_test(every_bit_and_length_counts),
	};
	return cmocka_run_group_tests(tests, set_up, NULL);
}
