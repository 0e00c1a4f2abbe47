# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""anyrelay's relays beside other relays, in one run on this machine.

    relay.py [--rounds N] [--seconds S] [--peer NAME ...] [--quick]

    x ──192.0.2.0/30── s ──192.0.2.4/30── y

x sends to s, where the relay is, and y receives.  Rounds are interleaved: each measures every
relay once, in fresh namespaces; the tables show medians, ratios to the kernel's own translation
in the same round, and how far the rounds lay apart.  All values: build/bench-relay.json.

  tcp          one TCP connection, Mbit/s at the receiver, and CPU seconds of the whole machine,
               both ends included, per 10^9 bytes
  udp64        packets/s of 64 bytes that reach y when x sends as fast as it can
  paced        50,000 packets/s of 64 bytes: share lost, CPU time of the whole machine per packet
  program      time in the relay itself per packet of the paced run: of the BPF program by the
               kernel's own count, of others the CPU time of their processes

direct is s as a plain router, with no translation: what the machine does at best.
"""

import argparse
import contextlib
import json
import os
import platform
import re
import shutil
import signal
import statistics
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lab"))

from anyrelay import Server, available  # noqa: E402
from bench import UDPLOAD, spread, table, wait_quiet  # noqa: E402
from lab import BUILD, Lab, LabError, enter, tool, wait_until  # noqa: E402

OUTER = {"x": "192.0.2.1", "s": "192.0.2.2", "s2": "192.0.2.5", "y": "192.0.2.6"}
TCP, UDP = 5201, 5999      # where y listens
PACED_RATE = 50_000
REFERENCE = "nftables"
# key, heading, digits
METRICS = [
    ("tcp_mbps", "tcp Mbit/s", 0),
    ("tcp_cpu", "CPU s/GB", 2),
    ("udp64_pps", "udp64 pkt/s", 0),
    ("paced_loss", "paced loss %", 2),
    ("paced_cpu", "CPU us/pkt", 2),
    ("program_us", "program us/pkt", 2),
]


def machine_cpu_seconds():
    """Of all CPUs: everything but idle and waiting."""
    with open("/proc/stat") as stat:
        fields = [int(word) for word in stat.readline().split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


class Direct:
    """No relay at all: s routes."""

    name, tcp, udp = "direct", True, True

    @staticmethod
    def missing():
        return None

    def __init__(self, lab, x, s, y):
        self.s = s

    def target(self, protocol):
        return OUTER["y"], TCP if protocol == "tcp" else UDP

    def program_seconds(self):
        return 0.0


class Nftables(Direct):
    """The kernel's address translation, with connection tracking."""

    name = "nftables"

    def __init__(self, lab, x, s, y):
        super().__init__(lab, x, s, y)
        s.nft(f"""
            table ip relay {{
                chain pre {{
                    type nat hook prerouting priority dstnat;
                    ip daddr {OUTER['s']} tcp dport {TCP} dnat to {OUTER['y']}
                    ip daddr {OUTER['s']} udp dport {UDP} dnat to {OUTER['y']}
                }}
                chain post {{
                    type nat hook postrouting priority srcnat;
                    ip daddr {OUTER['y']} masquerade
                }}
            }}""")

    def target(self, protocol):
        return OUTER["s"], TCP if protocol == "tcp" else UDP


class Anyrelay(Direct):
    name = "anyrelay"

    @staticmethod
    def missing():
        return available()

    def __init__(self, lab, x, s, y):
        super().__init__(lab, x, s, y)
        self.server = Server(lab, s, ["10.88.0.1/24"], listen=[OUTER["s"]],
                             Relay_Ports="20000-29999", Relay_Uplinks=["e1", "e2"])
        self.server.start()
        self.relay = {protocol: json.loads(self.server.ask(
            "relay", "add", protocol, "any4", f"{OUTER['y']}:{port}", "--json"))
            for protocol, port in (("tcp", TCP), ("udp", UDP))}

    def target(self, protocol):
        return OUTER["s"], self.relay[protocol]["sides"][0]["port"]

    def program_seconds(self):
        """Of the BPF program, by the kernel's count (kernel.bpf_stats_enabled)."""
        shown = json.loads(tool("bpftool", "-j", "prog", "show"))
        return sum(p.get("run_time_ns", 0) for p in shown if p.get("name", "").startswith("relay")) / 1e9


