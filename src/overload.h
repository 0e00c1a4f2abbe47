/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Fair shares between clients while a worker cannot keep up.  The main thread
 * looks at the workers' sockets ten times a second.  When one has lost messages
 * for want of room in its queue, a filter is put on that worker's sockets
 * (path/fair_bpf.h), what each source sends and what the worker takes out are
 * compared some sixty times a second (path/fair.h), and what is beyond a source's
 * share is dropped before it is queued.  After some seconds in which nothing had
 * to be dropped the filter is taken off.  The packet path itself does nothing for
 * it, and knows nothing of it.
 */
#ifndef OVERLOAD_H
#define OVERLOAD_H

#include "path/fair.h"
#include "path/fair_bpf.h"
#include "path/path.h"

struct overload_worker {
	struct fair_bpf *filter; /* NULL: it could not be loaded */
	bool on;
	struct fair_pace pace;
	ticks looked, pressed, salted; /* boot time: last look, last drop, last change of the salt */
	uint64_t taken;     /* units that the worker had taken out at the last look */
	uint64_t lost;      /* messages that the sockets had lost by then */
	uint64_t filtered;  /* messages that the filter had dropped by then */
	uint64_t refused;   /* by either, as the sockets count */
	uint32_t refused_of[FAMILY_COUNT]; /* … each, as last read: they wrap */
	size_t cursor;      /* the next client whose source is to be known */
	uint64_t arrived[1 + FAIR_SLOTS]; /* as the filter had counted: strangers, then row 0 */
};

struct overload {
	struct overload_worker *worker; /* as many as there are workers; NULL: no memory */
	uint64_t rates[1 + FAIR_SLOTS]; /* of the look under way */
	char why[256];                  /* the filter could not be loaded; empty: it is there */
	bool told;
	ticks due;                      /* boot time of the next look */
};

#endif
