/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* A controller's questions, answered from the table of relays. */
#include "bytes.h"
#include "mode/relay_control.h"

#define BEGIN 1770000000

static const struct relay_keys keys = {.count = 1, .key = {{1}}};
static struct relay_desk desk;
static struct instant now;
static struct relay_answer a;
static uint64_t seed;

static void publish(void *arg, const struct relay *r)
{
	*(struct relay *)arg = *r;
}

static void changed(void *arg, const struct relay *was, const struct relay *is)
{
	(void)arg;
	assert_true(was || is);
}

static struct relay published;

static void begin(bool alone)
{
	struct relays_options o = {.server = 5, .keys = &keys, .has_v4 = true, .has_v6 = true,
			.port_first = 20000, .port_last = 20199, .per_client = 10, .alone = alone,
			.changed = changed, .publish = publish, .arg = &published};

	seed = 19;
	now = (struct instant){TICKS_S((ticks)BEGIN), TICKS_S(1000)};
	addr_parse("192.0.2.1", desk.anycast4);
	addr_parse("2001:db8::1", desk.anycast6);
	memcpy(o.anycast4, desk.anycast4, 16);
	memcpy(o.anycast6, desk.anycast6, 16);
	desk.keys = &keys;
	relays_free(desk.relays);
	desk.relays = relays_new(&o);
	assert_non_null(desk.relays);
}

static int set_up(void **state)
{
	(void)state;
	begin(true);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	relays_free(desk.relays);
	desk.relays = NULL;
	return 0;
}

static enum relay_status ask(uint32_t owner, enum relay_op op, const struct relay_request *q)
{
	struct relay_question question = {.op = (uint8_t)op, .number = 7, .request = *q};

	relay_desk_answer(&desk, &now, owner, &question, &a);
	assert_int_equal(a.op, op);
	assert_int_equal(a.number, 7);
	return (enum relay_status)a.status;
}

/* UDP from a given side to one that shows a token. */
static struct relay_request request(void)
{
	struct relay_request q = {.protocol = RELAY_UDP, .span = 1, .lifetime = 600};

	fill(&seed, q.id, sizeof q.id);
	q.side[0] = (struct relay_side){.kind = RELAY_GIVEN, .v4 = true};
	endpoint_parse("203.0.113.5:5060", 0, &q.side[0].given);
	q.side[1] = (struct relay_side){.kind = RELAY_TOKEN};
	return q;
}

static struct relay_request made(uint32_t owner)
{
	struct relay_request q = request();

	assert_int_equal(ask(owner, RELAY_OP_ADD, &q), RELAY_STATUS_OK);
	return q;
}

/* Where to send, who the token is for, when it ends. */
static void what_is_told(void **state)
{
	struct relay_request q = made(3);
	const struct relay_view *v = &a.relay[0];
	uint8_t id[RELAY_ID_SIZE];
	unsigned side;

	(void)state;
	assert_int_equal(a.count, 1);
	assert_memory_equal(v->id, q.id, RELAY_ID_SIZE);
	assert_int_equal(v->left, 600);
	assert_int_equal(v->status, RELAY_STATUS_OK);
	assert_memory_equal(v->side[0].ours.ip, desk.anycast4, 16);
	assert_memory_equal(v->side[1].ours.ip, desk.anycast6, 16);
	for (unsigned i = 0; i < 2; i++) {
		assert_in_range(v->side[i].ours.port, 20000, 20199);
		assert_false(v->side[i].latched[0]);
	}
	assert_true(endpoint_equal(&v->side[0].given, &q.side[0].given));
	assert_true(relay_token_check(keys.key[0], v->side[1].token, id, &side));
	assert_memory_equal(id, q.id, RELAY_ID_SIZE);
	assert_int_equal(side, 1);
	now.cluster += TICKS_S(100);
	now.boot += TICKS_S(100);
	assert_int_equal(ask(3, RELAY_OP_GET, &q), RELAY_STATUS_OK);
	assert_int_equal(a.relay[0].left, 500);
	q.lifetime = 60;
	assert_int_equal(ask(3, RELAY_OP_REFRESH, &q), RELAY_STATUS_OK);
	assert_int_equal(a.relay[0].left, 60);
}

