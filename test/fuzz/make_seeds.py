#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""Writes the seeds of the fuzzers whose input is a script (see the head of each).

Usage: make_seeds.py [DIRECTORY], by default "seeds" beside this file.
"""
import struct
import sys
from pathlib import Path

V4 = bytes(10) + b"\xff\xff\xc0\x00\x02\x00"
COOKIE = bytes(range(16))


def u8(*values):
    return bytes(v & 0xFF for v in values)


def u16(value):
    return struct.pack(">H", value)


def data(value):
    return u16(len(value)) + value


# ---- control messages (docs/PROTOCOL.md) ----
CHALLENGE = u8(0x11, 0) + V4 + u16(1000) + COOKIE + struct.pack(">Q", 5900000 * 300 << 24)
TIME_CHALLENGE = u8(0x11, 1) + CHALLENGE[2:]
HELLO = u8(0x12, 0) + V4 + u16(1000) + COOKIE + u16(1400) + u16(25)
GROUPS = u8(2) + data(u8(0xFF, 2) + bytes(14) + u8(0xFF, 5) + bytes(14))
MACS = u8(3) + data(u8(2, 0, 0, 0, 0, 1))
HELLO_ACK = u8(0x13, 0) + struct.pack(">I", 419430400)
PROBE = u8(0x14, 0) + u16(1400) + bytes(4)
PROBE_ACK = u8(0x15, 0) + u16(1500) + struct.pack(">I", 1) + u8(0, 0, 1, 2, 3)
PROBE_REQ = u8(0x16, 0) + u16(1400) + bytes(4)
RELAY = u8(0x17, 1) + struct.pack(">I", 7) + bytes(range(16)) + u16(600) + u8(17, 1, 0, 0) + \
    u8(1, 4) + V4 + u16(5060) + u8(4, 6) + bytes(18)
RELAY_LIST = u8(0x17, 5) + struct.pack(">I", 9) + bytes(62)
GIVEN_VIEW = u8(1, 0) + V4 + u16(20000) + V4 + u16(5060) + bytes(18)
TOKEN_VIEW = u8(4, 1) + V4 + u16(20001) + bytes(18) + V4 + u16(9) + b"A" * 64
RELAY_VIEW = bytes(range(16)) + u8(17, 1, 0) + struct.pack(">I", 600) + GIVEN_VIEW + TOKEN_VIEW
RELAY_ANSWER = u8(0x18, 1) + struct.pack(">I", 7) + u8(0, 0, 1) + RELAY_VIEW
IPV4 = bytes.fromhex("4500001c000000004011f96c0a0000010a000002") + bytes(8)
ETHERNET = u8(0x30, 0) + data(bytes(14))

wire = {
    "challenge": CHALLENGE, "time_challenge": TIME_CHALLENGE, "hello": HELLO,
    "hello_lists": HELLO + GROUPS + MACS + bytes(40), "hello_ack": HELLO_ACK, "probe": PROBE,
    "probe_ack": PROBE_ACK, "probe_req": PROBE_REQ, "unknown_tlv": HELLO_ACK + u8(9) + data(b"xyz"),
    "relay": RELAY, "relay_list": RELAY_LIST + bytes(20), "relay_answer": RELAY_ANSWER,
    "relay_answer_page": RELAY_ANSWER[:8] + u8(5) + 5 * RELAY_VIEW,
}



# ---- fuzz_handshake: MESSAGE_1, MESSAGE_1_NEW_MAC, MESSAGE_2, RETRY, PAYLOAD_1, PAYLOAD_2 ----
def edits(*places):
    return u8(len(places)) + b"".join(u16(at) + u8(1) for at in places)


OFFER = u8(2, 0xEA, 2, 3, 1, 0, 7)
GRANT = bytes(40) + struct.pack(">IQ", 5900002 * 300 - 5, 5900000 * 300 << 24) + V4 + u16(1000) + \
    COOKIE + u8(2, 0, 0x3F)
ANNOUNCEMENT = struct.pack(">BQB", 1, 1770000000, 1) + bytes(32) + bytes(64)

handshake_seeds = {
    "message1": u8(0) + edits(), "message1_edit": u8(0) + edits(5, 1199),
    "message1_zeros": u8(1) + edits(500, 1160), "message1_noise": u8(1) + edits(8, 60),
    "message2": u8(2) + u16(2000) + edits(), "message2_edit": u8(2) + u16(2000) + edits(1),
    "message2_cut": u8(2) + u16(100) + edits(), "retry": u8(3, 56) + edits(),
    "retry_reserved": u8(3, 56) + edits(1, 2), "retry_edit": u8(3, 56) + edits(50),
    "offer": u8(4) + OFFER, "offer_tlv": u8(4) + OFFER + u8(200) + data(b"abc"),
    "grant": u8(5, 0x3F) + GRANT, "grant_ticket": u8(5, 0x3F) + GRANT + u8(1) + data(bytes(29)),
    "grant_keys": u8(5, 0x3F) + GRANT + u8(4) + data(ANNOUNCEMENT),
}


# ---- fuzz_server: RAW, SEALED, HELLO, CLOCK, REPLAY, HANDSHAKE, RELOAD, DOWNSTREAM, TICKET ----
def raw(value, address=0):
    return u8(0, address) + data(value)


def sealed(plain, session=0, flags=0x10, age=0, address=0, spoil=0):
    return u8(1, session, flags, age, address, spoil) + data(plain)


def hello(cookie=0, flags=0, session=0, age=0, address=0, mtu=1400, groups=0, macs=0):
    return u8(2, cookie, flags, session, age, address) + u16(mtu) + u16(25) + u8(groups, macs)


def clock(seconds, tick=True, ahead=0):
    return u8(3) + u16(int(seconds * 256)) + u8(ahead << 1 | tick)


def replay(which, address=0):
    return u8(4, which, address)


def handshake(what=0, address=0, at=0):
    return u8(5, what, address) + u16(at)


def reload(what=0):
    return u8(6, what)


def downstream(client=0):
    return u8(7, client)


def ticket(session=2, flags=0, spoil=0, address=0):
    return u8(8, session, flags, spoil, address)


PADDED = bytes(48)  # a keep-alive
CHALLENGED = sealed(PADDED) + clock(0.2) + sealed(PADDED)
BY_HANDSHAKE = handshake() + hello(groups=0x12, macs=1) + downstream()
TIMED = sealed(PADDED, age=50) + hello(age=50)

server = {
    "challenged": CHALLENGED + hello() + downstream() + sealed(IPV4) + sealed(PROBE_REQ),
    "handshake": BY_HANDSHAKE + sealed(IPV4, session=9) + sealed(PROBE + bytes(1360), session=9),
    "groups": BY_HANDSHAKE + hello(groups=0x3E, macs=2) + hello(groups=0x17) + hello(groups=2),
    "move": BY_HANDSHAKE + clock(1.2) + sealed(PADDED, session=9, address=1) +
            hello(cookie=1, address=1) + downstream() + clock(2),
    "moved_twice": BY_HANDSHAKE + clock(1.2) + sealed(PADDED, session=9, address=1) +
                   hello(cookie=1, address=2) + clock(1.2) + sealed(PADDED, session=9, address=2) +
                   hello(cookie=2, address=2) + sealed(IPV4, session=9, address=2),
    "late": TIMED + sealed(IPV4, age=40) + replay(0) + replay(2) + clock(6) + replay(2),
    "early": TIMED + sealed(IPV4, age=-30) + sealed(IPV4, age=-60) + clock(5.1) + replay(3),
    "late_then_probe": sealed(PADDED, age=50) + sealed(PROBE + bytes(1360)),
    "small_probe": CHALLENGED + sealed(PROBE) + sealed(PROBE + bytes(40), address=1) + clock(0.2) +
                   sealed(PROBE + bytes(40), address=1),
    "epochs": BY_HANDSHAKE + clock(200) + clock(120) + sealed(IPV4, session=3) +
              sealed(IPV4, session=9) + clock(250) + clock(50) + sealed(IPV4, session=9) +
              sealed(IPV4, session=6),
    "retry": handshake() + handshake() + handshake() + handshake(0x10) + handshake(0x11) +
             handshake(0x20, at=100) + handshake(0x40, at=1199),
    "reload": handshake(1) + hello(groups=0x12) + reload(3) + sealed(IPV4, session=9) +
              reload(2) + sealed(IPV4, session=9) + downstream(1),
    "other_cipher": sealed(IPV4) + sealed(IPV4, flags=0x11) + sealed(ETHERNET, flags=0x19),
    "malformed": sealed(u8(0x12) + bytes(50)) + sealed(u8(0x12, 0) + HELLO[2:] + u8(2) +
                 data(bytes(15))) + sealed(u8(0x1F)) + sealed(u8(0x50)) + sealed(b""),
    "spoilt": sealed(IPV4, flags=0x14, spoil=30) + sealed(IPV4, flags=0x14, spoil=0),
    "ticket": ticket() + ticket(flags=1) + ticket(flags=4, spoil=17) + ticket(flags=4, spoil=90) +
              ticket(0) + ticket(5) + replay(0) + clock(200) + clock(200) + clock(200) + ticket(),
    "relay": BY_HANDSHAKE + sealed(RELAY, session=9) + sealed(RELAY_LIST, session=9) +
             sealed(RELAY, session=9, address=1) + sealed(RELAY[:60], session=9) + replay(4) +
             handshake(1) + hello(session=1) + sealed(RELAY, session=10),
    "stranger": sealed(PADDED, session=2) + raw(u8(0xA2, 1) + bytes(40)) + raw(b"x"),
}


# ---- fuzz_uplink: options, then RAW, SEALED, ANSWER, RETRY, HINT, CLOCK, SEND, CHANGE ----
HELLO_FLAG, UP_FLAG, DOWN_FLAG = 0x10, 0x20, 0x40


def down(plain, flags=0, sender=0, age=0, which=0, spoil=0):
    return u8(1, which, flags, sender, age, spoil) + data(plain)


def answer(flags=0, other=0, which=0, spoil=0):
    return u8(2, which, flags, other) + u16(spoil)


def retry(which=0, at=0, xor=0):
    return u8(3, which, at, xor)


def hint(reason=0, at=0, xor=0):
    return u8(4, reason, at, xor)


def tick(seconds=0.0):
    return u8(5) + u16(int(seconds * 256))


def send(count=1):
    return u8(6, count)


def change(what, count=0, value=0):
    return u8(7, what, count, value)


KEEPALIVE = u8(1)  # options
START = tick() + answer()
READY = START + down(HELLO_ACK, HELLO_FLAG) + tick(0.1)

uplink = {
    "session": KEEPALIVE + READY + down(IPV4) + down(ETHERNET) + down(b"") + send(3),
    "chacha": u8(5) + tick() + answer(0x80) + down(HELLO_ACK, HELLO_FLAG | 1) + down(IPV4, 1, 1),
    "on_demand": u8(0) + send(1) + answer() + send(2) + tick(200) + tick(100) + tick(250) + send(1),
    "spoilt": KEEPALIVE + tick() + answer(1, spoil=1) + answer(1, spoil=100) + answer() +
              down(IPV4, 4, spoil=30) + down(IPV4, 4) + down(IPV4),
    "retry": KEEPALIVE + tick() + retry(at=9, xor=1) + retry() + retry() + answer(),
    "late": KEEPALIVE + tick() + tick(2) + tick(4) + tick(6) + answer(which=2) + tick(1),
    "challenges": KEEPALIVE + READY + down(CHALLENGE) + down(TIME_CHALLENGE) + tick(0.3) +
                  down(HELLO_ACK, HELLO_FLAG) + tick(1) + tick(3),
    "probes": KEEPALIVE + READY + down(PROBE_ACK, UP_FLAG) + tick(0.5) +
              down(PROBE + bytes(1432), DOWN_FLAG) + tick(0.5) + down(PROBE_ACK, UP_FLAG, 1) +
              tick(1) + tick(1) + tick(1) + tick(1) + tick(1),
    "ticket": KEEPALIVE + tick() + answer(64, 40) + down(HELLO_ACK, HELLO_FLAG) + send(1) +
              hint(1) + tick(0.5) + down(HELLO_ACK, HELLO_FLAG) + tick(1),
    "hints": KEEPALIVE + READY + send(1) + hint() + hint() + hint(at=10, xor=1) + tick(1.5) +
             hint(1) + answer(),
    "renew": KEEPALIVE + READY + tick(200) + tick(150) + answer() + down(IPV4) +
             down(IPV4, 0x80, which=5) + down(CHALLENGE, 0x80, which=5) + tick(200) + tick(200),
    "moved": KEEPALIVE + READY + change(0) + tick(10) + change(1, 16) + change(2, 3, 0xFF) +
             change(3, 2, 2) + tick(1),
    "relays": KEEPALIVE + READY + change(4, 0, 20) + tick() + down(RELAY_ANSWER) +
              down(RELAY_ANSWER[:6] + u8(1, 0, 0), UP_FLAG) + tick(0.3) + down(RELAY_ANSWER, UP_FLAG) +
              change(4, 4, 1) + tick() + tick(2) + down(RELAY_ANSWER, UP_FLAG),
    "unlinkable": u8(3) + READY + change(0) + tick() + answer(),
    "unsound": KEEPALIVE + tick() + answer(8, 1) + tick() + answer(16, 0x80) + tick(1) +
               answer(32, 3) + answer(64, 40) + tick(1) + answer(4) + answer(2),
    "worn": u8(9) + READY + send(31) + tick(1) + answer() + send(31),
    "senders": KEEPALIVE + READY + b"".join(down(IPV4, 0, n, n * 30) for n in range(6)) +
               down(IPV4, 2) + down(IPV4, 2),
}


# ---- fuzz_path: options, then CLIENT_PACKET, CLIENT_BATCH, TUN_FRAME, TAP_FRAME ----
ALL = 0x1F  # every repair


def packet(plain, client=0, what=ALL, target=0, more=False):
    return u8(1 if more else 0, client, what, target) + data(plain)


def frame(device, value, what=ALL, target=0, header=bytes(10)):
    return u8(2 + device, what, target) + header + data(value)


def ipv4(proto, upper, fragment=0, ttl=64):
    return u8(0x45, 0) + u16(0) + u16(1) + u16(fragment) + u8(ttl, proto) + bytes(10) + upper


def ipv4_df(proto, upper):
    return ipv4(proto, upper, 0x4000)


def ipv6(proto, upper, hops=64):
    return u8(0x60, 0, 0, 0) + u16(0) + u8(proto, hops) + bytes(32) + upper


def tcp(seq, payload, flags=0x10, options=b""):
    return u16(1000) + u16(80) + struct.pack(">II", seq, 1) + \
        u8((20 + len(options)) << 2, flags) + u16(500) + bytes(4) + options + payload


UDP = u16(1000) + u16(53) + bytes(4)
TO_B, TO_C, TO_NET, TO_GROUP, TO_ALL, TO_OWN_NET, ABROAD = 1, 2, 3, 4, 5, 6, 7
ARP = bytes.fromhex("ffffffffffff0200000000010806") + bytes(28)


def stream(header, count, target, what=ALL):
    return b"".join(packet(header(6, tcp(1 + 100 * n, bytes(100))), 0, what, target, True)
                    for n in range(count))


def piece(index, whole, at, number=1):
    return u8(0x20 + index, index) + u16(number) + (whole[at:] if index else whole[:at])


SYN = tcp(1, b"", 0x02, u8(2, 4) + u16(1460))
# From client 0 to client 1, with the right header checksum: nothing is repaired in a piece.
WHOLE = bytes.fromhex("4500006400010000401166840a0000020a000003") + bytes(80)
GSO_TCP4 = u8(1, 1) + struct.pack("<HHHH", 40, 100, 20, 16)

path = {
    "to_network": u8(8) + stream(ipv4_df, 3, TO_NET) + stream(ipv6, 3, TO_NET) +
                  stream(ipv4_df, 20, TO_NET, ALL | 64),
    "to_client": u8(0) + stream(ipv4_df, 3, TO_B) + stream(ipv4_df, 3, TO_B, ALL | 64) + packet(ipv6(17, UDP + bytes(64)), target=TO_B) +
                 packet(ipv4(17, UDP), 2, ALL, TO_B),
    "too_big": u8(0) + packet(ipv4(17, UDP + bytes(1222)), target=TO_B) +
               packet(ipv4(17, UDP + bytes(1400)), target=TO_B) +
               packet(ipv4(17, UDP + bytes(1400), 0x4000), target=TO_B) +
               packet(ipv6(17, UDP + bytes(1222)), target=TO_B) +
               packet(ipv6(17, UDP + bytes(1400)), target=TO_B),
    "errors": u8(0) + packet(ipv4(17, UDP, ttl=1), target=TO_B) +
              packet(ipv6(17, UDP, hops=1), target=TO_B) + packet(ipv4(17, UDP), target=ABROAD) +
              packet(ipv4(17, UDP), 0, ALL & ~2),
    "groups": u8(0) + packet(ipv4(17, UDP), target=TO_GROUP) + packet(ipv6(17, UDP), target=4) +
              packet(ipv4(17, UDP), target=TO_ALL) + packet(ipv6(17, UDP + bytes(1400)), target=4) +
              packet(ipv4(17, UDP), 2, ALL, TO_GROUP) + packet(ipv4(17, UDP + bytes(1222)), target=4),
    "pieces": u8(0) + packet(piece(0, WHOLE, 50)) + packet(piece(1, WHOLE, 50)) +
              packet(piece(1, WHOLE, 60, 2) + bytes(30)) + packet(piece(0, WHOLE, 60, 2)),
    "syn": u8(2) + packet(ipv4(6, SYN), target=TO_B) + packet(ipv6(6, SYN), target=TO_NET),
    "ecn": u8(1) + packet(ipv4(17, UDP), target=0x31) + packet(b"\x45\x02" + ipv4(17, UDP)[2:],
                                                             target=0x33) + packet(
        b"\x60\x20" + ipv6(17, UDP)[2:], target=0x31),
    "ethernet": u8(0) + packet(u8(0x30, 0) + data(ARP)) + packet(u8(0x30, 0) + data(ARP), 2) +
                frame(1, ARP[:6] + u8(2, 0, 0, 0, 0, 9) + ARP[12:]) +
                packet(u8(0x30, 0) + data(u8(2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1) + bytes(30))),
    "device": u8(0) + frame(0, ipv4(17, UDP), ALL, 0) + frame(0, ipv6(17, UDP), ALL, TO_C) +
              frame(0, ipv4(6, tcp(1, bytes(450))), ALL & ~16, TO_B, GSO_TCP4) +
              frame(0, ipv4(17, UDP + bytes(1400), 0x4000), ALL, TO_B) +
              frame(0, ipv4(17, UDP), ALL, TO_GROUP),
    "control": u8(0) + packet(PROBE + bytes(1300), what=32) + packet(HELLO) + packet(PROBE_REQ) +
               packet(b"") + packet(bytes(48), what=32),
    "rate": u8(4) + stream(ipv4_df, 6, TO_B),
}


# ---- fuzz_mesh: TIME, PACKET, HANDSHAKE, MESSAGE, AGAIN, ROTATE ----
MESH_NOW = 5900000 * 300 << 24
SHAKE = u8(2, 1, 2, 3)


def after(centiseconds):
    return u8(0) + u16(centiseconds)


def mesh_message(value):
    return u8(3) + data(value)


def heartbeat(flags, sent):
    return mesh_message(u8(1, flags, 0, 1, 0, 1, 2, 3) +
                        struct.pack(">7QH2Q", MESH_NOW + sent, 0, 0, 1, 7, 5900000, 0, 0, 3, 0))


def keys(*lineages):
    return mesh_message(u8(2, len(lineages)) + b"".join(
        struct.pack(">4Q", *lineage) + bytes(range(32)) for lineage in lineages))


# ---- fuzz_cluster_keys: announcements, whose signature the harness makes ----
cluster_keys = {
    "one": ANNOUNCEMENT, "two": ANNOUNCEMENT[:9] + u8(2) + bytes(range(64)) + bytes(64),
    "none": ANNOUNCEMENT[:9] + u8(0) + bytes(64), "three": ANNOUNCEMENT[:9] + u8(3) + bytes(96 + 64),
}

mesh = {
    "join": after(1) + SHAKE + heartbeat(0, 0) + keys((1, 7, 5900000, 0)) + after(10) + heartbeat(0, 9),
    "merge": after(600) + SHAKE + heartbeat(0, 1) + keys(
        (9, 1, 5900000, 0), (8, 1, 5899999, 5900000), (1, 1, 5800000, 0)),
    "goodbye": after(1) + SHAKE + heartbeat(1, 0) + mesh_message(u8(3)) + u8(4) + u16(0) + u8(0),
    "rotate": after(600) + SHAKE + heartbeat(2, 0) + u8(5) + after(10) + heartbeat(0, 1),
    "renew": after(1) + SHAKE + after(12000) + SHAKE + mesh_message(b"") + u8(4) + u16(3) + u8(1),
    "packet": u8(1, 1, 84) + bytes(84) + u8(1, 3, 40) + bytes(40),
    "taken": after(1) + SHAKE + heartbeat(0, 0) + u8(2, 9, 9, 9),
}


# ---- fuzz_relay: a relay, then events; sources are those of test/unit/relay_slow.h ----
def event(reason, what, value):
    return u8(reason, what) + u16(len(value)) + value


def from_host(side, v4, proto, upper):
    port = u16((1111, 2222)[side]) + u16(side)
    if v4:
        source = (bytes((198, 51, 100, 1)), bytes((203, 0, 113, 2)))[side]
        return u8(0x45) + bytes(7) + u8(64, proto) + bytes(2) + source + bytes(4) + port + upper
    source = bytes.fromhex("20010db80001") + bytes(9) + u8(1) if side == 0 else \
        bytes.fromhex("20010db80002") + bytes(9) + u8(2)
    return u8(0x60) + bytes(5) + u8(proto, 64) + source + bytes(16) + port + upper


def relayed_udp(side, v4, payload):
    return from_host(side, v4, 17, bytes(4) + payload)


def relayed_tcp(side, v4, flags, seq, ack, payload=b"", options=b""):
    header = struct.pack(">IIBBHHH", seq, ack, (20 + len(options)) << 2, flags, 60000, 0, 0)
    return from_host(side, v4, 6, header + options + payload)


GIVEN, HOST, LEARNT, TOKEN = range(4)
RIGHT, CUT, FRAME, LATER, QUOTE, SHOW, ANSWER = 3, 4, 8, 16, 32, 64, 128
SYN_OPTIONS = bytes.fromhex("020405b40402080a00000063000000000103030700000000")
ICMP_ABOUT = u8(0x45) + bytes(19) + u8(3, 4, 0, 0, 0, 0, 5, 0)


def relay_kind(tcp, first, second, v4_first=1, v4_second=1):
    return u8(tcp | first << 1 | second << 3 | v4_first << 5 | v4_second << 6)


def call(side, isn, v4=1):
    return event(4, RIGHT, relayed_tcp(side, v4, 2, isn, 0, b"", SYN_OPTIONS))


def show(side, v4=1):
    return event(1, RIGHT | SHOW | ANSWER, relayed_tcp(side, v4, 0x18, 0, 0, bytes(64)))


relay = {
    "udp": relay_kind(0, LEARNT, GIVEN) + event(1, RIGHT, relayed_udp(0, 1, b"hello")) +
    event(1, RIGHT, relayed_udp(1, 1, b"answer")) + event(9, RIGHT | QUOTE, ICMP_ABOUT),
    "udp_across": relay_kind(0, HOST, LEARNT, 1, 0) + event(1, RIGHT, relayed_udp(0, 1, b"hello")) +
    event(1, RIGHT, relayed_udp(1, 0, b"answer")) + event(1, RIGHT | FRAME, relayed_udp(1, 0, bytes(90))),
    "udp_token": relay_kind(0, TOKEN, TOKEN) + event(1, RIGHT | SHOW, relayed_udp(0, 1, bytes(76))) +
    event(1, RIGHT | LATER, relayed_udp(1, 1, b"x")),
    "listener": relay_kind(1, LEARNT, GIVEN) + call(0, 1000) +
    event(4, RIGHT | ANSWER, relayed_tcp(1, 1, 0x12, 0, 0, b"", SYN_OPTIONS)) +
    event(3, RIGHT, relayed_tcp(0, 1, 0x18, 1001, 1, b"data")) + event(9, RIGHT | QUOTE, ICMP_ABOUT),
    "held": relay_kind(1, LEARNT, HOST, 1, 0) + call(0, 1000) + call(1, 2000, 0) + call(0, 1000) +
    event(3, RIGHT, relayed_tcp(0, 1, 0x18, 1001, 2001, b"data")) + event(8, RIGHT, relayed_tcp(0, 1, 0x10, 1, 1)),
    "deferred": relay_kind(1, TOKEN, TOKEN) + call(0, 1000) + show(0) +
    event(1, RIGHT, relayed_tcp(0, 1, 0x10, 1064, 1)) + call(1, 2000) + show(1) +
    event(3, RIGHT | LATER | ANSWER, relayed_tcp(1, 1, 0x18, 0, 0, b"data")),
    "mixed": relay_kind(1, TOKEN, LEARNT) + call(1, 2000) + call(0, 1000) + show(0) + call(1, 2000),
    "token_to_listener": relay_kind(1, TOKEN, GIVEN) + call(0, 1000) + show(0) +
    event(4, RIGHT, relayed_tcp(1, 1, 0x12, 7000, 1065, b"", SYN_OPTIONS)) +
    event(4, RIGHT, relayed_tcp(1, 1, 0x14, 0, 1065)) + event(7, RIGHT | CUT, relayed_tcp(0, 1, 0x10, 1, 1)),
}

# ---- fuzz_relay_record: two records ----
def relay_record(protocol=17, span=1, flags=2, kinds=(1, 3), legs=(), version=1, server=3):
    sides = b""
    for which, kind in enumerate(kinds):
        given = V4 if kind in (1, 2) else bytes(16)
        sides += u8(kind, 4) + u16(20000 + 100 * which) + given + u16(5060 if kind == 1 else 0)
    record = u8(1, flags, protocol, span) + bytes(range(16)) + struct.pack(">QHH", version, server, 0)
    record += struct.pack(">IQQ", 7, 1770000000, 1770000600) + sides
    for place in range(2 * span):
        record += legs[place] if place < len(legs) else bytes(40)
    return record


def relay_leg(address=V4, port=5060, generation=1, tcp=bytes(18)):
    return u8(generation, 0) + u16(4) + address + u16(port) + tcp


TCP_LEG = struct.pack(">IIBBHHI", 0x01020304, 0x05060708, 64, 0x78, 1440, 64240, 0)
RELAYS = {
    "udp": relay_record(),
    "latched": relay_record(legs=(relay_leg(), relay_leg(port=999))),
    "span": relay_record(span=2, flags=10, legs=(relay_leg(), bytes(40), relay_leg(port=5061))),
    "tcp": relay_record(protocol=6, kinds=(4, 4), legs=(relay_leg(tcp=TCP_LEG),)),
    "refreshed": relay_record(version=2, server=1),
    "removed": relay_record(version=3, flags=3),
}
relay_record_seeds = {f"{a}-{b}": data(RELAYS[a]) + RELAYS[b] for a, b in (
    ("udp", "latched"), ("latched", "refreshed"), ("span", "span"), ("tcp", "udp"), ("removed", "udp"))}
relay_record_seeds["ask"] = data(u8(17, 4, 17) + u16(20000))
relay_record_seeds["key"] = data(b"000102030405060708090a0b0c0d0e0f")
relay_record_seeds["token"] = data(b"AAECAwQFBgcICQoLDA0ODwEAAAAAAAAAI-NFm1BXLEHNB96ztP-MT7XkOuN9uMgw")


def write(directory, name, seeds):
    folder = directory / name
    folder.mkdir(parents=True, exist_ok=True)
    for key, value in seeds.items():
        (folder / key).write_bytes(value)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "seeds"
    for fuzzer, seeds in {"wire": wire, "cluster_keys": cluster_keys, "handshake": handshake_seeds, "server": server,
                          "uplink": uplink, "path": path, "mesh": mesh, "relay": relay,
                          "relay_record": relay_record_seeds}.items():
        write(target, fuzzer, seeds)
