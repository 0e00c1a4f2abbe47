# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""The demo: two clients behind two NATs reach each other, and the server, through the tunnel.

    c1 ── n1 ──┐
               ├── wan ── s ── h          addresses: nets.py
    c2 ── n2 ──┘

n1 and n2 masquerade and drop what conntrack calls invalid; s runs anyrelayd and a resolver.
Ends with a table of what was done; exit status 0 only if all of it worked.
"""

import contextlib
import sys
import time

import anyrelay
import traffic
from lab import Lab, LabError, enter
from nets import INNER4, INNER6, TwoNats

FILE_SIZE = 100_000_000
NAME, ANSWER = "service.example", {"A": "192.0.2.53", "AAAA": "2001:db8::53"}


class Demo:
    """The steps, in order; each returns a sentence of what came of it."""

    def __init__(self, lab):
        self.lab = lab
        self.net = TwoNats(lab)

    def connect(self):
        started = time.monotonic()
        self.net.up()
        sessions = self.net.server.sessions()
        places = ", ".join(f"{name} at {sessions[name]['endpoint']}" for name in sorted(sessions))
        return f"{places}; {time.monotonic() - started:.1f} s after the first daemon's start"

    def ping(self, inner):
        return "; ".join(
            f"{here.name} → {there} {traffic.ping(here, inner[there], count=20):.2f} ms"
            for here, there in ((self.net.c1, "c2"), (self.net.c2, "c1"), (self.net.c1, "s")))

    def tcp(self, inner):
        with traffic.iperf_server(self.net.c2, inner["c2"]):
            rates = [traffic.iperf(self.net.c1, inner["c2"], seconds=3, reverse=reverse)
                     for reverse in (False, True)]
        return "c1 → c2 {:,.0f} Mbit/s, c2 → c1 {:,.0f} Mbit/s".format(
            *(rate["bits_per_second"] / 1e6 for rate in rates))

    def udp(self, inner):
        with traffic.iperf_server(self.net.c2, inner["c2"]):
            result = traffic.iperf(self.net.c1, inner["c2"], seconds=3, udp_rate="50M", size=1200)
        if result["lost_percent"] > 5:
            raise LabError(f"{result['lost_percent']:.1f} % of the packets were lost")
        return (f"{result['packets']:,} packets of 1200 bytes at 50 Mbit/s, "
                f"{result['lost_percent']:.2f} % lost")

    def web(self, inner):
        file = traffic.File(self.lab, "file", FILE_SIZE)
        server = traffic.serve_files(self.net.c2, file.directory, [inner["c2"]])
        seconds = traffic.fetch(self.net.c1, inner["c2"], file)
        server.stop()
        return f"100 MB in {seconds:.2f} s, sha256 {file.sha256[:16]}… equal"

    def ssh(self, inner):
        server = traffic.ssh_server(self.net.c2)
        words = traffic.ssh(self.net.c1, inner["c2"], "echo $SSH_CONNECTION").split()
        server.stop()
        if words[2] != inner["c2"]:
            raise LabError(f"the session says it runs on {words[2]}")
        return f"logged in at {words[2]} from {words[0]}"

    def dns(self, inner):
        server = traffic.dns_server(self.net.s, [inner["s"]], NAME, ANSWER.values())
        answers = {kind: traffic.resolve(self.net.c1, inner["s"], NAME, kind) for kind in ANSWER}
        server.stop()
        if answers != ANSWER:
            raise LabError(f"the resolver on the server answered {answers}")
        return f"{NAME} is {answers['A']} and {answers['AAAA']}, says {inner['s']}"

    def multicast(self, inner):
        group = "ff05::7:7" if ":" in inner["s"] else "239.7.7.7"
        clients = [(self.net.c1, "any0"), (self.net.c2, "any0")]
        traffic.multicast_reaches(self.net.s, "any0", clients, group)
        return f"one packet to {group}, received once by c1 and once by c2"

    def steps(self):
        yield "connect", "", self.connect
        for name, step in (("ping", self.ping), ("TCP (iperf3)", self.tcp),
                           ("UDP (iperf3)", self.udp), ("web (nginx, curl)", self.web),
                           ("ssh", self.ssh), ("DNS on the server", self.dns),
                           ("multicast", self.multicast)):
            for version, inner in (("v4", INNER4), ("v6", INNER6)):
                yield name, version, lambda step=step, inner=inner: step(inner)


def run(demo):
    """All steps, with progress: [(name, version, worked, sentence)]"""
    results = []
    for name, version, step in demo.steps():
        print(f"  {name} {version}".rstrip(), end=" … ", flush=True)
        try:
            sentence, worked = step(), True
        except LabError as error:
            sentence, worked = str(error), False
            kept = demo.lab.keep_logs()
        print(sentence if worked else f"FAILED\n{sentence}\nlogs: {kept}", flush=True)
        results.append((name, version, worked, sentence.splitlines()[0]))
        if name == "connect" and not worked:
            break
    return results


def print_table(results):
    widths = [max(len(result[i]) for result in results) for i in (0, 1)]
    print()
    for name, version, worked, sentence in results:
        print(f"  {name.ljust(widths[0])}  {version.ljust(widths[1])}  "
              f"{'ok    ' if worked else 'FAILED'}  {sentence}")


def main():
    enter()
    reason = anyrelay.available()
    if reason:
        sys.exit(f"demo: {reason}")
    print("c1 ── NAT ──┐\n            ├── wan ── server       in network namespaces of its own\n"
          "c2 ── NAT ──┘\n", flush=True)
    with Lab("demo") as lab:
        results = run(Demo(lab))
        print_table(results)
    failures = sum(not worked for _, _, worked, _ in results)
    print("\nall of it worked; everything has been removed" if not failures
          else f"\n{failures} of {len(results)} steps failed; everything has been removed")
    return failures != 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
    sys.exit(130)
