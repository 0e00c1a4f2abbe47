/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* What cryptography costs on this machine: ns per call, and handshakes a second and core. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/util.h"
#include "proto/epoch.h"
#include "proto/handshake.h"

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

/* ns per call of work(argument), over about a fifth of a second. */
static double measure(void (*work)(void *), void *argument)
{
	double start = now_ns(), spent;
	unsigned long calls = 0;

	do {
		for (int i = 0; i < 16; i++)
			work(argument);
		calls += 16;
		spent = now_ns() - start;
	} while (spent < 2e8);
	return spent / (double)calls;
}

struct packet {
	struct aead_key key;
	size_t len;
	uint8_t plain[1420], sealed[1420 + TAG_SIZE], opened[1420];
};

static const uint8_t header[HEADER_SIZE];
static const uint8_t nonce[NONCE_SIZE];

static void seal(void *argument)
{
	struct packet *p = argument;

	aead_seal(&p->key, nonce, header, sizeof header, p->plain, p->len, p->sealed);
}

static void open_sealed(void *argument)
{
	struct packet *p = argument;

	if (!aead_open(&p->key, nonce, header, sizeof header, p->sealed, p->len + TAG_SIZE,
			p->opened))
		abort();
}

static void expand(void *argument)
{
	struct packet *p = argument;

	aead_expand(&p->key, p->key.aead, p->plain);
}

static void bench_aead(void)
{
	static const size_t sizes[] = {96, 1420};
	static struct packet p;

	for (enum aead a = 0; a < AEAD_COUNT; a++) {
		aead_expand(&p.key, a, p.plain);
		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
			p.len = sizes[i];
			seal(&p);
			printf("%-10s %-18s %4zu bytes: seal %5.0f ns, open %5.0f ns\n",
					crypto_backend_name(), aead_name(a), p.len, measure(seal,
							&p),
					measure(open_sealed, &p));
		}
		printf("%-10s %-18s key set-up:   %5.0f ns\n", crypto_backend_name(), aead_name(a),
				measure(expand, &p));
	}
}

static void bench_hmac(void *argument)
{
	uint8_t out[HASH_SIZE];

	hmac_parts(argument, KEY_SIZE, &PART(argument, KEY_SIZE), 1, out);
}

static void bench_derive(void *argument)
{
	uint8_t out[KEY_SIZE];

	derive(argument, &PART(argument, KEY_SIZE), 1, out, sizeof out);
}

static void bench_x25519(void *argument)
{
	uint8_t out[KEY_SIZE];

	if (x25519(argument, argument, out) != 0)
		abort();
}

struct first_packet {
	struct lineage lineage;
	uint8_t sid[SID_SIZE], client[KEY_SIZE];
};

/* From a header to a key that opens the packet: a session's first packet at a server. */
static void bench_first_packet(void *argument)
{
	const struct first_packet *f = argument;
	const struct epoch_keys *k = &f->lineage.keys[EPOCH_CURRENT];
	uint8_t s[KEY_SIZE], raw[KEY_SIZE], iv[NONCE_SIZE];
	volatile uint32_t index;
	struct aead_key key;

	index = sid_index(k, f->sid);
	(void)index;
	session_secret(k, f->sid, f->client, s);
	session_key_up(s, AEAD_AES_256_GCM, raw, iv);
	aead_expand(&key, AEAD_AES_256_GCM, raw);
}

struct handshake {
	struct key_pair client, cluster;
	uint8_t psk[KEY_SIZE], ss[KEY_SIZE], mac_key[KEY_SIZE], ephemeral[KEY_SIZE];
	struct lineage lineage;
	struct initiator initiator;
};

/* Everything a server does for a message 1, but the look-up of the client. */
static void bench_responder(void *argument)
{
	struct handshake *h = argument;
	const struct epoch_keys *k = &h->lineage.keys[EPOCH_CURRENT];
	struct grant g = {.version = PROTOCOL_VERSION, .kid = k->kid};
	uint8_t message2[MESSAGE1_SIZE];
	struct responder r;
	struct offer offer;

	if (!message1_check(h->initiator.message, MESSAGE1_SIZE, h->mac_key) ||
			responder_open(&r, &h->cluster, h->initiator.message, MESSAGE1_SIZE) != 0 ||
			responder_accept(&r, h->ss, &offer) != 0)
		abort();
	random_bytes(h->ephemeral, sizeof h->ephemeral);
	if (responder_answer(&r, h->psk, h->ephemeral) != 0)
		abort();
	sid_make(k, r.noise.h, 1, g.sid);
	session_secret(k, g.sid, r.client_public, g.s);
	g.end = (uint32_t)session_end(k->epoch);
	cookie_make(k, KIND_PATH, g.sid, &g.address, TICKS_S(g.end), g.cookie);
	responder_finish(&r, &g, message2);
}

static void bench_handshake(void)
{
	static const struct offer offer = {1, 1, {PROTOCOL_VERSION}, {AEAD_AES_256_GCM}};
	static struct handshake h;
	uint8_t secret[KEY_SIZE];

	random_bytes(secret, sizeof secret);
	key_pair_from_secret(&h.client, secret);
	random_bytes(secret, sizeof secret);
	key_pair_from_secret(&h.cluster, secret);
	message1_mac_key(h.cluster.public, h.mac_key);
	lineage_birth(&h.lineage, 1, 1, 5900000, secret);
	if (x25519(h.cluster.secret, h.client.public, h.ss) != 0 ||
			initiator_begin(&h.initiator, &h.client, h.psk, h.cluster.public, &offer,
					secret, 1) != 0)
		abort();
	double ns = measure(bench_responder, &h);
	printf("responder, message 1 to message 2: %.1f us, %.0f a second\n", ns / 1e3, 1e9 / ns);
}

int main(void)
{
	static const enum crypto_backend backends[] = {CRYPTO_OPENSSL, CRYPTO_AUTO};
	static struct first_packet first;
	uint8_t key[KEY_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(backends); i++) {
		if (crypto_init(backends[i]) != 0)
			return EXIT_FAILURE;
		bench_aead();
	}
	random_bytes(key, sizeof key);
	printf("hmac, 32 bytes: %.0f ns\n", measure(bench_hmac, key));
	printf("derive, 32 bytes: %.0f ns\n", measure(bench_derive, key));
	printf("x25519: %.1f us\n", measure(bench_x25519, key) / 1e3);
	lineage_birth(&first.lineage, 1, 1, 5900000, key);
	printf("a session's first packet, keys: %.0f ns\n", measure(bench_first_packet, &first));
	bench_handshake();
	return EXIT_SUCCESS;
}
