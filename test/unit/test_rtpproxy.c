/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* rtpproxy's control protocol: each command, and lines that are none. */
#include <stdio.h>
#include <stdlib.h>

#include "bytes.h"
#include "mode/rtpproxy.h"

static struct relay_keys keys;
static struct relays *t;
static struct rtpproxy proxy;
static struct instant now = {TICKS_S((ticks)1770000000), TICKS_S(1000)};
static char answer[RTPPROXY_ANSWER_MAX];
static struct relay last; /* as it was told last */

static void changed(void *arg, const struct relay *was, const struct relay *is)
{
	(void)arg;
	(void)was;
	if (is)
		last = *is;
}

static void publish(void *arg, const struct relay *r)
{
	(void)arg;
	(void)r;
}

static int begin(void **state)
{
	struct relays_options o = {
		.server = 1, .keys = &keys, .has_v4 = true, .has_v6 = true, .port_first = 20000,
		.port_last = 20009, .per_client = 4, .changed = changed, .publish = publish,
		.alone = true,
	};

	(void)state;
	addr_parse("192.0.2.7", o.anycast4);
	addr_parse("2001:db8:a::7", o.anycast6);
	relays_free(t);
	t = relays_new(&o);
	assert_non_null(t);
	relays_tick(t, &now);
	keys = (struct relay_keys){.count = 1, .key = {{2}}};
	proxy = (struct rtpproxy){.relays = t, .keys = &keys, .lifetime = 3600, .ports = 10};
	memcpy(proxy.anycast4, o.anycast4, 16);
	memcpy(proxy.anycast6, o.anycast6, 16);
	return 0;
}

static const char *say(const char *line)
{
	size_t len;

	answer[0] = 0;
	if (rtpproxy_command(&proxy, &now, line, strlen(line), answer, &len) != RTPPROXY_ANSWERED)
		return NULL;
	assert_int_equal(len, strlen(answer));
	return answer;
}

static unsigned port_of(const char *line)
{
	const char *said = say(line);

	assert_non_null(said);
	assert_memory_equal(said, "c ", 2);
	return (unsigned)strtoul(said + 2, NULL, 10);
}

static void versions(void **state)
{
	(void)state;
	assert_string_equal(say("123_4 V"), "123_4 20040107\n");
	assert_string_equal(say("c VF 20040107\n"), "c 1\n");
	assert_string_equal(say("c VF 20050322"), "c 1\n");
	assert_string_equal(say("c VF 20071116"), "c 0\n");
	assert_string_equal(say("c VF"), "c E1\n");
	assert_string_equal(say("c Vx"), "c E0\n");
	assert_string_equal(say("c X"), "c E0\n");
}

static void a_call(void **state)
{
	unsigned callee, caller;
	char line[128];

	(void)state;
	assert_string_equal(say("c L abc 198.51.100.2 6000 from;1 to;1"), "c 0\n");
	callee = port_of("c UAc0 abc 203.0.113.5 7000 from;1");
	snprintf(line, sizeof line, "c %u 192.0.2.7\n", callee);
	assert_string_equal(answer, line);
	assert_int_equal(callee % 2, 0);
	assert_int_equal(last.span, 2);
	assert_int_equal(last.protocol, RELAY_UDP);
	assert_int_equal(last.side[1].port, callee);
	assert_int_equal(last.side[0].leg[1].at.port, 7001); /* RTCP */
	assert_int_equal(port_of("c U abc 203.0.113.5 7000 from;1"), callee); /* once more */
	caller = port_of("c L abc 198.51.100.2 6000 from;1 to;1");
	assert_int_equal(caller, last.side[0].port);
	assert_int_equal(last.side[1].leg[0].at.port, 6000);
	/* the callee offers anew: its request has the tags the other way round */
	assert_int_equal(port_of("c U abc 198.51.100.2 6002 to;1 from;1"), caller);
	assert_int_equal(last.side[1].leg[0].at.port, 6002);
	assert_int_equal(port_of("c L abc 203.0.113.5 7000 to;1 from;1"), callee);
	/* a second stream is another relay */
	assert_int_not_equal(port_of("c U abc 203.0.113.5 7002 from;2"), callee);
	assert_string_equal(say("c D abc to from"), "c 0\n"); /* BYE of the callee: both streams */
	assert_string_equal(say("c D abc to from"), "c 0\n"); /* once more */
	assert_string_equal(say("c D other from"), "c E50\n");
	assert_string_equal(say("c L abc 198.51.100.2 6000 from;1 to;1"), "c 0\n"); /* it has ended */
}

/* An INVITE that was refused (401) and comes again has the same Call-ID and tag. */
static void made_again(void **state)
{
	(void)state;
	assert_true(port_of("c U abc 203.0.113.5 7000 from;1") > 0);
	assert_string_equal(say("c D abc from"), "c 0\n");
	proxy.ports = 0; /* the ports of what has ended are kept for a while: there are few here */
	assert_true(port_of("c U abc 203.0.113.5 7000 from;1") > 0);
	assert_true(port_of("c L abc 198.51.100.2 6000 from;1 to;1") > 0);
	assert_string_equal(say("c D abc from to"), "c 0\n");
	assert_string_equal(say("c L abc 198.51.100.2 6000 from;1 to;1"), "c 0\n");
}

