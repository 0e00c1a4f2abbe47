# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""Servers are killed under load, and what the clients feel of it is the routers' time.

    c1 ── n1 ── r1 ──┐      ┌── s1, s2, s3      one cluster
                     ├─ sw ─┤
    c2 ── n2 ── r2 ──┘      └── d1, d2, d3      NATS          addresses: cluster.py
"""

import signal
import time

import pytest

from cluster import ClusterNet, RouteWatch
from lab import Lab
from test_flip import Load, describe

AIM = 0.05  # seconds of silence beyond what the routing needs


@pytest.fixture(scope="module")
def net():
    with Lab("kill") as lab:
        made = ClusterNet(lab).start_cluster()
        made.settle()
        yield made


def lives(felt):
    """TCP lost nothing; UDP no more than a short silence takes away, and nothing came twice."""
    assert felt["tcp_broken"] == [] and felt["tcp_wrong"] == 0 and felt["tcp_lost"] == 0
    assert felt["tcp_messages"] > 50 and felt["udp_twice"] == 0


def no_worse_than_routing(what, felt, routing):
    print(f"\n{what}: routes moved in {routing * 1e3:.0f} ms; {describe(felt)}")
    lives(felt)
    assert felt["udp_lost"] <= 1000 * (routing + AIM)
    assert felt["udp_stall"] < routing + 0.25


def test_kill_the_one_that_serves(net):
    """kill -9: routes, and then the silence of each stream."""
    load = Load(net)
    victim = net.busiest()
    watch = RouteWatch(net.r1)
    killed = time.time()
    victim.process.stop(signal.SIGKILL)
    routing = watch.moved(killed)
    net.wait_announcing({d.name for d in net.daemons} - {victim.name})
    time.sleep(0.5)  # the load goes on with two servers
    felt = load.finish()
    victim.start()
    net.wait_announcing((node.name for node in net.servers), 30)
    no_worse_than_routing(f"{victim.name} killed", felt, routing)


def test_machine_goes_dark(net):
    """Found out by BFD: 300 ms."""
    load = Load(net)
    victim = net.busiest()
    watch = RouteWatch(net.r1)
    cut = time.time()
    net.cut_off(victim.node)
    try:
        routing = watch.moved(cut)
        net.wait_announcing({d.name for d in net.daemons} - {victim.name})
        time.sleep(1)  # TCP waits for a retransmission
        felt = load.finish()
    finally:
        net.reconnect()
    net.wait_announcing((node.name for node in net.servers), 60)
    no_worse_than_routing(f"{victim.name} cut off", felt, routing)


def test_rolling_kills(net, full):
    """One after the other, the killed one back before the next: every TCP connection lives."""
    kills = 100 if full else 6
    handshakes = {k.name: k.status()["events"]["handshakes_sent"] for k in (net.k1, net.k2)}
    load = Load(net)
    began = time.monotonic()
    for i in range(kills):
        victim = net.daemons[i % len(net.daemons)]
        victim.process.stop(signal.SIGKILL)
        victim.start()
        net.wait_announcing((node.name for node in net.servers), 30)
    took = time.monotonic() - began
    felt = load.finish()
    print(f"\n{kills} kills in {took:.0f} s; {describe(felt)}")
    lives(felt)
    assert felt["udp_lost"] <= kills * 1000 * AIM
    if not full:  # in a longer run sessions end and are renewed
        for k in (net.k1, net.k2):
            assert k.status()["events"]["handshakes_sent"] == handshakes[k.name]
