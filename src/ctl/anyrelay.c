/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* The tool's main(): finds the command in the table, reads its options, runs it. */
#include "ctl/ctl.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

static const struct command {
	const char *name;
	command_run *run;
	const char *options;  /* short names of the options it takes, see `all` */
	const char *argument; /* what its arguments are called, with blanks between, or NULL */
	const char *usage, *help;
} commands[] = {
	{"genkey", cmd_genkey, "Oj", NULL, "[--operator] [--json]",
	 "make a secret key, of a client or cluster or of the operator"},
	{"pubkey", cmd_pubkey, "Oj", NULL, "[--operator] [--json] < secret",
	 "print the public key of a secret key"},
	{"enroll", cmd_enroll, "ckpaPrsoj", "NAME",
	 "NAME [-c FILE] [--operator-key FILE] [--public-key KEY]\n"
	 "           [--address A,...] [--prefix P,...] [--right R,...] [--server HOST:PORT,...]\n"
	 "           [--output FILE] [--json]",
	 "enrol a client and print its configuration"},
	{"revoke", cmd_revoke, "ckj", "NAME", "NAME [-c FILE] [--operator-key FILE] [--json]",
	 "remove a client for ever"},
	{"clients", cmd_clients, "cj", NULL, "[-c FILE] [--json]", "list the enrolled clients"},
	{"status", cmd_status, "cSnj", NULL, "[-c FILE | --socket PATH | --name NAME] [--json]",
	 "what the daemon is doing, its counters and drops"},
	{"sessions", cmd_sessions, "cSnj", NULL, "[-c FILE | --socket PATH | --name NAME] [--json]",
	 "the sessions of a server"},
	{"servers", cmd_servers, "cSnj", NULL, "[-c FILE | --socket PATH | --name NAME] [--json]",
	 "the servers of the cluster, as one of them sees them"},
	{"server add", cmd_server_add, "ckpmj", "NUMBER NAME",
	 "NUMBER NAME --mesh ADDRESS[:PORT] --public-key KEY\n"
	 "           [-c FILE] [--operator-key FILE] [--json]",
	 "put a server into the list of servers, or change its entry"},
	{"server remove", cmd_server_remove, "ckj", "NUMBER",
	 "NUMBER [-c FILE] [--operator-key FILE] [--json]",
	 "remove a server from the list; afterwards: anyrelay epoch rotate"},
	{"epoch rotate", cmd_epoch_rotate, "cSnj", NULL,
	 "[-c FILE | --socket PATH | --name NAME] [--json]",
	 "new epoch keys from fresh randomness, for all living servers"},
	{"cluster-key next", cmd_cluster_key_next, "ckj", NULL,
	 "[-c FILE] [--operator-key FILE] [--json]",
	 "make the cluster's next key, beside the current one"},
	{"cluster-key finish", cmd_cluster_key_finish, "ckfj", NULL,
	 "[-c FILE] [--operator-key FILE] [--force] [--json]",
	 "give up the current key for the next one; with --force before all clients know it"},
	{"cluster-key list", cmd_cluster_key_list, "cj", NULL, "[-c FILE] [--json]",
	 "the public keys of the cluster"},
	{"relay add", cmd_relay_add, "lxeicSnj", "PROTOCOL SIDE SIDE",
	 "udp|tcp SIDE SIDE [--lifetime S] [--span 2 [--even]] [--id ID]\n"
	 "           [-c FILE | --socket PATH | --name NAME] [--json]",
	 "make a relay; SIDE is ADDRESS:PORT, ADDRESS, token4, token6, any4 or any6"},
	{"relay refresh", cmd_relay_refresh, "lcSnj", "ID",
	 "ID [--lifetime S] [-c FILE | --socket PATH | --name NAME] [--json]",
	 "have a relay last so long from now"},
	{"relay del", cmd_relay_del, "cSnj", "ID",
	 "ID [-c FILE | --socket PATH | --name NAME] [--json]", "remove a relay"},
	{"relay show", cmd_relay_show, "cSnj", "ID",
	 "ID [-c FILE | --socket PATH | --name NAME] [--json]",
	 "one relay: where each side is to send, and what is known of it"},
	{"relays", cmd_relays, "cSnj", NULL, "[-c FILE | --socket PATH | --name NAME] [--json]",
	 "a client's relays; on a server, all of the cluster"},
	{"reload", cmd_reload, "cSnj", NULL, "[-c FILE | --socket PATH | --name NAME] [--json]",
	 "have the daemon read its configuration and clients again"},
	{"drain", cmd_drain, "cSnj", NULL, "[-c FILE | --socket PATH | --name NAME] [--json]",
	 "withdraw a server: the network leads no more packets there, and what comes is served"},
	{"undrain", cmd_undrain, "cSnj", NULL, "[-c FILE | --socket PATH | --name NAME] [--json]",
	 "announce a drained server again"},
};

