/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Who reads without a lock, and who may free what has been replaced: liburcu's QSBR, by names
 * of our own, so that ThreadSanitizer, which cannot look into liburcu's barriers, is told in
 * one place what they order: all that a reader did before it was quiet comes before the free.
 */
#ifndef BASE_RCU_H
#define BASE_RCU_H

/* A thread that reads registers itself, and says so each time it holds nothing that it has read. */
void rcu_register(void);
void rcu_unregister(void);
void rcu_quiescent(void);
/* Around a sleep: nobody waits for this thread meanwhile. */
void rcu_offline(void);
void rcu_online(void);
/* Until all readers have been quiet: what was replaced before can be freed. */
void rcu_wait(void);

#endif
