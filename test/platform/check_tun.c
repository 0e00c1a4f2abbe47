/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * What anyrelay relies on in Linux's TUN device, each printed as it is checked,
 * in a network namespace of its own (root):
 *	- addresses, routes, MTU and groups are as tun.c set them;
 *	- a UDP_SEGMENT send comes out of the device as one frame, and so does TCP;
 *	- no frame is larger than the limit given, or than the MTU beyond it;
 *	- a UDP frame written with its segment size reaches a UDP_GRO socket whole;
 *	- without USO the kernel cuts UDP itself.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "path/tun.h"
#include "path/udp.h"

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5 /* Linux 6.2 */
#endif

#define MTU     1400
#define GSO_MAX 30000
#define SEGMENT 1000

static unsigned failures;

static void check(bool good, const char *what)
{
	printf("%s  %s\n", good ? "ok  " : "FAIL", what);
	failures += !good;
}

/* The next IPv4 frame of this protocol within 2 s; other frames are passed over. */
static ssize_t next_frame(int fd, uint8_t proto, struct virtio_net_hdr *vh, uint8_t *frame)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	for (;;) {
		ssize_t n = tun_read(fd, vh, frame, 65536);

		if (n == -EAGAIN && poll(&p, 1, 2000) == 1)
			continue;
		if (n < 0 || (n > 20 && frame[0] == 0x45 && frame[9] == proto))
			return n;
	}
}

/* The Internet checksum's sum (RFC 1071), folded. */
static uint16_t add_words(uint32_t sum, const void *data, size_t len)
{
	for (size_t i = 0; i < len; i += 2) {
		uint16_t word;

		memcpy(&word, (const uint8_t *)data + i, 2);
		sum += word;
	}
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

/* What stands in the upper checksum where the rest is left to the kernel (NEEDS_CSUM). */
static uint16_t pseudo_sum(const struct iphdr *ip)
{
	uint32_t rest = (uint32_t)htons(ip->protocol) + htons((uint16_t)(ntohs(ip->tot_len) - 20));

	return add_words(rest, &ip->saddr, 8);
}

static int udp_to(const char *address, uint16_t port)
{
	struct endpoint any = {.ip = {[10] = 0xff, [11] = 0xff}}, to = {.port = port};
	struct sockaddr_storage ss;
	char error[200];
	socklen_t len;
	int fd = udp_open(&any, (struct udp_options){0}, error, sizeof error);

	addr_parse(address, to.ip);
	len = endpoint_to_sockaddr(&to, &ss);
	if (fd < 0 || connect(fd, (struct sockaddr *)&ss, len) != 0) {
		perror(address);
		exit(1);
	}
	return fd;
}

static ssize_t send_segments(int fd, size_t size, const uint8_t *data)
{
	int segment = SEGMENT;

	setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof segment);
	return send(fd, data, size, 0);
}

/* What is read of one send of `size` bytes: number of frames, largest frame, type of the first. */
struct seen {
	unsigned frames;
	size_t largest, payload;
	uint8_t type;
	uint16_t gso_size;
};

static struct seen watch_udp(int tun, size_t size)
{
	static uint8_t data[65536], frame[65536];
	int fd = udp_to("10.200.0.2", 9);
	struct virtio_net_hdr vh;
	struct seen seen = {0};

	send_segments(fd, size, data);
	while (seen.payload < size) {
		ssize_t n = next_frame(tun, IPPROTO_UDP, &vh, frame);

		if (n < 28)
			break;
		if (seen.frames++ == 0) {
			seen.type = vh.gso_type & ~VIRTIO_NET_HDR_GSO_ECN;
			seen.gso_size = vh.gso_size;
		}
		seen.largest = MAX(seen.largest, (size_t)n);
		seen.payload += (size_t)n - 28;
	}
	close(fd);
	return seen;
}

static void check_udp_out(const struct tun *t, int fd)
{
	struct seen s = watch_udp(fd, 20 * SEGMENT + 10);

	if (t->uso) {
		check(s.frames == 1 && s.type == VIRTIO_NET_HDR_GSO_UDP_L4 && s.gso_size == SEGMENT,
				"UDP of 21 segments comes out as one frame (USO)");
	} else {
		check(s.frames == 21 && s.type == VIRTIO_NET_HDR_GSO_NONE,
				"without USO, UDP of 21 segments comes out as 21 packets");
	}
	s = watch_udp(fd, 50 * SEGMENT);
	check(s.payload == 50 * SEGMENT && s.largest <= GSO_MAX,
			"UDP beyond the largest frame comes out whole in smaller ones");
}

