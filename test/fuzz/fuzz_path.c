/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * A server's whole packet path, from receive.c to the devices and back, with a
 * transport of our own and a socket pair in place of each device.  The script
 * gives plaintexts of clients, which arrive sealed and in batches, and frames
 * from the devices.  Since a fuzzer does not find checksums and addresses, the
 * script can ask for them.  Whatever comes out, when it is flushed:
 *
 *   - to a client: opens under its key, with a number above the last one, fits
 *     its path, and is well-formed: IP that can be read (or pieces that join to
 *     it), whose source is no other than who sent it, and which is for that client;
 *   - to the device: frames that segment into such packets.
 */
#include <sys/socket.h>
#include <unistd.h>
#include "base/rcu.h"

#include "fuzz.h"
#include "mode/ethernet.h"
#include "mode/members.h"
#include "packets.h"
#include "path/gso.h"
#include "path/mode.h"
#include "path/xport.h"

#define CLIENTS   3
#define QUEUE     4096
#define DENIED4 "10.9.0.9"
#define DENIED6 "fd09::9"
#define PLAIN_MAX 1600

enum step { CLIENT_PACKET, CLIENT_BATCH, TUN_FRAME, TAP_FRAME, STEP_COUNT };
enum repair { LENGTH = 1, SOURCE = 2, TARGET = 4, V4_HEADER = 8, UPPER = 16, UNPROVEN = 32,
		JOINED = 64 };

struct sent {
	struct endpoint to;
	const uint8_t *data;
	size_t len;
};

struct peer {
	struct client *client;
	struct endpoint endpoint;
	uint8_t sid[SID_SIZE];
	struct tx_key up;
	struct rx_key down;
	uint32_t number;
	uint64_t last; /* downstream */
	bool sends;    /* in this batch */
};

/* Made once; the server's state goes on from script to script. */
static struct server server;
static struct members_owner owner;
static struct path path;
static struct worker *worker;
static struct peer peer[CLIENTS];
static int far[DEVICE_COUNT];
static struct pieces joined;

static struct sent queue[QUEUE];
static unsigned queued;
static bool device_sends; /* in this batch: any source is right */

static const uint8_t targets[][16] = {
	{[10] = 0xff, 0xff, 10, 0, 0, 2}, {0xfd, [15] = 2}, {[10] = 0xff, 0xff, 10, 0, 0, 3},
	{0xfd, [15] = 3}, {[10] = 0xff, 0xff, 10, 1, 2, 3}, {0xfd, 1, [15] = 9},
	{[10] = 0xff, 0xff, 10, 9, 0, 1}, {0xfd, 9, [15] = 1}, {[10] = 0xff, 0xff, 239, 1, 1, 1},
	{0xff, 5, [15] = 1}, {[10] = 0xff, 0xff, 255, 255, 255, 255}, {0xff, 2, [15] = 1},
	{[10] = 0xff, 0xff, 10, 0, 0, 255}, {0x20, 1, [15] = 1}, {[10] = 0xff, 0xff, 8, 8, 8, 8},
	{[10] = 0xff, 0xff, 10, 0, 0, 1},
};

/* ---- what comes out ---- */

static bool own_address(const struct inner *in)
{
	return !memcmp(path.own[in->v4 ? FAMILY_V4 : FAMILY_V6], in->src, 16);
}

static void check_source(const struct inner *in)
{
	struct client *c = directory_route(server.directory, in->src);
	bool sender = device_sends || own_address(in);

	for (unsigned i = 0; i < CLIENTS; i++)
		sender |= peer[i].sends && peer[i].client == c;
	MUST(sender);
}

static void check_ip(const struct peer *to, const uint8_t *p, size_t len)
{
	struct inner in;

	MUST(inner_read(&in, p, len) && in.len == len);
	check_source(&in);
	if (!addr_is_multicast(in.dst) && !(in.v4 && in.dst[15] == 255))
		MUST(directory_route(server.directory, in.dst) == to->client);
}

