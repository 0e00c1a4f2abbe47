/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "path/tun.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/fail.h"
#include "path/netlink.h"

/* Linux 6.2; older headers lack them, and older kernels answer EINVAL. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

#define DEVICE      "/dev/net/tun"
#define OFFLOADS    (TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN)
#define OFFLOAD_USO (TUN_F_USO4 | TUN_F_USO6)
#define QUEUE_LEN   1000 /* packets; a TUN device's default of 500 is short for bulk traffic */

/* ---- opening ---- */

static int open_error(int code, char *error, size_t size)
{
	switch (code) {
	case ENOENT:
	case ENODEV:
	case ENXIO:
		return fail(-code, error, size, DEVICE " does not exist or has no driver: load the "
				"kernel's tun module (modprobe tun), or give this container the device");
	case EACCES:
	case EPERM:
		return fail(-code, error, size, "no permission to open " DEVICE
				": start as root, or allow this container the device");
	default:
		return fail(-code, error, size, "cannot open " DEVICE ": %s", strerror(code));
	}
}

static int attach_error(int code, const char *name, char *error, size_t size)
{
	switch (code) {
	case EBUSY:
		return fail(-code, error, size, "tunnel device %s is in use by another process: stop "
				"it, or choose another name for Device", name);
	case EPERM:
		return fail(-code, error, size, "no permission to make tunnel device %s: it takes "
				"root or the capability CAP_NET_ADMIN", name);
	case EINVAL:
		return fail(-code, error, size, "cannot make tunnel device %s: an interface of this "
				"name and another kind exists, or it is no interface name", name);
	default:
		return fail(-code, error, size, "cannot make tunnel device %s: %s", name,
				strerror(code));
	}
}

/* Every queue has the header of struct virtio_net_hdr and all the offloads the kernel takes. */
static int set_offloads(struct tun *t, int fd, bool no_uso, char *error, size_t size)
{
	int header = sizeof(struct virtio_net_hdr);

	if (ioctl(fd, TUNSETVNETHDRSZ, &header) != 0)
		return fail(-errno, error, size, "tunnel device %s: cannot set the size of the "
				"offload header: %s", t->name, strerror(errno));
	t->uso = !no_uso && ioctl(fd, TUNSETOFFLOAD, OFFLOADS | OFFLOAD_USO) == 0;
	if (!t->uso && ioctl(fd, TUNSETOFFLOAD, OFFLOADS) != 0)
		return fail(-errno, error, size, "tunnel device %s: cannot switch segmentation "
				"offload on: %s", t->name, strerror(errno));
	return 0;
}

static int open_queue(struct tun *t, bool multi, bool no_uso, int *fd, char *error, size_t size)
{
	struct ifreq ifr = {.ifr_flags = (short)(IFF_NO_PI | IFF_VNET_HDR)};
	int result;

	ifr.ifr_flags |= t->ethernet ? IFF_TAP : IFF_TUN;
	if (multi)
		ifr.ifr_flags |= IFF_MULTI_QUEUE;
	memcpy(ifr.ifr_name, t->name, sizeof t->name);

	*fd = open(DEVICE, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (*fd < 0)
		return open_error(errno, error, size);
	if (ioctl(*fd, TUNSETIFF, &ifr) != 0)
		result = attach_error(errno, t->name, error, size);
	else
		result = set_offloads(t, *fd, no_uso, error, size);
	if (result != 0)
		close(*fd);
	return result;
}

/* Interface index and, of a TAP, its MAC address. */
static int learn_interface(struct tun *t, char *error, size_t size)
{
	struct ifreq ifr = {0};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), result = 0;

	memcpy(ifr.ifr_name, t->name, sizeof t->name);
	if (fd < 0 || ioctl(fd, SIOCGIFINDEX, &ifr) != 0)
		result = -errno;
	t->index = ifr.ifr_ifindex;
	if (result == 0 && t->ethernet) {
		if (ioctl(fd, SIOCGIFHWADDR, &ifr) != 0)
			result = -errno;
		memcpy(t->mac, ifr.ifr_hwaddr.sa_data, sizeof t->mac);
	}
	if (fd >= 0)
		close(fd);
	if (result != 0)
		fail(result, error, size, "tunnel device %s: cannot be asked about itself: %s",
				t->name, strerror(-result));
	return result;
}

