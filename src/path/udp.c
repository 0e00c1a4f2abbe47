/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "path/udp.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fail.h"

#define SOCKET_BUFFER (8 * 1024 * 1024)
#define FULL_WAIT_MS  5

/* ---- socket ---- */

struct option {
	int level, name, value;
	const char *text;
};

static const struct option options_v4[] = {
		{IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE, "IP_MTU_DISCOVER"},
		{IPPROTO_IP, IP_RECVTOS, 1, "IP_RECVTOS"},
		{IPPROTO_IP, IP_RECVERR, 1, "IP_RECVERR"},
		{IPPROTO_UDP, UDP_GRO, 1, "UDP_GRO"},
		{0},
};

static const struct option options_v6[] = {
		{IPPROTO_IPV6, IPV6_V6ONLY, 1, "IPV6_V6ONLY"},
		{IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE, "IPV6_MTU_DISCOVER"},
		{IPPROTO_IPV6, IPV6_RECVTCLASS, 1, "IPV6_RECVTCLASS"},
		{IPPROTO_IPV6, IPV6_RECVERR, 1, "IPV6_RECVERR"},
		/* A changed label would move a flow to another anycast server where routers hash it. */
		{IPPROTO_IPV6, IPV6_AUTOFLOWLABEL, 0, "IPV6_AUTOFLOWLABEL"},
		{IPPROTO_UDP, UDP_GRO, 1, "UDP_GRO"},
		{0},
};

/* As much as we may: FORCE goes beyond net.core.[rw]mem_max but takes CAP_NET_ADMIN. */
static void set_buffers(int fd)
{
	int size = SOCKET_BUFFER;

	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) != 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) != 0)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
}

static int share_port(int fd, char *error, size_t size)
{
	const int on = 1;

	if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0)
		return 0;
	return fail(-errno, error, size, "cannot prepare a UDP socket: %s", strerror(errno));
}

static int set_options(int fd, bool v4, struct udp_options wanted, char *error, size_t size)
{
	const int on = 1;

	for (const struct option *o = v4 ? options_v4 : options_v6; o->text; o++) {
		if (setsockopt(fd, o->level, o->name, &o->value, sizeof o->value) != 0) {
			int result = -errno;

			snprintf(error, size, "cannot set %s on a UDP socket (%s): anyrelay needs "
					"Linux 5.10 or later", o->text, strerror(-result));
			return result;
		}
	}
	if (wanted.free_bind && setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof on) != 0)
		return fail(-errno, error, size, "cannot prepare a UDP socket: %s", strerror(errno));
	set_buffers(fd);
	return 0;
}

static int bind_to(int fd, const struct endpoint *local, char *error, size_t error_size)
{
	struct sockaddr_storage ss;
	socklen_t len = endpoint_to_sockaddr(local, &ss);
	char text[ENDPOINT_TEXT];
	int code;

	if (bind(fd, (struct sockaddr *)&ss, len) == 0)
		return 0;
	code = errno;
	endpoint_format(local, text);
	switch (code) {
	case EADDRINUSE:
		snprintf(error, error_size, "cannot listen on UDP %s: another program uses that port; "
				"stop it or choose another Port", text);
		break;
	case EADDRNOTAVAIL:
		snprintf(error, error_size, "cannot listen on UDP %s: that address is not on this "
				"machine", text);
		break;
	case EACCES:
		snprintf(error, error_size, "cannot listen on UDP %s: ports below 1024 take root; "
				"start as root or choose another Port", text);
		break;
	default:
		snprintf(error, error_size, "cannot listen on UDP %s: %s", text, strerror(code));
	}
	return -code;
}

/*
 * With SO_REUSEPORT the port can be had beside all others of our user that have it set, those
 * of another daemon too.  So the first socket is bound without it.
 */
