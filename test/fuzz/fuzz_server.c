/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The server's core against whatever comes.  The script sends datagrams, raw or
 * sealed under a real session (so that malformed plaintexts get past the tag),
 * from addresses that it chooses; it steps the clock, replays, sends handshakes
 * and tickets, and takes a client away.  It never has a cookie but those that the
 * server sent.  After each step:
 *
 *   - nothing that was changed is accepted, nothing is accepted twice;
 *   - plaintexts come out as they went in;
 *   - an answer goes to the address that is on record, or to the sender of what
 *     it answers and is no larger; or a HELLO_ACK goes to a cookie's address;
 *   - no number is used twice under one key;
 *   - a record's endpoint is an address that a cookie of its session was sent to;
 *   - exactly the clients with a record are members of the groups in it;
 *   - a question about relays comes from an endpoint on record, of a client with the right;
 *   - a record is only lent by a ticket that was not changed, of a client not known.
 */
#include "base/rcu.h"

#include "fuzz.h"
#include "mode/members.h"
#include "proto/server.h"
#include "proto/ticket.h"

#define CLIENTS   2
#define ADDRESSES 4
#define EPOCHS    3
#define FIXED     (EPOCHS * (CLIENTS + 1)) /* sessions: each client's, one a stranger's */
#define GRANTED   6                        /* and so many from handshakes */
#define SESSIONS  (FIXED + GRANTED)
#define STRANGER  99                       /* its index */
#define COOKIES   8
#define PACKETS   1024
#define KEPT      (SCRIPT_STEPS + 1)

enum step { RAW, SEALED, HELLO, CLOCK, REPLAY, HANDSHAKE, RELOAD, DOWNSTREAM, TICKET, STEP_COUNT };
enum sealed_flag { CHACHA = 1, SAME_NUMBER = 2, SPOILT = 4, IN_PLACE = 8 };
enum hello_flag { HELLO_CHACHA = 1, HELLO_OTHER_KIND = 2, HELLO_SPOILT = 4, HELLO_ELSEWHERE = 8,
		HELLO_OTHER_SESSION = 16 };

struct session {
	bool known;
	unsigned client; /* CLIENTS: a stranger */
	uint8_t sid[SID_SIZE], kid;
	struct tx_key up[AEAD_COUNT];
	struct rx_key down[AEAD_COUNT];
	uint32_t number;
};

struct cookie {
	unsigned session;
	uint8_t sid[SID_SIZE], kind, bytes[COOKIE_SIZE];
	struct endpoint address;
};

/* A downstream packet's nonce. */
struct used {
	unsigned session;
	enum aead aead;
	uint16_t t;
	uint32_t number;
};

/* A datagram that was sent to the server, and may be again. */
struct copy {
	uint8_t *data;
	size_t len;
	uint8_t *plain; /* what was sealed in it, or NULL: then no plaintext may come of it */
	const struct session *session;
	bool spoilt, accepted;
};

/* Made once. */
static struct key_pair cluster, client_pair[CLIENTS];
static uint8_t psk[KEY_SIZE], ss[CLIENTS][KEY_SIZE], mac_key[KEY_SIZE];
static struct lineage_seed lineage = {.generation = 1, .id = 1, .epoch = FUZZ_EPOCH};
static struct session fixed[FIXED];
static struct epoch_keys keys[EPOCHS];
static struct client *stranger;
static struct endpoint address[ADDRESSES];

/* Of one script. */
static struct fuzz {
	struct output output; /* first member */
	struct server server;
	struct members *members;
	struct members_owner owner;
	struct instant now;
	uint64_t version; /* of client records */
	struct session session[SESSIONS];
	struct initiator initiator;
	unsigned initiator_client, granted;
	uint8_t token[TOKEN_SIZE];
	unsigned cookie_next, used_count, kept_count;
	struct cookie cookie[COOKIES], all_cookies[PACKETS];
	unsigned all_cookie_count;
	struct used used[PACKETS];
	struct copy kept[KEPT];
	/* the datagram under way */
	const struct datagram *in;
	size_t answered; /* bytes to an address not on record */
	unsigned lent, asked;
} f;

/* ---- what the server sends ---- */

