/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "path/netlink.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <time.h>

#include "base/util.h"

#define REQUEST_MAX 512 /* the largest request here has some 100 bytes */

/* An address as the kernel wants it: family, its bytes, its own prefix length. */
struct family_address {
	uint8_t family, size, len;
	const uint8_t *bytes;
};

static struct family_address by_family(const struct prefix *p)
{
	if (addr_is_v4(p->ip) && p->len >= 96)
		return (struct family_address){AF_INET, 4, (uint8_t)(p->len - 96), p->ip + 12};
	return (struct family_address){AF_INET6, 16, p->len, p->ip};
}

int netlink_open(struct netlink *nl)
{
	*nl = (struct netlink){.sequence = (unsigned)time(NULL)};
	nl->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!nl->socket)
		return -errno;
	if (mnl_socket_bind(nl->socket, 0, MNL_SOCKET_AUTOPID) < 0) {
		int result = -errno;

		netlink_close(nl);
		return result;
	}
	nl->port = mnl_socket_get_portid(nl->socket);
	return 0;
}

void netlink_close(struct netlink *nl)
{
	mnl_socket_close(nl->socket);
	nl->socket = NULL;
}

static struct nlmsghdr *request(struct netlink *nl, void *buffer, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(buffer);

	h->nlmsg_type = type;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	h->nlmsg_seq = ++nl->sequence;
	return h;
}

/* Sends it and waits for the kernel's answer. */
static int transact(struct netlink *nl, const struct nlmsghdr *h)
{
	_Alignas(struct nlmsghdr) char answer[8192];
	ssize_t n;
	int state;

	if (mnl_socket_sendto(nl->socket, h, h->nlmsg_len) < 0)
		return -errno;
	do {
		n = mnl_socket_recvfrom(nl->socket, answer, sizeof answer);
		if (n < 0)
			return -errno;
		state = mnl_cb_run(answer, (size_t)n, h->nlmsg_seq, nl->port, NULL, NULL);
	} while (state > MNL_CB_STOP);
	return state < 0 ? -errno : 0;
}

int netlink_link_up(struct netlink *nl, int index, unsigned mtu, unsigned gso_max,
		unsigned queue_len)
{
	_Alignas(struct nlmsghdr) char buffer[REQUEST_MAX];
	struct nlmsghdr *h = request(nl, buffer, RTM_NEWLINK, 0);
	struct ifinfomsg *link = mnl_nlmsg_put_extra_header(h, sizeof *link);

	link->ifi_family = AF_UNSPEC;
	link->ifi_index = index;
	link->ifi_flags = IFF_UP;
	link->ifi_change = IFF_UP;
	mnl_attr_put_u32(h, IFLA_MTU, mtu);
	if (gso_max)
		mnl_attr_put_u32(h, IFLA_GSO_MAX_SIZE, gso_max);
	if (queue_len)
		mnl_attr_put_u32(h, IFLA_TXQLEN, queue_len);
	return transact(nl, h);
}

static struct nlmsghdr *address_request(struct netlink *nl, void *buffer, int index,
		const struct prefix *address, uint8_t scope)
{
	struct family_address a = by_family(address);
	struct nlmsghdr *h = request(nl, buffer, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE);
	struct ifaddrmsg *m = mnl_nlmsg_put_extra_header(h, sizeof *m);

	m->ifa_family = a.family;
	m->ifa_prefixlen = a.len;
	m->ifa_flags = a.family == AF_INET6 ? IFA_F_NODAD : 0;
	m->ifa_scope = scope;
	m->ifa_index = (unsigned)index;
	mnl_attr_put(h, IFA_LOCAL, a.size, a.bytes);
	mnl_attr_put(h, IFA_ADDRESS, a.size, a.bytes);
	return h;
}

int netlink_address(struct netlink *nl, int index, const struct prefix *address)
{
	_Alignas(struct nlmsghdr) char buffer[REQUEST_MAX];

	return transact(nl, address_request(nl, buffer, index, address, RT_SCOPE_UNIVERSE));
}

/* IPv4 chooses no source of a narrower scope than its destination's, IPv6 no deprecated one. */
int netlink_service_address(struct netlink *nl, int index, const struct prefix *address)
{
	_Alignas(struct nlmsghdr) char buffer[REQUEST_MAX];
	bool v4 = addr_is_v4(address->ip);
	struct ifa_cacheinfo deprecated = {.ifa_prefered = 0, .ifa_valid = UINT32_MAX};
	struct nlmsghdr *h = address_request(nl, buffer, index, address,
			v4 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE);

	if (!v4)
		mnl_attr_put(h, IFA_CACHEINFO, sizeof deprecated, &deprecated);
	return transact(nl, h);
}

static struct nlmsghdr *route_request(struct netlink *nl, void *buffer, uint16_t type,
		uint16_t flags, const struct netlink_route *r)
{
	struct family_address a = by_family(&r->to);
	struct nlmsghdr *h = request(nl, buffer, type, flags);
	struct rtmsg *m = mnl_nlmsg_put_extra_header(h, sizeof *m);

	m->rtm_family = a.family;
	m->rtm_dst_len = a.len;
	m->rtm_table = RT_TABLE_MAIN;
	m->rtm_protocol = r->protocol;
	m->rtm_scope = a.family == AF_INET && r->device ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
	m->rtm_type = r->type;
	if (a.len)
		mnl_attr_put(h, RTA_DST, a.size, a.bytes);
	if (r->device)
		mnl_attr_put_u32(h, RTA_OIF, (uint32_t)r->device);
	if (r->metric)
		mnl_attr_put_u32(h, RTA_PRIORITY, r->metric);
	return h;
}

int netlink_route(struct netlink *nl, int index, const struct prefix *to)
{
	_Alignas(struct nlmsghdr) char buffer[REQUEST_MAX];
	struct netlink_route r = {
			.to = *to, .device = index, .type = RTN_UNICAST, .protocol = RTPROT_STATIC};

	addr_mask(r.to.ip, r.to.len);
	/*
	 * Not NLM_F_REPLACE: that would take away a route of somebody else, the
	 * default route at worst, and nothing would bring it back.
	 */
	return transact(nl, route_request(nl, buffer, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &r));
}

int netlink_route_put(struct netlink *nl, const struct netlink_route *r)
{
	_Alignas(struct nlmsghdr) char buffer[REQUEST_MAX];

	return transact(nl, route_request(nl, buffer, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, r));
}

int netlink_route_remove(struct netlink *nl, const struct netlink_route *r)
{
	_Alignas(struct nlmsghdr) char buffer[REQUEST_MAX];

	return transact(nl, route_request(nl, buffer, RTM_DELROUTE, 0, r));
}
