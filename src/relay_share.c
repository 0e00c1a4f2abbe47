/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * What becomes of a relay that has changed here: the other servers hear of it at
 * once over the mesh, and the registry keeps it.  And of a packet for a relay that
 * nobody knows here: the other servers are asked.
 */
#include <sys/eventfd.h>
#include <unistd.h>

#include "ctx.h"

#define BATCH   64 /* records copied under the table's lock at a time */
#define BATCHES 16 /* before the main thread does something else */

/* ---- for relay_mesh.c ---- */

static void send_message(void *arg, uint16_t to, const uint8_t *message, size_t len)
{
	struct daemon *d = arg;

	if (d->mesh.fd >= 0)
		peers_send(&d->mesh.peers, to, message, len);
}

static unsigned living(void *arg, uint16_t list[SERVERS_MAX])
{
	const struct daemon *d = arg;
	unsigned count = 0;

	for (unsigned i = 0; d->mesh.fd >= 0 && i < d->mesh.peers.count; i++)
		if (d->mesh.peers.peer[i]->alive)
			list[count++] = d->mesh.peers.peer[i]->entry.number;
	return count;
}

/* ---- what has been left for the main thread ---- */

/* Some of the relays that have changed, as they are now; 0: no more. */
static unsigned take_dirty(struct relay_role *role, struct relay list[BATCH])
{
	struct relay_ids *dirty = &role->dirty;
	unsigned count = 0;

	relays_lock(role->relays);
	while (count < BATCH && dirty->taken < dirty->count) {
		const struct relay *r = relays_known(role->relays, dirty->id[dirty->taken++]);

		if (r)
			list[count++] = *r;
	}
	if (dirty->taken == dirty->count)
		dirty->taken = dirty->count = 0;
	relays_unlock(role->relays);
	return count;
}

static void tell_of(struct daemon *d, const struct instant *now, const struct relay *r)
{
	relay_mesh_publish(&d->relay.mesh, r);
	if (d->registry.ops->put_relay)
		d->registry.ops->put_relay(&d->registry, now, r);
}

/* False: there are more, for the next round. */
static bool tell_others(struct daemon *d, const struct instant *now)
{
	struct relay list[BATCH];

	for (unsigned batch = 0; batch < BATCHES; batch++) {
		unsigned count = take_dirty(&d->relay, list);

		if (!count)
			return true;
		for (unsigned i = 0; i < count; i++)
			tell_of(d, now, &list[i]);
	}
	return false;
}

static void ask_others(struct daemon *d, const struct instant *now)
{
	struct relay_port asks[RELAY_ASKS_MAX];
	unsigned count;

	relays_lock(d->relay.relays);
	count = d->relay.ask_count;
	memcpy(asks, d->relay.asks, count * sizeof asks[0]);
	d->relay.ask_count = 0;
	relays_unlock(d->relay.relays);
	for (unsigned i = 0; i < count; i++)
		relay_mesh_ask(&d->relay.mesh, now, &asks[i]);
}

/* The bell has rung. */
static void serve(struct daemon *d, const struct instant *now)
{
	uint64_t rung;

	if (read(d->relay.main_wake, &rung, sizeof rung) < 0)
		return;
	if (!tell_others(d, now))
		eventfd_write(d->relay.main_wake, 1);
	ask_others(d, now);
}

bool relay_share_take(struct daemon *d, const struct instant *now, uint16_t from,
		const uint8_t *message, size_t len)
{
	if (!d->relay.relays)
		return true; /* not for us, but well-formed for those that relay */
	return relay_mesh_receive(&d->relay.mesh, now, from, message, len);
}

void relay_share_start(struct daemon *d)
{
	const struct relay_mesh_options o = {d->relay.relays, send_message, living, d};

	relay_mesh_init(&d->relay.mesh, &o);
	control_watch(d, d->relay.main_wake, serve);
}
