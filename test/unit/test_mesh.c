/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* One link of the mesh: handshake, repeats, renewal under traffic, strangers, messages. */
#include "bytes.h"

#include <stdlib.h>

#include "base/util.h"
#include "proto/mesh.h"
#include "proto/mesh_message.h"

static const uint8_t boot_random[3] = {1, 2, 3};

struct pair_of_links {
	struct key_pair key[2];
	struct mesh_link *link[2];
	struct instant now;
};

static struct mesh_link *new_link(void)
{
	struct mesh_link *l = aligned_alloc(_Alignof(struct mesh_link), sizeof *l);

	assert_non_null(l);
	return l;
}

static int begin(void **state)
{
	struct pair_of_links *p = calloc(1, sizeof *p);

	*state = p;
	for (unsigned i = 0; i < 2; i++) {
		uint8_t secret[KEY_SIZE];
		memset(secret, (int)i + 5, sizeof secret);
		key_pair_from_secret(&p->key[i], secret);
		p->link[i] = new_link();
	}
	p->now = (struct instant){TICKS_S(1942500100), TICKS_S(1000)};
	assert_int_equal(mesh_link_init(p->link[0], 10, &p->key[0], 11, p->key[1].public), 0);
	return mesh_link_init(p->link[1], 11, &p->key[1], 10, p->key[0].public);
}

static int end(void **state)
{
	struct pair_of_links *p = *state;

	free(p->link[0]);
	free(p->link[1]);
	free(p);
	return 0;
}

static void pass(struct pair_of_links *p, ticks time)
{
	p->now.cluster += time;
	p->now.boot += time;
}

/* The answer of `to` to an init. */
static enum mesh_result answer_to(struct pair_of_links *p, unsigned to, const uint8_t *init,
		uint8_t answer[MESH_OPENING_SIZE])
{
	struct mesh_init found;
	enum mesh_result r = mesh_read_init(p->link[to], &p->now, init, MESH_OPENING_SIZE, &found);

	if (r == MESH_ACCEPTED)
		assert_true(mesh_write_answer(p->link[to], &p->now, &found, answer));
	return r;
}

static void shake_hands(struct pair_of_links *p, unsigned from)
{
	uint8_t init[MESH_OPENING_SIZE], answer[MESH_OPENING_SIZE];
	struct mesh_answer a;

	pass(p, 1);
	assert_true(mesh_write_init(p->link[from], &p->now, boot_random, init));
	assert_int_equal(answer_to(p, !from, init, answer), MESH_ACCEPTED);
	assert_int_equal(mesh_read_answer(p->link[from], &p->now, answer, sizeof answer, &a),
			MESH_ACCEPTED);
	assert_int_equal(a.status, MESH_OK);
	assert_int_equal(a.version, 2);
	assert_int_equal(a.time, p->now.cluster);
}

static enum mesh_result open(struct pair_of_links *p, unsigned to, const uint8_t *packet, size_t n,
		const char *wanted)
{
	uint8_t plain[MESH_MESSAGE_MAX];
	size_t len;
	enum mesh_result r = mesh_open(p->link[to], &p->now, packet, n, plain, &len);

	if (r == MESH_ACCEPTED) {
		assert_int_equal(len, strlen(wanted));
		assert_memory_equal(plain, wanted, len);
	}
	return r;
}

static size_t seal(struct pair_of_links *p, unsigned from, const char *text,
		uint8_t packet[MESH_PACKET_MAX])
{
	return mesh_seal(p->link[from], (const uint8_t *)text, strlen(text), packet);
}

static void say(struct pair_of_links *p, unsigned from, const char *text)
{
	uint8_t packet[MESH_PACKET_MAX];
	size_t n = seal(p, from, text, packet);

	assert_int_equal(n, strlen(text) + MESH_OVERHEAD);
	assert_int_equal(open(p, !from, packet, n, text), MESH_ACCEPTED);
}

/* ---- */

