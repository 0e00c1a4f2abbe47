/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "base/rcu.h"

#include <urcu-qsbr.h>

#ifdef __has_feature
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__ 1
#endif
#endif

#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
static char quiet;
#define ALL_BEFORE()      __tsan_release(&quiet)
#define AFTER_ALL_QUIET() __tsan_acquire(&quiet)
#else
#define ALL_BEFORE()
#define AFTER_ALL_QUIET()
#endif

void rcu_register(void)
{
	urcu_qsbr_register_thread();
}

void rcu_unregister(void)
{
	ALL_BEFORE();
	urcu_qsbr_unregister_thread();
}

void rcu_quiescent(void)
{
	ALL_BEFORE();
	urcu_qsbr_quiescent_state();
}

void rcu_offline(void)
{
	ALL_BEFORE();
	urcu_qsbr_thread_offline();
}

void rcu_online(void)
{
	urcu_qsbr_thread_online();
}

void rcu_wait(void)
{
	urcu_qsbr_synchronize_rcu();
	AFTER_ALL_QUIET();
}
