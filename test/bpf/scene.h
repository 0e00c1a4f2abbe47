/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* One packet with its entry, and how it is to leave: what the tests begin with and vary. */
#ifndef TEST_BPF_SCENE_H
#define TEST_BPF_SCENE_H

#include "harness.h"

#define UDP 17
#define TCP 6

/* Ways through the program, as bits. */
enum pairs { V44 = 1, V66 = 2, V46 = 4, V64 = 8, SAME = 3, FROM4 = 5, TO4 = 9, CROSS = 12, ALL = 15 };

struct scene {
	struct spec in, out; /* what comes, and what is to leave */
	struct relay_entry entry;
	bool no_entry;
	unsigned gso_size, gso_segments;
};

/* Side 1 at port 4000 talks to port 5000; side 2 is at port 7000 and is sent from port 6000. */
void begin(struct scene *s, uint8_t protocol, unsigned pair);
void set_out(struct scene *s, const char *to);
struct relay_key key_of(const struct scene *s);
/* Puts the entry, or sees that there is none, and runs the packet. */
void run(const struct scene *s, struct outcome *o);
/* Is what the program made of it, byte for byte, what was to leave?  Fails the test if not. */
void leaves_as_expected(const struct scene *s, struct outcome *o);

#define EXPECT(o, wanted, why)                                                                     \
	assert_true((o)->verdict == (wanted) && ((wanted) == SENT || (wanted) == PASSED ||         \
			(o)->reason == (int)(why)))

extern const struct CMUnitTest more_tests[], header_tests[], limit_tests[];
extern const size_t more_test_count, header_test_count, limit_test_count;

#endif