static void what_was_learnt(void **state)
{
	struct relay_request q = made(3);
	struct relay_leg leg = {0};

	(void)state;
	endpoint_parse("[2001:db8:5::5]:4000", 0, &leg.at);
	relays_lock(desk.relays);
	relays_note(desk.relays, q.id, RELAY_STATUS_UNREACHABLE);
	relays_unlock(desk.relays);
	assert_int_equal(ask(3, RELAY_OP_GET, &q), RELAY_STATUS_OK);
	assert_int_equal(a.relay[0].status, RELAY_STATUS_UNREACHABLE);
	memset(q.id, 0, sizeof q.id);
	assert_int_equal(ask(3, RELAY_OP_LIST, &q), RELAY_STATUS_OK);
	assert_int_equal(a.relay[0].status, RELAY_STATUS_UNREACHABLE);
	relays_lock(desk.relays);
	assert_true(relays_latch(desk.relays, &now, a.relay[0].id, 1, 0, &leg, true));
	relays_unlock(desk.relays);
	assert_int_equal(ask(3, RELAY_OP_LIST, &q), RELAY_STATUS_OK);
	assert_true(a.relay[0].side[1].latched[0]);
	assert_true(endpoint_equal(&a.relay[0].side[1].at[0], &leg.at));
	assert_false(a.relay[0].side[0].latched[0]);
}

static void others_relays(void **state)
{
	struct relay_request q = made(3);

	(void)state;
	assert_int_equal(ask(4, RELAY_OP_GET, &q), RELAY_STATUS_NOT_YOURS);
	assert_int_equal(a.count, 0);
	assert_int_equal(ask(4, RELAY_OP_REFRESH, &q), RELAY_STATUS_NOT_YOURS);
	assert_int_equal(ask(4, RELAY_OP_REMOVE, &q), RELAY_STATUS_NOT_YOURS);
	assert_int_equal(ask(0, RELAY_OP_GET, &q), RELAY_STATUS_OK);
	assert_int_equal(ask(3, RELAY_OP_REMOVE, &q), RELAY_STATUS_OK);
	assert_int_equal(a.count, 0);
	assert_int_equal(ask(3, RELAY_OP_GET, &q), RELAY_STATUS_UNKNOWN);
}

/* Everybody's own, in pages, each relay once. */
static void pages(void **state)
{
	struct relay_request from = {0};
	unsigned listed = 0;

	(void)state;
	for (unsigned i = 0; i < 10; i++)
		made(3);
	made(4);
	do {
		assert_int_equal(ask(3, RELAY_OP_LIST, &from), RELAY_STATUS_OK);
		assert_true(a.count > 0 && a.count <= RELAY_PAGE);
		for (unsigned i = 0; i < a.count; i++) {
			assert_true(memcmp(a.relay[i].id, from.id, RELAY_ID_SIZE) > 0);
			memcpy(from.id, a.relay[i].id, RELAY_ID_SIZE);
		}
		listed += a.count;
	} while (a.more);
	assert_int_equal(listed, 10);
	memset(&from, 0, sizeof from);
	ask(0, RELAY_OP_LIST, &from);
	assert_true(a.more);
}

static void refusals(void **state)
{
	struct relay_request q = request();

	(void)state;
	q.side[1].v4 = true;
	q.side[1].kind = 9;
	assert_int_equal(ask(3, RELAY_OP_ADD, &q), RELAY_STATUS_MALFORMED);
	assert_int_equal(ask(3, 99, &q), RELAY_STATUS_MALFORMED);
	q = request();
	q.lifetime = 0; /* for ever, which is not a client's to ask */
	assert_int_not_equal(ask(3, RELAY_OP_ADD, &q), RELAY_STATUS_OK);
	assert_int_equal(ask(0, RELAY_OP_ADD, &q), RELAY_STATUS_OK);
	assert_true(a.relay[0].left == RELAY_FOR_EVER);
	relays_free(desk.relays);
	desk.relays = NULL;
	assert_int_equal(ask(3, RELAY_OP_ADD, &q), RELAY_STATUS_OFF);
	assert_int_equal(ask(3, RELAY_OP_LIST, &q), RELAY_STATUS_OFF);
}

/* In a cluster: pending until the registry has shown it. */
static void pending(void **state)
{
	struct relay_request q = request(), all = {0};

	(void)state;
	begin(false);
	assert_int_equal(ask(3, RELAY_OP_ADD, &q), RELAY_STATUS_PENDING);
	assert_int_equal(a.count, 0);
	assert_int_equal(ask(3, RELAY_OP_LIST, &all), RELAY_STATUS_OK);
	assert_int_equal(a.count, 1);
	assert_int_equal(a.relay[0].status, RELAY_STATUS_PENDING);
	relays_lock(desk.relays);
	relays_shown(desk.relays, &now, &published);
	relays_unlock(desk.relays);
	assert_int_equal(ask(3, RELAY_OP_ADD, &q), RELAY_STATUS_OK);
	assert_int_equal(a.count, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_was_learnt, set_up, tear_down),
		cmocka_unit_test_setup_teardown(others_relays, set_up, tear_down),
		cmocka_unit_test_setup_teardown(pages, set_up, tear_down),
		cmocka_unit_test_setup_teardown(refusals, set_up, tear_down),
		cmocka_unit_test_setup_teardown(pending, set_up, tear_down),
	};

	crypto_init(CRYPTO_OPENSSL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