static int share_and_bind(int fd, const struct endpoint *local, struct udp_options options,
		char *error, size_t error_size)
{
	int result = 0;

	if (options.reuse_port && !options.first)
		result = share_port(fd, error, error_size);
	if (result == 0)
		result = bind_to(fd, local, error, error_size);
	if (result == 0 && options.reuse_port && options.first)
		result = share_port(fd, error, error_size);
	return result;
}

int udp_open(const struct endpoint *local, struct udp_options options, char *error,
		size_t error_size)
{
	bool v4 = addr_is_v4(local->ip);
	int result, fd = socket(v4 ? AF_INET : AF_INET6,
			SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0) {
		result = -errno;
		snprintf(error, error_size, "cannot make a UDP socket for IPv%d: %s", v4 ? 4 : 6,
				strerror(-result));
		return result;
	}
	result = set_options(fd, v4, options, error, error_size);
	if (result == 0)
		result = share_and_bind(fd, local, options, error, error_size);
	if (result != 0) {
		close(fd);
		return result;
	}
	return fd;
}

bool udp_queue_read(int fd, struct udp_queue *q)
{
	uint32_t info[SK_MEMINFO_VARS];
	socklen_t len = sizeof info;

	if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &len) != 0 || len != sizeof info)
		return false;
	*q = (struct udp_queue){info[SK_MEMINFO_RMEM_ALLOC], info[SK_MEMINFO_RCVBUF],
			info[SK_MEMINFO_DROPS]};
	return true;
}

/* ---- receiving ---- */

void udp_receiver_init(struct udp_receiver *r)
{
	r->count = 0;
	for (unsigned i = 0; i < UDP_BATCH; i++) {
		r->message[i] = (struct udp_message){.data = r->buffer[i]};
		r->iov[i] = (struct iovec){r->buffer[i], UDP_BUFFER};
		r->header[i] = (struct mmsghdr){0};
		r->header[i].msg_hdr.msg_name = &r->name[i];
		r->header[i].msg_hdr.msg_iov = &r->iov[i];
		r->header[i].msg_hdr.msg_iovlen = 1;
		r->header[i].msg_hdr.msg_control = r->control[i];
	}
}

/* Segment size and TOS of a message, from its control messages. */
static void read_control(struct udp_message *m, struct msghdr *h)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		int value;

		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) {
			m->tos = *(const uint8_t *)CMSG_DATA(c); /* one byte, unlike all others */
			continue;
		}
		if (c->cmsg_len < CMSG_LEN(sizeof value))
			continue;
		memcpy(&value, CMSG_DATA(c), sizeof value);
		if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS)
			m->tos = (uint8_t)value;
		else if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO && value > 0)
			m->segment = (uint16_t)value;
	}
}

int udp_receive(struct udp_receiver *r, int fd)
{
	int n;

	for (unsigned i = 0; i < UDP_BATCH; i++) { /* the kernel has written the last one's there */
		r->header[i].msg_hdr.msg_namelen = sizeof r->name[i];
		r->header[i].msg_hdr.msg_controllen = sizeof r->control[i];
	}
	r->count = 0;
	do
		n = recvmmsg(fd, r->header, UDP_BATCH, MSG_DONTWAIT, NULL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	r->count = (unsigned)n;
	for (unsigned i = 0; i < r->count; i++) {
		struct udp_message *m = &r->message[i];

		m->len = r->header[i].msg_len;
		m->segment = (uint16_t)m->len;
		m->tos = 0;
		endpoint_from_sockaddr(&m->from, (struct sockaddr *)&r->name[i]);
		read_control(m, &r->header[i].msg_hdr);
	}
	return n;
}

bool udp_read_error(int fd, struct udp_error *e)
{
	uint8_t control[256] __attribute__((aligned(8)));
	struct iovec iov = {e->quoted, sizeof e->quoted};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			.msg_controllen = sizeof control};
	ssize_t n = recvmsg(fd, &h, MSG_ERRQUEUE | MSG_DONTWAIT);
	struct sock_extended_err error;

	if (n < 0)
		return false;
	e->len = (size_t)n;
	e->too_big = false;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&h); c; c = CMSG_NXTHDR(&h, c)) {
		if (c->cmsg_len < CMSG_LEN(sizeof error) ||
				(c->cmsg_type != IP_RECVERR && c->cmsg_type != IPV6_RECVERR))
			continue;
		memcpy(&error, CMSG_DATA(c), sizeof error);
		e->too_big = error.ee_errno == EMSGSIZE && error.ee_origin != SO_EE_ORIGIN_LOCAL;
	}
	return true;
}

