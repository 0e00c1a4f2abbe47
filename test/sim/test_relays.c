/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * A connection controller and the servers that it asks: who may, from where and
 * how often; answers that are lost, servers that change, a client that restarts.
 * The table of relays is a simple one here, the same for all servers, as the
 * registry makes it; mode/relays.h is tested by itself.
 */
#include "proto/controller.h"
#include "test/sim/world.h"

#include <stdlib.h>

#define WORLD(...) world_new(&(struct world_options){__VA_ARGS__})
#define RELAYS     32

struct kept {
	uint8_t id[RELAY_ID_SIZE];
	uint32_t owner;
	ticks ends; /* true time; 0: removed */
};

/* A server's door to it. */
struct door {
	struct scene *s;
	bool ignorant; /* it has just started, and knows no relay */
};

struct told {
	unsigned answers, silences;
	struct relay_answer last;
};

struct scene {
	struct world *w;
	struct sim_client *c;
	struct controller controller;
	struct door door[WORLD_SERVERS];
	unsigned count, asked, pending;
	struct kept relay[RELAYS];
	struct told told;
};

/* ---- the table ---- */

static struct kept *kept_find(struct scene *s, const uint8_t id[RELAY_ID_SIZE])
{
	for (unsigned i = 0; i < s->count; i++)
		if (!memcmp(s->relay[i].id, id, RELAY_ID_SIZE) && s->relay[i].ends > s->w->net.now)
			return &s->relay[i];
	return NULL;
}

static int by_id(const void *a, const void *b)
{
	return memcmp(a, b, RELAY_ID_SIZE);
}

static struct relay_view kept_view(const struct scene *s, const struct kept *k)
{
	struct relay_view v = {.protocol = RELAY_UDP, .span = 1,
			.left = (uint32_t)((k->ends - s->w->net.now) / TICKS_PER_SEC)};

	memcpy(v.id, k->id, RELAY_ID_SIZE);
	v.side[0].kind = v.side[1].kind = RELAY_TOKEN;
	return v;
}

static void kept_list(struct scene *s, uint32_t owner, const uint8_t after[RELAY_ID_SIZE],
		struct relay_answer *a)
{
	qsort(s->relay, s->count, sizeof s->relay[0], by_id);
	for (unsigned i = 0; i < s->count; i++) {
		const struct kept *k = &s->relay[i];

		if (k->owner != owner || k->ends <= s->w->net.now || memcmp(k->id, after, RELAY_ID_SIZE) <= 0)
			continue;
		a->more = a->count == RELAY_PAGE;
		if (a->more)
			return;
		a->relay[a->count++] = kept_view(s, k);
	}
}

static struct kept *kept_add(struct scene *s, uint32_t owner, const uint8_t id[RELAY_ID_SIZE])
{
	struct kept *k = &s->relay[s->count++];

	assert_true(s->count <= RELAYS);
	*k = (struct kept){.owner = owner};
	memcpy(k->id, id, RELAY_ID_SIZE);
	return k;
}

static void control(void *arg, const struct instant *now, uint32_t owner,
		const struct relay_question *q, struct relay_answer *a)
{
	struct door *d = arg;
	struct scene *s = d->s;
	struct kept *k = d->ignorant ? NULL : kept_find(s, q->request.id);

	(void)now;
	s->asked++;
	if (q->op == RELAY_OP_LIST) {
		if (!d->ignorant)
			kept_list(s, owner, q->request.id, a);
		return;
	}
	if (q->op == RELAY_OP_ADD && !k)
		k = kept_add(s, owner, q->request.id);
	a->status = RELAY_STATUS_UNKNOWN;
	if (!k)
		return;
	a->status = s->pending ? RELAY_STATUS_PENDING : RELAY_STATUS_OK;
	s->pending -= s->pending > 0;
	if (q->op == RELAY_OP_REMOVE)
		k->ends = 0;
	else
		k->ends = s->w->net.now + TICKS_S(q->request.lifetime);
	if (a->status == RELAY_STATUS_OK && q->op != RELAY_OP_REMOVE)
		a->relay[a->count++] = kept_view(s, k);
}

