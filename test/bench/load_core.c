/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The same against the server's core in this process: no sockets, no kernel,
 * one core.  What is left is what the protocol itself costs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/rcu.h"

#include "base/clock.h"
#include "load.h"

#define ATTEMPTS       2048
#define A_SECOND       1000 /* sessions, of the virtual clock */
#define QUIET          TICKS_S(10)
#define ACTIVE_DEFAULT 65536 /* ActiveSessions of server.conf */

/* One packet on its way: neither side says two things at once. */
struct pipe_end {
	struct output output; /* first member */
	size_t len;
	uint8_t packet[1500];
};

struct bench {
	struct server server;
	struct key_pair cluster;
	struct endpoint server_at;
	struct pipe_end up, down;
	struct instant now;
	uint64_t answers;
};

static void pipe_send(struct output *out, const struct endpoint *to, const uint8_t *packet,
		size_t len)
{
	struct pipe_end *p = (struct pipe_end *)out;

	(void)to;
	if (p->len != 0 || len > sizeof p->packet)
		die("two packets at once, or one of %zu bytes", len);
	memcpy(p->packet, packet, len);
	p->len = len;
}

static void count_answer(struct output *out, const struct endpoint *to, const uint8_t *packet,
		size_t len)
{
	struct bench *b = container_of(out, struct bench, down.output);

	(void)to;
	(void)len;
	b->answers += packet[0] == (WIRE_MAGIC | WIRE_HANDSHAKE_2);
}

static void record_ignored(void *arg, struct client *client, const struct session_record *old,
		const struct session_record *now)
{
	(void)arg;
	(void)client;
	(void)old;
	(void)now;
}

/* Resident memory of this process, in bytes (proc(5), statm). */
static long resident(void)
{
	FILE *file = fopen("/proc/self/statm", "re");
	long pages;

	if (!file || fscanf(file, "%*d %ld", &pages) != 1)
		die("/proc/self/statm cannot be read");
	fclose(file);
	return pages * sysconf(_SC_PAGESIZE);
}

static void start_server(struct bench *b)
{
	struct lineage_seed start = {.generation = 1, .id = 1};
	struct server_options o = {
		.start = &start,
		.number = 1,
		.active_sessions = ACTIVE_DEFAULT,
		.handshake_rate = UINT32_MAX,
		.handshake_prefix_rate = UINT32_MAX,
		.keepalive_min = 10,
		.keepalive_max = 120,
		.cluster_key_count = 1,
		.limits = key_limits,
		.record_changed = record_ignored,
	};

	random_bytes(o.boot_random, sizeof o.boot_random);
	random_bytes(start.k, sizeof start.k);
	random_bytes(o.cluster_secrets[0], KEY_SIZE);
	key_pair_from_secret(&b->cluster, o.cluster_secrets[0]);
	clock_read(&b->now);
	start.epoch = time_epoch(b->now.cluster);
	if (server_init(&b->server, &o, &b->now) != 0)
		die("not enough memory for the server");
	endpoint_parse("192.0.2.1:4444", 0, &b->server_at);
}

/* As the daemon does it for each line of its file: signature, seal, static-static DH. */
static void enrol(struct bench *b, uint32_t count)
{
	struct directory *d = directory_new(0);
	uint8_t seed[KEY_SIZE], ss[KEY_SIZE], bytes[RECORD_MAX];
	struct operator_public op_public;
	struct seal_keys keys = {.count = 1};
	struct operator_key op;
	struct record r;
	char error[256];

	random_bytes(seed, sizeof seed);
	operator_key_from_seed(&op, seed);
	memcpy(op_public.sign, op.sign_public, KEY_SIZE);
	memcpy(op_public.seal, op.seal_public, KEY_SIZE);
	if (!d || record_seal_key(op.seal_secret, b->cluster.public, keys.key[0]) != 0)
		die("no directory");
	for (uint32_t i = 0; i < count; i++) {
		client_record(&r, i);
		size_t len = record_write(bytes, &r, &op, keys.key[0]);
		if (record_read(&r, bytes, len, &op_public, &keys) != 0 ||
				x25519(b->cluster.secret, r.public, ss) != 0 ||
				directory_add(d, NULL, &r, ss, error, sizeof error) != 0)
			die("client %u cannot be enrolled", i);
	}
	if (directory_finish(d) != 0)
		die("not enough memory for the directory");
	server_set_directory(&b->server, d);
}

static void client_endpoint(struct endpoint *e, uint32_t number)
{
	uint8_t v4[4];

	store_be32(v4, client_source(number));
	addr_from_v4(e->ip, v4);
	e->port = 40000;
}

