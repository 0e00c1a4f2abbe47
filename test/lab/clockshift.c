/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * For LD_PRELOAD: a machine whose clock is wrong.  CLOCK_REALTIME is CLOCK_SHIFT
 * seconds (an environment variable) ahead; the other clocks are as they are.  With
 * CLOCK_SHIFT_FILE it is set meanwhile: the file holds the seconds, as a long.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile long *shared;

/* Mapped before the program gives up its rights to open it. */
__attribute__((constructor)) static void map_file(void)
{
	const char *path = getenv("CLOCK_SHIFT_FILE");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *at;

	if (fd < 0)
		return;
	at = mmap(NULL, sizeof *shared, PROT_READ, MAP_SHARED, fd, 0);
	shared = at == MAP_FAILED ? NULL : at;
	close(fd);
}

static long shift(void)
{
	const char *text = getenv("CLOCK_SHIFT");

	return shared ? *shared : text ? atol(text) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *t)
{
	int rc = (int)syscall(SYS_clock_gettime, clock, t);

	if (!rc && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		t->tv_sec += shift();
	return rc;
}

time_t time(time_t *out)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	if (out)
		*out = t.tv_sec;
	return t.tv_sec;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
	struct timespec t;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &t);
	tv->tv_sec = t.tv_sec;
	tv->tv_usec = t.tv_nsec / 1000;
	return 0;
}
