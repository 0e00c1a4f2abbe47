/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * What the service manager is told: sd_notify(3), which is one datagram to the
 * socket named in NOTIFY_SOCKET.  Without a service manager all of it is nothing.
 */
#ifndef NOTIFY_H
#define NOTIFY_H

struct notify {
	int fd;               /* -1: there is nobody to tell */
	unsigned watchdog_ms; /* it ends us if it hears nothing for so long; 0: it does not */
};

/* Reads the environment; before privileges are dropped. */
void notify_open(struct notify *n);
/* "READY=1", "STOPPING=1", "WATCHDOG=1"; never blocks. */
void notify_send(const struct notify *n, const char *state);

#endif
