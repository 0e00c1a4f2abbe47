/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The bytes of a relay's record (PROTOCOL.md, "Relays"), and how two become one.
 *
 * Merging.  Records of one id are ordered by their request first (a controller that
 * uses an id twice gets one of the two, with all that belongs to it).  Within one
 * request the controller's part and each leg have an order of their own, and of
 * each the greatest stays.  A product of total orders, so a semilattice.
 */
#include "proto/relay.h"

#define FORMAT 1

enum flag { FLAG_REMOVED = 1, FLAG_SETTLED = 2, FLAG_LOST = 4, FLAG_EVEN = 8, FLAGS = 15 };
enum leg_flag { LEG_SACK = 1, LEG_TIMESTAMPS = 2, LEG_FLAGS = 3 };

/* Where things are. */
enum {
	AT_FORMAT = 0, AT_FLAGS = 1, AT_PROTOCOL = 2, AT_SPAN = 3, AT_ID = 4, AT_VERSION = 20,
	AT_SERVER = 28, AT_ZERO = 30, AT_OWNER = 32, AT_CREATED = 36, AT_EXPIRES = 44, AT_SIDES = 52,
	AT_LEGS = 96
};
enum { SIDE_KIND = 0, SIDE_FAMILY = 1, SIDE_PORT = 2, SIDE_GIVEN = 4, SIDE_SIZE = 22 };
enum {
	LEG_GENERATION = 0, LEG_FLAG = 1, LEG_SERVER = 2, LEG_AT = 4, LEG_ISN = 22, LEG_OURS = 26,
	LEG_SKIP = 30, LEG_WSCALES = 31, LEG_MSS = 32, LEG_WINDOW = 34, LEG_TSVAL = 36, LEG_SIZE = 40
};
_Static_assert(AT_SIDES + 2 * SIDE_SIZE == AT_LEGS, "sides lie before the legs");
_Static_assert(AT_LEGS + 2 * LEG_SIZE == RELAY_RECORD_SIZE, "one port a side");
_Static_assert(AT_LEGS + 4 * LEG_SIZE == RELAY_RECORD_MAX, "two ports a side");
_Static_assert(SIDE_GIVEN + ENDPOINT_WIRE == SIDE_SIZE && LEG_AT + ENDPOINT_WIRE == LEG_ISN,
		"endpoints fill their places");

const char *relay_side_kind_key(enum relay_side_kind kind)
{
	static const char *const keys[] = {
#define X(name, value, key, text) [value] = key,
		RELAY_SIDE_KINDS(X)
#undef X
	};

	return kind < ARRAY_SIZE(keys) && keys[kind] ? keys[kind] : "?";
}

/* ---- soundness ---- */

static bool is_zero(const void *p, size_t n)
{
	const uint8_t *at = p;

	while (n && *at == 0)
		at++, n--;
	return n == 0;
}

static bool given_sound(const struct relay_side *s, unsigned span)
{
	bool has_ip = s->kind == RELAY_GIVEN || s->kind == RELAY_HOST;

	if (!has_ip && !is_zero(s->given.ip, 16))
		return false;
	if (has_ip && addr_is_v4(s->given.ip) != s->v4)
		return false;
	return s->kind == RELAY_GIVEN ? s->given.port != 0 && s->given.port + span <= 65536 :
					s->given.port == 0;
}

/* What a leg of UDP does not have. */
static bool tcp_zero(const struct relay_leg *l)
{
	return !(l->isn | l->ours | l->skip | l->wscale | l->our_wscale | l->sack | l->timestamps |
			l->mss | l->window | l->tsval);
}

static bool leg_empty(const struct relay_leg *l)
{
	return !l->generation && !l->server && !l->at.port && is_zero(l->at.ip, 16) && tcp_zero(l);
}

