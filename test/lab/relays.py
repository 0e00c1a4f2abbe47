# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""The network of the relay labs: the cluster of cluster.py, and hosts that know no anytun.

    x = c1 ── n1 ── r1 ──┬── a (198.51.100.18)   an attacker
                         │
                         ├── sw ── s1, s2, s3, d1 …
                         │
    y = c2 ── n2 ── r2 ──┴── w (198.51.100.22)   a host with an address of its own: listens

x and y are behind NAT: they can only call out.  c1's daemon is the connection controller; the
relays' packets do not pass through it.
"""

import contextlib
import itertools
import json
import os
import signal
import sys
import threading
import time

from cluster import ANYCAST, HERE, ClusterNet, Stream
from lab import BUILD, LabError, tool, wait_until

PORTS = "20000-29999"
MEGABYTE = 1_000_000
PROGRAMS = {"udp": [os.path.join(BUILD, "test", "traffic", "udppeer")],
            "tcp": [sys.executable, "-u", os.path.join(HERE, "peer.py")]}
HOST = {"a": ("198.51.100.18", "2001:db8:11::2"), "w": ("198.51.100.22", "2001:db8:12::2")}


class RelayNet(ClusterNet):
    """.x, .y, .a and .w beside the cluster's nodes."""

    def __init__(self, lab, servers=3):
        super().__init__(lab, servers)
        self.x, self.y = self.clients
        self.a = self.outside("a", self.r1, self.r2, 17, 11)
        self.w = self.outside("w", self.r2, self.r1, 21, 12)

    def outside(self, name, router, other, host, net):
        """A host of its own network behind a router, known to the other one and the servers."""
        node = self.lab.node(name)
        self.lab.link(node, "wan", router, name)
        node.address("wan", f"198.51.100.{host + 1}/30", f"2001:db8:{net}::2/64")
        router.address(name, f"198.51.100.{host}/30", f"2001:db8:{net}::1/64")
        node.route(f"default via 198.51.100.{host}", f"default via 2001:db8:{net}::1")
        near = 1 + self.routers.index(router)
        other.route(f"198.51.100.{host - 1}/30 via 10.0.0.{near}",
                    f"2001:db8:{net}::/64 via 2001:db8:f::{near}")
        return node

    def start(self, **settings):
        self.start_cluster(rights=("relay",), Relay_Ports=PORTS, Relay_Uplinks="lan", **settings)
        return self

    def add(self, protocol, *sides, daemon=None, words=()):
        """Ask for a relay; the tool's answer."""
        daemon = daemon or self.k1
        made = json.loads(daemon.ask("relay", "add", protocol, *sides, *words, "--json"))
        relay = Relay(made)
        for server in self.daemons:
            if server.process.alive():
                wait_until(lambda: relay.id in server.relays(), f"{server.name} to know the relay")
        return relay

    def remove(self, relay, daemon=None):
        (daemon or self.k1).ask("relay", "del", relay.id)

    def kill(self, daemon):
        """kill -9, and the routes have moved."""
        daemon.process.stop(signal.SIGKILL)
        self.wait_announcing(d.name for d in self.daemons if d.process.alive())

    def revive(self):
        for daemon in self.daemons:
            if not daemon.process.alive():
                daemon.start()
        self.wait_announcing((node.name for node in self.servers), 30)


class Relay:
    """What a controller is told."""

    def __init__(self, made):
        self.made, self.id = made, made["id"]
        self.port = [side["port"] for side in made["sides"]]
        self.token = [side.get("token") for side in made["sides"]]

    def call(self, side, family=4):
        """Where this side sends to: address and port."""
        return ANYCAST[family], self.port[side]


class Peer(Stream):
    """One end of a relay, on a node: what to call, and the program's other words."""

    def __init__(self, node, kind, call, *words):
        self.process = node.spawn(f"{kind}-{node.name}-{call[1]}", *PROGRAMS[kind], *call,
                                  *(w for w in words if w is not None))

    def begin(self):
        """Numbers, instead of greetings."""
        self.process.kill(signal.SIGUSR1)


