/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* status, sessions, servers, reload …: one question to the daemon, its answer rendered. */
#include "ctl/ctl.h"

#include <stdio.h>
#include <stdlib.h>

/* As control_question(), of what has not been refused. */
static json_t *ask(const struct options *o, const char *line, char **text)
{
	json_t *answer = control_question(o, line, text);
	const char *refused = json_string_value(json_object_get(answer, "error"));

	if (!refused)
		return answer;
	failed("%s", refused);
	json_decref(answer);
	free(*text);
	return NULL;
}

static int show(const struct options *o, const char *line, void (*render)(json_t *))
{
	char *text;
	json_t *answer = ask(o, line, &text);

	if (!answer)
		return EXIT_FAILED;
	if (o->json)
		fputs(text, stdout);
	else
		render(answer);
	json_decref(answer);
	free(text);
	return EXIT_OK;
}

int cmd_status(const struct options *o)
{
	return show(o, "status", render_status);
}

int cmd_sessions(const struct options *o)
{
	return show(o, "sessions", render_sessions);
}

int cmd_servers(const struct options *o)
{
	return show(o, "servers", render_servers);
}

static void render_rotated(json_t *answer)
{
	printf("New epoch keys are in use; %lld living servers have them or are being sent them.\n",
			(long long)json_integer_value(json_object_get(answer, "servers")));
}

int cmd_epoch_rotate(const struct options *o)
{
	return show(o, "epoch rotate", render_rotated);
}

static void render_reload(json_t *answer)
{
	const char *note = json_string_value(json_object_get(answer, "note"));

	puts(note ? note : "The daemon has read its configuration again.");
}

int cmd_reload(const struct options *o)
{
	return show(o, "reload", render_reload);
}

/* Also after undrain: there may be another reason not to be announced. */
static void render_announced(json_t *answer)
{
	json_t *reason;
	size_t i;

	if (json_is_true(json_object_get(answer, "announced"))) {
		puts("The server is announced.");
		return;
	}
	fputs("The server is withdrawn and serves on; reason:", stdout);
	json_array_foreach(json_object_get(answer, "withdrawn_for"), i, reason)
		printf("%s %s", i ? "," : "", json_string_value(reason));
	puts(".");
}

int cmd_drain(const struct options *o)
{
	return show(o, "drain", render_announced);
}

int cmd_undrain(const struct options *o)
{
	return show(o, "undrain", render_announced);
}
