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
HELLO_ACK = u8(0x13, 0) + COOKIE
PROBE = u8(0x14, 0) + u16(1400) + bytes(4)
PROBE_ACK = u8(0x15, 0) + u16(1500) + struct.pack(">I", 1) + u8(0, 7, 1, 2, 3)
PROBE_REQ = u8(0x16, 0) + u16(1400) + bytes(4)
IPV4 = bytes.fromhex("4500001c000000004011f96c0a0000010a000002") + bytes(8)
ETHERNET = u8(0x30, 0) + data(bytes(14))

wire = {
    "challenge": CHALLENGE, "time_challenge": TIME_CHALLENGE, "hello": HELLO,
    "hello_lists": HELLO + GROUPS + MACS + bytes(40), "hello_ack": HELLO_ACK, "probe": PROBE,
    "probe_ack": PROBE_ACK, "probe_req": PROBE_REQ, "unknown_tlv": HELLO_ACK + u8(9) + data(b"xyz"),
}


# ---- fuzz_server: RAW, SEALED, HELLO, CLOCK, REPLAY, HANDSHAKE, RELOAD, DOWNSTREAM ----
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


PADDED = bytes(48)  # a keep-alive
CHALLENGED = sealed(PADDED) + clock(0.2) + sealed(PADDED)
BY_HANDSHAKE = handshake() + hello(groups=0x12, macs=1) + downstream()
TIMED = sealed(PADDED, age=50) + hello(age=50)

server = {
    "challenged": CHALLENGED + hello() + downstream() + sealed(IPV4) + sealed(PROBE_REQ),
    "handshake": BY_HANDSHAKE + sealed(IPV4, session=9) + sealed(PROBE + bytes(1360), session=9),
    "groups": BY_HANDSHAKE + hello(groups=0x3E, macs=2) + hello(groups=0x17) + hello(groups=2),
    "move": BY_HANDSHAKE + clock(0.2) + sealed(PADDED, session=9, address=1) +
            hello(cookie=1, address=1) + downstream() + clock(2),
    "moved_twice": BY_HANDSHAKE + clock(0.2) + sealed(PADDED, session=9, address=1) +
                   hello(cookie=1, address=2) + clock(1.2) + sealed(PADDED, session=9, address=2) +
                   hello(cookie=2, address=2) + sealed(IPV4, session=9, address=2),
    "late": TIMED + sealed(IPV4, age=40) + replay(0) + replay(2) + clock(6) + replay(2),
    "early": sealed(PADDED, age=-50) + hello(age=-30) + sealed(IPV4, age=-60) + clock(5.1) +
             replay(2),
    "late_then_probe": sealed(PADDED, age=50) + sealed(PROBE + bytes(1360)),
    "small_probe": CHALLENGED + sealed(PROBE) + sealed(PROBE + bytes(40), address=1) + clock(0.2) +
                   sealed(PROBE + bytes(40), address=1),
    "epochs": BY_HANDSHAKE + clock(200) + clock(120) + sealed(IPV4, session=3) +
              sealed(IPV4, session=9) + clock(250) + clock(50) + sealed(IPV4, session=9) +
              sealed(IPV4, session=6),
    "retry": handshake() + handshake() + handshake() + handshake(0x10) + handshake(0x11) +
             handshake(0x20, at=100) + handshake(0x40, at=1199),
    "reload": handshake(1) + hello(groups=0x12) + reload(3) + sealed(IPV4, session=10) +
              reload(2) + sealed(IPV4, session=10) + downstream(1),
    "other_cipher": sealed(IPV4) + sealed(IPV4, flags=0x11) + sealed(ETHERNET, flags=0x19),
    "malformed": sealed(u8(0x12) + bytes(50)) + sealed(u8(0x12, 0) + HELLO[2:] + u8(2) +
                 data(bytes(15))) + sealed(u8(0x1F)) + sealed(u8(0x50)) + sealed(b""),
    "spoilt": sealed(IPV4, flags=0x14, spoil=30) + sealed(IPV4, flags=0x14, spoil=0),
    "stranger": sealed(PADDED, session=2) + raw(u8(0xA2, 1) + bytes(40)) + raw(b"x"),
}


def write(directory, name, seeds):
    folder = directory / name
    folder.mkdir(parents=True, exist_ok=True)
    for key, value in seeds.items():
        (folder / key).write_bytes(value)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "seeds"
    for fuzzer, seeds in (("wire", wire), ("server", server)):
        write(target, fuzzer, seeds)