static bool leg_sound(const struct relay *r, const struct relay_side *s, unsigned offset)
{
	const struct relay_leg *l = &s->leg[offset];

	if (l->generation == 0 || offset >= r->span)
		return leg_empty(l);
	if (l->server == 0 || l->at.port == 0 || addr_is_v4(l->at.ip) != s->v4)
		return false;
	if (r->protocol == RELAY_UDP && !tcp_zero(l))
		return false;
	if (l->wscale > 15 || l->our_wscale > 15 || (l->skip && l->skip != RELAY_TOKEN_SIZE))
		return false;
	if (s->kind == RELAY_GIVEN && l->at.port != s->given.port + offset)
		return false;
	return (s->kind != RELAY_GIVEN && s->kind != RELAY_HOST) ||
		memcmp(l->at.ip, s->given.ip, 16) == 0;
}

static bool side_sound(const struct relay *r, const struct relay_side *s)
{
	if (s->kind < RELAY_GIVEN || s->kind > RELAY_HINTED || !given_sound(s, r->span))
		return false;
	if (s->kind == RELAY_HINTED && r->protocol != RELAY_UDP)
		return false;
	if (s->port == 0 || s->port + r->span > 65536 || (r->even && s->port % 2))
		return false;
	return leg_sound(r, s, 0) && leg_sound(r, s, 1);
}

static bool ports_apart(const struct relay *r)
{
	int distance = r->side[0].port - r->side[1].port;

	return r->side[0].v4 != r->side[1].v4 || distance >= r->span || -distance >= r->span;
}

bool relay_sound(const struct relay *r)
{
	if (r->version == 0 || r->version > RELAY_VERSION_MAX || r->server == 0)
		return false;
	if (r->removed ? !r->expires : r->lost)
		return false;
	if (r->protocol != RELAY_UDP && (r->protocol != RELAY_TCP || r->span != 1))
		return false;
	if (r->span < 1 || r->span > RELAY_SPAN_MAX || (r->even && r->span != 2))
		return false;
	return side_sound(r, &r->side[0]) && side_sound(r, &r->side[1]) && ports_apart(r);
}

/* ---- bytes ---- */

static void write_side(uint8_t out[SIDE_SIZE], const struct relay_side *s)
{
	out[SIDE_KIND] = s->kind;
	out[SIDE_FAMILY] = s->v4 ? 4 : 6;
	store_be16(out + SIDE_PORT, s->port);
	endpoint_store(out + SIDE_GIVEN, &s->given);
}

static void write_leg(uint8_t out[LEG_SIZE], const struct relay_leg *l)
{
	out[LEG_GENERATION] = l->generation;
	out[LEG_FLAG] = (uint8_t)((l->sack ? LEG_SACK : 0) | (l->timestamps ? LEG_TIMESTAMPS : 0));
	store_be16(out + LEG_SERVER, l->server);
	endpoint_store(out + LEG_AT, &l->at);
	store_be32(out + LEG_ISN, l->isn);
	store_be32(out + LEG_OURS, l->ours);
	out[LEG_SKIP] = l->skip;
	out[LEG_WSCALES] = (uint8_t)(l->wscale << 4 | l->our_wscale);
	store_be16(out + LEG_MSS, l->mss);
	store_be16(out + LEG_WINDOW, l->window);
	store_be32(out + LEG_TSVAL, l->tsval);
}

static size_t record_size(unsigned span)
{
	return AT_LEGS + 2 * span * LEG_SIZE;
}

/* Side 1, side 2; with a span then both sides of its second port. */
static size_t leg_place(unsigned side, unsigned offset)
{
	return AT_LEGS + (2 * offset + side) * LEG_SIZE;
}

static uint8_t flags_of(const struct relay *r)
{
	return (uint8_t)((r->removed ? FLAG_REMOVED : 0) | (r->settled ? FLAG_SETTLED : 0) |
			(r->lost ? FLAG_LOST : 0) | (r->even ? FLAG_EVEN : 0));
}

