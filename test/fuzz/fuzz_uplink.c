/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The client's core against whatever comes.  The harness is the cluster: it has
 * the keys, so the script can answer handshakes with any grant, and seal any
 * plaintext in any session from any server; and it is the outsider, who sends
 * raw bytes, spoilt copies, and hints.  After each step:
 *
 *   - nothing spoilt changes the sessions, nothing is accepted twice;
 *   - plaintexts come out as they went in;
 *   - what goes out goes to a server of the configuration, fits the path, and is
 *     what a server would accept: padded, well-formed, with a number above the
 *     last one and a T not before the last one of its session;
 *   - a question about relays is answered once, by its own answer, or by none in time;
 *   - one ephemeral never encrypts two different things.
 */
#include "fuzz.h"
#include "proto/epoch.h"
#include "proto/uplink.h"

#define SESSIONS 6
#define SENDERS  3
#define MESSAGES 4 /* handshakes of the client that can still be answered */
#define ACCEPTED 256
#define QUESTIONS SCRIPT_STEPS

enum step { RAW, SEALED, ANSWER, RETRY, HINT, CLOCK, SEND, CHANGE, STEP_COUNT };
enum sealed_flag { CHACHA = 1, SAME_NUMBER = 2, SPOILT = 4, IN_PLACE = 8, PRESENT_HELLO = 16,
		PRESENT_UP = 32, PRESENT_DOWN = 64, OTHER_SESSION = 128 };
enum answer_flag { SPOILT_ANSWER = 1, SAME_SID = 2, SAME_LOW = 4, OTHER_END = 8, OTHER_TIME = 16,
		OTHER_VERSION = 32, TICKET = 64, GRANT_CHACHA = 128 };

struct session {
	bool known;
	uint8_t sid[SID_SIZE], kid, s[KEY_SIZE];
	uint8_t ticket[TICKET_MAX];
	uint16_t ticket_len;
	uint64_t epoch;
	struct rx_key up[AEAD_COUNT];
	uint32_t number;   /* the last one sealed */
	uint64_t last;     /* the last one the client used, plus one */
	uint64_t last_t;
};

static struct key_pair cluster[2], client;
static uint8_t psk[KEY_SIZE], ss[2][KEY_SIZE], mac_key[2][KEY_SIZE];

static struct fuzz {
	struct output output; /* first member */
	struct uplink uplink;
	struct instant now;
	ticks cluster_time;
	struct session session[SESSIONS];
	unsigned session_count, message_count, accepted_count;
	uint8_t message[MESSAGES][MESSAGE1_SIZE];
	uint8_t last_packet[HEADER_SIZE];
	uint64_t accepted[ACCEPTED]; /* hashes of packets that were */
	unsigned question_count, waiting[QUESTIONS];
} f;

/* ---- what the client sends ---- */

static unsigned cluster_key_of(const uint8_t *message1)
{
	for (unsigned i = 0; i < ARRAY_SIZE(cluster); i++)
		if (message1_check(message1, MESSAGE1_SIZE, mac_key[i]))
			return i;
	MUST(!"a message 1 for nobody");
	return 0;
}

static void sent_message1(const uint8_t *packet, size_t len)
{
	static const size_t ephemeral_end = MESSAGE1_NOISE + KEY_SIZE;

	MUST(len == MESSAGE1_SIZE);
	cluster_key_of(packet);
	for (unsigned i = 0; i < MIN(f.message_count, MESSAGES); i++)
		if (!memcmp(f.message[i] + MESSAGE1_NOISE, packet + MESSAGE1_NOISE, KEY_SIZE))
			MUST(!memcmp(f.message[i] + ephemeral_end, packet + ephemeral_end,
					MESSAGE1_TOKEN - ephemeral_end) &&
					!memcmp(f.message[i], packet, MESSAGE1_NOISE));
	memcpy(f.message[f.message_count++ % MESSAGES], packet, MESSAGE1_SIZE);
}

static struct session *session_of(const uint8_t *packet)
{
	/* the newest first: once a session is over, another one may have its id */
	for (unsigned i = 1; i <= MIN(f.session_count, SESSIONS); i++) {
		struct session *s = &f.session[(f.session_count - i) % SESSIONS];

		if (!memcmp(s->sid, packet + HEADER_TO, SID_SIZE) && s->kid == packet[HEADER_KID])
			return s;
	}
	MUST(!"a packet in a session that was not granted");
	return NULL;
}

