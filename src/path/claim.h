/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * What only one anyrelayd of a network namespace may have, and the kernel would let
 * two share without a word: a tunnel device with several queues, the place of the
 * relay program at an uplink.
 *
 * A claim is an abstract socket, which no other process of the namespace can have
 * meanwhile, whatever file systems it sees; it ends with the process, however that
 * ends.  Somebody else on the machine can take the name first, as he can take the
 * daemon's port: then the daemon does not start.
 */
#ifndef PATH_CLAIM_H
#define PATH_CLAIM_H

/* "tunnel", "any0": 0, held until the process ends; -EADDRINUSE: another one has it; -errno. */
int claim_take(const char *use, const char *device);

#endif
