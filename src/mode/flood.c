/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "mode/flood.h"

uint32_t flood_take(struct worker *w, struct client *origin, uint32_t copies)
{
	uint32_t second = (uint32_t)(w->now.boot / TICKS_PER_SEC), most = w->path->flood_rate, before;

	if (!origin)
		return copies;
	if (atomic_exchange_explicit(&origin->flood_second, second, memory_order_relaxed) != second)
		atomic_store_explicit(&origin->flood_copies, 0, memory_order_relaxed);
	before = atomic_fetch_add_explicit(&origin->flood_copies, copies, memory_order_relaxed);
	return before < most ? MIN(copies, most - before) : 0;
}

struct copier {
	const struct packet *p; /* an IP packet, or NULL: */
	const uint8_t *plain;   /* … any plaintext */
	size_t len;
};

static void copy_to(struct worker *w, const struct copier *k, struct client *c)
{
	struct packet copy;
	struct far_end end;
	enum drop why = far_end_client(w, c, &end);

	if (why != DROP_NONE) {
		count_drop(w, why);
	} else if (k->p) {
		copy = *k->p;
		copy.room = NULL; /* the packet itself is needed for the next copy */
		copy.more = 0;
		if (copy.len > end.room && copy.len > PIECE_PACKET_MAX && copy.in.df)
			count_drop(w, DROP_TOO_BIG);
		else
			send_packet(w, &end, &copy);
	} else if (k->len <= end.room) {
		send_plain(w, &end, k->plain, k->len, 0, NULL, 0);
	} else {
		count_drop(w, DROP_TOO_BIG);
	}
	count(w, TRAFFIC_COPIES, 1);
}

static void flood(struct worker *w, const struct member_list *list, const struct copier *k,
		struct client *origin)
{
	uint32_t count = list ? atomic_load_explicit(&list->count, memory_order_acquire) : 0;
	struct client *c;

	for (uint32_t i = 0; i < count; i++) {
		c = atomic_load_explicit(&list->client[i], memory_order_acquire);
		if (!c || c == origin)
			continue;
		if (!flood_take(w, origin, 1)) {
			count_drop(w, DROP_FLOOD_RATE);
			return;
		}
		copy_to(w, k, c);
	}
}

void flood_packet(struct worker *w, const struct member_list *list, const struct packet *p)
{
	flood(w, list, &(struct copier){.p = p}, p->origin);
}

void flood_frame(struct worker *w, const struct member_list *list, const struct client *origin,
		const uint8_t *plain, size_t len)
{
	flood(w, list, &(struct copier){.plain = plain, .len = len}, (struct client *)origin);
}
