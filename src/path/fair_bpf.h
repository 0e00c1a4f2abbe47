/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The socket filter for fair shares (bpf/fair_shared.h) of one worker: loading it,
 * putting it on the worker's sockets and taking it off, and its state, which is
 * memory that kernel and user space share: no system calls.
 */
#ifndef PATH_FAIR_BPF_H
#define PATH_FAIR_BPF_H

#include "base/addr.h"
#include "bpf/fair_shared.h"

struct fair_bpf;

/* Before privileges are dropped; what follows needs none.  NULL with a sentence in error. */
struct fair_bpf *fair_bpf_open(char *error, size_t error_size);
void fair_bpf_close(struct fair_bpf *b); /* takes NULL; the sockets keep what they have */

struct fair_state *fair_bpf_state(struct fair_bpf *b);
/* 0 or a negative errno. */
int fair_bpf_attach(struct fair_bpf *b, int fd);
void fair_bpf_detach(int fd);

/* Other secrets, nobody known, no limits; counters stay. */
void fair_bpf_reset(struct fair_bpf *b);
/* Sources meet others in their slots from now on. */
void fair_bpf_salt(struct fair_bpf *b);
/* From here a client with a session sends. */
void fair_bpf_know(struct fair_bpf *b, const struct endpoint *from);

#endif
