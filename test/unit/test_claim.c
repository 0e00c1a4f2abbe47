/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* A claim is one process's, and ends with it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "path/claim.h"

/* 0 to 255: what a child's claim came to, as a positive errno. */
static int child_claims(const char *use, const char *device)
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0)
		_exit(-claim_take(use, device));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void a_claim_ends_with_its_process(void **state)
{
	char device[16];
	(void)state;

	snprintf(device, sizeof device, "t%d", getpid()); /* nobody else's */
	assert_int_equal(child_claims("test", device), 0);
	assert_int_equal(child_claims("test", device), 0);
	assert_int_equal(claim_take("test", device), 0);
	assert_int_equal(child_claims("test", device), EADDRINUSE);
	assert_int_equal(child_claims("other", device), 0);
	device[1]++;
	assert_int_equal(child_claims("test", device), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(a_claim_ends_with_its_process),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
