/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * For LD_PRELOAD: of a program's calls that can fail for want of something, the one with number
 * FAIL_CALL (an environment variable, counted from 1) does.  FAIL_REPORT, a file, gets at the
 * end how many there were, and the name of the one that failed.
 *
 * Whoever closes a standard descriptor, or one that is not open, has lost track: abort().
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_int calls;
static int report = -1;
static const char *volatile failed = "none";

/* Opened before the program gives up its rights. */
__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("FAIL_REPORT");

	report = path ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
}

__attribute__((destructor)) static void end(void)
{
	if (report >= 0)
		dprintf(report, "%d %s\n", calls, failed);
}

static int fails(const char *name)
{
	const char *which = getenv("FAIL_CALL");

	if (++calls != (which ? atoi(which) : 0))
		return 0;
	failed = name;
	errno = EMFILE;
	return 1;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int socket(int family, int type, int protocol)
{
	return fails("socket") ? -1 : NEXT(socket)(family, type, protocol);
}

int bind(int fd, const struct sockaddr *address, socklen_t size)
{
	return fails("bind") ? -1 : NEXT(bind)(fd, address, size);
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t size)
{
	return fails("setsockopt") ? -1 : NEXT(setsockopt)(fd, level, name, value, size);
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	return fails("ioctl") ? -1 : NEXT(ioctl)(fd, request, arg);
}

int eventfd(unsigned count, int flags);
int eventfd(unsigned count, int flags)
{
	return fails("eventfd") ? -1 : NEXT(eventfd)(count, flags);
}

int timerfd_create(int clock, int flags);
int timerfd_create(int clock, int flags)
{
	return fails("timerfd_create") ? -1 : NEXT(timerfd_create)(clock, flags);
}

int epoll_create1(int flags)
{
	return fails("epoll_create1") ? -1 : NEXT(epoll_create1)(flags);
}

int epoll_ctl(int fd, int op, int other, struct epoll_event *event)
{
	return fails("epoll_ctl") ? -1 : NEXT(epoll_ctl)(fd, op, other, event);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg)
{
	return fails("pthread_create") ? EAGAIN : NEXT(pthread_create)(thread, attr, run, arg);
}

int close(int fd)
{
	int rc;

	if (fd >= 0 && fd <= 2)
		abort();
	rc = (int)syscall(SYS_close, fd);
	if (rc && errno == EBADF && fd >= 0)
		abort();
	return rc;
}
