# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""One TCP connection as fast as it goes, for the relay bench; iperf3 wants two.

    tcpload.py recv ADDRESS PORT            one connection; bytes and seconds as JSON
    tcpload.py send ADDRESS PORT SECONDS
"""

import json
import socket
import sys
import time

CHUNK = 1 << 20


def receive(address, port):
    listener = socket.create_server((address, int(port)))
    print("ready", flush=True)
    connection, _ = listener.accept()
    buffer, count, began = bytearray(CHUNK), 0, time.monotonic()
    while n := connection.recv_into(buffer):
        count += n
    print(json.dumps({"bytes": count, "seconds": time.monotonic() - began}), flush=True)


def send(address, port, seconds):
    connection = socket.create_connection((address, int(port)), 10)
    connection.settimeout(None)
    data, end = memoryview(bytes(CHUNK)), time.monotonic() + float(seconds)
    while time.monotonic() < end:
        connection.sendall(data)
    connection.close()


if __name__ == "__main__":
    {"recv": receive, "send": send}[sys.argv[1]](*sys.argv[2:])