/* The cluster's key is changed while it is on: all that is said of it then finds it, and ends it. */
static void a_call_outlives_a_change_of_the_key(void **state)
{
	static const struct relay_keys next = {.count = 2, .own = 1, .key = {{3}, {2}}},
		after = {.count = 2, .key = {{3}, {2}}}, later = {.count = 2, .key = {{4}, {3}}};
	unsigned callee = port_of("c U abc 203.0.113.5 7000 from;1"), caller;

	(void)state;
	keys = next;
	assert_int_equal(port_of("c U abc 203.0.113.5 7000 from;1"), callee);
	caller = port_of("c L abc 198.51.100.2 6000 from;1 to;1");
	keys = after;
	assert_int_equal(port_of("c U abc 203.0.113.5 7000 from;1"), callee);
	assert_int_equal(port_of("c U abc 198.51.100.2 6002 to;1 from;1"), caller);
	assert_string_equal(say("c D abc from to"), "c 0\n");
	assert_string_equal(say("c L abc 198.51.100.2 6000 from;1 to;1"), "c 0\n");
	/* offered again: made with the new key, and found by servers that have it as the next one */
	callee = port_of("c U abc 203.0.113.5 7000 from;1");
	assert_string_equal(say("c D other from"), "c E50\n");
	keys = next;
	assert_int_equal(port_of("c U abc 203.0.113.5 7000 from;1"), callee);
	keys = later;
	assert_int_equal(port_of("c U abc 203.0.113.5 7000 from;1"), callee);
	assert_string_equal(say("c D abc from"), "c 0\n");
}

/* Its ports turned out to be another one's: the next offer makes another relay. */
static void a_lost_relay_is_made_again(void **state)
{
	struct relay lost;

	(void)state;
	proxy.ports = 0;
	port_of("c U abc 203.0.113.5 7000 from;1");
	lost = last;
	relay_raise(&lost);
	lost.removed = lost.lost = true;
	lost.expires += 600;
	relays_learn(t, &now, &lost);
	assert_true(port_of("c U abc 203.0.113.5 7000 from;1") > 0);
	assert_int_not_equal(last.id[RELAY_ID_SIZE - 1], lost.id[RELAY_ID_SIZE - 1]);
	assert_true(port_of("c L abc 198.51.100.2 6000 from;1 to;1") > 0);
}

/* An address behind a NAT is no place to send to, and no reason to refuse the call. */
static void private_addresses(void **state)
{
	(void)state;
	assert_true(port_of("c U nat 10.1.0.2 7000 from;1") > 0);
	assert_int_equal(last.side[0].leg[0].generation, 0);
	assert_true(port_of("c U six 2001:db8:9::5 7000 from;1") > 0);
	assert_non_null(strstr(answer, " 2001:db8:a::7 6\n"));
}

static void no_ports(void **state)
{
	char line[64];
	unsigned made = 0;

	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		snprintf(line, sizeof line, "c U call%u 203.0.113.5 7000 from;1", i);
		made += strcmp(say(line), "c E71\n") != 0;
	}
	assert_int_equal(made, 2); /* ten ports, four for each */
	assert_non_null(strstr(say("c I"), "sessions created: 2\nactive sessions: 2\n"));
}

static void malformed(void **state)
{
	static const char *const silent[] = {"", "c", " ", "\n", "c \x01", "\xff V"};
	static const char *const wrong[] = {
		"c U", "c U call", "c U call 203.0.113.5 7000", "c U call nowhere 7000 from;1",
		"c U call 203.0.113.5 65536 from;1", "c U call 203.0.113.5 x from;1",
		"c U call 203.0.113.5 7000 from;0", "c U call 203.0.113.5 7000 from;17",
		"c U call 203.0.113.5 7000 ;1", "c U call 203.0.113.5 7000 from;", "c D call",
	};
	char line[RTPPROXY_LINE_MAX + 2];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(silent); i++)
		assert_null(say(silent[i]));
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_string_equal(say(wrong[i]), "c E1\n");
	memset(line, 'c', sizeof line);
	memcpy(line + 3, " V ", 3);
	line[RTPPROXY_LINE_MAX] = 0;
	assert_non_null(say(line));
	line[RTPPROXY_LINE_MAX] = 'c';
	line[RTPPROXY_LINE_MAX + 1] = 0;
	assert_null(say(line)); /* too long */
	memset(line, 'c', 65);
	assert_null(say(line)); /* a cookie longer than any */
}

static int end(void **state)
{
	(void)state;
	relays_free(t);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(versions, begin),
		cmocka_unit_test_setup(a_call, begin),
		cmocka_unit_test_setup(made_again, begin),
		cmocka_unit_test_setup(a_call_outlives_a_change_of_the_key, begin),
		cmocka_unit_test_setup(a_lost_relay_is_made_again, begin),
		cmocka_unit_test_setup(private_addresses, begin),
		cmocka_unit_test_setup(no_ports, begin),
		cmocka_unit_test_setup(malformed, begin),
	};
	return cmocka_run_group_tests(tests, NULL, end);
}
