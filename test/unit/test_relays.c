/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* The table of relays at one server: requests, ports, times, latches, what others say. */
#include <errno.h>
#include <stdlib.h>

#include "bytes.h"
#include "mode/relays.h"
#include "proto/wire.h"

#define BEGIN  1770000000
#define FIRST  20000
#define LAST   20199

struct told {
	struct relay published, was, now;
	unsigned publishes, news, changes, ends;
};

static const struct relay_keys keys = {.count = 1, .key = {{1}}};
static struct relays *t;
static struct relays_options options;
static struct told told;
static struct instant now;
static uint64_t seed;

static void changed(void *arg, const struct relay *was, const struct relay *is)
{
	(void)arg;
	assert_true(was || is);
	assert_true(!was || (was->settled && !was->removed));
	assert_true(!is || (is->settled && !is->removed));
	told.news += !was;
	told.ends += !is;
	told.changes += was && is;
	if (was)
		told.was = *was;
	if (is)
		told.now = *is;
}

static void publish(void *arg, const struct relay *r)
{
	(void)arg;
	assert_true(relay_sound(r));
	told.publishes++;
	told.published = *r;
}

static void begin(bool alone)
{
	static const struct prefix deny[] = {{{0x20, 0x01, 0x0d, 0xb8, 0xde}, 40}};

	relays_free(t);
	options = (struct relays_options){
		.server = 5, .keys = &keys, .has_v4 = true, .has_v6 = true, .port_first = FIRST,
		.port_last = LAST, .per_client = 4, .deny = deny, .deny_count = 1,
		.changed = changed, .publish = publish, .alone = alone,
	};
	addr_parse("192.0.2.1", options.anycast4);
	addr_parse("2001:db8::1", options.anycast6);
	t = relays_new(&options);
	assert_non_null(t);
	memset(&told, 0, sizeof told);
	now = (struct instant){TICKS_S((ticks)BEGIN), TICKS_S(1000)};
	relays_tick(t, &now);
}

static int set_up(void **state)
{
	(void)state;
	seed = 5;
	begin(true);
	return 0;
}

static int set_up_cluster(void **state)
{
	(void)state;
	seed = 6;
	begin(false);
	return 0;
}

static void pass(unsigned s)
{
	now.cluster += TICKS_S((ticks)s);
	now.boot += TICKS_S((ticks)s);
	assert_true(relays_tick(t, &now) > now.boot);
}

static struct relay_request request(enum relay_side_kind a, enum relay_side_kind b)
{
	const enum relay_side_kind kinds[] = {a, b};
	struct relay_request q = {.protocol = RELAY_UDP, .span = 1, .lifetime = 600};

	fill(&seed, q.id, sizeof q.id);
	for (unsigned i = 0; i < 2; i++) {
		q.side[i] = (struct relay_side){.kind = kinds[i], .v4 = true};
		if (kinds[i] == RELAY_GIVEN || kinds[i] == RELAY_HOST)
			addr_from_v4(q.side[i].given.ip, (uint8_t[]){198, 51, 100, (uint8_t)(7 + i)});
		if (kinds[i] == RELAY_GIVEN)
			q.side[i].given.port = 5060;
	}
	return q;
}

static struct relay add(uint32_t owner, const struct relay_request *q)
{
	struct relay r;

	assert_int_equal(relays_add(t, &now, owner, q, &r), RELAY_STATUS_OK);
	return r;
}

static enum relay_status get(uint32_t owner, const struct relay_request *q, struct relay *r)
{
	return relays_get(t, &now, owner, q->id, r);
}

static const struct relay *at(const struct relay *r, unsigned side, unsigned offset)
{
	unsigned found_side = 9, found_offset = 9;
	const struct relay *found = relays_at(t, &now, r->side[side].v4, r->protocol,
			(uint16_t)(r->side[side].port + offset), &found_side, &found_offset);

	if (found) {
		assert_int_equal(found_side, side);
		assert_int_equal(found_offset, offset);
	}
	return found;
}

static struct relays_counts counts(void)
{
	struct relays_counts c;

	relays_count(t, &c);
	return c;
}

/* ---- requests ---- */

static void made_once(void **state)
{
	struct relay_request q = request(RELAY_GIVEN, RELAY_TOKEN), other = q;
	struct relay r = add(7, &q), again;

	(void)state;
	assert_int_equal(told.news, 1);
	assert_int_equal(told.publishes, 1);
	assert_true(relay_equal(&told.published, &r));
	assert_in_range(r.side[0].port, FIRST, LAST);
	assert_int_equal(r.expires, BEGIN + 600);
	assert_non_null(at(&r, 0, 0));
	assert_non_null(at(&r, 1, 0));
	pass(5);
	again = add(7, &q);
	assert_true(relay_equal(&again, &r)); /* asking again refreshes nothing */
	assert_int_equal(told.publishes, 1);
	other.side[0].given.port++;
	assert_int_equal(relays_add(t, &now, 7, &other, &again), RELAY_STATUS_EXISTS);
	assert_int_equal(relays_add(t, &now, 8, &q, &again), RELAY_STATUS_NOT_YOURS);
	assert_int_equal(counts().relays, 1);
}

