/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* The record of a relay, how records merge, and the token. */
#include <errno.h>

#include "proto/epoch.h"
#include "relay_make.h"

static uint64_t seed = 21;

static struct relay any(void)
{
	return make_relay(&seed, (unsigned)(next_random(&seed) % 64));
}

/* Of PROTOCOL.md. */
static struct relay example(void)
{
	struct relay r = {
		.version = 2, .server = 3, .protocol = RELAY_TCP, .span = 1, .settled = true,
		.owner = 16909060, .created = 1770000000, .expires = 1770000600,
		.side[0] = {.kind = RELAY_GIVEN, .v4 = true, .given = {.port = 22}, .port = 20001},
		.side[1] = {.kind = RELAY_TOKEN, .port = 30002},
	};

	for (unsigned i = 0; i < RELAY_ID_SIZE; i++)
		r.id[i] = (uint8_t)i;
	addr_from_v4(r.side[0].given.ip, (uint8_t[]){192, 0, 2, 7});
	r.side[1].leg[0] = (struct relay_leg){
		.generation = 1, .server = 4, .at = {.port = 40000}, .isn = 0x01020304,
		.ours = 0x05060708, .skip = 64, .wscale = 7, .our_wscale = 8, .sack = true,
		.mss = 1440, .window = 64240,
	};
	addr_parse("2001:db8::9", r.side[1].leg[0].at.ip);
	return r;
}

static void record_vector(void **state)
{
	struct relay r = example(), again;
	uint8_t bytes[RELAY_RECORD_MAX];

	(void)state;
	assert_int_equal(relay_write(bytes, &r), RELAY_RECORD_SIZE);
	assert_hex(bytes,
			"01020601" "000102030405060708090a0b0c0d0e0f" "0000000000000002" "00030000"
			"01020304" "0000000069800e80" "00000000698010d8"
			"01044e21" "00000000000000000000ffffc0000207" "0016"
			"04067532" "00000000000000000000000000000000" "0000"
			"00000000000000000000000000000000000000000000000000000000000000000000000000000000"
			"01010004" "20010db8000000000000000000000009" "9c40" "01020304" "05060708"
			"407805a0faf000000000");
	assert_true(relay_read(&again, bytes, RELAY_RECORD_SIZE));
	assert_true(relay_equal(&r, &again));
}

static void written_and_read(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		uint8_t bytes[RELAY_RECORD_MAX], again[RELAY_RECORD_MAX];
		struct relay r = any(), found;
		size_t len = relay_write(bytes, &r);

		assert_int_equal(len, r.span == 1 ? RELAY_RECORD_SIZE : RELAY_RECORD_MAX);
		assert_true(relay_read(&found, bytes, len));
		assert_true(relay_equal(&r, &found));
		assert_int_equal(relay_write(again, &found), len);
		assert_memory_equal(bytes, again, len);
		assert_false(relay_read(&found, bytes, len - 1));
		assert_false(relay_read(&found, bytes, len == RELAY_RECORD_SIZE ? RELAY_RECORD_MAX :
				RELAY_RECORD_SIZE));
	}
}

/* Each by one change of the example, which is sound. */
static void unsound(void **state)
{
	static const struct {
		unsigned at;
		uint8_t value;
	} wrong[] = {
		{0, 2},     /* format */
		{1, 0x12},  /* flags: unknown */
		{1, 6},     /* lost and not removed */
		{1, 10},    /* even without a span of 2 */
		{2, 17},    /* UDP with what only TCP has */
		{2, 1},     /* no such protocol */
		{3, 0},     /* span */
		{3, 2},     /* span that the length does not have */
		{27, 0},    /* version 0 */
		{20, 0xff}, /* versions that leave no room */
		{23, 2},
		{29, 0},    /* server 0 */
		{31, 1},    /* zeros */
		{52, 5},    /* kind */
		{52, 0},
		{52, 3},    /* learnt, with an endpoint */
		{52, 2},    /* host, with a port */
		{53, 6},    /* IPv4 called IPv6 */
		{53, 5},    /* no family */
		{73, 0},    /* given without its port */
		{74, 1},    /* given without endpoint */
		{75, 4},    /* IPv4 with a leg in IPv6 */
		{99, 9},    /* a server for a leg that is not latched */
		{136, 0},   /* generation 0 and not all zero */
		{137, 4},   /* flags */
		{139, 0},   /* leg without server */
		{166, 63},  /* skip */
	};
	struct relay r = example(), untouched;
	uint8_t bytes[RELAY_RECORD_MAX], changed[RELAY_RECORD_MAX];

	(void)state;
	relay_write(bytes, &r);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		memcpy(changed, bytes, sizeof changed);
		changed[wrong[i].at] = wrong[i].value;
		memset(&untouched, 0x5a, sizeof untouched);
		assert_false(relay_read(&untouched, changed, RELAY_RECORD_SIZE));
		for (size_t b = 0; b < sizeof untouched; b++)
			assert_int_equal(((uint8_t *)&untouched)[b], 0x5a);
	}
}

