# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""Packets that a peer never sends end in a counted drop, and nothing else changes.

    c1 ── n1 ──┐
               ├── wan ── s ── h          wan: sees every packet, and sends forged ones
    c2 ── n2 ──┘

A ping from c1 to c2 runs all the while and loses nothing.
"""

import os
import re
import sys
import time

import pytest

import traffic
from anyrelay import Client
from cluster import Stream
from lab import Lab
from nets import INNER4, SERVER4, TwoNats

HOSTILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "hostile.py")
TO_SERVER = f"udp and dst host {SERVER4} and dst port 4444"
FROM_SERVER = f"udp and src host {SERVER4} and src port 4444"


@pytest.fixture(scope="module")
def net():
    with Lab("hostile") as lab:
        net = TwoNats(lab)
        for node, device in ((net.c1, "lan"), (net.c2, "lan"), (net.s, "wan")):
            # What is captured must be packets as they are on a wire, not super-segments.
            node.run("ethtool", "-K", device, "tx-udp-segmentation", "off")
        yield net.up()


@pytest.fixture
def unharmed(net):
    """Around each test: pings pass, sessions and processes stay, memory does not grow."""
    before, memory = net.server.sessions(), net.server.process.memory_kb()
    running = traffic.Ping(net.c1, INNER4["c2"], interval=0.05)
    running.wait_replies(3)
    yield
    running.wait_replies(3)
    sent, received = running.finish()
    assert sent == received, f"{sent - received} of {sent} pings lost meanwhile"
    assert set(net.server.sessions()) == set(before)
    for name, session in net.server.sessions().items():
        assert session["endpoint"] == before[name]["endpoint"]
    assert net.server.process.memory_kb() < memory + 2048
    for daemon in (net.server, net.k1, net.k2):
        assert daemon.process.alive()


def hostile(net, *words):
    return int(net.wan.run(sys.executable, HOSTILE, *words, timeout=120).split()[-1])


def captured(net, rule, count=50):
    """A file with live packets; the caller's ping makes them."""
    path = net.lab.path("captured.pcap")
    sniffer = net.wan.spawn("capture", sys.executable, "-u", HOSTILE, "capture", "s", rule, count,
                            path)
    sniffer.wait(20)
    assert sniffer.log().split()[-1] == str(count), sniffer.log()
    return path


def new_drops(daemon, before):
    """{reason: count} since then, without zeros."""
    return {reason: count - before.get(reason, 0) for reason, count in daemon.drops().items()
            if count > before.get(reason, 0)}


def outside(net, name):
    """Outer "address:port" of a client, as the server and so the attacker sees it."""
    return net.server.sessions()[name]["endpoint"]


def test_replayed(net, unharmed):
    path, before = captured(net, TO_SERVER), net.server.drops()
    sent = hostile(net, "replay", path)
    drops = new_drops(net.server, before)
    assert drops.get("replay", 0) + drops.get("age", 0) == sent, drops


def test_replayed_to_the_client(net, unharmed):
    path = captured(net, FROM_SERVER + " and dst host 198.51.100.2", 20)
    before = net.k1.drops()
    sent = hostile(net, "replay", path)
    assert new_drops(net.k1, before).get("replay", 0) == sent


@pytest.mark.parametrize("rule, victim", [(TO_SERVER, "server"), (FROM_SERVER, "client")],
                         ids=["server", "client"])
def test_bit_flipped(net, unharmed, rule, victim):
    """Wherever the bit is, the packet is refused: type, kid, client index or tag."""
    daemons = [net.server] if victim == "server" else [net.k1, net.k2]
    path, before = captured(net, rule), [d.drops() for d in daemons]
    sent = hostile(net, "flip", path)
    drops = sum(sum(new_drops(d, b).values()) for d, b in zip(daemons, before))
    assert drops == sent


def test_truncated(net, unharmed):
    path, before = captured(net, TO_SERVER, 3), net.server.drops()
    sent = hostile(net, "cut", path)
    drops = new_drops(net.server, before)
    assert sum(drops.values()) == sent and drops["size"] > 0, drops


