# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""anyrelay's relays beside other relays: a part of bench.py.

    x ──192.0.2.0/30── s ──192.0.2.4/30── y

x sends to s, where the relay is, and y receives.  Rounds are interleaved: each measures every
relay once, in fresh namespaces; the tables show medians, ratios to the kernel's own translation
in the same round, and how far the rounds lay apart.

  tcp          one TCP connection, Mbit/s at the receiver, and CPU seconds of the whole machine,
               both ends included, per 10^9 bytes
  udp64        packets/s of 64 bytes when x sends as fast as it can: what it sent, and what reached
               y.  A kernel relays in the sender's turn; a process has to share the CPUs with the
               sender, so it is also sent less, and its best run counts
  paced        50,000 packets/s of 64 bytes: share lost, CPU time of the whole machine per packet
  program      time in the relay itself per packet that it passes on: of the BPF program by the
               kernel's own count, of others the CPU time of their processes

direct is s as a plain router, with no translation: what the machine does at best.  All are sent
the same load; to coturn x is a TURN client with one allocation and one channel to y, which puts
four bytes in front of each packet.
"""

import contextlib
import json
import os
import shutil
import statistics
import sys

import common
from anyrelay import Server, available
from common import UDP_PORT, spread, table, udp_run
from lab import Lab, tool, wait_until

TCPLOAD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tcpload.py")
OUTER = dict(zip(("x", "s", "s2", "y"), common.OUTER))
TCP_PORT = 5201            # where y listens
PACED_RATE = 50_000
FLOODS = (0, 75_000, 100_000, 125_000, 150_000, 175_000)  # 0: as fast as it can
REFERENCE = "nftables"
TURN_PORT = 3478
# key, heading, digits
METRICS = [
    ("tcp_mbps", "tcp Mbit/s", 0),
    ("tcp_cpu", "CPU s/GB", 2),
    ("udp64_sent", "udp64 sent/s", 0),
    ("udp64_pps", "received/s", 0),
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

    name, program = "direct", None
    entrance = OUTER["y"]  # where x sends to
    tcp = udp = True       # what it relays
    turn = False
    process = None         # if it is one, its CPU time is the program's

    @classmethod
    def missing(cls):
        if cls.program and not shutil.which(cls.program):
            return f"{cls.program} is not installed"
        return None

    def __init__(self, lab, x, s, y):
        self.x, self.s, self.y = x, s, y

    def target(self, protocol):
        return self.entrance, TCP_PORT if protocol == "tcp" else UDP_PORT

    def program_seconds(self):
        return self.process.cpu_seconds() if self.process else 0.0

    def measure(self, seconds):
        with bpf_stats():
            return (measure_tcp(self, seconds) if self.tcp else {}) \
                | (measure_udp(self, seconds / 2) if self.udp else {})


class Nftables(Direct):
    """The kernel's address translation, with connection tracking."""

    name, entrance = "nftables", OUTER["s"]

    def __init__(self, lab, x, s, y):
        super().__init__(lab, x, s, y)
        s.nft(f"""
            table ip relay {{
                chain pre {{
                    type nat hook prerouting priority dstnat;
                    ip daddr {OUTER['s']} tcp dport {TCP_PORT} dnat to {OUTER['y']}
                    ip daddr {OUTER['s']} udp dport {UDP_PORT} dnat to {OUTER['y']}
                }}
                chain post {{
                    type nat hook postrouting priority srcnat;
                    ip daddr {OUTER['y']} masquerade
                }}
            }}""")


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
            for protocol, port in (("tcp", TCP_PORT), ("udp", UDP_PORT))}

    def target(self, protocol):
        return OUTER["s"], self.relay[protocol]["sides"][0]["port"]

    def program_seconds(self):
        """Of the BPF program, by the kernel's count (kernel.bpf_stats_enabled)."""
        shown = json.loads(tool("bpftool", "-j", "prog", "show"))
        return sum(p.get("run_time_ns", 0) for p in shown if p.get("name", "").startswith("relay")) / 1e9