static void refused(void **state)
{
	struct relay_request q = request(RELAY_GIVEN, RELAY_LEARNT);
	struct relay r;

	(void)state;
	q.side[0].kind = 9;
	assert_int_equal(relays_add(t, &now, 7, &q, &r), RELAY_STATUS_MALFORMED);
	q = request(RELAY_GIVEN, RELAY_LEARNT);
	q.lifetime = 0;
	assert_int_equal(relays_add(t, &now, 7, &q, &r), RELAY_STATUS_MALFORMED);
	q = request(RELAY_LEARNT, RELAY_LEARNT);
	q.protocol = RELAY_TCP;
	q.span = 2;
	assert_int_equal(relays_add(t, &now, 7, &q, &r), RELAY_STATUS_MALFORMED);
	assert_int_equal(counts().relays, 0);
	relays_free(t);
	options.has_v6 = false;
	t = relays_new(&options);
	q = request(RELAY_LEARNT, RELAY_LEARNT);
	q.side[1].v4 = false;
	assert_int_equal(relays_add(t, &now, 7, &q, &r), RELAY_STATUS_FAMILY);
	assert_int_equal(told.publishes, 0);
}

static void denied(void **state)
{
	static const struct {
		const char *ip;
		bool always;
	} list[] = {
		{"192.0.2.1", true}, {"2001:db8::1", true}, {"127.0.0.1", true}, {"::1", true},
		{"0.0.0.1", true}, {"169.254.169.254", true}, {"fe80::1", true}, {"224.0.0.251", true},
		{"ff02::1", true}, {"255.255.255.255", true}, {"240.0.0.1", true},
		{"64:ff9b::a00:1", true}, {"2002:a00:1::1", true}, {"2001:0:1::1", true},
		{"2001:db8:de00::1", true}, {"10.1.2.3", false}, {"172.31.0.1", false},
		{"192.168.1.1", false}, {"100.64.0.1", false}, {"fd00::1", false}, {"fec0::1", false},
	};
	static const char *const good[] = {"198.51.100.1", "172.32.0.1", "100.128.0.1", "2001:db8::2",
		"11.0.0.1", "2001:db8:dd00::1"};
	uint8_t ip[16];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(list); i++) {
		struct relay_request q = request(RELAY_HOST, RELAY_LEARNT);
		struct relay r;

		assert_int_equal(addr_parse(list[i].ip, ip), 0);
		assert_true(relays_denied(t, ip));
		memcpy(q.side[0].given.ip, ip, 16);
		q.side[0].v4 = addr_is_v4(ip);
		assert_int_equal(relays_add(t, &now, 7, &q, &r), RELAY_STATUS_DENIED);
		relays_set_limits(t, 4, true, options.deny, 1);
		assert_int_equal(relays_denied(t, ip), list[i].always);
		relays_set_limits(t, 4, false, options.deny, 1);
	}
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(addr_parse(good[i], ip), 0);
		assert_false(relays_denied(t, ip));
	}
}

/* Living ones, and those that ended: a controller cannot use up the ports by making and removing. */
static void quotas(void **state)
{
	struct relay_request q;
	struct relay r;

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		q = request(RELAY_LEARNT, RELAY_LEARNT);
		add(7, &q);
	}
	q = request(RELAY_LEARNT, RELAY_LEARNT);
	assert_int_equal(relays_add(t, &now, 7, &q, &r), RELAY_STATUS_LIMIT);
	add(8, &q);
	pass(601); /* they end */
	for (unsigned i = 4; i < 4 * 8; i++) {
		q = request(RELAY_LEARNT, RELAY_LEARNT);
		add(7, &q);
		assert_int_equal(relays_remove(t, &now, 7, q.id), RELAY_STATUS_OK);
	}
	q = request(RELAY_LEARNT, RELAY_LEARNT);
	assert_int_equal(relays_add(t, &now, 7, &q, &r), RELAY_STATUS_LIMIT);
	assert_int_equal(counts().relays, 0);
	assert_int_equal(counts().dead, 33);
	assert_int_equal(counts().controllers, 2);
	pass(1201);
	add(7, &q);
	assert_int_equal(counts().dead, 0);
	assert_int_equal(counts().controllers, 1);
}

