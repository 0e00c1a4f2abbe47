/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * A daemon that hangs keeps its address, and its clients' packets are lost.  So a
 * thread of its own looks whether each thread that serves packets (the workers, the
 * relay thread) goes round, wakes those that sleep to make them, and otherwise ends
 * the process with SIGKILL: the address goes with it.  As long as all is well it feeds the service manager's watchdog,
 * which covers what this thread cannot see: a process that is stopped.
 *
 * Looks are counted, not seconds: a machine that was suspended has hung nobody.
 */
#ifndef WATCHDOG_H
#define WATCHDOG_H

#include <pthread.h>
#include <semaphore.h>

#include "base/util.h"
#include "notify.h"

#define WATCHDOG_LOOPS_MAX (64 + 1) /* workers, and the relay thread */

/* A thread that serves packets, in a loop that it counts. */
struct watchdog_loop {
	const char *name;
	const uint64_t *rounds; /* counter_read() */
	void (*wake)(void *arg);
	void *arg;
	unsigned vain; /* looks since its last round */
	uint64_t seen; /* rounds at the last look */
	bool fresh;    /* it went round since the service manager was fed */
};

struct watchdog {
	struct watchdog_loop loop[WATCHDOG_LOOPS_MAX];
	unsigned loop_count;
	const struct notify *notify;
	_Atomic unsigned main_rounds; /* of the main thread's loop, which it counts itself */
	unsigned limit_ms;            /* 0: only the service manager ends us */
	unsigned interval_ms;         /* between looks; 0: there is no watchdog */
	unsigned main_vain, main_seen;
	pthread_t thread;
	sem_t stop;
};

/*
 * Before watchdog_start(), for each thread that serves packets: name for the log ("a worker"),
 * *rounds is what it counts by counter_add(), wake(arg) makes it go round if it sleeps.
 */
void watchdog_watch(struct watchdog *w, const char *name, const uint64_t *rounds,
		void (*wake)(void *arg), void *arg);
/* After those threads.  limit_ms 0: never ends the process.  0 or a negative errno. */
int watchdog_start(struct watchdog *w, const struct notify *notify, unsigned limit_ms);
/* Before they are stopped. */
void watchdog_stop(struct watchdog *w);

#endif
