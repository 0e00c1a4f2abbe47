/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "mode/ethernet.h"

#include <pthread.h>
#include <stdlib.h>

#include "mode/flood.h"

#define MAC_LIFETIME TICKS_S(300) /* the usual ageing time of a bridge (IEEE 802.1Q 8.8.3) */
#define MAC_REFRESH  TICKS_S(10)  /* an entry is written again only after this: readers stay on one line */
#define MAC_PROBES   16           /* places looked at for one address */

/* Two words, each written whole; a reader looks at the address before and after the owner. */
struct mac_entry {
	_Atomic uint64_t mac;   /* 48 bits of address | 1 << 48; 0: free */
	_Atomic uint64_t owner; /* port << 32 | seconds of boot time */
};

struct ethernet {
	pthread_mutex_t lock; /* for writing */
	struct mac_entry entry[ETHERNET_MACS];
};

struct ethernet *ethernet_new(void)
{
	struct ethernet *e = calloc(1, sizeof *e);

	if (e)
		pthread_mutex_init(&e->lock, NULL);
	return e;
}

void ethernet_free(struct ethernet *e)
{
	if (e)
		pthread_mutex_destroy(&e->lock);
	free(e);
}

static uint64_t mac_word(const uint8_t mac[6])
{
	return (uint64_t)1 << 48 | (uint64_t)load_be16(mac) << 32 | load_be32(mac + 2);
}

static struct mac_entry *mac_place(struct ethernet *e, uint64_t word, unsigned probe)
{
	return &e->entry[((word * UINT64_C(0x9e3779b97f4a7c15) >> 40) + probe) & (ETHERNET_MACS - 1)];
}

/* Seconds since it was written; another worker's clock may be a moment ahead of ours. */
static int32_t mac_age(uint64_t owner, ticks now)
{
	return (int32_t)((uint32_t)(now / TICKS_PER_SEC) - (uint32_t)owner);
}

static bool mac_alive(uint64_t owner, ticks now)
{
	return mac_age(owner, now) < (int32_t)(MAC_LIFETIME / TICKS_PER_SEC);
}

bool mac_find(struct ethernet *e, const uint8_t mac[6], ticks now, uint32_t *port)
{
	uint64_t word = mac_word(mac), owner;

	for (unsigned i = 0; i < MAC_PROBES; i++) {
		struct mac_entry *m = mac_place(e, word, i);

		if (atomic_load_explicit(&m->mac, memory_order_acquire) != word)
			continue;
		owner = atomic_load_explicit(&m->owner, memory_order_acquire);
		*port = (uint32_t)(owner >> 32);
		/* still the same entry: else the owner may be the next one's */
		return atomic_load_explicit(&m->mac, memory_order_relaxed) == word &&
		       mac_alive(owner, now);
	}
	return false;
}

static unsigned macs_of_port(struct ethernet *e, uint32_t port, ticks now)
{
	unsigned count = 0;

	for (unsigned i = 0; i < ETHERNET_MACS; i++)
		count += e->entry[i].mac && e->entry[i].owner >> 32 == port &&
			 mac_alive(e->entry[i].owner, now);
	return count;
}

/* Under the lock: the entry of this address, or else a place for it; NULL: none. */
static struct mac_entry *mac_entry_for(struct ethernet *e, uint64_t word, ticks now)
{
	struct mac_entry *vacant = NULL;

	for (unsigned i = 0; i < MAC_PROBES; i++) {
		struct mac_entry *m = mac_place(e, word, i);

		if (m->mac == word)
			return m;
		if (!vacant && (!m->mac || !mac_alive(m->owner, now)))
			vacant = m;
	}
	return vacant;
}

/* heard: when there was a frame, or so long before the entry is to end. */
static enum mac_verdict mac_learn_locked(struct ethernet *e, uint64_t word, uint32_t port, ticks now,
		ticks heard)
{
	struct mac_entry *m = mac_entry_for(e, word, now);
	bool same;

	if (!m)
		return MAC_REFUSED;
	same = m->mac == word && mac_alive(m->owner, now);
	if (same && m->owner >> 32 != port)
		return MAC_REFUSED; /* a live address is not taken over */
	if (!same && port && macs_of_port(e, port, now) >= MACS_MAX)
		return MAC_REFUSED;
	/* first the owner: until the address is there too, nobody looks at it */
	if (m->mac != word)
		atomic_store_explicit(&m->mac, 0, memory_order_release);
	atomic_store_explicit(&m->owner, (uint64_t)port << 32 | (uint32_t)(heard / TICKS_PER_SEC),
			memory_order_release);
	atomic_store_explicit(&m->mac, word, memory_order_release);
	return MAC_LEARNT;
}

