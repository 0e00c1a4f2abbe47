/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fail.h"
#include "ctx.h"
#include "mode/relay_entry.h"
#include "path/claim.h"
#include "path/uplinks.h"

#define ROUND_MAX_MS 1000

static void ring_bell(int fd)
{
	uint64_t one = 1;

	if (write(fd, &one, sizeof one) < 0) {
		/* EAGAIN: it has rung some 2^64 times and has not been heard, but will be */
	}
}

static void hear_bell(int fd)
{
	uint64_t count;

	if (read(fd, &count, sizeof count) < 0) {
		/* EAGAIN: it has not rung */
	}
}

/* ---- what the table and the slow path ask for; all under the table's lock ---- */

static void put_entry(struct relay_role *role, const struct relay *r, unsigned side, unsigned offset)
{
	struct relay_key key;
	struct relay_entry entry;
	int failed;

	relay_entry_make(r, side, offset, &entry, &key);
	failed = relay_bpf_put(role->bpf, &key, &entry);
	if (failed)
		log_limited(LOG_ERROR, 1, "relays: an entry of the fast path cannot be made: %s; see "
				"Entries in [Relay]", strerror(-failed));
}

static void delete_entry(struct relay_role *role, const struct relay *r, unsigned side,
		unsigned offset)
{
	struct relay_key key;
	struct relay_entry entry;

	relay_entry_make(r, side, offset, &entry, &key);
	relay_bpf_delete(role->bpf, &key);
}

static void put_entries(struct relay_role *role, const struct relay *r)
{
	for (unsigned i = 0; i < 2u * r->span; i++)
		put_entry(role, r, i % 2, i / 2);
}

static void remember(struct relay_ids *list, const struct relay *r)
{
	if (list->count == list->room) {
		size_t room = list->room ? 2 * list->room : 64;
		void *more = realloc(list->id, room * sizeof *list->id);

		if (!more) {
			log_limited(LOG_ERROR, 1, "relays: not enough memory to go on with one that has "
					"changed");
			return;
		}
		list->id = more;
		list->room = room;
	}
	memcpy(list->id[list->count++], r->id, RELAY_ID_SIZE);
}

/* A side that is sent packets unasked has answered, here or elsewhere: its host is no silent one. */
static void note_answers(struct relay_role *role, const struct relay *was, const struct relay *now)
{
	for (unsigned i = 0; i < 2u * now->span; i++) {
		const struct relay_side *side = &now->side[i % 2];
		unsigned offset = i / 2;

		if (relay_unanswered(&was->side[i % 2], offset) && relay_latched(side, offset))
			relay_bpf_heard(role->bpf, side->leg[offset].at.ip);
	}
}

static void changed(void *arg, const struct relay *was, const struct relay *now)
{
	struct relay_role *role = arg;
	struct instant at;

	if (!role->bpf)
		return; /* see put_one() */
	for (unsigned i = 0; was && i < 2u * was->span; i++) {
		unsigned side = i % 2;

		/* its ports may have been drawn again */
		if (!now || was->side[side].port != now->side[side].port)
			delete_entry(role, was, side, i / 2);
	}
	if (now)
		put_entries(role, now);
	if (was && now)
		note_answers(role, was, now);
	clock_read(&at);
	if (relay_input_changed(role->input, &at, was, now) || role->door.waiting_count)
		ring_bell(role->wake);
}

static void publish(void *arg, const struct relay *r)
{
	struct relay_role *role = arg;

	if (!role->dirty.count) /* who has heard that takes all */
		ring_bell(role->main_wake);
	remember(&role->dirty, r);
}

static void send_raw(struct relay_output *out, const uint8_t *packet, size_t len)
{
	struct relay_role *role = container_of(out, struct relay_role, out);

	if (raw_send(&role->raw, packet, len))
		role->unsent++;
}