static void check_control(const uint8_t *plain, size_t len)
{
	struct relay_question question;
	struct probe probe;
	struct hello hello;

	switch (plain[0]) {
	case CONTROL_BYTE(CONTROL_RELAY):
		MUST(relay_question_read(&question, plain, len) && len == RELAY_QUESTION_SIZE);
		MUST(f.uplink.newest->confirmed && question.request.lifetime == 600);
		break;
	case 0x10 | CONTROL_HELLO:
		MUST(hello_read(&hello, plain, len) && hello.down_mtu >= PMTU_BASE &&
				hello.down_mtu <= PMTU_FIRST);
		break;
	case 0x10 | CONTROL_PROBE:
		MUST(probe_read(&probe, plain, len) &&
				(probe.size >= PMTU_BASE || probe.id == UINT32_MAX));
		MUST(probe.size == len + PACKET_OVERHEAD +
				outer_overhead(addr_is_v4(uplink_server(&f.uplink)->ip)));
		break;
	case 0x10 | CONTROL_PROBE_REQ:
		MUST(probe_read(&probe, plain, len) && probe.size >= PMTU_BASE &&
				probe.size <= PMTU_FIRST);
		break;
	default:
		MUST(plain[0] == 0 || plain[0] == 0x60);
	}
}

/* As every packet up has it: of a session, padded, later than the last one. */
static struct session *check_header(const uint8_t *packet, size_t len, struct header *h)
{
	struct session *s = session_of(packet);

	header_load(h, packet);
	MUST(len >= UPSTREAM_MIN && len <= PMTU_FIRST);
	MUST(h->number >= s->last && f.uplink.last_t >= s->last_t &&
			h->t == (uint16_t)f.uplink.last_t);
	s->last = (uint64_t)h->number + 1;
	s->last_t = f.uplink.last_t;
	memcpy(f.last_packet, packet, HEADER_SIZE);
	return s;
}

static void sent_up(const uint8_t *packet, size_t len)
{
	uint8_t plain[PMTU_FIRST];
	struct header h;
	struct session *s = check_header(packet, len, &h);

	MUST(rx_open(&s->up[h.type / 2], packet, len, plain));
	check_control(plain, len - PACKET_OVERHEAD);
}

static void sent_ticket(const uint8_t *packet, size_t len)
{
	uint8_t plain[PMTU_FIRST], nonce[NONCE_SIZE];
	struct header h;
	struct session *s = check_header(packet, len, &h);
	const struct rx_key *rx = &s->up[h.type == WIRE_TICKET_UP_CHACHA];
	size_t ad_len = HEADER_SIZE + 2 + s->ticket_len;
	struct hello hello;

	MUST(s->ticket_len && load_be16(packet + HEADER_SIZE) == s->ticket_len && len > ad_len);
	MUST(!memcmp(packet + HEADER_SIZE + 2, s->ticket, s->ticket_len));
	packet_nonce(nonce, rx->iv, h.t, h.number);
	MUST(aead_open(&rx->key, nonce, packet, ad_len, packet + ad_len, len - ad_len, plain));
	MUST(hello_read(&hello, plain, len - ad_len - TAG_SIZE));
}

static void sent(struct output *out, const struct endpoint *to, const uint8_t *packet, size_t len)
{
	(void)out;
	MUST(endpoint_equal(to, uplink_server(&f.uplink)));
	MUST(len + outer_overhead(addr_is_v4(to->ip)) <= PMTU_FIRST);
	switch (packet[0]) {
	case WIRE_MAGIC | WIRE_DATA_UP:
	case WIRE_MAGIC | WIRE_DATA_UP_CHACHA:
		sent_up(packet, len);
		break;
	case WIRE_MAGIC | WIRE_TICKET_UP:
	case WIRE_MAGIC | WIRE_TICKET_UP_CHACHA:
		sent_ticket(packet, len);
		break;
	case WIRE_MAGIC | WIRE_HANDSHAKE_1:
		sent_message1(packet, len);
		break;
	default:
		MUST(!"a type that is never sent");
	}
}

/* ---- what it gets ---- */

static uint64_t digest(const uint8_t *packet, size_t len)
{
	uint64_t h = 0xcbf29ce484222325;

	for (size_t i = 0; i < len; i++)
		h = (h ^ packet[i]) * 0x100000001b3;
	return h;
}