/* Who answered does not send before the other side has shown that it has the keys. */
static void both_ways(void **state)
{
	struct pair_of_links *p = *state;
	uint8_t packet[MESH_PACKET_MAX];

	for (unsigned from = 0; from < 2; from++) {
		assert_true(mesh_link_tick(p->link[from], &p->now) || from);
		shake_hands(p, from);
		if (from == 0)
			assert_int_equal(seal(p, !from, "too early", packet), 0);
		say(p, from, "hello");
		say(p, !from, "hello yourself");
		say(p, from, "");
		assert_false(mesh_link_tick(p->link[0], &p->now));
		assert_false(mesh_link_tick(p->link[1], &p->now));
	}
}

/*
 * Both begin at the same time: the lower number's counts.  If each sent in its
 * own, the other's would be taken for the one before and end after 10 s.
 */
static void crossing(void **state)
{
	struct pair_of_links *p = *state;
	uint8_t init[2][MESH_OPENING_SIZE], answer[MESH_OPENING_SIZE];
	struct mesh_answer a;

	for (unsigned i = 0; i < 2; i++)
		assert_true(mesh_write_init(p->link[i], &p->now, boot_random, init[i]));
	assert_int_equal(answer_to(p, 0, init[1], answer), MESH_CROSSED);
	assert_int_equal(answer_to(p, 1, init[0], answer), MESH_ACCEPTED);
	assert_false(mesh_link_tick(p->link[1], &p->now)); /* it waits for the other */
	assert_int_equal(mesh_read_answer(p->link[0], &p->now, answer, sizeof answer, &a),
			MESH_ACCEPTED);
	for (unsigned i = 0; i < 100; i++) {
		pass(p, TICKS_S(1));
		mesh_link_tick(p->link[i % 2], &p->now);
		say(p, i % 2, "both");
	}
}

/* The lower number's first message is lost for good: the other's counts after a while. */
static void not_crossing_for_ever(void **state)
{
	struct pair_of_links *p = *state;
	uint8_t init[MESH_OPENING_SIZE];

	assert_true(mesh_write_init(p->link[0], &p->now, boot_random, init));
	pass(p, TICKS_S(2));
	shake_hands(p, 1);
	say(p, 1, "at last");
	say(p, 0, "at last");
}

/* A captured init changes nothing, however often it comes; nor does an answer. */
static void repeats(void **state)
{
	struct pair_of_links *p = *state;
	uint8_t init[MESH_OPENING_SIZE], answer[MESH_OPENING_SIZE], packet[MESH_PACKET_MAX];
	struct mesh_answer a;
	struct mesh_link *before = new_link();

	assert_true(mesh_write_init(p->link[0], &p->now, boot_random, init));
	assert_int_equal(answer_to(p, 1, init, answer), MESH_ACCEPTED);
	assert_int_equal(mesh_read_answer(p->link[0], &p->now, answer, sizeof answer, &a),
			MESH_ACCEPTED);
	size_t n = seal(p, 0, "first", packet);
	assert_int_equal(open(p, 1, packet, n, "first"), MESH_ACCEPTED);
	for (unsigned i = 0; i < 3; i++) {
		memcpy(before, p->link[1], sizeof *before);
		assert_int_equal(answer_to(p, 1, init, answer), MESH_OLD);
		assert_int_equal(open(p, 1, packet, n, "first"), MESH_REPLAY);
		assert_memory_equal(before, p->link[1], sizeof *before);
		memcpy(before, p->link[0], sizeof *before);
		assert_int_equal(mesh_read_answer(p->link[0], &p->now, answer, sizeof answer, &a),
				MESH_SESSION);
		assert_memory_equal(before, p->link[0], sizeof *before);
		pass(p, TICKS_S(3));
	}
	/* and at a server that was restarted, which has forgotten: a place that waits, no more */
	assert_int_equal(mesh_link_init(before, 11, &p->key[1], 10, p->key[0].public), 0);
	free(p->link[1]);
	p->link[1] = before;
	assert_int_equal(answer_to(p, 1, init, answer), MESH_ACCEPTED);
	assert_int_equal(seal(p, 1, "to whom?", packet), 0);
	shake_hands(p, 0);
	say(p, 0, "again");
	say(p, 1, "again");
}