static void ask(struct relay_output *out, bool v4, uint8_t protocol, uint16_t port)
{
	struct relay_role *role = container_of(out, struct relay_role, out);

	if (role->ask_count == RELAY_ASKS_MAX)
		return; /* the packet that wants it waits in vain, as if the question were lost */
	role->asks[role->ask_count++] = (struct relay_port){v4, protocol, port};
	ring_bell(role->main_wake);
}

static uint64_t passed(struct relay_output *out, bool v4, uint8_t protocol, uint16_t port)
{
	struct relay_role *role = container_of(out, struct relay_role, out);
	struct relay_key key = {.v4 = v4, .protocol = protocol, .port = htons(port)};
	uint64_t packets, bytes;

	return relay_bpf_counters(role->bpf, &key, &packets, &bytes) ? 0 : packets;
}

static bool admit(struct relay_output *out, const uint8_t ip[16])
{
	struct relay_role *role = container_of(out, struct relay_role, out);

	return relay_bpf_admit(role->bpf, ip);
}

/* In relay_bpf_poll(). */
static void up(void *arg, const struct relay_event *e)
{
	struct relay_role *role = arg;
	struct instant now;

	clock_read(&now);
	relay_input(role->input, &now, e);
}

/* ---- the thread ---- */

static int wait_ms(ticks due)
{
	struct instant now;

	clock_read(&now);
	if (due <= now.boot)
		return 0;
	return (int)MIN((due - now.boot) * 1000 / TICKS_PER_SEC + 1, ROUND_MAX_MS);
}

static void *relay_thread(void *arg)
{
	struct relay_role *role = arg;
	struct pollfd fds[] = {
		{.fd = relay_bpf_fd(role->bpf), .events = POLLIN},
		{.fd = role->wake, .events = POLLIN},
		{.fd = role->door.fd, .events = POLLIN}, /* -1: never */
	};
	ticks due = 0;
	bool more;

	while (!atomic_load(&role->stop)) {
		struct instant now;

		poll(fds, ARRAY_SIZE(fds), wait_ms(due));
		counter_add(&role->rounds, 1);
		if (fds[1].revents)
			hear_bell(role->wake);
		relays_lock(role->relays);
		more = relay_bpf_poll(role->bpf);
		clock_read(&now);
		due = relay_input_tick(role->input, &now);
		due = MIN(due, relays_tick(role->relays, &now));
		due = MIN(due, door_serve(&role->door, &now));
		due = more ? 0 : due;
		relays_unlock(role->relays);
	}
	return NULL;
}

/* ---- where relays may never lead ---- */

static void fill_deny_list(const struct daemon *d, struct relay_deny *deny)
{
	const struct conf *c = &d->conf;

	deny->count = c->relay_deny.count;
	memcpy(deny->list, c->relay_deny.list, c->relay_deny.count * sizeof deny->list[0]);
	deny->count += own_hosts(d, deny->list + deny->count);
}

/* ---- start and end ---- */

static int make_table(struct daemon *d, char error[SENTENCE])
{
	const struct conf *c = &d->conf;
	struct relay_role *role = &d->relay;
	struct relays_options o = {
		.server = c->number,
		.keys = &role->keys,
		.has_v4 = c->listen_v4,
		.has_v6 = c->listen_v6,
		.port_first = c->relay_ports.first,
		.port_last = c->relay_ports.last,
		.per_client = c->relay_per_client,
		.allow_private = c->relay_allow_private,
		.deny = role->deny.list,
		.changed = changed,
		.publish = publish,
		.arg = role,
	};
	struct relay_input_options in = {
		.server = c->number,
		.keys = &role->keys,
		.has_v4 = c->listen_v4,
		.has_v6 = c->listen_v6,
		.mss = c->relay_mss,
		.out = &role->out,
	};

	fill_deny_list(d, &role->deny);
	o.deny_count = role->deny.count;
	memcpy(o.anycast4, c->listen[FAMILY_V4].ip, 16);
	memcpy(o.anycast6, c->listen[FAMILY_V6].ip, 16);
	memcpy(in.anycast4, o.anycast4, 16);
	memcpy(in.anycast6, o.anycast6, 16);
	role->out = (struct relay_output){send_raw, ask, passed, admit};
	role->relays = relays_new(&o);
	in.relays = role->relays;
	role->input = role->relays ? relay_input_new(&in) : NULL;
	if (role->input)
		return 0;
	return fail(-ENOMEM, error, SENTENCE, "not enough memory for relays");
}

