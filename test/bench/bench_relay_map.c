/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The relays' table in the kernel, as large as it gets: so many entries put, read and deleted,
 * and the memory that they take.  In a network namespace of its own (root).
 *
 *	bench_relay_map [ENTRIES]      1,000,000 by default
 */
#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/util.h"
#include "path/relay_bpf.h"

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* A value of a file of lines "name: value"; -1: not there. */
static long long field(const char *path, const char *name)
{
	char line[256];
	long long value = -1;
	FILE *f = fopen(path, "r");

	while (f && fgets(line, sizeof line, f)) {
		if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':')
			value = strtoll(line + strlen(name) + 1, NULL, 10);
	}
	if (f)
		fclose(f);
	return value;
}

/* What the kernel charges for our hash map (BPF_MAP_TYPE_HASH is 1). */
static long long map_bytes(void)
{
	DIR *dir = opendir("/proc/self/fdinfo");
	long long bytes = -1;
	struct dirent *d;
	char path[300];

	while (dir && (d = readdir(dir))) {
		snprintf(path, sizeof path, "/proc/self/fdinfo/%s", d->d_name);
		if (field(path, "map_type") == 1)
			bytes = field(path, "memlock");
	}
	if (dir)
		closedir(dir);
	return bytes;
}

static void key_at(unsigned i, struct relay_key *key)
{
	*key = (struct relay_key){.v4 = i & 1, .protocol = i & 2 ? 6 : 17,
		.port = (uint16_t)(i >> 2)};
	/* There are 4 × 65536 ports; the rest of a million take protocols that nobody has. */
	key->protocol = (uint8_t)(key->protocol + (i >> 18) * 20);
}

static void each(struct relay_bpf *b, unsigned count, const char *what,
		int (*call)(struct relay_bpf *b, const struct relay_key *key))
{
	double start = now(), took;
	struct relay_key key;

	for (unsigned i = 0; i < count; i++) {
		int result;

		key_at(i, &key);
		result = call(b, &key);
		if (result != 0) {
			fprintf(stderr, "%s, entry %u: %s\n", what, i, strerror(-result));
			exit(1);
		}
	}
	took = now() - start;
	printf("%-8s %u entries in %.2f s, %.2f us each\n", what, count, took, took * 1e6 / count);
}

static int put(struct relay_bpf *b, const struct relay_key *key)
{
	struct relay_entry e = {.flags = RELAY_ENTRY_LATCHED | RELAY_ENTRY_READY};

	return relay_bpf_put(b, key, &e);
}

static int count(struct relay_bpf *b, const struct relay_key *key)
{
	uint64_t packets, bytes;

	return relay_bpf_counters(b, key, &packets, &bytes);
}

static void ignore(void *arg, const struct relay_event *e)
{
	(void)arg;
	(void)e;
}

int main(int argc, char **argv)
{
	static const char devices[][16] = {"bench0"};
	unsigned entries = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1000000;
	struct relay_config config = {.port_last = 65535};
	struct relay_bpf_options options = {.config = &config, .uplink_count = 1, .uplinks = devices,
		.entries = entries, .up = ignore};
	long long empty, full, available;
	char error[300];
	struct relay_bpf *b;

	if (unshare(CLONE_NEWNET) != 0 || system("ip link add bench0 type veth") != 0) {
		fprintf(stderr, "it takes root, for a network namespace with a device\n");
		return 1;
	}
	b = relay_bpf_open(&options, error, sizeof error);
	if (!b) {
		fprintf(stderr, "%s\n", error);
		return 1;
	}
	empty = map_bytes();
	available = field("/proc/meminfo", "MemAvailable");
	each(b, entries, "put", put);
	full = map_bytes();
	available -= field("/proc/meminfo", "MemAvailable");
	each(b, entries, "again", put);
	each(b, entries, "count", count);
	printf("memory   empty %.1f MB, full %.1f MB: %.0f bytes an entry (the machine has %.1f MB less)\n",
			(double)empty / 1e6, (double)full / 1e6, (double)full / entries,
			(double)available / 1e3);
	each(b, entries, "delete", relay_bpf_delete);
	relay_bpf_close(b);
	return 0;
}
