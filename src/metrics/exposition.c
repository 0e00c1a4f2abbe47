/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "metrics/exposition.h"

#include <inttypes.h>
#include <stdbool.h>

/* ---- text ---- */

/* In HELP a backslash and a line feed are escaped, in a label's value a quotation mark too. */
static void put_escaped(FILE *out, const char *text, bool quoted)
{
	for (; *text; text++) {
		if (*text == '\n')
			fputs("\\n", out);
		else if (*text == '\\' || (quoted && *text == '"'))
			fprintf(out, "\\%c", *text);
		else
			fputc(*text, out);
	}
}

static void begin(struct exposition *e, const char *type, const char *help)
{
	fprintf(e->out, "# HELP %s ", e->name);
	put_escaped(e->out, help, false);
	fprintf(e->out, ".\n# TYPE %s %s\n", e->name, type);
}

static void put_name(struct exposition *e, const struct metric_label *labels, unsigned count)
{
	fputs(e->name, e->out);
	for (unsigned i = 0; i < count; i++) {
		fprintf(e->out, "%c%s=\"", i ? ',' : '{', labels[i].name);
		put_escaped(e->out, labels[i].value, true);
		fputc('"', e->out);
	}
	fputs(count ? "} " : " ", e->out);
}

/* ---- metrics ---- */

void metric_counter(struct exposition *e, const char *prefix, const char *key, const char *help)
{
	snprintf(e->name, sizeof e->name, "anyrelay_%s%s_total", prefix, key);
	begin(e, "counter", help);
}

void metric_gauge(struct exposition *e, const char *name, const char *help)
{
	snprintf(e->name, sizeof e->name, "anyrelay_%s", name);
	begin(e, "gauge", help);
}

/* ---- samples ---- */

void metric_count_of(struct exposition *e, const struct metric_label *labels, unsigned count,
		uint64_t value)
{
	put_name(e, labels, count);
	fprintf(e->out, "%" PRIu64 "\n", value);
}

void metric_value_of(struct exposition *e, const struct metric_label *labels, unsigned count,
		double value)
{
	put_name(e, labels, count);
	fprintf(e->out, "%.15g\n", value);
}

void metric_count(struct exposition *e, uint64_t value)
{
	metric_count_of(e, NULL, 0, value);
}

void metric_value(struct exposition *e, double value)
{
	metric_value_of(e, NULL, 0, value);
}
