/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* Workers, devices and sockets: made before any thread runs. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/fail.h"
#include "ctx.h"
#include "mode/ethernet.h"
#include "path/claim.h"
#include "path/mode.h"
#include "path/xport.h"

void setup_apply(struct daemon *d)
{
	d->path.clamp_mss = d->conf.clamp_mss;
	d->path.copy_dscp = d->conf.copy_dscp;
	log_set_level(d->conf.log_level);
}

int setup_workers(struct daemon *d, unsigned count, char error[SENTENCE])
{
	struct path *p = &d->path;

	p->mode = &mode_tunnel;
	p->xport = &xport_anycast_udp;
	p->mtu = d->conf.mtu;
	p->worker_count = count;
	setup_apply(d);
	for (unsigned i = 0; i < p->worker_count; i++) {
		p->worker[i] = worker_new(p, i);
		if (!p->worker[i]) {
			snprintf(error, SENTENCE, "worker %u: not enough memory or descriptors", i);
			return -ENOMEM;
		}
	}
	return 0;
}

/*
 * Two daemons with one device: the kernel refuses, but where both have several queues.  This is
 * before a guard or anything else is made under the device's name.
 */
int setup_claim(struct daemon *d, char error[SENTENCE])
{
	const char *const names[] = {d->conf.device, d->conf.ethernet_device};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		int failed = names[i][0] ? claim_take("tunnel", names[i]) : 0;

		if (failed == -EADDRINUSE)
			return fail(failed, error, SENTENCE, "tunnel device %s is in use by another "
					"anyrelayd: stop it, or choose another name for Device",
					names[i]);
		if (failed)
			return fail(failed, error, SENTENCE, "tunnel device %s cannot be claimed: %s",
					names[i], strerror(-failed));
	}
	return 0;
}

int setup_state_taken(const struct daemon *d, char error[SENTENCE])
{
	return fail(-EBUSY, error, SENTENCE, "another anyrelayd keeps its state in %s under the name "
			"%s: stop it, or give this one another Name or StateDirectory",
			d->conf.state_directory, d->conf.name);
}

int setup_device(struct daemon *d, enum device which, const char *name, bool ethernet,
		char error[SENTENCE])
{
	struct path *p = &d->path;
	int fd[WORKERS_MAX];
	int failed = tun_open(&p->device[which], name, ethernet, p->worker_count, d->conf.no_uso, fd,
			error, SENTENCE);

	if (failed)
		return failed;
	p->has_device[which] = true;
	for (unsigned i = 0; i < p->worker_count; i++)
		p->worker[i]->device[which] = fd[i];
	return 0;
}

int setup_sockets(struct daemon *d, const struct endpoint local[FAMILY_COUNT],
		const bool present[FAMILY_COUNT], char error[SENTENCE])
{
	for (unsigned i = 0; i < d->path.worker_count; i++) {
		int failed = d->path.xport->open(d->path.worker[i], local, present, error, SENTENCE);
		if (failed)
			return failed;
	}
	return 0;
}

void setup_free(struct daemon *d)
{
	for (unsigned i = 0; i < d->path.worker_count; i++)
		worker_free(d->path.worker[i]);
	d->path.worker_count = 0;
	members_free(d->path.members);
	ethernet_free(d->path.ethernet);
	free(d->path.networks);
}
