/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * A worker's loop: wait, read a batch from whatever is ready, flush, again.
 * While it waits it is offline to RCU, so that nobody waits for it.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/rcu.h"
#include "path/mode.h"
#include "path/xport.h"

#define EVENTS 16

/* What an epoll event is about. */
enum event_kind { EVENT_UDP, EVENT_DEVICE, EVENT_WAKE, EVENT_WATCH };
#define EVENT(kind, which) ((uint64_t)(kind) << 32 | (unsigned)(which))

const char *traffic_key(enum traffic t)
{
	static const char *const keys[] = {
#define X(name, key, text) [TRAFFIC_##name] = key,
		TRAFFIC_COUNTERS(X)
#undef X
	};
	return keys[t];
}

/* The core's own packets: copied, since they are borrowed only for the call. */
static void worker_send(struct output *out, const struct endpoint *to, const uint8_t *packet,
		size_t len)
{
	struct worker *w = (struct worker *)out;
	uint8_t *at = arena_take(w, len);

	memcpy(at, packet, len);
	w->path->xport->send_alone(w, to, at, len);
}

static int add_event(struct worker *w, int fd, uint64_t what)
{
	struct epoll_event e = {.events = EPOLLIN, .data.u64 = what};

	return epoll_ctl(w->epoll, EPOLL_CTL_ADD, fd, &e) ? -errno : 0;
}

struct worker *worker_new(struct path *p, unsigned id)
{
	struct worker *w = aligned_alloc(64, (sizeof *w + 63) / 64 * 64);

