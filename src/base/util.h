/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Small helpers that every layer uses: byte order, sizes, wiping, and the one
 * unit of time.  Wire integers are big-endian and are read and written only
 * through load_be*() and store_be*(), never by casting a pointer.
 */
#ifndef BASE_UTIL_H
#define BASE_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)     ((a) < (b) ? (a) : (b))
#define MAX(a, b)     ((a) > (b) ? (a) : (b))
#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))
#define likely(x)     __builtin_expect(!!(x), 1)
#define unlikely(x)   __builtin_expect(!!(x), 0)

/*
 * Time is counted in 2^-24 s, as on the wire (PROTOCOL.md, "Time").  Cluster
 * time counts from the Unix epoch, boot time from the machine's start.
 */
typedef uint64_t ticks;
#define TICKS_PER_SEC ((ticks)1 << 24)
#define TICKS_MS(ms)  ((ticks)(ms) * TICKS_PER_SEC / 1000)
#define TICKS_S(s)    ((ticks)(s) * TICKS_PER_SEC)

/* Both clocks, read once per batch and handed down: the core never asks the machine. */
struct instant {
	ticks cluster; /* cluster time: Unix time, never going back */
	ticks boot;    /* CLOCK_BOOTTIME: for intervals; runs on while the machine is suspended */
};

/* A counter that one thread counts in, and others read meanwhile. */
static inline void counter_add(uint64_t *c, uint64_t n)
{
	__atomic_store_n(c, *c + n, __ATOMIC_RELAXED);
}

static inline uint64_t counter_read(const uint64_t *c)
{
	return __atomic_load_n(c, __ATOMIC_RELAXED);
}

static inline uint16_t load_be16(const void *p)
{
	uint16_t v;
	memcpy(&v, p, sizeof v);
	return __builtin_bswap16(v);
}

static inline uint32_t load_be32(const void *p)
{
	uint32_t v;
	memcpy(&v, p, sizeof v);
	return __builtin_bswap32(v);
}

static inline uint64_t load_be64(const void *p)
{
	uint64_t v;
	memcpy(&v, p, sizeof v);
	return __builtin_bswap64(v);
}

static inline void store_be16(void *p, uint16_t v)
{
	v = __builtin_bswap16(v);
	memcpy(p, &v, sizeof v);
}

static inline void store_be32(void *p, uint32_t v)
{
	v = __builtin_bswap32(v);
	memcpy(p, &v, sizeof v);
}

static inline void store_be64(void *p, uint64_t v)
{
	v = __builtin_bswap64(v);
	memcpy(p, &v, sizeof v);
}

/* Erase a secret; the compiler may not leave this out.  Like free(), it takes NULL. */
static inline void wipe(void *p, size_t n)
{
	if (p)
		explicit_bzero(p, n);
}

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "anyrelay is written for little-endian machines"
#endif

#endif