/* A leg elsewhere than its side says, ports that overlap or end beyond 65535. */
static void unsound_together(void **state)
{
	uint8_t bytes[RELAY_RECORD_MAX];
	struct relay r = example();

	(void)state;
	r.side[0].leg[0] = (struct relay_leg){.generation = 1, .server = 1, .at = r.side[0].given};
	assert_int_not_equal(relay_write(bytes, &r), 0);
	r.side[0].leg[0].at.port++;
	assert_int_equal(relay_write(bytes, &r), 0);
	r.side[0].leg[0].at.port--;
	r.side[0].leg[0].at.ip[15]++;
	assert_int_equal(relay_write(bytes, &r), 0);
	r = example();
	r.side[1].v4 = true;
	r.side[1].leg[0] = (struct relay_leg){0};
	assert_int_not_equal(relay_write(bytes, &r), 0);
	r.side[1].port = r.side[0].port;
	assert_int_equal(relay_write(bytes, &r), 0);
	r.protocol = RELAY_UDP;
	r.span = 2;
	r.side[1].port++;
	assert_int_equal(relay_write(bytes, &r), 0);
	r.side[1].port++;
	assert_int_equal(relay_write(bytes, &r), RELAY_RECORD_MAX);
	r.even = true;
	assert_int_equal(relay_write(bytes, &r), 0);
	r.even = false;
	r.side[1].port = 65535;
	assert_int_equal(relay_write(bytes, &r), 0);
	r.side[1].port = 65534;
	assert_int_not_equal(relay_write(bytes, &r), 0);
	r.side[0].given.port = 65535;
	assert_int_equal(relay_write(bytes, &r), 0);
	r = example();
	r.removed = true;
	assert_int_not_equal(relay_write(bytes, &r), 0);
	r.expires = 0; /* when is it to be forgotten? */
	assert_int_equal(relay_write(bytes, &r), 0);
}

/* ---- merging ---- */

static struct relay join(struct relay a, const struct relay *b)
{
	relay_merge(&a, b);
	return a;
}

/* Half the time of one request, as in a cluster that works. */
static void three(struct relay of[3])
{
	unsigned which = (unsigned)(next_random(&seed) % 8);

	for (unsigned i = 0; i < 3; i++)
		of[i] = make_relay(&seed, next_random(&seed) % 2 ? which : (unsigned)(next_random(&seed) % 8));
}

static void semilattice(void **state)
{
	unsigned news = 0;

	(void)state;
	for (unsigned i = 0; i < 50000; i++) {
		struct relay r[3], ab, ba, left, right, same;

		three(r);
		ab = join(r[0], &r[1]);
		ba = join(r[1], &r[0]);
		assert_true(relay_equal(&ab, &ba));
		assert_true(relay_sound(&ab));
		left = join(ab, &r[2]);
		right = join(r[1], &r[2]);
		right = join(r[0], &right);
		assert_true(relay_equal(&left, &right));
		same = r[0];
		assert_false(relay_merge(&same, &r[0]));
		/* it says whether anything was new */
		same = ab;
		assert_false(relay_merge(&same, &r[0]));
		same = r[0];
		assert_int_equal(relay_merge(&same, &r[1]), !relay_equal(&ab, &r[0]));
		news += !relay_equal(&ab, &r[0]);
	}
	assert_in_range(news, 10000, 49000);
}

