/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Questions about relays in words, as the tool passes them on:
 *
 *	add udp 203.0.113.5:5060 token4 id=ID lifetime=600 span=2 even
 *	refresh ID lifetime=600
 *	del ID
 *	get ID
 *	list [ID]
 *
 * A side is ADDRESS:PORT (given), ADDRESS (host: its port is learnt), any4 or any6
 * (learnt), token4 or token6.  An ID has 32 hexadecimal digits.
 */
#ifndef MODE_RELAY_WORDS_H
#define MODE_RELAY_WORDS_H

#include "proto/relay_message.h"

#define RELAY_ID_TEXT      (2 * RELAY_ID_SIZE + 1)
#define RELAY_WORDS_MAX    256 /* with the NUL */
#define RELAY_WORDS_ERROR  256
#define RELAY_LIFETIME_MIN 10  /* s, of those that end */
#define RELAY_LIFETIME     600

/* 0 or -EINVAL and a sentence.  An ADD without an id gets one that is drawn. */
int relay_words_read(const char *words, struct relay_question *q, char error[RELAY_WORDS_ERROR]);

/* 0, or -EINVAL for what is no side. */
int relay_side_read(const char *word, struct relay_side *s);
const char *relay_side_write(const struct relay_view_side *s, char out[static ENDPOINT_TEXT]);
int relay_id_read(const char *word, uint8_t id[RELAY_ID_SIZE]);
const char *relay_id_write(const uint8_t id[RELAY_ID_SIZE], char out[static RELAY_ID_TEXT]);

#endif