static unsigned living(const struct scene *s)
{
	unsigned n = 0;

	for (unsigned i = 0; i < s->count; i++)
		n += s->relay[i].ends > s->w->net.now;
	return n;
}

/* ---- the scene ---- */

static struct scene *begin(unsigned servers)
{
	struct scene *s = calloc(1, sizeof *s);

	assert_non_null(s);
	s->w = WORLD(.servers = servers, .clients = 2, .keepalive = 20, .replicate = true,
			.record_lag = TICKS_MS(20));
	s->c = s->w->client[0];
	for (unsigned i = 0; i < servers; i++) {
		s->door[i].s = s;
		s->w->server[i].core->relay_control = control;
		s->w->server[i].core->relay_control_arg = &s->door[i];
		client_at(&s->w->server[i], 0)->rights |= RIGHT_RELAY;
	}
	controller_init(&s->controller, &s->c->u);
	s->controller.list_at = UINT64_MAX; /* until a test is about it */
	world_connect(s->w);
	return s;
}

static void end(struct scene *s)
{
	controller_free(&s->controller);
	world_free(s->w);
	free(s);
}

static void run(struct scene *s, ticks duration)
{
	for (ticks t = 0; t < duration; t += TICKS_MS(100)) {
		struct instant now = client_now(s->c);

		controller_tick(&s->controller, &now);
		client_tick(s->c);
		world_run(s->w, TICKS_MS(100));
	}
}

static void hear(void *arg, const struct instant *now, const struct relay_answer *a)
{
	struct told *t = arg;

	(void)now;
	t->answers += a != NULL;
	t->silences += a == NULL;
	if (a)
		t->last = *a;
}

static struct relay_request request(struct scene *s, uint16_t lifetime)
{
	struct relay_request q = {.protocol = RELAY_UDP, .span = 1, .lifetime = lifetime};

	for (unsigned i = 0; i < sizeof q.id; i++)
		q.id[i] = (uint8_t)net_random(&s->w->net);
	q.side[0].kind = q.side[1].kind = RELAY_TOKEN;
	return q;
}

static void ask(struct scene *s, enum relay_op op, const struct relay_request *q, ticks patience)
{
	struct instant now = client_now(s->c);

	check(&s->w->net, controller_ask(&s->controller, &now, op, q, patience, hear, &s->told));
	client_tick(s->c);
}

/* One that is there, by a controller that has been answered. */
static struct relay_request made(struct scene *s, uint16_t lifetime)
{
	struct relay_request q = request(s, lifetime);
	unsigned answers = s->told.answers;

	ask(s, RELAY_OP_ADD, &q, TICKS_S(10));
	run(s, TICKS_S(2));
	check_equal(&s->w->net, s->told.answers, answers + 1);
	check_equal(&s->w->net, s->told.last.status, RELAY_STATUS_OK);
	check(&s->w->net, kept_find(s, q.id) != NULL);
	return q;
}

/* ---- one question ---- */

static void asked_once_if_answered(void **state)
{
	struct scene *s = begin(1);
	struct relay_request q = made(s, 600);

	(void)state;
	check_equal(&s->w->net, s->asked, 1);
	check_equal(&s->w->net, s->told.last.count, 1);
	assert_memory_equal(s->told.last.relay[0].id, q.id, RELAY_ID_SIZE);
	check_equal(&s->w->net, s->controller.count, 1);
	ask(s, RELAY_OP_REMOVE, &q, TICKS_S(10));
	run(s, TICKS_S(1));
	check_equal(&s->w->net, living(s), 0);
	check_equal(&s->w->net, s->controller.count, 0);
	check_equal(&s->w->net, s->w->server[0].core->events[SERVER_RELAY_QUESTIONS], 2);
	end(s);
}

