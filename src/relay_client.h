/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * A client's daemon as connection controller: who asks at its control socket is
 * answered when the cluster has answered.  The questions and the relays that are
 * kept alive belong to the worker (proto/controller.h); the main thread puts a
 * question in, and fetches its answer when the bell rings.
 */
#ifndef RELAY_CLIENT_H
#define RELAY_CLIENT_H

#include "proto/controller.h"

#define RELAY_CALLERS  (UPLINK_QUESTIONS - CONTROLLER_OWN)
#define RELAY_PATIENCE 8 /* s; the tool waits a little longer */

enum caller_state { CALLER_NONE, CALLER_WAITS, CALLER_ANSWERED, CALLER_SILENCE };

/* The worker's. */
struct relay_caller {
	enum caller_state state;
	struct relay_client *client;
	int fd; /* of who asked */
	struct relay_answer answer;
};

struct relay_client {
	struct controller controller;
	int bell; /* eventfd: there are answers */
	uint64_t lost; /* as last said in the log */
	struct relay_caller caller[RELAY_CALLERS];
};

#endif
