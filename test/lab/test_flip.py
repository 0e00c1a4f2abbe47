# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""Routes move from server to server under load, and the clients do not notice.

    c1 ── n1 ── r1 ──┐      ┌── s1, s2, s3      one cluster
                     ├─ sw ─┤
    c2 ── n2 ── r2 ──┘      └── d1, d2, d3      NATS          addresses: cluster.py
"""

import itertools
import time

import pytest

import traffic
from cluster import INNER4, INNER6, ClusterNet, Stream
from lab import Lab

UDP, TCP = 7001, 7002


@pytest.fixture(scope="module")
def net():
    with Lab("flip") as lab:
        yield ClusterNet(lab).start_cluster()


class Load:
    """What runs from c1 to c2 while something happens: UDP, TCP, ping; and what it felt."""

    def __init__(self, net, inner=INNER4):
        self.net = net
        self.sink = Stream(net.c2, "udp-sink", inner["c2"], UDP)
        self.echo = Stream(net.c2, "tcp-echo", inner["c2"], TCP)
        self.ping = traffic.Ping(net.c1, inner["c2"], interval=0.01)
        self.talk = Stream(net.c1, "tcp-ask", inner["c2"], TCP, 100, 4)
        self.send = Stream(net.c1, "udp-send", inner["c2"], UDP, 1000)

    def finish(self):
        """Ends it; a dictionary of what was lost and how long nothing came."""
        sent = self.send.finish()["sent"]
        talk = self.talk.finish()
        pings, replies = self.ping.finish()
        self.echo.finish()
        got = self.sink.finish()
        return {"udp_sent": sent, "udp_lost": sent - got["received"],
                "udp_twice": got["duplicates"], "udp_overtaken": got["overtaken"],
                "udp_stall": got["stall"], "pings": pings, "pings_lost": pings - replies,
                "ping_stall": self.ping.longest_gap(), "tcp_messages": talk["received"],
                "tcp_lost": talk["sent"] - talk["received"], "tcp_wrong": talk["wrong"],
                "tcp_broken": talk["broken"], "tcp_stall": talk["stall"]}


def describe(felt):
    return (f"{felt['udp_sent']:,} UDP packets, {felt['udp_lost']} lost, {felt['udp_twice']} "
            f"twice, {felt['udp_overtaken']} overtaken, stall {felt['udp_stall'] * 1e3:.0f} ms; "
            f"{felt['pings']:,} pings, {felt['pings_lost']} lost, stall "
            f"{felt['ping_stall'] * 1e3:.0f} ms; {felt['tcp_messages']:,} TCP messages, "
            f"stall {felt['tcp_stall'] * 1e3:.0f} ms")


def whole(felt):
    """Nothing lost, doubled or broken."""
    assert felt["udp_sent"] > 100 and felt["pings"] > 10 and felt["tcp_messages"] > 50
    assert (felt["udp_lost"], felt["udp_twice"], felt["pings_lost"]) == (0, 0, 0)
    assert (felt["tcp_lost"], felt["tcp_wrong"], felt["tcp_broken"]) == (0, 0, [])


@pytest.mark.parametrize("inner", [INNER4, INNER6], ids=["inner4", "inner6"])
def test_flip_every_second(net, full, inner):
    """Each second both routers send everything to another server."""
    before = net.events()
    load = Load(net, inner)
    for server in itertools.islice(itertools.cycle(net.servers), 30 if full else 6):
        net.send_all_to(server)
        time.sleep(1)  # the interval that the experiment is about
    felt = load.finish()
    net.follow_bgp()
    happened = net.events() - before
    print(f"\n{describe(felt)}\n{dict(happened)}, dropped: {net.drops()}")
    whole(felt)
    assert happened["handshakes"] == 0, "a flip must cost no handshake"
    assert felt["udp_stall"] < 0.5 and felt["ping_stall"] < 0.5


def test_drain_each_server(net):
    """The operator's way: each server withdraws and comes back, through BGP."""
    load = Load(net)
    for daemon in net.daemons:
        daemon.ask("drain")
        net.wait_announcing({node.name for node in net.servers} - {daemon.name})
        daemon.ask("undrain")
        net.wait_announcing(node.name for node in net.servers)
    felt = load.finish()
    print(f"\n{describe(felt)}\ndropped: {net.drops()}")
    whole(felt)


def test_stop_each_server(net):
    """systemctl restart of each server in turn, which ends no session."""
    before = net.events()["handshakes"]
    load = Load(net)
    for daemon in net.daemons:
        daemon.stop()
        daemon.start()
        net.wait_announcing((node.name for node in net.servers), 30)
    felt = load.finish()
    print(f"\n{describe(felt)}\ndropped: {net.drops()}")
    whole(felt)
    assert net.events()["handshakes"] <= before


def test_service_on_every_server(net):
    """A resolver at the inner address that all servers have, whichever the packet reaches."""
    answers, resolvers = set(), []
    for node in net.servers:
        resolvers.append(traffic.dns_server(node, [INNER4["s"], INNER6["s"]], "which.example",
                                            [f"192.0.2.{100 + net.servers.index(node)}"]))
    for node in net.servers:
        net.send_all_to(node)
        for inner in (INNER4, INNER6):
            answers.add((node.name, traffic.resolve(net.c1, inner["s"], "which.example")))
    net.follow_bgp()
    for resolver in resolvers:
        resolver.stop()
    assert answers == {(f"s{i + 1}", f"192.0.2.{100 + i}") for i in range(3)}
