/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * A server's side of the mesh against a stranger, and against another server of
 * the cluster that has been taken over.  The input is a script of steps: time,
 * any bytes as a packet, a real handshake, any bytes as a message inside of a
 * session, a captured packet again, unchanged or with one byte changed.
 */
#include "fuzz.h"

#include "base/log.h"
#include "cluster/notices.h"
#include "cluster/peers.h"

enum step { STEP_TIME, STEP_PACKET, STEP_HANDSHAKE, STEP_MESSAGE, STEP_AGAIN, STEP_ROTATE, STEPS };

struct scene {
	struct output out; /* first member */
	struct instant now;
	struct server core;
	struct peers peers;
	struct notices *notices;
	struct key_pair key;
	struct endpoint from;
	struct mesh_link link; /* of the other server */
	uint8_t answer[MESH_PACKET_MAX]; /* what the server sent last */
	size_t answer_len;
	uint8_t packet[MESH_PACKET_MAX]; /* what it was sent last */
	size_t packet_len;
	uint64_t received;
};

static struct scene *s;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	log_set_level(LOG_ERROR);
	MUST(crypto_init(CRYPTO_OPENSSL) == 0);
	return 0;
}

static void keep(struct output *out, const struct endpoint *to, const uint8_t *packet, size_t len)
{
	struct scene *scene = (struct scene *)out;

	(void)to;
	MUST(len <= MESH_PACKET_MAX);
	memcpy(scene->answer, packet, len);
	scene->answer_len = len;
}

static bool send_notice(void *arg, uint16_t to, const uint8_t *message, size_t len)
{
	return peers_send(arg, to, message, len);
}

static bool take_notice(void *arg, uint16_t from, const uint8_t *message, size_t len)
{
	struct scene *scene = arg;

	return notices_take(scene->notices, &scene->now, from, message, len);
}

static void ignore(void *arg, struct client *client, const struct session_record *old,
		const struct session_record *now)
{
	(void)arg;
	(void)client;
	(void)old;
	(void)now;
}

static void scene_begin(void)
{
	struct server_options so = {.number = 1, .active_sessions = 16, .record_changed = ignore};
	struct server_entry entry[2] = {{.number = 1, .version = 1, .name = "one"},
			{.number = 2, .version = 1, .name = "two"}};
	struct server_list *list = calloc(1, sizeof *list);
	char error[PEERS_ERROR];
	struct key_pair own;

	s = aligned_alloc(_Alignof(struct scene), sizeof *s);
	MUST(s && list);
	memset(s, 0, sizeof *s);
	s->out.send = keep;
	s->now = (struct instant){TICKS_S(FUZZ_EPOCH * 300ull), TICKS_S(FUZZ_BOOT)};
	MUST(server_init(&s->core, &so, &s->now) == 0);
	fuzz_pair(&own, 1);
	fuzz_pair(&s->key, 2);
	memcpy(entry[0].public, own.public, KEY_SIZE);
	memcpy(entry[1].public, s->key.public, KEY_SIZE);
	MUST(endpoint_parse("192.0.2.2:4445", 0, &s->from) == 0);
	entry[0].mesh = entry[1].mesh = s->from;
	s->notices = notices_new(&(struct notices_options){.number = 1, .server = &s->core,
			.send = send_notice, .send_arg = &s->peers});
	MUST(s->notices);
	peers_init(&s->peers, &(struct peers_options){.number = 1, .secret = own.secret,
			.server = &s->core, .out = &s->out, .receive = take_notice, .receive_arg = s},
			&s->now);
	for (unsigned i = 0; i < 2; i++)
		MUST(server_list_add(list, &entry[i]) == 1);
	MUST(peers_set(&s->peers, list, error) == 0);
	MUST(mesh_link_init(&s->link, 2, &s->key, 1, own.public) == 0);
	free(list);
}

static void scene_end(void)
{
	struct lineage_name names[KEYRING_LINEAGES];
	uint64_t sum = 0;

	for (int i = 0; i < MESH_RESULT_COUNT; i++)
		sum += s->peers.results[i];
	MUST(sum == s->received);
	MUST(server_lineage_names(&s->core, names) <= KEYRING_LINEAGES);
	peers_free(&s->peers);
	notices_free(s->notices);
	server_free(&s->core);
	free(s);
}

static enum mesh_result give(const uint8_t *packet, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1); /* of this size: the sanitizer sees what is beyond */
	enum mesh_result r;

	MUST(copy);
	memcpy(copy, packet, len);
	s->received++;
	r = peers_receive(&s->peers, &s->now, &s->from, copy, len);
	free(copy);
	return r;
}

static void step_time(struct reader *script)
{
	ticks step = TICKS_MS(10) * read_u16(script);

	s->now.cluster += step;
	s->now.boot += step;
	ticks next = peers_tick(&s->peers, &s->now);
	MUST(next > s->now.boot && next <= s->now.boot + TICKS_MS(100));
	mesh_link_tick(&s->link, &s->now);
	server_tick(&s->core, &s->now);
}

static void step_packet(struct reader *script)
{
	uint8_t head = read_u8(script);
	size_t len;
	uint8_t *bytes = script_bytes(script, read_u8(script), &len);

	if (head < 4 && len > 3) { /* nearer to a packet */
		bytes[0] = 0xa8;
		bytes[1] = head;
		store_be16(bytes + 2, 2);
	}
	MUST(give(bytes, len) != MESH_ACCEPTED);
	free(bytes);
}

static void step_handshake(struct reader *script)
{
	uint8_t boot_random[3], init[MESH_OPENING_SIZE];
	struct mesh_answer answer;

	read_copy(script, boot_random, sizeof boot_random);
	MUST(mesh_write_init(&s->link, &s->now, boot_random, init));
	memcpy(s->packet, init, sizeof init);
	s->packet_len = sizeof init;
	if (give(init, sizeof init) == MESH_ACCEPTED)
		MUST(mesh_read_answer(&s->link, &s->now, s->answer, s->answer_len, &answer) ==
				MESH_ACCEPTED && answer.status == MESH_OK);
}

static void step_message(struct reader *script)
{
	size_t len;
	uint8_t *bytes = script_bytes(script, read_u16(script) % MESH_MESSAGE_MAX, &len);
	size_t n = mesh_seal(&s->link, bytes, len, s->packet);

	s->packet_len = n;
	if (n) {
		enum mesh_result r = give(s->packet, n);
		MUST(r == MESH_ACCEPTED || r == MESH_MALFORMED || r == MESH_SESSION);
	}
	free(bytes);
}

/* Never accepted a second time, changed or not. */
static void step_again(struct reader *script)
{
	uint8_t copy[MESH_PACKET_MAX];
	uint16_t at = read_u16(script);
	uint8_t change = read_u8(script);

	if (!s->packet_len)
		return;
	memcpy(copy, s->packet, s->packet_len);
	copy[at % s->packet_len] ^= change;
	MUST(give(copy, s->packet_len) != MESH_ACCEPTED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reader script = reader_over(data, size);

	scene_begin();
	for (unsigned i = 0; i < SCRIPT_STEPS && reader_left(&script); i++) {
		switch ((enum step)(read_u8(&script) % STEPS)) {
		case STEP_TIME: step_time(&script); break;
		case STEP_PACKET: step_packet(&script); break;
		case STEP_HANDSHAKE: step_handshake(&script); break;
		case STEP_MESSAGE: step_message(&script); break;
		case STEP_AGAIN: step_again(&script); break;
		case STEP_ROTATE: MUST(peers_rotate(&s->peers, &s->now) == 0); break;
		case STEPS: break;
		}
	}
	scene_end();
	return 0;
}
