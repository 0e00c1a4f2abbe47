/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The fast path for labs and benches, with the least of a slow path beside it: relays from
 * the command line, whose callers are learnt from their latest SYN or datagram.
 *
 *	relay_lab DEVICE[,DEVICE] OWN4 OWN6 FIRST-LAST RELAY ...
 *	RELAY: tcp|udp FAMILY PORT TO OUT_PORT         FAMILY: 4 or 6, of the caller
 *
 * What comes up is printed, SYNs and first datagrams are sent on from here, and who sent a
 * packet that is too big is told.  On SIGTERM or SIGINT the counters are printed as JSON.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/util.h"
#include "packet.h"
#include "path/relay_bpf.h"

#define RELAYS    16
#define MSS_CLAMP 1360

struct lab_relay {
	uint8_t protocol;
	bool v4;               /* of the caller */
	uint16_t port, out_port;
	struct endpoint to, caller;
};

static struct relay_bpf *bpf;
static struct relay_config config;
static struct lab_relay relays[RELAYS];
static unsigned relay_count;
static int raw4, raw6;
static volatile sig_atomic_t stop;

static void on_signal(int number)
{
	(void)number;
	stop = 1;
}

__attribute__((noreturn))
static void die(const char *what)
{
	fprintf(stderr, "relay_lab: %s\n", what);
	exit(1);
}

static void own(uint8_t ip[16], bool v4)
{
	if (v4)
		addr_from_v4(ip, config.anycast4);
	else
		memcpy(ip, config.anycast6, 16);
}

/* ---- relays ---- */

static void put(const struct lab_relay *r, bool from_caller)
{
	const struct endpoint *from = from_caller ? &r->caller : &r->to;
	const struct endpoint *to = from_caller ? &r->to : &r->caller;
	struct relay_key key = {.v4 = addr_is_v4(from->ip), .protocol = r->protocol,
		.port = htons(from_caller ? r->port : r->out_port)};
	struct relay_entry e = {.from_port = htons(from->port), .to_port = htons(to->port),
		.out_port = htons(from_caller ? r->out_port : r->port),
		.flags = RELAY_ENTRY_LATCHED | RELAY_ENTRY_READY |
			(addr_is_v4(to->ip) ? RELAY_ENTRY_TO_V4 : 0)};

	/* So that the next connection's SYN comes up. */
	if (from_caller && r->protocol == 6)
		e.flags |= RELAY_ENTRY_TOKEN;
	memcpy(e.from, from->ip, 16);
	memcpy(e.to, to->ip, 16);
	if (relay_bpf_put(bpf, &key, &e) != 0)
		die("no room in the table");
}

static void latch(struct lab_relay *r, const struct endpoint *caller)
{
	r->caller = *caller;
	put(r, true);
	put(r, false);
}

/* ---- packets ---- */

static void send_ip(const uint8_t *packet, size_t len)
{
	struct sockaddr_in to4 = {.sin_family = AF_INET};
	struct sockaddr_in6 to6 = {.sin6_family = AF_INET6};
	bool v4 = packet[0] >> 4 == 4;
	ssize_t n;

	memcpy(&to4.sin_addr, packet + 16, 4);
	memcpy(&to6.sin6_addr, packet + 24, 16);
	n = v4 ? sendto(raw4, packet, len, 0, (struct sockaddr *)&to4, sizeof to4) :
		sendto(raw6, packet, len, 0, (struct sockaddr *)&to6, sizeof to6);
	if (n < 0)
		fprintf(stderr, "relay_lab: sending: %s\n", strerror(errno));
}

/* Rendered anew from what came, to the other side. */
static void pass_on(struct spec *s, const struct lab_relay *r, bool from_caller)
{
	const struct endpoint *to = from_caller ? &r->to : &r->caller;
	uint8_t frame[FRAME_MAX];

	s->v4 = addr_is_v4(to->ip);
	own(s->src, s->v4);
	memcpy(s->dst, to->ip, 16);
	s->sport = from_caller ? r->out_port : r->port;
	s->dport = to->port;
	s->ttl--;
	if (s->options_len >= 4 && s->options[0] == 2 && load_be16(s->options + 2) > MSS_CLAMP)
		store_be16(s->options + 2, MSS_CLAMP);
	send_ip(frame + ETHER, spec_build(s, frame) - ETHER);
}

/* "Fragmentation needed" (RFC 792, RFC 1191), "packet too big" (RFC 4443), from the anycast address. */
static void tell_too_big(const struct spec *s, const struct relay_event *e)
{
	struct spec error = {.v4 = s->v4};
	uint8_t frame[FRAME_MAX];

	memcpy(error.src, s->dst, 16);
	memcpy(error.dst, s->src, 16);
	send_ip(frame + ETHER, spec_build_error(&error, s->v4 ? 3 : 2, s->v4 ? 4 : 0, e->mtu,
			e->data, MIN(e->len, s->v4 ? 28u : 1000u), frame) - ETHER);
}