/* Answers the SYN of a connecting socket in place of a peer, and reads what is then sent. */
static void check_tcp_out(int tun)
{
	static uint8_t frame[65536], data[60000];
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), size = 1 << 20;
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(80)};
	struct virtio_net_hdr vh, answer = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
			.csum_start = 20, .csum_offset = 16};
	struct tcphdr tcp;
	struct iphdr ip;
	ssize_t n;

	inet_pton(AF_INET, "10.200.0.2", &to.sin_addr);
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	connect(fd, (struct sockaddr *)&to, sizeof to);
	n = next_frame(tun, IPPROTO_TCP, &vh, frame);
	if (n < 40) {
		check(false, "a SYN comes out");
		close(fd);
		return;
	}
	memcpy(&ip, frame, sizeof ip);
	memcpy(&tcp, frame + 20, sizeof tcp);
	ip = (struct iphdr){.version = 4, .ihl = 5, .tot_len = htons(40), .ttl = 64,
			.protocol = IPPROTO_TCP, .saddr = ip.daddr, .daddr = ip.saddr};
	ip.check = (uint16_t)~add_words(0, &ip, sizeof ip);
	tcp = (struct tcphdr){.source = tcp.dest, .dest = tcp.source, .seq = htonl(1),
			.ack_seq = htonl(ntohl(tcp.seq) + 1), .doff = 5, .syn = 1, .ack = 1,
			.window = htons(65535)};
	tcp.check = pseudo_sum(&ip);
	memcpy(frame, &ip, sizeof ip);
	memcpy(frame + 20, &tcp, sizeof tcp);
	tun_write(tun, &answer, frame, 40);

	n = send(fd, data, sizeof data, 0);
	do /* the ACK of the handshake comes first */
		n = n < 0 ? n : next_frame(tun, IPPROTO_TCP, &vh, frame);
	while (n == 40);
	printf("      first TCP frame: %zd bytes, segments of %u, type %u\n", n, vh.gso_size, vh.gso_type);
	check(n > 40 + vh.gso_size && n <= GSO_MAX && (vh.gso_type & ~VIRTIO_NET_HDR_GSO_ECN) ==
					VIRTIO_NET_HDR_GSO_TCPV4 && vh.gso_size > 0,
			"TCP comes out in frames of several segments (TSO)");
	check(vh.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM, "its checksum is left to us");
	close(fd);
}

/* The other way: a frame of UDP segments, written once, is one message of a UDP_GRO socket. */
static void check_udp_in(int tun)
{
	static uint8_t frame[28 + 10 * SEGMENT];
	struct endpoint at = {.port = 7777};
	struct virtio_net_hdr vh = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
			.gso_type = VIRTIO_NET_HDR_GSO_UDP_L4, .hdr_len = 28, .gso_size = SEGMENT,
			.csum_start = 20, .csum_offset = 6};
	struct iphdr ip = {.version = 4, .ihl = 5, .tot_len = htons(sizeof frame), .ttl = 64,
			.protocol = IPPROTO_UDP};
	struct udphdr udp = {.source = htons(9), .dest = htons(7777),
			.len = htons(sizeof frame - 20)};
	static struct udp_receiver receiver;
	char error[200];
	int fd, n = -1;

	addr_parse("10.200.0.1", at.ip);
	fd = udp_open(&at, (struct udp_options){0}, error, sizeof error);
	inet_pton(AF_INET, "10.200.0.2", &ip.saddr);
	inet_pton(AF_INET, "10.200.0.1", &ip.daddr);
	ip.check = (uint16_t)~add_words(0, &ip, sizeof ip);
	udp.check = pseudo_sum(&ip);
	memcpy(frame, &ip, sizeof ip);
	memcpy(frame + 20, &udp, sizeof udp);
	udp_receiver_init(&receiver);
	if (tun_write(tun, &vh, frame, sizeof frame) == 0) {
		struct pollfd p = {.fd = fd, .events = POLLIN};

		poll(&p, 1, 2000);
		n = udp_receive(&receiver, fd);
	}
	check(n == 1 && receiver.message[0].len == 10 * SEGMENT &&
					receiver.message[0].segment == SEGMENT,
			"a UDP frame of 10 segments goes in whole");
	close(fd);
}