/* ---- queueing ---- */

void udp_sender_init(struct udp_sender *s, int fd)
{
	s->fd = fd;
	s->count = 0;
	s->counters = (struct udp_counters){0};
}

static bool run_takes(const struct udp_run *run, uint8_t tos, size_t len)
{
	return !run->closed && run->tos == tos && len <= run->segment &&
	       run->count < UDP_SEGMENTS && run->bytes + len <= UDP_RUN_BYTES;
}

/*
 * The last run to this destination, if it takes the datagram; otherwise a new
 * one: an earlier run would send it before what was queued first.
 */
static struct udp_run *find_run(struct udp_sender *s, const struct endpoint *to, uint8_t tos,
		size_t len)
{
	unsigned end = s->count > UDP_LOOK_BACK ? s->count - UDP_LOOK_BACK : 0;

	for (unsigned i = s->count; i-- > end;) {
		if (endpoint_equal(&s->run[i].to, to))
			return run_takes(&s->run[i], tos, len) ? &s->run[i] : NULL;
	}
	return NULL;
}

static struct udp_run *begin_run(struct udp_sender *s, const struct endpoint *to, uint8_t tos,
		size_t len)
{
	struct udp_run *run;

	if (s->count == UDP_RUNS)
		udp_send_flush(s);
	run = &s->run[s->count++];
	run->to = *to;
	run->tos = tos;
	run->closed = false;
	run->segment = (uint16_t)len;
	run->count = run->iov_count = 0;
	run->bytes = 0;
	return run;
}

void udp_send_add(struct udp_sender *s, const struct endpoint *to, uint8_t tos, const void *data,
		size_t len)
{
	struct udp_run *run = find_run(s, to, tos, len);
	struct iovec *last;

	if (!run)
		run = begin_run(s, to, tos, len);
	last = run->iov_count ? &run->iov[run->iov_count - 1] : NULL;
	if (last && (uint8_t *)last->iov_base + last->iov_len == data)
		last->iov_len += len;
	else
		run->iov[run->iov_count++] = (struct iovec){(void *)data, len};
	run->count++;
	run->bytes += (uint32_t)len;
	run->closed = len < run->segment;
}

void udp_send_alone(struct udp_sender *s, const struct endpoint *to, uint8_t tos, const void *data,
		size_t len)
{
	struct udp_run *run = begin_run(s, to, tos, len);

	run->iov[run->iov_count++] = (struct iovec){(void *)data, len};
	run->count = 1;
	run->bytes = (uint32_t)len;
	run->closed = true;
}

/* ---- flushing ---- */

static size_t put_control(uint8_t *control, size_t used, int level, int type, const void *value,
		size_t len)
{
	struct cmsghdr *c = (struct cmsghdr *)(control + used);

	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(len);
	memcpy(CMSG_DATA(c), value, len);
	return used + CMSG_SPACE(len);
}

/* The message for run i: destination, TOS unless 0, segment size unless it is one datagram. */
static void prepare(struct udp_sender *s, unsigned i)
{
	struct udp_run *run = &s->run[i];
	struct msghdr *h = &s->header[i].msg_hdr;
	int tos = run->tos;
	size_t used = 0;

	*h = (struct msghdr){
			.msg_name = &s->name[i],
			.msg_namelen = endpoint_to_sockaddr(&run->to, &s->name[i]),
			.msg_iov = run->iov,
			.msg_iovlen = run->iov_count,
	};
	if (run->count > 1)
		used = put_control(s->control[i], used, IPPROTO_UDP, UDP_SEGMENT, &run->segment,
				sizeof run->segment);
	if (tos && addr_is_v4(run->to.ip))
		used = put_control(s->control[i], used, IPPROTO_IP, IP_TOS, &tos, sizeof tos);
	else if (tos)
		used = put_control(s->control[i], used, IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof tos);
	h->msg_control = used ? s->control[i] : NULL;
	h->msg_controllen = used;
}