static const struct session_record *record_of(unsigned client)
{
	struct client *c = directory_by_index(f.server.directory, client + 1);

	return c && !c->removed ? c->session : NULL;
}

static bool on_record(const struct endpoint *to)
{
	for (unsigned c = 0; c < CLIENTS; c++)
		if (record_of(c) && endpoint_equal(&record_of(c)->endpoint, to))
			return true;
	return false;
}

static void remember_cookie(unsigned session, uint8_t kind, const struct endpoint *to,
		const uint8_t bytes[COOKIE_SIZE])
{
	struct cookie c = {.session = session, .kind = kind, .address = *to};

	memcpy(c.sid, f.session[session].sid, SID_SIZE);
	memcpy(c.bytes, bytes, COOKIE_SIZE);
	f.cookie[f.cookie_next++ % COOKIES] = c;
	if (f.all_cookie_count < PACKETS)
		f.all_cookies[f.all_cookie_count++] = c;
}

static bool had_cookie(const uint8_t sid[SID_SIZE], const struct endpoint *where)
{
	for (unsigned i = 0; i < f.all_cookie_count; i++)
		if (endpoint_equal(&f.all_cookies[i].address, where) &&
				!memcmp(f.all_cookies[i].sid, sid, SID_SIZE))
			return true;
	return false;
}

static void use_number(unsigned session, enum aead aead, const uint8_t *packet)
{
	struct used u = {session, aead, load_be16(packet + HEADER_T),
			load_be32(packet + HEADER_NUMBER)};

	for (unsigned i = 0; i < f.used_count; i++)
		MUST(f.used[i].session != session || f.used[i].aead != aead ||
				f.used[i].number != u.number);
	if (f.used_count < PACKETS)
		f.used[f.used_count++] = u;
}

/* Opens a downstream packet; its session. */
static unsigned open_down(const uint8_t *packet, size_t len, uint8_t *plain)
{
	struct header h;

	header_load(&h, packet);
	MUST(len >= PACKET_OVERHEAD && !memcmp(h.to, f.server.sender, SENDER_SIZE));
	MUST(h.t == (uint16_t)time_16th(f.now.cluster));
	for (unsigned i = 0; i < SESSIONS; i++) {
		const struct session *s = &f.session[i];

		if (s->known && s->kid == h.kid &&
				!memcmp(s->sid + SENDER_SIZE, h.to + SENDER_SIZE,
						SID_SIZE - SENDER_SIZE) &&
				rx_open(&s->down[h.type / 2], packet, len, plain)) {
			use_number(i, h.type / 2, packet);
			return i;
		}
	}
	MUST(!"a packet in a session that nobody has");
	return 0;
}

static bool sent_down(const struct endpoint *to, const uint8_t *packet, size_t len)
{
	uint8_t plain[MESSAGE1_SIZE + 400];
	struct challenge c;
	struct hello_ack ack;
	unsigned session;

	MUST(len <= sizeof plain);
	session = open_down(packet, len, plain);
	len -= PACKET_OVERHEAD;
	if (plain[0] == CONTROL_BYTE(CONTROL_RELAY_ANSWER))
		MUST(len <= RELAY_ANSWER_MAX && on_record(to));
	if (challenge_read(&c, plain, len)) {
		MUST(endpoint_equal(&c.address, to) && c.time == f.now.cluster);
		remember_cookie(session, c.kind, to, c.cookie);
	}
	if (!hello_ack_read(&ack, plain, len))
		return false;
	MUST(f.in && ack.number == load_be32(f.in->data + HEADER_NUMBER));
	return had_cookie(f.session[session].sid, to);
}

static void session_keys(struct session *s, const uint8_t secret[KEY_SIZE], uint64_t epoch)
{
	static const uint8_t sender[SENDER_SIZE] = {0, 7, 1, 2, 3};

	for (unsigned a = 0; a < AEAD_COUNT; a++) {
		tx_key_up(&s->up[a], secret, a, s->kid, s->sid, 0, epoch);
		rx_key_down(&s->down[a], secret, a, sender);
	}
	s->known = true;
}

