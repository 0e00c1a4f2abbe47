/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * What the daemon answers, as text.  The JSON is the contract and may grow: rows
 * come from what is there; a key without a row of its own is shown by its name.
 */
#include "ctl/ctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "proto/drop.h"

#define LABEL_WIDTH 20
#define VALUE_MAX   512

/* ---- one value ---- */

static void format_bytes(char out[VALUE_MAX], double n)
{
	static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB"};
	unsigned unit = 0;

	while (n >= 1000 && unit + 1 < ARRAY_SIZE(units)) {
		n /= 1000;
		unit++;
	}
	snprintf(out, VALUE_MAX, unit ? "%.2f %s" : "%.0f %s", n, units[unit]);
}

const char *seconds_text(char out[SECONDS_TEXT], double s)
{
	long n = (long)s;

	if (s < 0)
		snprintf(out, SECONDS_TEXT, "%.0f s", s);
	else if (n < 120)
		snprintf(out, SECONDS_TEXT, "%ld s", n);
	else if (n < 2 * 3600)
		snprintf(out, SECONDS_TEXT, "%ld min %ld s", n / 60, n % 60);
	else if (n < 2 * 86400)
		snprintf(out, SECONDS_TEXT, "%ld h %ld min", n / 3600, n / 60 % 60);
	else
		snprintf(out, SECONDS_TEXT, "%ld d %ld h", n / 86400, n / 3600 % 24);
	return out;
}

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n >= m && !strcmp(text + n - m, end);
}

/* The daemon's text may come from a client; no control character reaches the terminal. */
static void copy_plain(char out[VALUE_MAX], const char *text)
{
	size_t i = 0;

	for (; text[i] && i + 1 < VALUE_MAX; i++)
		out[i] = (unsigned char)text[i] < 32 || text[i] == 127 ? '?' : text[i];
	out[i] = 0;
}

static void format_value(char out[VALUE_MAX], const char *key, json_t *v);

static void format_list(char out[VALUE_MAX], json_t *list)
{
	char item[VALUE_MAX];
	size_t i, len = 0;
	json_t *v;

	out[0] = 0;
	json_array_foreach(list, i, v) {
		format_value(item, "", v);
		int n = snprintf(out + len, VALUE_MAX - len, "%s%s", i ? " " : "", item);
		len = MIN(len + (size_t)n, (size_t)VALUE_MAX - 1);
	}
}

/* The unit is the end of the key's name: _s, _bytes, _ms. */
static void format_value(char out[VALUE_MAX], const char *key, json_t *v)
{
	if (json_is_string(v))
		copy_plain(out, json_string_value(v));
	else if (json_is_boolean(v))
		strcpy(out, json_is_true(v) ? "yes" : "no");
	else if (json_is_number(v) && ends_with(key, "_bytes"))
		format_bytes(out, json_number_value(v));
	else if (json_is_number(v) && ends_with(key, "_ms"))
		snprintf(out, VALUE_MAX, "%.1f ms", json_number_value(v));
	else if (json_is_number(v) && ends_with(key, "_s"))
		seconds_text(out, json_number_value(v));
	else if (json_is_integer(v))
		snprintf(out, VALUE_MAX, "%lld", (long long)json_integer_value(v));
	else if (json_is_real(v))
		snprintf(out, VALUE_MAX, "%.3f", json_real_value(v));
	else if (json_is_array(v))
		format_list(out, v);
	else
		strcpy(out, "-");
}

/* ---- rows ---- */

/* "rx_packets" reads "rx packets"; an ending that is a unit is not repeated. */
static void format_label(char out[VALUE_MAX], const char *key)
{
	copy_plain(out, key);
	size_t n = strlen(out);
	if (ends_with(out, "_ms"))
		out[n - 3] = 0;
	else if (ends_with(out, "_s"))
		out[n - 2] = 0;
	for (char *p = out; *p; p++)
		*p = *p == '_' ? ' ' : *p;
}

static void print_row(const char *key, json_t *v, int indent)
{
	char label[VALUE_MAX], value[VALUE_MAX];

	format_label(label, key);
	format_value(value, key, v);
	printf("%*s%-*s %s\n", indent, "", LABEL_WIDTH - indent, label, value);
}

static void print_group(const char *key, json_t *group)
{
	char label[VALUE_MAX];
	const char *k;
	json_t *v;

	format_label(label, key);
	printf("\n%s\n", label);
	json_object_foreach(group, k, v)
		print_row(k, v, 2);
}