static void check_groups(const struct tun *t)
{
	struct ip_mreqn v4 = {.imr_ifindex = t->index};
	struct ipv6_mreq v6 = {.ipv6mr_interface = (unsigned)t->index};
	int fd4 = socket(AF_INET, SOCK_DGRAM, 0), fd6 = socket(AF_INET6, SOCK_DGRAM, 0);
	uint8_t groups[16][16];
	char text[ENDPOINT_TEXT], all[512] = "";
	unsigned count;

	inet_pton(AF_INET, "239.1.2.3", &v4.imr_multiaddr);
	inet_pton(AF_INET6, "ff05::1234", &v6.ipv6mr_multiaddr);
	setsockopt(fd4, IPPROTO_IP, IP_ADD_MEMBERSHIP, &v4, sizeof v4);
	setsockopt(fd6, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &v6, sizeof v6);
	count = tun_groups(t, groups, ARRAY_SIZE(groups));
	for (unsigned i = 0; i < count; i++) {
		strcat(all, addr_format(groups[i], text));
		strcat(all, " ");
	}
	printf("      groups: %s\n", all);
	check(strstr(all, "239.1.2.3 ") && strstr(all, "ff05::1234 ") && !strstr(all, "224.0.0.1 ") &&
					!strstr(all, "ff02::1 ") && !strstr(all, ":ff00:"),
			"groups are those joined, not those every host is in");
	check(tun_groups(t, groups, 1) == 1, "no more groups than there is room for");
	close(fd4);
	close(fd6);
}

static bool shows(const char *command, const char *wanted)
{
	char output[4096] = "";
	FILE *f = popen(command, "r");

	if (!f)
		return false;
	output[fread(output, 1, sizeof output - 1, f)] = '\0';
	pclose(f);
	if (!strstr(output, wanted))
		printf("      %s:\n%s", command, output);
	return strstr(output, wanted) != NULL;
}

static void check_set_up(struct tun *t)
{
	static const char *const addresses_text[] = {"10.200.0.1/24", "fd00:200::1/64"};
	static const char *const routes_text[] = {"10.200.0.0/24", "10.201.2.3/16", "fd00:201::/48",
			"0.0.0.0/1"};
	struct prefix addresses[2], routes[4];
	char error[300] = "";
	int result;

	for (unsigned i = 0; i < 2; i++)
		prefix_parse(addresses_text[i], &addresses[i]);
	for (unsigned i = 0; i < 4; i++)
		prefix_parse(routes_text[i], &routes[i]);
	result = tun_set_up(t, MTU, GSO_MAX, addresses, 2, routes, 4, error, sizeof error);
	if (result != 0)
		printf("      %s\n", error);
	check(result == 0, "the device is set up");
	check(shows("ip -d link show any9", "mtu 1400") && shows("ip -d link show any9", "qlen 1000"),
			"MTU and queue length");
	check(shows("ip -d link show any9", "gso_max_size 30000"), "largest frame");
	check(shows("ip -6 addr show dev any9", "fd00:200::1/64 scope global nodad"), "address");
	check(shows("ip route show dev any9", "10.201.0.0/16 proto static scope link"), "route");
	check(shows("ip route show dev any9", "0.0.0.0/1"), "half of the default route");
	check(shows("ip -6 route show dev any9", "fd00:201::/48"), "IPv6 route");
	result = tun_set_up(t, MTU, GSO_MAX, addresses, 2, routes + 1, 1, error, sizeof error);
	printf("      %s\n", error);
	check(result == -EEXIST, "a route that is there is not replaced");
	check(tun_set_mtu(t, 1300, 0) == 0 && shows("ip link show any9", "mtu 1300") &&
					tun_set_mtu(t, MTU, GSO_MAX) == 0,
			"MTU is changed later");
}

static void check_errors(void)
{
	struct tun t;
	char error[300];
	int fd[1];

	check(tun_open(&t, "a-name-of-16-chr", false, 1, false, fd, error, sizeof error) == -EINVAL,
			error);
	check(tun_open(&t, "lo", false, 1, false, fd, error, sizeof error) == -EINVAL, error);
	check(tun_open(&t, "any9", false, 1, false, fd, error, sizeof error) < 0, error);
}

int main(void)
{
	struct tun t, older;
	char error[300] = "";
	int fd[2], old_fd;

	if (unshare(CLONE_NEWNET) != 0) {
		printf("skipped: needs root, for a network namespace of its own\n");
		return 77;
	}
	if (tun_open(&t, "any9", false, 1, false, fd, error, sizeof error) != 0) {
		printf("skipped: %s\n", error);
		return 77;
	}
	check_set_up(&t);
	check_errors();
	check_groups(&t);
	check_udp_out(&t, fd[0]);
	check_tcp_out(fd[0]);
	if (t.uso)
		check_udp_in(fd[0]);
	close(fd[0]);

	check(tun_open(&older, "any9", false, 1, true, &old_fd, error, sizeof error) == 0 &&
					!older.uso,
			"the device is gone when it is closed, and opens without USO");
	check_set_up(&older);
	check_udp_out(&older, old_fd);
	close(old_fd);

	check(tun_open(&t, "tap9", true, 2, false, fd, error, sizeof error) == 0 && t.ethernet &&
					(t.mac[0] & 3) == 2,
			"a TAP with two queues and a MAC address");
	close(fd[0]);
	close(fd[1]);
	printf("%s\n", failures ? "FAILED" : "all as relied on");
	return failures ? 1 : 0;
}