static void sent_message2(const struct endpoint *to, const uint8_t *packet, size_t len)
{
	struct session *s = &f.session[FIXED + f.granted];
	struct grant g;

	if (f.granted == GRANTED || initiator_finish(&f.initiator,
			&client_pair[f.initiator_client], packet, len, &g) != 0)
		return; /* an answer to a copy of an earlier message 1 */
	MUST(endpoint_equal(&g.address, to));
	*s = (struct session){.client = f.initiator_client, .kid = g.kid};
	memcpy(s->sid, g.sid, SID_SIZE);
	session_keys(s, g.s, (g.end + 5) / EPOCH_SECONDS - 2);
	remember_cookie(FIXED + f.granted++, KIND_PATH, to, g.cookie);
}

static void sent(struct output *out, const struct endpoint *to, const uint8_t *packet, size_t len)
{
	bool back = f.in && endpoint_equal(f.in->from, to), acknowledged = false;

	(void)out;
	MUST(len >= HEADER_SIZE && (packet[0] & 0xf0) == WIRE_MAGIC);
	switch (packet[0] & 0x0f) {
	case WIRE_DATA_DOWN:
	case WIRE_DATA_DOWN_CHACHA:
		acknowledged = sent_down(to, packet, len);
		break;
	case WIRE_HANDSHAKE_2:
		sent_message2(to, packet, len);
		break;
	case WIRE_RETRY:
		MUST(len == RETRY_SIZE);
		memcpy(f.token, packet + RETRY_TOKEN, TOKEN_SIZE);
		break;
	case WIRE_HINT:
		MUST(len == HINT_SIZE && back && !memcmp(packet + 16, f.in->data, HEADER_SIZE));
		break;
	default:
		MUST(!"a type that is never sent");
	}
	if (on_record(to))
		return;
	MUST(back || acknowledged);
	f.answered += len;
	MUST(f.answered <= f.in->len);
}

/* ---- what it is asked about relays ---- */

/* As full an answer as there can be, so that all of it goes through the writer. */
static void control(void *arg, const struct instant *now, uint32_t owner,
		const struct relay_question *q, struct relay_answer *a)
{
	MUST(arg == &f && now == &f.now && owner == 1 && f.in && on_record(f.in->from));
	f.asked++;
	a->count = q->op % (RELAY_PAGE + 1);
	for (unsigned i = 0; i < a->count; i++) {
		a->relay[i].protocol = RELAY_UDP;
		a->relay[i].span = 2;
		a->relay[i].side[0].kind = RELAY_GIVEN;
		a->relay[i].side[1].kind = q->number & 1 ? RELAY_TOKEN : RELAY_LEARNT;
	}
}

/* ---- what it gets ---- */

static uint8_t *duplicate(const uint8_t *data, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1); /* of exactly this size,
			so that no byte outside goes unseen */

	MUST(copy);
	if (len)
		memcpy(copy, data, len);
	return copy;
}

static struct copy *keep(const uint8_t *data, size_t len)
{
	struct copy *k = &f.kept[f.kept_count++];

	MUST(f.kept_count <= KEPT);
	*k = (struct copy){.data = duplicate(data, len), .len = len};
	return k;
}

/* After an eviction by a new session of the same client, the bitmap is gone. */
static void forget_accepted(void)
{
	for (unsigned i = 0; i < f.kept_count; i++)
		f.kept[i].accepted = false;
}

static bool enrolled(unsigned client)
{
	struct client *c = directory_by_index(f.server.directory, client + 1);

	return c && !c->removed;
}

static void check_verdict(struct copy *k, enum drop why)
{
	MUST(why != DROP_NONE || (!k->accepted && !k->spoilt));
	if (k->spoilt)
		MUST(why != DROP_AGE && why != DROP_REPLAY);
	else if (k->session && !enrolled(k->session->client))
		MUST(why == DROP_KID || why == DROP_INDEX || why == DROP_REVOKED);
	else if (k->session)
		MUST(why != DROP_TAG && why != DROP_REVOKED);
	k->accepted = k->session && (k->accepted || why == DROP_NONE);
}

static enum drop arrive(struct copy *k, const struct endpoint *from, bool in_place)
{
	uint8_t *data = duplicate(k->data, k->len);
	uint8_t *own = malloc(MAX(k->len, PACKET_OVERHEAD + 1u) - PACKET_OVERHEAD);
	uint8_t *to = in_place ? data + HEADER_SIZE : own;
	struct datagram d = {.data = data, .len = k->len, .from = from};
	uint64_t evictions = f.server.events[SERVER_EVICTIONS];
	struct opened o = {.plain = to};
	enum drop why;

