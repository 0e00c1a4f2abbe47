/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The contract of a transport: how packets cross between client and cluster.
 * Nothing outside src/xport asks which transport it is.
 */
#ifndef PATH_XPORT_H
#define PATH_XPORT_H

#include "path/path.h"

struct xport {
	const char *name;
	/*
	 * Opens this worker's sockets, bound to local[f] where present (a client
	 * gives wildcards).  0 or a negative errno with a sentence in error.
	 */
	int (*open)(struct worker *w, const struct endpoint local[FAMILY_COUNT],
			const bool present[FAMILY_COUNT], char *error, size_t error_size);
	/* Fills w->in from one socket; the number of messages or a negative errno. */
	int (*receive)(struct worker *w, enum family f);
	/* What ICMP says about our packets. */
	void (*errors)(struct worker *w, enum family f);
	/* Queues a packet; data is borrowed until flush(). */
	void (*send)(struct worker *w, const struct endpoint *to, uint8_t tos, const uint8_t *data,
			size_t len);
	/* The same for what must not share its fate with others: see udp_send_alone(). */
	void (*send_alone)(struct worker *w, const struct endpoint *to, const uint8_t *data, size_t len);
	void (*flush)(struct worker *w);
};

extern const struct xport xport_anycast_udp;

#endif
