# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""Each packet goes to another server; and an attacker repeats them at every server.

    c1 ── n1 ── r1 ──┐      ┌── s1, s2, … s8     one cluster; r1 and r2 choose a server for each
                     ├─ sw ─┤                    packet by chance
    c2 ── n2 ── r2 ──┘      └── d1, d2, d3       NATS          addresses: cluster.py
"""

import sys

import pytest

from cluster import HERE, INNER4, ClusterNet, Stream
from lab import Lab, wait_until

UDP = 7001
ATTACKER = "198.51.100.77"


@pytest.fixture(scope="module", params=[3, 8], ids=["3servers", "8servers"])
def net(request):
    if request.param > 3 and not request.config.getoption("--full"):
        pytest.skip("in the long form")
    with Lab(f"spray-{request.param}") as lab:
        made = ClusterNet(lab, servers=request.param)
        made.start_cluster()
        made.spray()
        made.settle()
        yield made


def received(net):
    return {daemon.name: daemon.status()["traffic"]["rx_datagrams"] for daemon in net.daemons}


def test_every_packet_arrives_once(net, full):
    """c1 to c2 through all servers at once, by way of nobody who asks anybody."""
    count, rate = (1_000_000, 12_000) if full else (20_000, 5_000)
    net.c1.ip("link set any0 txqueuelen 50000")  # a busy machine loses none before the tunnel
    share, writes, events = received(net), net.registry_writes(), net.events()
    sink = Stream(net.c2, "udp-sink", INNER4["c2"], UDP)
    sent = Stream(net.c1, "udp-send", INNER4["c2"], UDP, rate, count).wait(20 + 2 * count / rate)
    got = sink.finish()
    share = {name: n - share[name] for name, n in received(net).items()}
    happened = net.events() - events
    print(f"\n{sent['sent']:,} sent, {got['received']:,} received, {got['duplicates']} twice, "
          f"{got['overtaken']:,} overtaken, stall {got['stall'] * 1e3:.0f} ms; "
          f"{net.registry_writes() - writes} registry writes, {dict(happened)}\n"
          f"servers got {share}")
    assert (sent["sent"], got["received"], got["duplicates"]) == (count, count, 0)
    assert min(share.values()) > 0.8 * count / len(net.daemons)
    assert net.registry_writes() == writes and happened["handshakes"] == 0


def test_new_session(net):
    """A client starts again while its packets go everywhere: its record is written once."""
    net.k1.stop()
    writes, sid = net.registry_writes(), net.daemons[0].sessions()["c1"]["sid"]
    net.k1.start()
    for daemon in net.daemons:
        wait_until(lambda: daemon.sessions()["c1"]["sid"] != sid, f"{daemon.name} to know of it")
    sink = Stream(net.c2, "udp-sink", INNER4["c2"], UDP)
    Stream(net.c1, "udp-send", INNER4["c2"], UDP, 1000, 3000).wait(30)
    got = sink.finish()
    assert (got["received"], got["duplicates"]) == (3000, 0)
    net.settle()
    assert net.registry_writes() - writes == 1


def attack(net, seconds, source=""):
    """Packets of c1, each sent again twice to every server: copies that reached c2."""
    marks = ",".join(str(i + 1) for i in range(len(net.servers)))
    count = 50
    attacker = net.r1.spawn("attacker", sys.executable, "-u", f"{HERE}/replay.py", "home", 4444,
                            count, marks, seconds, *([source] if source else []))
    attacker.wait_log("ready")
    sink = Stream(net.c2, "udp-sink", INNER4["c2"], UDP)
    Stream(net.c1, "udp-send", INNER4["c2"], UDP, 1000, count + 50).wait(10)
    assert attacker.wait(20 + seconds) == 0
    assert attacker.log().split()[-1] == str(2 * count * len(net.servers))
    # One more packet behind the copies: when it has come, so have they.
    Stream(net.c1, "udp-send", INNER4["c2"], UDP, 1000, 1).wait(10)
    got = sink.finish()
    assert got["received"] == count + 50
    return got["duplicates"] - 1, count * (len(net.servers) - 1)


@pytest.mark.parametrize("source", ["", ATTACKER], ids=["forged", "own"])
def test_replay(net, full, source):
    """At most once by each other server, within 2 s; and nobody is led to the attacker."""
    endpoints = {daemon.name: daemon.sessions()["c1"]["endpoint"] for daemon in net.daemons}
    for seconds in (0.1, 1, 5, 60) if full else (0.1, 2.5):
        copies, most = attack(net, seconds, source)
        print(f"\nsent again to all after {seconds} s: {copies} copies passed (at most {most})")
        assert copies <= (most if seconds < 2 else 0)
    for daemon in net.daemons:
        assert daemon.sessions()["c1"]["endpoint"] == endpoints[daemon.name]


def test_replay_after_restart(net):
    """A new process knows no number, and so takes nothing from before its start."""
    if len(net.servers) > 3:
        pytest.skip("the same with any number of servers")
    daemon = net.daemons[0]
    attacker = net.r1.spawn("attacker", sys.executable, "-u", f"{HERE}/replay.py", "home", 4444,
                            50, "1", 1.5)
    attacker.wait_log("ready")
    sink = Stream(net.c2, "udp-sink", INNER4["c2"], UDP)
    net.spray(False)
    net.send_all_to(net.servers[1])
    Stream(net.c1, "udp-send", INNER4["c2"], UDP, 1000, 100).wait(10)
    daemon.stop()
    daemon.start()
    assert attacker.wait() == 0
    got = sink.finish()
    net.follow_bgp()
    print(f"\n100 packets sent again to a server that has just started: {daemon.drops()}")
    assert (got["received"], got["duplicates"]) == (100, 0)