/* Every port is given once, spans lie together, and then there are none. */
static void ports_run_out(void **state)
{
	bool used[65536] = {false};
	struct relay_request q;
	struct relay r;

	(void)state;
	for (unsigned i = 0; i < 25; i++) {
		q = request(RELAY_LEARNT, RELAY_LEARNT);
		q.span = 2;
		q.even = true;
		r = add(0, &q);
		for (unsigned k = 0; k < 4; k++) {
			unsigned port = r.side[k % 2].port + k / 2;

			assert_in_range(port, FIRST, LAST);
			assert_false(used[port]);
			used[port] = true;
			assert_non_null(at(&r, k % 2, k / 2));
		}
		assert_int_equal(r.side[0].port % 2, 0);
	}
	assert_int_equal(counts().ports_free[1][0], 100);
	for (unsigned i = 0; i < 50; i++) {
		q = request(RELAY_LEARNT, RELAY_LEARNT);
		r = add(0, &q);
		for (unsigned k = 0; k < 2; k++) {
			assert_false(used[r.side[k].port]);
			used[r.side[k].port] = true;
		}
	}
	assert_int_equal(counts().ports_free[1][0], 0);
	q = request(RELAY_LEARNT, RELAY_LEARNT);
	assert_int_equal(relays_add(t, &now, 0, &q, &r), RELAY_STATUS_NO_PORTS);
	q.side[0].v4 = q.side[1].v4 = false;
	add(0, &q);
	q = request(RELAY_LEARNT, RELAY_LEARNT);
	q.protocol = RELAY_TCP;
	add(0, &q);
}

/* ---- times ---- */

static void ends_without_refresh(void **state)
{
	struct relay_request q = request(RELAY_GIVEN, RELAY_TOKEN);
	struct relay r = add(7, &q), found;
	const struct relay_leg leg = {.at = q.side[0].given};

	(void)state;
	pass(599);
	assert_int_equal(get(7, &q, &found), RELAY_STATUS_OK);
	assert_int_equal(relays_refresh(t, &now, 8, q.id, 600, &found), RELAY_STATUS_NOT_YOURS);
	assert_int_equal(relays_refresh(t, &now, 7, q.id, 600, &found), RELAY_STATUS_OK);
	assert_int_equal(found.expires, BEGIN + 599 + 600);
	assert_int_equal(told.publishes, 2);
	assert_int_equal(relays_refresh(t, &now, 7, q.id, 600, &found), RELAY_STATUS_OK);
	assert_int_equal(told.publishes, 2); /* within the second */
	pass(300);
	assert_true(relays_latch(t, &now, q.id, 0, 0, &leg, false)); /* traffic is no refresh */
	pass(299);
	assert_non_null(at(&r, 0, 0));
	pass(1);
	assert_null(at(&r, 0, 0));
	assert_int_equal(told.ends, 1);
	assert_int_equal(counts().expired, 1);
	assert_int_equal(get(7, &q, &found), RELAY_STATUS_UNKNOWN);
	assert_int_equal(relays_refresh(t, &now, 7, q.id, 600, &found), RELAY_STATUS_UNKNOWN);
	assert_int_equal(relays_add(t, &now, 7, &q, &found), RELAY_STATUS_EXISTS);
	assert_false(relays_latch(t, &now, q.id, 0, 0, &leg, false));
	pass(599);
	assert_non_null(relays_known(t, q.id));
	pass(1);
	assert_null(relays_known(t, q.id));
	assert_int_equal(counts().ports_free[1][0], LAST - FIRST + 1);
}

/* A lifetime is cut to the longest; only the operator's may be for ever, and is published anew by and by. */
static void lifetimes(void **state)
{
	struct relay_request q = request(RELAY_LEARNT, RELAY_LEARNT);
	struct relay r;

	(void)state;
	q.lifetime = 9999;
	assert_int_equal(add(7, &q).expires, BEGIN + RELAY_LIFETIME_MAX);
	q = request(RELAY_LEARNT, RELAY_LEARNT);
	q.lifetime = 0;
	r = add(0, &q);
	assert_int_equal(r.expires, 0);
	told.publishes = 0;
	pass(3599);
	assert_int_equal(told.publishes, 0);
	for (unsigned i = 0; i < 700; i++)
		pass(1);
	assert_int_equal(told.publishes, 1);
	assert_memory_equal(told.published.id, q.id, sizeof q.id);
	pass(1000000); /* the clock jumped, or the machine slept */
	assert_int_equal(get(0, &q, &r), RELAY_STATUS_OK);
	assert_int_equal(relays_refresh(t, &now, 0, q.id, 60, &r), RELAY_STATUS_OK);
	pass(60);
	assert_int_equal(get(0, &q, &r), RELAY_STATUS_UNKNOWN);
}