def test_random_to_the_server(net, unharmed, full):
    """Random bytes of many sizes under every type, from a client's address and a stranger's."""
    count = 20000 if full else 1500
    before = net.server.drops()
    sent = hostile(net, "random", outside(net, "c1"), f"{SERVER4}:4444", count)
    sent += hostile(net, "random", "192.0.2.99:999", f"{SERVER4}:4444", count)
    drops = new_drops(net.server, before)
    assert sum(drops.values()) == sent, drops
    assert {"size", "type"} <= set(drops), drops


def test_random_to_the_client(net, unharmed, full):
    """The same to c1, through its NAT, as if from the server."""
    before = net.k1.drops()
    sent = hostile(net, "random", f"{SERVER4}:4444", outside(net, "c1"), 20000 if full else 1500)
    drops = new_drops(net.k1, before)
    assert sum(drops.values()) == sent, drops


def test_spoofed_inner_source(net, unharmed):
    """c1 sends with c2's inner address, and with nobody's."""
    for forged in (INNER4["c2"], "10.7.66.66"):
        before = net.server.drops().get("source", 0)
        net.c1.address("any0", f"{forged}/32")
        done = net.c1.run("ping", "-c3", "-i0.1", "-W1", "-I", forged, INNER4["s"], check=False)
        net.c1.ip(f"addr del {forged}/32 dev any0")
        assert traffic.ping_counts(done.stdout) == (3, 0)
        net.server.wait_drop("source", more_than=before + 2)


def test_reserved_destinations(net, unharmed):
    """Clients do not reach the tunnel port itself through the tunnel."""
    net.c1.route(f"{SERVER4}/32 dev any0 table 99")
    net.c1.ip("rule add ipproto icmp lookup 99")
    before = net.server.drops().get("denied", 0) + net.server.drops().get("no_route", 0)
    assert not traffic.reaches(net.c1, SERVER4)
    net.c1.ip("rule del ipproto icmp lookup 99")
    after = net.server.drops().get("denied", 0) + net.server.drops().get("no_route", 0)
    assert after > before


def test_counters_have_sentences(net):
    """What status prints for people names the reason in words."""
    assert re.search(r"tag\s+\d+\s+authentication tag wrong", net.server.ask("status"))


def test_twins(net):
    """A copy of c1 runs on c2's machine: the endpoint moves ever less often, and the log says why."""
    moves = net.server.status()["events"]["moves"]
    net.k2.stop()
    twin = Client.twin_of(net.k1, net.c2)
    twin.start()
    both = [traffic.Ping(node, INNER4["s"]) for node in (net.c1, net.c2)]
    begin = time.monotonic()
    net.server.process.wait_log("client c1 moves to and fro", 60)
    for running in both:
        running.finish()
    moves = net.server.status()["events"]["moves"] - moves
    print(f"\n{moves} moves in {time.monotonic() - begin:.1f} s")
    assert 3 <= moves <= 6
    twin.stop()
    net.k2.start()
    net.wait_connected(40)


def test_client_rate(net):
    """A client that sends more than ClientRate loses what is beyond, and takes nothing from others."""
    net.server.set(Server_ClientRate=200)
    net.server.reload()
    before = net.server.drops().get("client_rate", 0)
    running = traffic.Ping(net.c2, INNER4["s"])
    running.wait_replies(3)
    sink = Stream(net.c2, "udp-sink", INNER4["c2"], 7001)
    begin = time.monotonic()
    Stream(net.c1, "udp-send", INNER4["c2"], 7001, 2000, 4000).wait(30)
    net.server.wait_drop("client_rate", before + 1000)
    seconds = time.monotonic() - begin
    got = sink.finish()["received"]
    sent, received = running.finish()
    dropped = net.server.drops()["client_rate"] - before
    net.server.set(Server_ClientRate=None)
    net.server.reload()
    print(f"\n{got} of 4000 packets passed in {seconds:.1f} s at 200 a second; {sent} pings of c2")
    assert got + dropped == 4000 and 200 <= got <= 200 * (seconds + 2)
    assert sent == received > 10
