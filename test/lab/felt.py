# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""Traffic that writes down when each piece of it came: a program that the demo runs in its nodes.

    felt.py type RATE COMMAND ...       types at a session that echoes, once COMMAND has said "go"
    felt.py fetch COMMAND ...           reads what COMMAND brings, and says "at N" at each 10 MB
    felt.py udp-send ADDRESS PORT RATE
    felt.py udp-sink ADDRESS PORT       for udp-send

Each says "ready" and runs until SIGTERM, fetch until COMMAND ends; then it prints one line of
JSON.  Times are seconds of CLOCK_MONOTONIC, which all nodes of a lab share.
"""

import hashlib
import json
import os
import select
import signal
import string
import struct
import subprocess
import sys
import time

from stream import Pace, udp_socket

MEGABYTE = 1_000_000
PATIENCE = 5.0  # seconds in which the last echoes may come: TCP may have to retransmit
QUIET = 0.5     # after so many seconds without a packet none is still on its way
TOGETHER = 0.01  # what arrives within so many seconds is one entry
DATAGRAM = struct.Struct("!Qd")  # number, when it was sent
TEXT = string.ascii_letters + string.digits


class Run:
    """Goes on until SIGTERM, which breaks nothing off."""

    going = True

    @classmethod
    def end(cls, _number, _frame):
        cls.going = False


def read_until(pipe, word):
    said = b""
    while word not in said:
        data = os.read(pipe.fileno(), 4096)
        if not data:
            sys.exit(f"the session ended before it said {word}: {said}")
        said += data


def typing(rate, *command):
    """One character after the other, whether the last has come back or not, as people type."""
    session = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    read_until(session.stdout, b"go\n")
    typed, echoed = [], []
    came = b""

    def listen(seconds):
        nonlocal came
        if select.select([session.stdout], [], [], seconds)[0]:
            data = os.read(session.stdout.fileno(), 4096)
            came += data
            echoed.extend([time.monotonic()] * len(data))
    print("ready", flush=True)
    pace = Pace(float(rate))
    while Run.going and session.poll() is None:
        if pace.due() > 0:
            typed.append(time.monotonic())
            session.stdin.write(TEXT[pace.done % len(TEXT)].encode())
            pace.done += 1
        listen(0.002)
    finish = time.monotonic() + PATIENCE
    while len(echoed) < len(typed) and session.poll() is None and time.monotonic() < finish:
        listen(0.05)
    session.kill()
    wanted = "".join(TEXT[i % len(TEXT)] for i in range(len(typed)))
    return {"typed": typed, "echoed": echoed, "same": came.decode(errors="replace") == wanted}


def fetch(*command):
    program = subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0)
    digest, size, arrivals = hashlib.sha256(), 0, []
    print("ready", flush=True)
    while data := os.read(program.stdout.fileno(), 1 << 18):
        now = time.monotonic()
        digest.update(data)
        if arrivals and now - arrivals[-1][0] < TOGETHER:
            arrivals[-1][1] += len(data)
        else:
            arrivals.append([now, len(data)])
        before, size = size, size + len(data)
        if before // (10 * MEGABYTE) < size // (10 * MEGABYTE):
            print("at", size // MEGABYTE // 10 * 10, flush=True)
    return {"status": program.wait(), "size": size, "sha256": digest.hexdigest(),
            "arrivals": arrivals}


def udp_send(address, port, rate):
    s = udp_socket(address)
    s.connect((address, int(port)))
    sent = []
    print("ready", flush=True)
    pace = Pace(float(rate))
    while Run.going:
        if pace.due() > 0:
            sent.append(time.monotonic())
            s.send(DATAGRAM.pack(pace.done, sent[-1]))
            pace.done += 1
        else:
            time.sleep(0.001)
    return {"sent": sent}


def udp_sink(address, port):
    s = udp_socket(address)
    s.bind((address, int(port)))
    s.settimeout(QUIET)
    arrivals = []
    print("ready", flush=True)
    while True:
        try:
            number, sent = DATAGRAM.unpack(s.recv(65535))
            arrivals.append([number, sent, time.monotonic()])
        except TimeoutError:
            if not Run.going:
                return {"arrivals": arrivals}


MODES = {"type": typing, "fetch": fetch, "udp-send": udp_send, "udp-sink": udp_sink}

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, Run.end)
    print(json.dumps(MODES[sys.argv[1]](*sys.argv[2:])), flush=True)
