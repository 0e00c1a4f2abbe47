/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Telling the cluster where we are, and finding the path MTU of both
 * directions (PROTOCOL.md, "Where the client is", "Path MTU").
 */
#include "proto/uplink_internal.h"

#define CLOCK_NOISE TICKS_MS(250)
#define DIFFER_FOR  TICKS_S(600)
#define PATIENCE    TICKS_S(10) /* of servers with packets that are late; they have 30 s */
#define PROBE_ROOM  1600
#define ASK_PLAIN   96         /* enough for an answer and a challenge (server_path.c) */
#define NO_PROBE    UINT32_MAX /* an id that the search never has: it proves no size */
/* Before a session's end: servers accept it from one epoch ahead of its own on. */
#define SESSION_MAX TICKS_S(3 * EPOCH_SECONDS)

/*
 * ---- HELLO ----
 *
 * Several may be under way, and say different things.  An acknowledgement names
 * the one that it answers, and counts if that already said all that is to be said.
 */

ticks uplink_interval(struct uplink *u, unsigned n)
{
	if (n <= 3)
		return TICKS_MS(200u << (n - 1));
	return uplink_jitter(u, TICKS_S(2u << MIN(n - 4, 3)));
}

static size_t hello_compose(struct uplink *u, const struct instant *now, uint8_t plain[HELLO_MAX])
{
	struct hello h = {
		.kind = u->hello.kind,
		.address = u->hello.address,
		.down_mtu = pmtu_value(&u->down, now->boot),
		.keepalive = u->o.keepalive,
		.group_count = u->group_count,
		.mac_count = u->mac_count,
	};

	memcpy(h.cookie, u->hello.cookie, COOKIE_SIZE);
	memcpy(h.groups, u->groups, sizeof h.groups);
	memcpy(h.macs, u->macs, sizeof h.macs);
	if (h.down_mtu != u->told_down)
		u->hello.first = u->newest->tx.next;
	u->told_down = h.down_mtu;
	u->events[UPLINK_EV_HELLOS]++;
	return hello_write(plain, &h);
}

static void hello_send(struct uplink *u, const struct instant *now, struct output *out)
{
	uint8_t room[HEADER_SIZE + HELLO_MAX + UPSTREAM_MIN + TAG_SIZE];

	uplink_send(u, now, room + HEADER_SIZE, hello_compose(u, now, room + HEADER_SIZE), out);
}

/* header | n u16 | ticket n | ciphertext | tag: all before the ciphertext is associated data. */
static void send_ticket(struct uplink *u, const struct instant *now, struct output *out)
{
	struct uplink_session *s = u->newest;
	uint8_t packet[HEADER_SIZE + 2 + TICKET_MAX + HELLO_MAX + TAG_SIZE];
	uint8_t plain[HELLO_MAX], nonce[NONCE_SIZE];
	struct header h = s->tx.header;
	size_t ad_len = HEADER_SIZE + 2 + s->ticket_len, len = hello_compose(u, now, plain);
	struct tx_run run = {0};

	if (!tx_number(&run, &s->tx, 1, &u->o.limits, &h.number))
		return;
	h.type = s->aead == AEAD_AES_256_GCM ? WIRE_TICKET_UP : WIRE_TICKET_UP_CHACHA;
	h.t = uplink_time(u, now);
	header_store(packet, &h);
	store_be16(packet + HEADER_SIZE, s->ticket_len);
	memcpy(packet + HEADER_SIZE + 2, s->ticket, s->ticket_len);
	packet_nonce(nonce, s->tx.iv, h.t, h.number);
	aead_seal(&s->tx.key, nonce, packet, ad_len, plain, len, packet + ad_len);
	tx_count(&s->tx, len, 1);
	u->events[UPLINK_EV_TICKETS]++;
	u->last_sent = now->boot;
	out->send(out, uplink_server(u), packet, ad_len + len + TAG_SIZE);
}

void hello_with_ticket(struct uplink *u, const struct instant *now, struct output *out)
{
	send_ticket(u, now, out);
	u->hello.first = u->newest->tx.next;
	u->hello.pending = true;
	u->hello.tries = 1; /* the ticket was the first; by the next the server has read it */
	u->hello.next = now->boot + uplink_interval(u, u->hello.tries);
}