/* The relay is made, the controller does not hear of it: another server tells it. */
static void lost_answers_make_no_second_relay(void **state)
{
	struct scene *s = begin(3);
	struct relay_request q = request(s, 600);

	(void)state;
	s->c->down.cut = true;
	ask(s, RELAY_OP_ADD, &q, TICKS_S(30));
	for (unsigned i = 0; i < 9; i++) {
		s->w->chosen = i % 3;
		run(s, TICKS_MS(300));
	}
	check_equal(&s->w->net, s->told.answers, 0);
	check(&s->w->net, s->asked > 2);
	s->c->down.cut = false;
	run(s, TICKS_S(20));
	check_equal(&s->w->net, s->told.answers, 1);
	check_equal(&s->w->net, s->told.last.status, RELAY_STATUS_OK);
	check_equal(&s->w->net, s->count, 1);
	end(s);
}

static void loss_and_spray(void **state)
{
	struct scene *s = begin(3);

	(void)state;
	s->w->policy = POLICY_SPRAY;
	s->c->up.loss = s->c->down.loss = 300000;
	for (unsigned i = 0; i < 20; i++) {
		struct relay_request q = request(s, 600);

		ask(s, RELAY_OP_ADD, &q, TICKS_S(150)); /* a renewal may be lost as well */
		run(s, TICKS_S(20));
	}
	run(s, TICKS_S(150));
	check_equal(&s->w->net, s->told.answers, 20);
	check_equal(&s->w->net, s->count, 20);
	check_equal(&s->w->net, living(s), 20);
	end(s);
}

/* The registry has not shown the record yet: asked again, and only the end is told. */
static void pending_is_asked_again(void **state)
{
	struct scene *s = begin(2);
	struct relay_request q = request(s, 600);

	(void)state;
	s->pending = 5;
	ask(s, RELAY_OP_ADD, &q, TICKS_S(30));
	run(s, TICKS_S(3));
	check_equal(&s->w->net, s->told.answers, 1);
	check_equal(&s->w->net, s->told.last.status, RELAY_STATUS_OK);
	check_equal(&s->w->net, s->asked, 6);
	check_equal(&s->w->net, s->count, 1);
	/* the registry is away for longer than anybody waits: that is what is told */
	s->pending = 1000;
	ask(s, RELAY_OP_ADD, &q, TICKS_S(8));
	run(s, TICKS_S(9));
	check_equal(&s->w->net, s->told.answers, 2);
	check_equal(&s->w->net, s->told.last.status, RELAY_STATUS_PENDING);
	check_range(&s->w->net, s->asked, 20, 50);
	end(s);
}

static void nobody_answers(void **state)
{
	struct scene *s = begin(1);
	struct relay_request q = request(s, 600);

	(void)state;
	s->w->server[0].paused = true;
	ask(s, RELAY_OP_ADD, &q, TICKS_S(8));
	run(s, TICKS_S(7));
	check_equal(&s->w->net, s->told.silences, 0);
	run(s, TICKS_S(2));
	check_equal(&s->w->net, s->told.silences, 1);
	check_equal(&s->w->net, s->told.answers, 0);
	check_equal(&s->w->net, s->controller.count, 0);
	s->w->server[0].paused = false;
	run(s, TICKS_S(20));
	check_equal(&s->w->net, s->told.silences + s->told.answers, 1);
	end(s);
}

static void too_many_at_once(void **state)
{
	struct scene *s = begin(1);
	struct relay_request q = request(s, 600);
	struct instant now = client_now(s->c);

	(void)state;
	for (unsigned i = 0; i < UPLINK_QUESTIONS; i++)
		check(&s->w->net, controller_ask(&s->controller, &now, RELAY_OP_GET, &q, 0, hear,
				&s->told));
	check(&s->w->net, !controller_ask(&s->controller, &now, RELAY_OP_GET, &q, 0, hear, &s->told));
	run(s, TICKS_S(2));
	check_equal(&s->w->net, s->told.answers, UPLINK_QUESTIONS);
	ask(s, RELAY_OP_GET, &q, 0);
	end(s);
}

