/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Entries lie in pages that never move, and are found by id through a table whose
 * hash is keyed, because controllers choose ids.  entry_set() is the one place
 * where a relay changes; all rules about ports, owners and times hang on it.
 */
#include "mode/relays_internal.h"

#include <stdlib.h>

/* ---- beginning and end ---- */

static bool make_tables(struct relays *t)
{
	for (unsigned i = 0; i < 4; i++) {
		t->port[i / 2][i % 2] = calloc(65536, sizeof *t->port[0][0]);
		if (!t->port[i / 2][i % 2])
			return false;
	}
	return table_init(&t->by_id, 0) == 0 && table_init(&t->by_owner, 0) == 0;
}

struct relays *relays_new(const struct relays_options *o)
{
	struct relays *t = calloc(1, sizeof *t);

	if (!t)
		return NULL;
	t->o = *o;
	pthread_mutex_init(&t->turn, NULL);
	pthread_mutex_init(&t->lock, NULL);
	random_bytes(t->hash_key, sizeof t->hash_key);
	if (make_tables(t))
		return t;
	relays_free(t);
	return NULL;
}

void relays_free(struct relays *t)
{
	if (!t)
		return;
	for (uint32_t p = 0; p < t->room / PAGE_ENTRIES; p++)
		free(t->page[p]);
	for (unsigned i = 0; i < 4; i++)
		free(t->port[i / 2][i % 2]);
	table_free(&t->by_id);
	table_free(&t->by_owner);
	free(t->owner);
	pthread_mutex_destroy(&t->lock);
	pthread_mutex_destroy(&t->turn);
	wipe(t, sizeof *t);
	free(t);
}

/*
 * Whoever waits for the lock has the turn, so that the relay thread, which under a flood takes
 * the lock again as soon as it has let it go, cannot get it before a worker that waits.
 */
void relays_lock(struct relays *t)
{
	pthread_mutex_lock(&t->turn);
	pthread_mutex_lock(&t->lock);
	pthread_mutex_unlock(&t->turn);
}

void relays_unlock(struct relays *t)
{
	pthread_mutex_unlock(&t->lock);
}

void relays_set_limits(struct relays *t, unsigned per_client, bool allow_private,
		const struct prefix *deny, unsigned deny_count)
{
	t->o.per_client = per_client;
	t->o.allow_private = allow_private;
	t->o.deny = deny;
	t->o.deny_count = deny_count;
}

/* ---- by id ---- */

uint32_t entry_find(const struct relays *t, const uint8_t id[RELAY_ID_SIZE])
{
	uint32_t hash = relay_id_hash(t->hash_key, id), at = hash, e;

	while ((e = table_next(&t->by_id, hash, &at)) != NONE)
		if (memcmp(entry_at(t, e)->r.id, id, RELAY_ID_SIZE) == 0)
			return e;
	return NONE;
}

const struct relay *relays_known(struct relays *t, const uint8_t id[RELAY_ID_SIZE])
{
	uint32_t e = entry_find(t, id);

	return e ? &entry_at(t, e)->r : NULL;
}

/* ---- all of them ---- */

static unsigned state_of(const struct relays *t, const struct entry *x)
{
	return (entry_active(x) ? RELAY_CARRIES : 0) | (x->met != t->reading ? RELAY_NOT_MET : 0);
}

bool relays_visit(struct relays *t, uint32_t *at, relay_visit *visit, void *arg)
{
	uint32_t end = MIN(*at + RELAYS_VISIT, t->room);

	for (; *at < end; ++*at) {
		const struct entry *x = entry_at(t, *at);

		if (x->used)
			visit(arg, &x->r, state_of(t, x));
	}
	return end < t->room;
}

void relays_each(struct relays *t, relay_visit *visit, void *arg)
{
	uint32_t at = 0;
	bool more = true;

	while (more) {
		relays_lock(t);
		more = relays_visit(t, &at, visit, arg);
		relays_unlock(t);
	}
}

/* ---- of an owner ---- */

static uint32_t owner_hash(uint32_t index)
{
	return index * 2654435769u; /* enrolment indexes: nobody chooses his own */
}

static uint32_t find_owner(const struct relays *t, uint32_t index)
{
	uint32_t hash = owner_hash(index), at = hash, o;

	while ((o = table_next(&t->by_owner, hash, &at)) != NONE)
		if (t->owner[o].index == index)
			return o;
	return NONE;
}

struct owner *owner_find(const struct relays *t, uint32_t index)
{
	uint32_t o = find_owner(t, index);

