/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Load for one server: many clients, in one program.
 *
 *	load records N OPERATOR_KEY_FILE CLUSTER_PUBLIC_KEY FILE
 *	load sessions N CLUSTER_PUBLIC_KEY ADDRESS:PORT [WINDOW]
 *	load handshakes SECONDS CLUSTER_PUBLIC_KEY ADDRESS:PORT PID [WINDOW]
 *	load relays CLIENTS N LIFETIME CLUSTER_PUBLIC_KEY ADDRESS:PORT
 *	load core N SECONDS
 *
 * records writes a clients file with N clients.  sessions makes a session for
 * each of them at the server, and leaves it idle.  handshakes sends first
 * messages as fast as they are answered, and reads the CPU time of process PID.
 * relays makes N relays of so many clients and keeps them alive until SIGTERM.
 * core does both with the server's core in this process.  All print one line of
 * JSON; the exit status is not 0 if something that should have been answered was
 * not.  scale.py and the lab relay_scale use it.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/base64.h"
#include "base/log.h"
#include "load.h"

#define WINDOW_DEFAULT 256
#define WINDOW_MAX     4096

void die(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	fputs("load: ", stderr);
	vfprintf(stderr, format, list);
	fputc('\n', stderr);
	va_end(list);
	exit(1);
}

double seconds_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- the command line ---- */

static double number(const char *text, const char *what, double min, double max)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end || !(value >= min && value <= max))
		die("%s is not %s (%.0f to %.0f)", text, what, min, max);
	return value;
}

static uint32_t client_count(const char *text)
{
	return (uint32_t)number(text, "a number of clients", 1, CLIENTS_MAX);
}

static unsigned window_of(const char *text)
{
	return text ? (unsigned)number(text, "a window", 1, WINDOW_MAX) : WINDOW_DEFAULT;
}

static void key_from_text(const char *text, uint8_t key[KEY_SIZE])
{
	if (base64_decode(key, KEY_SIZE, text, strcspn(text, "\n")) != KEY_SIZE)
		die("not a key (base64 of 32 bytes): %s", text);
}

static void key_from_file(const char *path, uint8_t key[KEY_SIZE])
{
	char text[BASE64_SIZE(KEY_SIZE) + 2];
	FILE *file = fopen(path, "re");

	if (!file || !fgets(text, sizeof text, file))
		die("%s cannot be read: %s", path, file ? "it is empty" : strerror(errno));
	fclose(file);
	key_from_text(text, key);
	wipe(text, sizeof text);
}

static void server_address(const char *text, struct endpoint *e)
{
	if (endpoint_parse(text, 0, e) != 0)
		die("%s is not an address with a port, as 192.0.2.1:4444", text);
}

/* ---- the words; each has the arguments after itself, with a NULL behind the last ---- */

static int word_records(char **args)
{
	uint8_t operator_seed[KEY_SIZE], cluster_public[KEY_SIZE];

	key_from_file(args[1], operator_seed);
	key_from_text(args[2], cluster_public);
	load_records(client_count(args[0]), operator_seed, cluster_public, args[3]);
	wipe(operator_seed, sizeof operator_seed);
	return 0;
}

static int word_sessions(char **args)
{
	uint8_t cluster_public[KEY_SIZE];
	struct endpoint server;

	key_from_text(args[1], cluster_public);
	server_address(args[2], &server);
	return !load_sessions(client_count(args[0]), window_of(args[3]), cluster_public, &server);
}

static int word_handshakes(char **args)
{
	uint8_t cluster_public[KEY_SIZE];
	struct endpoint server;

	key_from_text(args[1], cluster_public);
	server_address(args[2], &server);
	load_handshakes(number(args[0], "a time in seconds", 0.1, 3600), window_of(args[4]),
			cluster_public, &server, (int)number(args[3], "a process", 1, 1 << 22));
	return 0;
}

static int word_relays(char **args)
{
	uint8_t cluster_public[KEY_SIZE];
	struct endpoint server;

	key_from_text(args[3], cluster_public);
	server_address(args[4], &server);
	load_relays(client_count(args[0]), (uint32_t)number(args[1], "a number of relays", 1, 1 << 20),
			(uint16_t)number(args[2], "a lifetime in seconds", 10, 3600), cluster_public, &server);
	return 0;
}

static int word_core(char **args)
{
	load_core(client_count(args[0]), number(args[1], "a time in seconds", 0.1, 3600));
	return 0;
}

static const struct word {
	const char *name, *usage;
	int least, most; /* arguments */
	int (*run)(char **args);
} words[] = {
	{"records", "N OPERATOR_KEY_FILE CLUSTER_PUBLIC_KEY FILE", 4, 4, word_records},
	{"sessions", "N CLUSTER_PUBLIC_KEY ADDRESS:PORT [WINDOW]", 3, 4, word_sessions},
	{"handshakes", "SECONDS CLUSTER_PUBLIC_KEY ADDRESS:PORT PID [WINDOW]", 4, 5,
	 word_handshakes},
	{"relays", "CLIENTS N LIFETIME CLUSTER_PUBLIC_KEY ADDRESS:PORT", 5, 5, word_relays},
	{"core", "N SECONDS", 2, 2, word_core},
};

int main(int argc, char **argv)
{
	log_open("load", LOG_WARNING);
	if (crypto_init(CRYPTO_AUTO) != 0)
		die("no cryptography");
	for (size_t i = 0; argc > 1 && i < ARRAY_SIZE(words); i++)
		if (!strcmp(argv[1], words[i].name) && argc - 2 >= words[i].least &&
				argc - 2 <= words[i].most)
			return words[i].run(argv + 2);
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		fprintf(stderr, "%s load %s %s\n", i ? "      " : "usage:", words[i].name,
				words[i].usage);
	return 2;
}