/* As long as their session lives. */
static void accept_once(const uint8_t *packet, size_t len)
{
	uint64_t h = digest(packet, len);

	for (unsigned i = 0; i < f.accepted_count; i++)
		MUST(f.accepted[i] != h);
	if (f.accepted_count < ACCEPTED)
		f.accepted[f.accepted_count++] = h;
}

static uint8_t *exactly(const uint8_t *data, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);

	MUST(copy);
	if (len)
		memcpy(copy, data, len);
	return copy;
}

/* plain: what was sealed in it, or NULL. */
static enum drop arrive(const uint8_t *packet, size_t len, bool in_place, const uint8_t *plain)
{
	uint8_t *data = exactly(packet, len);
	uint8_t *own = malloc(MAX(len, PACKET_OVERHEAD + 1u) - PACKET_OVERHEAD);
	uint8_t *to = in_place ? data + HEADER_SIZE : own;
	struct datagram d = {.data = data, .len = len, .from = uplink_server(&f.uplink)};
	size_t got;
	enum drop why;

	MUST(own);
	why = uplink_open(&f.uplink, &f.now, &d, to, &f.output, &got);
	MUST(why == DROP_NONE || got == 0);
	if (got)
		MUST(plain && got == len - PACKET_OVERHEAD && !memcmp(to, plain, got));
	free(own);
	free(data);
	return why;
}

/* What an outsider sent: nothing that matters may have changed. */
struct essence {
	struct uplink_session *newest;
	uint64_t sessions, retries;
	int64_t offset;
	bool live[UPLINK_SESSIONS], hello_pending;
	unsigned senders[UPLINK_SESSIONS];
};

static struct essence essence_now(void)
{
	struct essence e;

	memset(&e, 0, sizeof e);
	e.newest = f.uplink.newest;
	e.sessions = f.uplink.events[UPLINK_EV_SESSIONS];
	e.retries = f.uplink.events[UPLINK_EV_RETRIES];
	e.offset = f.uplink.offset;
	e.hello_pending = f.uplink.hello.pending;
	for (unsigned i = 0; i < UPLINK_SESSIONS; i++) {
		e.live[i] = f.uplink.session[i].live;
		e.senders[i] = f.uplink.session[i].sender_count;
	}
	return e;
}

static void arrive_forged(const uint8_t *packet, size_t len, bool in_place)
{
	struct essence before = essence_now(), after;

	MUST(arrive(packet, len, in_place, NULL) != DROP_NONE);
	after = essence_now();
	MUST(!memcmp(&before, &after, sizeof before));
}

static void step_raw(struct reader *script)
{
	size_t len;
	uint8_t *data = script_bytes(script, read_u16(script), &len);
	struct essence before = essence_now(), after;

	arrive(data, len, false, NULL); /* by chance a hint may be right */
	after = essence_now();
	MUST(!memcmp(&before, &after, sizeof before));
	free(data);
}

/* Puts in what a script cannot know: the number of the HELLO, or the id of the probe, that is waited for. */
static void patch(uint8_t *plain, size_t len, uint8_t flags)
{
	const struct pmtu *p = flags & PRESENT_UP ? &f.uplink.up : &f.uplink.down;

	if ((flags & PRESENT_HELLO) && len >= HELLO_ACK_SIZE)
		store_be32(plain + 2, (uint32_t)f.uplink.hello.first);
	for (unsigned i = 0; i < UPLINK_QUESTIONS && len >= RELAY_ANSWER_FIXED; i++)
		if ((flags & PRESENT_UP) && plain[0] == CONTROL_BYTE(CONTROL_RELAY_ANSWER) &&
				f.uplink.question[i].used) {
			plain[1] = f.uplink.question[i].q.op;
			store_be32(plain + 2, f.uplink.question[i].q.number);
			return;
		}
	if ((flags & (PRESENT_UP | PRESENT_DOWN)) && len >= PROBE_FIXED)
		store_be32(plain + 4, p->id);
}

