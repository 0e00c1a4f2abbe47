/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "cluster/registry_internal.h"

int feed_open(struct feed *f)
{
	int failed = index_set_init(&f->seen);

	return failed ? failed : index_set_init(&f->lost);
}

void feed_close(struct feed *f)
{
	index_set_free(&f->seen);
	index_set_free(&f->lost);
}

void feed_lost(struct registry_nats *n, const struct instant *now, struct feed *f, uint32_t index)
{
	if (index_set_empty(&f->lost))
		f->next_heal = now->boot + n->heal_delay;
	index_set_add(&f->lost, index);
}

void feed_seen(struct feed *f, uint32_t index)
{
	index_set_add(&f->seen, index);
	index_set_remove(&f->lost, index);
}

void feed_take(struct registry_nats *n, const struct instant *now, const struct change *c)
{
	const struct feed_ops *ops = feed_ops[c->of];
	struct feed *f = ops->feed(n);

	switch (c->kind) {
	case CHANGE_BEGIN:
		f->reading = index_set_clear(&f->seen) == 0;
		registry_count(n, COUNT_snapshots);
		break;
	case CHANGE_COMPLETE:
		if (f->reading)
			ops->complete(n, now);
		f->reading = false;
		f->ready = true;
		break;
	case CHANGE_VALUE:
		ops->value(n, now, c->index, c->value);
		break;
	case CHANGE_KNOWN:
		ops->known(n, c->index);
		break;
	case CHANGE_DELETED:
		registry_count(n, COUNT_deleted);
		ops->deleted(n, now, c->index);
		break;
	}
}

const struct feed_ops *const feed_ops[CHANGE_OF_COUNT] = {
	[OF_CLIENTS] = &clients_feed_ops,
	[OF_SESSIONS] = &sessions_feed_ops,
	[OF_SERVERS] = &servers_feed_ops,
	[OF_RELAYS] = &relays_feed_ops,
};
