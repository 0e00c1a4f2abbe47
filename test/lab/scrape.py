# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""The metrics of a daemon, read as Prometheus reads them; and scrapers that mean harm.

    scrape(daemon)           {name: Metric}, of a page that is what the format asks for
    health(daemon)           (HTTP status, lines)
    scrape.py KIND SOURCE ADDRESS PORT COUNT SECONDS     a program that holds COUNT connections:
        silent   says nothing                    half   half a request
        drip     a request that does not end     deaf   asks and does not read
It prints how many were cut, and how many of those after more than 3 s.
"""

import re
import select
import socket
import sys
import time
import typing

from lab import LabError

PORT = 9444
REQUEST = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
NAME = re.compile(r"anyrelay_[a-z][a-z0-9_]*$")
SAMPLE = re.compile(r'(\w+)(?:\{((?:[a-z]+="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (\S+)$')
LABEL = re.compile(r'([a-z]+)="((?:[^"\\]|\\.)*)"')


class Metric(typing.NamedTuple):
    kind: str
    help: str
    samples: dict  # {((label, value), …): number}

    def value(self, **labels):
        return self.samples[tuple(sorted(labels.items()))]


def parse(text):
    """Every metric once, HELP, TYPE and then its samples, no sample twice; or LabError."""
    metrics, name, said = {}, None, None
    if not text.endswith("\n"):
        raise LabError("the page does not end with a line feed")
    for line in text.splitlines():
        words = line.split(" ", 3)
        if words[:2] == ["#", "HELP"]:
            name, said = words[2], words[3]
            if not NAME.match(name) or name in metrics or not said.endswith("."):
                raise LabError(f"a bad name or sentence, or a name twice: {line}")
        elif words[:2] == ["#", "TYPE"]:
            if words[2] != name or name in metrics or words[3] not in ("counter", "gauge"):
                raise LabError(f"a type without its sentence: {line}")
            if (words[3] == "counter") != name.endswith("_total"):
                raise LabError(f"counters end in _total, and nothing else does: {line}")
            metrics[name] = Metric(words[3], said, {})
        else:
            found = SAMPLE.match(line)
            if not found or found[1] != name or name not in metrics:
                raise LabError(f"not a sample of {name}: {line}")
            labels = tuple(sorted(LABEL.findall(found[2] or "")))
            if labels in metrics[name].samples:
                raise LabError(f"twice: {line}")
            metrics[name].samples[labels] = float(found[3])
    return metrics


def get(daemon, path, *options):
    """(status, Content-Type, body)"""
    shown = daemon.node.run("curl", "-s", "-m", 10, "-w", "\n%{http_code} %{content_type}",
                            *options, f"http://127.0.0.1:{PORT}{path}", check=False).stdout
    body, _, end = shown.rpartition("\n")
    status, _, kind = end.partition(" ")
    return int(status), kind, body


def scrape(daemon):
    status, kind, body = get(daemon, "/metrics")
    if (status, kind) != (200, "text/plain; version=0.0.4; charset=utf-8"):
        raise LabError(f"{daemon.name}: metrics answered {status}, {kind}")
    return parse(body)


def health(daemon):
    status, _, body = get(daemon, "/health")
    return status, body.splitlines()


class Held:
    """A connection that its server would like to be rid of."""

    def __init__(self, kind, source, address, port):
        self.kind, self.sent, self.begun = kind, 0, time.monotonic()
        self.socket = socket.socket()
        if kind == "deaf":
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        self.socket.bind((source, 0))
        self.socket.connect((address, port))
        self.socket.setblocking(False)
        self.poll = select.poll()
        self.poll.register(self.socket, select.POLLRDHUP)

    def cut(self):
        return bool(self.poll.poll(0))

    def act(self):
        """What the kind does each 100 ms."""
        text = {"silent": b"", "half": REQUEST[:20] if not self.sent else b"",
                "drip": REQUEST[self.sent % 20:][:1],
                "deaf": REQUEST * 20 if not self.sent else b""}[self.kind]
        self.sent += 1
        try:
            self.socket.send(text)
        except OSError:
            pass  # cut() will see it


def harm(kind, source, address, port, count, seconds):
    end, cut, lasting, held = time.monotonic() + float(seconds), 0, 0, []
    print("ready", flush=True)
    while time.monotonic() < end:
        while len(held) < int(count):
            held.append(Held(kind, source, address, int(port)))
        for one in list(held):
            one.act()
            if one.cut():
                held.remove(one)
                cut += 1
                lasting += time.monotonic() > one.begun + 3
        time.sleep(0.1)
    print("cut", cut, lasting, flush=True)


if __name__ == "__main__":
    harm(*sys.argv[1:])
