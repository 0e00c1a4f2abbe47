# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""What many clients cost one server: memory while they are idle, and handshakes a second.

    scale.py [--clients N] [--seconds S] [--rounds N] [--quick]

    c ──192.0.2.0/30── s        c speaks for all clients, from addresses of 10.128.0.0/9

The clients are those of the load program (load.c), each with one IPv4 and one IPv6 address
inside.  Memory is the resident set of the server's process: (a) with an empty clients file,
(b) with all clients enrolled, none seen yet, (c) after each has made a session and sent a packet,
no session is active any more, and 10 s have passed.  An idle client costs (c − a) / N.

Handshakes: first messages of 2048 clients, as fast as they are answered; server and load each
have a CPU of their own, if there are two.  "tokens off": HandshakeRate is out of reach;
"tokens on": it has its default, so most clients are asked for a token first and come twice.

The exit status is 1 if an idle client costs 512 bytes or more.  All values: build/scale.json.
"""

import argparse
import json
import os
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab"))

from anyrelay import PORT, Server, available  # noqa: E402
from lab import BUILD, Lab, LabError, enter, wait_until  # noqa: E402

LOAD = os.path.join(BUILD, "test", "bench", "load")
LIMIT = 512  # bytes an idle client may cost
FLOOR, AIM = 4000, 5000  # handshakes/s on one core
QUIET = 10  # s after the last packet
ADDRESS = {"c": "192.0.2.1", "s": "192.0.2.2"}
NO_TOKENS = {"Server_HandshakeRate": 1_000_000, "Server_HandshakePrefixRate": 1_000_000}
TOKENS = dict.fromkeys(NO_TOKENS)
CPUS = sorted(os.sched_getaffinity(0))


class Bench:
    """The two nodes, the server's daemon, and the load program on the other side."""

    def __init__(self, lab, clients):
        self.clients = clients
        self.c, s = lab.node("c"), lab.node("s")
        lab.link(self.c, "e0", s, "e0")
        for node in (self.c, s):
            node.address("e0", f"{ADDRESS[node.name]}/30")
        self.c.route("local 10.128.0.0/9 dev lo")
        s.route(f"10.128.0.0/9 via {ADDRESS['c']}")
        self.server = Server(lab, s, ["10.127.255.254/10"], listen=(ADDRESS["s"],), **NO_TOKENS)

    def load(self, *words):
        """The load program's answer; it has the last CPU for itself."""
        return json.loads(self.c.run("taskset", "-c", CPUS[-1], LOAD, *words, timeout=600))

    def start(self):
        """Start the server, which reads its clients first; how long that took."""
        started = time.monotonic()
        daemon = self.server.spawn()
        wait_until(self.server.answers, "the server to have read its clients", 300)
        for task in os.listdir(f"/proc/{daemon.pid}/task"):
            os.sched_setaffinity(int(task), CPUS[:1])
        return time.monotonic() - started

    def resident(self):
        return self.server.process.memory_kb() * 1024

    def memory(self):
        """{what: value} of the three states; the server is left with all its clients."""
        out = {}
        self.start()
        out["empty_bytes"] = self.resident()
        self.server.stop()
        self.load("records", self.clients, self.server.operator_key, self.server.cluster_public,
                  self.server.clients_file)
        out["reading_s"] = self.start()
        out["enrolled_bytes"] = self.resident()
        out["sessions"] = self.load("sessions", self.clients, self.server.cluster_public,
                                    f"{ADDRESS['s']}:{PORT}")
        self.wait_idle()
        out["idle_bytes"] = self.resident()
        return out

    def wait_idle(self):
        """No session is active, 10 s have passed, and the server still knows every client."""
        end = time.monotonic() + QUIET
        wait_until(lambda: self.sessions()["active"] == 0 and time.monotonic() >= end,
                   "all sessions to be idle", 60, interval=0.5)
        known = self.sessions()["known"]
        if known != self.clients:
            raise LabError(f"the server knows {known} sessions of {self.clients} clients: "
                           "those that are missing have ended, the load was too slow")

    def sessions(self):
        return self.server.status()["sessions"]

    def restart(self, **settings):
        self.server.stop()
        self.server.set(**settings)
        self.start()

    def handshakes(self, seconds):
        return self.load("handshakes", seconds, self.server.cluster_public,
                         f"{ADDRESS['s']}:{PORT}", self.server.process.pid)


def measure(args):
    with Lab("scale") as lab:
        bench = Bench(lab, args.clients)
        print(f"{args.clients:,} clients: records, and a session for each …", flush=True)
        out = {"clients": args.clients, "cpus": len(CPUS), "memory": bench.memory()}
        print("handshakes, without tokens and with …", flush=True)
        out["tokens_off"] = [bench.handshakes(args.seconds) for _ in range(args.rounds)]
        bench.restart(**TOKENS)
        out["tokens_on"] = [bench.handshakes(args.seconds) for _ in range(args.rounds)]
        bench.server.stop()
        return out


def per_client(out, state):
    memory = out["memory"]
    return (memory[f"{state}_bytes"] - memory["empty_bytes"]) / out["clients"]


def report(out):
    memory, sessions = out["memory"], out["memory"]["sessions"]
    print(f"\nmemory of the server, {out['clients']:,} clients")
    for state, text in (("empty", "(a) no clients"), ("enrolled", "(b) all enrolled"),
                        ("idle", "(c) all idle, 10 s later")):
        print(f"  {text:26} {memory[f'{state}_bytes'] / 1e6:8.1f} MB"
              + (f" {per_client(out, state):8.0f} bytes a client" if state != "empty" else ""))
    print(f"  limit {LIMIT} bytes; reading the records took {memory['reading_s']:.1f} s, "
          f"the sessions {sessions['seconds']:.1f} s, at {sessions['sessions_per_s']:,}/s "
          "(client's work included)")
    print(f"\nhandshakes, {out['cpus']} CPUs; medians of {len(out['tokens_off'])} "
          f"(floor {FLOOR:,}, aim {AIM:,} a second and core)")
    for key in ("tokens_off", "tokens_on"):
        values = {name: statistics.median(run[name] for run in out[key])
                  for name in ("answers_per_s", "answers_per_cpu_s", "retry_tokens", "lost")}
        print(f"  {key.replace('_', ' '):12} {values['answers_per_s']:8,.0f} answers/s "
              f"{values['answers_per_cpu_s']:8,.0f} per CPU second "
              f"{values['retry_tokens']:8,.0f} tokens {values['lost']:6,.0f} lost")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=5, help="of each run of handshakes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one short round, 10,000 clients")
    args = parser.parse_args()
    if args.quick:
        args.clients, args.seconds, args.rounds = 10_000, 2, 1
    if args.clients < 2048:
        parser.error("at least 2048 clients: so many take part in the handshakes")
    return args


def main():
    args = parse_arguments()
    enter()
    reason = available()
    if reason:
        sys.exit(f"scale: {reason}")
    out = measure(args)
    report(out)
    with open(os.path.join(BUILD, "scale.json"), "w") as to:
        json.dump(out, to, indent=1)
        to.write("\n")
    print("\nall values: build/scale.json")
    return per_client(out, "idle") >= LIMIT


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LabError as error:
        sys.exit(f"scale: {error}")
