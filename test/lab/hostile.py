# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""Packets that no peer of ours sends; run inside a node that sees the traffic pass.

    hostile.py capture DEVICE FILTER COUNT FILE    keep COUNT UDP packets of the live traffic
    hostile.py replay FILE                         send them again, as they were
    hostile.py flip FILE                           send each with one bit of its payload changed
    hostile.py cut FILE                            send each at every length from 0 to its own
    hostile.py random SOURCE DESTINATION COUNT     random bytes under each type, many sizes;
                                                   both ADDRESS:PORT, IPv4

The source addresses are those of the packets: forged.  Prints how many packets were sent.
"""

import random
import socket
import sys

from scapy.all import IP, UDP, Raw, conf, rdpcap, sniff, wrpcap

SEED = 20260101
SIZES = [0, 1, 15, 31, 32, 33, 47, 56, 63, 64, 79, 80, 100, 1151, 1199, 1200, 1201, 1400, 1472]


def send_all(packets):
    """Hand IP packets to the kernel, which routes them; the number sent."""
    sent = 0
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        for packet in packets:
            raw.sendto(bytes(packet), (packet[IP].dst, 0))
            sent += 1
    return sent


def rebuilt(packet, payload):
    """The packet with another payload, lengths and checksums made anew."""
    return (IP(src=packet[IP].src, dst=packet[IP].dst)
            / UDP(sport=packet[UDP].sport, dport=packet[UDP].dport) / Raw(payload))


def payload_of(packet):
    return bytes(packet[UDP].payload)


def capture(device, rule, count, path):
    """Says "ready" when it listens."""
    packets = sniff(iface=device, filter=rule, count=int(count), timeout=10,
                    started_callback=lambda: print("ready", flush=True))
    wrpcap(path, packets)
    return len(packets)


def replay(path):
    return send_all(rebuilt(p, payload_of(p)) for p in rdpcap(path))


def flip(path):
    def flipped(packet):
        data = bytearray(payload_of(packet))
        bit = random.randrange(8 * len(data))
        data[bit // 8] ^= 1 << bit % 8
        return rebuilt(packet, bytes(data))
    return send_all(flipped(p) for p in rdpcap(path))


def cut(path):
    return send_all(rebuilt(p, payload_of(p)[:n]) for p in rdpcap(path)
                    for n in range(len(payload_of(p))))


def forge(source, destination, count):
    (src, sport), (dst, dport) = (text.rsplit(":", 1) for text in (source, destination))
    for n in range(int(count)):
        kind = bytes([0xA0 | n % 16]) if n % 17 else random.randbytes(1)
        size = SIZES[n // 17 % len(SIZES)]
        yield (IP(src=src, dst=dst) / UDP(sport=int(sport), dport=int(dport))
               / Raw((kind + random.randbytes(size))[:size]))


def main(word, *rest):
    conf.verb = 0
    random.seed(SEED)
    words = {"capture": capture, "replay": replay, "flip": flip, "cut": cut,
             "random": lambda *r: send_all(forge(*r))}
    print(words[word](*rest))


if __name__ == "__main__":
    main(*sys.argv[1:])
