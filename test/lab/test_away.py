# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""All of NATS is away: sessions go on through flips and kills of servers, and nothing is lost for ever.

    c1 ── n1 ── r1 ──┐      ┌── s1, s2, s3      one cluster
                     ├─ sw ─┤
    c2 ── n2 ── r2 ──┘      └── d1, d2, d3      NATS: killed     addresses: cluster.py

The tests are one story, in their order.
"""

import itertools
import json
import os
import signal
import time

import pytest

import traffic
from cluster import INNER4, ClusterNet
from lab import Lab, wait_until
from test_flip import Load, describe, whole
from test_kill import AIM, lives


@pytest.fixture(scope="module")
def net():
    with Lab("away") as lab:
        made = ClusterNet(lab).start_cluster()
        made.settle()
        made.sessions_before = sessions_begun(made)
        made.nats.kill()
        for daemon in made.daemons:
            wait_until(lambda: not registry(daemon)["connected"], f"{daemon.name} to notice")
        yield made


def registry(daemon):
    return daemon.status()["registry"]


def sessions_begun(net):
    return {k.name: k.status()["events"]["sessions"] for k in (net.k1, net.k2)}


def everybody(net):
    return {daemon.name for daemon in net.daemons}


def wait_both_ways(net, timeout=40):
    for node, there in ((net.c1, "c2"), (net.c2, "c1")):
        wait_until(lambda: traffic.reaches(node, INNER4[there]), f"{node.name} to reach {there}",
                   timeout)


def test_flips(net, full):
    """What every server knew before is enough: no packet is lost, no handshake made."""
    load = Load(net)
    for server in itertools.islice(itertools.cycle(net.servers), 30 if full else 6):
        net.send_all_to(server)
        time.sleep(1 if full else 0.3)  # the interval that the experiment is about
    felt = load.finish()
    net.follow_bgp()
    print(f"\n{describe(felt)}\ndropped: {net.drops()}")
    whole(felt)
    assert sessions_begun(net) == net.sessions_before


def test_kills(net, full):
    """
    A killed server comes back with its list of clients, and asks the others where each is when
    it has something for it.
    """
    load = Load(net)
    kills, asked = 30 if full else 3, 0
    for i in range(kills):
        victim = net.daemons[i % 3]
        victim.process.stop(signal.SIGKILL)
        net.wait_announcing(everybody(net) - {victim.name})
        victim.start()
        net.wait_announcing(everybody(net), 30)
        net.send_all_to(victim.node)
        wait_until(lambda: victim.status()["traffic"]["rx_datagrams"] > 300, "the load there")
        mesh = json.loads(victim.ask("servers", "--json"))["mesh"]
        asked += mesh["asked"]
        assert mesh["records_taken"] >= 1
        net.follow_bgp()
    felt = load.finish()
    print(f"\n{kills} kills; {describe(felt)}\n{dict(net.events())}, dropped: {net.drops()}")
    lives(felt)
    assert asked >= kills
    assert felt["udp_lost"] <= kills * 1000 * AIM
    assert sessions_begun(net) == net.sessions_before


def test_server_without_a_list(net):
    """
    A server comes back that knows no client.  Each brings its own record, in its ticket, when it
    is told that it is unknown.  Sessions and TCP connections live.
    """
    victim = net.daemons[0]
    victim.process.stop(signal.SIGKILL)
    for name in os.listdir(victim.directory):
        if name.endswith(".clients"):
            os.remove(os.path.join(victim.directory, name))
    load = Load(net)
    victim.start()
    assert victim.status()["sessions"]["clients"] == 0
    net.wait_announcing(everybody(net), 30)
    net.send_all_to(victim.node)
    wait_both_ways(net)
    wait_until(lambda: victim.status()["traffic"]["rx_datagrams"] > 1000, "the load to go on there")
    felt = load.finish()
    net.follow_bgp()
    status = victim.status()
    print(f"\n{describe(felt)}\n{status['events']}, dropped: {status['drops']}")
    lives(felt)
    assert status["events"]["tickets"] == status["sessions"]["clients"] == 2
    assert sessions_begun(net) == net.sessions_before


def test_new_session(net):
    """
    A handshake at a server that has the client's record.  The others have the record of the
    session before, and learn of the new one when the client's packets reach them.
    """
    net.send_all_to(net.servers[1])
    net.k1.stop()
    net.k1.start()
    wait_both_ways(net)
    net.new_session = net.daemons[1].sessions()["c1"]["sid"]
    for server in (net.servers[2], net.servers[0]):
        net.send_all_to(server)
        wait_both_ways(net)
    net.follow_bgp()
    assert sessions_begun(net)["c1"] == 1
    assert registry(net.daemons[1])["queue"] >= 1, "it waits for NATS"


def test_nats_returns(net):
    """Every server learns what the others had to tell, and who the clients are."""
    load = Load(net)
    net.nats.start()
    begin = time.monotonic()
    for daemon in net.daemons:
        wait_until(lambda: registry(daemon)["connected"], f"{daemon.name} to be connected", 60)
        wait_until(lambda: daemon.sessions()["c1"]["sid"] == net.new_session,
                   f"{daemon.name} to know of the new session", 30)
        wait_until(lambda: registry(daemon)["queue"] == 0, f"{daemon.name} to have told all", 30)
    print(f"\nconverged {time.monotonic() - begin:.1f} s after NATS was healthy")
    felt = load.finish()
    print(describe(felt))
    whole(felt)
    for daemon in net.daemons:
        known = daemon.status()
        assert known["sessions"]["clients"] == known["sessions"]["known"] == 2
        assert known["registry"]["refused"] == 0
    sids = [{name: s["sid"] for name, s in daemon.sessions().items()} for daemon in net.daemons]
    assert sids[0] == sids[1] == sids[2]
    assert sessions_begun(net) == {"c1": 1, "c2": net.sessions_before["c2"]}
