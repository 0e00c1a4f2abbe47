# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""anyrelay beside other tunnels and other relays, and what a cluster costs, on this machine.

    bench.py [tunnels] [--rounds N] [--seconds S] [--peer NAME ...] [--quick]
    bench.py [relays] [--rounds N] [--seconds S] [--peer NAME ...] [--quick]
    bench.py [cluster] [--known N] [--quick]

Without a word all parts; relays are in relay.py, the cluster in cost.py.  The tunnels have two topologies (drawn
in peers.py): point to point, from c1 to the server's inner address, and hub, from c1 through
the server to c2.  The rounds are interleaved: each round measures every tunnel once, each in
fresh namespaces; the table shows medians, ratios to Debian's wireguard-go in the same round,
and how far the rounds lay apart.  Every value also goes to build/bench.json.

  tcp1, tcp4   iperf3, 1 and 4 streams, Mbit/s at the receiver, and CPU seconds (user + system)
               of all tunnel processes per 10^9 bytes received
  udp64, 1200  packets/s that reach the receiver when the sender sends as fast as it can;
               64 and 1200 are the UDP payload
  paced        100,000 packets/s of 64 bytes: share lost, and CPU time of all tunnel processes
               per packet received
  rtt          median of 200 pings, 10 ms apart, on the idle tunnel
