/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* The names and sentences of the drop reasons, from the list in drop.h. */
#include "proto/drop.h"

static const struct {
	const char *key, *text;
} reasons[DROP_COUNT] = {
	[DROP_NONE] = {"none", "accepted"},
#define X(name, key, text) [DROP_##name] = {key, text},
	DROP_REASONS(X)
#undef X
};

const char *drop_key(enum drop d)
{
	return reasons[d].key;
}

const char *drop_text(enum drop d)
{
	return reasons[d].text;
}
