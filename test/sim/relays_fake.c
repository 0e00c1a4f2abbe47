/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* A table of a few relays: what packets need of mode/relays.h, without controllers, ports and expiry. */
#include <stdlib.h>

#include "mode/relays.h"

#define FAKE_RELAYS 64

struct relays {
	struct relays_options o;
	unsigned count;
	struct relay all[FAKE_RELAYS];
};

struct relays *relays_new(const struct relays_options *o)
{
	struct relays *t = calloc(1, sizeof *t);

	if (t)
		t->o = *o;
	return t;
}

void relays_free(struct relays *t)
{
	free(t);
}

void relays_lock(struct relays *t) { (void)t; }
void relays_unlock(struct relays *t) { (void)t; }

static struct relay *by_id(struct relays *t, const uint8_t *id)
{
	for (unsigned i = 0; i < t->count; i++)
		if (memcmp(t->all[i].id, id, RELAY_ID_SIZE) == 0)
			return &t->all[i];
	return NULL;
}

const struct relay *relays_at(struct relays *t, const struct instant *now, bool v4, uint8_t protocol, uint16_t port,
		unsigned *side, unsigned *offset)
{
	(void)now;
	for (unsigned i = 0; i < t->count; i++)
		for (*side = 0; *side < 2; ++*side) {
			const struct relay *r = &t->all[i];
			const struct relay_side *s = &r->side[*side];

			*offset = (unsigned)(port - s->port);
			if (r->protocol == protocol && s->v4 == v4 && *offset < r->span && !r->removed)
				return r;
		}
	return NULL;
}

bool relays_latch(struct relays *t, const struct instant *now, const uint8_t id[RELAY_ID_SIZE],
		unsigned side, unsigned offset, const struct relay_leg *leg, bool token_shown)
{
	struct relay *r = by_id(t, id), was, copy;
	(void)now;

	if (!r || (relay_latched(&r->side[side], offset) && !token_shown))
		return false;
	was = *r;
	r->side[side].leg[offset] = *leg;
	r->side[side].leg[offset].generation = was.side[side].leg[offset].generation + 1;
	r->side[side].leg[offset].server = t->o.server;
	copy = *r;
	t->o.changed(t->o.arg, &was, r);
	t->o.publish(t->o.arg, &copy);
	return true;
}

enum relay_news relays_learn(struct relays *t, const struct instant *now, const struct relay *r)
{
	struct relay *have = by_id(t, r->id), was;
	(void)now;

	if (!have) {
		have = &t->all[t->count++];
		*have = *r;
		t->o.changed(t->o.arg, NULL, have);
		return RELAY_NEWS_SAME;
	}
	was = *have;
	if (relay_merge(have, r))
		t->o.changed(t->o.arg, &was, have);
	return relay_equal(have, r) ? RELAY_NEWS_SAME : RELAY_NEWS_MORE;
}

void relays_note(struct relays *t, const uint8_t id[RELAY_ID_SIZE], enum relay_status s)
{
	(void)t;
	(void)id;
	(void)s;
}
