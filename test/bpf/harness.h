/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The relay program loaded by its own loader, in a network namespace with one uplink, and
 * run on single packets by the kernel (BPF_PROG_TEST_RUN): nothing is really sent.
 */
#ifndef TEST_BPF_HARNESS_H
#define TEST_BPF_HARNESS_H

#include "packet.h"
#include "path/relay_bpf.h"

#define OWN4    "192.0.2.1"
#define OWN6    "2001:db8::1"
#define ANY_WAY (-1)

/* The uplink has an MTU of 1500; ways to these differ. */
#define NARROW4   "203.0.113.50"  /* by another device, of MTU 1300 */
#define NARROW6   "2001:db8:9::50"
#define NO_ROUTE4 "203.0.113.60"
#define NO_ROUTE6 "2001:db8:9::60"

enum verdict { PASSED, SENT, UP, DROPPED, MIXED }; /* MIXED: what it said and counted disagree */

struct outcome {
	enum verdict verdict;
	int reason;              /* of UP and DROPPED */
	uint8_t frame[FRAME_MAX]; /* as it is after the program */
	size_t len;
	struct relay_event event; /* of UP */
};

/* NULL, or a sentence that says what is wrong; it is no failure where BPF is not permitted. */
const char *harness_open(bool *permitted);
void harness_close(void);
struct relay_bpf *harness_bpf(void);
/* One that was opened before it, and whose program hangs nowhere any more. */
struct relay_bpf *harness_ousted(void);
/* The id of what hangs at the uplink; 0: nothing. */
uint32_t harness_attached(void);
void harness_run(const uint8_t *frame, size_t len, unsigned gso_size, unsigned gso_segments,
		struct outcome *o);
/* The kernel itself receives a packet at the uplink. */
void harness_arrive(const uint8_t *frame, size_t len);
/* Runs it so many times and polls nothing; how many have gone up. */
unsigned harness_flood(const uint8_t *frame, size_t len, unsigned times);
/* One relay_bpf_poll(): how many events it took, and whether there may be more. */
unsigned harness_poll(bool *more);
const char *outcome_text(const struct outcome *o);

#endif
