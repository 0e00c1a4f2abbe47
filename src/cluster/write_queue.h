/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * What has to be in the registry: for each client at most one session record,
 * the newest.  A record stays until the registry has *shown* it, or a newer one:
 * an acknowledgement proves nothing, because acknowledged writes get lost.  What
 * was sent and not seen again is sent again after WRITE_RETRY; a client is
 * written at most once in WRITE_SPACING.
 *
 * No thread, no clock, no registry: the caller locks, and passes the time.
 */
#ifndef CLUSTER_WRITE_QUEUE_H
#define CLUSTER_WRITE_QUEUE_H

#include "proto/server.h"

#define WRITE_SPACING   TICKS_S(1)
#define WRITE_RETRY     TICKS_S(3)
#define WRITE_IN_FLIGHT 2048 /* sent and not yet seen: what the registry is asked to bear at once */

struct write_queue;

struct write_queue *write_queue_new(void);
void write_queue_free(struct write_queue *q);
/*
 * Copies r, to be sent at `due` (boot time) or as soon after as the spacing
 * allows; of two records of one client the winner stays.  0 or -ENOMEM.
 */
int write_queue_put(struct write_queue *q, const struct instant *now, uint32_t index,
		const struct session_record *r, ticks due);
/* The registry has this: whatever does not win over it need not be written. */
void write_queue_seen(struct write_queue *q, const struct instant *now, uint32_t index,
		const struct session_record *r);
/*
 * The next record to send, borrowed until the queue is next called; it counts as
 * sent now.  NULL: nothing is due, or enough is in flight.
 */
const struct session_record *write_queue_next(struct write_queue *q, const struct instant *now,
		uint32_t *index);
/* Records that the registry has not shown yet. */
size_t write_queue_length(const struct write_queue *q);

#endif
