# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""Send or receive multicast and broadcast on one device.

    mcast.py recv ADDRESS PORT DEVICE         prints "joined", then "received TEXT from SOURCE"
    mcast.py send ADDRESS PORT DEVICE TEXT    hop limit 8
"""

import ipaddress
import socket
import struct
import sys


def open_socket(address, device):
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
    return s


def join(s, address, device):
    index = socket.if_nametoindex(device)
    if address.version == 6:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP,
                     address.packed + struct.pack("@I", index))
    else:
        s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                     address.packed + bytes(4) + struct.pack("@i", index))


def receive(address, port, device):
    with open_socket(address, device) as s:
        s.bind((str(address), port))
        if address.is_multicast:
            join(s, address, device)
        print("joined", flush=True)
        while True:
            data, source = s.recvfrom(65535)
            print(f"received {data.decode()} from {source[0]}", flush=True)


def send(address, port, device, text):
    with open_socket(address, device) as s:
        if address.version == 6:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 8)
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF,
                         socket.if_nametoindex(device))
        else:
            s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 8)
        s.sendto(text.encode(), (str(address), port))


def main(word, address, port, device, *text):
    address = ipaddress.ip_address(address)
    if word == "recv":
        receive(address, int(port), device)
    else:
        send(address, int(port), device, *text)


if __name__ == "__main__":
    main(*sys.argv[1:])