/* ---- who may, from where, how often ---- */

static void without_the_right(void **state)
{
	struct scene *s = begin(1);
	struct relay_request q = request(s, 600);

	(void)state;
	client_at(&s->w->server[0], 0)->rights &= (uint16_t)~RIGHT_RELAY;
	ask(s, RELAY_OP_ADD, &q, TICKS_S(10));
	run(s, TICKS_S(1));
	check_equal(&s->w->net, s->told.last.status, RELAY_STATUS_NO_RIGHT);
	check_equal(&s->w->net, s->asked, 0);
	client_at(&s->w->server[0], 0)->rights |= RIGHT_RELAY;
	s->w->server[0].core->relay_control = NULL;
	ask(s, RELAY_OP_ADD, &q, TICKS_S(10));
	run(s, TICKS_S(1));
	check_equal(&s->w->net, s->told.last.status, RELAY_STATUS_OFF);
	check_equal(&s->w->net, s->told.answers, 2);
	end(s);
}

static size_t seal_question(struct scene *s, const struct relay_request *q, uint8_t packet[PACKET_MAX])
{
	struct relay_question question = {.op = RELAY_OP_LIST, .number = 1, .request = *q};
	uint8_t plain[RELAY_QUESTION_SIZE];

	return client_seal(s->c, plain, relay_question_write(plain, &question), packet);
}

/* An answer may be larger than its question: nothing of it goes where nobody has shown to be. */
static void unproven_endpoints_are_told_nothing(void **state)
{
	struct endpoint elsewhere = {.ip = {[10] = 0xff, [11] = 0xff, 203, 0, 113, 9}, .port = 9};
	struct scene *s = begin(1);
	struct sim_server *server = &s->w->server[0];
	struct relay_request q = request(s, 600);
	struct ledger *l = world_watch(s->w, &elsewhere);
	uint8_t packet[PACKET_MAX];
	size_t len;

	(void)state;
	for (unsigned i = 0; i < 10; i++) {
		len = seal_question(s, &q, packet);
		check_equal(&s->w->net, server_take(server, &elsewhere, packet, len), DROP_BUDGET);
		l->in += len;
	}
	check_equal(&s->w->net, s->asked, 0);
	check(&s->w->net, l->out <= l->in);
	/* the client's own packets after a change of address: proven first, then answered */
	client_rebind(s->c);
	ask(s, RELAY_OP_ADD, &q, TICKS_S(10));
	run(s, TICKS_S(5));
	check(&s->w->net, server->drop[DROP_BUDGET] > 10);
	check_equal(&s->w->net, s->told.last.status, RELAY_STATUS_OK);
	check_equal(&s->w->net, s->asked, 1);
	end(s);
}

static void questions_are_limited(void **state)
{
	struct scene *s = begin(1);
	struct sim_server *server = &s->w->server[0];
	struct relay_request q = request(s, 600);
	struct instant now = server_now(server);
	uint8_t packet[PACKET_MAX];
	unsigned passed = 0;

	(void)state;
	world_run(s->w, TICKS_PER_SEC - now.boot % TICKS_PER_SEC); /* a second begins */
	for (unsigned i = 0; i < 200; i++)
		passed += server_take(server, &s->c->address, packet, seal_question(s, &q, packet)) ==
				DROP_NONE;
	check_equal(&s->w->net, passed, 50);
	check_equal(&s->w->net, s->asked, 50);
	check_equal(&s->w->net, server->drop[DROP_RATE], 150);
	run(s, TICKS_S(1));
	ask(s, RELAY_OP_ADD, &q, TICKS_S(10));
	run(s, TICKS_S(1));
	check_equal(&s->w->net, s->told.last.status, RELAY_STATUS_OK);
	end(s);
}