/* Answers a second. */
static double measure_handshakes(struct bench *b, uint32_t count, double seconds)
{
	struct attempt *attempt = attempts_make(count, b->cluster.public);
	uint8_t packet[MESSAGE1_SIZE], plain[MESSAGE1_SIZE];
	double start = seconds_now(), spent = 0;
	struct endpoint from;
	struct opened opened;
	uint64_t asked = 0;

	b->down.output.send = count_answer;
	for (; spent < seconds; asked++) {
		const struct datagram d = {packet, sizeof packet, &from};

		client_endpoint(&from, (uint32_t)(asked % count));
		memcpy(packet, attempt[asked % count].fresh, sizeof packet);
		clock_read(&b->now);
		server_open(&b->server, &b->now, &d, plain, &b->down.output, &opened);
		if (asked % 16 == 0)
			spent = seconds_now() - start;
	}
	free(attempt);
	if (b->answers != asked)
		die("of %llu handshakes %llu were answered", (unsigned long long)asked,
				(unsigned long long)b->answers);
	return (double)b->answers / spent;
}

/* Lets the two talk until neither has anything to say. */
static void talk(struct bench *b, struct uplink *u, const struct endpoint *from)
{
	uint8_t packet[1500], plain[1500];
	struct datagram d = {packet, 0, from};
	struct opened opened;
	size_t len;

	while (b->up.len || b->down.len) {
		struct pipe_end *p = b->up.len ? &b->up : &b->down;

		memcpy(packet, p->packet, p->len);
		d.len = p->len;
		p->len = 0;
		d.from = p == &b->up ? from : &b->server_at;
		if (p == &b->up)
			server_open(&b->server, &b->now, &d, plain, &b->down.output, &opened);
		else
			uplink_open(u, &b->now, &d, plain, &b->up.output, &len);
	}
}

/* Handshake, HELLO and its acknowledgement. */
static void make_session(struct bench *b, uint32_t number)
{
	static struct uplink u;
	struct uplink_options o;
	struct endpoint from;

	client_uplink(&o, number, b->cluster.public, &b->server_at);
	client_endpoint(&from, number);
	uplink_init(&u, &o, &b->now);
	uplink_tick(&u, &b->now, &b->up.output);
	talk(b, &u, &from);
	if (!u.newest || !u.newest->confirmed)
		die("client %u got no session", number);
	uplink_free(&u);
}

/* Sessions a second; the virtual clock runs on, so that idle ones are evicted on the way. */
static double measure_sessions(struct bench *b, uint32_t count)
{
	double start = seconds_now(), spent;

	b->up.output.send = b->down.output.send = pipe_send;
	for (uint32_t i = 0; i < count; i++) {
		b->now.boot += TICKS_PER_SEC / A_SECOND;
		b->now.cluster += TICKS_PER_SEC / A_SECOND;
		make_session(b, i);
		if (i % A_SECOND == 0)
			server_tick(&b->server, &b->now);
	}
	spent = seconds_now() - start;
	b->now.boot += QUIET;
	b->now.cluster += QUIET;
	server_tick(&b->server, &b->now);
	return (double)count / spent;
}

void load_core(uint32_t count, double seconds)
{
	struct bench *b = aligned_alloc(64, (sizeof *b + 63) / 64 * 64);
	double enrolled, handshakes, sessions;
	struct server_counts counts;
	long empty, idle, after;

	if (!b)
		die("not enough memory");
	memset(b, 0, sizeof *b);
	rcu_register();
	start_server(b);
	empty = resident();
	enrolled = seconds_now();
	enrol(b, count);
	enrolled = (double)count / (seconds_now() - enrolled);
	idle = resident();
	sessions = measure_sessions(b, count);
	after = resident();
	server_count(&b->server, &counts);
	if (counts.active != 0 || counts.records != count)
		die("%zu sessions are still active, %zu of %u clients have a record", counts.active,
				counts.records, count);
	handshakes = measure_handshakes(b, MIN(count, ATTEMPTS), seconds);
	printf("{\"clients\": %u, \"enrolled_per_s\": %.0f, \"sessions_per_s\": %.0f, "
			"\"handshakes_per_s\": %.0f, \"bytes_per_client_enrolled\": %.0f, "
			"\"bytes_per_client_idle\": %.0f}\n", count, enrolled, sessions, handshakes,
			(double)(idle - empty) / count, (double)(after - empty) / count);
	server_free(&b->server);
	rcu_unregister();
	free(b);
}