	MUST(own);
	f.in = &d;
	f.answered = 0;
	why = server_open(&f.server, &f.now, &d, to, &f.output, &o);
	f.in = NULL;
	if (f.server.events[SERVER_EVICTIONS] != evictions)
		forget_accepted();
	MUST(why == DROP_NONE || o.len == 0);
	if (o.len)
		MUST(k->plain && o.plain == to && o.len == k->len - PACKET_OVERHEAD &&
				!memcmp(to, k->plain, o.len) && o.client && o.active);
	check_verdict(k, why);
	free(own);
	free(data);
	return why;
}

static void step_raw(struct reader *script)
{
	const struct endpoint *from = &address[read_u8(script) % ADDRESSES];
	size_t len;
	uint8_t *data = script_bytes(script, read_u16(script), &len);

	arrive(keep(data, len), from, false);
	free(data);
}

/* Seals; age in 1/16 s. */
static struct copy *seal(const struct session *s, bool chacha, int8_t age, const uint8_t *plain,
		size_t len)
{
	uint16_t t = (uint16_t)(time_16th(f.now.cluster) - (uint64_t)(int64_t)age);
	uint8_t *packet = malloc(len + PACKET_OVERHEAD);
	struct copy *k;

	MUST(packet);
	tx_seal(&s->up[chacha ? AEAD_CHACHA20_POLY1305 : AEAD_AES_256_GCM], t, s->number, plain,
			len, packet);
	k = keep(packet, len + PACKET_OVERHEAD);
	k->plain = duplicate(plain, len);
	k->session = s;
	free(packet);
	return k;
}

static void step_sealed(struct reader *script)
{
	struct session *s = &f.session[read_u8(script) % SESSIONS];
	uint8_t flags = read_u8(script);
	int8_t age = (int8_t)read_u8(script);
	const struct endpoint *from = &address[read_u8(script) % ADDRESSES];
	uint8_t spoil = read_u8(script);
	struct copy *k;
	size_t len;
	uint8_t *plain;

	if (!s->known)
		return;
	if (!(flags & SAME_NUMBER))
		s->number += 1u << (flags >> 4);
	plain = script_bytes(script, read_u16(script), &len);
	k = seal(s, flags & CHACHA, age, plain, len);
	free(plain);
	k->spoilt = flags & SPOILT;
	if (k->spoilt) /* not its type: that is tried with raw ones */
		k->data[1 + spoil % (k->len - 1)] ^= 0x10;
	arrive(k, from, flags & IN_PLACE);
}

/* A HELLO with a cookie that the server has sent, or with a little less. */
static void step_hello(struct reader *script)
{
	const struct cookie *c = &f.cookie[read_u8(script) % COOKIES];
	uint8_t flags = read_u8(script), session = read_u8(script) % SESSIONS;
	int8_t age = (int8_t)read_u8(script);
	const struct endpoint *from = &address[read_u8(script) % ADDRESSES];
	struct session *s = &f.session[flags & HELLO_OTHER_SESSION ? session : c->session];
	struct hello h = {.kind = c->kind, .address = c->address};
	uint8_t plain[HELLO_MAX + UPSTREAM_MIN] = {0}, groups;
	size_t len;

	h.down_mtu = read_u16(script);
	h.keepalive = read_u16(script);
	groups = read_u8(script);
	h.mac_count = read_u8(script) % (MACS_MAX + 1);
	for (h.group_count = 0; h.group_count < groups % 4; h.group_count++)
		memset(h.groups[h.group_count], groups >> (2 + 2 * h.group_count) & 3, 16);
	if (!s->known)
		return;
	memcpy(h.cookie, c->bytes, COOKIE_SIZE);
	h.kind ^= !!(flags & HELLO_OTHER_KIND);
	h.cookie[COOKIE_SIZE - 1] ^= !!(flags & HELLO_SPOILT);
	if (flags & HELLO_ELSEWHERE)
		h.address.port ^= 1;
	s->number++;
	len = MAX(hello_write(plain, &h), (size_t)UPSTREAM_MIN - PACKET_OVERHEAD);
	arrive(seal(s, flags & HELLO_CHACHA, age, plain, len), from, false);
}

