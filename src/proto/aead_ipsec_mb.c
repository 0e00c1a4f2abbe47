/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Bulk AEAD through libipsec-mb's direct calls: one packet a call, no job
 * queue, everything that is expanded from the key in the caller's memory.
 *
 * Taken on every CPU with AES-NI and PCLMULQDQ.  With VAES (AVX-512) AES-GCM is
 * six (1420 bytes) to fifteen (96 bytes) times as fast as EVP; with AES-NI alone
 * the gain is that nothing is set up per packet, which for small packets costs EVP
 * more than the cipher itself.  Without AES-NI the library would only emulate
 * it, slowly: OpenSSL then.
 */
#ifdef HAVE_IPSEC_MB

#include "proto/aead.h"

#include <errno.h>
#include <intel-ipsec-mb.h>
#include <string.h>

_Static_assert(sizeof(struct gcm_key_data) <= AEAD_KEY_ROOM, "AEAD_KEY_ROOM is too small");
_Static_assert(sizeof(struct aead_key) % 64 == 0, "keys in an array stay aligned");

/* The library's choices for this CPU; its manager serves for nothing else. */
static struct {
	aes_gcm_pre_t gcm_pre;
	aes_gcm_enc_dec_t gcm_enc, gcm_dec;
	chacha_poly_init_t chacha_init;
	chacha_poly_enc_dec_update_t chacha_enc, chacha_dec;
	chacha_poly_finalize_t chacha_finalize;
} call;

static int ipsec_mb_init(void)
{
	/* SAFE_DATA: built so that it clears what it leaves in registers, stack and contexts. */
	const uint64_t needed = IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ | IMB_FEATURE_SAFE_DATA |
				IMB_FEATURE_SELF_TEST_PASS;
	IMB_MGR *mgr = alloc_mb_mgr(0);
	bool usable;

	if (!mgr)
		return -ENOTSUP;
	init_mb_mgr_auto(mgr, NULL);
	usable = (mgr->features & needed) == needed && !(mgr->features & IMB_FEATURE_AESNI_EMU);
	if (usable) {
		call.gcm_pre = mgr->gcm256_pre;
		call.gcm_enc = mgr->gcm256_enc;
		call.gcm_dec = mgr->gcm256_dec;
		call.chacha_init = mgr->chacha20_poly1305_init;
		call.chacha_enc = mgr->chacha20_poly1305_enc_update;
		call.chacha_dec = mgr->chacha20_poly1305_dec_update;
		call.chacha_finalize = mgr->chacha20_poly1305_finalize;
	}
	free_mb_mgr(mgr);
	return usable ? 0 : -ENOTSUP;
}

static void ipsec_mb_expand(struct aead_key *key, const uint8_t raw[KEY_SIZE])
{
	if (key->aead == AEAD_AES_256_GCM)
		call.gcm_pre(raw, (struct gcm_key_data *)key->room);
	else
		memcpy(key->room, raw, KEY_SIZE);
}

static void chacha(const struct aead_key *key, chacha_poly_enc_dec_update_t update,
		const uint8_t nonce[NONCE_SIZE], const void *ad, size_t ad_len, const uint8_t *in,
		size_t len, uint8_t *out, uint8_t tag[TAG_SIZE])
{
	struct chacha20_poly1305_context_data ctx;

	call.chacha_init(key->room, &ctx, nonce, ad, ad_len);
	if (len > 0)
		update(key->room, &ctx, out, in, len);
	call.chacha_finalize(&ctx, tag, TAG_SIZE);
}

static void ipsec_mb_seal(const struct aead_key *key, const uint8_t nonce[NONCE_SIZE],
		const void *ad, size_t ad_len, const uint8_t *in, size_t len, uint8_t *out)
{
	if (key->aead == AEAD_AES_256_GCM) {
		struct gcm_context_data ctx;

		call.gcm_enc((const struct gcm_key_data *)key->room, &ctx, out, in, len, nonce, ad,
				ad_len, out + len, TAG_SIZE);
	} else {
		chacha(key, call.chacha_enc, nonce, ad, ad_len, in, len, out, out + len);
	}
}

static bool ipsec_mb_open(const struct aead_key *key, const uint8_t nonce[NONCE_SIZE],
		const void *ad, size_t ad_len, const uint8_t *in, size_t len, uint8_t *out)
{
	uint8_t tag[TAG_SIZE];

	len -= TAG_SIZE;
	if (key->aead == AEAD_AES_256_GCM) {
		struct gcm_context_data ctx;

		call.gcm_dec((const struct gcm_key_data *)key->room, &ctx, out, in, len, nonce, ad,
				ad_len, tag, TAG_SIZE);
	} else {
		chacha(key, call.chacha_dec, nonce, ad, ad_len, in, len, out, tag);
	}
	return equal_secret(tag, in + len, TAG_SIZE);
}

const struct aead_ops aead_ipsec_mb = {
	.name = "ipsec-mb",
	.init = ipsec_mb_init,
	.expand = ipsec_mb_expand,
	.seal = ipsec_mb_seal,
	.open = ipsec_mb_open,
};

#endif