/* The program takes the place of what is there: that must be nobody's who lives. */
static int claim_uplinks(const struct conf_devices *uplinks, char error[SENTENCE])
{
	for (unsigned i = 0; i < uplinks->count; i++) {
		int failed = claim_take("uplink", uplinks->name[i]);

		if (failed == -EADDRINUSE)
			return fail(failed, error, SENTENCE, "relays of another anyrelayd come in at %s: "
					"stop it, or have no [Relay] in one of the two",
					uplinks->name[i]);
		if (failed)
			return fail(failed, error, SENTENCE, "uplink %s cannot be claimed: %s",
					uplinks->name[i], strerror(-failed));
	}
	return 0;
}

static int open_fast_path(struct daemon *d, char error[SENTENCE])
{
	const struct conf *c = &d->conf;
	struct relay_role *role = &d->relay;
	struct conf_devices uplinks = c->relay_uplinks;
	struct relay_config config = {
		.port_first = c->relay_ports.first,
		.port_last = c->relay_ports.last,
		.mss = c->relay_mss,
	};
	struct relay_bpf_options o = {
		.config = &config,
		.uplinks = uplinks.name,
		.entries = c->relay_entries,
		.up = up,
		.arg = role,
	};
	int failed;

	if (!uplinks.count)
		uplinks.count = uplinks_default(uplinks.name, ARRAY_SIZE(uplinks.name));
	if (!uplinks.count)
		return fail(-ENODEV, error, SENTENCE, "Uplinks is missing in [Relay], and no device has a "
				"default route: name the devices at which packets for relays come in");
	failed = claim_uplinks(&uplinks, error);
	if (failed)
		return failed;
	o.uplink_count = uplinks.count;
	if (c->listen_v4)
		memcpy(config.anycast4, c->listen[FAMILY_V4].ip + 12, sizeof config.anycast4);
	if (c->listen_v6)
		memcpy(config.anycast6, c->listen[FAMILY_V6].ip, sizeof config.anycast6);
	role->bpf = relay_bpf_open(&o, error, SENTENCE);
	return role->bpf ? 0 : -EIO;
}

static int open_door(struct daemon *d, char error[SENTENCE])
{
	static const char *const loopback[] = {"127.0.0.0/8", "::1/128"};
	const struct conf *c = &d->conf;
	struct door *door = &d->relay.door;
	struct rtpproxy *p = &door->rtpproxy;

	if (!c->rtpproxy.port)
		return 0;
	p->relays = d->relay.relays;
	p->lifetime = c->rtpproxy_lifetime;
	p->ports = c->relay_ports.last - c->relay_ports.first + 1u;
	p->keys = &d->relay.keys;
	memcpy(p->anycast4, c->listen[FAMILY_V4].ip, 16);
	memcpy(p->anycast6, c->listen[FAMILY_V6].ip, 16);
	for (size_t i = 0; i < ARRAY_SIZE(loopback); i++)
		prefix_parse(loopback[i], &door->allow[door->allow_count++]);
	for (unsigned i = 0; i < c->rtpproxy_allow.count; i++)
		door->allow[door->allow_count++] = c->rtpproxy_allow.list[i];
	return door_open(door, &c->rtpproxy, error, SENTENCE);
}

/* Of those that the registry has brought before there was a fast path. */
static void put_one(void *arg, const struct relay *r, unsigned state)
{
	if (state & RELAY_CARRIES)
		put_entries(arg, r);
}

static void open_desk(struct daemon *d)
{
	struct relay_desk *desk = &d->relay.desk;

	desk->relays = d->relay.relays;
	desk->keys = &d->relay.keys;
	memcpy(desk->anycast4, d->conf.listen[FAMILY_V4].ip, 16);
	memcpy(desk->anycast6, d->conf.listen[FAMILY_V6].ip, 16);
}

