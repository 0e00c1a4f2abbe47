/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * How many handshakes a server answers.  The first messages of many clients are
 * made beforehand and sent round and round: the server keeps nothing of them, so
 * it works for each as for a new one, while here one costs nothing but sending
 * it.  The first answer to each is verified as a client would; a retry is
 * obeyed, and the next time the message goes out without its token again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "load.h"

#define ATTEMPTS 2048
#define LOST     1.0 /* s without an answer */

struct rush {
	struct net *net;
	struct attempt *attempt;
	unsigned window, under_way, next;
	uint64_t sent, answers, verified, retries, lost, strange;
	double now;
};

/* User and system time of all threads of a process, in seconds (proc(5), stat). */
static double cpu_seconds(int pid)
{
	unsigned long user, system;
	char path[64], line[1024];
	const char *rest;
	FILE *file;

	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	file = fopen(path, "re");
	if (!file || !fgets(line, sizeof line, file))
		die("%s cannot be read: is this the server's process?", path);
	fclose(file);
	rest = strrchr(line, ')'); /* the name before it may hold anything */
	if (!rest || sscanf(rest, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
			&system) != 2)
		die("%s has an unknown form", path);
	return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static void send_attempt(struct rush *r, uint32_t i)
{
	struct attempt *a = &r->attempt[i];

	a->sent = r->now;
	r->sent++;
	net_send(r->net, i, a->initiator.message, MESSAGE1_SIZE);
}

static void put_back(struct rush *r, struct attempt *a)
{
	memcpy(a->initiator.message, a->fresh, MESSAGE1_SIZE);
	a->initiator.retried = false;
	a->sent = 0;
	r->under_way--;
}

static void verify(struct rush *r, uint32_t i, const struct net_message *m)
{
	struct load_client c;
	struct grant grant;

	client_make(&c, i);
	if (initiator_finish(&r->attempt[i].initiator, &c.own, m->data, m->len, &grant) != 0)
		die("an answer to client %u is not one", i);
	r->attempt[i].verified = true;
	r->verified++;
}

static void take(struct rush *r, const struct net_message *m)
{
	struct attempt *a = m->client < ATTEMPTS ? &r->attempt[m->client] : NULL;

	if (!a || a->sent == 0 || m->len < RETRY_SIZE) {
		r->strange++;
		return;
	}
	if (m->data[0] == (WIRE_MAGIC | WIRE_RETRY)) {
		if (!initiator_retry(&a->initiator, m->data, m->len)) {
			r->strange++;
			return;
		}
		r->retries++;
		send_attempt(r, m->client);
		return;
	}
	if (m->data[0] != (WIRE_MAGIC | WIRE_HANDSHAKE_2) ||
			load_be32(m->data + 4) != a->initiator.tag) {
		r->strange++;
		return;
	}
	r->answers++;
	if (!a->verified)
		verify(r, m->client, m);
	put_back(r, a);
}

static void forget_lost(struct rush *r)
{
	for (unsigned i = 0; i < ATTEMPTS; i++)
		if (r->attempt[i].sent != 0 && r->now > r->attempt[i].sent + LOST) {
			r->lost++;
			put_back(r, &r->attempt[i]);
		}
}

static void fill_window(struct rush *r)
{
	for (; r->under_way < r->window; r->next = (r->next + 1) % ATTEMPTS)
		if (r->attempt[r->next].sent == 0) {
			r->under_way++;
			send_attempt(r, r->next);
		}
}

static void work(struct rush *r, double end)
{
	struct net_message message[NET_BATCH];
	double next_look = 0;
	unsigned n;

	for (r->now = seconds_now(); r->now < end; r->now = seconds_now()) {
		n = net_receive(r->net, message);
		for (unsigned i = 0; i < n; i++)
			take(r, &message[i]);
		if (r->now >= next_look) {
			next_look = r->now + LOST / 10;
			forget_lost(r);
		}
		fill_window(r);
		net_flush(r->net);
		if (n == 0)
			net_wait(r->net, 5);
	}
}

void load_handshakes(double seconds, unsigned window, const uint8_t cluster_public[KEY_SIZE],
		const struct endpoint *server, int pid)
{
	struct rush r = {.window = window};
	double start, cpu;

	if (window > ATTEMPTS / 2)
		die("%u is not a window for handshakes (1 to %d)", window, ATTEMPTS / 2);
	r.net = net_open(server);
	r.attempt = attempts_make(ATTEMPTS, cluster_public);
	cpu = cpu_seconds(pid);
	start = seconds_now();
	work(&r, start + seconds);
	seconds = seconds_now() - start;
	cpu = cpu_seconds(pid) - cpu;
	printf("{\"answers\": %llu, \"verified\": %llu, \"seconds\": %.3f, \"answers_per_s\": %.0f, "
			"\"server_cpu_s\": %.2f, \"answers_per_cpu_s\": %.0f, \"sent\": %llu, "
			"\"retry_tokens\": %llu, \"lost\": %llu, \"strange\": %llu}\n",
			(unsigned long long)r.answers, (unsigned long long)r.verified, seconds,
			(double)r.answers / seconds, cpu, cpu > 0 ? (double)r.answers / cpu : 0,
			(unsigned long long)r.sent, (unsigned long long)r.retries,
			(unsigned long long)r.lost, (unsigned long long)r.strange);
	net_close(r.net);
	free(r.attempt);
}
