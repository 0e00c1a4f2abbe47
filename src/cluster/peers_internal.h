/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* Between peers.c, peers_keys.c, peers_sessions.c and peers_clock.c. */
#ifndef CLUSTER_PEERS_INTERNAL_H
#define CLUSTER_PEERS_INTERNAL_H

#include "cluster/peers.h"

/* Seals and sends; false: there is no session. */
bool peer_send(struct peers *p, struct peer *r, const uint8_t *message, size_t len);

/* What this server's heartbeats say of its lineages. */
void keys_refresh(struct peers *p);
/* Sends our keys if the peer's are others, but not too often. */
void keys_offer(struct peers *p, const struct instant *now, struct peer *r);
enum mesh_result keys_take(struct peers *p, const struct instant *now, struct peer *r,
		const uint8_t *message, size_t len);
/* Begins a lineage when it is time. */
void keys_join(struct peers *p, const struct instant *now);

/* Somebody asks. */
enum mesh_result sessions_answer(struct peers *p, const struct instant *now, struct peer *r,
		const uint8_t *message, size_t len);

/* A heartbeat that answers one of ours. */
void clock_measure(struct peer *r, const struct instant *now, const struct heartbeat *h);
/* A peer refuses us for our clock. */
void clock_refused(struct peer *r, const struct instant *now, ticks peer_time);
void clock_forget(struct peer *r);
/* The median, and what follows from it. */
void clock_judge(struct peers *p, const struct instant *now);

#endif
