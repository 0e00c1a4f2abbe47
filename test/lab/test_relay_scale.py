# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""Very many relays in one daemon: asked for by their controllers, while one of them carries traffic.

    x ── n1 ── r1 ──┬── m     speaks for up to 400 controllers (load.c, relays)
                    ├── sw ── s1, s2, d1 …
    y ── n2 ── r2 ──┘         addresses: cluster.py, relays.py

2,000 relays in the short form, 100,000 in the long one.  Printed are rates, memory, CPU time and how
long it takes until a server that begins has all of them in the kernel's table.
"""

import glob
import json
import os
import re
import signal
import socket
import time

import pytest

from anyrelay import PORT
from cluster import ANYCAST
from lab import BUILD, Lab, LabError, wait_until
from nats import Admin
from relays import RelayNet, finish_pair, udp_pair
from values import CLIENTS

LOAD = os.path.join(BUILD, "test", "bench", "load")
LIFETIME = 3600
RATE = 500  # packets/s in each direction of the relay under traffic


class ScaleNet(RelayNet):
    """.m speaks for the controllers; the servers know nobody else."""

    def __init__(self, lab, servers, clients, count):
        super().__init__(lab, servers)
        self.count, self.clients_count = count, clients
        self.m = self.outside("m", self.r1, self.r2, 25, 13)
        self.m.route("local 10.128.0.0/9 dev lo")
        self.r1.route("10.128.0.0/9 via 198.51.100.26")
        self.r2.route("10.128.0.0/9 via 10.0.0.1")
        self.start_birds()

    def settings(self):
        return {"Relay_Ports": "5000-65535", "Relay_Uplinks": "lan", "Relay_PerClient": 2 * self.count // self.clients_count}

    def make(self, **settings):
        """Servers that are made and not started, and the file of the controllers' records."""
        first = self.make_servers(**self.settings(), **settings)[0]
        for daemon in self.daemons:
            daemon.set(Tunnel_Address="10.127.255.254/10")
        self.records = self.lab.path("records")
        self.m.run(LOAD, "records", self.clients_count, first.operator_key, first.cluster_public,
                   self.records)

    def start_local(self):
        self.make()
        self.daemons[0].set(Server_Clients=self.records)
        self.start_all()

    def start_nats_cluster(self):
        self.start_nats()
        self.make(**self.nats.settings())
        self.make_mesh()
        self.start_all()
        for daemon in self.daemons:
            wait_until(lambda: daemon.status()["registry"]["connected"],
                       f"{daemon.name} to be connected to NATS", 30)
        self.enrol()

    def enrol(self):
        """The records into NATS."""
        path = self.lab.path("records.nats")
        with open(self.records) as lines, open(path, "w") as out:
            for index, line in enumerate(lines, 1):
                out.write(f"{index} {line.split()[0]}\n")
        Admin(self.servers[0], "10.0.0.51").load(CLIENTS, path)
        for daemon in self.daemons:
            wait_until(lambda: daemon.status()["sessions"]["clients"] == self.clients_count,
                       f"{daemon.name} to know all controllers", 30)

    def start_all(self):
        for daemon in self.daemons:
            daemon.start()
        self.wait_announcing((daemon.name for daemon in self.daemons), 30)

    def ask_for_all(self):
        """The controllers' program, and what it says when all relays are made."""
        first = self.daemons[0]
        self.load = self.m.spawn("load", LOAD, "relays", self.clients_count, self.count, LIFETIME,
                                 first.cluster_public, f"{ANYCAST[4]}:{PORT}")
        return self.said("made", 300)

    def refresh_all(self):
        self.load.kill(signal.SIGUSR1)
        return self.said("refreshed_s", 120)

    def said(self, key, timeout):
        self.load.wait_log(f'"{key}"', timeout)
        return next(found for line in self.load.log().splitlines()
                    if key in (found := json.loads(line)))

    def wait_relays(self, daemon, count, timeout=120):
        """It has so many relays, and their entries are in the kernel."""
        def all_there():
            relay = daemon.status()["relay"]
            return relay["relays"] == count and relay["entries"] == 2 * count
        wait_until(all_there, f"{daemon.name} to have {count} relays", timeout, 0.02)

    def written(self):
        """What NATS has been told so far by all servers; nothing waits."""
        for daemon in self.daemons:
            wait_until(lambda: daemon.status()["registry"]["queue"] == 0,
                       f"{daemon.name} to have written all", 60)
        return self.registry_writes()


def table_bytes(daemon):
    """What the kernel says of the memory of the BPF maps that the daemon holds."""
    sums = {}
    for path in glob.glob(f"/proc/{daemon.process.pid}/fdinfo/*"):
        with open(path) as info:
            text = info.read()
        found = re.search(r"map_id:\s*(\d+)", text)
        if found:
            sums[found.group(1)] = int(re.search(r"memlock:\s*(\d+)", text).group(1))
    return sum(sums.values())


class Cpu:
    """CPU time of daemons over a with block."""

    def __init__(self, daemons):
        self.daemons = daemons

    def __enter__(self):
        self.began, self.spent = time.monotonic(), [-d.process.cpu_seconds() for d in self.daemons]
        return self

    def __exit__(self, *_):
        self.spent = [s + d.process.cpu_seconds() for s, d in zip(self.spent, self.daemons)]
        self.took = time.monotonic() - self.began

    def __str__(self):
        return ", ".join(f"{d.name} {s:.2f} s" for s, d in zip(self.spent, self.daemons))


