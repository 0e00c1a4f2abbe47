/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The tool's end of the control socket: a Unix stream socket, one line to the
 * daemon, one JSON object back, end of file.
 */
#include "ctl/ctl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_SECONDS 10
#define ANSWER_MAX     ((size_t)1 << 30)

static int connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval patience = {.tv_sec = ANSWER_SECONDS};

	if (strlen(path) >= sizeof address.sun_path)
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) ||
			setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) ||
			connect(fd, (struct sockaddr *)&address, sizeof address)) {
		int rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}

static int send_line(int fd, const char *line)
{
	char text[CONTROL_LINE_MAX + 1];
	int n = snprintf(text, sizeof text, "%s\n", line);

	if (n >= (int)sizeof text)
		return -EMSGSIZE;
	for (int done = 0; done < n; ) {
		ssize_t sent = send(fd, text + done, (size_t)(n - done), MSG_NOSIGNAL);
		if (sent < 0 && errno != EINTR)
			return -errno;
		done += sent > 0 ? (int)sent : 0;
	}
	return 0;
}

/* Everything up to the end of file, with a NUL behind it. */
static int read_answer(int fd, char **answer)
{
	size_t room = 65536, len = 0;
	char *text = malloc(room);

	while (text) {
		ssize_t n = recv(fd, text + len, room - len - 1, 0);
		if (n == 0 || (n < 0 && errno != EINTR)) {
			int rc = n < 0 ? -errno : 0;
			text[len] = 0;
			*answer = text;
			if (rc)
				free(text);
			return rc;
		}
		len += n > 0 ? (size_t)n : 0;
		if (len + 1 < room)
			continue;
		char *more = room < ANSWER_MAX ? realloc(text, room *= 2) : NULL;
		if (!more)
			break;
		text = more;
	}
	free(text);
	return -ENOMEM;
}

int control_ask(const char *socket_path, const char *line, char **answer, char error[CONF_ERROR])
{
	int rc = connect_to(socket_path);

	if (rc >= 0) {
		int fd = rc;
		rc = send_line(fd, line);
		if (!rc)
			rc = read_answer(fd, answer);
		close(fd);
	}
	if (rc == -ENOENT || rc == -ECONNREFUSED)
		snprintf(error, CONF_ERROR, "No daemon answers at %s; is anyrelayd running?",
				socket_path);
	else if (rc == -EAGAIN)
		snprintf(error, CONF_ERROR, "The daemon at %s has not answered within %d s.",
				socket_path, ANSWER_SECONDS);
	else if (rc)
		snprintf(error, CONF_ERROR, "The daemon cannot be asked at %s: %s.", socket_path,
				strerror(-rc));
	return rc;
}

/* server or client, if only one of the two has a socket. */
static const char *only_name(void)
{
	bool server = access("/run/anyrelay/server.sock", F_OK) == 0;
	bool client = access("/run/anyrelay/client.sock", F_OK) == 0;

	if (server && client)
		return NULL;
	return client ? "client" : "server";
}

int control_socket_path(const struct options *o, char path[CONF_PATH_MAX])
{
	const char *name = o->name;

	if ((o->conf != NULL) + (o->socket != NULL) + (o->name != NULL) > 1)
		return failed("Only one of -c, --socket and --name can say which daemon is meant.");
	if (o->conf) {
		struct conf conf;
		char error[CONF_ERROR];
		if (conf_load(&conf, o->conf, error))
			return failed("%s", error);
		memcpy(path, conf.control_socket, CONF_PATH_MAX);
		conf_wipe(&conf);
		return 0;
	}
	if (o->socket) {
		snprintf(path, CONF_PATH_MAX, "%s", o->socket);
		return 0;
	}
	if (!name)
		name = only_name();
	if (!name)
		return failed("Both a server and a client run here; say --name server or --name "
				"client.");
	if (!record_name_valid(name))
		return failed("%s is not the name of a daemon (letters, digits, and . _ -).", name);
	snprintf(path, CONF_PATH_MAX, "/run/anyrelay/%s.sock", name);
	return 0;
}

json_t *control_question(const struct options *o, const char *line, char **text)
{
	char path[CONF_PATH_MAX], error[CONF_ERROR];
	json_error_t where;

	if (control_socket_path(o, path))
		return NULL;
	if (control_ask(path, line, text, error)) {
		failed("%s", error);
		return NULL;
	}
	json_t *answer = json_loads(*text, JSON_REJECT_DUPLICATES, &where);
	if (json_is_object(answer))
		return answer;
	failed("The daemon at %s did not answer with a JSON object; is it of another version?", path);
	json_decref(answer);
	free(*text);
	return NULL;
}
