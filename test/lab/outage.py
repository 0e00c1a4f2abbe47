# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""What ssh, a transfer and a UDP stream between two clients feel of servers that are killed.

    Streams   the three, running; each of them programs of c1 and c2 (felt.py)
    Kill      which server, when, and how long the routers sent packets to it
    Felt      what came of it: right or not, as rows of a table, and as panels of a plot

All times are seconds of CLOCK_MONOTONIC.
"""

import collections
import itertools
import signal
import statistics
import time

import traffic
from cluster import RouteWatch, Stream
from lab import LabError
from plot import Curve, Mark, Panel

FILE_SIZE = 200_000_000
KILLS_AT = (60, 130)  # MB of the transfer that have arrived
RATE = 12_500_000     # bytes a second: 100 Mbit/s
UDP_PORT, UDP_RATE, TYPED_RATE = 7001, 50, 20
BIN = 0.1             # seconds of the transfer that are one bar
# Packets on their way to a server when it dies are lost, and those that follow until the routers
# have moved the route; this much more, for clocks that are read before and after.
MARGIN = 0.25

Kill = collections.namedtuple("Kill", "server at routing")


class Streams:
    """Between c1 and c2: UDP from c1, a file fetched by c1, a session of ssh on c2."""

    def __init__(self, net, inner):
        self.net = net
        self.file = traffic.File(net.lab, "200mb", FILE_SIZE)
        self.services = [traffic.ssh_server(net.c2),
                         traffic.serve_files(net.c2, self.file.directory, [inner["c2"]], rate=RATE)]
        self.sink = self.start(net.c2, "udp-sink", inner["c2"], UDP_PORT)
        self.typing = self.start(
            net.c1, "type", TYPED_RATE, *traffic.ssh_argv(net.c1, inner["c2"], "-tt"),
            "stty raw echo; echo go; exec cat >/dev/null")
        self.send = self.start(net.c1, "udp-send", inner["c2"], UDP_PORT, UDP_RATE)
        self.fetch = self.start(net.c1, "fetch", "curl", "-sS", "-g", "--fail", "--no-buffer",
                                traffic.url(inner["c2"], self.file))

    @staticmethod
    def start(node, *words):
        return Stream(node, *words, program="felt.py")

    def kill_one(self, megabytes):
        """Once so much has been fetched: kill -9 of the server that most packets go to."""
        watches = [RouteWatch(router) for router in self.net.routers]
        self.fetch.process.wait_log(f"at {megabytes}\n", 60)
        victim = self.net.busiest()
        at, wall = time.monotonic(), time.time()
        victim.process.stop(signal.SIGKILL)
        return Kill(victim.name, at, max(watch.moved(wall) for watch in watches))

    def finish(self, kills):
        fetched = self.fetch.wait(120)
        sent, typed = self.send.finish(), self.typing.finish()
        arrivals = self.sink.finish()["arrivals"]
        for service in self.services:
            service.stop()
        return Felt(kills, typed, fetched, sent["sent"], arrivals)


def gaps(times):
    """[(when it ended, how long nothing came)]"""
    return [(b, b - a) for a, b in itertools.pairwise(times)]


class Felt:
    def __init__(self, kills, typed, fetched, sent, arrivals):
        self.kills, self.typed, self.fetched = kills, typed, fetched
        self.sent, self.arrivals = sent, arrivals
        numbers = [number for number, _, _ in arrivals]
        self.order = all(a < b for a, b in itertools.pairwise(numbers))
        self.lost = [sent[i] for i in sorted(set(range(len(sent))) - set(numbers))]
        self.echoes = [(back, back - out) for out, back in zip(typed["typed"], typed["echoed"])]
        self.pauses = gaps([at for at, _ in fetched["arrivals"]])
        self.silences = gaps([at for _, _, at in arrivals])
        self.begin = min(sent[0], typed["typed"][0])

    def lost_at(self, kill):
        return [at for at in self.lost if kill.at - MARGIN < at < kill.at + kill.routing + MARGIN]

    def judge(self, file):
        """Whole and in order, and nothing lost but at a kill; or LabError."""
        stray = set(self.lost).difference(*map(self.lost_at, self.kills))
        for wrong, text in (
                (not self.typed["same"] or len(self.echoes) < len(self.typed["typed"]),
                 "what ssh echoed is not what was typed"),
                (self.fetched["status"], f"curl ended with {self.fetched['status']}"),
                (self.fetched["sha256"] != file.sha256, "the sha256 of the file differs"),
                (not self.order, "UDP packets came twice, or out of order"),
                (stray, f"{len(stray)} UDP packets were lost while nobody was killed")):
            if wrong:
                raise LabError(text)

    def values(self):
        """All of it, for who wants to look closer."""
        return {"kills": [kill._asdict() for kill in self.kills], "typed": self.typed["typed"],
                "echoed": self.typed["echoed"], "fetched": self.fetched["arrivals"],
                "udp_sent": self.sent, "udp_arrived": self.arrivals}

    # ---- the table ----

    def phases(self):
        """Until the first kill, and from each on: [(begin, end)]"""
        edges = [self.begin, *(kill.at for kill in self.kills), float("inf")]
        return list(itertools.pairwise(edges))

    def longest(self, series):
        return [f"{1000 * max(length for at, length in series if begin <= at < end):,.0f} ms"
                for begin, end in self.phases()]

    def rows(self):
        """[[cell]]: heads, then a row a stream."""
        usual = 1000 * statistics.median(length for _, length in self.echoes)
        return [
            ["longest wait", "before", *(f"{kill.server} killed" for kill in self.kills), ""],
            ["routes moved after", "", *(f"{1000 * kill.routing:,.0f} ms" for kill in self.kills),
             "BIRD at both routers"],
            ["ssh: for an echo", *self.longest(self.echoes),
             f"{len(self.echoes):,} characters, all back and in order; usually {usual:.1f} ms"],
            ["transfer: for data", *self.longest(self.pauses),
             f"{self.fetched['size']:,} bytes, sha256 {self.fetched['sha256'][:12]}… equal"],
            ["UDP: for a packet", *self.longest(self.silences),
             f"{len(self.sent):,} sent, each {1000 / UDP_RATE:.0f} ms; {len(self.lost)} lost, "
             "none twice, all in order"],
            ["UDP: lost", "0", *(str(len(self.lost_at(kill))) for kill in self.kills), ""]]

    # ---- the plot ----

    def throughput(self):
        """Mbit/s of each bin."""
        bins = collections.Counter()
        for at, size in self.fetched["arrivals"]:
            bins[int((at - self.begin) / BIN)] += size
        return [(i * BIN, bins[i] * 8 / 1e6 / BIN) for i in range(max(bins) + 2)]

    def milliseconds(self, series):
        return [(at - self.begin, 1000 * length) for at, length in series]

    def end(self):
        return self.sent[-1] - self.begin

    def marks(self):
        return [Mark(kill.at - self.begin,
                     f"{kill.server} killed; routes moved after {1000 * kill.routing:.0f} ms")
                for kill in self.kills]

    def panels(self):
        line = 'lines linewidth 1.2 linecolor "{}"'.format
        lost = [(at - self.begin, 2) for at in self.lost]
        return [
            Panel("ssh: time until a typed character came back", "ms", 100, [
                Curve("a character", line("#2471a3"), self.milliseconds(self.echoes))]),
            Panel("transfer of 200 MB, served at 100 Mbit/s", "Mbit/s", 150, [
                Curve("in 100 ms", 'fillsteps linecolor "#1e8449"', self.throughput())]),
            Panel("UDP, a packet each 20 ms: time since the one before came", "ms", 100, [
                Curve("a packet", line("#7d3c98"), self.milliseconds(self.silences)),
                Curve(f"lost: {len(lost)} of {len(self.sent):,}",
                      'points pointtype 2 pointsize 1 linecolor "#c0392b"', lost)])]
