/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* Prometheus's text format, byte for byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/exposition.h"

struct page {
	struct exposition e;
	char *text;
	size_t len;
};

static void open_page(struct page *p)
{
	*p = (struct page){0};
	p->e.out = open_memstream(&p->text, &p->len);
	assert_non_null(p->e.out);
}

static void expect_page(struct page *p, const char *text)
{
	assert_int_equal(fclose(p->e.out), 0);
	assert_string_equal(p->text, text);
	free(p->text);
}

static void a_counter_ends_in_total(void **state)
{
	struct page p;

	(void)state;
	open_page(&p);
	metric_counter(&p.e, "mesh_", "inits", "sessions asked for");
	metric_count(&p.e, UINT64_MAX);
	expect_page(&p, "# HELP anyrelay_mesh_inits_total sessions asked for.\n"
			"# TYPE anyrelay_mesh_inits_total counter\n"
			"anyrelay_mesh_inits_total 18446744073709551615\n");
}

static void a_gauge_keeps_its_name(void **state)
{
	struct page p;

	(void)state;
	open_page(&p);
	metric_gauge(&p.e, "lag_seconds", "how late");
	metric_value(&p.e, 0.0014);
	metric_gauge(&p.e, "offset_seconds", "how wrong");
	metric_value(&p.e, -3);
	metric_gauge(&p.e, "start_time_seconds", "since when");
	metric_value(&p.e, 1795751234.5);
	expect_page(&p, "# HELP anyrelay_lag_seconds how late.\n"
			"# TYPE anyrelay_lag_seconds gauge\n"
			"anyrelay_lag_seconds 0.0014\n"
			"# HELP anyrelay_offset_seconds how wrong.\n"
			"# TYPE anyrelay_offset_seconds gauge\n"
			"anyrelay_offset_seconds -3\n"
			"# HELP anyrelay_start_time_seconds since when.\n"
			"# TYPE anyrelay_start_time_seconds gauge\n"
			"anyrelay_start_time_seconds 1795751234.5\n");
}

static void labels_are_escaped(void **state)
{
	const struct metric_label labels[] = {{"a", "plain"}, {"b", "\"quoted\" \\ and\nbroken"}};
	struct page p;

	(void)state;
	open_page(&p);
	metric_gauge(&p.e, "g", "a \\ and a\nline feed, \"as they are\"");
	metric_count_of(&p.e, labels, 2, 1);
	metric_count_of(&p.e, labels, 1, 0);
	expect_page(&p, "# HELP anyrelay_g a \\\\ and a\\nline feed, \"as they are\".\n"
			"# TYPE anyrelay_g gauge\n"
			"anyrelay_g{a=\"plain\",b=\"\\\"quoted\\\" \\\\ and\\nbroken\"} 1\n"
			"anyrelay_g{a=\"plain\"} 0\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_counter_ends_in_total),
		cmocka_unit_test(a_gauge_keeps_its_name),
		cmocka_unit_test(labels_are_escaped),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