static void check_plain(const struct peer *to, const uint8_t *plain, size_t len)
{
	struct piece_result r;

	MUST(len > 0);
	switch (plain[0] >> 4) {
	case INNER_CONTROL:
		break;
	case INNER_ETHERNET:
		MUST(len >= ETHERNET_HEADER + 14 && len == load_be16(plain + 2) + ETHERNET_HEADER);
		MUST(to->client->rights & RIGHT_ETHERNET);
		break;
	case INNER_PIECE:
		r = pieces_add(&joined, (uint64_t)(to - peer), plain, len, 1);
		MUST(!r.refused);
		if (r.packet)
			check_ip(to, r.packet, r.len);
		break;
	default:
		check_ip(to, plain, len);
	}
}

static void check_sent(const struct sent *s)
{
	uint8_t plain[PLAIN_MAX];

	MUST(s->len >= PACKET_OVERHEAD && s->len <= sizeof plain);
	for (unsigned i = 0; i < CLIENTS; i++) {
		struct peer *p = &peer[i];
		uint32_t number = load_be32(s->data + HEADER_NUMBER);

		if (memcmp(p->sid + SENDER_SIZE, s->data + HEADER_TO + SENDER_SIZE, 3) != 0)
			continue;
		MUST(rx_open(&p->down, s->data, s->len, plain) && number >= p->last);
		p->last = (uint64_t)number + 1;
		if (plain[0] >> 4 != INNER_CONTROL)
			MUST(endpoint_equal(&s->to, &p->endpoint));
		MUST(s->len + outer_overhead(addr_is_v4(s->to.ip)) <=
				p->client->session->down_mtu);
		check_plain(p, plain, s->len - PACKET_OVERHEAD);
		return;
	}
	MUST(!"a packet for nobody");
}

static int xport_receive(struct worker *w, enum family f)
{
	(void)f;
	return (int)w->in->count;
}

static void xport_send(struct worker *w, const struct endpoint *to, uint8_t tos,
		const uint8_t *data, size_t len)
{
	(void)tos;
	MUST(queued < QUEUE);
	queue[queued++] = (struct sent){*to, data, len};
	count(w, TRAFFIC_TX_DATAGRAMS, 1);
}

/* Only now is it read: what is borrowed must last as long. */
static void xport_send_alone(struct worker *w, const struct endpoint *to, const uint8_t *data,
		size_t len)
{
	xport_send(w, to, 0, data, len);
}

static void xport_flush(struct worker *w)
{
	(void)w;
	for (unsigned i = 0; i < queued; i++)
		check_sent(&queue[i]);
	queued = 0;
}

static const struct xport xport = {
	.name = "fuzz", .receive = xport_receive, .send = xport_send,
	.send_alone = xport_send_alone, .flush = xport_flush,
};

/* The cluster's own hosts, although they are in networks that clients may reach. */
static bool is_denied(const uint8_t ip[16])
{
	for (unsigned i = 0; i < path.networks->denied_count; i++)
		if (!memcmp(path.networks->list[path.networks->count + i].ip, ip, 16))
			return true;
	return false;
}

static void check_frames(enum device dev)
{
	static uint8_t buffer[sizeof(struct virtio_net_hdr) + FRAME_ROOM];
	static const size_t vh_size = sizeof(struct virtio_net_hdr);
	struct virtio_net_hdr vh;
	struct segmenter s;
	struct inner in;
	uint8_t *p;
	size_t len;
	ssize_t n;

	while ((n = recv(far[dev], buffer, sizeof buffer, MSG_DONTWAIT)) > 0) {
		MUST((size_t)n > vh_size);
		memcpy(&vh, buffer, vh_size);
		if (dev == DEVICE_TAP) {
			MUST((size_t)n >= vh_size + 14);
			continue;
		}
		MUST(segment_begin(&s, &vh, buffer + vh_size, (size_t)n - vh_size, 0) == 0);
		while ((p = segment_next(&s, &len))) {
			MUST(inner_read(&in, p, len) && in.len == len);
			check_source(&in);
			MUST(!is_denied(in.dst));
		}
	}
}

/* ---- what goes in ---- */

