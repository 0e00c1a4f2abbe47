/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* anyrelayd: begins, runs and ends. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/rcu.h"
#include "ctx.h"
#include "priv.h"

static const char usage[] =
		"usage: anyrelayd -c FILE           run, as server or client by what FILE says\n"
		"       anyrelayd -c FILE --check   read FILE, say what is wrong with it, and exit\n"
		"       anyrelayd --keys            every configuration key, one a line\n"
		"       anyrelayd --version\n";

struct arguments {
	const char *conf;
	bool check;
};

/* Returns -1 to go on, or the exit code. */
static int read_arguments(int argc, char **argv, struct arguments *a)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'}, {"check", no_argument, NULL, 'C'},
		{"keys", no_argument, NULL, 'k'},         {"version", no_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'},         {0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			a->conf = optarg;
			break;
		case 'C':
			a->check = true;
			break;
		case 'k':
			conf_print_keys();
			return EXIT_SUCCESS;
		case 'v':
			puts("anyrelayd " ANYRELAY_VERSION);
			return EXIT_SUCCESS;
		case 'h':
			fputs(usage, stdout);
			return EXIT_SUCCESS;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (a->conf && optind == argc)
		return -1;
	fputs(usage, stderr);
	return 2;
}

/* Signals are read from a descriptor; all threads have them blocked. */
static int open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int start(struct daemon *d, char error[SENTENCE])
{
	int failed = crypto_init(d->conf.backend);

	if (failed) {
		snprintf(error, SENTENCE, "CryptoBackend: this processor cannot run it; use auto");
		return failed;
	}
	clock_read(&d->started);
	notify_open(&d->notify);
	failed = control_open(d, error);
	if (!failed)
		failed = d->conf.role == CONF_SERVER ? server_role_start(d, error) :
						       client_role_start(d, error);
	if (!failed)
		failed = metrics_open(d, error);
	if (!failed)
		failed = priv_drop(strcmp(d->conf.user, "root") ? d->conf.user : NULL, error, SENTENCE);
	return failed;
}

static void *worker_main(void *arg)
{
	worker_run(arg);
	return NULL;
}

static int start_workers(struct daemon *d)
{
	for (d->running = 0; d->running < d->path.worker_count; d->running++) {
		struct worker *w = d->path.worker[d->running];
		int failed = pthread_create(&w->thread, NULL, worker_main, w);

		if (failed)
			return -failed;
	}
	return 0;
}

static void stop_workers(struct daemon *d)
{
	atomic_store(&d->path.stop, true);
	for (unsigned i = 0; i < d->running; i++) {
		worker_wake(d->path.worker[i]);
		pthread_join(d->path.worker[i]->thread, NULL);
	}
}

static void wake_worker(void *arg)
{
	worker_wake(arg);
}

static int start_watchdog(struct daemon *d)
{
	struct watchdog *w = &d->watchdog;

	for (unsigned i = 0; i < d->running; i++)
		watchdog_watch(w, "a worker", &d->path.worker[i]->counters.traffic[TRAFFIC_LOOPS],
				wake_worker, d->path.worker[i]);
	relay_role_watch(d);
	return watchdog_start(w, &d->notify, d->conf.watchdog * 1000);
}

/* Threads, then the filter on system calls, which they need for being made. */
static int start_threads(struct daemon *d, char error[SENTENCE])
{
	int failed = start_workers(d);

	if (!failed)
		failed = start_watchdog(d);
	if (!failed)
		failed = priv_seccomp();
	if (failed)
		snprintf(error, SENTENCE, "threads or the system call filter cannot be set up: %s",
				strerror(-failed));
	return failed;
}

static int serve(struct daemon *d, char error[SENTENCE])
{
	int failed = d->conf.role == CONF_SERVER ? server_role_announce(d, error) : 0;

	if (failed)
		return failed;
	log_notice("%s %s: running as %s, %s, %u worker%s", d->conf.name, ANYRELAY_VERSION,
			d->conf.role == CONF_SERVER ? "server" : "client", crypto_backend_name(),
			d->path.worker_count, d->path.worker_count == 1 ? "" : "s");
	notify_send(&d->notify, "READY=1");
	control_serve(d);
	log_notice("%s: stopping", d->conf.name);
	return mesh_role_verdict(d, error);
}

static int run(struct daemon *d, char error[SENTENCE])
{
	bool server = d->conf.role == CONF_SERVER;
	int failed = server ? server_role_run(d, error) : 0;

	if (!failed)
		failed = start_threads(d, error);
	if (!failed)
		failed = serve(d, error);
	watchdog_stop(&d->watchdog);
	stop_workers(d);
	relay_role_stop(d);
	if (server && d->registry.ops->close)
		d->registry.ops->close(&d->registry);
	return failed;
}

static void finish(struct daemon *d)
{
	control_close(d);
	metrics_close(d);
	setup_free(d);
	mesh_io_close(&d->mesh);
	relay_role_free(d);
	overload_role_free(d);
	if (d->path.server)
		server_free(&d->server);
	if (d->path.uplink)
		uplink_free(&d->uplink);
	lent_free(d->lent);
	notices_free(d->notices);
	asking_free(d->asking);
	conf_wipe(&d->conf);
}

int main(int argc, char **argv)
{
	static struct daemon d = {.control = -1, .control_lock = -1, .mesh.fd = -1, .relay.door.fd = -1,
			.relay.raw = {-1, -1}, .mesh_due = UINT64_MAX, .overload.due = UINT64_MAX};
	struct arguments a = {0};
	char error[SENTENCE] = "";
	int code = read_arguments(argc, argv, &a);

	if (code >= 0)
		return code;
	log_open("anyrelayd", LOG_INFO);
	priv_harden();
	if (conf_load(&d.conf, a.conf, error)) {
		log_error("%s", error);
		return EXIT_FAILURE;
	}
	if (a.check) {
		printf("%s: good, for a %s\n", a.conf, d.conf.role == CONF_SERVER ? "server" : "client");
		conf_wipe(&d.conf);
		return EXIT_SUCCESS;
	}
	log_set_level(d.conf.log_level);
	d.signals = open_signals();
	rcu_register();
	code = start(&d, error) || run(&d, error) ? EXIT_FAILURE : EXIT_SUCCESS;
	if (code == EXIT_FAILURE)
		log_error("%s: %s", a.conf, error);
	finish(&d);
	rcu_unregister();
	return code;
}