/* Known and fresh: nothing to write. */
bool mac_settled(struct ethernet *e, const uint8_t mac[6], uint32_t port, ticks now)
{
	uint64_t word = mac_word(mac);
	for (unsigned i = 0; i < MAC_PROBES; i++) {
		struct mac_entry *m = mac_place(e, word, i);

		if (atomic_load_explicit(&m->mac, memory_order_acquire) == word) {
			uint64_t owner = atomic_load_explicit(&m->owner, memory_order_acquire);
			return owner >> 32 == port &&
			       mac_age(owner, now) < (int32_t)(MAC_REFRESH / TICKS_PER_SEC);
		}
	}
	return false;
}

enum mac_verdict mac_learn(struct ethernet *e, const uint8_t mac[6], uint32_t port, ticks now)
{
	uint64_t word = mac_word(mac);
	enum mac_verdict verdict;

	if (mac[0] & 1) /* a group address is no source */
		return MAC_REFUSED;
	if (mac_settled(e, mac, port, now))
		return MAC_LEARNT;
	pthread_mutex_lock(&e->lock);
	verdict = mac_learn_locked(e, word, port, now, now);
	pthread_mutex_unlock(&e->lock);
	return verdict;
}

enum mac_verdict mac_learn_until(struct ethernet *e, const uint8_t mac[6], uint32_t port, ticks now,
		ticks until)
{
	enum mac_verdict verdict;

	if ((mac[0] & 1) || until <= now)
		return MAC_REFUSED;
	pthread_mutex_lock(&e->lock);
	verdict = mac_learn_locked(e, mac_word(mac), port, now, until - MAC_LIFETIME);
	pthread_mutex_unlock(&e->lock);
	return verdict;
}

void mac_forget(struct ethernet *e, const uint8_t mac[6], uint32_t port)
{
	uint64_t word = mac_word(mac);

	pthread_mutex_lock(&e->lock);
	for (unsigned i = 0; i < MAC_PROBES; i++) {
		struct mac_entry *m = mac_place(e, word, i);

		if (m->mac == word && m->owner >> 32 == port)
			atomic_store_explicit(&m->mac, 0, memory_order_release);
	}
	pthread_mutex_unlock(&e->lock);
}

static bool has_mac(const struct session_record *r, const uint8_t *mac)
{
	for (unsigned i = 0; r && i < r->mac_count; i++)
		if (!memcmp(record_mac(r, i), mac, 6))
			return true;
	return false;
}

void ethernet_record_changed(struct ethernet *e, const struct client *c,
		const struct session_record *old, const struct session_record *record, ticks now,
		ticks end)
{
	for (unsigned i = 0; old && i < old->mac_count; i++)
		if (!has_mac(record, record_mac(old, i)))
			mac_forget(e, record_mac(old, i), c->index);
	for (unsigned i = 0; record && i < record->mac_count && c->rights & RIGHT_ETHERNET; i++)
		mac_learn_until(e, record_mac(record, i), c->index, now, end);
}

/* ---- switching ---- */

/* The plaintext for a frame: 0x30 | 0 | length | frame.  Its size; 0: too large for any path. */
static size_t wrap(uint8_t plain[PMTU_FIRST], const uint8_t *frame, size_t len)
{
	if (len + ETHERNET_HEADER > PMTU_FIRST)
		return 0;
	plain[0] = INNER_ETHERNET << 4;
	plain[1] = 0;
	store_be16(plain + 2, (uint16_t)len);
	memcpy(plain + ETHERNET_HEADER, frame, len);
	return len + ETHERNET_HEADER;
}

static void frame_to(struct worker *w, const struct far_end *end, const uint8_t *frame, size_t len)
{
	uint8_t plain[PMTU_FIRST];
	size_t n = wrap(plain, frame, len);

	if (!n || n > end->room)
		count_drop(w, DROP_TOO_BIG);
	else
		send_plain(w, end, plain, n, 0, NULL, 0);
}