static void up(void *arg, const struct relay_event *e)
{
	static const char *const names[] = {
#define X(name, key, budget, text) key,
		RELAY_UP_REASONS(X)
#undef X
	};
	struct endpoint from;
	struct spec s;

	(void)arg;
	printf("up %s len %u mtu %u segment %u\n", names[e->reason], e->whole, e->mtu, e->segment);
	if (!spec_parse(&s, e->data, e->len))
		return;
	if (e->reason == RELAY_UP_TOO_BIG) {
		tell_too_big(&s, e);
		return;
	}
	if (e->segment || e->len != e->whole)
		return;
	from.port = s.sport;
	memcpy(from.ip, s.src, 16);
	for (unsigned i = 0; i < relay_count; i++) {
		struct lab_relay *r = &relays[i];

		if (r->protocol != s.protocol)
			continue;
		if (s.dport == r->port && s.v4 == r->v4) {
			latch(r, &from);
			pass_on(&s, r, true);
		} else if (s.dport == r->out_port && r->caller.port) {
			pass_on(&s, r, false);
		}
	}
}

static void print_totals(void)
{
	uint64_t ups[RELAY_UP_COUNT], drops[RELAY_BPF_DROP_COUNT];

	relay_bpf_totals(bpf, ups, drops);
	printf("{");
#define X(name, key, budget, text) printf("\"%s\": %llu, ", key, (unsigned long long)ups[RELAY_UP_##name]);
	RELAY_UP_REASONS(X)
#undef X
#define X(name, key, text) printf("\"%s\": %llu, ", key, (unsigned long long)drops[RELAY_BPF_DROP_##name]);
	RELAY_BPF_DROPS(X)
#undef X
	printf("\"relays\": [");
	for (unsigned i = 0; i < relay_count; i++) {
		struct relay_key key = {.v4 = relays[i].v4, .protocol = relays[i].protocol,
			.port = htons(relays[i].port)};
		uint64_t packets = 0, bytes = 0;

		relay_bpf_counters(bpf, &key, &packets, &bytes);
		printf("%s[%llu, %llu]", i ? ", " : "", (unsigned long long)packets,
				(unsigned long long)bytes);
	}
	printf("]}\n");
}

/* ---- set up ---- */

static void read_relay(char **word, struct lab_relay *r)
{
	r->protocol = strcmp(word[0], "tcp") == 0 ? 6 : 17;
	r->v4 = atoi(word[1]) == 4;
	r->port = (uint16_t)atoi(word[2]);
	r->out_port = (uint16_t)atoi(word[4]);
	if (endpoint_parse(word[3], 0, &r->to) != 0)
		die("a relay is: tcp|udp FAMILY PORT ADDRESS:PORT OUT_PORT");
}

static void start(char **word, int count)
{
	static char devices[RELAY_UPLINKS_MAX][16];
	struct relay_bpf_options options = {.config = &config, .uplinks = devices, .entries = 1000,
		.up = up};
	char error[300], *device;
	unsigned first, last;
	uint8_t ip[16];

	for (device = strtok(word[1], ","); device && options.uplink_count < RELAY_UPLINKS_MAX;
			device = strtok(NULL, ","))
		snprintf(devices[options.uplink_count++], sizeof devices[0], "%s", device);
	if (addr_parse(word[2], ip) != 0 || addr_parse(word[3], config.anycast6) != 0 ||
			sscanf(word[4], "%u-%u", &first, &last) != 2)
		die("an address or the range of ports cannot be read");
	memcpy(config.anycast4, ip + 12, 4);
	config.port_first = (uint16_t)first;
	config.port_last = (uint16_t)last;
	for (int i = 5; i + 5 <= count && relay_count < RELAYS; i += 5)
		read_relay(word + i, &relays[relay_count++]);
	raw4 = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	raw6 = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	if (raw4 < 0 || raw6 < 0)
		die("raw sockets need root");
	bpf = relay_bpf_open(&options, error, sizeof error);
	if (!bpf)
		die(error);
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_signal};
	struct pollfd p;

	if (argc < 5)
		die("usage: relay_lab DEVICE[,DEVICE] OWN4 OWN6 FIRST-LAST "
				"[tcp|udp FAMILY PORT TO OUT_PORT] ...");
	setvbuf(stdout, NULL, _IOLBF, 0);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	start(argv, argc);
	p = (struct pollfd){.fd = relay_bpf_fd(bpf), .events = POLLIN};
	printf("ready\n");
	while (!stop) {
		if (poll(&p, 1, 100) > 0)
			relay_bpf_poll(bpf);
	}
	print_totals();
	relay_bpf_close(bpf);
	return 0;
}