/* A removed one's ports are nobody's for a while, and older records do not bring it back. */
static void removal(void **state)
{
	struct relay_request q = request(RELAY_LEARNT, RELAY_LEARNT);
	struct relay r = add(7, &q), found;

	(void)state;
	assert_int_equal(relays_remove(t, &now, 8, q.id), RELAY_STATUS_NOT_YOURS);
	assert_int_equal(relays_remove(t, &now, 7, q.id), RELAY_STATUS_OK);
	assert_int_equal(relays_remove(t, &now, 7, q.id), RELAY_STATUS_OK); /* its answer was lost */
	assert_int_equal(told.ends, 1);
	assert_true(told.published.removed);
	assert_null(at(&r, 0, 0));
	assert_int_equal(relays_learn(t, &now, &r), RELAY_NEWS_MORE);
	assert_int_equal(get(7, &q, &found), RELAY_STATUS_UNKNOWN);
	assert_int_equal(relays_add(t, &now, 7, &q, &found), RELAY_STATUS_EXISTS);
	assert_int_equal(counts().ports_free[1][0], LAST - FIRST - 1);
	pass(RELAY_TOMBSTONE_S);
	assert_int_equal(counts().ports_free[1][0], LAST - FIRST + 1);
	assert_int_equal(relays_remove(t, &now, 7, q.id), RELAY_STATUS_UNKNOWN);
	fill(&seed, q.id, sizeof q.id);
	assert_int_equal(relays_refresh(t, &now, 7, q.id, 60, &found), RELAY_STATUS_UNKNOWN);
}

/* ---- looking ---- */

static void lists(void **state)
{
	uint8_t after[RELAY_ID_SIZE] = {0};
	struct relay_listed page[3];
	size_t count, sum = 0;
	struct relay_request q;

	(void)state;
	for (unsigned i = 0; i < 40; i++) {
		q = request(RELAY_LEARNT, RELAY_LEARNT);
		add(i % 10 == 3 ? 7 : 0, &q);
	}
	relays_note(t, q.id, RELAY_STATUS_UNREACHABLE);
	while ((count = relays_list(t, &now, 0, after, page, 3))) {
		for (size_t i = 0; i < count; i++) {
			assert_true(memcmp(page[i].relay.id, after, sizeof after) > 0);
			memcpy(after, page[i].relay.id, sizeof after);
			assert_int_equal(page[i].status, memcmp(after, q.id, sizeof after) ?
					RELAY_STATUS_OK : RELAY_STATUS_UNREACHABLE);
		}
		sum += count;
	}
	assert_int_equal(sum, 40);
	memset(after, 0, sizeof after);
	assert_int_equal(relays_list(t, &now, 7, after, page, 3), 3);
	assert_int_equal(relays_list(t, &now, 7, page[2].relay.id, page, 3), 1);
	assert_int_equal(relays_list(t, &now, 9, after, page, 3), 0);
}

/* ---- latches ---- */

static struct relay_leg leg_at(const char *text)
{
	struct relay_leg leg = {0};

	assert_int_equal(endpoint_parse(text, 0, &leg.at), 0);
	return leg;
}

static void latches(void **state)
{
	struct relay_request q = request(RELAY_HOST, RELAY_LEARNT);
	struct relay r = add(7, &q);
	struct relay_leg leg = leg_at("198.51.100.9:1000");

	(void)state;
	assert_false(relays_latch(t, &now, q.id, 0, 0, &leg, false)); /* another host */
	assert_false(relays_latch(t, &now, q.id, 0, 1, &leg, false)); /* no such port */
	leg = leg_at("198.51.100.7:1000");
	assert_true(relays_latch(t, &now, q.id, 0, 0, &leg, false));
	assert_int_equal(told.published.side[0].leg[0].generation, 1);
	assert_int_equal(told.published.side[0].leg[0].server, 5);
	assert_int_equal(told.changes, 1);
	assert_int_equal(told.publishes, 2);
	assert_true(relays_latch(t, &now, q.id, 0, 0, &leg, false)); /* once more: nothing new */
	assert_int_equal(told.publishes, 2);
	leg = leg_at("198.51.100.7:1001");
	assert_false(relays_latch(t, &now, q.id, 0, 0, &leg, false)); /* once and for all */
	assert_false(relays_latch(t, &now, q.id, 0, 0, &leg, true));
	/* never to where relays may not lead, nor of the other family */
	static const char *const bad[] = {"10.0.0.1:9", "192.0.2.1:20001", "127.0.0.1:9",
		"169.254.169.254:80", "[2001:db8::7]:9"};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		leg = leg_at(bad[i]);
		assert_false(relays_latch(t, &now, q.id, 1, 0, &leg, false));
	}
	leg = leg_at("203.0.113.5:9");
	assert_true(relays_latch(t, &now, q.id, 1, 0, &leg, false));
	assert_int_equal(at(&r, 1, 0)->side[1].leg[0].at.port, 9);
	assert_int_equal(counts().latches, 2);
}