int relay_role_open(struct daemon *d, char error[SENTENCE])
{
	struct relay_role *role = &d->relay;
	int failed;

	if (!d->conf.relay_ports.first)
		return 0;
	role->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	role->main_wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (role->wake < 0 || role->main_wake < 0)
		return fail(-errno, error, SENTENCE, "relays: no descriptors: %s", strerror(errno));
	relay_keys_make(&role->keys, &d->conf.cluster);
	failed = raw_open(&role->raw, error, SENTENCE);
	if (!failed)
		failed = make_table(d, error);
	d->registry.relays = role->relays;
	return failed;
}

int relay_role_start(struct daemon *d, char error[SENTENCE])
{
	struct relay_role *role = &d->relay;
	int failed;

	if (!role->relays)
		return 0;
	failed = open_fast_path(d, error);
	if (!failed)
		failed = open_door(d, error);
	if (failed)
		return failed;
	relays_each(role->relays, put_one, role);
	relay_share_start(d);
	open_desk(d);
	return 0;
}

void relay_role_apply(struct daemon *d)
{
	struct relay_role *role = &d->relay;

	if (!role->relays)
		return;
	relays_lock(role->relays);
	fill_deny_list(d, &role->deny);
	relays_set_limits(role->relays, d->conf.relay_per_client, d->conf.relay_allow_private,
			role->deny.list, role->deny.count);
	relay_keys_make(&role->keys, &d->conf.cluster);
	relays_unlock(role->relays);
}

int relay_role_run(struct daemon *d, char error[SENTENCE])
{
	struct relay_role *role = &d->relay;
	int failed;

	if (!role->relays)
		return 0;
	failed = pthread_create(&role->thread, NULL, relay_thread, role);
	role->running = !failed;
	if (failed)
		snprintf(error, SENTENCE, "relays: no thread can be made: %s", strerror(failed));
	return -failed;
}

void relay_role_tick(struct daemon *d)
{
	if (d->relay.bpf)
		relay_bpf_tend(d->relay.bpf);
}

static void wake_thread(void *arg)
{
	const struct relay_role *role = arg;

	ring_bell(role->wake);
}

void relay_role_watch(struct daemon *d)
{
	struct relay_role *role = &d->relay;

	if (role->running)
		watchdog_watch(&d->watchdog, "the relay thread", &role->rounds, wake_thread, role);
}

void relay_role_figures(struct relay_role *role, struct relay_figures *f)
{
	relays_lock(role->relays);
	relays_count(role->relays, &f->table);
	relay_input_drops(role->input, f->drops);
	f->unsent = role->unsent;
	f->door_commands = role->door.commands;
	f->door_refused = role->door.refused;
	f->door_crowded = role->door.crowded;
	relays_unlock(role->relays);
	f->mesh = role->mesh.count;
	f->reattached = relay_bpf_reattached(role->bpf);
	f->entries = relay_bpf_entries(role->bpf);
	relay_bpf_totals(role->bpf, f->up, f->bpf_drops);
}

void relay_role_stop(struct daemon *d)
{
	struct relay_role *role = &d->relay;

	if (!role->running)
		return;
	atomic_store(&role->stop, true);
	ring_bell(role->wake);
	pthread_join(role->thread, NULL);
	role->running = false;
}

void relay_role_free(struct daemon *d)
{
	struct relay_role *role = &d->relay;

	if (!d->conf.relay_ports.first)
		return;
	door_close(&role->door);
	if (role->bpf)
		relay_bpf_close(role->bpf);
	relay_input_free(role->input);
	relays_free(role->relays);
	raw_close(&role->raw);
	free(role->dirty.id);
	if (role->wake > 0)
		close(role->wake);
	if (role->main_wake > 0)
		close(role->main_wake);
	wipe(&role->keys, sizeof role->keys);
}
