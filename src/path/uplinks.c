/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "path/uplinks.h"

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>

struct found {
	char (*names)[16];
	unsigned count, room;
};

static void add(struct found *f, unsigned index)
{
	char name[IF_NAMESIZE];

	if (f->count == f->room || !if_indextoname(index, name))
		return;
	for (unsigned i = 0; i < f->count; i++)
		if (!strcmp(f->names[i], name))
			return;
	strcpy(f->names[f->count++], name);
}

/* A route with several next hops has its devices in a list. */
static void add_hops(struct found *f, const struct nlattr *hops)
{
	const struct rtnexthop *hop = mnl_attr_get_payload(hops);
	int left = mnl_attr_get_payload_len(hops);

	for (; RTNH_OK(hop, left); left -= RTNH_ALIGN(hop->rtnh_len), hop = RTNH_NEXT(hop))
		add(f, (unsigned)hop->rtnh_ifindex);
}

static int take_route(const struct nlmsghdr *message, void *arg)
{
	const struct rtmsg *route = mnl_nlmsg_get_payload(message);
	const struct nlattr *a;

	if (message->nlmsg_type != RTM_NEWROUTE || route->rtm_dst_len ||
			route->rtm_table != RT_TABLE_MAIN || route->rtm_type != RTN_UNICAST)
		return MNL_CB_OK;
	mnl_attr_for_each(a, message, sizeof *route) {
		if (mnl_attr_get_type(a) == RTA_OIF)
			add(arg, mnl_attr_get_u32(a));
		else if (mnl_attr_get_type(a) == RTA_MULTIPATH)
			add_hops(arg, a);
	}
	return MNL_CB_OK;
}

static void look(struct mnl_socket *s, unsigned char family, struct found *f)
{
	char buffer[8192];
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct rtmsg *route;
	ssize_t n;

	request->nlmsg_type = RTM_GETROUTE;
	request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	request->nlmsg_seq = family;
	route = mnl_nlmsg_put_extra_header(request, sizeof *route);
	route->rtm_family = family;
	if (mnl_socket_sendto(s, request, request->nlmsg_len) < 0)
		return;
	while ((n = mnl_socket_recvfrom(s, buffer, sizeof buffer)) > 0)
		if (mnl_cb_run(buffer, (size_t)n, family, mnl_socket_get_portid(s), take_route, f) <=
				MNL_CB_STOP)
			return;
}

unsigned uplinks_default(char (*names)[16], unsigned room)
{
	struct mnl_socket *s = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	struct found f = {.names = names, .room = room};

	if (!s)
		return 0;
	if (mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) == 0) {
		look(s, AF_INET, &f);
		look(s, AF_INET6, &f);
	}
	mnl_socket_close(s);
	return f.count;
}
