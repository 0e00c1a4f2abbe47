/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "watchdog.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

#define LOOKS            4 /* within the shorter of the limits */
#define INTERVAL_MAX_MS  1000
#define MAIN_PATIENCE_MS 30000 /* a reload of very many clients may take its time */

/* A log that nobody reads must not hold up the end. */
static void end_process(const char *what, unsigned ms)
{
	struct pollfd log = {.fd = STDERR_FILENO, .events = POLLOUT};

	if (poll(&log, 1, 0) == 1)
		log_error("%s has not gone round for %u ms: ending, so that the address goes", what,
				ms);
	raise(SIGKILL);
}

static bool all_fresh(const struct watchdog *w)
{
	for (unsigned i = 0; i < w->loop_count; i++)
		if (!w->loop[i].fresh)
			return false;
	return true;
}

/* Rounds are read while the thread counts them; one that sleeps is woken to count another. */
static void look_at_loop(const struct watchdog *w, struct watchdog_loop *l)
{
	uint64_t now = counter_read(l->rounds);

	l->vain = now == l->seen ? l->vain + 1 : 0;
	l->fresh |= l->vain == 0;
	l->seen = now;
	l->wake(l->arg);
	if (w->limit_ms && l->vain * w->interval_ms >= w->limit_ms)
		end_process(l->name, l->vain * w->interval_ms);
}

static void look_at_main(struct watchdog *w)
{
	unsigned now = w->main_rounds;

	w->main_vain = now == w->main_seen ? w->main_vain + 1 : 0;
	w->main_seen = now;
	if (w->limit_ms && w->main_vain > MAIN_PATIENCE_MS / w->interval_ms)
		end_process("the main thread", w->main_vain * w->interval_ms);
}

static void look(struct watchdog *w)
{
	for (unsigned i = 0; i < w->loop_count; i++)
		look_at_loop(w, &w->loop[i]);
	look_at_main(w);
	if (!w->notify->watchdog_ms || w->main_vain > MAIN_PATIENCE_MS / w->interval_ms ||
			!all_fresh(w))
		return;
	notify_send(w->notify, "WATCHDOG=1");
	for (unsigned i = 0; i < w->loop_count; i++)
		w->loop[i].fresh = false;
}

/* False: the daemon stops. */
static bool wait_interval(struct watchdog *w)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += w->interval_ms / 1000;
	until.tv_nsec += (long)(w->interval_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	while (sem_clockwait(&w->stop, CLOCK_MONOTONIC, &until) != 0)
		if (errno != EINTR)
			return true;
	return false;
}

static void *watchdog_main(void *arg)
{
	struct watchdog *w = arg;

	while (wait_interval(w))
		look(w);
	return NULL;
}

static unsigned choose_interval(unsigned limit_ms, unsigned manager_ms)
{
	unsigned least = limit_ms && manager_ms ? MIN(limit_ms, manager_ms) : limit_ms + manager_ms;

	return least ? MAX(1u, MIN(least / LOOKS, INTERVAL_MAX_MS)) : 0;
}

void watchdog_watch(struct watchdog *w, const char *name, const uint64_t *rounds,
		void (*wake)(void *arg), void *arg)
{
	w->loop[w->loop_count++] = (struct watchdog_loop){.name = name, .rounds = rounds,
		.wake = wake, .arg = arg};
}

int watchdog_start(struct watchdog *w, const struct notify *notify, unsigned limit_ms)
{
	int failed;

	w->notify = notify;
	w->limit_ms = limit_ms;
	w->interval_ms = choose_interval(limit_ms, notify->watchdog_ms);
	if (!w->interval_ms)
		return 0;
	sem_init(&w->stop, 0, 0);
	failed = pthread_create(&w->thread, NULL, watchdog_main, w);
	if (failed)
		w->interval_ms = 0;
	return -failed;
}

void watchdog_stop(struct watchdog *w)
{
	if (!w->interval_ms)
		return;
	sem_post(&w->stop);
	pthread_join(w->thread, NULL);
	sem_destroy(&w->stop);
}