static void token_latches(void **state)
{
	struct relay_request q = request(RELAY_GIVEN, RELAY_TOKEN);
	struct relay_leg leg = leg_at("203.0.113.5:9");

	(void)state;
	q.span = 2;
	add(7, &q);
	assert_false(relays_latch(t, &now, q.id, 1, 0, &leg, false));
	assert_true(relays_latch(t, &now, q.id, 1, 0, &leg, true));
	leg.at.port = 77;
	assert_true(relays_latch(t, &now, q.id, 1, 1, &leg, true)); /* RTCP from elsewhere */
	assert_true(relays_latch(t, &now, q.id, 1, 0, &leg, true)); /* it moved */
	assert_int_equal(told.published.side[1].leg[0].generation, 2);
	assert_int_equal(told.published.side[1].leg[1].generation, 1);
	leg.at.port = 78;
	assert_false(relays_latch(t, &now, q.id, 1, 0, &leg, true)); /* at most once a second */
	pass(1);
	assert_true(relays_latch(t, &now, q.id, 1, 0, &leg, true));
	for (unsigned i = 3; i < 255; i++) {
		leg.at.port++;
		pass(1);
		assert_true(relays_latch(t, &now, q.id, 1, 0, &leg, true));
	}
	leg.at.port++;
	pass(1);
	assert_false(relays_latch(t, &now, q.id, 1, 0, &leg, true)); /* generations are used up */
	/* the given side, at its second port */
	leg.at = q.side[0].given;
	assert_false(relays_latch(t, &now, q.id, 0, 1, &leg, false));
	leg.at.port++;
	assert_true(relays_latch(t, &now, q.id, 0, 1, &leg, false));
}

/* What the controller says of a side is where it is sent to, until its first packet comes; and again. */
static void hints(void **state)
{
	struct relay_request q = request(RELAY_HINTED, RELAY_HINTED);
	struct relay_leg leg = leg_at("203.0.113.5:9000");
	struct endpoint room, said = leg_at("198.51.100.7:8000").at;
	struct relay r;

	(void)state;
	q.span = 2;
	r = add(0, &q);
	assert_null(relay_side_at(&r.side[0], 0, &room));
	assert_int_equal(relays_hint(t, &now, 0, q.id, 0, &said, &r), RELAY_STATUS_OK);
	assert_false(relay_latched(&r.side[0], 0));
	assert_true(relay_unanswered(&r.side[0], 1));
	assert_int_equal(relay_side_at(&r.side[0], 0, &room)->port, 8000);
	assert_int_equal(relay_side_at(&r.side[0], 1, &room)->port, 8001);
	assert_true(relay_ready(&r, 1, 0));
	assert_false(relay_ready(&r, 0, 0)); /* nothing is known of side 2 */
	assert_true(relays_latch(t, &now, q.id, 0, 0, &leg, false));
	r = told.published;
	assert_true(relay_latched(&r.side[0], 0));
	assert_int_equal(r.side[0].leg[0].at.port, 9000);
	assert_true(relay_unanswered(&r.side[0], 1)); /* RTCP is learnt apart */
	leg.at.port++;
	assert_false(relays_latch(t, &now, q.id, 0, 0, &leg, false)); /* once learnt it stays */
	/* the side that has no hint is learnt all the same */
	assert_true(relays_latch(t, &now, q.id, 1, 0, &leg, false));
	assert_true(relay_latched(&told.published.side[1], 0));
	/* said anew: the same place changes nothing, another one is learnt anew */
	said = leg_at("203.0.113.5:9000").at;
	assert_int_equal(relays_hint(t, &now, 0, q.id, 0, &said, &r), RELAY_STATUS_OK);
	assert_true(relay_latched(&r.side[0], 0));
	said.port = 9100;
	assert_int_equal(relays_hint(t, &now, 0, q.id, 0, &said, &r), RELAY_STATUS_OK);
	assert_false(relay_latched(&r.side[0], 0));
	assert_int_equal(relay_side_at(&r.side[0], 0, &room)->port, 9100);
	assert_true(relays_latch(t, &now, q.id, 0, 0, &leg, false));
	assert_int_equal(told.published.side[0].leg[0].generation, 4);
	/* not to where relays may not lead, nor of another kind */
	said = leg_at("10.0.0.1:9").at;
	assert_int_equal(relays_hint(t, &now, 0, q.id, 1, &said, &r), RELAY_STATUS_DENIED);
	q = request(RELAY_LEARNT, RELAY_LEARNT);
	add(0, &q);
	said = leg_at("203.0.113.5:9").at;
	assert_int_equal(relays_hint(t, &now, 0, q.id, 0, &said, &r), RELAY_STATUS_DENIED);
	/* UDP alone: a TCP caller shows where it is by its SYN */
	q = request(RELAY_HINTED, RELAY_LEARNT);
	q.protocol = RELAY_TCP;
	assert_int_equal(relays_add(t, &now, 0, &q, &r), RELAY_STATUS_MALFORMED);
}

