/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* A TURN client as far as a load program needs one: no credentials, IPv4, one channel. */
#ifndef TRAFFIC_TURN_H
#define TRAFFIC_TURN_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

#define TURN_HEADER 4 /* bytes in front of each datagram to the peer: ChannelData (RFC 8656 12.4) */

/* Ask the server that fd is connected to for an allocation and a channel to the peer; ends the program if refused. */
void turn_open(int fd, const struct sockaddr_in *peer);
void turn_header(uint8_t header[TURN_HEADER], size_t payload);

#endif