/* A removal is not undone, however often those who did not know of it have refreshed. */
static void tombstones_stay(void **state)
{
	struct relay live = example(), dead = example();

	(void)state;
	dead.version++;
	dead.removed = true;
	dead.side[1].leg[0] = (struct relay_leg){0};
	assert_true(relay_merge(&live, &dead));
	assert_true(live.removed);
	assert_int_equal(live.side[1].leg[0].generation, 1);
	live = example();
	live.version = dead.version + 5;
	live.expires += 600;
	assert_true(relay_merge(&dead, &live)); /* the latch */
	assert_true(dead.removed);
	assert_int_equal(dead.version, example().version + 1);
	assert_true(relay_merge(&live, &dead));
	assert_true(live.removed);
}

/* Two servers latch one side: the lower number, whatever else they say. */
static void two_latches(void **state)
{
	struct relay a = example(), b = example();

	(void)state;
	b.side[1].leg[0].server = 2;
	b.side[1].leg[0].at.port = 5;
	assert_true(relay_merge(&a, &b));
	assert_int_equal(a.side[1].leg[0].at.port, 5);
	b = example();
	assert_false(relay_merge(&a, &b));
	b.side[1].leg[0].generation = 2;
	assert_true(relay_merge(&a, &b));
	assert_int_equal(a.side[1].leg[0].server, 4);
}

/* ---- tokens ---- */

static void token_vector(void **state)
{
	static const char wanted[] = "AAECAwQFBgcICQoLDA0ODwEAAAAAAAAAI-NFm1BXLEHNB96ztP-MT7XkOuN9uMgw";
	uint8_t secret[KEY_SIZE], key[KEY_SIZE], id[RELAY_ID_SIZE];
	char token[RELAY_TOKEN_SIZE + 1] = "";
	struct relay r = example();
	unsigned side;

	(void)state;
	memset(secret, 2, sizeof secret);
	relay_key(secret, key);
	assert_hex(key, "a96d567351185bc195150332e6e6c7249a00fa6081a113050000adcf543cdf9a");
	relay_token(key, r.id, 1, token);
	assert_string_equal(token, wanted);
	assert_true(relay_token_check(key, token, id, &side));
	assert_memory_equal(id, r.id, sizeof id);
	assert_int_equal(side, 1);
}

/* Every other character at every place, every other key, is no token. */
static void token_forged(void **state)
{
	uint8_t key[KEY_SIZE], id[RELAY_ID_SIZE], found[RELAY_ID_SIZE];
	char token[RELAY_TOKEN_SIZE], forged[RELAY_TOKEN_SIZE];
	unsigned side = 7;

	(void)state;
	fill(&seed, key, sizeof key);
	fill(&seed, id, sizeof id);
	relay_token(key, id, 0, token);
	for (unsigned at = 0; at < RELAY_TOKEN_SIZE; at++) {
		for (unsigned c = 0; c < 256; c++) {
			memcpy(forged, token, sizeof forged);
			forged[at] = (char)c;
			if (forged[at] != token[at])
				assert_false(relay_token_check(key, forged, found, &side));
		}
	}
	key[5] ^= 1;
	assert_false(relay_token_check(key, token, found, &side));
	assert_int_equal(side, 7);
	key[5] ^= 1;
	assert_true(relay_token_check(key, token, found, &side));
	assert_int_equal(side, 0);
}

/* With a good signature, and yet no side: ours alone could make it. */
static void token_of_no_side(void **state)
{
	uint8_t key[KEY_SIZE] = {3}, id[RELAY_ID_SIZE] = {4}, found[RELAY_ID_SIZE];
	char token[RELAY_TOKEN_SIZE];
	unsigned side;

	(void)state;
	relay_token(key, id, 2, token);
	assert_false(relay_token_check(key, token, found, &side));
}

static int set_up(void **state)
{
	(void)state;
	return crypto_init(CRYPTO_AUTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(record_vector),
		cmocka_unit_test(written_and_read),
		cmocka_unit_test(unsound),
		cmocka_unit_test(unsound_together),
		cmocka_unit_test(semilattice),
		cmocka_unit_test(tombstones_stay),
		cmocka_unit_test(two_latches),
		cmocka_unit_test(token_vector),
		cmocka_unit_test(token_forged),
		cmocka_unit_test(token_of_no_side),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
