# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""One end of a relay, with nothing but kernel sockets: a program that labs run in their nodes.

    peer.py udp ADDRESS PORT RATE [TOKEN]
        greets (with its token, if it has one) until SIGUSR1, then sends numbered datagrams
    peer.py tcp ADDRESS PORT SEND RECEIVE [TOKEN]
        connects, sends the file SEND and writes what comes to the file RECEIVE ("-": none), both
        at the same time; with a token that goes first

udp says "met" when the other side's first datagram has come.  At SIGTERM it stops sending ("stopped"),
waits for the last arrivals, and prints one line of JSON.  tcp says "connected", and prints its line when both directions have ended: what it sent and got, with sha256, and the longest time
between two arrivals.
"""

import hashlib
import json
import select
import signal
import socket
import sys
import threading
import time

from stream import NUMBER, Arrivals, Pace, family, udp_socket

SIZE = 172           # a datagram: as RTP with 20 ms of G.711
LATE = 1.0           # seconds in which the last ones may come
GREETING = b"hello"
GREET_EVERY = 0.1
CHUNK = 1 << 18


class UdpPeer:
    """First greetings, until the lab has seen that both hear each other; then numbers."""

    def __init__(self, address, port, token):
        self.socket = udp_socket(address)
        self.socket.connect((address, int(port)))
        self.socket.setblocking(False)
        self.greeting = token.encode() if token else GREETING
        self.arrivals, self.refused, self.greeted = Arrivals(), 0, 0.0
        self.met = self.numbers = self.stopped = False
        signal.signal(signal.SIGUSR1, self.begin)
        signal.signal(signal.SIGTERM, self.stop)  # no exception: what was sent must be counted

    def begin(self, _number, _frame):
        self.numbers = True

    def stop(self, _number, _frame):
        self.stopped = True

    def send(self, data):
        """False: it was not sent."""
        try:
            self.socket.send(data)
        except BlockingIOError:
            return False
        except OSError:  # what ICMP said of an earlier datagram: this one did not leave
            self.refused += 1
            return False
        return True

    def greet(self):
        if time.monotonic() > self.greeted + GREET_EVERY:
            self.greeted = time.monotonic()
            self.send(self.greeting)
            if self.greeting is not GREETING:
                self.send(GREETING)

    def take(self, data):
        if not self.met:
            self.met = True
            print("met", flush=True)
        if len(data) == SIZE:
            self.arrivals.add(NUMBER.unpack_from(data)[0], time.monotonic())

    def listen(self, seconds):
        if not select.select([self.socket], [], [], seconds)[0]:
            return
        try:
            while True:
                self.take(self.socket.recv(65535))
        except BlockingIOError:
            return
        except OSError:
            self.refused += 1


def udp(address, port, rate, token=None):
    peer, pace = UdpPeer(address, port, token), None
    print("ready", flush=True)
    while not peer.stopped:
        if not peer.numbers:
            peer.greet()
        elif pace is None:
            pace = Pace(float(rate))
        else:
            for _ in range(pace.due()):
                if not peer.send(NUMBER.pack(pace.done) + bytes(SIZE - NUMBER.size)):
                    break
                pace.done += 1
        peer.listen(0.001)
    print("stopped", flush=True)
    finish = time.monotonic() + LATE
    while time.monotonic() < finish:
        peer.listen(0.05)
    return {"sent": pace.done if pace else 0, **peer.arrivals.report(), "refused": peer.refused}


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
    print(json.dumps({"udp": udp, "tcp": tcp}[sys.argv[1]](*sys.argv[2:])), flush=True)