static void step_clock(struct reader *script)
{
	ticks by = (ticks)read_u16(script) << 16; /* 4 ms, at most 256 s */
	uint8_t more = read_u8(script);           /* 0.25 s that the clock is put forward by */

	f.now.boot += by;
	f.now.cluster += by + (more >> 1) * TICKS_MS(250);
	if (more & 1)
		server_tick(&f.server, &f.now);
}

static void step_replay(struct reader *script)
{
	uint8_t which = read_u8(script);
	const struct endpoint *from = &address[read_u8(script) % ADDRESSES];

	if (f.kept_count)
		arrive(&f.kept[which % f.kept_count], from, true);
}

static void step_handshake(struct reader *script)
{
	static const struct offer offers[] = {
		{1, 2, {PROTOCOL_VERSION}, {0, 1}},
		{2, 2, {0x1a, PROTOCOL_VERSION}, {1, 0}},
		{1, 1, {1}, {0}},
		{1, 1, {PROTOCOL_VERSION}, {7}},
	};
	uint8_t what = read_u8(script), mac[HASH_SIZE];
	const struct endpoint *from = &address[read_u8(script) % ADDRESSES];
	uint16_t at = read_u16(script) % MESSAGE1_SIZE;
	uint8_t ephemeral[KEY_SIZE], *message = f.initiator.message;
	struct copy *k;

	fuzz_key(ephemeral, (uint8_t)(0x20 + f.kept_count));
	f.initiator_client = what & 1;
	MUST(initiator_begin(&f.initiator, &client_pair[what & 1], psk, cluster.public,
			&offers[what >> 1 & 3], ephemeral, f.kept_count) == 0);
	if (what & 0x10)
		memcpy(message + MESSAGE1_TOKEN, f.token, TOKEN_SIZE);
	hmac_parts(mac_key, KEY_SIZE, &PART(message, MESSAGE1_MAC), 1, mac);
	memcpy(message + MESSAGE1_MAC, mac, MAC_SIZE);
	if (what & 0x20)
		message[at] ^= 0x04;
	k = keep(message, what & 0x40 ? at : MESSAGE1_SIZE);
	MUST(arrive(k, from, false) != DROP_NONE || !(what & 0x60));
}

static void lent(void *arg, const struct record *r)
{
	(void)arg;
	MUST(r->index == STRANGER && !strcmp(r->name, "x"));
	f.lent++;
}

static void step_ticket(struct reader *script)
{
	unsigned which = read_u8(script) % FIXED;
	uint8_t flags = read_u8(script), spoil = read_u8(script), nonce[NONCE_SIZE];
	const struct endpoint *from = &address[read_u8(script) % ADDRESSES];
	uint8_t packet[HEADER_SIZE + 2 + TICKET_MAX + HELLO_FIXED + TAG_SIZE];
	uint8_t plain[HELLO_FIXED] = {0};
	struct session *s = &f.session[which];
	const struct tx_key *tx = &s->up[flags & CHACHA];
	struct header h = tx->header;
	size_t n = ticket_make(&keys[which / (CLIENTS + 1)], s->sid, stranger,
			packet + HEADER_SIZE + 2), ad_len = HEADER_SIZE + 2 + n;
	unsigned before = f.lent;
	struct copy *k;
	enum drop why;

	h.type = flags & CHACHA ? WIRE_TICKET_UP_CHACHA : WIRE_TICKET_UP;
	h.number = ++s->number;
	header_store(packet, &h);
	store_be16(packet + HEADER_SIZE, (uint16_t)n);
	packet_nonce(nonce, tx->iv, h.t, h.number);
	aead_seal(&tx->key, nonce, packet, ad_len, plain, sizeof plain, packet + ad_len);
	k = keep(packet, ad_len + sizeof plain + TAG_SIZE);
	k->spoilt = flags & SPOILT;
	if (k->spoilt)
		k->data[1 + spoil % (k->len - 1)] ^= 0x10;
	why = arrive(k, from, false);
	MUST(f.lent - before == (why == DROP_NONE));
	MUST(why != DROP_NONE || s->client == CLIENTS);
	/* of an ended session the key id may come again */
	MUST(why != DROP_TAG || k->spoilt || time_seconds(f.now.cluster) >=
			session_end(keys[which / (CLIENTS + 1)].epoch));
}