int tun_open(struct tun *t, const char *name, bool ethernet, unsigned queues, bool no_uso, int *fd,
		char *error, size_t error_size)
{
	size_t len = strlen(name);
	unsigned opened = 0;
	int result = 0;

	*t = (struct tun){.ethernet = ethernet};
	if (len == 0 || len >= sizeof t->name)
		return fail(-EINVAL, error, error_size, "\"%.64s\" is no name for a tunnel device: "
				"it needs 1 to %zu characters", name, sizeof t->name - 1);
	memcpy(t->name, name, len);

	while (result == 0 && opened < queues) {
		result = open_queue(t, queues > 1, no_uso, &fd[opened], error, error_size);
		opened += result == 0;
	}
	if (result == 0)
		result = learn_interface(t, error, error_size);
	while (result != 0 && opened > 0)
		close(fd[--opened]);
	return result;
}

/* ---- addresses and routes ---- */

/* An address brings the route to its own prefix with it. */
static bool comes_with_address(const struct prefix *route, const struct prefix *addresses,
		unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		if (addresses[i].len == route->len && prefix_contains(route, addresses[i].ip))
			return true;
	}
	return false;
}

static int add_addresses(struct netlink *nl, const struct tun *t, const struct prefix *addresses,
		unsigned count, char *error, size_t size)
{
	char text[PREFIX_TEXT];

	for (unsigned i = 0; i < count; i++) {
		int result = netlink_address(nl, t->index, &addresses[i]);

		if (result != 0)
			return fail(result, error, size, "cannot give tunnel device %s the address "
					"%s: %s", t->name, prefix_format(&addresses[i], text),
					strerror(-result));
	}
	return 0;
}

static int add_route(struct netlink *nl, const struct tun *t, const struct prefix *route,
		char *error, size_t size)
{
	int result = netlink_route(nl, t->index, route);
	char text[PREFIX_TEXT];

	if (result == 0)
		return 0;
	prefix_format(route, text);
	if (result == -EEXIST)
		return fail(result, error, size, "cannot route %s into tunnel device %s: this machine "
				"has a route to it already; remove that one, or use two halves of the "
				"prefix, which go before it", text, t->name);
	return fail(result, error, size, "cannot route %s into tunnel device %s: %s", text, t->name,
			strerror(-result));
}

int tun_set_up(const struct tun *t, unsigned mtu, unsigned gso_max, const struct prefix *addresses,
		unsigned address_count, const struct prefix *routes, unsigned route_count,
		char *error, size_t error_size)
{
	struct netlink nl;
	int result = netlink_open(&nl);

	if (result != 0)
		return fail(result, error, error_size, "cannot open a netlink socket: %s",
				strerror(-result));
	result = netlink_link_up(&nl, t->index, mtu, gso_max, QUEUE_LEN);
	if (result != 0)
		fail(result, error, error_size, "cannot set tunnel device %s up with MTU %u: %s",
				t->name, mtu, strerror(-result));
	if (result == 0)
		result = add_addresses(&nl, t, addresses, address_count, error, error_size);
	for (unsigned i = 0; result == 0 && i < route_count; i++) {
		if (!comes_with_address(&routes[i], addresses, address_count))
			result = add_route(&nl, t, &routes[i], error, error_size);
	}
	netlink_close(&nl);
	return result;
}

int tun_set_mtu(const struct tun *t, unsigned mtu, unsigned gso_max)
{
	struct netlink nl;
	int result = netlink_open(&nl);

	if (result == 0) {
		result = netlink_link_up(&nl, t->index, mtu, gso_max, 0);
		netlink_close(&nl);
	}
	return result;
}