def udp_pair(relay, x, y, rate, families=(4, 4), size=None):
    """Both ends of a UDP relay, which have met and send numbers now; with a size they need tokens."""
    peers = [Peer(node, "udp", relay.call(side, family), rate, relay.token[side], size)
             for side, (node, family) in enumerate(zip((x, y), families))]
    for peer in peers:
        peer.process.wait_log("met")
    for peer in peers:
        peer.begin()
    return peers


def finish_pair(peers):
    """Both stop sending before either stops listening.  [(sent to it, what it got)]"""
    for peer in peers:
        peer.process.kill(signal.SIGTERM)
    results = []
    for peer in peers:
        if peer.process.wait(30):
            raise LabError(f"{peer.process.name}:\n{peer.process.log()}")
        results.append(peer.result())
        if results[-1]["overflow"]:
            raise LabError(f"{peer.process.name} was too slow for {results[-1]['overflow']} datagrams")
    return [(results[1 - i]["sent"], results[i]) for i in (0, 1)]


# ---- what happens meanwhile ----

@contextlib.contextmanager
def flips(net, interval=1.0):
    """Both routers send everything to another server each second, until the block ends."""
    stop, moved = threading.Event(), []

    def flip():
        for server in itertools.cycle(net.servers):
            net.send_all_to(server)
            moved.append(server.name)
            if stop.wait(interval):
                return
    thread = threading.Thread(target=flip)
    thread.start()
    try:
        yield moved
    finally:
        stop.set()
        thread.join()
        net.follow_bgp()


@contextlib.contextmanager
def sprayed(net):
    """Both routers send each packet to any server."""
    net.spray()
    try:
        yield
    finally:
        net.spray(False)


@contextlib.contextmanager
def killed(net, count, delay=1.0):
    """So many servers are killed, one after the other, while the block runs; then they live again."""
    victims = net.daemons[:count]

    def kill():
        for victim in victims:
            time.sleep(delay)  # the load runs
            net.kill(victim)
    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield
    finally:
        thread.join()
        net.revive()


@contextlib.contextmanager
def throttled(node, rate="100mbit"):
    """What the host sends has this rate."""
    node.run("tc", "qdisc", "replace", "dev", "lan", "root", "tbf", "rate", rate, "burst", "64kb",
             "latency", "100ms")
    try:
        yield
    finally:
        node.run("tc", "qdisc", "del", "dev", "lan", "root")


# ---- TCP ----

def begin_call(net, relay, side, size, family=4):
    """One side of a TCP relay calls, sends a file, and takes what comes."""
    path = net.lab.path(f"file{side}-{relay.id}")
    tool("dd", "if=/dev/urandom", f"of={path}", f"bs={size}", "count=1", "status=none",
         "iflag=fullblock")
    return Peer((net.x, net.y)[side], "tcp", relay.call(side, family), path, "-",
                relay.token[side])


def begin_transfer(net, relay, size, families=(4, 4), back=MEGABYTE):
    """x sends a file to y and y one to x, by ordinary sockets; for finish_transfer()."""
    sizes = (size, back)
    peers = [begin_call(net, relay, side, sizes[side], families[side]) for side in (0, 1)]
    return peers, sizes


def finish_transfer(begun, timeout=120):
    """Both files must have arrived whole; the longest stall."""
    peers, (size, back) = begun
    results = [peer.wait(timeout) for peer in peers]
    for got, sent, length in ((results[1], results[0], size), (results[0], results[1], back)):
        if "error" in got or got["got"] != length or got["got_sha256"] != sent["sent_sha256"]:
            raise LabError(f"{length} bytes were to arrive whole: {results}")
    return max(result["stall"] for result in results)


def transfer(*args, timeout=120, **kwargs):
    return finish_transfer(begin_transfer(*args, **kwargs), timeout)