static void step_sealed(struct reader *script)
{
	uint8_t which = read_u8(script), flags = read_u8(script);
	uint8_t sender[SENDER_SIZE] = {0, (uint8_t)(read_u8(script) % SENDERS), 1, 2, 3};
	int age = (int8_t)read_u8(script) * 2; /* 1/16 s */
	uint8_t spoil = read_u8(script), *plain, *packet;
	struct session *s = &f.session[(f.session_count - 1 + (flags & OTHER_SESSION ? which : 0)) %
			SESSIONS];
	struct tx_key tx;
	size_t len;

	if (!f.session_count || !s->known)
		return;
	plain = script_bytes(script, read_u16(script), &len);
	patch(plain, len, flags);
	s->number += !(flags & SAME_NUMBER);
	tx_key_down(&tx, s->s, flags & CHACHA ? AEAD_CHACHA20_POLY1305 : AEAD_AES_256_GCM, s->kid,
			s->sid, sender, 0, s->epoch);
	packet = malloc(len + PACKET_OVERHEAD);
	MUST(packet);
	len = tx_seal(&tx, (uint16_t)(time_16th(f.cluster_time) - (uint64_t)(int64_t)age),
			s->number, plain, len, packet);
	if (flags & SPOILT) {
		packet[1 + spoil % (len - 1)] ^= 0x10;
		arrive_forged(packet, len, flags & IN_PLACE);
	} else if (arrive(packet, len, flags & IN_PLACE, plain) == DROP_NONE) {
		accept_once(packet, len);
	}
	free(packet);
	free(plain);
}

/* ---- handshakes ---- */

static struct session *new_session(const struct grant *g)
{
	struct session *s = &f.session[f.session_count++ % SESSIONS];

	*s = (struct session){.known = true, .kid = g->kid};
	memcpy(s->sid, g->sid, SID_SIZE);
	memcpy(s->s, g->s, KEY_SIZE);
	memcpy(s->ticket, g->ticket, g->ticket_len);
	s->ticket_len = g->ticket_len;
	for (unsigned a = 0; a < AEAD_COUNT; a++)
		rx_key_up(&s->up[a], s->s, a);
	return s;
}

static void fill_grant(struct grant *g, uint8_t flags, uint8_t other)
{
	uint64_t epoch = time_epoch(f.cluster_time);
	const struct session *last = &f.session[(f.session_count + SESSIONS - 1) % SESSIONS];

	*g = (struct grant){.version = PROTOCOL_VERSION, .kid = (uint8_t)epoch,
			.aead = !!(flags & GRANT_CHACHA)};
	fuzz_key(g->s, (uint8_t)(f.session_count + 1));
	memset(g->sid, (int)f.session_count + 1, SID_SIZE);
	memset(g->cookie, (int)f.session_count + 1, COOKIE_SIZE);
	g->end = (uint32_t)session_end(epoch);
	g->time = f.cluster_time;
	g->address = (struct endpoint){.ip = {0x20, 1}, .port = other};
	if ((flags & SAME_LOW) && last->known)
		memcpy(g->sid + SENDER_SIZE, last->sid + SENDER_SIZE, SID_SIZE - SENDER_SIZE);
	if ((flags & SAME_SID) && last->known)
		memcpy(g->sid, last->sid, SID_SIZE);
	if (flags & OTHER_END)
		g->end = (uint32_t)(session_end(epoch) + (uint64_t)((int8_t)other * 100));
	if (flags & OTHER_TIME)
		g->time += (ticks)(int64_t)(int8_t)other << 28; /* 16 s */
	if (flags & OTHER_VERSION)
		g->version = other;
	if (flags & TICKET)
		g->ticket_len = other;
}

/* The server's whole side; the size of message 2, or 0 if the message 1 cannot be answered. */
static size_t make_message2(const uint8_t *message1, const struct grant *g, uint8_t *out)
{
	unsigned key = cluster_key_of(message1);
	uint8_t ephemeral[KEY_SIZE];
	struct responder r;
	struct offer offer;

	MUST(responder_open(&r, &cluster[key], message1, MESSAGE1_SIZE) == 0);
	MUST(!memcmp(r.client_public, client.public, KEY_SIZE));
	MUST(responder_accept(&r, ss[key], &offer) == 0 && offer.aead_count == AEAD_COUNT);
	fuzz_key(ephemeral, (uint8_t)(f.session_count + 0x30));
	MUST(responder_answer(&r, psk, ephemeral) == 0);
	return responder_finish(&r, g, out);
}

