/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The main thread's loop: the control socket (a line in, a JSON object out, see
 * docs/ARCHITECTURE.md), signals, and once a second the role's housekeeping.
 * Who may ask is a matter of the socket's permissions: its owner and root.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/rcu.h"
#include "ctx.h"

#define LINE_MAX_SIZE    256
#define JOINING_ROUND_MS 50 /* a new server is to be announced as soon as it can serve */
#define READ_PATIENCE_MS  200  /* for a peer that says nothing */
#define WRITE_PATIENCE_MS 2000 /* … that does not read */

/* ---- opening ---- */

static void make_directory(const char *socket_path)
{
	char directory[CONF_PATH_MAX];
	char *slash;

	snprintf(directory, sizeof directory, "%s", socket_path);
	slash = strrchr(directory, '/');
	if (!slash || slash == directory)
		return;
	*slash = 0;
	mkdir(directory, 0755); /* if that fails, bind() says so with its path */
}

/* Held as long as the daemon lives: two daemons with one configuration must not run. */
static int take_lock(struct daemon *d, char error[SENTENCE])
{
	char path[CONF_PATH_MAX + 8];

	snprintf(path, sizeof path, "%s.lock", d->conf.control_socket);
	d->control_lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (d->control_lock < 0) {
		snprintf(error, SENTENCE, "%s: cannot be opened: %s", path, strerror(errno));
		return -errno;
	}
	if (flock(d->control_lock, LOCK_EX | LOCK_NB) == 0)
		return 0;
	snprintf(error, SENTENCE,
			"another anyrelayd is running with this configuration: it holds %s; stop it, or "
			"give this one another Name",
			path);
	return -EBUSY;
}

int control_open(struct daemon *d, char error[SENTENCE])
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	mode_t mask;
	int failed;

	make_directory(d->conf.control_socket);
	failed = take_lock(d, error);
	if (failed)
		return failed;
	if (strlen(d->conf.control_socket) >= sizeof address.sun_path) {
		snprintf(error, SENTENCE, "ControlSocket: %s is longer than %zu characters",
				d->conf.control_socket, sizeof address.sun_path - 1);
		return -ENAMETOOLONG;
	}
	strcpy(address.sun_path, d->conf.control_socket);
	unlink(address.sun_path); /* the lock is ours: it is left over from a daemon that died */
	d->control = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mask = umask(0077);
	failed = d->control < 0 || bind(d->control, (struct sockaddr *)&address, sizeof address) ||
				 listen(d->control, 16) ?
			-errno : 0;
	umask(mask);
	if (failed)
		snprintf(error, SENTENCE, "%s: the control socket cannot be made: %s",
				d->conf.control_socket, strerror(-failed));
	return failed;
}

void control_close(struct daemon *d)
{
	if (d->control < 0)
		return;
	close(d->control);
	unlink(d->conf.control_socket);
}

/* ---- commands ---- */

static char *error_json(const char *sentence)
{
	json_t *o = json_pack("{s:s}", "error", sentence);
	char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;

	json_decref(o);
	return text;
}

static char *set_drained(struct daemon *d, bool drained)
{
	char sentence[SENTENCE];

	if (!d->anycast.enabled)
		return error_json("this daemon announces no address: only a server with Announce = yes "
				  "in [Anycast] can be drained");
	if (anycast_set(&d->anycast, ANYCAST_DRAINED, drained, sentence, SENTENCE))
		return error_json(sentence);
	return anycast_json(d);
}

static char *reload_json(struct daemon *d)
{
	char sentence[SENTENCE];
	json_t *o;
	char *text;

	if (daemon_reload(d, sentence))
		return error_json(sentence);
	o = json_pack("{s:b}", "reloaded", 1);
	if (o && sentence[0])
		json_object_set_new(o, "note", json_string(sentence));
	text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	json_decref(o);
	return text;
}

static char *drain_json(struct daemon *d)
{
	return set_drained(d, true);
}

static char *undrain_json(struct daemon *d)
{
	return set_drained(d, false);
}

static const struct command {
	const char *name;
	char *(*answer)(struct daemon *d);
} commands[] = {
	{"status", status_json},
	{"sessions", sessions_json},
	{"servers", servers_json},
	{"reload", reload_json},
	{"epoch rotate", rotate_json},
	{"drain", drain_json},
	{"undrain", undrain_json},
};

static const char relay_prefix[] = "relay ";

/* NULL and *later: somebody else will answer, and close fd. */
static char *answer_to(struct daemon *d, const char *line, int fd, bool *later)
{
	if (!strncmp(line, relay_prefix, strlen(relay_prefix)))
		return relay_command(d, line + strlen(relay_prefix), fd, later);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(line, commands[i].name))
			return commands[i].answer(d);
	return error_json("unknown command: this daemon knows status, sessions, servers, reload, "
			  "drain, undrain, epoch rotate and relay");
}

/* ---- one connection, from its line to its answer ---- */

/*
 * A line comes whole, since it is written at once and is short; who sends less
 * does not get to hold up the thread that everything else here runs in.
 */
static bool read_line(int fd, char line[LINE_MAX_SIZE])
{
	ssize_t n = read(fd, line, LINE_MAX_SIZE);
	char *end = n > 0 ? memchr(line, '\n', (size_t)n) : NULL;

	if (!end)
		return false;
	*end = 0;
	return true;
}

static void write_all(int fd, const char *text)
{
	size_t left = strlen(text);
	ssize_t n;

	for (; left; left -= (size_t)n, text += n) {
		n = send(fd, text, left, MSG_NOSIGNAL);
		if (n <= 0)
			return; /* the peer has gone, or does not read */
	}
}

