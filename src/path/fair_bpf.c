/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "path/fair_bpf.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <bpf/libbpf.h>

#include "base/fail.h"
#include "bpf/fair.skel.h"
#include "proto/crypto.h"

struct fair_bpf {
	struct fair_skeleton *program;
	struct fair_state *state; /* the program's own, mapped */
};

static int load(struct fair_bpf *b, char *error, size_t size)
{
	int result;

	b->program = fair_skeleton__open();
	if (!b->program)
		return fail(-errno, error, size, "the socket filter cannot be read: %s", strerror(errno));
	result = fair_skeleton__load(b->program);
	if (result == -EPERM || result == -EACCES)
		return fail(result, error, size, "the kernel does not let us load the socket filter: it takes "
				"root or CAP_BPF");
	if (result != 0)
		return fail(result, error, size, "the kernel refuses the socket filter: %s: it takes Linux "
				"5.10 with BPF", strerror(-result));
	b->state = &b->program->bss->state;
	return 0;
}

struct fair_bpf *fair_bpf_open(char *error, size_t error_size)
{
	struct fair_bpf *b = calloc(1, sizeof *b);

	if (!b) {
		fail(-ENOMEM, error, error_size, "there is no memory for the socket filter");
		return NULL;
	}
	libbpf_set_print(NULL); /* what goes wrong is told in our own words */
	if (load(b, error, error_size) != 0) {
		fair_bpf_close(b);
		return NULL;
	}
	return b;
}

void fair_bpf_close(struct fair_bpf *b)
{
	if (!b)
		return;
	fair_skeleton__destroy(b->program);
	free(b);
}

struct fair_state *fair_bpf_state(struct fair_bpf *b)
{
	return b->state;
}

int fair_bpf_attach(struct fair_bpf *b, int fd)
{
	int program = bpf_program__fd(b->program->progs.fair_filter);

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_BPF, &program, sizeof program) ? -errno : 0;
}

void fair_bpf_detach(int fd)
{
	int ignored = 0;

	setsockopt(fd, SOL_SOCKET, SO_DETACH_BPF, &ignored, sizeof ignored);
}

void fair_bpf_reset(struct fair_bpf *b)
{
	struct fair_state *f = b->state;

	f->price = f->strangers_price = 0;
	f->sorted = false;
	random_bytes(&f->secret, sizeof f->secret);
	fair_bpf_salt(b);
	memset(f->known, 0, sizeof f->known);
}

void fair_bpf_salt(struct fair_bpf *b)
{
	uint64_t salt;

	random_bytes(&salt, sizeof salt);
	b->state->salt = salt;
}

void fair_bpf_know(struct fair_bpf *b, const struct endpoint *from)
{
	struct fair_source s = {.port = htons(from->port)};
	uint64_t identity;

	memcpy(s.ip, from->ip, sizeof s.ip);
	identity = fair_identity(b->state->secret, &s);
	for (int i = 0; i < 2; i++) {
		uint32_t bit = fair_known_bit(identity, i);

		b->state->known[bit / 8] |= (uint8_t)(1 << bit % 8);
	}
}