static void hello_now(struct uplink *u, const struct instant *now, struct output *out)
{
	u->hello.tries++;
	u->hello.next = now->boot + uplink_interval(u, u->hello.tries);
	hello_send(u, now, out);
}

void hello_begin(struct uplink *u, const struct instant *now, uint8_t kind,
		const struct endpoint *address, const uint8_t cookie[COOKIE_SIZE],
		struct output *out)
{
	u->hello.pending = u->hello.known = true;
	u->hello.kind = kind;
	u->hello.address = *address;
	memcpy(u->hello.cookie, cookie, COOKIE_SIZE);
	u->hello.first = u->newest->tx.next;
	u->hello.tries = 0;
	hello_now(u, now, out);
}

void hello_again(struct uplink *u, const struct instant *now, struct output *out)
{
	if (!u->newest || !u->hello.known)
		return;
	u->hello.first = u->newest->tx.next;
	u->hello.pending = true; /* the kind stays: the cookie was made for it */
	u->hello.tries = 0;
	hello_now(u, now, out);
}

/*
 * Less is told at once; more when the search has ended, since each HELLO that
 * changes something is a write to the registry.
 */
static bool down_mtu_changed(const struct uplink *u, ticks now)
{
	uint16_t value = pmtu_value(&u->down, now);

	return value < u->told_down || (value > u->told_down && !u->down.size);
}

void hello_step(struct uplink *u, const struct instant *now, struct output *out)
{
	if (!u->newest)
		return;
	if (u->hello.pending && now->boot >= u->hello.next)
		hello_now(u, now, out);
	else if (!u->hello.pending && down_mtu_changed(u, now->boot))
		hello_again(u, now, out);
}

void uplink_set_groups(struct uplink *u, const struct instant *now, uint8_t groups[][16],
		unsigned count, struct output *out)
{
	count = MIN(count, GROUPS_MAX);
	if (count == u->group_count && !memcmp(groups, u->groups, 16u * count))
		return;
	memcpy(u->groups, groups, 16u * count);
	u->group_count = (uint8_t)count;
	hello_again(u, now, out);
}

void uplink_set_macs(struct uplink *u, const struct instant *now, uint8_t macs[][MAC_ADDR_SIZE],
		unsigned count, struct output *out)
{
	count = MIN(count, MACS_MAX);
	if (count == u->mac_count && !memcmp(macs, u->macs, MAC_ADDR_SIZE * (size_t)count))
		return;
	memcpy(u->macs, macs, MAC_ADDR_SIZE * (size_t)count);
	u->mac_count = (uint8_t)count;
	hello_again(u, now, out);
}

/* ---- what servers say ---- */

/*
 * The server's clock, as of half a round trip ago.  Ours follows it forward, so that
 * servers need not be patient with us.  If another one then says that we are ahead, it
 * is they that differ: to follow each would be a handshake for each.  So we stay where
 * we are for a while, and the challenge teaches the server to be patient.
 */
static void correct_clock(struct uplink *u, const struct instant *now, ticks server_time)
{
	int64_t offset = (int64_t)(server_time + u->rtt / 2 - now->boot);
	int64_t forward = offset - u->offset;

	if (forward > -(int64_t)CLOCK_NOISE && forward < (int64_t)CLOCK_NOISE)
		return;
	if (forward < -(int64_t)TICKS_PER_SEC) {
		/* or this challenge was long under way: a handshake measures which of the two */
		handshake_want(u, now);
		if (u->followed)
			u->differ = now->boot + DIFFER_FOR;
	} else if (now->boot >= u->differ || forward > (int64_t)PATIENCE) {
		u->offset = offset;
		u->followed = forward > 0;
	}
}

static enum drop take_challenge(struct uplink *u, const struct instant *now,
		const struct uplink_session *s, const uint8_t *plain, size_t len,
		struct output *out)
{
	struct challenge c;

	if (!challenge_read(&c, plain, len) || c.time >= s->end ||
			s->end - c.time > SESSION_MAX)
		return DROP_MALFORMED;
	u->events[UPLINK_EV_CHALLENGES]++;
	if (s != u->newest) { /* there we are known already, or will be: show it where it counts */
		uplink_keepalive(u, now, out);
		return DROP_NONE;
	}
	if (c.kind == KIND_TIME)
		correct_clock(u, now, c.time);
	hello_begin(u, now, c.kind, &c.address, c.cookie, out);
	return DROP_NONE;
}