size_t relay_write(uint8_t out[RELAY_RECORD_MAX], const struct relay *r)
{
	if (!relay_sound(r))
		return 0;
	out[AT_FORMAT] = FORMAT;
	out[AT_FLAGS] = flags_of(r);
	out[AT_PROTOCOL] = r->protocol;
	out[AT_SPAN] = r->span;
	memcpy(out + AT_ID, r->id, RELAY_ID_SIZE);
	store_be64(out + AT_VERSION, r->version);
	store_be16(out + AT_SERVER, r->server);
	store_be16(out + AT_ZERO, 0);
	store_be32(out + AT_OWNER, r->owner);
	store_be64(out + AT_CREATED, r->created);
	store_be64(out + AT_EXPIRES, r->expires);
	for (unsigned side = 0; side < 2; side++) {
		write_side(out + AT_SIDES + side * SIDE_SIZE, &r->side[side]);
		for (unsigned offset = 0; offset < r->span; offset++)
			write_leg(out + leg_place(side, offset), &r->side[side].leg[offset]);
	}
	return record_size(r->span);
}

static bool read_side(struct relay_side *s, const uint8_t in[SIDE_SIZE])
{
	s->kind = in[SIDE_KIND];
	s->v4 = in[SIDE_FAMILY] == 4;
	s->port = load_be16(in + SIDE_PORT);
	endpoint_load(&s->given, in + SIDE_GIVEN);
	return s->v4 || in[SIDE_FAMILY] == 6;
}

static bool read_leg(struct relay_leg *l, const uint8_t in[LEG_SIZE])
{
	l->generation = in[LEG_GENERATION];
	l->sack = in[LEG_FLAG] & LEG_SACK;
	l->timestamps = in[LEG_FLAG] & LEG_TIMESTAMPS;
	l->server = load_be16(in + LEG_SERVER);
	endpoint_load(&l->at, in + LEG_AT);
	l->isn = load_be32(in + LEG_ISN);
	l->ours = load_be32(in + LEG_OURS);
	l->skip = in[LEG_SKIP];
	l->wscale = in[LEG_WSCALES] >> 4;
	l->our_wscale = in[LEG_WSCALES] & 15;
	l->mss = load_be16(in + LEG_MSS);
	l->window = load_be16(in + LEG_WINDOW);
	l->tsval = load_be32(in + LEG_TSVAL);
	return !(in[LEG_FLAG] & ~LEG_FLAGS);
}

static void read_fixed(struct relay *r, const uint8_t *in)
{
	r->removed = in[AT_FLAGS] & FLAG_REMOVED;
	r->settled = in[AT_FLAGS] & FLAG_SETTLED;
	r->lost = in[AT_FLAGS] & FLAG_LOST;
	r->even = in[AT_FLAGS] & FLAG_EVEN;
	r->protocol = in[AT_PROTOCOL];
	r->span = in[AT_SPAN];
	memcpy(r->id, in + AT_ID, RELAY_ID_SIZE);
	r->version = load_be64(in + AT_VERSION);
	r->server = load_be16(in + AT_SERVER);
	r->owner = load_be32(in + AT_OWNER);
	r->created = load_be64(in + AT_CREATED);
	r->expires = load_be64(in + AT_EXPIRES);
}

bool relay_read(struct relay *r, const uint8_t *in, size_t len)
{
	struct relay found = {0};
	bool good = true;

	if (len < RELAY_RECORD_SIZE || in[AT_SPAN] < 1 || in[AT_SPAN] > RELAY_SPAN_MAX ||
			len != record_size(in[AT_SPAN]))
		return false;
	if (in[AT_FORMAT] != FORMAT || in[AT_FLAGS] & ~FLAGS || load_be16(in + AT_ZERO) != 0)
		return false;
	read_fixed(&found, in);
	for (unsigned side = 0; side < 2; side++) {
		good &= read_side(&found.side[side], in + AT_SIDES + side * SIDE_SIZE);
		for (unsigned offset = 0; offset < found.span; offset++)
			good &= read_leg(&found.side[side].leg[offset], in + leg_place(side, offset));
	}
	if (!good || !relay_sound(&found))
		return false;
	*r = found;
	return true;
}

/* ---- order ---- */

/* The first difference decides; the higher number is the greater one. */
#define HIGHER(a, b) (((a) > (b)) - ((a) < (b)))
#define DECIDE(order)                                                                              \
	do {                                                                                       \
		int order_ = (order);                                                              \
		if (order_)                                                                        \
			return order_;                                                             \
	} while (0)