static void repair_upper(uint8_t *p, size_t len)
{
	struct inner in;
	size_t at;

	if (!inner_read(&in, p, len) || !in.l4 || in.fragment)
		return;
	at = in.l4 + (in.proto == IPPROTO_TCP ? 16u : 6u);
	if ((in.proto != IPPROTO_TCP && in.proto != IPPROTO_UDP) || at + 2 > in.len)
		return;
	if (in.proto == IPPROTO_UDP)
		store_be16(p + in.l4 + 4, (uint16_t)(in.len - in.l4));
	store_be16(p + at, 0);
	store_be16(p + at, (uint16_t)~naive_sum(naive_pseudo(p, in.proto, in.len - in.l4),
			p + in.l4, in.len - in.l4));
}

static void put_address(uint8_t *p, bool v4, bool source, const uint8_t ip[16])
{
	if (v4)
		memcpy(p + (source ? 12 : 16), ip + 12, 4);
	else
		memcpy(p + (source ? 8 : 24), ip, 16);
}

static void repair(uint8_t *p, size_t len, unsigned from, uint8_t what, uint8_t target)
{
	bool v4 = len && p[0] >> 4 == 4;
	struct prefix own;

	if (len < (v4 ? 20 : 40) || (!v4 && p[0] >> 4 != 6))
		return;
	if (what & LENGTH)
		store_be16(p + (v4 ? 2 : 4), (uint16_t)(v4 ? len : len - 40));
	client_prefix(peer[from].client, !v4, &own);
	if (what & SOURCE)
		put_address(p, v4, true, own.ip);
	target = (uint8_t)(target % (ARRAY_SIZE(targets) / 2) * 2 + !v4) % ARRAY_SIZE(targets);
	if ((what & TARGET) && addr_is_v4(targets[target]) == v4)
		put_address(p, v4, false, targets[target]);
	if ((what & V4_HEADER) && v4 && (p[0] & 15) >= 5 && (p[0] & 15) * 4u <= len) {
		store_be16(p + 10, 0);
		store_be16(p + 10, (uint16_t)~naive_sum(0, p, (p[0] & 15) * 4u));
	}
	if (what & UPPER)
		repair_upper(p, len);
}

/* Room for a datagram of this batch, in memory of exactly its size; or a message's next segment. */
static uint8_t *message_room(const struct endpoint *from, uint8_t tos, size_t n, bool join)
{
	struct udp_message *m = &worker->in->message[worker->in->count];
	struct udp_message *last = worker->in->count ? m - 1 : NULL;

	if (join && last && n <= last->segment && last->len % last->segment == 0 &&
			last->len + n <= UDP_BUFFER && endpoint_equal(&last->from, from)) {
		last->data = realloc(last->data, last->len + n);
		MUST(last->data);
		last->len += n;
		return last->data + last->len - n;
	}
	worker->in->count++;
	*m = (struct udp_message){.data = malloc(n), .len = n, .segment = (uint16_t)n, .tos = tos,
			.from = *from};
	MUST(m->data);
	return m->data;
}

static void add_datagram(struct reader *script)
{
	struct peer *p = &peer[read_u8(script) % CLIENTS];
	uint8_t what = read_u8(script), target = read_u8(script);
	struct endpoint from = p->endpoint;
	uint16_t size = read_u16(script) % PLAIN_MAX;
	size_t len;
	uint8_t *plain = script_bytes(script, size, &len);

	repair(plain, len, (unsigned)(p - peer), what, target);
	from.port ^= !!(what & UNPROVEN);
	tx_seal(&p->up, (uint16_t)time_16th(worker->now.cluster), p->number++, plain, len,
			message_room(&from, target >> 4 & 3, len + PACKET_OVERHEAD, what & JOINED));
	free(plain);
	p->sends = true;
}

static void receive_batch(void)
{
	receive_udp(worker, FAMILY_V4);
	for (unsigned i = 0; i < worker->in->count; i++)
		free(worker->in->message[i].data);
	worker->in->count = 0;
	check_frames(DEVICE_TUN);
	check_frames(DEVICE_TAP);
	for (unsigned i = 0; i < CLIENTS; i++)
		peer[i].sends = false;
	MUST(!queued && !worker->placed);
}

