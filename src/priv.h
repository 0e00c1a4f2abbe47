/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Privileges: root only to set up.  Afterwards an own user with CAP_NET_ADMIN
 * alone (MTU, addresses, routes), system calls limited by seccomp, no core
 * dumps, key memory locked.
 */
#ifndef PRIV_H
#define PRIV_H

#include <stddef.h>

/* First thing in main(): no core, not dumpable, O_CLOEXEC'd standard descriptors open. */
void priv_harden(void);
/*
 * After the last large allocation: locks memory, then gives up what is not
 * needed any more.  user may be NULL: stay who we are.  0 or a negative errno
 * with a sentence in error.
 */
int priv_drop(const char *user, char *error, size_t error_size);
/* After all set-up.  0 or a negative errno. */
int priv_seccomp(void);

#endif