	if (!w)
		return NULL;
	memset(w, 0, sizeof *w);
	w->output.send = worker_send;
	w->path = p;
	w->id = id;
	w->udp[FAMILY_V4] = w->udp[FAMILY_V6] = -1;
	w->device[DEVICE_TUN] = w->device[DEVICE_TAP] = -1;
	w->epoll = epoll_create1(EPOLL_CLOEXEC);
	w->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->in = aligned_alloc(64, (sizeof *w->in + 63) / 64 * 64);
	w->gro_buffer = aligned_alloc(64, GRO_BUFFER);
	w->frame = aligned_alloc(64, FRAME_ROOM);
	w->arena = aligned_alloc(64, ARENA_SIZE);
	w->pieces = calloc(1, sizeof *w->pieces);
	if (w->epoll < 0 || w->wake < 0 || !w->in || !w->gro_buffer || !w->frame || !w->arena ||
			!w->pieces || add_event(w, w->wake, EVENT(EVENT_WAKE, 0))) {
		worker_free(w);
		return NULL;
	}
	udp_receiver_init(w->in);
	return w;
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

void worker_free(struct worker *w)
{
	if (!w)
		return;
	/* The device first: an anycast address on it must not outlive the sockets. */
	for (int i = 0; i < DEVICE_COUNT; i++)
		close_fd(w->device[i]);
	for (int i = 0; i < FAMILY_COUNT; i++) {
		close_fd(w->udp[i]);
		free(w->out[i]);
	}
	close_fd(w->epoll);
	close_fd(w->wake);
	free(w->in);
	free(w->gro_buffer);
	free(w->frame);
	free(w->arena);
	free(w->pieces);
	free(w);
}

int worker_watch(struct worker *w, int fd, void (*ready)(void *arg, struct worker *w), void *arg)
{
	for (unsigned i = 0; i < WATCHES_MAX; i++) {
		if (i < w->watch_count && w->watch[i].ready)
			continue;
		w->watch[i] = (struct watch){fd, ready, arg};
		w->watch_count = MAX(w->watch_count, i + 1);
		return add_event(w, fd, EVENT(EVENT_WATCH, i));
	}
	return -ENOSPC;
}

void worker_unwatch(struct worker *w, int fd)
{
	for (unsigned i = 0; i < w->watch_count; i++)
		if (w->watch[i].ready && w->watch[i].fd == fd) {
			epoll_ctl(w->epoll, EPOLL_CTL_DEL, fd, NULL);
			w->watch[i] = (struct watch){.fd = -1};
		}
}

void worker_wake(struct worker *w)
{
	uint64_t one = 1;

	if (write(w->wake, &one, sizeof one) < 0)
		return; /* it is full: the worker is awake */
}

uint8_t *arena_take(struct worker *w, size_t n)
{
	uint8_t *at;

	if (w->arena_used + n > ARENA_SIZE)
		worker_flush(w);
	at = w->arena + w->arena_used;
	w->arena_used += n;
	return at;
}

void worker_flush(struct worker *w)
{
	w->path->xport->flush(w);
	w->arena_used = 0;
}

/*
 * A client without a session leaves packets in the device's queue, where they
 * wait; one of them being there is what makes it want a session.
 */
static void pause_device(struct worker *w, bool pause)
{
	struct epoll_event e = {.events = pause ? 0 : EPOLLIN};

	if (w->device_paused == pause)
		return;
	w->device_paused = pause;
	for (int d = 0; d < DEVICE_COUNT; d++) {
		e.data.u64 = EVENT(EVENT_DEVICE, d);
		if (w->device[d] >= 0)
			epoll_ctl(w->epoll, EPOLL_CTL_MOD, w->device[d], &e);
	}
}

static void device_ready(struct worker *w, enum device dev)
{
	if (w->path->uplink && !uplink_ready(w->path->uplink, &w->now, &w->output)) {
		pause_device(w, true);
		w->deadline = 0;
		return;
	}
	receive_device(w, dev);
}

void worker_do(struct worker *w, void (*run)(void *arg, struct worker *w), void *arg)
{
	struct worker_call call = {.run = run, .arg = arg};

	sem_init(&call.done, 0, 0);
	atomic_store_explicit(&w->call, &call, memory_order_release);
	worker_wake(w);
	while (sem_wait(&call.done) != 0)
		; /* interrupted by a signal */
	sem_destroy(&call.done);
}

static void answer_wake(struct worker *w)
{
	struct worker_call *call;
	uint64_t n;

	if (read(w->wake, &n, sizeof n) < 0)
		return; /* this wake-up was counted in an earlier one */
	call = atomic_exchange_explicit(&w->call, NULL, memory_order_acquire);
	if (!call)
		return;
	call->run(call->arg, w);
	sem_post(&call->done);
}

static void dispatch(struct worker *w, uint64_t what, uint32_t events)
{
	unsigned which = (uint32_t)what;

	switch ((enum event_kind)(what >> 32)) {
	case EVENT_UDP:
		if (unlikely(events & EPOLLERR))
			w->path->xport->errors(w, (enum family)which);
		receive_udp(w, (enum family)which);
		break;
	case EVENT_DEVICE:
		device_ready(w, (enum device)which);
		break;
	case EVENT_WAKE:
		answer_wake(w);
		break;
	case EVENT_WATCH:
		if (w->watch[which].ready)
			w->watch[which].ready(w->watch[which].arg, w);
		break;
	}
}

/* Milliseconds until the deadline, rounded up; -1 without one. */
static int wait_time(const struct worker *w)
{
	struct instant now;

	if (!w->timer)
		return -1;
	clock_read(&now);
	if (w->deadline <= now.boot)
		return 0;
	return (int)MIN((w->deadline - now.boot) * 1000 / TICKS_PER_SEC + 1, 1000);
}

static int wait_for_events(struct worker *w, struct epoll_event *events)
{
	int n = epoll_wait(w->epoll, events, EVENTS, 0);

	if (n != 0)
		return n;
	rcu_offline();
	n = epoll_wait(w->epoll, events, EVENTS, wait_time(w));
	rcu_online();
	return n;
}

static void round_of_work(struct worker *w)
{
	struct epoll_event events[EVENTS];
	int n = wait_for_events(w, events);

	clock_read(&w->now);
	count(w, TRAFFIC_LOOPS, 1);
	for (int i = 0; i < n; i++)
		dispatch(w, events[i].data.u64, events[i].events);
	if (w->path->uplink)
		w->deadline = MIN(w->deadline, uplink_deadline(w->path->uplink, &w->now));
	if (w->timer && w->now.boot >= w->deadline)
		w->deadline = w->timer(w->timer_arg, w);
	if (w->path->uplink && w->device_paused && w->path->uplink->newest)
		pause_device(w, false);
	worker_flush(w);
	tx_run_end(&w->run);
	rcu_quiescent();
}

static int add_path_events(struct worker *w)
{
	int failed = 0;

	for (int f = 0; f < FAMILY_COUNT; f++)
		if (w->udp[f] >= 0)
			failed |= add_event(w, w->udp[f], EVENT(EVENT_UDP, f));
	for (int d = 0; d < DEVICE_COUNT; d++)
		if (w->device[d] >= 0)
			failed |= add_event(w, w->device[d], EVENT(EVENT_DEVICE, d));
	return failed;
}

void worker_run(struct worker *w)
{
	rcu_register();
	if (add_path_events(w) == 0)
		while (!atomic_load_explicit(&w->path->stop, memory_order_relaxed))
			round_of_work(w);
	rcu_unregister();
}

void path_count(const struct path *p, struct counters *sum)
{
	const uint64_t *from;
	uint64_t *to = (uint64_t *)sum;

	memset(sum, 0, sizeof *sum);
	for (unsigned i = 0; i < p->worker_count; i++) {
		from = (const uint64_t *)&p->worker[i]->counters;
		for (size_t k = 0; k < sizeof *sum / sizeof *to; k++)
			to[k] += counter_read(&from[k]);
	}
}