"""

import argparse
import json
import os
import platform
import statistics
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab"))

import cost  # noqa: E402
import peers  # noqa: E402
import relay  # noqa: E402
import traffic  # noqa: E402
from common import spread, table, udp_run  # noqa: E402
from lab import BUILD, Lab, LabError, enter  # noqa: E402

PACED_RATE = 100_000
REFERENCE = peers.Wireguard.name
TOPOLOGIES = {"p2p": "point to point: c1 to the server", "hub": "hub: c1 through the server to c2"}
# key, heading, digits
METRICS = [
    ("tcp1_mbps", "tcp1 Mbit/s", 0),
    ("tcp1_cpu", "CPU s/GB", 2),
    ("tcp4_mbps", "tcp4 Mbit/s", 0),
    ("tcp4_cpu", "CPU s/GB", 2),
    ("udp64_pps", "udp64 pkt/s", 0),
    ("udp1200_pps", "udp1200 pkt/s", 0),
    ("paced_loss", "paced loss %", 2),
    ("paced_cpu", "CPU us/pkt", 2),
    ("rtt_us", "rtt us", 0),
]


class Meter:
    """CPU time of a set of daemons over a with block."""

    def __init__(self, daemons):
        self.daemons, self.seconds = daemons, 0.0

    def total(self):
        return sum(d.cpu_seconds() for d in self.daemons)

    def __enter__(self):
        self.seconds = -self.total()
        return self

    def __exit__(self, *_):
        self.seconds += self.total()


def measure_tcp(client, server, address, daemons, seconds, streams):
    with traffic.iperf_server(server, address), Meter(daemons) as cpu:
        result = traffic.iperf(client, address, seconds, streams)
    return {f"tcp{streams}_mbps": result["bits_per_second"] / 1e6,
            f"tcp{streams}_cpu": cpu.seconds / (result["bytes"] / 1e9)}


def measure_udp(client, server, address, daemons, seconds):
    out = {}
    for size in (64, 1200):
        out[f"udp{size}_pps"] = udp_run(client, server, address, size, 0, seconds)[2]
    with Meter(daemons) as cpu:
        sent, received, _ = udp_run(client, server, address, 64, PACED_RATE, seconds)
    out["paced_loss"] = 100 * (1 - received / sent)
    out["paced_cpu"] = cpu.seconds / max(received, 1) * 1e6
    return out


def measure(peer, args):
    """One round of one tunnel: {topology: {metric: value}}"""
    with Lab(f"bench-{peer.name}") as lab:
        c1, s, c2, daemons = peers.start(peer, lab)
        out = {}
        for topology, server in (("p2p", s), ("hub", c2)):
            address = peers.INNER[server.name]
            out[topology] = {"rtt_us": 1000 * traffic.ping(c1, address, args.pings, interval=0.01)}
            for streams in (1, 4):
                out[topology] |= measure_tcp(c1, server, address, daemons, args.seconds, streams)
            out[topology] |= measure_udp(c1, server, address, daemons, args.seconds / 2)
        return out


def report(rounds, names):
    for topology, title in TOPOLOGIES.items():
        print(f"\n{title}; medians of {len(rounds)} round{'s' * (len(rounds) > 1)}")
        values = {name: {key: [r[name][topology][key] for r in rounds] for key, _, _ in METRICS}
                  for name in names}
        sections = [("", [[""] + [heading for _, heading, _ in METRICS]]
                     + [medians(name, values[name]) for name in names])]
        if REFERENCE in names:
            sections.append((f"ratio to {REFERENCE}, median of the rounds'",
                             [ratios(name, values[name], values[REFERENCE])
                              for name in names if name != REFERENCE]))
        if len(rounds) > 1:
            sections.append(("lowest to highest round, in % of the median",
                             [[name] + [spread(values[name][key]) for key, _, _ in METRICS]
                              for name in names]))
        table([section for section in sections if section[1]])


def medians(name, values):
    return [name] + [f"{statistics.median(values[key]):,.{digits}f}" for key, _, digits in METRICS]


def ratios(name, values, reference):
    cells = []
    for key, _, _ in METRICS:
        usable = [a / b for a, b in zip(values[key], reference[key]) if b and key != "paced_loss"]
        cells.append(f"{statistics.median(usable):.2f}x" if usable else "-")
    return [name] + cells


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=("tunnels", "relays", "cluster"), help="only this one")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4, help="of each TCP run; UDP half of it")
    parser.add_argument("--peer", action="append", choices=[p.name for p in peers.PEERS]
                        + [p.name for p in relay.PEERS if p.name != peers.Anyrelay.name],
                        help="only this one; may be repeated")
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--known", type=int, help="clients with sessions of the cluster: 200,000")
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.seconds = 1, 2
    args.pings = 50 if args.quick else 200
    return args


def bench_tunnels(args):
    """All rounds: what build/bench.json says of them."""
    chosen = []
    for peer in peers.PEERS:
        if args.peer and peer.name not in args.peer:
            continue
        reason = peer.missing()
        if reason:
            print(f"left out: {peer.name}: {reason}")
        else:
            chosen.append(peer)
    rounds = []
    for number in range(args.rounds):
        results = {}
        for peer in chosen:
            print(f"round {number + 1} of {args.rounds}: {peer.name} …", end=" ", flush=True)
            results[peer.name] = measure(peer, args)
            print(", ".join(f"{t} {results[peer.name][t]['tcp1_mbps']:,.0f} Mbit/s"
                            for t in TOPOLOGIES), flush=True)
        rounds.append(results)
    report(rounds, [p.name for p in chosen])
    return {"seconds": args.seconds, "rounds": rounds}


def bench_cluster(args):
    reason = peers.Anyrelay.missing()
    if reason:
        raise LabError(reason)
    size = (cost.QUICK if args.quick else cost.FULL)._replace(
        **{"known": args.known} if args.known else {})
    rows, joined = cost.measure(size)
    print("\nthree servers and three NATS nodes: for each of what happened, and in all a second")
    table([("", [cost.heads()] + [cost.cells(*row) for row in rows])])
    print(f"\na server without anything on its disk joins: {joined['announced_s']:.1f} s until it is "
          f"announced, {joined['knows_s']:.1f} s until it knows all {rows[-1][1]:,} sessions and "
          f"clients, with {joined['memory_mb']} MB")
    if not cost.costs_nothing(rows):
        raise LabError("records were written for packets or for idle sessions")
    return {"joined": joined, "rows": [{"what": what, "number": number, "seconds": counts.seconds,
                                        **counts} for what, number, counts in rows]}


PARTS = {"tunnels": bench_tunnels, "relays": relay.bench, "cluster": bench_cluster}


def main():
    args = parse_arguments()
    enter()
    out = {"kernel": platform.release(), "cpus": os.cpu_count()}
    for part in [args.part] if args.part else PARTS:
        out[part] = PARTS[part](args)
    with open(os.path.join(BUILD, "bench.json"), "w") as to:
        json.dump(out, to, indent=1)
        to.write("\n")
    print("\nall values: build/bench.json")


if __name__ == "__main__":
    try:
        main()
    except LabError as error:
        sys.exit(f"bench: {error}")