static void frame_to_client(struct worker *w, struct client *c, const uint8_t *frame, size_t len)
{
	struct far_end end;
	enum drop why = c ? far_end_client(w, c, &end) : DROP_NO_ROUTE;

	if (why != DROP_NONE)
		count_drop(w, why);
	else
		frame_to(w, &end, frame, len);
}

static void frame_to_all(struct worker *w, struct client *origin, const uint8_t *frame, size_t len)
{
	uint8_t plain[PMTU_FIRST];
	size_t n = wrap(plain, frame, len);

	if (!n) {
		count_drop(w, DROP_TOO_BIG);
		return;
	}
	flood_frame(w, members_ethernet(w->path->members), origin, plain, n);
	if (origin && w->device[DEVICE_TAP] >= 0 && flood_take(w, origin, 1))
		device_put_frame(w, frame, len);
}

void ethernet_frame(struct worker *w, struct client *origin, uint8_t *frame, size_t len)
{
	const struct directory *dir =
			atomic_load_explicit(&w->path->server->directory, memory_order_acquire);
	uint32_t port;

	if (origin && !(origin->rights & RIGHT_ETHERNET)) {
		count_drop(w, DROP_DENIED);
		return;
	}
	if (origin && w->device[DEVICE_TAP] >= 0 &&
			!memcmp(frame + 6, w->path->device[DEVICE_TAP].mac, 6)) {
		count_drop(w, DROP_MAC_TABLE); /* the server's own, also while it is silent */
		return;
	}
	/* looking for a place takes a lock and a walk: no more of that than of flooding */
	if (!mac_settled(w->path->ethernet, frame + 6, origin ? origin->index : 0, w->now.boot) &&
			!flood_take(w, origin, 1)) {
		count_drop(w, DROP_FLOOD_RATE);
		return;
	}
	if (mac_learn(w->path->ethernet, frame + 6, origin ? origin->index : 0, w->now.boot) ==
			MAC_REFUSED) {
		count_drop(w, DROP_MAC_TABLE);
		return;
	}
	if ((frame[0] & 1) || !mac_find(w->path->ethernet, frame, w->now.boot, &port))
		frame_to_all(w, origin, frame, len);
	else if (port == (origin ? origin->index : 0))
		count_drop(w, DROP_NO_ROUTE); /* split horizon */
	else if (port)
		frame_to_client(w, directory_by_index(dir, port), frame, len);
	else
		device_put_frame(w, frame, len);
}

/* ---- client: the addresses behind it ---- */

static void tell_behind(struct worker *w)
{
	const struct macs_behind *b = &w->path->behind;
	uint8_t macs[MACS_MAX][MAC_ADDR_SIZE];

	for (unsigned i = 0; i < b->count; i++)
		memcpy(macs[i], b->entry[i].mac, MAC_ADDR_SIZE);
	uplink_set_macs(w->path->uplink, &w->now, macs, b->count, &w->output);
}

/* Of more addresses than there is room for, those that came first are told. */
static void note_behind(struct worker *w, const uint8_t mac[6])
{
	struct macs_behind *b = &w->path->behind;

	for (unsigned i = 0; i < b->count; i++)
		if (!memcmp(b->entry[i].mac, mac, MAC_ADDR_SIZE)) {
			b->entry[i].heard = w->now.boot;
			return;
		}
	if ((mac[0] & 1) || b->count == MACS_MAX)
		return;
	memcpy(b->entry[b->count].mac, mac, MAC_ADDR_SIZE);
	b->entry[b->count++].heard = w->now.boot;
	tell_behind(w);
}

void ethernet_forget_silent(struct worker *w)
{
	struct macs_behind *b = &w->path->behind;
	unsigned kept = 0;

	for (unsigned i = 0; i < b->count; i++)
		if (w->now.boot < b->entry[i].heard + MAC_LIFETIME)
			b->entry[kept++] = b->entry[i];
	if (kept == b->count)
		return;
	b->count = kept;
	tell_behind(w);
}

void ethernet_frame_to_server(struct worker *w, uint8_t *frame, size_t len)
{
	struct far_end end;
	enum drop why = far_end_server(w, &end);

	note_behind(w, frame + 6);
	if (why != DROP_NONE)
		count_drop(w, why);
	else
		frame_to(w, &end, frame, len);
}