static void step_client(struct reader *script, bool more)
{
	add_datagram(script);
	if (!more || worker->in->count == UDP_BATCH)
		receive_batch();
}

static void step_device(struct reader *script, enum device dev)
{
	uint8_t frame[sizeof(struct virtio_net_hdr) + 4 * PLAIN_MAX] = {0};
	uint8_t what = read_u8(script), target = read_u8(script);
	size_t vh = sizeof(struct virtio_net_hdr), l3 = dev == DEVICE_TAP ? 14 : 0, len;
	uint8_t *bytes;

	receive_batch();
	read_copy(script, frame, vh);
	bytes = script_bytes(script, read_u16(script) % (4 * PLAIN_MAX), &len);
	memcpy(frame + vh, bytes, len);
	free(bytes);
	if (len > l3)
		repair(frame + vh + l3, len - l3, 0, what & ~SOURCE, target);
	MUST(send(far[dev], frame, vh + len, 0) >= 0);
	device_sends = true;
	receive_device(worker, dev);
	worker_flush(worker);
	check_frames(DEVICE_TUN);
	check_frames(DEVICE_TAP);
	device_sends = false;
}

/* ---- a server with three clients: each with a session, a path, and rights of its own ---- */

static void add_client(struct directory *d, unsigned i)
{
	static const char *const addresses[CLIENTS][2] = {
		{"10.0.0.2/32", "fd00::2/128"}, {"10.0.0.3/32", "fd00::3/128"},
		{"10.1.0.0/16", "fd01::/32"},
	};
	struct record r = {.index = i + 1, .version = 1, .prefix_count = 2};
	uint8_t ss[KEY_SIZE] = {0};
	char error[256];

	r.rights = i < 2 ? RIGHT_MULTICAST | RIGHT_BROADCAST | RIGHT_ETHERNET : 0;
	fuzz_key(r.public, (uint8_t)(0x10 + i));
	for (unsigned k = 0; k < 2; k++)
		MUST(prefix_parse(addresses[i][k], &r.prefixes[k]) == 0);
	snprintf(r.name, sizeof r.name, "client%u", i);
	MUST(directory_add(d, NULL, &r, ss, error, sizeof error) == 0);
}

static void begin_session(unsigned i, const struct epoch_keys *k)
{
	static const char *const endpoints[CLIENTS] = {"192.0.2.1", "192.0.2.2", "2001:db8::3"};
	static const uint16_t mtus[CLIENTS] = {1500, 1280, 1400};
	static const uint8_t groups[2][16] = {
		{[10] = 0xff, 0xff, 239, 1, 1, 1}, {0xff, 5, [15] = 1},
	};
	struct session_record *r = calloc(1, sizeof *r + sizeof groups);
	struct peer *p = &peer[i];
	uint8_t h[HASH_SIZE], s[KEY_SIZE];

	MUST(r && endpoint_parse(endpoints[i], 1000, &p->endpoint) == 0);
	p->client = directory_by_index(server.directory, i + 1);
	fuzz_key(h, (uint8_t)i);
	sid_make(k, h, i + 1, p->sid);
	session_secret(k, p->sid, p->client->public, s);
	tx_key_up(&p->up, s, AEAD_AES_256_GCM, k->kid, p->sid, 0, k->epoch);
	rx_key_down(&p->down, s, AEAD_AES_256_GCM, server.sender);
	*r = (struct session_record){.epoch = k->epoch, .endpoint = p->endpoint, .kid = k->kid,
			.down_mtu = mtus[i], .group_count = 2, .hold = 1};
	memcpy(r->sid, p->sid, SID_SIZE);
	memcpy(r->data, groups, sizeof groups);
	members_record_changed(&owner, p->client, NULL, r);
	p->client->session = r;
}