static void step_downstream(struct reader *script)
{
	uint8_t plain[64] = {0x60}, packet[sizeof plain + PACKET_OVERHEAD];
	struct client *c = directory_by_index(f.server.directory, read_u8(script) % CLIENTS + 1);
	struct tx_run run = {0};
	struct downstream down;
	uint32_t number;

	if (!c || server_downstream(&f.server, &f.now, c, &down) != DROP_NONE)
		return;
	MUST(down.record == c->session && !memcmp(down.active->sid, down.record->sid, SID_SIZE));
	if (!tx_number(&run, &down.active->tx, 3, &f.server.limits, &number))
		return;
	tx_seal(&down.active->tx, (uint16_t)time_16th(f.now.cluster), number, plain, sizeof plain,
			packet);
	tx_run_end(&run);
	sent(&f.output, &down.record->endpoint, packet, sizeof packet);
}

/* ---- begin, end, and what always holds ---- */

static struct directory *make_directory(unsigned clients)
{
	struct directory *d = directory_new(CLIENTS), *from = f.server.directory;
	char error[256];

	MUST(d);
	for (unsigned i = 0; i < CLIENTS; i++) {
		struct record r = {.index = i + 1, .rights = RIGHT_ETHERNET, .prefix_count = 1};

		r.rights |= i == 0 ? RIGHT_RELAY : 0;
		r.version = i == CLIENTS - 1 ? f.version : 1;
		r.removed = i >= clients;
		memcpy(r.public, client_pair[i].public, KEY_SIZE);
		memcpy(r.psk, psk, KEY_SIZE);
		r.prefixes[0] = (struct prefix){.ip = {0xfd, [15] = (uint8_t)(i + 1)}, .len = 128};
		snprintf(r.name, sizeof r.name, "client%u", i);
		MUST(directory_add(d, from, &r, ss[i], error, sizeof error) == 0);
	}
	MUST(directory_finish(d) == 0);
	return d;
}

static void step_reload(struct reader *script)
{
	uint8_t what = read_u8(script);

	f.version += what >> 1 & 1;
	server_set_directory(&f.server, make_directory(CLIENTS - (what & f.version & 1)));
	forget_accepted();
}

static unsigned times_in(const struct member_list *l, const struct client *c)
{
	unsigned n = 0;

	for (unsigned i = 0; l && i < l->count; i++)
		n += l->client[i] == c;
	return n;
}

static unsigned members_in(const struct member_list *l)
{
	return l ? l->count - l->gone : 0;
}

static void check_state(void)
{
	unsigned all = 0, in_group[4] = {0};

	for (unsigned i = 0; i < CLIENTS; i++) {
		const struct session_record *r = record_of(i);
		const struct client *c = directory_by_index(f.server.directory, i + 1);

		MUST(times_in(members_all(f.members), c) == !!r);
		if (!r)
			continue;
		MUST(had_cookie(r->sid, &r->endpoint));
		MUST(r->down_mtu >= 1280 && r->down_mtu <= 1500 && r->aead < AEAD_COUNT);
		all++;
		for (unsigned g = 0; g < ARRAY_SIZE(in_group); g++) {
			uint8_t group[16];
			bool member = false;

			memset(group, (int)g, sizeof group);
			for (unsigned k = 0; k < r->group_count; k++)
				member |= !memcmp(record_group(r, k), group, 16);
			in_group[g] += member;
			MUST(times_in(members_of_group(f.members, group), c) == member);
		}
	}
	MUST(members_in(members_all(f.members)) == all && f.server.record_count == all);
	MUST(members_in(members_ethernet(f.members)) == all);
	for (unsigned g = 0; g < ARRAY_SIZE(in_group); g++) {
		uint8_t group[16];

		memset(group, (int)g, sizeof group);
		MUST(members_in(members_of_group(f.members, group)) == in_group[g]);
	}
}

