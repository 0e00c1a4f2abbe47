# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""Numbered traffic that knows exactly what arrived: a program that labs run in their nodes.

    stream.py udp-echo ADDRESS PORT NAME       answers every datagram, with its NAME
    stream.py udp-ask ADDRESS PORT RATE        asks it so often a second
    stream.py udp-sink ADDRESS PORT            counts what udp-send sends
    stream.py udp-send ADDRESS PORT RATE [COUNT [SIZE]]
    stream.py tcp-echo ADDRESS PORT
    stream.py tcp-ask ADDRESS PORT RATE CONNECTIONS   numbered messages on each connection

Each says "ready", runs until SIGTERM (udp-send: until it is done), and then prints one line of
JSON.  A "stall" is the longest time between two arrivals, in seconds.
"""

import collections
import json
import select
import signal
import socket
import struct
import sys
import time

IP_FREEBIND = 15  # the address may come later, and go
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33
LATE = 1.0        # seconds in which the last answers may come
NUMBER = struct.Struct("!Q")
MESSAGE = 64      # bytes of a TCP message


class Ended(Exception):
    """SIGTERM."""


def end(_number, _frame):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Ended


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def udp_socket(address):
    s = socket.socket(family(address), socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
    s.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 8 << 20)
    s.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
    return s


class Arrivals:
    """Which numbers came, how often, in what order, and when."""

    def __init__(self):
        self.seen = bytearray()
        self.distinct = self.duplicates = self.overtaken = 0
        self.highest = -1
        self.last = self.stall = 0.0

    def add(self, number, now):
        if number >= len(self.seen):
            self.seen.extend(bytes(max(4096, number + 1 - len(self.seen))))
        if self.seen[number]:
            self.duplicates += 1
            return
        self.seen[number] = 1
        self.distinct += 1
        self.overtaken += number < self.highest
        self.highest = max(self.highest, number)
        if self.last:
            self.stall = max(self.stall, now - self.last)
        self.last = now

    def report(self):
        return {"received": self.distinct, "duplicates": self.duplicates,
                "overtaken": self.overtaken, "stall": round(self.stall, 4)}


class Pace:
    """So many things a second, from now on."""

    def __init__(self, rate):
        self.rate, self.start, self.done = rate, time.monotonic(), 0

    def due(self):
        return int((time.monotonic() - self.start) * self.rate) + 1 - self.done


def udp_echo(address, port, name):
    s = udp_socket(address)
    s.bind((address, int(port)))
    print("ready", flush=True)
    answered = 0
    try:
        while True:
            data, sender = s.recvfrom(65535)
            s.sendto(data + name.encode(), sender)
            answered += 1
    except Ended:
        return {"answered": answered}


def udp_ask(address, port, rate):
    s = udp_socket(address)
    s.connect((address, int(port)))
    s.setblocking(False)
    arrivals, by, errors = Arrivals(), collections.Counter(), collections.Counter()

    def listen(seconds):
        if not select.select([s], [], [], seconds)[0]:
            return False
        try:
            while True:
                data = s.recv(65535)
                arrivals.add(NUMBER.unpack_from(data)[0], time.monotonic())
                by[data[NUMBER.size:].decode()] += 1
        except BlockingIOError:
            return True
        except OSError as error:  # what ICMP said of an earlier datagram
            errors[error.strerror] += 1
            return True
    print("ready", flush=True)
    pace = Pace(float(rate))
    try:
        while True:
            for _ in range(pace.due()):
                try:
                    s.send(NUMBER.pack(pace.done))
                except OSError as error:
                    errors[error.strerror] += 1
                pace.done += 1
            listen(0.001)
    except Ended:
        finish = time.monotonic() + LATE
        while arrivals.distinct < pace.done and time.monotonic() < finish:
            listen(0.05)
    return {"sent": pace.done, **arrivals.report(), "by": by, "errors": errors}


def udp_sink(address, port):
    s = udp_socket(address)
    s.bind((address, int(port)))
    arrivals = Arrivals()
    print("ready", flush=True)
    try:
        while True:
            arrivals.add(NUMBER.unpack_from(s.recv(65535))[0], time.monotonic())
    except Ended:
        return arrivals.report()


def udp_send(address, port, rate, count="0", size="64"):
    s = udp_socket(address)
    s.connect((address, int(port)))
    padding = bytes(int(size) - NUMBER.size)
    count = int(count) or sys.maxsize
    errors = collections.Counter()
    print("ready", flush=True)
    pace = Pace(float(rate))
    try:
        while pace.done < count:
            # What is sent is counted too: the end waits for both.
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
            for _ in range(min(pace.due(), count - pace.done)):
                try:
                    s.send(NUMBER.pack(pace.done) + padding)
                except OSError as error:
                    errors[error.strerror] += 1
                pace.done += 1
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
            time.sleep(0.0005)
    except Ended:
        pass
    return {"sent": pace.done, "errors": errors}


def tcp_echo(address, port):
    listener = socket.create_server((address, int(port)), family=family(address))
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    open_ones = {}
    print("ready", flush=True)
    try:
        while True:
            for fd, _ in poll.poll():
                if fd == listener.fileno():
                    connection = listener.accept()[0]
                    open_ones[connection.fileno()] = connection
                    poll.register(connection, select.POLLIN)
                    continue
                try:
                    data = open_ones[fd].recv(65536)
                    open_ones[fd].sendall(data)
                except OSError:
                    data = b""
                if not data:
                    poll.unregister(fd)
                    open_ones.pop(fd).close()
    except Ended:
        return {"connections": len(open_ones)}


class Talk:
    """One TCP connection with its messages, which must come back in order and whole."""

    def __init__(self, address, port):
        self.socket = socket.create_connection((address, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.sent = self.received = self.wrong = 0
        self.broken = ""
        self.input = b""
        self.last, self.stall = time.monotonic(), 0.0

    def send(self):
        try:
            self.socket.sendall(NUMBER.pack(self.sent).rjust(MESSAGE, b"."))
            self.sent += 1
        except OSError as error:
            self.broken = error.strerror

    def receive(self):
        try:
            data = self.socket.recv(65536)
        except OSError as error:
            self.broken = error.strerror
            return
        self.broken = "" if data else "closed by the other side"
        self.input += data
        while len(self.input) >= MESSAGE:
            number, = NUMBER.unpack(self.input[MESSAGE - NUMBER.size:MESSAGE])
            self.wrong += number != self.received
            self.received += 1
            self.input = self.input[MESSAGE:]
        now = time.monotonic()
        self.stall, self.last = max(self.stall, now - self.last), now


def tcp_ask(address, port, rate, connections):
    talks = [Talk(address, int(port)) for _ in range(int(connections))]
    by_fd = {talk.socket.fileno(): talk for talk in talks}

    def listen(seconds):
        living = [fd for fd, talk in by_fd.items() if not talk.broken]
        for fd in select.select(living, [], [], seconds)[0]:
            by_fd[fd].receive()
    print("ready", flush=True)
    pace = Pace(float(rate))
    try:
        while True:
            if pace.due() > 0:
                pace.done += 1
                for talk in talks:
                    if not talk.broken:
                        talk.send()
            listen(0.002)
    except Ended:
        finish = time.monotonic() + 5 * LATE  # TCP may be waiting for a retransmission
        while any(t.received < t.sent and not t.broken for t in talks) and \
                time.monotonic() < finish:
            listen(0.05)
    return {"connections": len(talks), "sent": sum(t.sent for t in talks),
            "received": sum(t.received for t in talks), "wrong": sum(t.wrong for t in talks),
            "broken": [t.broken for t in talks if t.broken],
            "stall": round(max(t.stall for t in talks), 4)}


MODES = {"udp-echo": udp_echo, "udp-ask": udp_ask, "udp-sink": udp_sink, "udp-send": udp_send,
         "tcp-echo": tcp_echo, "tcp-ask": tcp_ask}

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, end)
    print(json.dumps(MODES[sys.argv[1]](*sys.argv[2:])), flush=True)
