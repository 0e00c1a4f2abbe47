# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""What a whole cluster says of its relays: every server, and NATS; and questions that take their time.

    Book   the relays that all agree upon
    Ask    anyrelay relay ..., which runs while the lab does other things
    deaf   what the servers answer to a client is lost

Labs import the fixture net: relays.py's network with a .book, and no relay when a test begins.
"""

import contextlib
import json
import secrets
import time

import pytest

import values
from anyrelay import PORT, TOOL
from cluster import LAN
from lab import Lab, LabError, wait_until
from nats import Admin
from relays import PORTS, Relay, RelayNet, finish_pair

PAIR = ("udp", "token4", "token4")
PENDING = "not yet settled in the cluster: ask again"
RANGE = tuple(map(int, PORTS.split("-")))


SETTLED = ("ok", "unreachable")  # the latter is what one server has seen


def told(relay):
    """Of a relay, what each server must say alike."""
    return (relay["protocol"], relay["status"] in SETTLED,
            [(s["side"], s["send_to"], s.get("token"), s["at"]) for s in relay["sides"]])


def settled(daemon, name):
    return daemon.relays().get(name, {}).get("status") in SETTLED


class Book:
    def __init__(self, net):
        self.net = net
        self.admin = Admin(next(iter(net.nats.nodes)), LAN[4].format(51))
        self.keys = values.Keys(net.daemons[0])

    def agreed(self):
        """{id: relay}, or None while servers say different things or relays are not settled."""
        views = [d.relays() for d in self.net.daemons if d.process.alive()]
        for view in views:
            ports = [(relay["protocol"], side["send_to"]) for relay in view.values()
                     for side in relay["sides"] if relay["status"] in SETTLED]
            assert len(set(ports)) == len(ports), f"a port has two owners: {sorted(ports)}"
        said = [{name: told(relay) for name, relay in view.items()} for view in views]
        same = all(view == said[0] for view in said) and all(ok for _, ok, _ in said[0].values())
        return views[0] if same else None

    def records(self):
        """What NATS keeps."""
        return [values.relay(self.keys, key, value)
                for key, value in self.admin.values(values.RELAYS).items()
                if not key.startswith("alive.")]

    def kept(self):
        """{(protocol, family, port): id}: what settled relays in NATS claim; None: two claim one."""
        ports = [(port, r["id"]) for r in self.records() if r["living"] and r["settled"]
                 for port in r["ports"]]
        return dict(ports) if len(dict(ports)) == len(ports) else None

    def wait(self, *names, timeout=20):
        """All servers know these relays and no others, and NATS has two ports for each, and no more."""
        names = set(names)

        def kept():
            ports = self.kept()
            return ports is not None and len(ports) == 2 * len(names) and set(ports.values()) == names
        try:
            wait_until(lambda: (view := self.agreed()) is not None and set(view) == names,
                       f"all servers to know {len(names)} relays alike", timeout)
            wait_until(kept, f"NATS to keep {len(names)} relays", timeout, 0.2)
        except LabError as late:
            raise LabError(f"{late}: {sorted(names)}; {self}") from None

    def clear(self):
        """Away with what a test has left behind, for the next."""
        self.net.revive()
        for daemon in self.net.daemons:
            for name in daemon.relays():
                daemon.ask("relay", "del", name, check=False)
        self.wait()

    def __str__(self):
        views = {d.name: {name: relay["status"] for name, relay in d.relays().items()}
                 for d in self.net.daemons if d.process.alive()}
        return f"{views}, NATS: {self.records()}"

    def twins(self):
        """Two new ids whose first sides draw one port, which no relay has had."""
        had, seen = {p for r in self.records() for *_, p in r["ports"]}, {}
        while True:
            name = secrets.token_hex(16)
            port = values.port(self.keys, name, 0, *RANGE)
            if port not in had and port in seen:
                return seen[port], name
            seen[port] = name


@pytest.fixture(scope="module")
def cluster(request):
    with Lab(request.module.__name__.removeprefix("test_")) as lab:
        made = RelayNet(lab).start()
        made.book = Book(made)
        yield made


@pytest.fixture
def net(cluster):
    cluster.book.clear()
    return cluster


class Ask:
    """One question with the tool."""

    def __init__(self, daemon, *words):
        self.daemon, self.words = daemon, words
        self.process = daemon.node.spawn(f"ask-{daemon.name}", TOOL, "relay", *words, "--json",
                                         "--socket", daemon.socket)

    def pending(self):
        """Wait for its end: did it say that the relay is not settled yet?"""
        return self.process.wait(30) == 1 and PENDING in self.process.log()

    def answer(self, timeout=60):
        """The answer, for which it is asked again while it is pending, as the tool then says."""
        end = time.monotonic() + timeout
        again = self
        while again.pending() and time.monotonic() < end:
            again = Ask(self.daemon, *self.words)
        if again.process.wait(30):
            raise LabError(f"relay: {again.process.log()}")
        made = json.loads(again.process.log())
        return Relay(made) if "sides" in made else made


@contextlib.contextmanager
def deaf(nat):
    """Behind this NAT nothing is heard of the servers' sessions."""
    nat.nft(f"""
        table inet deaf {{
            chain forward {{
                type filter hook forward priority filter - 1;
                udp sport {PORT} drop
            }}
        }}""")
    try:
        yield
    finally:
        nat.run("nft", "delete", "table", "inet", "deaf")


def registry(daemon):
    return daemon.status()["registry"]


def wait_connected(net):
    for daemon in net.daemons:
        wait_until(lambda: (r := registry(daemon))["connected"] and r["queue"] == 0,
                   f"{daemon.name} to have told NATS all", 60)


def lossless(what, peers):
    """A UDP pair ends, and nothing has been lost or doubled."""
    results = finish_pair(peers)
    print("; ".join([f"\n{what}", *(f"{sent:,} sent, {sent - got['received']} lost, stall "
                                    f"{got['stall'] * 1e3:.0f} ms" for sent, got in results)]))
    for sent, got in results:
        assert sent > 300 and (sent - got["received"], got["duplicates"]) == (0, 0)
