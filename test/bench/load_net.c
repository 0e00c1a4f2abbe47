/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * One UDP socket for all clients.  IP_PKTINFO (ip(7)) chooses the source address
 * of each packet, and tells the destination of what comes: so the client is
 * known by its address.  The addresses must be the machine's own, for which one
 * route is enough: ip route add local 10.128.0.0/9 dev lo.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "load.h"

#define PACKET_MAX    1500
#define SOCKET_BUFFER (32 << 20)

union control {
	struct cmsghdr align;
	uint8_t room[CMSG_SPACE(sizeof(struct in_pktinfo))];
};

struct batch {
	unsigned count;
	struct mmsghdr header[NET_BATCH];
	struct iovec iov[NET_BATCH];
	struct sockaddr_in name[NET_BATCH];
	union control control[NET_BATCH];
	uint8_t packet[NET_BATCH][PACKET_MAX];
};

struct net {
	int fd;
	struct sockaddr_in server;
	struct batch in, out;
};

static void batch_init(struct batch *b)
{
	for (unsigned i = 0; i < NET_BATCH; i++) {
		b->iov[i] = (struct iovec){b->packet[i], PACKET_MAX};
		b->header[i].msg_hdr = (struct msghdr){
			.msg_name = &b->name[i],
			.msg_namelen = sizeof b->name[i],
			.msg_iov = &b->iov[i],
			.msg_iovlen = 1,
			.msg_control = &b->control[i],
			.msg_controllen = sizeof b->control[i],
		};
	}
}

struct net *net_open(const struct endpoint *server)
{
	struct net *n = calloc(1, sizeof *n);
	int buffer = SOCKET_BUFFER, on = 1;
	struct sockaddr_storage to;

	if (!addr_is_v4(server->ip))
		die("the server's address must be IPv4: the clients' addresses are");
	endpoint_to_sockaddr(server, &to);
	if (!n)
		die("not enough memory");
	memcpy(&n->server, &to, sizeof n->server);
	n->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (n->fd < 0 || setsockopt(n->fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on) != 0 ||
			setsockopt(n->fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer) != 0 ||
			setsockopt(n->fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer) != 0)
		die("socket with a buffer of 32 MB (needs root): %s", strerror(errno));
	batch_init(&n->in);
	batch_init(&n->out);
	return n;
}

void net_close(struct net *n)
{
	close(n->fd);
	free(n);
}

/* The one control message that there is room for. */
static struct in_pktinfo *packet_info(union control *c)
{
	c->align = (struct cmsghdr){
		.cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo)),
		.cmsg_level = IPPROTO_IP,
		.cmsg_type = IP_PKTINFO,
	};
	return (struct in_pktinfo *)CMSG_DATA(&c->align);
}

void net_send(struct net *n, uint32_t client, const uint8_t *packet, size_t len)
{
	struct batch *b = &n->out;

	if (len > PACKET_MAX)
		die("a packet of %zu bytes: none has more than %d", len, PACKET_MAX);
	memcpy(b->packet[b->count], packet, len);
	b->iov[b->count].iov_len = len;
	b->name[b->count] = n->server;
	*packet_info(&b->control[b->count]) = (struct in_pktinfo){
		.ipi_spec_dst.s_addr = htonl(client_source(client)),
	};
	if (++b->count == NET_BATCH)
		net_flush(n);
}

void net_flush(struct net *n)
{
	unsigned sent = 0;

	while (sent < n->out.count) {
		int r = sendmmsg(n->fd, n->out.header + sent, n->out.count - sent, 0);

		if (r < 0 && errno != EINTR && errno != ENOBUFS)
			die("sending from 10.128.0.0/9: %s (see the route in load_net.c)",
					strerror(errno));
		sent += r > 0 ? (unsigned)r : 0;
	}
	n->out.count = 0;
}

unsigned net_receive(struct net *n, struct net_message message[NET_BATCH])
{
	unsigned count = 0;
	int got;

	for (unsigned i = 0; i < NET_BATCH; i++) {
		n->in.header[i].msg_hdr.msg_namelen = sizeof n->in.name[i];
		n->in.header[i].msg_hdr.msg_controllen = sizeof n->in.control[i];
	}
	got = recvmmsg(n->fd, n->in.header, NET_BATCH, MSG_DONTWAIT, NULL);
	if (got < 0 && errno != EAGAIN && errno != EINTR)
		die("receiving: %s", strerror(errno));
	for (int i = 0; i < got; i++) {
		const struct cmsghdr *c = CMSG_FIRSTHDR(&n->in.header[i].msg_hdr);
		struct in_pktinfo info;

		if (!c || c->cmsg_type != IP_PKTINFO ||
				n->in.name[i].sin_addr.s_addr != n->server.sin_addr.s_addr)
			continue;
		memcpy(&info, CMSG_DATA(c), sizeof info);
		message[count++] = (struct net_message){
			n->in.packet[i], n->in.header[i].msg_len,
			client_of_source(ntohl(info.ipi_addr.s_addr)),
		};
	}
	return count;
}

void net_wait(struct net *n, int ms)
{
	struct pollfd p = {.fd = n->fd, .events = POLLIN};

	if (poll(&p, 1, ms) < 0 && errno != EINTR)
		die("poll: %s", strerror(errno));
}