static const struct option all[] = {
	{"conf", required_argument, NULL, 'c'},
	{"operator-key", required_argument, NULL, 'k'},
	{"public-key", required_argument, NULL, 'p'},
	{"address", required_argument, NULL, 'a'},
	{"prefix", required_argument, NULL, 'P'},
	{"right", required_argument, NULL, 'r'},
	{"server", required_argument, NULL, 's'},
	{"mesh", required_argument, NULL, 'm'},
	{"lifetime", required_argument, NULL, 'l'},
	{"span", required_argument, NULL, 'x'},
	{"even", no_argument, NULL, 'e'},
	{"id", required_argument, NULL, 'i'},
	{"output", required_argument, NULL, 'o'},
	{"socket", required_argument, NULL, 'S'},
	{"name", required_argument, NULL, 'n'},
	{"force", no_argument, NULL, 'f'},
	{"operator", no_argument, NULL, 'O'},
	{"json", no_argument, NULL, 'j'},
	{"help", no_argument, NULL, 'h'},
	{0},
};

int failed(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	fputs("anyrelay: ", stderr);
	vfprintf(stderr, format, list);
	fputc('\n', stderr);
	va_end(list);
	return EXIT_FAILED;
}

int print_json(json_t *object)
{
	if (!object || json_dumpf(object, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(12)))
		return failed("The answer cannot be printed as JSON: out of memory, or no output.");
	putchar('\n');
	json_decref(object);
	return EXIT_OK;
}

static void print_command(FILE *to, const struct command *c)
{
	fprintf(to, "  anyrelay %s %s\n           %s\n", c->name, c->usage, c->help);
}

static int print_help(FILE *to, int code)
{
	fputs("Usage:\n", to);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		print_command(to, &commands[i]);
	fputs("\nanyrelay(8) says more.\n", to);
	return code;
}

static int usage(const struct command *c)
{
	fputs("Usage:\n", stderr);
	print_command(stderr, c);
	return EXIT_USAGE;
}

static void set_option(struct options *o, int option, const char *value)
{
	switch (option) {
	case 'c': o->conf = value; break;
	case 'k': o->operator_key = value; break;
	case 'p': o->public_key = value; break;
	case 'a': o->addresses = value; break;
	case 'P': o->prefixes = value; break;
	case 'r': o->rights = value; break;
	case 's': o->servers = value; break;
	case 'm': o->mesh = value; break;
	case 'l': o->lifetime = value; break;
	case 'x': o->span = value; break;
	case 'e': o->even = true; break;
	case 'i': o->id = value; break;
	case 'o': o->output = value; break;
	case 'S': o->socket = value; break;
	case 'n': o->name = value; break;
	case 'f': o->force = true; break;
	case 'O': o->operator = true; break;
	case 'j': o->json = true; break;
	}
}

static int count_words(const char *text)
{
	int n = text != NULL;

	for (; text && *text; text++)
		n += *text == ' ';
	return n;
}

/* The words of argv that are the command's name, 0: another command. */
static int match(const struct command *c, int argc, char **argv)
{
	const char *blank = strchr(c->name, ' ');
	size_t first = blank ? (size_t)(blank - c->name) : strlen(c->name);

	if (strlen(argv[0]) != first || memcmp(argv[0], c->name, first))
		return 0;
	if (!blank)
		return 1;
	return argc > 1 && !strcmp(argv[1], blank + 1) ? 2 : 0;
}

static int run(const struct command *c, int argc, char **argv)
{
	struct options o = {0};
	int option;

	while ((option = getopt_long(argc, argv, "c:o:h", all, NULL)) != -1) {
		if (option == 'h') {
			print_command(stdout, c);
			return EXIT_OK;
		}
		if (!strchr(c->options, option)) {
			if (option != '?')
				fprintf(stderr, "anyrelay %s: this option belongs to another "
						"command.\n", c->name);
			return usage(c);
		}
		set_option(&o, option, optarg);
	}
	int wanted = count_words(c->argument), given = argc - optind;
	if (given != wanted) {
		if (given < wanted)
			fprintf(stderr, "anyrelay %s: it needs %s.\n", c->name, c->argument);
		else
			fprintf(stderr, "anyrelay %s: there is an argument too many: %s\n", c->name,
					argv[optind + wanted]);
		return usage(c);
	}
	o.argument = argv[optind];
	o.argument2 = given > 1 ? argv[optind + 1] : NULL;
	o.argument3 = given > 2 ? argv[optind + 2] : NULL;
	return c->run(&o);
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return print_help(stderr, EXIT_USAGE);
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help"))
		return print_help(stdout, EXIT_OK);
	if (!strcmp(argv[1], "--version")) {
		puts("anyrelay " ANYRELAY_VERSION);
		return EXIT_OK;
	}
	int rc = crypto_init(CRYPTO_OPENSSL);
	if (rc)
		return failed("The cryptographic library does not start: %s.", strerror(-rc));
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		int words = match(&commands[i], argc - 1, argv + 1);
		if (words) {
			int code = run(&commands[i], argc - words, argv + words);
			if (fflush(stdout) || ferror(stdout))
				return failed("The output could not be written.");
			return code;
		}
	}
	fprintf(stderr, "anyrelay: there is no command %s.\n", argv[1]);
	return print_help(stderr, EXIT_USAGE);
}