static void step_answer(struct reader *script)
{
	uint8_t which = read_u8(script), flags = read_u8(script), other = read_u8(script);
	uint16_t spoil = read_u16(script);
	uint64_t before = f.uplink.events[UPLINK_EV_SESSIONS];
	uint8_t packet[MESSAGE1_SIZE];
	struct session kept;
	struct grant g;
	size_t len;

	if (!f.message_count)
		return;
	fill_grant(&g, flags, other);
	len = make_message2(f.message[(f.message_count - 1 + which) % MESSAGES %
			f.message_count], &g, packet);
	if (flags & SPOILT_ANSWER) {
		packet[spoil % len] ^= 0x40;
		arrive_forged(packet, len, false);
		return;
	}
	kept = f.session[f.session_count % SESSIONS];
	new_session(&g); /* the HELLO comes at once */
	arrive(packet, len, false, NULL);
	if (f.uplink.events[UPLINK_EV_SESSIONS] == before)
		f.session[--f.session_count % SESSIONS] = kept;
	else
		f.accepted_count = 0; /* an older session may have given way, with its bitmaps */
}

static void step_retry(struct reader *script)
{
	uint8_t which = read_u8(script), at = read_u8(script), with = read_u8(script);
	uint8_t token[TOKEN_SIZE] = {which}, packet[RETRY_SIZE];
	const uint8_t *message1;

	if (!f.message_count)
		return;
	message1 = f.message[(f.message_count - 1 + which) % MESSAGES % f.message_count];
	retry_write(message1, token, mac_key[cluster_key_of(message1)], packet);
	packet[at % RETRY_SIZE] ^= with;
	if (with && (at % RETRY_SIZE == 0 || at % RETRY_SIZE > 3))
		arrive_forged(packet, sizeof packet, false);
	else
		arrive(packet, sizeof packet, false, NULL);
}

/* ---- hints, time, and what the client does by itself ---- */

static void step_hint(struct reader *script)
{
	uint8_t hint[HINT_SIZE] = {WIRE_MAGIC | WIRE_HINT, 0, read_u8(script)};
	uint8_t at = read_u8(script), with = read_u8(script);
	uint64_t before = f.uplink.events[UPLINK_EV_HINTS];
	bool sid_spoilt = with && at % HEADER_SIZE >= HEADER_TO;
	enum drop why;

	memcpy(hint + 16, f.last_packet, HEADER_SIZE);
	hint[16 + at % HEADER_SIZE] ^= with;
	why = arrive(hint, sizeof hint, false, NULL);
	MUST(!sid_spoilt || why != DROP_NONE);
	MUST(f.uplink.events[UPLINK_EV_HINTS] == before + (why == DROP_NONE));
}

static void step_clock(struct reader *script)
{
	ticks by = (ticks)read_u16(script) << 16; /* 4 ms, at most 256 s */
	ticks next;

	f.now.boot += by;
	f.cluster_time += by;
	next = uplink_tick(&f.uplink, &f.now, &f.output);
	MUST(next >= f.now.boot && next <= f.now.boot + TICKS_S(1));
}

static void step_send(struct reader *script)
{
	uint8_t room[HEADER_SIZE + 64 + TAG_SIZE] = {0};
	unsigned count = read_u8(script) % 32;
	struct tx_run run = {0};
	uint32_t number;

	while (uplink_ready(&f.uplink, &f.now, &f.output) && count--) {
		struct tx_key *tx = &f.uplink.newest->tx;

		if (!tx_number(&run, tx, count + 1, &f.uplink.o.limits, &number))
			break;
		room[HEADER_SIZE] = 0x60;
		sent_up(room, tx_seal(tx, uplink_time(&f.uplink, &f.now), number,
				room + HEADER_SIZE, 64, room));
		uplink_sent(&f.uplink, &f.now, 64, 1);
	}
	tx_run_end(&run);
}

/* Each is answered once: not by others' answers, nor by a copy of its own. */
static void answered(void *arg, const struct instant *now, const struct relay_answer *a)
{
	unsigned *waiting = arg;

	MUST(now == &f.now && *waiting == 1);
	MUST(!a || a->count <= (a->status == RELAY_STATUS_PENDING ? 0 : RELAY_PAGE));
	*waiting = 0;
}

