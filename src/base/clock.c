/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * How cluster time is made.  CLOCK_REALTIME and CLOCK_BOOTTIME run at one rate,
 * so their difference (`offset`) changes only when someone sets the clock:
 *
 *	forward		follow
 *	back by <= 1 s	stand still until the clock has caught up (leap second)
 *	back by more	keep the old offset: time runs on from CLOCK_BOOTTIME
 *
 * Threads share two words, each changed by compare-and-swap alone; `latest`
 * makes sure that no thread sees a time below one that another has seen.
 */
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

#define STEP_TOLERATED TICKS_S(1)
#define READING_MAX    TICKS_MS(10) /* longest time between the readings of the two clocks */
#define JITTER         TICKS_MS(1)  /* differences that come from reading, not from the clocks */
#define MARK_SIZE      21           /* 20 digits of Unix seconds and a line feed */

static _Atomic ticks offset; /* cluster - boot; 0: not read yet */
static _Atomic ticks latest;
static _Atomic bool running_on; /* the system clock is behind and has been reported */

static ticks read_ticks(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return TICKS_S(ts.tv_sec) + (ticks)ts.tv_nsec * TICKS_PER_SEC / 1000000000;
}

static double seconds(ticks t)
{
	return (double)t / TICKS_PER_SEC;
}

/* From here on cluster time is the system clock as it is now. */
static void follow(ticks old, ticks realtime, ticks boottime)
{
	ticks expected = boottime + old;

	if (!atomic_compare_exchange_strong(&offset, &old, realtime - boottime))
		return; /* another thread has seen the same */
	if (atomic_exchange(&running_on, false))
		log_notice("the system clock has caught up: cluster time follows it again");
	else if (old != 0 && realtime > expected + STEP_TOLERATED)
		log_notice("the system clock has been set forward by %.1f s: cluster time follows",
				seconds(realtime - expected));
}

static ticks never_back(ticks t)
{
	ticks seen = atomic_load_explicit(&latest, memory_order_relaxed);

	while (seen < t && !atomic_compare_exchange_weak_explicit(&latest, &seen, t,
					   memory_order_relaxed, memory_order_relaxed))
		;
	return MAX(seen, t);
}

void clock_read_from(struct instant *now, ticks realtime, ticks boottime)
{
	ticks old = atomic_load_explicit(&offset, memory_order_relaxed);
	ticks expected = boottime + old, cluster = realtime;

	if (old == 0 || realtime > expected + JITTER) {
		follow(old, realtime, boottime);
	} else if (realtime + STEP_TOLERATED < expected) {
		cluster = expected;
		if (!atomic_exchange(&running_on, true))
			log_warning("the system clock has been set back by %.1f s: cluster time "
				    "runs on without it until it has caught up",
					seconds(expected - realtime));
	} else if (realtime + JITTER < expected &&
		   realtime >= atomic_load_explicit(&latest, memory_order_relaxed)) {
		follow(old, realtime, boottime);
	}
	now->cluster = never_back(cluster);
	now->boot = boottime;
}

void clock_read(struct instant *now)
{
	ticks before, realtime, after;

	/* A pause between the readings, even a suspended machine, would look like a step. */
	do {
		before = read_ticks(CLOCK_BOOTTIME);
		realtime = read_ticks(CLOCK_REALTIME);
		after = read_ticks(CLOCK_BOOTTIME);
	} while (after - before > READING_MAX);
	clock_read_from(now, realtime, after);
}

/* ---- high-water mark ---- */

/*
 * Overwritten in place, always the same few bytes of one sector, so a crash
 * leaves the old or the new mark.  Not synced: a power failure may cost the
 * last half minute of it, a sync every 10 s would wear out flash memory.
 */
int clock_mark_open(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return fd;
	close(fd);
	return -EBUSY;
}

int clock_mark_store(int fd, ticks cluster)
{
	char text[MARK_SIZE + 1];
	ssize_t n;

	snprintf(text, sizeof text, "%020llu\n", (unsigned long long)(cluster / TICKS_PER_SEC));
	n = pwrite(fd, text, MARK_SIZE, 0);
	if (n == MARK_SIZE)
		return 0;
	return n < 0 ? -errno : -ENOSPC;
}

long clock_mark_check(const char *path, ticks cluster)
{
	char text[MARK_SIZE + 1], *end;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	unsigned long long mark, now = cluster / TICKS_PER_SEC;
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof text);
	if (n < 0) {
		n = -errno;
		close(fd);
		return n;
	}
	close(fd);
	if (n != MARK_SIZE || text[0] < '0' || text[0] > '9' || text[MARK_SIZE - 1] != '\n')
		return -EINVAL;
	text[MARK_SIZE - 1] = '\0';
	errno = 0;
	mark = strtoull(text, &end, 10);
	if (*end != '\0' || errno != 0 || mark > UINT64_MAX / TICKS_PER_SEC)
		return -EINVAL;
	return mark > now ? (long)(mark - now) : 0;
}
