/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Prometheus's text format, version 0.0.4: metrics with HELP and TYPE, and their
 * samples.  Every name begins with "anyrelay_"; a counter's ends in "_total",
 * which is added here.  Each metric is written once, its samples after it.
 */
#ifndef METRICS_EXPOSITION_H
#define METRICS_EXPOSITION_H

#include <stdint.h>
#include <stdio.h>

#define METRIC_NAME_MAX 96

struct exposition {
	FILE *out; /* the caller's; what goes wrong with it is for ferror() */
	char name[METRIC_NAME_MAX];
};

struct metric_label {
	const char *name, *value; /* the value may be any text */
};

/* Begins a metric.  help is a sentence without its full stop. */
void metric_counter(struct exposition *e, const char *prefix, const char *key, const char *help);
void metric_gauge(struct exposition *e, const char *name, const char *help);

/* A sample of the metric that was begun last. */
void metric_count(struct exposition *e, uint64_t value);
void metric_value(struct exposition *e, double value);
void metric_count_of(struct exposition *e, const struct metric_label *labels, unsigned count,
		uint64_t value);
void metric_value_of(struct exposition *e, const struct metric_label *labels, unsigned count,
		double value);

#endif
