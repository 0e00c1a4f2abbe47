# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""The cluster is split: servers and NATS in two halves, and clients that flip between them.

    c1 ── n1 ── r1 ──┐      ┌── s1, s2, d1, d2     nothing passes between
                     ├─ sw ─┤   ────────────────   the two halves but
    c2 ── n2 ── r2 ──┘      └── s3, s4, d3         what routers bring    addresses: cluster.py

d1 and d2 can go on writing, d3 alone cannot.
"""

import itertools
import json
import time

import pytest

import traffic
from cluster import INNER4, ClusterNet
from lab import Lab, wait_until
from test_flip import Load, describe, whole

HALVES = (("s1", "s2", "d1", "d2"), ("s3", "s4", "d3"))


@pytest.fixture(scope="module")
def net():
    with Lab("split") as lab:
        yield ClusterNet(lab, servers=4).start_cluster()


def servers(daemon):
    return {s["name"]: s for s in json.loads(daemon.ask("servers", "--json"))["servers"]}


def wait_alive(net, *halves):
    """Each server hears those of its own half, and nobody else."""
    for half in halves:
        for daemon in (d for d in net.daemons if d.name in half):
            wait_until(lambda: {name for name, s in servers(daemon).items() if s["alive"]}
                       == set(half) & {d.name for d in net.daemons},
                       f"{daemon.name} to hear {half}", 20)


def lineages(net):
    """{the lineage that a server issues from: those servers}"""
    found = {}
    for daemon in net.daemons:
        found.setdefault(servers(daemon)[daemon.name]["lineage"], set()).add(daemon.name)
    return found


def wait_healed(net):
    """One mesh, one lineage, one NATS, all written."""
    begin = time.monotonic()
    wait_alive(net, [d.name for d in net.daemons])
    wait_until(lambda: len(lineages(net)) == 1, "one lineage to issue from", 20)
    keys = time.monotonic() - begin
    for daemon in net.daemons:
        wait_until(lambda: (r := daemon.status()["registry"])["connected"] and r["queue"] == 0,
                   f"{daemon.name} to have told NATS all", 60)
    print(f"\nhealed: keys after {keys:.1f} s, NATS after {time.monotonic() - begin:.1f} s")


def handshakes(net):
    """That each client has sent, so far."""
    return [k.status()["events"]["handshakes_sent"] for k in (net.k1, net.k2)]


def wait_both_ways(net):
    """Both clients send something, from which servers learn of them, and get an answer."""
    def both():
        return all([traffic.reaches(net.c1, INNER4["c2"]), traffic.reaches(net.c2, INNER4["c1"])])
    wait_until(both, "c1 and c2 to reach each other", 20)


def flip_across(net, times, seconds):
    """Routes go from one half to the other and back, under load."""
    load = Load(net)
    across = [net.servers[i] for i in (0, 2, 1, 3)]
    for server in itertools.islice(itertools.cycle(across), times):
        net.send_all_to(server)
        time.sleep(seconds)  # the interval that the experiment is about
    felt = load.finish()
    net.follow_bgp()
    print(f"\n{describe(felt)}\n{dict(net.events())}, dropped: {net.drops()}")
    return felt


def test_split_of_a_running_cluster(net, full):
    """Both halves go on with the keys that they have, and clients on both sides of the cut."""
    before = handshakes(net)
    net.split(*HALVES)
    wait_alive(net, *HALVES)
    whole(flip_across(net, 30 if full else 8, 1 if full else 0.4))
    assert handshakes(net) == before


def test_rotation_in_one_half(net, full):
    """New keys that the other half does not have: sessions of before go on at both."""
    before = handshakes(net)
    net.daemons[0].ask("epoch", "rotate")
    wait_until(lambda: len(lineages(net)) == 2, "the halves to issue from two lineages")
    assert {"s1", "s2"} in lineages(net).values()
    whole(flip_across(net, 30 if full else 8, 1 if full else 0.4))
    assert handshakes(net) == before


def test_session_under_the_new_keys(net):
    """What the other half cannot serve costs one handshake there, and none on the way back."""
    net.send_all_to(net.servers[0])
    net.k1.stop()
    net.k1.start()
    wait_both_ways(net)
    before = handshakes(net)
    for server, cost in ((net.servers[2], 1), (net.servers[1], 0), (net.servers[3], 0)):
        net.send_all_to(server)
        wait_both_ways(net)
        after = handshakes(net)
        assert after == [before[0] + cost, before[1]], server.name
        before = after
    net.follow_bgp()


def test_heal(net, full):
    """One lineage again, no packet lost, and no session."""
    sids = {k.name: k.status()["session"]["sid"] for k in (net.k1, net.k2)}
    before = handshakes(net)
    load = Load(net)
    net.reconnect()
    wait_healed(net)
    felt = load.finish()
    print(describe(felt))
    whole(felt)
    whole(flip_across(net, 30 if full else 8, 1 if full else 0.4))
    assert handshakes(net) == before
    for daemon in net.daemons:
        wait_until(lambda: {n: s["sid"] for n, s in daemon.sessions().items()} == sids,
                   f"{daemon.name} to know both sessions")


def test_two_births(net, full):
    """
    All start while the cluster is split: each half begins keys of its own.  A flip across costs
    a client at most one handshake; after the halves have met, none.
    """
    for daemon in net.daemons:
        daemon.stop()
    net.split(*HALVES)
    for daemon in net.daemons:
        daemon.start()
    net.wait_announcing((daemon.name for daemon in net.daemons), 30)
    wait_alive(net, *HALVES)
    assert sorted(map(sorted, lineages(net).values())) == [["s1", "s2"], ["s3", "s4"]]
    before = None
    for server in (net.servers[i] for i in ((0, 2, 1, 3) * 5 if full else (0, 2, 1))):
        net.send_all_to(server)
        wait_both_ways(net)
        after = handshakes(net)
        if before:  # the first meets servers that have lost all keys
            assert all(b <= a <= b + 1 for a, b in zip(after, before)), server.name
        before = after
    net.follow_bgp()
    net.reconnect()
    wait_healed(net)
    wait_both_ways(net)
    before = handshakes(net)
    whole(flip_across(net, 30 if full else 8, 1 if full else 0.4))
    assert handshakes(net) == before
