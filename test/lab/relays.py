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

import json
import os
import signal
import sys

from cluster import ANYCAST, HERE, ClusterNet, Stream
from lab import LabError, wait_until

PORTS = "20000-29999"
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
        """The words that peer.py needs for this side: address and port."""
        return ANYCAST[family], self.port[side]


class Peer(Stream):
    """peer.py on a node."""

    def __init__(self, node, kind, *words):
        self.node = node
        self.process = node.spawn(f"{kind}-{node.name}-{words[1]}", sys.executable, "-u",
                                  os.path.join(HERE, "peer.py"), kind,
                                  *(w for w in words if w is not None))

    def wait_met(self, timeout=10):
        self.process.wait_log("met", timeout)

    def begin(self):
        self.process.kill(signal.SIGUSR1)


def udp_pair(relay, x, y, rate, families=(4, 4)):
    """Both ends of a UDP relay, which have met and send numbers now."""
    peers = [Peer(node, "udp", *relay.call(side, family), rate, relay.token[side])
             for side, (node, family) in enumerate(zip((x, y), families))]
    for peer in peers:
        peer.wait_met()
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
    return [(results[1 - i]["sent"], results[i]) for i in (0, 1)]
