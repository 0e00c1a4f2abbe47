/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* The life of epoch keys in the cluster: joining, merging, rotating. */
#include "cluster/peers_internal.h"

#include <errno.h>
#include <inttypes.h>

#include "base/log.h"

#define QUIET_BEFORE_BIRTH TICKS_S(5)
#define OFFER_JOINING      TICKS_MS(200)
#define OFFER_OTHERS       TICKS_S(1)
/*
 * A server that was stolen could name a generation that no rotation can exceed.
 * People rotate, not machines, so nobody is ever so far ahead.
 */
#define GENERATIONS_AHEAD (UINT64_C(1) << 20)

void keys_refresh(struct peers *p)
{
	struct lineage_name names[KEYRING_LINEAGES];

	p->lineages = server_lineage_names(p->o.server, names);
	p->highest = p->lineages ? names[0] : (struct lineage_name){0};
	p->digest = lineages_digest(names, p->lineages);
}

static void send_keys(struct peers *p, const struct instant *now, struct peer *r)
{
	uint8_t message[KEYS_SIZE_MAX];
	struct lineage_seeds seeds;
	size_t len;

	seeds.count = server_lineage_seeds(p->o.server, seeds.seed);
	len = keys_write(message, &seeds);
	if (peer_send(p, r, message, len)) {
		p->events[PEERS_KEYS_SENT]++;
		r->has_keys_sent = true;
		r->keys_sent = now->boot;
	}
	wipe(&seeds, sizeof seeds);
	wipe(message, sizeof message);
}

void keys_offer(struct peers *p, const struct instant *now, struct peer *r)
{
	ticks between = r->last.flags & HEARTBEAT_JOINING ? OFFER_JOINING : OFFER_OTHERS;

	if (p->lineages && r->last.digest != p->digest &&
			(!r->has_keys_sent || now->boot >= r->keys_sent + between))
		send_keys(p, now, r);
}

static void take_seed(struct peers *p, const struct instant *now, const struct peer *r,
		const struct lineage_seed *seed)
{
	bool far = p->lineages && seed->generation > p->highest.generation + GENERATIONS_AHEAD;
	int result = far ? -ERANGE : server_lineage_add(p->o.server, now, seed);

	if (result == 1) {
		p->events[PEERS_KEYS_TAKEN]++;
		log_notice("epoch keys of lineage %" PRIu64 ".%016" PRIx64 " from server %u (%s)",
				seed->generation, seed->id, r->entry.number, r->entry.name);
	} else if (result < 0) {
		p->events[PEERS_KEYS_REFUSED]++;
		log_limited(LOG_WARNING, 3, "epoch keys from server %u (%s) are not taken: %s",
				r->entry.number, r->entry.name,
				result == -ENOMEM ? "out of memory" :
				result == -EINVAL ? "they are of a far epoch; one of the two clocks is wrong" :
						    "their generation is too far ahead to be true");
	}
}

enum mesh_result keys_take(struct peers *p, const struct instant *now, struct peer *r,
		const uint8_t *message, size_t len)
{
	struct lineage_seeds seeds;

	if (!keys_read(&seeds, message, len))
		return MESH_MALFORMED;
	for (unsigned i = 0; i < seeds.count; i++)
		take_seed(p, now, r, &seeds.seed[i]);
	wipe(&seeds, sizeof seeds);
	keys_refresh(p);
	return MESH_ACCEPTED;
}

/* ---- joining ---- */

struct company {
	unsigned alive;
	bool keys;  /* a living server has some: they will come */
	bool lower; /* one that joins as well has a lower number */
};

static struct company look_round(const struct peers *p)
{
	struct company c = {0};

	for (unsigned i = 0; i < p->count; i++) {
		const struct peer *r = p->peer[i];

		if (!r->alive)
			continue;
		c.alive++;
		if (!(r->last.flags & HEARTBEAT_JOINING))
			c.keys = true;
		else if (r->entry.number < p->o.number)
			c.lower = true;
	}
	return c;
}

/* A peer answers, if only that it does not want us: then a lineage of our own would split the cluster. */
static bool is_refused(const struct peers *p, const struct instant *now)
{
	for (unsigned i = 0; i < p->count; i++)
		if (p->peer[i]->told != MESH_OK &&
				now->boot < p->peer[i]->told_at + QUIET_BEFORE_BIRTH)
			return true;
	return false;
}

void keys_join(struct peers *p, const struct instant *now)
{
	struct company c;
	bool waited;

	if (p->lineages)
		return;
	c = look_round(p);
	if (c.keys || !p->listed || is_refused(p, now))
		p->quiet_since = now->boot;
	/* where everybody is there and joins, nobody can come who has keys */
	waited = now->boot >= p->quiet_since + QUIET_BEFORE_BIRTH ||
			(p->listed && c.alive == p->count && !c.keys);
	if (!waited || c.lower)
		return;
	if (server_lineage_begin(p->o.server, now) < 0)
		return; /* out of memory: the next tick tries again */
	log_notice("no server with epoch keys answers: this one begins a lineage");
}

int peers_rotate(struct peers *p, const struct instant *now)
{
	int result = server_lineage_begin(p->o.server, now);

	if (result < 0)
		return result;
	keys_refresh(p);
	for (unsigned i = 0; i < p->count; i++)
		if (p->peer[i]->alive)
			send_keys(p, now, p->peer[i]);
	return 0;
}
