/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The filter of a worker's UDP sockets while that worker cannot keep up; see
 * fair_shared.h.  A message's data begin with the UDP header here.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf/fair_shared.h"

struct fair_state state;

static __always_inline void read_source(struct __sk_buff *skb, struct fair_source *s)
{
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		s->ip[10] = s->ip[11] = 0xff;
		bpf_skb_load_bytes_relative(skb, offsetof(struct iphdr, saddr), s->ip + 12, 4,
				BPF_HDR_START_NET);
	} else {
		bpf_skb_load_bytes_relative(skb, offsetof(struct ipv6hdr, saddr), s->ip, 16,
				BPF_HDR_START_NET);
	}
	bpf_skb_load_bytes(skb, 0, &s->port, sizeof s->port);
}

/* Of a message that GRO or the sender's kernel has joined. */
static __always_inline __u32 datagrams_in(struct __sk_buff *skb)
{
	__u32 size = skb->gso_size;

	if (!size)
		return 1;
	/* Frames from a guest come without their number. */
	return skb->gso_segs ? skb->gso_segs : (skb->len + size - 1) / size;
}

SEC("socket")
int fair_filter(struct __sk_buff *skb)
{
	__u32 datagrams = datagrams_in(skb);
	__u64 cost = skb->len + (__u64)datagrams * FAIR_OVERHEAD;
	struct fair_source from = {0};

	read_source(skb, &from);
	if (fair_admit(&state, fair_identity(state.secret, &from), cost, bpf_ktime_get_ns()))
		return (int)skb->len; /* all of it */
	__sync_fetch_and_add(&state.dropped, datagrams);
	__sync_fetch_and_add(&state.dropped_messages, 1);
	return 0;
}

char fair_license[] SEC("license") = "Dual BSD/GPL";
