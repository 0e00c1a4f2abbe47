/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * A connection controller's questions, put to the table of relays: those of
 * clients come in workers (server_options.relay_control), those of the operator
 * from the control socket.
 */
#ifndef MODE_RELAY_CONTROL_H
#define MODE_RELAY_CONTROL_H

#include "mode/relays.h"

struct relay_desk {
	struct relays *relays; /* NULL: there are none here */
	const struct relay_keys *keys; /* may be changed under the table's lock */
	uint8_t anycast4[16], anycast6[16];
};

/* arg: struct relay_desk; owner 0: the operator.  Takes relays->lock. */
void relay_desk_answer(void *arg, const struct instant *now, uint32_t owner,
		const struct relay_question *q, struct relay_answer *a);

#endif