/* What was recorded changes nothing, at the same server or, within its 2 s, at another one. */
static void replays(void **state)
{
	struct scene *s = begin(2);
	struct recording r = {0};

	(void)state;
	recording_begin(s->w, &r);
	made(s, 600);
	check_equal(&s->w->net, recording_replay(&r, &s->w->server[0]), 0);
	recording_replay(&r, &s->w->server[1]);
	run(s, TICKS_S(1));
	check_equal(&s->w->net, s->count, 1);
	check_equal(&s->w->net, s->told.answers, 1);
	recording_end(s->w, &r);
	end(s);
}

/* ---- keeping relays ---- */

static void refreshed_while_it_runs(void **state)
{
	struct scene *s = begin(2);
	unsigned asked;

	(void)state;
	made(s, 30);
	asked = s->asked;
	for (unsigned i = 0; i < 60; i++) {
		s->w->chosen = i % 2;
		run(s, TICKS_S(10));
		check_equal(&s->w->net, living(s), 1);
	}
	check_range(&s->w->net, s->asked - asked, 55, 65); /* one each 10 s in 600 s */
	check_equal(&s->w->net, s->controller.lost, 0);
	s->c->asleep = true; /* gone: the relay ends by itself */
	world_run(s->w, TICKS_S(31));
	check_equal(&s->w->net, living(s), 0);
	end(s);
}

static void found_again_after_a_restart(void **state)
{
	struct scene *s = begin(2);
	struct uplink_options o = client_options(s->w, 0);

	(void)state;
	for (unsigned i = 0; i < 20; i++) /* three pages and more: four relays with tokens fill one */
		made(s, 60);
	kept_add(s, 2, (const uint8_t[RELAY_ID_SIZE]){7})->ends = s->w->net.now + TICKS_S(60);
	check_equal(&s->w->net, living(s), 21);
	controller_free(&s->controller);
	uplink_free(&s->c->u);
	client_begin(s->c, &o);
	controller_init(&s->controller, &s->c->u);
	run(s, TICKS_S(10));
	check_equal(&s->w->net, s->controller.listings, 1);
	check_equal(&s->w->net, s->controller.count, 20); /* the other client's is not among them */
	run(s, TICKS_S(1800));
	check_equal(&s->w->net, living(s), 20);
	check_equal(&s->w->net, s->controller.listings, 2);
	check_equal(&s->w->net, s->controller.lost, 0);
	end(s);
}

/* A server that has only just started says that it does not know. */
static void ignorance_is_no_end(void **state)
{
	struct scene *s = begin(1);

	(void)state;
	made(s, 60);
	s->door[0].ignorant = true;
	run(s, TICKS_S(40));
	check_equal(&s->w->net, s->controller.count, 1);
	check_equal(&s->w->net, living(s), 1);
	s->door[0].ignorant = false;
	run(s, TICKS_S(100));
	check_equal(&s->w->net, living(s), 1);
	check_equal(&s->w->net, s->controller.lost, 0);
	end(s);
}

static void removed_by_somebody_else(void **state)
{
	struct scene *s = begin(1);
	struct relay_request q = made(s, 60);
	unsigned asked;

	(void)state;
	kept_find(s, q.id)->ends = 0;
	run(s, TICKS_S(120));
	check_equal(&s->w->net, s->controller.count, 0);
	check_equal(&s->w->net, s->controller.lost, 1);
	asked = s->asked;
	run(s, TICKS_S(300));
	check_equal(&s->w->net, s->asked, asked);
	end(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(asked_once_if_answered),
		cmocka_unit_test(lost_answers_make_no_second_relay),
		cmocka_unit_test(loss_and_spray),
		cmocka_unit_test(pending_is_asked_again),
		cmocka_unit_test(nobody_answers),
		cmocka_unit_test(too_many_at_once),
		cmocka_unit_test(without_the_right),
		cmocka_unit_test(unproven_endpoints_are_told_nothing),
		cmocka_unit_test(questions_are_limited),
		cmocka_unit_test(replays),
		cmocka_unit_test(refreshed_while_it_runs),
		cmocka_unit_test(found_again_after_a_restart),
		cmocka_unit_test(ignorance_is_no_end),
		cmocka_unit_test(removed_by_somebody_else),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