static int given_order(const struct relay_side *a, const struct relay_side *b)
{
	DECIDE(HIGHER(a->kind, b->kind));
	DECIDE(HIGHER(a->v4, b->v4));
	DECIDE(HIGHER(a->given.port, b->given.port));
	return memcmp(a->given.ip, b->given.ip, 16);
}

/* The lower owner is the greater one: the operator before all others. */
static int request_order(const struct relay *a, const struct relay *b)
{
	DECIDE(HIGHER(b->owner, a->owner));
	DECIDE(HIGHER(a->protocol, b->protocol));
	DECIDE(HIGHER(a->span, b->span));
	DECIDE(HIGHER(a->even, b->even));
	DECIDE(given_order(&a->side[0], &b->side[0]));
	return given_order(&a->side[1], &b->side[1]);
}

/*
 * The controller's part.  What has been removed stays so, also if a server that was cut off
 * went on refreshing it.  A claim of any version gives way to what somebody has seen settled:
 * who drew ports again did not know that they had been told.  In one version: a longer life
 * before a shorter one, the lower server, the lower ports.
 */
static int version_order(const struct relay *a, const struct relay *b)
{
	uint64_t never = UINT64_MAX;

	DECIDE(HIGHER(a->removed, b->removed));
	DECIDE(HIGHER(a->settled, b->settled));
	DECIDE(HIGHER(a->version, b->version));
	DECIDE(HIGHER(a->lost, b->lost));
	DECIDE(HIGHER(a->created, b->created));
	DECIDE(HIGHER(a->expires ? a->expires : never, b->expires ? b->expires : never));
	DECIDE(HIGHER(b->server, a->server));
	DECIDE(HIGHER(b->side[0].port, a->side[0].port));
	return HIGHER(b->side[1].port, a->side[1].port);
}

static int leg_order(const struct relay_leg *a, const struct relay_leg *b)
{
	uint8_t bytes_a[LEG_SIZE], bytes_b[LEG_SIZE];

	DECIDE(HIGHER(a->generation, b->generation));
	DECIDE(HIGHER(b->server, a->server));
	write_leg(bytes_a, a);
	write_leg(bytes_b, b);
	return memcmp(bytes_a, bytes_b, LEG_SIZE);
}

bool relay_same_request(const struct relay *a, const struct relay *b)
{
	return request_order(a, b) == 0;
}

bool relay_equal(const struct relay *a, const struct relay *b)
{
	bool equal = memcmp(a->id, b->id, RELAY_ID_SIZE) == 0 && request_order(a, b) == 0 &&
		version_order(a, b) == 0;

	for (unsigned leg = 0; equal && leg < 2 * RELAY_SPAN_MAX; leg++)
		equal = leg_order(&a->side[leg % 2].leg[leg / 2], &b->side[leg % 2].leg[leg / 2]) == 0;
	return equal;
}

/* ---- merging ---- */

static void take_version(struct relay *a, const struct relay *b)
{
	a->version = b->version;
	a->server = b->server;
	a->settled = b->settled;
	a->removed = b->removed;
	a->lost = b->lost;
	a->created = b->created;
	a->expires = b->expires;
	a->side[0].port = b->side[0].port;
	a->side[1].port = b->side[1].port;
}

bool relay_merge(struct relay *a, const struct relay *b)
{
	int request = request_order(a, b);
	bool changed = false;

	if (request < 0)
		*a = *b;
	if (request != 0)
		return request < 0;
	if (version_order(a, b) < 0) {
		take_version(a, b);
		changed = true;
	}
	for (unsigned leg = 0; leg < 2 * RELAY_SPAN_MAX; leg++) {
		struct relay_leg *l = &a->side[leg % 2].leg[leg / 2];
		const struct relay_leg *other = &b->side[leg % 2].leg[leg / 2];

		if (leg_order(l, other) < 0) {
			*l = *other;
			changed = true;
		}
	}
	return changed;
}
