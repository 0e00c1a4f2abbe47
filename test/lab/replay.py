# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""An attacker on the path: keeps IPv4 packets that pass, and sends them again to every server.

    replay.py DEVICE PORT COUNT MARKS SECONDS [SOURCE]

Says "ready", takes COUNT UDP packets to PORT that arrive on DEVICE, and SECONDS later sends
each twice under each firewall mark of MARKS (1,2,3), which lead to the servers (see
ClusterNet.spray()); from SOURCE, an IPv4 address, if one is given.  Prints how many it sent.
"""

import socket
import struct
import sys
import time

ETH_P_IP, SO_MARK = 0x0800, 36
PATIENCE = 10


def take(device, port, count):
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_IP)) as tap:
        tap.bind((device, ETH_P_IP))
        tap.settimeout(PATIENCE)
        print("ready", flush=True)
        packets = []
        while len(packets) < count:
            packet, place = tap.recvfrom(65535)
            to_port, = struct.unpack_from("!H", packet, 22)
            if place[2] == socket.PACKET_HOST and packet[9] == socket.IPPROTO_UDP and \
                    to_port == port:
                packets.append(packet)
        return packets


def again(packet, source):
    """
    Without a UDP checksum, which IPv4 allows: within one machine it may not have been made
    yet.  That of the header is made by the kernel.
    """
    return packet[:12] + source + packet[16:26] + b"\0\0" + packet[28:]


def main(device, port, count, marks, seconds, source=""):
    packets = take(device, int(port), int(count))
    packets = [again(packet, socket.inet_aton(source) if source else packet[12:16])
               for packet in packets]
    time.sleep(float(seconds))  # the age of the packets is what it is about
    sent = 0
    for mark in 2 * marks.split(","):
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
            raw.setsockopt(socket.SOL_SOCKET, SO_MARK, int(mark))
            for packet in packets:
                raw.sendto(packet, (socket.inet_ntoa(packet[16:20]), 0))
                sent += 1
    print(sent)


if __name__ == "__main__":
    main(*sys.argv[1:])
