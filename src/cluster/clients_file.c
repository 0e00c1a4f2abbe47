/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* Client records as lines; the file itself is line_file.c's. */
#include "cluster/clients_file.h"

#include <errno.h>
#include <stdio.h>

#include "base/util.h"
#include "cluster/registry_verified.h"

struct reading {
	const struct operator_public *op;
	const struct seal_keys *keys;
	struct verified *verified;
	clients_visit *visit;
	void *arg;
};

static const char *refusal(int rc)
{
	switch (rc) {
	case -EBADMSG:
		return "the record is not signed by the operator whose OperatorKey is configured";
	case -EKEYREJECTED:
		return "the record was made for another cluster key; enrol the client again";
	default:
		return "this is not a client record, as anyrelay enroll writes them";
	}
}

static int read_once(const struct reading *g, const uint8_t *bytes, size_t len, struct record *r)
{
	uint8_t digest[DIGEST_SIZE];
	uint32_t index;
	int failed;

	if (!g->verified || !record_peek_index(&index, bytes, len))
		return record_read(r, bytes, len, g->op, g->keys);
	digest_make(bytes, len, digest);
	if (verified_has(g->verified, index, digest))
		return record_read_checked(r, bytes, len, g->keys);
	failed = record_read(r, bytes, len, g->op, g->keys);
	if (!failed)
		verified_add(g->verified, index, r->version, digest);
	return failed;
}

static int take_record(void *arg, const uint8_t *bytes, size_t len, char why[CLIENTS_ERROR])
{
	const struct reading *g = arg;
	struct record r;

	int rc = bytes ? read_once(g, bytes, len, &r) : -EINVAL;
	if (rc) {
		snprintf(why, CLIENTS_ERROR, "%s", refusal(rc));
		return rc;
	}
	rc = g->visit(g->arg, &r, why, CLIENTS_ERROR);
	wipe(&r, sizeof r);
	return rc;
}

int clients_file_read(const char *path, const struct operator_public *op,
		const struct seal_keys *keys, struct verified *verified, clients_visit *visit,
		void *arg, char error[CLIENTS_ERROR])
{
	struct reading g = {op, keys, verified, visit, arg};

	return line_file_read(path, "the clients", take_record, &g, error);
}

static bool same_index(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	uint32_t x, y;

	return record_peek_index(&x, a, a_len) && record_peek_index(&y, b, b_len) && x == y;
}

int clients_file_put(const char *path, const uint8_t *bytes, size_t len, const char *name,
		char error[CLIENTS_ERROR])
{
	struct line_put put = {.what = "the clients", .name = name, .bytes = bytes, .len = len,
			.same = same_index};

	return line_file_put(path, &put, error);
}
