/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * A daemon that hangs keeps its address, and its clients' packets are lost.  So a
 * thread of its own looks whether every worker goes round, wakes those that
 * sleep to make them, and otherwise ends the process with SIGKILL: the address
 * goes with it.  As long as all is well it feeds the service manager's watchdog,
 * which covers what this thread cannot see: a process that is stopped.
 *
 * Looks are counted, not seconds: a machine that was suspended has hung nobody.
 */
#ifndef WATCHDOG_H
#define WATCHDOG_H

#include <semaphore.h>
#include "notify.h"
#include "path/path.h"

struct watchdog {
	const struct path *path;
	const struct notify *notify;
	_Atomic unsigned main_rounds; /* of the main thread's loop, which it counts itself */
	unsigned limit_ms;            /* 0: only the service manager ends us */
	unsigned interval_ms;         /* between looks; 0: there is no watchdog */
	unsigned main_vain, main_seen;
	unsigned vain[WORKERS_MAX]; /* looks since the worker's last round */
	uint64_t seen[WORKERS_MAX]; /* rounds at the last look */
	bool fresh[WORKERS_MAX];    /* it went round since the service manager was fed */
	pthread_t thread;
	sem_t stop;
};

/* After the workers.  limit_ms 0: never ends the process.  0 or a negative errno. */
int watchdog_start(struct watchdog *w, const struct path *path, const struct notify *notify,
		unsigned limit_ms);
/* Before the workers are stopped. */
void watchdog_stop(struct watchdog *w);

#endif