	return o ? &t->owner[o] : NULL;
}

static bool grow_owners(struct relays *t)
{
	uint32_t room = t->owner_room ? 2 * t->owner_room : 16;
	struct owner *larger = reallocarray(t->owner, room, sizeof *larger);

	if (!larger)
		return false;
	for (uint32_t o = room - 1; o >= MAX(t->owner_room, 1); o--) {
		larger[o].index = t->free_owner;
		t->free_owner = o;
	}
	t->owner = larger;
	t->owner_room = room;
	return true;
}

static uint32_t need_owner(struct relays *t, uint32_t index)
{
	uint32_t o = find_owner(t, index);

	if (o)
		return o;
	if (!t->free_owner && !grow_owners(t))
		return NONE;
	o = t->free_owner;
	if (table_add(&t->by_owner, owner_hash(index), o) != 0)
		return NONE;
	t->free_owner = t->owner[o].index;
	t->owner[o] = (struct owner){.index = index};
	t->owner_count++;
	return o;
}

/* An owner without relays, of which this was the last one, or was to be the first. */
static void drop_owner(struct relays *t, uint32_t owner)
{
	struct owner *o = &t->owner[owner];

	if (o->live || o->dead)
		return;
	table_remove(&t->by_owner, owner_hash(o->index), owner);
	o->index = t->free_owner;
	t->free_owner = owner;
	t->owner_count--;
}

/* Adds it to, or takes it from, the sums. */
static void account(struct relays *t, const struct entry *x, int sign)
{
	size_t by = (size_t)sign;

	*(x->dead ? &t->owner[x->owner].dead : &t->owner[x->owner].live) += (uint32_t)sign;
	*(x->dead ? &t->dead : x->r.settled ? &t->live : &t->pending) += by;
}

static void enlist(struct relays *t, uint32_t e)
{
	struct entry *x = entry_at(t, e);

	if (x->dead)
		return;
	order_add(t, ORDER_ALL, &t->root, e);
	order_add(t, ORDER_OWNER, &t->owner[x->owner].root, e);
}

static void delist(struct relays *t, uint32_t e)
{
	struct entry *x = entry_at(t, e);

	if (x->dead)
		return;
	order_remove(t, ORDER_ALL, &t->root, e);
	order_remove(t, ORDER_OWNER, &t->owner[x->owner].root, e);
}

/* ---- entries ---- */

static bool grow_entries(struct relays *t)
{
	struct entry *page;

	if (t->room == ENTRIES_MAX || !(page = calloc(PAGE_ENTRIES, sizeof *page)))
		return false;
	t->page[t->room / PAGE_ENTRIES] = page;
	for (uint32_t e = t->room + PAGE_ENTRIES - 1; e >= MAX(t->room, 1); e--) {
		page[e % PAGE_ENTRIES].of_wheel.next = t->free_entry;
		t->free_entry = e;
	}
	t->room += PAGE_ENTRIES;
	return true;
}

uint32_t entry_add(struct relays *t, uint64_t second, const struct relay *r)
{
	uint32_t e, owner;
	struct entry *x;

	if (!t->free_entry && !grow_entries(t))
		return NONE;
	e = t->free_entry;
	x = entry_at(t, e);
	owner = need_owner(t, r->owner);
	if (!owner)
		return NONE;
	t->free_entry = x->of_wheel.next;
	*x = (struct entry){.r = *r, .used = true, .owner = owner, .shown = second};
	if (table_add(&t->by_id, relay_id_hash(t->hash_key, r->id), e) != 0) {
		drop_owner(t, owner);
		*x = (struct entry){.of_wheel.next = t->free_entry};
		t->free_entry = e;
		return NONE;
	}
	account(t, x, 1);
	enlist(t, e);
	entry_set(t, second, e, r);
	return e;
}

void entry_forget(struct relays *t, uint32_t e)
{
	struct entry *x = entry_at(t, e);

	if (entry_active(x))
		t->o.changed(t->o.arg, &x->r, NULL);
	ports_release(t, e);
	wheel_remove(t, e);
	account(t, x, -1);
	delist(t, e);
	drop_owner(t, x->owner);
	table_remove(&t->by_id, relay_id_hash(t->hash_key, x->r.id), e);
	*x = (struct entry){.of_wheel.next = t->free_entry};
	t->free_entry = e;
}

void entry_publish(struct relays *t, const struct entry *x)
{
	t->o.publish(t->o.arg, &x->r);
}

