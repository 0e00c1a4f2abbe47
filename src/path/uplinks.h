/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* Which devices lead to the rest of the world: those with a default route in the main table. */
#ifndef PATH_UPLINKS_H
#define PATH_UPLINKS_H

/* The names, each once, of at most `room` of them; how many. */
unsigned uplinks_default(char (*names)[16], unsigned room);

#endif
