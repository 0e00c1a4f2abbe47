/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The daemon's clocks.  Cluster time is CLOCK_REALTIME as long as that behaves:
 * it never goes back.  If the system clock is stepped back by more than 1 s,
 * cluster time runs on from CLOCK_BOOTTIME until it has been caught up with,
 * and a sentence says so; a step forward is followed, and said.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include "base/util.h"

/* Thread-safe, no lock; never returns a cluster time below an earlier one of any thread. */
void clock_read(struct instant *now);
/* As above from given readings (for tests): in 2^-24 s. */
void clock_read_from(struct instant *now, ticks realtime, ticks boottime);

/*
 * The high-water mark on disk (PROTOCOL.md, "Time"): written every 10 s, read
 * at start.  check: 0; or seconds > 0 by which the clock is behind the mark;
 * -errno if the file cannot be read (-ENOENT: first start).
 */
/*
 * A descriptor for writing the mark, kept open: later the daemon may have lost the right to open
 * it, and its lock keeps others away (-EBUSY).
 */
int clock_mark_open(const char *path);
int clock_mark_store(int fd, ticks cluster);
long clock_mark_check(const char *path, ticks cluster);

#endif