/* The far side's refusal is told until it answers. */
static void notes(void **state)
{
	struct relay_request q = request(RELAY_GIVEN, RELAY_LEARNT);
	struct relay_leg leg = {.at = q.side[0].given};
	struct relay r;

	(void)state;
	add(7, &q);
	relays_note(t, q.id, RELAY_STATUS_UNREACHABLE);
	assert_int_equal(get(7, &q, &r), RELAY_STATUS_UNREACHABLE);
	assert_memory_equal(r.id, q.id, sizeof q.id);
	assert_true(relays_latch(t, &now, q.id, 0, 0, &leg, false));
	assert_int_equal(get(7, &q, &r), RELAY_STATUS_OK);
}

/* ---- in a cluster ---- */

static void settles_when_shown(void **state)
{
	struct relay_request q = request(RELAY_GIVEN, RELAY_LEARNT);
	struct relay r, claim;

	(void)state;
	assert_int_equal(relays_add(t, &now, 7, &q, &r), RELAY_STATUS_PENDING);
	claim = told.published;
	assert_int_equal(told.news, 0);
	assert_null(at(&claim, 0, 0)); /* carries nothing yet */
	assert_int_equal(get(7, &q, &r), RELAY_STATUS_PENDING);
	assert_int_equal(relays_refresh(t, &now, 7, q.id, 60, &r), RELAY_STATUS_PENDING);
	assert_int_equal(relays_learn(t, &now, &claim), RELAY_NEWS_SAME); /* that is no showing */
	assert_int_equal(relays_add(t, &now, 7, &q, &r), RELAY_STATUS_PENDING);
	assert_int_equal(relays_shown(t, &now, &claim), RELAY_NEWS_MORE); /* settled */
	assert_int_equal(told.news, 1);
	assert_true(told.published.settled);
	r = add(7, &q);
	assert_true(relay_equal(&r, &told.published));
	assert_int_equal(relays_shown(t, &now, &r), RELAY_NEWS_SAME);
}

/* With the registry away it stays pending as long as its controller asks, and then is forgotten. */
static void pending_waits(void **state)
{
	struct relay_request q = request(RELAY_GIVEN, RELAY_LEARNT);
	struct relay r, first;

	(void)state;
	relays_add(t, &now, 7, &q, &r);
	first = told.published;
	for (unsigned i = 0; i < 100; i++) {
		pass(2);
		assert_int_equal(relays_add(t, &now, 7, &q, &r), RELAY_STATUS_PENDING);
	}
	assert_in_range(told.publishes, 50, 68); /* each 3 s at most, as a pair of calls is 4 s */
	assert_int_equal(told.published.side[0].port, first.side[0].port);
	pass(RELAY_PENDING_S + RELAY_PENDING_S / 2 + 2);
	assert_null(relays_known(t, q.id));
	assert_int_equal(counts().pending, 0);
	assert_int_equal(counts().ports_free[1][0], LAST - FIRST + 1);
	assert_int_equal(relays_learn(t, &now, &first), RELAY_NEWS_SAME); /* too old */
	assert_null(relays_known(t, q.id));
}

/* The registry shows what was published last. */
static void show_published(void)
{
	const struct relay r = told.published;

	relays_shown(t, &now, &r);
}

/* Another server's relay on the ports of this one's claim, with the same port on side 1. */
static struct relay rival(const struct relay *claim)
{
	struct relay other = *claim;

	fill(&seed, other.id, sizeof other.id);
	other.server = 9;
	other.side[1].port = (uint16_t)(claim->side[1].port == LAST ? FIRST : LAST);
	if (other.side[1].port == other.side[0].port)
		other.side[1].port--;
	return other;
}

