/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The relays of a server that has no other registry: a line for each change, the
 * last one of a relay counts, its base64 being the record and the rest for people.
 * Once most of it is out of date it is written anew.  One thread, which does not hold
 * the table's lock.
 */
#ifndef CLUSTER_RELAYS_FILE_H
#define CLUSTER_RELAYS_FILE_H

#include <stdio.h>
#include <sys/types.h>

#include "mode/relays.h"

struct relays_file {
	const char *path; /* borrowed */
	int fd;
	off_t end, compact_at;
	bool dirty; /* since the last sync */
	ticks next_sync; /* boot time */
	struct {
		bool under_way;
		int fd;
		off_t end;
		uint32_t at; /* relays_visit() */
	} anew;
};

/* Reads what is there into the table, which is locked for that.  0, or a negative errno and a sentence. */
int relays_file_open(struct relays_file *f, const char *path, struct relays *relays,
		const struct instant *now, char *error, size_t error_size);
/* Also one that was never opened, and is all zeros. */
void relays_file_close(struct relays_file *f);
/* 0 or a negative errno.  Survives the process; the machine, once it is synced. */
int relays_file_put(struct relays_file *f, const struct relay *r);
/*
 * To the disk, and if most of it is out of date a part of it anew: once a second, however often it is
 * called.  0 or a negative errno.
 */
int relays_file_sync(struct relays_file *f, struct relays *relays, const struct instant *now);

#endif
