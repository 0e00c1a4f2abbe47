/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Which relays the registry is to be told of: ids alone, since what is written is
 * what the table (mode/relays.h) holds at that moment.  As in write_queue.h one
 * stays until the registry has shown what is known here; it is written at most
 * once in RELAY_WRITE_SPACING, and again after RELAY_WRITE_RETRY.
 *
 * No thread, no clock: the caller locks, and passes boot time.
 */
#ifndef CLUSTER_RELAY_QUEUE_H
#define CLUSTER_RELAY_QUEUE_H

#include "proto/relay.h"
#include "proto/table.h"

#define RELAY_WRITE_SPACING TICKS_S(1)
#define RELAY_WRITE_RETRY   TICKS_S(3)
#define RELAY_WRITE_FLIGHT  2048 /* written and not yet shown, at most; more wait */

struct relay_queue;

/* heal_delay: how long what the registry has lost waits for another server to be faster. */
struct relay_queue *relay_queue_new(ticks heal_delay);
void relay_queue_free(struct relay_queue *q);
/* To be written as soon as may be; heal: after the delay, unless it waits already.  0 or -ENOMEM. */
int relay_queue_put(struct relay_queue *q, ticks now, const uint8_t id[RELAY_ID_SIZE], bool heal);
/* The registry has what is known here. */
void relay_queue_done(struct relay_queue *q, const uint8_t id[RELAY_ID_SIZE]);
/* The next one to write, which counts as written now.  False: nothing is due, or enough is in flight. */
bool relay_queue_next(struct relay_queue *q, ticks now, uint8_t id[RELAY_ID_SIZE]);
size_t relay_queue_length(const struct relay_queue *q);

#endif