void entry_say(struct relays *t, struct entry *x)
{
	x->said = true;
	entry_publish(t, x);
}

/* ---- changes ---- */

static void tell(struct relays *t, bool was_active, const struct relay *was, const struct entry *x)
{
	bool active = entry_active(x);

	if ((was_active || active) && !(was_active && active && relay_equal(was, &x->r)))
		t->o.changed(t->o.arg, was_active ? was : NULL, active ? &x->r : NULL);
}

/* Its ports are another one's, and both were given away: all servers decide the same, and its controller is told. */
static void lose(struct relays *t, uint64_t second, uint32_t e)
{
	struct relay r = entry_at(t, e)->r;

	relay_raise(&r);
	r.removed = r.lost = true;
	r.expires = (r.expires ? r.expires : second) + RELAY_TOMBSTONE_S;
	t->count.conflicts++;
	entry_set(t, second, e, &r);
	entry_publish(t, entry_at(t, e));
}

/* A claim that came second.  Its maker goes on with other ports; for others they will come from there. */
static void draw_again(struct relays *t, uint64_t second, uint32_t e)
{
	struct relay r = entry_at(t, e)->r;

	if (r.server != t->o.server)
		return;
	if (!ports_draw(t, &r)) {
		entry_forget(t, e); /* the next request is told that there are none */
		return;
	}
	relay_raise(&r);
	t->count.redrawn++;
	entry_set(t, second, e, &r);
	entry_publish(t, entry_at(t, e));
}

/* Somebody else has its ports now. */
static void give_way(struct relays *t, uint64_t second, uint32_t e)
{
	switch (entry_right(entry_at(t, e))) {
	case RIGHT_SETTLED:
		lose(t, second, e);
		break;
	case RIGHT_CLAIM:
		draw_again(t, second, e);
		break;
	default: /* quarantine ends early */
		break;
	}
}

static void settle_ports(struct relays *t, uint64_t second, uint32_t e)
{
	uint32_t evicted[EVICTED_MAX], winner = NONE;
	unsigned count = ports_take(t, e, evicted, &winner);

	for (unsigned i = 0; i < count; i++)
		give_way(t, second, evicted[i]);
	if (winner)
		give_way(t, second, e);
}

static bool same_ports(const struct relay *a, const struct relay *b)
{
	return a->side[0].port == b->side[0].port && a->side[1].port == b->side[1].port;
}

/* Quarantine is for ports that somebody may have been told. */
static bool wants_ports(const struct entry *x)
{
	return !x->r.lost && (x->r.settled || !x->dead);
}

/* Sums and lists follow.  Another owner: another controller's of the same id has come out on top. */
static void put_record(struct relays *t, uint32_t e, const struct relay *r, uint32_t owner, bool dead)
{
	struct entry *x = entry_at(t, e);
	uint32_t before = x->owner;
	bool moves = owner != before || dead != x->dead;

	if (moves)
		delist(t, e);
	account(t, x, -1);
	x->r = *r;
	x->dead = dead;
	x->owner = owner;
	account(t, x, 1);
	if (moves)
		enlist(t, e);
	if (owner != before)
		drop_owner(t, before);
}

void entry_set(struct relays *t, uint64_t second, uint32_t e, const struct relay *r)
{
	struct entry *x = entry_at(t, e);
	const struct relay was = x->r, now = *r;
	bool was_active = entry_active(x);
	uint32_t owner = need_owner(t, now.owner);

	if (!owner)
		return; /* no memory: as if it had not been heard */
	if (!relay_same_request(&was, &now) || !same_ports(&was, &now))
		ports_release(t, e);
	put_record(t, e, &now, owner, now.removed || relay_expired(&now, second));
	wheel_put(t, e);
	if (!wants_ports(x))
		ports_release(t, e);
	else if (!x->holds)
		settle_ports(t, second, e);
	if (x->used && relay_equal(&x->r, &now))
		tell(t, was_active, &was, x);
	else if (was_active) /* it lost its ports to another one, and is dead or drawn again */
		t->o.changed(t->o.arg, &was, NULL);
}

void relays_count(struct relays *t, struct relays_counts *c)
{
	size_t range = t->o.port_first ? t->o.port_last - t->o.port_first + 1u : 0;

	*c = t->count;
	c->relays = t->live;
	c->pending = t->pending;
	c->dead = t->dead;
	c->controllers = t->owner_count;
	for (unsigned i = 0; i < 4; i++)
		c->ports_free[i / 2][i % 2] = range - t->held[i / 2][i % 2];
}