static void second_draws_again(void **state)
{
	struct relay_request q = request(RELAY_GIVEN, RELAY_LEARNT);
	struct relay r, claim, other;

	(void)state;
	relays_add(t, &now, 7, &q, &r);
	claim = told.published;
	other = rival(&claim);
	relays_learn(t, &now, &other); /* heard of: decides nothing */
	assert_int_equal(told.publishes, 1);
	relays_shown(t, &now, &other); /* first */
	assert_int_equal(told.publishes, 2);
	assert_int_not_equal(told.published.side[0].port, claim.side[0].port);
	assert_int_equal(told.published.version, 2);
	assert_non_null(at(&other, 0, 0));
	relays_shown(t, &now, &claim); /* late, and no longer what is wanted */
	assert_int_equal(get(7, &q, &r), RELAY_STATUS_PENDING);
	claim = told.published;
	relays_shown(t, &now, &claim);
	r = add(7, &q);
	assert_int_equal(r.side[0].port, claim.side[0].port);
	assert_non_null(at(&r, 0, 0));
	assert_non_null(at(&other, 0, 0));
	assert_int_equal(counts().redrawn, 1);
}

static void first_keeps(void **state)
{
	struct relay_request q = request(RELAY_GIVEN, RELAY_LEARNT);
	struct relay r, claim, other;

	(void)state;
	relays_add(t, &now, 7, &q, &r);
	claim = told.published;
	relays_shown(t, &now, &claim);
	other = rival(&claim);
	relays_shown(t, &now, &other);
	assert_memory_equal(at(&claim, 0, 0)->id, claim.id, sizeof claim.id);
	assert_false(relays_known(t, other.id)->settled);
	assert_int_equal(counts().conflicts, 0);
	assert_null(at(&other, 1, 0));
	/* its maker is dead, and its controller asks here */
	memcpy(q.id, other.id, sizeof q.id);
	assert_int_equal(relays_add(t, &now, 7, &q, &r), RELAY_STATUS_PENDING);
	assert_int_equal(told.published.version, 2);
	assert_int_equal(told.published.server, 5);
	show_published();
	assert_int_equal(relays_add(t, &now, 7, &q, &r), RELAY_STATUS_OK);
}

/* Both were given away: the later one keeps, the other's controller hears of it and can make another. */
static void late_conflict(void **state)
{
	struct relay_request q = request(RELAY_GIVEN, RELAY_LEARNT);
	struct relay r, mine, other;

	(void)state;
	relays_add(t, &now, 7, &q, &r);
	show_published();
	mine = told.published;
	pass(5);
	other = rival(&mine);
	other.settled = true;
	other.created -= 100; /* a store from the day before */
	assert_int_equal(relays_learn(t, &now, &other), RELAY_NEWS_MORE);
	assert_true(relays_known(t, other.id)->lost);
	assert_non_null(at(&mine, 0, 0));
	other = rival(&mine);
	other.settled = true;
	other.created++;
	told.ends = 0;
	assert_int_equal(relays_learn(t, &now, &other), RELAY_NEWS_SAME);
	assert_int_equal(told.ends, 1);
	assert_memory_equal(at(&other, 0, 0)->id, other.id, sizeof other.id);
	assert_int_equal(get(7, &q, &r), RELAY_STATUS_LOST);
	assert_int_equal(relays_refresh(t, &now, 7, q.id, 60, &r), RELAY_STATUS_LOST);
	assert_int_equal(relays_add(t, &now, 7, &q, &r), RELAY_STATUS_LOST);
	assert_int_equal(relays_remove(t, &now, 7, q.id), RELAY_STATUS_OK);
	assert_int_equal(counts().conflicts, 2);
	relays_learn(t, &now, &mine); /* no way back */
	assert_int_equal(get(7, &q, &r), RELAY_STATUS_LOST);
	fill(&seed, q.id, sizeof q.id);
	assert_int_equal(relays_add(t, &now, 7, &q, &r), RELAY_STATUS_PENDING);
}

/* A claim never gets a port that is in quarantine, whoever has drawn it. */
static void quarantine_from_elsewhere(void **state)
{
	struct relay_request q = request(RELAY_GIVEN, RELAY_LEARNT);
	struct relay r, claim, dead;

	(void)state;
	relays_add(t, &now, 7, &q, &r);
	claim = told.published;
	dead = rival(&claim);
	dead.settled = dead.removed = true;
	dead.expires = BEGIN + 300;
	relays_learn(t, &now, &dead);
	assert_int_equal(told.published.version, 2);
	assert_int_not_equal(told.published.side[0].port, claim.side[0].port);
	show_published();
	assert_int_equal(relays_add(t, &now, 7, &q, &r), RELAY_STATUS_OK);
}

