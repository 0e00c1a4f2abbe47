/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * relay add, refresh, del, show; relays.  On a client its daemon asks the cluster;
 * on a server it is the operator who asks.  What is said twice with one id is done
 * once, so "not settled yet" is simply asked again.
 */
#include "ctl/ctl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/util.h"

#define ID_SIZE    16
#define PENDING_MS 200
#define PATIENCE_S 8

static bool is(json_t *answer, const char *key, const char *value)
{
	const char *text = json_string_value(json_object_get(answer, key));

	return text && !strcmp(text, value);
}

static const char *text_at(json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));

	return text ? text : "-";
}

/* The answer, once it is not "pending"; NULL: refused, and said so. */
static json_t *ask(const struct options *o, const char *line)
{
	struct timespec pause = {.tv_nsec = PENDING_MS * 1000000L}, now, begun;
	const char *id; /* the last word of a line, if it is there */
	json_t *answer;
	char *text;

	clock_gettime(CLOCK_MONOTONIC, &begun);
	for (;;) {
		answer = control_question(o, line, &text);
		if (!answer)
			return NULL;
		free(text);
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (!is(answer, "status", "pending") || now.tv_sec >= begun.tv_sec + PATIENCE_S)
			break;
		json_decref(answer);
		nanosleep(&pause, NULL);
	}
	if (!json_object_get(answer, "error"))
		return answer;
	failed("%s", text_at(answer, "error"));
	id = strstr(line, " id=");
	if (id && is(answer, "status", "pending"))
		failed("The same command with --id %s will be about the same relay.", id + 4);
	json_decref(answer);
	return NULL;
}

static int __attribute__((format(printf, 2, 3)))
make_line(char line[CONTROL_LINE_MAX], const char *format, ...)
{
	va_list list;

	va_start(list, format);
	int n = vsnprintf(line, CONTROL_LINE_MAX, format, list);
	va_end(list);
	if (n >= CONTROL_LINE_MAX)
		return failed("These arguments are longer than %d characters together.",
				CONTROL_LINE_MAX - 1);
	return 0;
}

/* ---- for people ---- */

static void print_side(json_t *side)
{
	const char *token = json_string_value(json_object_get(side, "token"));
	json_t *at;
	size_t i;

	printf("  %s sends to %s", text_at(side, "side"), text_at(side, "send_to"));
	json_array_foreach(json_object_get(side, "at"), i, at)
		printf("%s %s", i ? "," : "; it is at", json_string_value(at));
	putchar('\n');
	if (token)
		printf("    token %s\n", token);
}

static void print_relay(json_t *relay)
{
	json_t *ends = json_object_get(relay, "ends_s"), *side;
	char seconds[SECONDS_TEXT];
	size_t i;

	printf("relay %s %s", text_at(relay, "id"), text_at(relay, "protocol"));
	if (json_integer_value(json_object_get(relay, "span")) > 1)
		printf(", %lld ports a side", (long long)json_integer_value(json_object_get(relay, "span")));
	if (json_is_integer(ends))
		printf(", ends in %s unless refreshed", seconds_text(seconds, json_number_value(ends)));
	if (is(relay, "status", "unreachable"))
		fputs(", the far side does not answer or refuses", stdout);
	else if (!is(relay, "status", "ok"))
		printf(", %s", text_at(relay, "status"));
	putchar('\n');
	json_array_foreach(json_object_get(relay, "sides"), i, side)
		print_side(side);
}

static int show(const struct options *o, json_t *answer)
{
	json_t *relay = json_object_get(answer, "relay");
	int code = EXIT_OK;

	if (!answer)
		return EXIT_FAILED;
	if (o->json)
		code = print_json(json_incref(relay ? relay : answer));
	else if (relay)
		print_relay(relay);
	else
		puts("The relay is removed.");
	json_decref(answer);
	return code;
}

/* ---- commands ---- */

/* Drawn here, so that what is asked again is the same relay. */
static const char *drawn_id(char text[2 * ID_SIZE + 1])
{
	uint8_t id[ID_SIZE];

	random_bytes(id, sizeof id);
	for (unsigned i = 0; i < sizeof id; i++)
		sprintf(text + 2 * i, "%02x", id[i]);
	return text;
}

int cmd_relay_add(const struct options *o)
{
	char line[CONTROL_LINE_MAX], id[2 * ID_SIZE + 1];

	if (make_line(line, "relay add %s %s %s%s%s%s%s%s id=%s", o->argument, o->argument2, o->argument3,
			o->lifetime ? " lifetime=" : "", o->lifetime ? o->lifetime : "",
			o->span ? " span=" : "", o->span ? o->span : "", o->even ? " even" : "",
			o->id ? o->id : drawn_id(id)))
		return EXIT_FAILED;
	return show(o, ask(o, line));
}

int cmd_relay_refresh(const struct options *o)
{
	char line[CONTROL_LINE_MAX];

	if (make_line(line, "relay refresh %s%s%s", o->argument, o->lifetime ? " lifetime=" : "",
			o->lifetime ? o->lifetime : ""))
		return EXIT_FAILED;
	return show(o, ask(o, line));
}

int cmd_relay_del(const struct options *o)
{
	char line[CONTROL_LINE_MAX];

	if (make_line(line, "relay del %s", o->argument))
		return EXIT_FAILED;
	return show(o, ask(o, line));
}

int cmd_relay_show(const struct options *o)
{
	char line[CONTROL_LINE_MAX];

	if (make_line(line, "relay get %s", o->argument))
		return EXIT_FAILED;
	return show(o, ask(o, line));
}

/* Page after page, in the order of their ids; NULL: refused, and said so. */
static json_t *all_relays(const struct options *o)
{
	char line[CONTROL_LINE_MAX] = "relay list";
	json_t *all = json_array(), *page, *answer;
	bool more = true;

	while (more) {
		answer = ask(o, line);
		page = json_object_get(answer, "relays");
		if (!answer) {
			json_decref(all);
			return NULL;
		}
		more = json_is_true(json_object_get(answer, "more")) && json_array_size(page);
		json_array_extend(all, page);
		if (more && make_line(line, "relay list %s",
				text_at(json_array_get(page, json_array_size(page) - 1), "id")))
			more = false;
		json_decref(answer);
	}
	return all;
}

int cmd_relays(const struct options *o)
{
	json_t *all = all_relays(o), *relay;
	size_t i;

	if (!all)
		return EXIT_FAILED;
	if (o->json)
		return print_json(json_pack("{s:o}", "relays", all));
	if (!json_array_size(all))
		puts("There are no relays.");
	json_array_foreach(all, i, relay)
		print_relay(relay);
	json_decref(all);
	return EXIT_OK;
}