/* ---- drops ---- */

static const char *drop_sentence(const char *key)
{
	static const struct {
		const char *key, *text;
	} reasons[] = {
#define X(name, key_, text_) {key_, text_},
		DROP_REASONS(X)
#undef X
	};
	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++) {
		if (!strcmp(reasons[i].key, key))
			return reasons[i].text;
	}
	return "";
}

static void print_drops(json_t *drops)
{
	const char *key;
	json_t *v;
	bool any = false;

	puts("\ndrops");
	json_object_foreach(drops, key, v) {
		if (json_number_value(v) == 0)
			continue;
		any = true;
		char label[VALUE_MAX];
		copy_plain(label, key);
		printf("  %-*s %12lld  %s\n", LABEL_WIDTH - 2, label,
				(long long)json_integer_value(v), drop_sentence(key));
	}
	if (!any)
		puts("  none");
}

/* ---- status ---- */

void render_status(json_t *status)
{
	const char *key;
	json_t *v;

	json_object_foreach(status, key, v) {
		if (!json_is_object(v))
			print_row(key, v, 0);
	}
	json_object_foreach(status, key, v) {
		if (json_is_object(v) && strcmp(key, "drops"))
			print_group(key, v);
	}
	v = json_object_get(status, "drops");
	if (json_is_object(v))
		print_drops(v);
}

/* ---- sessions ---- */

struct column {
	const char *title, *key;
};

/* Width of each column over all rows; 0 for one that no row has. */
static void measure(json_t *rows, const struct column *columns, size_t count, int *width)
{
	char value[VALUE_MAX];
	size_t i;
	json_t *row;

	memset(width, 0, count * sizeof *width);
	json_array_foreach(rows, i, row) {
		for (size_t c = 0; c < count; c++) {
			json_t *v = json_object_get(row, columns[c].key);
			if (!v)
				continue;
			format_value(value, columns[c].key, v);
			int n = (int)MAX(strlen(value), strlen(columns[c].title));
			width[c] = MAX(width[c], n);
		}
	}
}

#define COLUMNS_MAX 16
static void print_table(json_t *rows, const struct column *columns, size_t count)
{
	int width[COLUMNS_MAX];
	char value[VALUE_MAX];
	size_t i;
	json_t *row;

	measure(rows, columns, count, width);
	for (size_t c = 0; c < count; c++) {
		if (width[c])
			printf("%-*s  ", width[c], columns[c].title);
	}
	putchar('\n');
	json_array_foreach(rows, i, row) {
		for (size_t c = 0; c < count; c++) {
			if (!width[c])
				continue;
			json_t *v = json_object_get(row, columns[c].key);
			strcpy(value, "-");
			if (v)
				format_value(value, columns[c].key, v);
			printf("%-*s  ", width[c], value);
		}
		putchar('\n');
	}
}

void render_sessions(json_t *answer)
{
	static const struct column columns[] = {
		{"CLIENT", "client"}, {"INDEX", "index"}, {"ENDPOINT", "endpoint"}, {"SERVER", "server"},
		{"SINCE", "since_s"}, {"ENDS IN", "ends_s"}, {"MTU", "down_mtu"},
		{"KEEPALIVE", "keepalive_s"}, {"CIPHER", "cipher"}, {"ACTIVE", "active"},
		{"RX", "rx_bytes"}, {"TX", "tx_bytes"}, {"ADDRESSES", "addresses"},
		{"GROUPS", "groups"},
	};
	json_t *sessions = json_object_get(answer, "sessions");

	if (json_array_size(sessions) == 0)
		puts("No client has a session.");
	else
		print_table(sessions, columns, ARRAY_SIZE(columns));
}

void render_servers(json_t *answer)
{
	static const struct column columns[] = {
		{"NUMBER", "number"}, {"NAME", "name"}, {"MESH", "mesh"}, {"SELF", "self"},
		{"ALIVE", "alive"}, {"RTT", "rtt_ms"}, {"CLOCK", "offset_ms"},
		{"KEYS", "lineage"}, {"ANNOUNCED", "announced"}, {"WITHDRAWN FOR", "withdrawn_for"},
		{"VERSION", "version"},
	};

	print_table(json_object_get(answer, "servers"), columns, ARRAY_SIZE(columns));
	if (json_is_true(json_object_get(answer, "withdraw")))
		printf("\nThis server's clock is %.0f ms off the others': it is not announced.\n",
				-json_number_value(json_object_get(answer, "clock_off_ms")));
}