static void begin(void)
{
	struct server_options o = {
		.number = 7, .boot_random = {1, 2, 3}, .active_sessions = 5,
		.handshake_rate = 2, .handshake_prefix_rate = 3, .keepalive_min = 10,
		.keepalive_max = 100, .cluster_key_count = 1, .start = &lineage,
		.limits = key_limits, .record_changed = members_record_changed,
		.record_changed_arg = &f.owner, .client_lent = lent,
		.relay_control = control, .relay_control_arg = &f,
	};

	f = (struct fuzz){.output.send = sent, .version = 2};
	f.now.cluster = TICKS_S(FUZZ_EPOCH * (ticks)EPOCH_SECONDS + 10);
	f.now.boot = TICKS_S(FUZZ_BOOT);
	memcpy(f.session, fixed, sizeof fixed);
	f.members = members_new();
	MUST(f.members);
	f.owner = (struct members_owner){f.members, &f.server};
	memcpy(o.cluster_secrets[0], cluster.secret, KEY_SIZE);
	MUST(server_init(&f.server, &o, &f.now) == 0);
	server_set_directory(&f.server, make_directory(CLIENTS));
	f.now.cluster += TICKS_S(40); /* nothing is from before the start */
	f.now.boot += TICKS_S(40);
}

static void end(void)
{
	server_set_directory(&f.server, make_directory(CLIENTS));
	check_state();
	for (unsigned i = 0; i < f.kept_count; i++) {
		free(f.kept[i].data);
		free(f.kept[i].plain);
	}
	server_free(&f.server);
	members_free(f.members);
}

static void make_sessions(void)
{
	struct lineage l;

	lineage_birth(&l, 1, 1, FUZZ_EPOCH, lineage.k);
	for (unsigned i = 0; i < FIXED; i++) {
		struct session *s = &fixed[i];
		uint8_t h[HASH_SIZE], secret[KEY_SIZE], nobody[KEY_SIZE] = {0};
		const struct epoch_keys *k;

		if (i && i % (CLIENTS + 1) == 0)
			lineage_step(&l, FUZZ_EPOCH + i / (CLIENTS + 1));
		k = &l.keys[EPOCH_CURRENT];
		keys[i / (CLIENTS + 1)] = *k;
		s->client = i % (CLIENTS + 1);
		s->kid = k->kid;
		fuzz_key(h, (uint8_t)i);
		sid_make(k, h, s->client == CLIENTS ? STRANGER : s->client + 1, s->sid);
		session_secret(k, s->sid, s->client == CLIENTS ? nobody :
				client_pair[s->client].public, secret);
		session_keys(s, secret, k->epoch);
	}
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	MUST(crypto_init(CRYPTO_OPENSSL) == 0);
	rcu_register();
	fuzz_pair(&cluster, 1);
	message1_mac_key(cluster.public, mac_key);
	fuzz_key(psk, 2);
	fuzz_key(lineage.k, 3);
	for (unsigned i = 0; i < CLIENTS; i++) {
		fuzz_pair(&client_pair[i], (uint8_t)(4 + i));
		MUST(x25519(cluster.secret, client_pair[i].public, ss[i]) == 0);
	}
	for (unsigned i = 0; i < ADDRESSES; i++) {
		uint8_t v4[4] = {192, 0, 2, (uint8_t)(i / 2)};

		if (i & 1)
			address[i] = (struct endpoint){.ip = {0x20, 1, [15] = (uint8_t)i}};
		else
			addr_from_v4(address[i].ip, v4);
		address[i].port = (uint16_t)(1000 + i);
	}
	make_sessions();
	stranger = calloc(1, sizeof *stranger + 1);
	MUST(stranger);
	stranger->index = STRANGER;
	stranger->name_len = 1;
	stranger->data[0] = 'x';
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const steps[STEP_COUNT])(struct reader *script) = {
		[RAW] = step_raw, [SEALED] = step_sealed, [HELLO] = step_hello,
		[CLOCK] = step_clock, [REPLAY] = step_replay, [HANDSHAKE] = step_handshake,
		[RELOAD] = step_reload, [DOWNSTREAM] = step_downstream,
		[TICKET] = step_ticket,
	};
	struct reader script = reader_over(data, size);

	begin();
	for (unsigned n = 0; n < SCRIPT_STEPS && reader_left(&script); n++) {
		steps[read_u8(&script) % STEP_COUNT](&script);
		check_state();
	}
	end();
	return 0;
}