class Process(Direct):
    """A relay that is a process: its CPU time is the program's."""

    def program_seconds(self):
        return self.process.cpu_seconds()


class Haproxy(Process):
    name, udp = "haproxy", False

    @staticmethod
    def missing():
        return None if shutil.which("haproxy") else "haproxy is not installed"

    def __init__(self, lab, x, s, y):
        super().__init__(lab, x, s, y)
        config = lab.write("haproxy.cfg", f"""
global
    maxconn 64
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
listen relay
    bind {OUTER['s']}:{TCP}
    server y {OUTER['y']}:{TCP}
""")
        self.process = s.spawn("haproxy", "haproxy", "-db", "-f", config)
        wait_until(lambda: s.listens(TCP), "haproxy")

    def target(self, protocol):
        return OUTER["s"], TCP


class Socat(Process):
    name, udp = "socat", False

    @staticmethod
    def missing():
        return None if shutil.which("socat") else "socat is not installed"

    def __init__(self, lab, x, s, y):
        super().__init__(lab, x, s, y)
        self.process = s.spawn("socat", "socat", "-b", 65536,
                               f"TCP-LISTEN:{TCP},bind={OUTER['s']},reuseaddr",
                               f"TCP:{OUTER['y']}:{TCP}")
        wait_until(lambda: s.listens(TCP), "socat")

    def target(self, protocol):
        return OUTER["s"], TCP


PEERS = [Direct, Nftables, Anyrelay, Haproxy, Socat]


def make_nodes(lab):
    x, s, y = (lab.node(name) for name in ("x", "s", "y"))
    lab.link(x, "e0", s, "e1")
    lab.link(y, "e0", s, "e2")
    x.address("e0", f"{OUTER['x']}/30")
    s.address("e1", f"{OUTER['s']}/30")
    s.address("e2", f"{OUTER['s2']}/30")
    y.address("e0", f"{OUTER['y']}/30")
    x.route(f"default via {OUTER['s']}")
    y.route(f"default via {OUTER['s2']}")
    s.forward()
    return x, s, y


def measure_tcp(peer, x, y, seconds):
    tcpload = os.path.join(HERE, "tcpload.py")
    receiver = y.spawn("tcpload", sys.executable, "-u", tcpload, "recv", OUTER["y"], TCP)
    receiver.wait_log("ready")
    cpu = machine_cpu_seconds()
    x.run(sys.executable, tcpload, "send", *peer.target("tcp"), seconds, timeout=seconds + 30)
    receiver.wait(30)
    cpu = machine_cpu_seconds() - cpu
    got = json.loads(receiver.log().split("ready\n", 1)[1])
    return {"tcp_mbps": got["bytes"] * 8e-6 / got["seconds"], "tcp_cpu": cpu / (got["bytes"] / 1e9)}


def udp_run(peer, x, y, size, rate, seconds):
    receiver = y.spawn("udpload", UDPLOAD, "recv", OUTER["y"], UDP)
    receiver.wait_log("ready")
    # One packet, which is answered: relays learn both sides.
    x.run(UDPLOAD, "meet", *peer.target("udp"))
    sent = json.loads(x.run(UDPLOAD, "send", *peer.target("udp"), size, rate, seconds))
    wait_quiet(y)
    receiver.stop(signal.SIGTERM)
    got = json.loads(receiver.log().split("ready\n", 1)[1])
    return sent["sent"], got["received"], got["received"] / max(got["seconds"], 1e-3)