static void question(uint8_t op, uint8_t patience)
{
	struct relay_request q = {.lifetime = 600};

	if (f.question_count == QUESTIONS)
		return;
	f.waiting[f.question_count] = 1;
	f.question_count += uplink_relay_ask(&f.uplink, &f.now, 1 + op % 5, &q, TICKS_S(patience),
			answered, &f.waiting[f.question_count]);
}

static void step_change(struct reader *script)
{
	uint8_t what = read_u8(script), count = read_u8(script), value = read_u8(script);
	uint8_t groups[GROUPS_MAX + 1][16], macs[MACS_MAX + 1][MAC_ADDR_SIZE];

	memset(groups, value, sizeof groups);
	memset(macs, value, sizeof macs);
	switch (what % 5) {
	case 0:
		uplink_moved(&f.uplink, &f.now, &f.output);
		break;
	case 1:
		uplink_too_big(&f.uplink, &f.now, f.last_packet, count % (HEADER_SIZE + 1));
		break;
	case 2:
		uplink_set_groups(&f.uplink, &f.now, groups, count % ARRAY_SIZE(groups), &f.output);
		break;
	case 3:
		uplink_set_macs(&f.uplink, &f.now, macs, count % ARRAY_SIZE(macs), &f.output);
		break;
	case 4:
		question(count, value);
		break;
	}
}

/* ---- begin, end, and what always holds ---- */

static void check_state(void)
{
	const struct uplink *u = &f.uplink;
	unsigned plain = uplink_plain_max(u, &f.now), mtu = uplink_tunnel_mtu(u, &f.now);

	MUST(!u->newest || u->newest->live);
	MUST(u->server < u->o.server_count && u->handshake.present < UPLINK_ATTEMPTS);
	MUST(plain >= PMTU_BASE - 48 - PACKET_OVERHEAD);
	MUST(plain <= PMTU_FIRST - 28 - PACKET_OVERHEAD);
	MUST(mtu >= 1280 && mtu <= 1420);
	for (unsigned i = 0; i < UPLINK_SESSIONS; i++)
		MUST(u->session[i].sender_count <= UPLINK_SENDERS &&
				(u->session[i].live || !u->session[i].sender_count));
}

static void begin(uint8_t options)
{
	struct uplink_options o = {
		.cluster_key_count = 2, .server_count = 2, .keepalive = options & 1 ? 25 : 0,
		.unlinkable = options & 2, .aead = !!(options & 4), .limits = key_limits,
	};

	memset(&f, 0, sizeof f);
	f.output.send = sent;
	f.now.boot = TICKS_S(FUZZ_BOOT);
	f.cluster_time = TICKS_S(FUZZ_EPOCH * (ticks)EPOCH_SECONDS + 10);
	if (options & 8)
		o.limits.soft_packets = 20;
	memcpy(o.secret, client.secret, KEY_SIZE);
	memcpy(o.psk, psk, KEY_SIZE);
	for (unsigned i = 0; i < 2; i++)
		memcpy(o.cluster_keys[i], cluster[i].public, KEY_SIZE);
	addr_from_v4(o.servers[0].ip, "\xc0\x00\x02\x01");
	o.servers[0].port = 4444;
	o.servers[1] = (struct endpoint){.ip = {0x20, 1, [15] = 1}, .port = 4444};
	MUST(uplink_init(&f.uplink, &o, &f.now) == 0);
	f.uplink.random = 1; /* the same jitter in every run */
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	MUST(crypto_init(CRYPTO_OPENSSL) == 0);
	fuzz_pair(&client, 1);
	fuzz_key(psk, 2);
	for (unsigned i = 0; i < 2; i++) {
		fuzz_pair(&cluster[i], (uint8_t)(3 + i));
		message1_mac_key(cluster[i].public, mac_key[i]);
		MUST(x25519(cluster[i].secret, client.public, ss[i]) == 0);
	}
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const steps[STEP_COUNT])(struct reader *script) = {
		[RAW] = step_raw, [SEALED] = step_sealed, [ANSWER] = step_answer,
		[RETRY] = step_retry, [HINT] = step_hint, [CLOCK] = step_clock,
		[SEND] = step_send, [CHANGE] = step_change,
	};
	struct reader script = reader_over(data, size);

	begin(read_u8(&script));
	for (unsigned n = 0; n < SCRIPT_STEPS && reader_left(&script); n++) {
		steps[read_u8(&script) % STEP_COUNT](&script);
		check_state();
	}
	uplink_free(&f.uplink);
	return 0;
}
