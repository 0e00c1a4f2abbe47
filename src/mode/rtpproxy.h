/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The control protocol of rtpproxy, by which SIP proxies (Kamailio's module
 * rtpproxy, for one) ask for media relays: a line with a cookie in a datagram, a
 * line with the same cookie back.  Commands V, VF, U, L, D and I.
 *
 * Nothing is stored for a call beside its relays.  A relay's id is derived from the
 * call's id, the tag of who called and the number of the media stream, so a command
 * means the same at every server, and a repeated one finds what the first one made.
 * The caller is side 1, the callee side 2.  Each is sent to where its SDP says, and
 * learnt from its first packet, because addresses in SDP are often those behind a NAT.
 *
 * Pure, but for the table of relays, which is locked by the caller.
 */
#ifndef MODE_RTPPROXY_H
#define MODE_RTPPROXY_H

#include "mode/relays.h"

#define RTPPROXY_LINE_MAX   1024
#define RTPPROXY_ANSWER_MAX 256

struct rtpproxy {
	struct relays *relays;
	const struct relay_keys *keys;   /* ids come from them; may be changed under the table's lock */
	uint8_t anycast4[16], anycast6[16];
	uint16_t lifetime;               /* s; a U or L of the call begins it anew */
	unsigned ports;                  /* that relays may have, on each address */
};

enum rtpproxy_result {
	RTPPROXY_ANSWERED,
	RTPPROXY_PENDING,  /* not settled in the cluster yet: the same line is to be tried again soon */
	RTPPROXY_SILENT    /* no line of this protocol: no answer */
};

/* line need not be terminated; answer is, and has answer_len characters. */
enum rtpproxy_result rtpproxy_command(struct rtpproxy *p, const struct instant *now,
		const char *line, size_t len, char answer[RTPPROXY_ANSWER_MAX], size_t *answer_len);

#endif
