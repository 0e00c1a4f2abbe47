/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The tool anyrelay: a table of commands (anyrelay.c), and what they share.  A
 * command returns the exit code: 0; 1 failed, with a sentence on stderr; 2 not
 * called as its usage line says.
 */
#ifndef CTL_CTL_H
#define CTL_CTL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "conf.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* The options of all commands; a command's row in the table says which of them it takes. */
struct options {
	bool json, operator, force;
	const char *conf, *socket, *name, *operator_key, *public_key, *output;
	const char *addresses, *prefixes, *servers, *rights;
	const char *mesh;
	const char *lifetime, *span, *id;
	bool even;
	const char *argument, *argument2, *argument3; /* NAME …, of a command that has them */
};

typedef int command_run(const struct options *o);
command_run cmd_genkey, cmd_pubkey, cmd_enroll, cmd_revoke, cmd_clients, cmd_status, cmd_sessions,
		cmd_reload, cmd_drain, cmd_undrain, cmd_servers, cmd_server_add, cmd_server_remove,
		cmd_epoch_rotate, cmd_cluster_key_next, cmd_cluster_key_finish, cmd_cluster_key_list,
		cmd_relay_add, cmd_relay_refresh, cmd_relay_del, cmd_relay_show, cmd_relays;

/* Prints the sentence to stderr; returns EXIT_FAILED. */
int failed(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Prints an object to stdout and gives it up; returns EXIT_OK, or EXIT_FAILED for want of memory. */
int print_json(json_t *object);

/* ---- control.c ---- the daemon's control socket */

/*
 * Sends one line and waits for the daemon's answer, which the caller frees.  0 or
 * a negative errno (-ENOENT, -ECONNREFUSED: no daemon there) and a sentence.
 */
#define CONTROL_LINE_MAX 256
int control_ask(const char *socket, const char *line, char **answer, char error[CONF_ERROR]);
/* The parsed answer (of whatever kind) and its text (to be freed); NULL: then a sentence has been printed. */
json_t *control_question(const struct options *o, const char *line, char **text);
/* The socket that the options name, or the only one there is.  0 or EXIT_FAILED. */
int control_socket_path(const struct options *o, char path[CONF_PATH_MAX]);

/* ---- render.c ---- JSON of the daemon for people; what is missing is left out */

void render_status(json_t *status);
void render_sessions(json_t *answer);
void render_servers(json_t *answer);
/* A number of seconds as people say it. */
#define SECONDS_TEXT 64
const char *seconds_text(char out[SECONDS_TEXT], double s);

#endif