/* Each bit of each packet counts. */
static void tampering(void **state)
{
	struct pair_of_links *p = *state;
	uint8_t init[MESH_OPENING_SIZE], answer[MESH_OPENING_SIZE], packet[MESH_PACKET_MAX];
	uint8_t spoilt[MESH_OPENING_SIZE];
	struct mesh_answer a;

	assert_true(mesh_write_init(p->link[0], &p->now, boot_random, init));
	for (size_t i = 16; i < 8 * sizeof init; i++) { /* byte 0 and 1 choose who reads it */
		memcpy(spoilt, init, sizeof init);
		spoilt[i / 8] ^= (uint8_t)(1 << i % 8);
		assert_int_equal(answer_to(p, 1, spoilt, answer), MESH_MAC);
	}
	assert_int_equal(answer_to(p, 1, init, answer), MESH_ACCEPTED);
	for (size_t i = 0; i < 8 * sizeof answer; i++) {
		memcpy(spoilt, answer, sizeof answer);
		spoilt[i / 8] ^= (uint8_t)(1 << i % 8);
		assert_int_not_equal(mesh_read_answer(p->link[0], &p->now, spoilt, sizeof spoilt, &a),
				MESH_ACCEPTED);
	}
	assert_int_equal(mesh_read_answer(p->link[0], &p->now, answer, sizeof answer, &a),
			MESH_ACCEPTED);
	size_t n = seal(p, 0, "x", packet);
	for (size_t i = 0; i < 8 * n; i++) {
		packet[i / 8] ^= (uint8_t)(1 << i % 8);
		assert_int_not_equal(open(p, 1, packet, n, "x"), MESH_ACCEPTED);
		packet[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	for (size_t i = 0; i < n; i++)
		assert_int_not_equal(open(p, 1, packet, i, "x"), MESH_ACCEPTED);
	assert_int_equal(open(p, 1, packet, n, "x"), MESH_ACCEPTED);
}

/* Without the two servers' keys nothing is even decrypted: the mac is wrong. */
static void strangers(void **state)
{
	struct pair_of_links *p = *state;
	struct key_pair other;
	struct mesh_link *stranger = new_link();
	uint8_t init[MESH_OPENING_SIZE], answer[MESH_OPENING_SIZE];
	uint16_t from;
	enum mesh_subtype subtype;

	key_pair_from_secret(&other, (const uint8_t[KEY_SIZE]){77});
	assert_int_equal(mesh_link_init(stranger, 10, &other, 11, p->key[1].public), 0);
	assert_true(mesh_write_init(stranger, &p->now, boot_random, init));
	assert_true(mesh_peek(init, sizeof init, &from, &subtype));
	assert_int_equal(from, 10);
	assert_int_equal(subtype, MESH_INIT);
	assert_int_equal(answer_to(p, 1, init, answer), MESH_MAC);
	init[1] = 4;
	assert_false(mesh_peek(init, sizeof init, &from, &subtype));
	assert_false(mesh_peek(init, 7, &from, &subtype));
	/* a public key that gives zeros with every secret */
	assert_int_not_equal(mesh_link_init(stranger, 10, &other, 11, (const uint8_t[KEY_SIZE]){0}), 0);
	free(stranger);
}

static void clocks_apart(void **state)
{
	struct pair_of_links *p = *state;
	uint8_t init[MESH_OPENING_SIZE], answer[MESH_OPENING_SIZE], packet[MESH_PACKET_MAX];
	struct instant wrong = p->now;
	struct mesh_answer a;

	/* an hour ahead: told so, kept out, and the right time is still good afterwards */
	wrong.cluster += TICKS_S(3600);
	assert_true(mesh_write_init(p->link[0], &wrong, boot_random, init));
	assert_int_equal(answer_to(p, 1, init, answer), MESH_ACCEPTED);
	assert_int_equal(mesh_read_answer(p->link[0], &wrong, answer, sizeof answer, &a),
			MESH_ACCEPTED);
	assert_int_equal(a.status, MESH_CLOCK);
	assert_int_equal(a.time, p->now.cluster);
	assert_int_equal(seal(p, 0, "no", packet), 0);
	assert_true(mesh_write_init(p->link[0], &wrong, boot_random, init));
	assert_int_equal(answer_to(p, 1, init, answer), MESH_OLD); /* not so often */
	assert_int_equal(mesh_link_init(p->link[0], 10, &p->key[0], 11, p->key[1].public), 0);
	shake_hands(p, 0);
	say(p, 0, "on time");
}

/* Everybody talks all the time, keys change, packets come late and in disorder: none is lost. */
static void renewal_under_traffic(void **state)
{
	struct pair_of_links *p = *state;
	uint8_t late[2][MESH_PACKET_MAX], init[MESH_OPENING_SIZE], answer[MESH_OPENING_SIZE];
	unsigned renewed = 0, lost_answers = 0;
	size_t n[2] = {0};
	struct mesh_answer a;

	shake_hands(p, 0);
	say(p, 0, "begin");
	for (unsigned i = 0; i < 10 * 600; i++) { /* 600 s, each 100 ms */
		pass(p, TICKS_MS(100));
		for (unsigned from = 0; from < 2; from++) {
			bool due = mesh_link_tick(p->link[from], &p->now);

			if (n[from]) /* of 100 ms ago, perhaps in the session before */
				assert_int_equal(open(p, !from, late[from], n[from], "late"),
						MESH_ACCEPTED);
			n[from] = seal(p, from, "late", late[from]);
			assert_int_not_equal(n[from], 0);
			say(p, from, "now");
			if (!due)
				continue;
			assert_true(mesh_write_init(p->link[from], &p->now, boot_random, init));
			assert_int_equal(answer_to(p, !from, init, answer), MESH_ACCEPTED);
			if (++lost_answers % 3)
				continue;
			assert_int_equal(mesh_read_answer(p->link[from], &p->now, answer,
					sizeof answer, &a), MESH_ACCEPTED);
			renewed++;
		}
	}
	assert_in_range(renewed, 4, 6);
}

/* Without renewal a session ends, and its keys are gone. */
static void sessions_end(void **state)
{
	struct pair_of_links *p = *state;
	uint8_t packet[MESH_PACKET_MAX];
	struct mesh_session gone = {0};

	shake_hands(p, 0);
	say(p, 0, "begin");
	size_t n = seal(p, 0, "kept", packet);
	pass(p, TICKS_S(180));
	assert_true(mesh_link_tick(p->link[0], &p->now));
	assert_true(mesh_link_tick(p->link[1], &p->now));
	for (unsigned i = 0; i < MESH_SESSIONS; i++)
		assert_memory_equal(&p->link[1]->session[i], &gone, sizeof gone);
	assert_int_equal(open(p, 1, packet, n, "kept"), MESH_SESSION);
	assert_int_equal(seal(p, 0, "over", packet), 0);
}

/* The numbers of a session end before the bitmap can no longer tell them apart. */
static void numbers_end(void **state)
{
	struct pair_of_links *p = *state;
	uint8_t packet[MESH_PACKET_MAX];

	shake_hands(p, 0);
	p->link[0]->session[MESH_CURRENT].next = UINT64_C(1) << 31;
	assert_true(mesh_link_tick(p->link[0], &p->now));
	p->link[0]->session[MESH_CURRENT].next = 0xffffffff;
	assert_int_not_equal(seal(p, 0, "the last", packet), 0);
	assert_int_equal(seal(p, 0, "none", packet), 0);
}

/* ---- messages ---- */

static void messages(void **state)
{
	struct heartbeat h = {.flags = HEARTBEAT_JOINING, .version = {1, 2, 3},
			.boot_random = {4, 5, 6}, .sent = 0x0102030405060708, .echo = 9, .echo_got = 10,
			.highest = {11, 12, 13}, .digest = 14, .withdrawn = 0x8003, .cluster_keys = {15, 16}},
			found;
	struct lineage_seeds seeds = {.count = KEYRING_LINEAGES}, got;
	uint8_t out[KEYS_SIZE_MAX + 64] = {0};
	uint64_t random = 77;

	(void)state;
	assert_int_equal(heartbeat_write(out, &h), HEARTBEAT_SIZE);
	assert_hex(out, "0101010203040506" "0102030405060708");
	assert_hex(out + HEARTBEAT_SIZE - 18, "8003" "000000000000000f" "0000000000000010");
	assert_true(heartbeat_read(&found, out, HEARTBEAT_SIZE));
	assert_memory_equal(&found, &h, sizeof h);
	assert_true(heartbeat_read(&found, out, HEARTBEAT_SIZE + 8)); /* a later version's */
	for (size_t n = 0; n < HEARTBEAT_SIZE; n++)
		assert_false(heartbeat_read(&found, out, n));

	for (unsigned i = 0; i < seeds.count; i++) {
		seeds.seed[i] = (struct lineage_seed){.generation = 9 - i, .id = next_random(&random),
				.epoch = 100 + i, .outranked = i};
		fill(&random, seeds.seed[i].k, KEY_SIZE);
	}
	size_t len = keys_write(out, &seeds);
	assert_int_equal(len, KEYS_SIZE_MAX);
	assert_true(keys_read(&got, out, len));
	assert_int_equal(got.count, seeds.count);
	for (unsigned i = 0; i < seeds.count; i++) {
		assert_int_equal(got.seed[i].generation, seeds.seed[i].generation);
		assert_int_equal(got.seed[i].id, seeds.seed[i].id);
		assert_int_equal(got.seed[i].epoch, seeds.seed[i].epoch);
		assert_int_equal(got.seed[i].outranked, seeds.seed[i].outranked);
		assert_memory_equal(got.seed[i].k, seeds.seed[i].k, KEY_SIZE);
	}
	for (size_t n = 0; n < len; n++)
		assert_false(keys_read(&got, out, n));
	out[1] = 255; /* of a later version that holds more: the first ones */
	assert_true(keys_read(&got, out, len));
	assert_int_equal(got.count, KEYRING_LINEAGES);
}

/* The epoch goes on at each server by itself: it does not count. */
static void digest(void **state)
{
	struct lineage_name a[2] = {{2, 7, 100}, {1, 9, 100}}, b[2] = {{2, 7, 101}, {1, 9, 101}};

	(void)state;
	assert_int_equal(lineages_digest(a, 2), lineages_digest(b, 2));
	assert_int_not_equal(lineages_digest(a, 2), lineages_digest(a, 1));
	assert_int_not_equal(lineages_digest(a, 0), lineages_digest(a, 1));
	b[1].id++;
	assert_int_not_equal(lineages_digest(a, 2), lineages_digest(b, 2));
}

static int setup(void **state)
{
	(void)state;
	return crypto_init(CRYPTO_AUTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(both_ways, begin, end),
		cmocka_unit_test_setup_teardown(crossing, begin, end),
		cmocka_unit_test_setup_teardown(not_crossing_for_ever, begin, end),
		cmocka_unit_test_setup_teardown(repeats, begin, end),
		cmocka_unit_test_setup_teardown(tampering, begin, end),
		cmocka_unit_test_setup_teardown(strangers, begin, end),
		cmocka_unit_test_setup_teardown(clocks_apart, begin, end),
		cmocka_unit_test_setup_teardown(renewal_under_traffic, begin, end),
		cmocka_unit_test_setup_teardown(sessions_end, begin, end),
		cmocka_unit_test_setup_teardown(numbers_end, begin, end),
		cmocka_unit_test(messages),
		cmocka_unit_test(digest),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
