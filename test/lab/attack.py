# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""Somebody outside the path who knows everything about a relay but its tokens.

    Attacker   sends from a node whatever packets one likes, under any source
    Meter      counts what passes a node
    segments, errors    what may be tried with a TCP connection whose addresses and ports are known

He sees neither side's packets, so he has to guess at sequence numbers.
"""

import json
import os
import random
import sys

from scapy.all import (ICMP, IP, TCP, UDP, ICMPv6DestUnreach, ICMPv6EchoReply, ICMPv6PacketTooBig,
                       IPv6, Raw)

from cluster import HERE

SEED = 20260102


def ip(src, dst, **fields):
    return IPv6(src=src, dst=dst, **fields) if ":" in src else IP(src=src, dst=dst, **fields)


def udp(src, dst, payload=b""):
    """src, dst: (address, port)"""
    return ip(src[0], dst[0]) / UDP(sport=src[1], dport=dst[1]) / Raw(payload)


def tcp(src, dst, flags, payload=b"", **fields):
    return (ip(src[0], dst[0]) / TCP(sport=src[1], dport=dst[1], flags=flags, **fields)
            / Raw(payload))


class Attacker:
    def __init__(self, node):
        self.node, self.random = node, random.Random(SEED)

    def argv(self, times, rate):
        return sys.executable, os.path.join(HERE, "inject.py"), times, rate

    def send(self, packets, times=1, rate=5000):
        """How many were sent."""
        lines = "".join(bytes(packet).hex() + "\n" for packet in packets)
        return int(self.node.run(*self.argv(times, rate), input=lines, timeout=120))

    def number(self):
        return self.random.getrandbits(32)

    def stranger(self, family=4):
        """An address and port that nobody has."""
        network = {4: "203.0.113.{}", 6: "2001:db8:113::{:x}"}[family]
        return (network.format(self.random.randrange(1, 255)),
                self.random.randrange(1024, 65536))

    def segments(self, src, dst, count):
        """Blind segments in the name of src."""
        for i in range(count):
            yield tcp(src, dst, ("R", "RA", "S", "SA", "FA", "A", "PA")[i % 7],
                      b"forged" if i % 7 == 6 else b"", seq=self.number(), ack=self.number(),
                      window=self.random.getrandbits(16))

    def errors(self, sender, src, dst, protocol=TCP):
        """ICMP errors about a packet from src, an anycast address and port, to dst."""
        quoted = ip(src[0], dst[0]) / (
            TCP(sport=src[1], dport=dst[1], seq=self.number()) if protocol is TCP
            else UDP(sport=src[1], dport=dst[1], len=180))
        if ":" in src[0]:
            return [IPv6(src=sender, dst=src[0]) / error / quoted for error in (
                *(ICMPv6DestUnreach(code=code) for code in (0, 1, 3, 4)),
                *(ICMPv6PacketTooBig(mtu=mtu) for mtu in (0, 68, 1280)))]
        return [IP(src=sender, dst=src[0]) / error / quoted for error in (
            *(ICMP(type=3, code=code) for code in (0, 1, 2, 3, 9, 10, 13)),
            *(ICMP(type=3, code=4, nexthopmtu=mtu) for mtu in (0, 68, 552, 1280)))]

    def too_bigs(self, sender, src, to, port):
        """
        That a host, `to`, is at the end of a narrow path, about packets that a machine with the
        address src may have sent it: of its own ping, of the tunnel from `port`, of its kernel's TCP.
        """
        v6 = ":" in src
        sent = (ICMPv6EchoReply() if v6 else ICMP(type=0), UDP(sport=port, dport=self.number() >> 16),
                TCP(sport=22, dport=1025, seq=self.number()))
        return [ip(sender, src) / (ICMPv6PacketTooBig(mtu=1280) if v6 else
                                   ICMP(type=3, code=4, nexthopmtu=552))
                / ip(src, to) / upper / Raw(bytes(64)) for upper in sent]


class Meter:
    """Packets and bytes that fit a rule of nft, at one hook of a node."""

    def __init__(self, node, name, hook, rule, verdict=""):
        self.node, self.name = node, f"meter_{name}"
        node.nft(f"""
            table inet {self.name} {{
                counter seen {{ }}
                chain c {{
                    type filter hook {hook} priority -300;
                    {rule} counter name seen {verdict}
                }}
            }}""")

    def read(self):
        """(packets, bytes)"""
        listed = json.loads(self.node.run("nft", "-j", "list", "counters", "table", "inet",
                                          self.name))
        counter = next(o["counter"] for o in listed["nftables"] if "counter" in o)
        return counter["packets"], counter["bytes"]

    def remove(self):
        self.node.run("nft", "delete", "table", "inet", self.name)


def endpoint(text):
    """(address, port) of what the tool prints."""
    address, port = text.rsplit(":", 1)
    return address.strip("[]"), int(port)
