# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""One end of a TCP relay, with nothing but a kernel socket: a program that labs run in their nodes.

    peer.py ADDRESS PORT SEND RECEIVE [TOKEN]

It connects ("connected"), sends the file SEND and writes what comes to the file RECEIVE ("-":
none), both at the same time; with a token that goes first.  When both directions have ended it
prints one line of JSON: what it sent and got, with sha256, and the longest time between two
arrivals.  test/traffic/udppeer.c does the same for UDP.
"""

import hashlib
import json
import socket
import sys
import threading
import time

from stream import family

CHUNK = 1 << 18


def send_file(s, path, token):
    """What of the file was sent, with its sha256; then the direction is closed."""
    digest, count = hashlib.sha256(), 0
    if token:
        s.sendall(token.encode())
    if path != "-":
        with open(path, "rb") as source:
            while data := source.read(CHUNK):
                s.sendall(data)
                digest.update(data)
                count += len(data)
    s.shutdown(socket.SHUT_WR)
    return {"sent": count, "sent_sha256": digest.hexdigest()}


def receive_file(s, path):
    digest, count, last, stall = hashlib.sha256(), 0, 0.0, 0.0
    out = open(path, "wb") if path != "-" else None
    while data := s.recv(CHUNK):
        now = time.monotonic()
        stall = max(stall, now - last) if last else 0.0
        last = now
        digest.update(data)
        count += len(data)
        if out:
            out.write(data)
    return {"got": count, "got_sha256": digest.hexdigest(), "stall": round(stall, 3)}


def tcp(address, port, source, to, token=None):
    s = socket.socket(family(address), socket.SOCK_STREAM)
    s.connect((address, int(port)))
    print("connected", flush=True)
    result = {}

    def sending():
        try:
            result.update(send_file(s, source, token))
        except OSError as error:
            result["error"] = str(error)
    sender = threading.Thread(target=sending)
    sender.start()
    try:
        result.update(receive_file(s, to))
    except OSError as error:
        result["error"] = str(error)
    sender.join()
    return result


if __name__ == "__main__":
    print(json.dumps(tcp(*sys.argv[1:])), flush=True)
