/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Commands of SIP proxies, a line each, at one table of relays: whatever they say, the
 * answer is one line with the cookie, or there is none.
 */
#include "mode/rtpproxy.h"
#include "fuzz.h"

static const struct relay_keys keys = {.count = 1, .key = {{1}}};
static struct relays *t;
static struct rtpproxy proxy;

static void changed(void *arg, const struct relay *was, const struct relay *now)
{
	(void)arg;
	MUST((!was || relay_sound(was)) && (!now || relay_sound(now)));
}

static void publish(void *arg, const struct relay *r)
{
	(void)arg;
	MUST(relay_sound(r));
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct relays_options o = {.server = 1, .keys = &keys, .has_v4 = true, .has_v6 = true, .port_first = 20000,
		.port_last = 20063, .per_client = 4, .changed = changed, .publish = publish, .alone = true};

	(void)argc;
	(void)argv;
	MUST(crypto_init(CRYPTO_OPENSSL) == 0);
	addr_parse("192.0.2.7", o.anycast4);
	addr_parse("2001:db8:a::7", o.anycast6);
	t = relays_new(&o);
	MUST(t);
	proxy = (struct rtpproxy){.relays = t, .keys = &keys, .lifetime = 60, .ports = 64};
	memcpy(proxy.anycast4, o.anycast4, 16);
	memcpy(proxy.anycast6, o.anycast6, 16);
	return 0;
}

static void command(const struct instant *now, const char *line, size_t len)
{
	char answer[RTPPROXY_ANSWER_MAX];
	size_t answer_len;

	if (rtpproxy_command(&proxy, now, line, len, answer, &answer_len) != RTPPROXY_ANSWERED)
		return;
	MUST(answer_len > 2 && answer_len < sizeof answer && answer[answer_len] == 0);
	MUST(answer[answer_len - 1] == '\n' && answer[0] == line[strspn(line, " ")]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct instant now = {TICKS_S((ticks)1770000000), TICKS_S(1000)};
	char text[4096];
	const char *line = text, *end;

	size = MIN(size, sizeof text - 1);
	memcpy(text, data, size);
	text[size] = 0;
	for (; line < text + size; line = end + 1) {
		end = memchr(line, '\n', (size_t)(text + size - line));
		end = end ? end : text + size;
		command(&now, line, (size_t)(end - line));
	}
	now.cluster += TICKS_S(100); /* what was made ends, so that each input finds room */
	now.boot += TICKS_S(100);
	relays_tick(t, &now);
	return 0;
}
