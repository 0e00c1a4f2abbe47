/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The clients, made from their numbers, so that whoever writes the file of
 * records and whoever acts as a client later need not tell each other anything.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base64.h"
#include "load.h"

#define SOURCE_NETS     32768 /* /24s in 10.128.0.0/9 */
#define SOURCE_FIRST    0x0a800000u
#define INNER_FIRST     0x0a400000u
#define INNER6_FIRST    "\xfd\x64"

/* Not secret: whoever has this file has them all. */
static void make_key(const char *what, uint32_t number, uint8_t key[KEY_SIZE])
{
	const struct part parts[] = {
		PART("anyrelay load ", 14), PART(what, strlen(what)), PART(&number, sizeof number),
	};

	sha256_parts(parts, ARRAY_SIZE(parts), key);
}

void client_make(struct load_client *c, uint32_t number)
{
	uint8_t secret[KEY_SIZE];

	make_key("client", number, secret);
	make_key("psk", number, c->psk);
	key_pair_from_secret(&c->own, secret);
}

void client_record(struct record *r, uint32_t number)
{
	struct load_client c;
	uint8_t v4[4];

	client_make(&c, number);
	memset(r, 0, sizeof *r);
	r->index = number + 1;
	r->version = 1;
	r->rights = RIGHT_RELAY;
	memcpy(r->public, c.own.public, KEY_SIZE);
	memcpy(r->psk, c.psk, KEY_SIZE);
	r->prefix_count = 2;
	store_be32(v4, INNER_FIRST + r->index);
	addr_from_v4(r->prefixes[0].ip, v4);
	memcpy(r->prefixes[1].ip, INNER6_FIRST, 2);
	store_be32(r->prefixes[1].ip + 12, r->index);
	r->prefixes[0].len = r->prefixes[1].len = 128;
	snprintf(r->name, sizeof r->name, "c%06u", r->index);
}

uint32_t client_source(uint32_t number)
{
	return SOURCE_FIRST + (number % SOURCE_NETS << 8) + 1 + number / SOURCE_NETS;
}

uint32_t client_of_source(uint32_t ip)
{
	return ((ip & 0xff) - 1) * SOURCE_NETS + ((ip - SOURCE_FIRST) >> 8);
}

void client_uplink(struct uplink_options *o, uint32_t number,
		const uint8_t cluster_public[KEY_SIZE], const struct endpoint *server)
{
	struct load_client c;

	client_make(&c, number);
	*o = (struct uplink_options){
		.cluster_key_count = 1,
		.server_count = 1,
		.servers = {*server},
		.keepalive = 20,
		.aead = AEAD_AES_256_GCM,
		.limits = key_limits,
	};
	memcpy(o->secret, c.own.secret, KEY_SIZE);
	memcpy(o->psk, c.psk, KEY_SIZE);
	memcpy(o->cluster_keys[0], cluster_public, KEY_SIZE);
}

struct attempt *attempts_make(uint32_t count, const uint8_t cluster_public[KEY_SIZE])
{
	const struct offer offer = {
		.version_count = 1, .versions = {PROTOCOL_VERSION},
		.aead_count = 1, .aeads = {AEAD_AES_256_GCM},
	};
	struct attempt *list = calloc(count, sizeof *list);
	uint8_t ephemeral[KEY_SIZE];
	struct load_client c;

	if (!list)
		die("not enough memory for %u handshakes", count);
	for (uint32_t i = 0; i < count; i++) {
		client_make(&c, i);
		make_key("ephemeral", i, ephemeral);
		if (initiator_begin(&list[i].initiator, &c.own, c.psk, cluster_public, &offer,
				ephemeral, i) != 0)
			die("the cluster's public key is not one");
		memcpy(list[i].fresh, list[i].initiator.message, MESSAGE1_SIZE);
	}
	return list;
}

void load_records(uint32_t count, const uint8_t operator_seed[KEY_SIZE],
		const uint8_t cluster_public[KEY_SIZE], const char *path)
{
	char text[BASE64_SIZE(RECORD_MAX)];
	uint8_t bytes[RECORD_MAX], seal_key[KEY_SIZE];
	double start = seconds_now();
	FILE *file = fopen(path, "we");
	struct operator_key op;
	struct record r;

	operator_key_from_seed(&op, operator_seed);
	if (!file)
		die("%s: %s", path, strerror(errno));
	if (record_seal_key(op.seal_secret, cluster_public, seal_key) != 0)
		die("the cluster's public key is not one");
	for (uint32_t i = 0; i < count; i++) {
		client_record(&r, i);
		size_t len = record_write(bytes, &r, &op, seal_key);
		fprintf(file, "%s %s\n", base64_encode(text, bytes, len), r.name);
	}
	if (ferror(file) | fclose(file))
		die("%s: %s", path, strerror(errno));
	printf("{\"records\": %u, \"seconds\": %.3f}\n", count, seconds_now() - start);
}