static void make_server(const struct instant *now)
{
	static struct lineage_seed seed = {.generation = 1, .id = 1, .epoch = FUZZ_EPOCH};
	struct server_options o = {
		.number = 7, .active_sessions = 2 * CLIENTS, .handshake_rate = 1,
		.handshake_prefix_rate = 1, .keepalive_min = 10, .keepalive_max = 100,
		.cluster_key_count = 1, .start = &seed, .limits = key_limits,
		.record_changed = members_record_changed, .record_changed_arg = &owner,
	};
	struct directory *d = directory_new(CLIENTS);

	fuzz_key(seed.k, 3);
	MUST(d && server_init(&server, &o, now) == 0);
	for (unsigned i = 0; i < CLIENTS; i++)
		add_client(d, i);
	MUST(directory_finish(d) == 0);
	server_set_directory(&server, d);
	owner = (struct members_owner){members_new(), &server};
	MUST(owner.members);
	for (unsigned i = 0; i < CLIENTS; i++)
		begin_session(i, keyring_issuer(server.keyring));
}

static void make_path(void)
{
	struct networks *own = calloc(1, sizeof *own + 4 * sizeof own->list[0]);

	MUST(own && prefix_parse("10.9.0.0/16", &own->list[0]) == 0);
	MUST(prefix_parse("fd09::/32", &own->list[1]) == 0);
	own->count = 2;
	MUST(prefix_parse(DENIED6, &own->list[2]) == 0 && prefix_parse(DENIED4, &own->list[3]) == 0);
	own->denied_count = 2;
	path.server = &server;
	path.mode = &mode_tunnel;
	path.xport = &xport;
	path.device[DEVICE_TUN].uso = true;
	path.clamp_mss = path.broadcast = true;
	path.networks = own;
	path.broadcast_count = 1;
	MUST(addr_parse("10.0.0.255", path.broadcast_ip[0]) == 0);
	MUST(addr_parse("10.0.0.1", path.own[FAMILY_V4]) == 0);
	MUST(addr_parse("fd00::1", path.own[FAMILY_V6]) == 0);
	path.has_own[FAMILY_V4] = path.has_own[FAMILY_V6] = true;
	path.flood_rate = 20;
	path.members = owner.members;
	path.worker_count = 1;
	worker = path.worker[0] = worker_new(&path, 0);
	MUST(worker);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct instant now = {TICKS_S(FUZZ_EPOCH * (ticks)EPOCH_SECONDS + 10), TICKS_S(FUZZ_BOOT)};

	(void)argc;
	(void)argv;
	MUST(crypto_init(CRYPTO_OPENSSL) == 0);
	rcu_register();
	make_server(&now);
	make_path();
	for (int d = 0; d < DEVICE_COUNT; d++) {
		int pair[2], room = 4 << 20;

		MUST(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair) == 0);
		setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
		worker->device[d] = pair[0];
		far[d] = pair[1];
	}
	worker->now = now;
	worker->now.cluster += TICKS_S(1);
	worker->now.boot += TICKS_S(1);
	return 0;
}

/* What may differ from script to script, and what scripts leave behind. */
static void begin(uint8_t options)
{
	path.copy_dscp = options & 1;
	path.mtu = options & 2 ? 1400 : 1280;
	path.client_rate = options & 4 ? 3 : 0;
	worker->to_device = options & 8;
	memset(worker->icmp_count, 0, sizeof worker->icmp_count);
	memset(worker->pieces, 0, sizeof *worker->pieces);
	memset(&joined, 0, sizeof joined);
	ethernet_free(path.ethernet);
	path.ethernet = ethernet_new();
	MUST(path.ethernet);
	for (unsigned i = 0; i < CLIENTS; i++) {
		peer[i].client->flood_copies = 0;
		peer[i].client->rate_packets = 0;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reader script = reader_over(data, size);

	begin(read_u8(&script));
	for (unsigned n = 0; n < SCRIPT_STEPS && reader_left(&script); n++) {
		enum step step = read_u8(&script) % STEP_COUNT;

		if (step == CLIENT_PACKET || step == CLIENT_BATCH)
			step_client(&script, step == CLIENT_BATCH);
		else
			step_device(&script, step == TUN_FRAME ? DEVICE_TUN : DEVICE_TAP);
	}
	receive_batch();
	tx_run_end(&worker->run);
	return 0;
}