static enum drop take_hello_ack(struct uplink *u, struct uplink_session *s, const uint8_t *plain,
		size_t len)
{
	struct hello_ack ack;

	if (!hello_ack_read(&ack, plain, len))
		return DROP_MALFORMED;
	if (s != u->newest || !u->hello.pending || ack.number >= s->tx.next)
		return DROP_STALE;
	s->confirmed = true;
	u->hello.pending = ack.number < u->hello.first;
	return DROP_NONE;
}

/* ---- path MTU ---- */

static enum drop take_probe_ack(struct uplink *u, const struct instant *now, const uint8_t *plain,
		size_t len)
{
	struct probe_ack ack;

	if (!probe_ack_read(&ack, plain, len))
		return DROP_MALFORMED;
	pmtu_heard(&u->up, ack.sender, now->boot);
	pmtu_proven(&u->up, ack.sender, ack.size, ack.id, now->boot);
	return DROP_NONE;
}

/* A probe proves what has arrived, not what it says. */
static enum drop take_probe(struct uplink *u, const struct instant *now, const struct datagram *d,
		const uint8_t *plain, size_t len)
{
	struct probe probe;
	size_t outer = d->len + outer_overhead(addr_is_v4(d->from->ip));

	if (!probe_read(&probe, plain, len) || outer > PMTU_FIRST)
		return DROP_MALFORMED;
	pmtu_heard(&u->down, d->data + HEADER_TO, now->boot);
	pmtu_proven(&u->down, d->data + HEADER_TO, (uint16_t)outer, probe.id, now->boot);
	return DROP_NONE;
}

/* A probe of this outer size, or, down, the wish for one. */
static void send_probe(struct uplink *u, const struct instant *now, enum control_message which,
		uint16_t size, uint32_t id, struct output *out)
{
	uint8_t room[PROBE_ROOM] = {0};
	struct probe probe = {.size = size, .id = id};
	size_t len = probe_write(room + HEADER_SIZE, which, &probe);

	if (which == CONTROL_PROBE)
		len = size - outer_overhead(addr_is_v4(uplink_server(u)->ip)) - PACKET_OVERHEAD;
	u->events[UPLINK_EV_PROBES]++;
	uplink_send(u, now, room + HEADER_SIZE, len, out);
}

void ask_for_server(struct uplink *u, const struct instant *now, struct output *out)
{
	uint8_t room[HEADER_SIZE + ASK_PLAIN + TAG_SIZE] = {0};
	struct probe probe = {.size = ASK_PLAIN + PACKET_OVERHEAD, .id = NO_PROBE};

	probe.size += (uint16_t)outer_overhead(addr_is_v4(uplink_server(u)->ip));
	probe_write(room + HEADER_SIZE, CONTROL_PROBE, &probe);
	u->events[UPLINK_EV_ASKED]++;
	uplink_send(u, now, room + HEADER_SIZE, ASK_PLAIN, out);
}

void probe_step(struct uplink *u, const struct instant *now, struct output *out)
{
	uint16_t size;
	uint32_t id;

	if (!u->newest || !u->newest->confirmed)
		return;
	size = pmtu_step(&u->up, now->boot, u->rtt, &id);
	if (size)
		send_probe(u, now, CONTROL_PROBE, size, id, out);
	size = pmtu_step(&u->down, now->boot, u->rtt, &id);
	if (size)
		send_probe(u, now, CONTROL_PROBE_REQ, size, id, out);
}

enum drop uplink_control(struct uplink *u, const struct instant *now, struct uplink_session *s,
		const struct datagram *d, const uint8_t *plain, size_t len, struct output *out)
{
	switch (plain[0] & 0x0f) {
	case CONTROL_CHALLENGE:
		return take_challenge(u, now, s, plain, len, out);
	case CONTROL_HELLO_ACK:
		return take_hello_ack(u, s, plain, len);
	case CONTROL_PROBE:
		return take_probe(u, now, d, plain, len);
	case CONTROL_PROBE_ACK:
		return take_probe_ack(u, now, plain, len);
	case CONTROL_PROBE_REQ: /* from a server: it was told that packets to us are too big */
		pmtu_doubt(&u->down, now->boot);
		return DROP_NONE;
	case CONTROL_RELAY_ANSWER:
		return relay_take_answer(u, now, plain, len);
	default:
		return DROP_MALFORMED;
	}
}