/* ---- multicast groups ---- */

/* Groups that every host is in (RFC 1112 4, RFC 4291 2.8): nobody needs to be told of them. */
static bool group_is_implied(const uint8_t group[16])
{
	static const uint8_t all_v4[4] = {224, 0, 0, 1};
	static const struct prefix implied[] = {
			{.ip = {0xff, 0x01, [15] = 1}, .len = 128},
			{.ip = {0xff, 0x02, [15] = 1}, .len = 128},
			/* solicited-node addresses */
			{.ip = {0xff, 0x02, [11] = 1, [12] = 0xff}, .len = 104},
	};

	if (addr_is_v4(group))
		return memcmp(group + 12, all_v4, sizeof all_v4) == 0;
	for (unsigned i = 0; i < ARRAY_SIZE(implied); i++) {
		if (prefix_contains(&implied[i], group))
			return true;
	}
	return false;
}

static unsigned add_group(uint8_t groups[][16], unsigned count, unsigned max,
		const uint8_t group[16])
{
	if (count == max || group_is_implied(group))
		return count;
	memcpy(groups[count], group, 16);
	return count + 1;
}

/*
 * A line for each interface ("2	any0      :     1      V3"), then one
 * with white space in front for each group: hexadecimal of the 32-bit word as
 * it lies in memory.
 */
static unsigned groups_v4(FILE *f, int index, uint8_t groups[][16], unsigned max)
{
	unsigned count = 0, word;
	bool ours = false;
	char line[160];
	uint8_t ip[16];
	int number;

	while (fgets(line, sizeof line, f)) {
		if (line[0] != '\t' && line[0] != ' ') {
			ours = sscanf(line, "%d", &number) == 1 && number == index;
		} else if (ours && sscanf(line, "%x", &word) == 1) {
			addr_from_v4(ip, &word);
			count = add_group(groups, count, max, ip);
		}
	}
	return count;
}

/* One line for each group: interface index and name, 32 hexadecimal digits, and more. */
static unsigned groups_v6(FILE *f, int index, uint8_t groups[][16], unsigned count, unsigned max)
{
	char line[160], digits[33];
	uint8_t ip[16];
	int number;

	while (fgets(line, sizeof line, f)) {
		unsigned read = 0;

		if (sscanf(line, "%d %*s %32s", &number, digits) != 2 || number != index)
			continue;
		while (read < 16 && sscanf(digits + 2 * read, "%2hhx", &ip[read]) == 1)
			read++;
		if (read == 16)
			count = add_group(groups, count, max, ip);
	}
	return count;
}

unsigned tun_groups(const struct tun *t, uint8_t groups[][16], unsigned max)
{
	/* thread-self, not self: a thread may be in a network namespace of its own. */
	FILE *v4 = fopen("/proc/thread-self/net/igmp", "re");
	FILE *v6 = fopen("/proc/thread-self/net/igmp6", "re");
	unsigned count = 0;

	if (v4) {
		count = groups_v4(v4, t->index, groups, max);
		fclose(v4);
	}
	if (v6) {
		count = groups_v6(v6, t->index, groups, count, max);
		fclose(v6);
	}
	return count;
}

/* ---- frames ---- */

ssize_t tun_read(int fd, struct virtio_net_hdr *vh, uint8_t *frame, size_t room)
{
	struct iovec iov[2] = {{vh, sizeof *vh}, {frame, room}};
	ssize_t n;

	do
		n = readv(fd, iov, ARRAY_SIZE(iov));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if ((size_t)n < sizeof *vh)
		return -EIO;
	return n - (ssize_t)sizeof *vh;
}

int tun_write(int fd, const struct virtio_net_hdr *vh, const uint8_t *frame, size_t len)
{
	struct iovec iov[2] = {{(void *)vh, sizeof *vh}, {(void *)frame, len}};
	ssize_t n;

	do
		n = writev(fd, iov, ARRAY_SIZE(iov));
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}