static bool wait_for_room(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	return poll(&p, 1, FULL_WAIT_MS) == 1;
}

/*
 * Sends a first part of the messages: how many, or the negative errno of the
 * first one.  Waits once for a full socket; repeats once after an error that
 * may be an older packet's (an ICMP error is reported to whoever sends next).
 */
static int send_some(struct udp_sender *s, struct mmsghdr *header, unsigned count)
{
	bool waited = false, repeated = false;

	for (;;) {
		int n = sendmmsg(s->fd, header, count, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n >= 0) {
			s->counters.calls++;
			return n;
		}
		if (errno == EINTR)
			continue;
		if (errno == EAGAIN && !waited && wait_for_room(s->fd)) {
			waited = true;
			continue;
		}
		if (errno != EAGAIN && !repeated) {
			repeated = true;
			continue;
		}
		return -errno;
	}
}

static void count_sent(struct udp_sender *s, unsigned datagrams, size_t bytes)
{
	s->counters.datagrams += datagrams;
	s->counters.bytes += bytes;
}

static void count_dropped(struct udp_sender *s, int error, unsigned datagrams)
{
	if (error == -EMSGSIZE)
		s->counters.too_big += datagrams;
	else if (error == -EAGAIN || error == -ENOBUFS || error == -ENOMEM)
		s->counters.full += datagrams;
	else
		s->counters.refused += datagrams;
}

/*
 * One datagram at a time, where the route takes no UDP_SEGMENT: EIO (IPsec; no
 * checksum offload before Linux 6.11), or EINVAL (no checksums at all; segments
 * beyond the MTU on older kernels, which then say EMSGSIZE for each).  That
 * control message is the first.  No datagram lies in two pieces: udp_send_add()
 * takes them whole.
 */
static void send_singly(struct udp_sender *s, unsigned i)
{
	const struct udp_run *run = &s->run[i];
	struct mmsghdr header = s->header[i];
	struct iovec piece;

	header.msg_hdr.msg_iov = &piece;
	header.msg_hdr.msg_iovlen = 1;
	header.msg_hdr.msg_control = s->control[i] + CMSG_SPACE(sizeof run->segment);
	header.msg_hdr.msg_controllen -= CMSG_SPACE(sizeof run->segment);
	for (unsigned k = 0; k < run->iov_count; k++) {
		uint8_t *data = run->iov[k].iov_base, *end = data + run->iov[k].iov_len;

		for (; data < end; data += piece.iov_len) {
			int n;

			piece.iov_base = data;
			piece.iov_len = MIN((size_t)(end - data), run->segment);
			n = send_some(s, &header, 1);
			if (n == 1)
				count_sent(s, 1, piece.iov_len);
			else
				count_dropped(s, n, 1);
		}
	}
}

void udp_send_flush(struct udp_sender *s)
{
	unsigned at = 0;

	for (unsigned i = 0; i < s->count; i++)
		prepare(s, i);
	while (at < s->count) {
		int n = send_some(s, s->header + at, s->count - at);

		if (n > 0) {
			for (unsigned end = at + (unsigned)n; at < end; at++)
				count_sent(s, s->run[at].count, s->run[at].bytes);
			continue;
		}
		if ((n == -EIO || n == -EINVAL) && s->run[at].count > 1)
			send_singly(s, at);
		else
			count_dropped(s, n, s->run[at].count);
		at++;
		for (; n == -EAGAIN && at < s->count; at++) /* no hope for the rest either */
			count_dropped(s, n, s->run[at].count);
	}
	s->count = 0;
}