void control_answer(int fd, char *text)
{
	write_all(fd, text ? text : "{\"error\":\"out of memory\"}");
	free(text);
	close(fd);
}

static void set_patience(int fd, int which, unsigned ms)
{
	struct timeval patience = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	setsockopt(fd, SOL_SOCKET, which, &patience, sizeof patience);
}

static void serve_one(struct daemon *d)
{
	int fd = accept4(d->control, NULL, NULL, SOCK_CLOEXEC);
	char line[LINE_MAX_SIZE];
	bool later = false;
	char *answer;

	if (fd < 0)
		return;
	set_patience(fd, SO_RCVTIMEO, READ_PATIENCE_MS);
	set_patience(fd, SO_SNDTIMEO, WRITE_PATIENCE_MS);
	if (!read_line(fd, line)) {
		close(fd);
		return;
	}
	answer = answer_to(d, line, fd, &later);
	if (!later)
		control_answer(fd, answer);
}

/* ---- reload ---- */

/* The clients first: if they cannot be read, nothing has changed. */
static int take_over(struct daemon *d, const struct conf *fresh, char sentence[SENTENCE])
{
	const char *restart = conf_needs_restart(&d->conf, fresh);
	struct server_list *servers;
	int failed = mesh_role_read(d, fresh->servers_file, &servers, sentence);

	if (!failed && d->conf.role == CONF_SERVER)
		failed = server_role_reload(d, fresh, sentence);
	if (!failed)
		failed = mesh_role_apply(d, servers, sentence);
	free(servers);
	if (failed)
		return failed;
	if (restart)
		snprintf(sentence, SENTENCE, "%s has changed, which takes effect at a restart", restart);
	conf_take_reload(&d->conf, fresh);
	setup_apply(d);
	if (d->conf.role == CONF_SERVER)
		server_role_apply(d);
	return 0;
}

int daemon_reload(struct daemon *d, char sentence[SENTENCE])
{
	struct conf *fresh = malloc(sizeof *fresh);
	int failed;

	sentence[0] = 0;
	if (!fresh) {
		snprintf(sentence, SENTENCE, "out of memory");
		return -ENOMEM;
	}
	failed = conf_load(fresh, d->conf.path, sentence);
	if (!failed) {
		failed = take_over(d, fresh, sentence);
		conf_wipe(fresh);
	}
	free(fresh);
	return failed;
}

/* ---- the loop ---- */

/* True: stop. */
static bool take_signal(struct daemon *d)
{
	struct signalfd_siginfo info;
	char sentence[SENTENCE];

	if (read(d->signals, &info, sizeof info) != sizeof info)
		return false;
	if (info.ssi_signo != SIGHUP)
		return true;
	if (daemon_reload(d, sentence))
		log_error("reload: %s; nothing has changed", sentence);
	else
		log_notice("reloaded%s%s", sentence[0] ? ": " : "", sentence);
	return false;
}

/*
 * Withdraws first and serves on while the network learns of it.  Returns the
 * boot time at which to end.
 */
static ticks begin_end(struct daemon *d, const struct instant *now)
{
	bool announced = d->anycast.announced;
	char sentence[SENTENCE];

	notify_send(&d->notify, "STOPPING=1");
	if (anycast_set(&d->anycast, ANYCAST_STOPPING, true, sentence, SENTENCE))
		log_error("%s", sentence);
	return now->boot + (announced ? TICKS_S(d->conf.drain_time) : 0);
}

/* Milliseconds until the next round: a second, or less before the end and for the mesh. */
static int round_ms(const struct daemon *d, ticks end)
{
	struct instant now;

	if (d->metrics.pending)
		return 0;
	if (d->anycast.reasons & (1u << ANYCAST_JOINING | 1u << ANYCAST_READING))
		return JOINING_ROUND_MS;
	clock_read(&now);
	end = MIN(end, MIN(d->mesh_due, d->overload.due));
	if (end <= now.boot)
		return 0;
	return (int)MIN((end - now.boot) * 1000 / TICKS_PER_SEC + 1, 1000);
}

void control_watch(struct daemon *d, int fd, void (*ready)(struct daemon *d, const struct instant *now))
{
	d->watched[d->watched_count++] = (struct watched){fd, ready};
}

static void serve_watched(struct daemon *d, const struct pollfd *fds, const struct instant *now)
{
	for (unsigned i = 0; i < d->watched_count; i++)
		if (fds[i].revents)
			d->watched[i].ready(d, now);
}

void control_serve(struct daemon *d)
{
	struct pollfd fds[2 + WATCHED_MAX] = {
		{.fd = d->control, .events = POLLIN},
		{.fd = d->signals, .events = POLLIN},
	};
	ticks end = UINT64_MAX; /* boot time */
	struct instant now = d->started;

	for (unsigned i = 0; i < d->watched_count; i++)
		fds[2 + i] = (struct pollfd){.fd = d->watched[i].fd, .events = POLLIN};
	while (now.boot < end && !d->mesh.peers.taken_at) {
		rcu_offline();
		poll(fds, 2 + d->watched_count, round_ms(d, end));
		rcu_online();
		d->watchdog.main_rounds++;
		if (fds[0].revents)
			serve_one(d);
		clock_read(&now);
		if (fds[1].revents && take_signal(d))
			end = end == UINT64_MAX ? begin_end(d, &now) : 0; /* asked twice: at once */
		serve_watched(d, fds + 2, &now);
		if (d->conf.role == CONF_SERVER)
			server_role_tick(d, &now);
		else
			client_keys_tick(d);
		metrics_tick(d, &now);
		if (d->expelled[0] && end == UINT64_MAX)
			end = begin_end(d, &now);
	}
}
