/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* Noise IKpsk2, token by token; see noise_ik.h. */
#include "proto/noise_ik.h"

#include <errno.h>

#include "base/util.h"

void ik_begin(struct noise *s, const void *prologue, size_t len,
		const uint8_t responder_public[KEY_SIZE])
{
	noise_begin(s, "Noise_IKpsk2_25519_AESGCM_SHA256", prologue, len);
	noise_mix_hash(s, responder_public, KEY_SIZE);
}

/* Token e; in a psk handshake it goes into the key as well (Noise rev. 34, 9.2). */
static void mix_ephemeral(struct noise *s, const uint8_t public[KEY_SIZE])
{
	noise_mix_hash(s, public, KEY_SIZE);
	noise_mix_key(s, public);
}

int ik_write_1(struct noise *s, const struct key_pair *own, const struct key_pair *ephemeral,
		const uint8_t responder_public[KEY_SIZE], const uint8_t *payload, size_t len,
		uint8_t *out)
{
	memcpy(out, ephemeral->public, KEY_SIZE);
	mix_ephemeral(s, ephemeral->public);
	if (noise_mix_dh(s, ephemeral->secret, responder_public) != 0)
		return -EPROTO;
	noise_encrypt(s, own->public, KEY_SIZE, out + KEY_SIZE);
	if (noise_mix_dh(s, own->secret, responder_public) != 0)
		return -EPROTO;
	noise_encrypt(s, payload, len, out + IK_MESSAGE1_KEYS);
	return 0;
}

int ik_read_2(struct noise *s, const struct key_pair *own, const uint8_t ephemeral[KEY_SIZE],
		const uint8_t psk[KEY_SIZE], const uint8_t *in, size_t len, uint8_t *payload)
{
	if (len < IK_MESSAGE2_OVERHEAD)
		return -EBADMSG;
	mix_ephemeral(s, in);
	if (noise_mix_dh(s, ephemeral, in) != 0 || noise_mix_dh(s, own->secret, in) != 0)
		return -EBADMSG;
	noise_mix_key_and_hash(s, psk);
	return noise_decrypt(s, in + KEY_SIZE, len - KEY_SIZE, payload) ? 0 : -EBADMSG;
}

int ik_read_1_keys(struct noise *s, const struct key_pair *own, const uint8_t in[IK_MESSAGE1_KEYS],
		uint8_t client_ephemeral[KEY_SIZE], uint8_t client_public[KEY_SIZE])
{
	memcpy(client_ephemeral, in, KEY_SIZE);
	mix_ephemeral(s, in);
	if (noise_mix_dh(s, own->secret, in) != 0)
		return -EBADMSG;
	return noise_decrypt(s, in + KEY_SIZE, KEY_SIZE + TAG_SIZE, client_public) ? 0 : -EBADMSG;
}

bool ik_read_1_payload(struct noise *s, const uint8_t ss[KEY_SIZE], const uint8_t *in, size_t len,
		uint8_t *payload)
{
	noise_mix_key(s, ss);
	return noise_decrypt(s, in, len, payload);
}

int ik_write_2_keys(struct noise *s, const struct key_pair *ephemeral,
		const uint8_t client_ephemeral[KEY_SIZE], const uint8_t client_public[KEY_SIZE],
		const uint8_t psk[KEY_SIZE])
{
	mix_ephemeral(s, ephemeral->public);
	if (noise_mix_dh(s, ephemeral->secret, client_ephemeral) != 0 ||
			noise_mix_dh(s, ephemeral->secret, client_public) != 0)
		return -EPROTO;
	noise_mix_key_and_hash(s, psk);
	return 0;
}