def report(what, pair):
    for to, (sent, got) in zip(("x → y", "y → x"), reversed(pair)):
        print(f"  {what}, {to}: {sent:,} packets, {sent - got['received']} lost, "
              f"{got['duplicates']} twice, stall {got['stall'] * 1e3:.0f} ms")


def nothing_lost(pair):
    results = finish_pair(pair)
    report("meanwhile", results)
    for sent, got in results:
        assert sent > 0 and (sent - got["received"], got["duplicates"]) == (0, 0)


def ports(relays):
    return {name: [side["send_to"] for side in relay["sides"]] for name, relay in relays.items()}


@pytest.fixture
def sizes(full):
    return (400, 100_000) if full else (40, 2_000)


def set_up(net, relay):
    """All relays, while one carries packets."""
    before = [daemon.process.memory_kb() for daemon in net.daemons]
    pair = udp_pair(relay, net.x, net.y, RATE)
    with Cpu(net.daemons) as cpu:
        made = net.ask_for_all()
        for daemon in net.daemons:
            net.wait_relays(daemon, net.count + 1)
    if made["refused"]:
        raise LabError(f"relays were refused: {made}")
    print(f"\n{made['made']:,} relays of {net.clients_count} controllers in {made['seconds']:.1f} s, "
          f"{made['relays_per_s']:,}/s; CPU {cpu}")
    for daemon, kb in zip(net.daemons, before):
        more = (daemon.process.memory_kb() - kb) * 1024
        print(f"  {daemon.name}: {more / 1e6:.1f} MB more, {more / net.count:.0f} bytes a relay; "
              f"kernel's tables {table_bytes(daemon) / 1e6:.1f} MB")
    report("meanwhile", finish_pair(pair))


def steady(net, relay, full):
    """All are refreshed, then nothing happens; nothing of the traffic is lost."""
    pair = udp_pair(relay, net.x, net.y, RATE)
    with Cpu(net.daemons) as cpu:
        took = net.refresh_all()["refreshed_s"]
    each = [s / net.count * 1e6 for s in cpu.spent]
    a_minute = net.count * 60 / (LIFETIME / 3)
    print(f"  each refreshed within {took:.1f} s; CPU {cpu}: " + ", ".join(
        f"{us:.0f} µs each, {us * a_minute / 1e3:.0f} ms a minute" for us in each)
        + f" with a lifetime of {LIFETIME} s")
    nothing_lost(pair)
    with Cpu(net.daemons) as cpu:
        time.sleep(20 if full else 2)  # in which nothing happens
    print(f"  idle for {cpu.took:.0f} s: CPU {cpu}")
    for daemon in net.daemons:
        begin = time.monotonic()
        listed = daemon.relays()
        print(f"  {daemon.name}: the tool lists all in {time.monotonic() - begin:.1f} s")
        assert len(listed) == net.count + 1
    return listed


def command(daemon, line):
    """As the tool does, without a process for each."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        s.connect(daemon.socket)
        s.sendall(line.encode() + b"\n")
        with s.makefile() as answer:
            return json.load(answer)


def end_at_once(net, relay, daemon):
    """All but the one under traffic end in the same second, and nothing of the traffic is lost."""
    net.load.stop()
    end = int(time.time()) + 12 + net.count // 4000
    for name in daemon.relays():
        if name != relay.id:
            command(daemon, f"relay refresh {name} lifetime={end - int(time.time())}")
    pair = udp_pair(relay, net.x, net.y, RATE)
    assert time.time() < end - 1
    cpu = Cpu([daemon])
    wait_until(lambda: time.time() > end - 1, "the second before their end", 60)
    with cpu:
        net.wait_relays(daemon, 1)
    print(f"  all ended in one second: gone {time.time() - end:.1f} s after; CPU {cpu}")
    nothing_lost(pair)


def test_one_server(full, sizes):
    """Which keeps them in a file; killed, it has them all again."""
    with Lab("relay-scale-local") as lab:
        net = ScaleNet(lab, 1, *sizes)
        net.start_local()
        server, = net.daemons
        relay = net.add("udp", "token4", "token4", daemon=server, words=("--lifetime", LIFETIME))
        set_up(net, relay)
        before = steady(net, relay, full)
        server.process.stop(signal.SIGKILL)
        begin = time.monotonic()
        server.start()
        net.wait_relays(server, net.count + 1)
        print(f"  killed, and all are there again {time.monotonic() - begin:.1f} s after its start")
        assert ports(server.relays()) == ports(before)
        end_at_once(net, relay, server)
        assert "cannot be written" not in server.process.log()


def test_cluster(full, sizes):
    """Of two servers with NATS; one of them is killed, and reads them all again, while the other serves."""
    with Lab("relay-scale-nats") as lab:
        net = ScaleNet(lab, 2, *sizes)
        net.start_nats_cluster()
        first, second = net.daemons
        relay = net.add("udp", "token4", "token4", daemon=first, words=("--lifetime", LIFETIME))
        writes = [net.written()]
        set_up(net, relay)
        writes.append(net.written())
        before = steady(net, relay, full)
        writes.append(net.written())
        for what, some in zip(("made", "refreshed"), (b - a for a, b in zip(writes, writes[1:]))):
            print(f"  written to NATS for each relay that was {what}: {some / net.count:.2f}")
        net.kill(second)
        pair = udp_pair(relay, net.x, net.y, RATE)
        begin = time.monotonic()
        second.start()
        net.wait_relays(second, net.count + 1)
        print(f"  {second.name} has all {time.monotonic() - begin:.1f} s after its start")
        nothing_lost(pair)
        for daemon in net.daemons:
            assert ports(daemon.relays()) == ports(before)
