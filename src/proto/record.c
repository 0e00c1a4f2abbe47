/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The bytes of a client record (PROTOCOL.md, "Client record"):
 *
 *	 0   format 1         1, the only one
 *	 1   flags 1          bit 0: removed (a tombstone); the others are 0
 *	 2   index 4
 *	 6   version 8
 *	14   rights 2
 *	16   port first 2, port count 2
 *	20   public key 32
 *	52   salt 16, sealed psk 48           not in a tombstone
 *	     name length 1 (1 … 32), name     [A-Za-z0-9._-]
 *	     prefix count 1 (0 … 8), prefixes: address 16, length 1
 *	     Ed25519 signature 64, over "anyrelay client record" and all bytes before it
 *
 * Sealed psk = AES-256-GCM with a zero nonce under HKDF-Expand(seal key,
 * "psk" | salt), AD = index | version | public key.  The salt is new for every
 * record, so no key sees two plaintexts.  Seal key = HMAC("anyrelay record
 * seal", X25519 of the operator's seal key and the cluster key).
 */
#include "proto/record.h"

#include <errno.h>

#include "base/cursor.h"
#include "proto/signed.h"

#define FORMAT       1
#define FLAG_REMOVED 1
#define SALT_SIZE    16
#define PREFIX_SIZE  17

static const char sign_label[] = "anyrelay client record";
static const char seal_label[] = "anyrelay record seal";
static const char operator_label[] = "anyrelay operator seal";

#define RECORD_FIXED (52 + 1 + 1 + SIGNATURE_SIZE)
_Static_assert(RECORD_FIXED + SALT_SIZE + KEY_SIZE + TAG_SIZE + RECORD_NAME_MAX +
		PREFIX_SIZE * RECORD_PREFIXES_MAX <= RECORD_MAX, "the largest record fits");

void operator_key_from_seed(struct operator_key *key, const uint8_t seed[KEY_SIZE])
{
	memcpy(key->seed, seed, KEY_SIZE);
	ed25519_public(seed, key->sign_public);
	hkdf_expand(seed, &PART(operator_label, strlen(operator_label)), 1, key->seal_secret,
			KEY_SIZE);
	x25519_public(key->seal_secret, key->seal_public);
}

int record_seal_key(const uint8_t own_secret[KEY_SIZE], const uint8_t peer_public[KEY_SIZE],
		uint8_t seal_key[KEY_SIZE])
{
	uint8_t shared[KEY_SIZE];

	int rc = x25519(own_secret, peer_public, shared);
	if (rc == 0)
		hmac_parts((const uint8_t *)seal_label, strlen(seal_label),
				&PART(shared, KEY_SIZE), 1, seal_key);
	wipe(shared, sizeof shared);
	return rc;
}

int seal_keys_make(struct seal_keys *k, const struct cluster_secrets *c,
		const uint8_t operator_seal[KEY_SIZE])
{
	int failed = 0;

	k->count = c->count;
	for (unsigned i = 0; i < c->count && !failed; i++)
		failed = record_seal_key(c->secret[i], operator_seal, k->key[i]);
	return failed;
}

/* ---- the sealed pre-shared key ---- */

static const uint8_t zero_nonce[NONCE_SIZE];

struct seal {
	struct aead_key key;
	uint8_t ad[4 + 8 + KEY_SIZE];
};

static void seal_begin(struct seal *s, const struct record *r, const uint8_t seal_key[KEY_SIZE],
		const uint8_t salt[SALT_SIZE])
{
	const struct part info[] = {PART("psk", 3), PART(salt, SALT_SIZE)};
	uint8_t raw[KEY_SIZE];

	hkdf_expand(seal_key, info, ARRAY_SIZE(info), raw, sizeof raw);
	aead_expand(&s->key, AEAD_AES_256_GCM, raw);
	wipe(raw, sizeof raw);
	store_be32(s->ad, r->index);
	store_be64(s->ad + 4, r->version);
	memcpy(s->ad + 12, r->public, KEY_SIZE);
}

static void psk_seal(struct writer *w, const struct record *r, const uint8_t seal_key[KEY_SIZE])
{
	uint8_t *salt = write_room(w, SALT_SIZE);
	uint8_t *sealed = write_room(w, KEY_SIZE + TAG_SIZE);
	struct seal s;

	if (!sealed)
		return;
	random_bytes(salt, SALT_SIZE);
	seal_begin(&s, r, seal_key, salt);
	aead_seal(&s.key, zero_nonce, s.ad, sizeof s.ad, r->psk, KEY_SIZE, sealed);
	wipe(&s, sizeof s);
}

static bool psk_open(struct record *r, const uint8_t *salt_and_sealed,
		const uint8_t seal_key[KEY_SIZE])
{
	struct seal s;

	seal_begin(&s, r, seal_key, salt_and_sealed);
	bool ok = aead_open(&s.key, zero_nonce, s.ad, sizeof s.ad, salt_and_sealed + SALT_SIZE,
			KEY_SIZE + TAG_SIZE, r->psk);
	wipe(&s, sizeof s);
	return ok;
}

static bool psk_open_any(struct record *r, const uint8_t *salt_and_sealed,
		const struct seal_keys *keys)
{
	for (unsigned i = 0; i < keys->count; i++)
		if (psk_open(r, salt_and_sealed, keys->key[i]))
			return true;
	return false;
}

/* ---- the limits, the same for writing and reading ---- */

bool record_name_valid(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789._-";
	size_t len = strnlen(name, RECORD_NAME_MAX + 1);

	return len > 0 && len <= RECORD_NAME_MAX && strspn(name, allowed) == len;
}

static bool prefix_valid(const struct prefix *p)
{
	return p->len <= 128 && (!addr_is_v4(p->ip) || p->len >= 96);
}

static bool record_valid(const struct record *r)
{
	if (!record_name_valid(r->name) || r->prefix_count > RECORD_PREFIXES_MAX)
		return false;
	if ((uint32_t)r->port_first + r->port_count > 65536)
		return false;
	for (unsigned i = 0; i < r->prefix_count; i++) {
		if (!prefix_valid(&r->prefixes[i]))
			return false;
	}
	return true;
}

/* ---- bytes ---- */

size_t record_write(uint8_t out[RECORD_MAX], const struct record *r,
		const struct operator_key *op, const uint8_t seal_key[KEY_SIZE])
{
	struct writer w = writer_over(out, RECORD_MAX - SIGNATURE_SIZE);

	if (!record_valid(r))
		return 0;
	write_u8(&w, FORMAT);
	write_u8(&w, r->removed ? FLAG_REMOVED : 0);
	write_u32(&w, r->index);
	write_u64(&w, r->version);
	write_u16(&w, r->rights);
	write_u16(&w, r->port_first);
	write_u16(&w, r->port_count);
	write_bytes(&w, r->public, KEY_SIZE);
	if (!r->removed)
		psk_seal(&w, r, seal_key);
	write_u8(&w, (uint8_t)strlen(r->name));
	write_bytes(&w, r->name, strlen(r->name));
	write_u8(&w, r->prefix_count);
	for (unsigned i = 0; i < r->prefix_count; i++) {
		write_bytes(&w, r->prefixes[i].ip, 16);
		write_u8(&w, r->prefixes[i].len);
	}
	if (w.bad)
		return 0;
	size_t len = (size_t)(w.at - out);
	operator_sign(sign_label, out, len, op->seed, w.at);
	return len + SIGNATURE_SIZE;
}

/* All but psk and signature.  *sealed points to salt and sealed psk, NULL in a tombstone. */
static bool parse(struct record *r, const uint8_t **sealed, const uint8_t *in, size_t len)
{
	struct reader b = reader_over(in, len);

	if (read_u8(&b) != FORMAT)
		return false;
	uint8_t flags = read_u8(&b);
	if (flags & ~FLAG_REMOVED)
		return false;
	r->removed = flags & FLAG_REMOVED;
	r->index = read_u32(&b);
	r->version = read_u64(&b);
	r->rights = read_u16(&b);
	r->port_first = read_u16(&b);
	r->port_count = read_u16(&b);
	read_copy(&b, r->public, KEY_SIZE);
	*sealed = r->removed ? NULL : read_bytes(&b, SALT_SIZE + KEY_SIZE + TAG_SIZE);
	uint8_t name_len = read_u8(&b);
	if (name_len > RECORD_NAME_MAX)
		return false;
	read_copy(&b, r->name, name_len);
	r->prefix_count = read_u8(&b);
	if (r->prefix_count > RECORD_PREFIXES_MAX)
		return false;
	for (unsigned i = 0; i < r->prefix_count; i++) {
		read_copy(&b, r->prefixes[i].ip, 16);
		r->prefixes[i].len = read_u8(&b);
	}
	/* A NUL inside the name would make it shorter than its length says. */
	return !b.bad && reader_left(&b) == 0 && strlen(r->name) == name_len && record_valid(r);
}

/* op NULL: the signature has been checked. */
static int read_record(struct record *r, const uint8_t *in, size_t len,
		const struct operator_public *op, const struct seal_keys *keys)
{
	struct record found = {0};
	const uint8_t *sealed;

	if (len < RECORD_FIXED || len > RECORD_MAX)
		return -EINVAL;
	if (!parse(&found, &sealed, in, len - SIGNATURE_SIZE))
		return -EINVAL;
	const uint8_t *signature = in + len - SIGNATURE_SIZE;
	if (op && !operator_signed(sign_label, in, len - SIGNATURE_SIZE, op->sign, signature))
		return -EBADMSG;
	if (sealed && !psk_open_any(&found, sealed, keys)) {
		wipe(&found, sizeof found);
		return -EKEYREJECTED;
	}
	*r = found;
	wipe(&found, sizeof found);
	return 0;
}

int record_read(struct record *r, const uint8_t *in, size_t len, const struct operator_public *op,
		const struct seal_keys *keys)
{
	return read_record(r, in, len, op, keys);
}

int record_read_checked(struct record *r, const uint8_t *in, size_t len,
		const struct seal_keys *keys)
{
	return read_record(r, in, len, NULL, keys);
}

bool record_peek_index(uint32_t *index, const uint8_t *in, size_t len)
{
	if (len < RECORD_FIXED || len > RECORD_MAX || in[0] != FORMAT)
		return false;
	*index = load_be32(in + 2);
	return true;
}

bool record_peek_version(uint64_t *version, const uint8_t *in, size_t len)
{
	if (len < RECORD_FIXED || len > RECORD_MAX || in[0] != FORMAT)
		return false;
	*version = load_be64(in + 6);
	return true;
}
