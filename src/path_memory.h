/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The path MTU that a client has found, on disk: so that the first HELLO of its
 * next run says what the cluster need not be told again (PROTOCOL.md, "Path
 * MTU").  One line: an address, then NUMBER=SIZE for each server.
 */
#ifndef PATH_MEMORY_H
#define PATH_MEMORY_H

#include "proto/pmtu.h"

/* Opens or makes the file.  What is not such a line is as good as nothing.  A descriptor, or -errno. */
int path_memory_open(const char *path, struct pmtu_memory *m);
/* 0 or -errno. */
int path_memory_store(int fd, const struct pmtu_memory *m);

#endif