def measure_udp(peer, x, y, seconds):
    out = {"udp64_pps": udp_run(peer, x, y, 64, 0, seconds)[2]}
    cpu, program = machine_cpu_seconds(), peer.program_seconds()
    sent, received, _ = udp_run(peer, x, y, 64, PACED_RATE, seconds)
    out["paced_cpu"] = (machine_cpu_seconds() - cpu) / max(received, 1) * 1e6
    out["program_us"] = (peer.program_seconds() - program) / max(received, 1) * 1e6
    out["paced_loss"] = 100 * (1 - received / sent)
    return out


@contextlib.contextmanager
def bpf_stats():
    """The kernel counts the time in BPF programs, which costs them some 20 ns a run."""
    path = "/proc/sys/kernel/bpf_stats_enabled"
    with open(path) as setting:
        before = setting.read()
    try:
        with open(path, "w") as setting:
            setting.write("1")
        yield
    finally:
        with open(path, "w") as setting:
            setting.write(before)


def measure(kind, args):
    """One round of one relay: {metric: value}"""
    with Lab(f"bench-relay-{kind.name}") as lab:
        x, s, y = make_nodes(lab)
        peer = kind(lab, x, s, y)
        out = measure_tcp(peer, x, y, args.seconds) if kind.tcp else {}
        if kind.udp:
            with bpf_stats():
                out |= measure_udp(peer, x, y, args.seconds / 2)
        return out


def cells(values, form):
    return [form(values[key], digits) if values.get(key) else "-" for key, _, digits in METRICS]


def report(rounds, names):
    values = {name: {key: [r[name][key] for r in rounds if key in r[name]]
                     for key, _, _ in METRICS} for name in names}
    print(f"\nmedians of {len(rounds)} round{'s' * (len(rounds) > 1)}")
    sections = [("", [[""] + [heading for _, heading, _ in METRICS]]
                 + [[name] + cells(values[name],
                                   lambda v, digits: f"{statistics.median(v):,.{digits}f}")
                    for name in names])]
    if REFERENCE in names:
        sections.append((f"ratio to {REFERENCE}, median of the rounds'",
                         [[name] + ratios(values[name], values[REFERENCE])
                          for name in names if name != REFERENCE]))
    if len(rounds) > 1:
        sections.append(("lowest to highest round, in % of the median",
                         [[name] + cells(values[name], lambda v, _: spread(v)) for name in names]))
    table(sections)


def ratios(values, reference):
    out = []
    for key, _, _ in METRICS:
        usable = [a / b for a, b in zip(values[key], reference[key]) if b and key != "paced_loss"]
        out.append(f"{statistics.median(usable):.2f}x" if usable else "-")
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4, help="of each TCP run; UDP half of it")
    parser.add_argument("--peer", action="append", choices=[p.name for p in PEERS])
    parser.add_argument("--quick", action="store_true", help="one short round")
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.seconds = 1, 2
    enter()
    chosen = []
    for kind in PEERS:
        if args.peer and kind.name not in args.peer:
            continue
        if kind.missing():
            print(f"left out: {kind.name}: {kind.missing()}")
        else:
            chosen.append(kind)
    rounds = []
    for number in range(args.rounds):
        results = {}
        for kind in chosen:
            print(f"round {number + 1} of {args.rounds}: {kind.name} …", end=" ", flush=True)
            results[kind.name] = measure(kind, args)
            print(f"{results[kind.name]['tcp_mbps']:,.0f} Mbit/s", flush=True)
        rounds.append(results)
    report(rounds, [kind.name for kind in chosen])
    with open(os.path.join(BUILD, "bench-relay.json"), "w") as out:
        json.dump({"kernel": platform.release(), "cpus": os.cpu_count(), "seconds": args.seconds,
                   "rounds": rounds}, out, indent=1)
        out.write("\n")
    print("\nall values: build/bench-relay.json")


if __name__ == "__main__":
    try:
        main()
    except LabError as error:
        sys.exit(f"bench: {error}")