class Haproxy(Direct):
    name = program = "haproxy"
    entrance, udp = OUTER["s"], False

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
    bind {OUTER['s']}:{TCP_PORT}
    server y {OUTER['y']}:{TCP_PORT}
""")
        self.process = s.spawn("haproxy", "haproxy", "-db", "-f", config)
        wait_until(lambda: s.listens(TCP_PORT), "haproxy")


class Socat(Direct):
    """One process for each protocol."""

    name = program = "socat"
    entrance = OUTER["s"]

    def __init__(self, lab, x, s, y):
        super().__init__(lab, x, s, y)
        s.spawn("socat-tcp", "socat", "-b", 65536,
                f"TCP-LISTEN:{TCP_PORT},bind={OUTER['s']},reuseaddr", f"TCP:{OUTER['y']}:{TCP_PORT}")
        self.process = s.spawn("socat-udp", "socat", "-b", 65536,
                               f"UDP4-LISTEN:{UDP_PORT},bind={OUTER['s']}",
                               f"UDP4:{OUTER['y']}:{UDP_PORT}")
        wait_until(lambda: s.listens(TCP_PORT) and s.listens(UDP_PORT, "udp"), "socat")


class Coturn(Direct):
    """A TURN server."""

    name, program = "coturn", "turnserver"
    tcp, turn = False, True

    def __init__(self, lab, x, s, y):
        super().__init__(lab, x, s, y)
        self.process = s.spawn("turnserver", "turnserver", "-n", "--no-auth", "--no-tls", "--no-dtls",
                               "--no-cli", "--listening-ip", OUTER["s"], "--relay-ip", OUTER["s2"],
                               "--log-file", "stdout", "--pidfile", lab.path("turn.pid"),
                               "--db", lab.path("turn.sqlite"))
        wait_until(lambda: s.listens(TURN_PORT, "udp"), "coturn")

    def target(self, protocol):
        return OUTER["s"], TURN_PORT


PEERS = [Direct, Nftables, Anyrelay, Haproxy, Socat, Coturn]


def measure_tcp(peer, seconds):
    receiver = peer.y.spawn("tcpload", sys.executable, "-u", TCPLOAD, "recv", OUTER["y"], TCP_PORT)
    receiver.wait_log("ready")
    cpu = machine_cpu_seconds()
    peer.x.run(sys.executable, TCPLOAD, "send", *peer.target("tcp"), seconds, timeout=seconds + 30)
    receiver.wait(30)
    cpu = machine_cpu_seconds() - cpu
    got = json.loads(receiver.log().split("ready\n", 1)[1])
    return {"tcp_mbps": got["bytes"] * 8e-6 / got["seconds"], "tcp_cpu": cpu / (got["bytes"] / 1e9)}


def measure_udp(peer, seconds):
    def run(rate):
        return udp_run(peer.x, peer.y, OUTER["y"], 64, rate, seconds, peer.target("udp"), peer.turn)
    floods = [run(rate) for rate in (FLOODS if peer.process else FLOODS[:1])]
    sent, _, received = max(floods, key=lambda flood: flood[2])
    out = {"udp64_sent": sent / seconds, "udp64_pps": received}
    cpu, program = machine_cpu_seconds(), peer.program_seconds()
    sent, received, _ = run(PACED_RATE)
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


def measure(kind, seconds):
    """One round of one relay: {metric: value}"""
    with Lab(f"bench-relay-{kind.name}") as lab:
        return kind(lab, *common.make_nodes(lab, "x", "y")).measure(seconds)


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


def bench(args):
    """All rounds: what build/bench.json says of them."""
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
            results[kind.name] = out = measure(kind, args.seconds)
            print(f"{out['tcp_mbps']:,.0f} Mbit/s" if "tcp_mbps" in out
                  else f"{out['udp64_pps']:,.0f} packets/s", flush=True)
        rounds.append(results)
    report(rounds, [kind.name for kind in chosen])
    return {"seconds": args.seconds, "rounds": rounds}
