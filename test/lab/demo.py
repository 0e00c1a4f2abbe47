# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""The demo: two clients behind NATs talk through a cluster, while two of its three servers die.

    c1 ── n1 ── r1 ──┐      ┌── s1, s2, s3      anyrelayd, one anycast address; a resolver on each
                     ├─ sw ─┤
    c2 ── n2 ── r2 ──┘      └── d1, d2, d3      NATS          addresses: cluster.py

n1 and n2 masquerade and drop what conntrack calls invalid; r1 and r2 run BIRD.  c1 reaches the
servers by IPv4, c2 by IPv6.  Ends with a table of what was done and one of what the streams
felt, and a plot in build/demo; exit status 0 only if all of it worked.
"""

import contextlib
import json
import os
import sys
import time

import anyrelay
import outage
import plot
import traffic
from cluster import INNER4, INNER6, ClusterNet
from lab import BUILD, Lab, LabError, enter

OUTPUT = os.path.join(BUILD, "demo")
NAME = "which.example"
PICTURE = """\
c1 ── NAT ── router ──┐      ┌── s1, s2, s3    anyrelayd: all three are 192.0.2.7 and 2001:db8:a::7
                      ├──────┤
c2 ── NAT ── router ──┘      └── d1, d2, d3    NATS          in network namespaces of its own
"""


class Demo:
    """The steps, in order; each returns a sentence of what came of it."""

    def __init__(self, lab):
        self.lab = lab
        self.net = ClusterNet(lab)
        self.felt = None

    def start(self):
        started = time.monotonic()
        self.net.start_cluster(outer=(4, 6))
        sessions = self.net.daemons[0].sessions()
        places = ", ".join(f"{name} at {sessions[name]['endpoint']}" for name in sorted(sessions))
        return f"three servers, two routers, {places}; {time.monotonic() - started:.1f} s"

    def ping(self, inner):
        return "; ".join(
            f"{here.name} → {there} {traffic.ping(here, inner[there], count=20):.2f} ms"
            for here, there in ((self.net.c1, "c2"), (self.net.c2, "c1"), (self.net.c1, "s")))

    def resolvers(self):
        """One on each server, at the inner address that all of them have; each says which it is."""
        for i, node in enumerate(self.net.servers, 1):
            traffic.dns_server(node, [INNER4["s"], INNER6["s"]], NAME, [f"192.0.2.10{i}"])
        return f"on each server, at {INNER4['s']} and {INNER6['s']}"

    def dns(self, inner):
        said = []
        for node in self.net.clients:
            answer = traffic.resolve(node, inner["s"], NAME)
            server = {f"192.0.2.10{i}": s.name for i, s in enumerate(self.net.servers, 1)}.get(answer)
            if not server:
                raise LabError(f"{node.name} asked {inner['s']} for {NAME}: {answer!r}")
            said.append(f"{node.name} was answered by {server}")
        return f"{inner['s']}: {', '.join(said)}"

    def multicast(self, inner):
        group = "ff05::7:7" if ":" in inner["s"] else "239.7.7.7"
        clients = [(node, "any0") for node in self.net.clients]
        traffic.multicast_reaches(self.net.servers[0], "any0", clients, group)
        return f"one packet from s1 to {group}, received once by c1 and once by c2"

    def kills(self):
        streams = outage.Streams(self.net, INNER4)
        kills = [streams.kill_one(megabytes) for megabytes in outage.KILLS_AT]
        self.felt = streams.finish(kills)
        self.felt.judge(streams.file)
        return f"{' and then '.join(kill.server for kill in kills)} killed; no stream broke"

    def back(self):
        started = time.monotonic()
        for daemon in self.net.daemons:
            if not daemon.process.alive():
                daemon.start()
        self.net.wait_announcing([node.name for node in self.net.servers], 30)
        return f"all three serve again after {time.monotonic() - started:.1f} s"

    def steps(self):
        yield "start", "", self.start
        yield "resolvers", "", self.resolvers
        for name, step in (("ping", self.ping), ("DNS", self.dns), ("multicast", self.multicast)):
            for version, inner in (("v4", INNER4), ("v6", INNER6)):
                yield name, version, lambda step=step, inner=inner: step(inner)
        yield "ssh, 200 MB, UDP", "", self.kills
        yield "DNS, one left", "v6", lambda: self.dns(INNER6)
        yield "restart", "", self.back


def run(demo):
    """All steps, with progress: [[name, version, how it ended, sentence]]"""
    results = []
    for name, version, step in demo.steps():
        print(f"  {name} {version}".rstrip(), end=" … ", flush=True)
        try:
            sentence, ended = step(), "ok"
        except LabError as error:
            sentence, ended = str(error), "FAILED"
            kept = demo.lab.keep_logs()
        print(sentence if ended == "ok" else f"FAILED\n{sentence}\nlogs: {kept}", flush=True)
        results.append([name, version, ended, sentence.splitlines()[0]])
        if name == "start" and ended != "ok":
            break
    return results


def print_table(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    print()
    for row in rows:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def draw(felt):
    paths = plot.draw(OUTPUT, "felt", "Two of three servers are killed, and what traffic feels of it",
                      "between two clients behind NATs, through the cluster; killed each time: "
                      "the server that most packets go to", felt.end(), felt.panels(), felt.marks())
    paths.append(os.path.join(OUTPUT, "felt.json"))
    with open(paths[-1], "w") as out:
        json.dump(felt.values(), out)
    print("\nplot: " + ", ".join(os.path.relpath(path) for path in paths))


def main():
    enter()
    reason = anyrelay.available()
    if reason:
        sys.exit(f"demo: {reason}")
    print(PICTURE, flush=True)
    started = time.monotonic()
    with Lab("demo") as lab:
        demo = Demo(lab)
        results = run(demo)
        print_table(results)
        if demo.felt:
            print_table(demo.felt.rows())
            draw(demo.felt)
    failures = sum(ended != "ok" for _, _, ended, _ in results)
    print(f"\n{f'{failures} of {len(results)} steps failed' if failures else 'all of it worked'}, "
          f"in {time.monotonic() - started:.0f} s; everything has been removed")
    return failures != 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
    sys.exit(130)