/* As high as they go: what the operator says next still stands, at all servers. */
static void versions_end(void **state)
{
	struct relay_request q = request(RELAY_LEARNT, RELAY_LEARNT);
	struct relay r = add(0, &q), other;

	(void)state;
	r.version = RELAY_VERSION_MAX;
	r.server = 9;
	assert_int_equal(relays_learn(t, &now, &r), RELAY_NEWS_SAME);
	pass(1);
	assert_int_equal(relays_refresh(t, &now, 0, q.id, 3600, &r), RELAY_STATUS_OK);
	assert_int_equal(r.version, RELAY_VERSION_MAX);
	other = *relays_known(t, q.id);
	assert_int_equal(relays_remove(t, &now, 0, q.id), RELAY_STATUS_OK);
	assert_true(told.published.removed && relay_sound(&told.published));
	assert_true(relay_merge(&other, &told.published));
	assert_true(other.removed);
}

/* Times that no server can have written: kept from the table, and healed where they came from. */
static void implausible_times(void **state)
{
	struct relay_request q = request(RELAY_LEARNT, RELAY_LEARNT), q2 = request(RELAY_LEARNT, RELAY_LEARNT);
	struct relay mine = add(7, &q), wrong = mine;
	struct relays_counts c;

	(void)state;
	wrong.version++;
	wrong.expires = UINT64_MAX;
	assert_int_equal(relays_learn(t, &now, &wrong), RELAY_NEWS_MORE);
	assert_int_equal(relays_shown(t, &now, &wrong), RELAY_NEWS_MORE);
	wrong.removed = true;
	wrong.expires = BEGIN + 100000;
	assert_int_equal(relays_learn(t, &now, &wrong), RELAY_NEWS_MORE);
	assert_true(relay_equal(relays_known(t, q.id), &mine));
	memcpy(wrong.id, q2.id, sizeof wrong.id);
	wrong.removed = false;
	wrong.expires = BEGIN + 600;
	wrong.created = UINT64_MAX;
	assert_int_equal(relays_learn(t, &now, &wrong), RELAY_NEWS_SAME);
	assert_null(relays_known(t, q2.id));
	relays_count(t, &c);
	assert_int_equal(c.implausible, 4);
	wrong.created = BEGIN + 60; /* a clock that is ahead */
	relays_learn(t, &now, &wrong);
	assert_non_null(relays_known(t, q2.id));
}

static void count_missing(void *arg, const struct relay *r, unsigned state)
{
	struct relay *last = arg;

	if (!(state & RELAY_NOT_MET))
		return;
	assert_int_equal(last->version, 0);
	*last = *r;
}

/* What a reading of the registry did not bring. */
static void missing(void **state)
{
	struct relay_request q = request(RELAY_GIVEN, RELAY_LEARNT), q2 = request(RELAY_LEARNT, RELAY_LEARNT);
	struct relay r, a, found = {0};

	(void)state;
	relays_add(t, &now, 7, &q, &r);
	a = told.published;
	relays_add(t, &now, 7, &q2, &r);
	relays_reading(t);
	relays_learn(t, &now, &a);
	relays_each(t, count_missing, &found);
	assert_memory_equal(found.id, q2.id, sizeof q2.id);
}

/* Two servers asked for the same relay draw the same ports: a repeated request needs no luck. */
static void same_ports_everywhere(void **state)
{
	struct relay_request q = request(RELAY_TOKEN, RELAY_TOKEN);
	struct relay r, claim;

	(void)state;
	relays_add(t, &now, 7, &q, &r);
	claim = told.published;
	begin(false);
	relays_add(t, &now, 7, &q, &r);
	assert_int_equal(told.published.side[0].port, claim.side[0].port);
	assert_int_equal(told.published.side[1].port, claim.side[1].port);
}

static int tear_down(void **state)
{
	(void)state;
	relays_free(t);
	t = NULL;
	return 0;
}

static int set_up_all(void **state)
{
	(void)state;
	return crypto_init(CRYPTO_AUTO);
}

#define ALONE(f)   cmocka_unit_test_setup_teardown(f, set_up, tear_down)
#define CLUSTER(f) cmocka_unit_test_setup_teardown(f, set_up_cluster, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ALONE(made_once), ALONE(refused), ALONE(denied), ALONE(quotas), ALONE(ports_run_out),
		ALONE(ends_without_refresh), ALONE(lifetimes), ALONE(removal), ALONE(lists),
		ALONE(latches), ALONE(token_latches), ALONE(hints), ALONE(notes), ALONE(versions_end),
		ALONE(implausible_times),
		CLUSTER(settles_when_shown), CLUSTER(pending_waits), CLUSTER(second_draws_again),
		CLUSTER(first_keeps), CLUSTER(late_conflict), CLUSTER(quarantine_from_elsewhere),
		CLUSTER(missing), CLUSTER(same_ports_everywhere),
	};

	return cmocka_run_group_tests(tests, set_up_all, NULL);
}
