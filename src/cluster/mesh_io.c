/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "cluster/mesh_io.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

#define ROUND_MAX 256 /* packets at once, so that a flood does not hold up the main thread */

const char *mesh_traffic_key(enum mesh_traffic t)
{
	static const char *const keys[] = {
#define X(name, key, text) key,
		MESH_TRAFFIC(X)
#undef X
	};

	return keys[t];
}

static void count(struct mesh_io *m, enum mesh_traffic packets, enum mesh_traffic bytes, size_t len)
{
	m->traffic[packets]++;
	m->traffic[bytes] += len;
}

static void send_packet(struct output *out, const struct endpoint *to, const uint8_t *packet,
		size_t len)
{
	struct mesh_io *m = (struct mesh_io *)out;
	struct sockaddr_storage address;
	socklen_t size = endpoint_to_sockaddr(to, &address);

	if (sendto(m->fd, packet, len, MSG_DONTWAIT, (struct sockaddr *)&address, size) < 0)
		m->traffic[MESH_UNSENT]++; /* as if it were lost on the way */
	else
		count(m, MESH_PACKETS_OUT, MESH_BYTES_OUT, len);
}

int mesh_io_open(struct mesh_io *m, const struct endpoint *local, char error[PEERS_ERROR])
{
	struct sockaddr_storage address;
	socklen_t size = endpoint_to_sockaddr(local, &address);
	char text[ENDPOINT_TEXT];
	int failed = 0;

	m->out.send = send_packet;
	m->fd = socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (m->fd < 0 || bind(m->fd, (struct sockaddr *)&address, size))
		failed = -errno;
	if (failed)
		snprintf(error, PEERS_ERROR, "[Mesh] Address: %s cannot be used: %s; it must be an "
				"address of this machine alone, with a free UDP port",
				endpoint_format(local, text), strerror(-failed));
	return failed;
}

void mesh_io_close(struct mesh_io *m)
{
	if (m->fd < 0)
		return;
	peers_goodbye(&m->peers);
	peers_free(&m->peers);
	close(m->fd);
	m->fd = -1;
}

void mesh_io_receive(struct mesh_io *m)
{
	uint8_t packet[MESH_PACKET_MAX + 1]; /* one more: what is too long stays too long */

	for (unsigned i = 0; i < ROUND_MAX; i++) {
		struct sockaddr_storage address;
		socklen_t size = sizeof address;
		struct endpoint from;
		struct instant now;
		ssize_t n = recvfrom(m->fd, packet, sizeof packet, MSG_DONTWAIT,
				(struct sockaddr *)&address, &size);

		if (n < 0 && errno == EAGAIN)
			return;
		/* other errors are of packets that we sent: somebody is not there */
		if (n < 0 || !endpoint_from_sockaddr(&from, (struct sockaddr *)&address))
			continue;
		count(m, MESH_PACKETS_IN, MESH_BYTES_IN, (size_t)n);
		clock_read(&now); /* for each: the offset of clocks is measured with it */
		peers_receive(&m->peers, &now, &from, packet, (size_t)n);
	}
}

ticks mesh_io_tick(struct mesh_io *m)
{
	struct instant now;

	clock_read(&now);
	return peers_tick(&m->peers, &now);
}
