/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* Noise KK, token by token; see noise_kk.h. */
#include "proto/noise_kk.h"

#include <errno.h>

#include "base/util.h"

void kk_begin(struct noise *s, const void *prologue, size_t len,
		const uint8_t initiator[KEY_SIZE], const uint8_t responder[KEY_SIZE])
{
	noise_begin(s, "Noise_KK_25519_AESGCM_SHA256", prologue, len);
	noise_mix_hash(s, initiator, KEY_SIZE);
	noise_mix_hash(s, responder, KEY_SIZE);
}

int kk_write_1(struct noise *s, const struct key_pair *ephemeral, const uint8_t responder[KEY_SIZE],
		const uint8_t ss[KEY_SIZE], const uint8_t *payload, size_t len, uint8_t *out)
{
	memcpy(out, ephemeral->public, KEY_SIZE);
	noise_mix_hash(s, out, KEY_SIZE);
	if (noise_mix_dh(s, ephemeral->secret, responder) != 0)
		return -EPROTO;
	noise_mix_key(s, ss);
	noise_encrypt(s, payload, len, out + KEY_SIZE);
	return 0;
}

int kk_read_1(struct noise *s, const uint8_t own_secret[KEY_SIZE], const uint8_t ss[KEY_SIZE],
		const uint8_t *in, size_t len, uint8_t *payload)
{
	if (len < KK_OVERHEAD)
		return -EBADMSG;
	noise_mix_hash(s, in, KEY_SIZE);
	if (noise_mix_dh(s, own_secret, in) != 0)
		return -EPROTO;
	noise_mix_key(s, ss);
	return noise_decrypt(s, in + KEY_SIZE, len - KEY_SIZE, payload) ? 0 : -EBADMSG;
}

int kk_write_2(struct noise *s, const struct key_pair *ephemeral,
		const uint8_t peer_ephemeral[KEY_SIZE], const uint8_t initiator[KEY_SIZE],
		const uint8_t *payload, size_t len, uint8_t *out)
{
	memcpy(out, ephemeral->public, KEY_SIZE);
	noise_mix_hash(s, out, KEY_SIZE);
	if (noise_mix_dh(s, ephemeral->secret, peer_ephemeral) != 0 ||
			noise_mix_dh(s, ephemeral->secret, initiator) != 0)
		return -EPROTO;
	noise_encrypt(s, payload, len, out + KEY_SIZE);
	return 0;
}

int kk_read_2(struct noise *s, const uint8_t own_secret[KEY_SIZE],
		const uint8_t ephemeral_secret[KEY_SIZE], const uint8_t *in, size_t len,
		uint8_t *payload)
{
	if (len < KK_OVERHEAD)
		return -EBADMSG;
	noise_mix_hash(s, in, KEY_SIZE);
	if (noise_mix_dh(s, ephemeral_secret, in) != 0 || noise_mix_dh(s, own_secret, in) != 0)
		return -EPROTO;
	return noise_decrypt(s, in + KEY_SIZE, len - KEY_SIZE, payload) ? 0 : -EBADMSG;
}
