# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""The relays' fast path beside the kernel's own translation (nftables DNAT and SNAT).

    relay_path.py [--rounds N] [--seconds S]

Two hosts and a server between them (test/lab/relaynet.py), all on this machine, so the CPU time
is that of the whole machine: the hosts' kernels, and whatever else runs, included.  The rounds are interleaved; the table
shows medians.

  tcp      one stream, Gbit/s at the receiver, and CPU seconds per 10^9 bytes
  udp64    packets/s of 64 bytes that arrive when the sender sends as fast as it can, and CPU
           microseconds per packet sent
  program  nanoseconds of one run of the BPF program (kernel.bpf_stats_enabled), in udp64
"""

import argparse
import json
import os
import signal
import statistics
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab"))

from lab import BUILD, Lab, enter, tool  # noqa: E402
from relaynet import OWN, RelayNet, endpoint, wait_listens  # noqa: E402

UDPLOAD = os.path.join(BUILD, "test", "bench", "udpload")
SINK = """
import socket
s = socket.create_server(("0.0.0.0", 7000))
c, _ = s.accept()
n, room = 0, bytearray(1 << 20)
while got := c.recv_into(room, len(room), socket.MSG_TRUNC):
    n += got
print(n, flush=True)
"""
SOURCE = """
import socket, sys, time
c = socket.create_connection((sys.argv[1], 5000))
data, start, end = bytes(1 << 20), time.monotonic(), time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    c.sendall(data)
c.shutdown(socket.SHUT_WR)
c.recv(1)
print(time.monotonic() - start)
"""


def busy_seconds():
    with open("/proc/stat") as stat:
        user, nice, system, _, _, irq, softirq = map(int, stat.readline().split()[1:8])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def prepare(lab, variant, protocol):
    net = RelayNet(lab)
    if variant == "nft":
        net.nft(protocol, 7000)
    else:
        net.relays((protocol, 4, 5000, endpoint(4, 7000), 5100))
    return net


def tcp(variant, seconds):
    with Lab(f"path-tcp-{variant}") as lab:
        net = prepare(lab, variant, "tcp")
        sink = net.y.spawn("sink", sys.executable, "-c", SINK)
        wait_listens(net.y, 7000, "tcp")
        cpu = busy_seconds()
        took = float(net.x.run(sys.executable, "-c", SOURCE, OWN[4], seconds))
        cpu = busy_seconds() - cpu
        sink.wait()
        received = int(sink.log())
    return {"tcp Gbit/s": received * 8e-9 / took, "tcp CPU s/GB": cpu * 1e9 / received}


def program_ns(node):
    """Of the copy that worked: those of other labs may be loaded as well."""
    found = json.loads(node.run("bpftool", "-j", "prog", "show", "name", "relay_ingress"))
    found = [found] if isinstance(found, dict) else found  # a single one is no list
    busiest = max(found, key=lambda one: one.get("run_cnt", 0))
    return busiest["run_time_ns"] / busiest["run_cnt"] if busiest.get("run_cnt") else None


def udp(variant, seconds):
    with Lab(f"path-udp-{variant}") as lab:
        net = prepare(lab, variant, "udp")
        sink = net.y.spawn("sink", UDPLOAD, "recv", "0.0.0.0", 7000)
        sink.wait_log("ready")
        cpu = busy_seconds()
        sent = json.loads(net.x.run(UDPLOAD, "send", OWN[4], 5000, 64, 0, seconds))
        cpu = busy_seconds() - cpu
        result = {"udp64 CPU us/packet": cpu * 1e6 / sent["sent"]}
        sink.stop(signal.SIGTERM)
        received = json.loads(sink.log().splitlines()[-1])["received"]
    return result | {"udp64 packets/s": received / sent["seconds"]}


def program(seconds):
    """By itself, because counting the time takes some."""
    with Lab("path-program") as lab:
        net = prepare(lab, "bpf", "udp")
        net.y.spawn("sink", UDPLOAD, "recv", "0.0.0.0", 7000).wait_log("ready")
        tool("sysctl", "-qw", "kernel.bpf_stats_enabled=1")
        try:
            net.x.run(UDPLOAD, "send", OWN[4], 5000, 64, 0, seconds)
            return program_ns(net.r)
        finally:
            tool("sysctl", "-qw", "kernel.bpf_stats_enabled=0")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    options = parser.parse_args()
    enter()
    values = {"nft": {}, "bpf": {}}
    for _ in range(options.rounds):
        for variant, found in values.items():
            for key, value in (tcp(variant, options.seconds)
                               | udp(variant, options.seconds)).items():
                found.setdefault(key, []).append(value)
    print(f"medians of {options.rounds} rounds of {options.seconds:g} s")
    for key in values["nft"]:
        nft, bpf = (statistics.median(values[name][key]) for name in ("nft", "bpf"))
        print(f"{key:22} nft {nft:12.2f}   bpf {bpf:12.2f}   ratio {bpf / nft:.2f}")
    ns = program(options.seconds)
    print(f"program                {ns:.0f} ns a run" if ns else "program: not measured")


if __name__ == "__main__":
    main()
