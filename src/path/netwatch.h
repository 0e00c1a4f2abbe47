/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* Tells a client that the machine's own addresses or routes have changed (rtnetlink). */
#ifndef PATH_NETWATCH_H
#define PATH_NETWATCH_H

#include <stdbool.h>

int netwatch_open(void); /* a non-blocking descriptor to poll, or a negative errno */
/* Empties it; true if an address or a route changed on a device other than index `own`. */
bool netwatch_read(int fd, int own);

#endif
