# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""Sends IP packets just as they are, whoever they say they come from: a program that labs run in nodes.

    inject.py TIMES RATE     standard input: packets in hex, one a line; all of them so many times,
                             so many packets a second

Prints how many were sent.
"""

import socket
import sys
import time

from stream import Pace

SO_MARK = 36
MARK = 1  # of what is sent here: the node's own packet filter may let it pass
RAW = {4: (socket.AF_INET, 16, 20), 6: (socket.AF_INET6, 24, 40)}  # where the destination is


def main(times, rate):
    packets = []
    for line in sys.stdin:
        packet = bytes.fromhex(line)
        family, begin, end = RAW[packet[0] >> 4]
        packets.append((packet[0] >> 4, packet, (socket.inet_ntop(family, packet[begin:end]), 0)))
    sockets = {version: socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW)
               for version, (family, _, _) in RAW.items()}
    for s in sockets.values():
        s.setsockopt(socket.SOL_SOCKET, SO_MARK, MARK)
    pace, count = Pace(float(rate)), int(times) * len(packets)
    while pace.done < count:
        for _ in range(min(pace.due(), count - pace.done)):
            version, packet, to = packets[pace.done % len(packets)]
            sockets[version].sendto(packet, to)
            pace.done += 1
        time.sleep(0.0005)
    print(count)


if __name__ == "__main__":
    main(*sys.argv[1:])
