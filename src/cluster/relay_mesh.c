/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "cluster/relay_mesh.h"

#define PORT_SIZE (1 + 1 + 1 + 2)

void relay_mesh_init(struct relay_mesh *m, const struct relay_mesh_options *o)
{
	*m = (struct relay_mesh){.o = *o};
}

/* ---- messages ---- */

size_t relay_port_write(uint8_t out[RELAY_MESH_MAX], enum relay_mesh_message type,
		const struct relay_port *port)
{
	struct writer w = writer_over(out, RELAY_MESH_MAX);

	write_u8(&w, (uint8_t)type);
	write_u8(&w, port->v4 ? 4 : 6);
	write_u8(&w, port->protocol);
	write_u16(&w, port->port);
	return (size_t)(w.at - out);
}

bool relay_port_read(struct relay_port *port, const uint8_t *message, size_t len)
{
	struct reader r = reader_over(message, len);
	uint8_t family, protocol;
	uint16_t number;

	read_u8(&r);
	family = read_u8(&r);
	protocol = read_u8(&r);
	number = read_u16(&r);
	if (r.bad || (family != 4 && family != 6) || number == 0 ||
			(protocol != RELAY_TCP && protocol != RELAY_UDP))
		return false;
	*port = (struct relay_port){family == 4, protocol, number};
	return true;
}

static bool within(struct relay_mesh *m, struct relay_rate *rate, const struct instant *now,
		unsigned limit)
{
	uint64_t second = now->boot / TICKS_PER_SEC;

	if (rate->second != second)
		*rate = (struct relay_rate){.second = second};
	if (rate->count < limit) {
		rate->count++;
		return true;
	}
	m->count.limited++;
	return false;
}

static void send_record(struct relay_mesh *m, uint16_t to, const struct relay *r)
{
	uint8_t message[RELAY_MESH_MAX] = {RELAY_MESH_RECORD};
	size_t len = relay_write(message + 1, r);

	if (len)
		m->o.send(m->o.arg, to, message, 1 + len);
}

void relay_mesh_publish(struct relay_mesh *m, const struct relay *r)
{
	uint16_t living[SERVERS_MAX];
	unsigned count = m->o.living(m->o.arg, living);

	for (unsigned i = 0; i < count; i++)
		send_record(m, living[i], r);
}

/* ---- asking ---- */

static bool same_port(const struct relay_port *a, const struct relay_port *b)
{
	return a->v4 == b->v4 && a->protocol == b->protocol && a->port == b->port;
}

static struct relay_question_open *find_question(struct relay_mesh *m, const struct instant *now,
		const struct relay_port *port)
{
	for (unsigned i = 0; i < RELAY_QUESTIONS; i++)
		if (m->question[i].until > now->boot && same_port(&m->question[i].port, port))
			return &m->question[i];
	return NULL;
}

static struct relay_question_open *free_question(struct relay_mesh *m, const struct instant *now)
{
	for (unsigned i = 0; i < RELAY_QUESTIONS; i++)
		if (m->question[i].until <= now->boot)
			return &m->question[i];
	m->count.limited++;
	return NULL;
}

static void nobody_knows(struct relay_mesh *m, struct relay_question_open *q)
{
	q->until = 0;
	m->count.nobody++;
}

void relay_mesh_ask(struct relay_mesh *m, const struct instant *now, const struct relay_port *port)
{
	uint8_t message[RELAY_MESH_MAX];
	size_t len = relay_port_write(message, RELAY_MESH_ASK, port);
	struct relay_question_open *q;
	uint16_t living[SERVERS_MAX];
	unsigned count;

	if (find_question(m, now, port))
		return;
	q = free_question(m, now);
	if (!q || !within(m, &m->asks, now, RELAY_ASK_RATE))
		return;
	m->count.asked++;
	*q = (struct relay_question_open){.port = *port, .until = now->boot + RELAY_QUESTION_LIFE};
	count = q->waits = m->o.living(m->o.arg, living);
	memcpy(q->from, living, count * sizeof living[0]);
	for (unsigned i = 0; i < count; i++)
		m->o.send(m->o.arg, living[i], message, len);
	if (count == 0)
		nobody_knows(m, q);
}

/* ---- being told ---- */

/* Who has said something that we know better hears it; it ends when both have the same. */
static void take_record(struct relay_mesh *m, const struct instant *now, uint16_t from,
		const uint8_t *message, size_t len)
{
	struct relay_rate *rate = &m->answers[from % SERVERS_MAX];
	const struct relay *known;
	struct relay r, ours = {0};

	if (!relay_read(&r, message + 1, len - 1)) {
		m->count.malformed++;
		return;
	}
	m->count.records++;
	relays_lock(m->o.relays);
	if (relays_learn(m->o.relays, now, &r) == RELAY_NEWS_MORE) {
		known = relays_known(m->o.relays, r.id);
		if (known)
			ours = *known;
	}
	relays_unlock(m->o.relays);
	if (ours.version && within(m, rate, now, RELAY_ANSWER_RATE))
		send_record(m, from, &ours);
}

static void answer(struct relay_mesh *m, const struct instant *now, uint16_t from,
		const struct relay_port *port)
{
	uint8_t message[RELAY_MESH_MAX];
	const struct relay *known;
	struct relay r = {0};
	unsigned side, offset;

	if (!within(m, &m->answers[from % SERVERS_MAX], now, RELAY_ANSWER_RATE))
		return;
	relays_lock(m->o.relays);
	known = relays_at(m->o.relays, now, port->v4, port->protocol, port->port, &side, &offset);
	if (known)
		r = *known;
	relays_unlock(m->o.relays);
	m->count.answers += r.version != 0;
	if (r.version)
		send_record(m, from, &r);
	else
		m->o.send(m->o.arg, from, message, relay_port_write(message, RELAY_MESH_NONE, port));
}

static void take_none(struct relay_mesh *m, const struct instant *now, uint16_t from,
		const struct relay_port *port)
{
	struct relay_question_open *q = find_question(m, now, port);

	for (unsigned i = 0; q && i < q->waits; i++) {
		if (q->from[i] != from)
			continue;
		q->from[i] = q->from[--q->waits];
		if (q->waits == 0)
			nobody_knows(m, q);
		return;
	}
}

bool relay_mesh_receive(struct relay_mesh *m, const struct instant *now, uint16_t from,
		const uint8_t *message, size_t len)
{
	struct relay_port port;

	if (len == 0 || message[0] < RELAY_MESH_RECORD || message[0] > RELAY_MESH_NONE)
		return false;
	if (message[0] == RELAY_MESH_RECORD)
		take_record(m, now, from, message, len);
	else if (!relay_port_read(&port, message, len))
		m->count.malformed++;
	else if (message[0] == RELAY_MESH_ASK)
		answer(m, now, from, &port);
	else
		take_none(m, now, from, &port);
	return true;
}
