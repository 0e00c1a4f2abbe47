# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""UDP and TCP between hosts that know no anytun, by way of whichever server a packet reaches.

    x ── n1 ── r1 ──┐      ┌── s1, s2, s3      one cluster
    a ─────────┘    ├─ sw ─┤
    y ── n2 ── r2 ──┘      └── d1, d2, d3      NATS          addresses: cluster.py, relays.py
    w ─────────┘

Counted are packets that both ends' kernels handed over; the servers hold no connection.  Of UDP
under load it is also counted where each packet was lost (ledger.py).
"""

import signal
import time

import pytest

import traffic
from hold import held, relay_thread
from lab import Lab, tool, wait_until
from ledger import Ledger
from relays import (MEGABYTE, RelayNet, finish_pair, flips, killed, sprayed, throttled, transfer,
                    udp_pair)

RATE = 10_000  # UDP packets a second, in each direction


@pytest.fixture(scope="module")
def net():
    with Lab("relay") as lab:
        yield RelayNet(lab).start()


def told(what, results):
    for to, (sent, got) in zip(("x → y", "y → x"), reversed(results)):
        print(f"\n{what}, {to}: {sent:,} sent in {got['seconds']:.1f} s, "
              f"{sent - got['received']:,} lost, {got['duplicates']} twice, {got['overtaken']:,} "
              f"overtaken, stall {got['stall'] * 1e3:.0f} ms", end="")
    print()


# ---- UDP ----

@pytest.mark.parametrize("families", [(4, 4), (6, 6), (4, 6)], ids=["v4", "v6", "v4-v6"])
@pytest.mark.parametrize("kind", ["any", "token"])
def test_udp(net, families, kind):
    """Both sides are learnt, and hear each other."""
    relay = net.add("udp", *(f"{kind}{family}" for family in families))
    peers = udp_pair(relay, net.x, net.y, 500, families)
    time.sleep(1)  # of load
    results = finish_pair(peers)
    told(f"{kind} {families}", results)
    for sent, got in results:
        assert sent > 100 and (sent - got["received"], got["duplicates"]) == (0, 0)
    net.remove(relay)


class Load:
    """RATE packets a second in each direction of a relay with tokens, and where they were lost."""

    def __init__(self, net, families=(4, 4)):
        self.net = net
        self.relay = net.add("udp", *(f"token{family}" for family in families))
        self.ledger = Ledger(net, self.relay)
        self.peers = udp_pair(self.relay, net.x, net.y, RATE, families)

    def finish(self, what, dead=()):
        """No packet came twice, and none was lost but in the dead servers."""
        results = finish_pair(self.peers)
        self.ledger.close(results)
        self.net.remove(self.relay)
        told(what, results)
        print(self.ledger.describe())
        lost, there = self.ledger.lost(), self.ledger.lost_in(*dead)
        for sent, got in results:
            assert sent > 1000 and got["duplicates"] == 0
        assert there <= lost <= there + self.ledger.overflows


@pytest.mark.parametrize("families", [(4, 4), (4, 6)], ids=["v4", "v4-v6"])
def test_udp_flips(net, full, families):
    """Routes move each second under load: nothing is lost."""
    load = Load(net, families)
    with flips(net) as moved:
        wait_until(lambda: len(moved) > (30 if full else 5), "so many flips", 120)
        load.finish(f"{len(moved)} flips {families}")


@pytest.mark.parametrize("families", [(4, 4), (4, 6)], ids=["v4", "v4-v6"])
def test_udp_spray(net, full, families):
    """Each packet goes to another server, from the first on: nothing is lost."""
    with sprayed(net):
        load = Load(net, families)
        time.sleep(30 if full else 4)  # of load
        load.finish(f"spray {families}")


def die_one_by_one(net, load, full, kill):
    """
    The busiest and then the busier one of three servers; none is sent anything any more once the
    routes have moved.  Their names.
    """
    living, silent = {daemon.name: daemon for daemon in net.daemons}, {}
    for _ in range(2):
        time.sleep(10 if full else 1)  # of load
        victim = living.pop(load.ledger.busiest(living))
        kill(victim, living)
        silent[victim.name] = load.ledger.wait_silent(victim.name)
    time.sleep(10 if full else 1)  # of load
    for name, count in silent.items():
        assert load.ledger.sent_to(name) == count
    return list(silent)


def test_udp_kill(net, full):
    """kill -9: what is lost is what a dead server was sent and did not pass on."""
    load = Load(net)
    dead = die_one_by_one(net, load, full, lambda daemon, _living: net.kill(daemon))
    load.finish("two of three servers killed", dead)
    net.revive()


def test_udp_dark(net, full):
    """Two machines go dark: what is lost is what they were sent until BFD had found out."""
    load = Load(net)

    def cut_off(daemon, living):
        net.cut_off(daemon.node)
        net.wait_announcing(living)
    try:
        dead = die_one_by_one(net, load, full, cut_off)
        load.finish("two of three machines cut off", dead)
        assert load.ledger.lost_in(*dead) > 0
    finally:
        net.reconnect()
    net.wait_announcing((node.name for node in net.servers), 60)


def test_hung_relay_thread(net):
    """It alone hangs: the daemon kills itself, the route goes, and what it relayed goes on elsewhere."""
    relay = net.add("udp", "token4", "token4")
    daemon = net.daemons[0]
    peers = udp_pair(relay, net.x, net.y, 100)
    with held(relay_thread(daemon)):
        net.wait_announcing({"s2", "s3"})
    assert daemon.process.wait() == -signal.SIGKILL
    assert "the relay thread has not gone round" in daemon.process.log()
    results = finish_pair(peers)
    net.revive()
    told("a hung relay thread", results)
    for sent, got in results:  # the kernel relays on meanwhile
        assert got["received"] > sent * 0.9 and got["duplicates"] == 0
    net.remove(relay)


# ---- TCP ----

def rendezvous(net, kind, families=(4, 4)):
    return net.add("tcp", *(f"{kind}{family}" for family in families))


@pytest.mark.parametrize("families", [(4, 4), (6, 6), (4, 6)], ids=["v4", "v6", "v4-v6"])
@pytest.mark.parametrize("kind", ["any", "token"])
def test_tcp_rendezvous(net, full, kind, families):
    """Two callers are spliced: held until the other comes, or answered at once and paired by token."""
    relay = rendezvous(net, kind, families)
    stall = transfer(net, relay, 200 * MEGABYTE if full else 20 * MEGABYTE, families)
    print(f"\nstall {stall * 1e3:.0f} ms")
    net.remove(relay)


@pytest.mark.parametrize("kind", ["any", "token"])
def test_tcp_flips(net, full, kind):
    relay = rendezvous(net, kind)
    with flips(net, 0.3) as moved:
        stall = transfer(net, relay, 200 * MEGABYTE if full else 40 * MEGABYTE)
    print(f"\n{len(moved)} flips, stall {stall * 1e3:.0f} ms")
    net.remove(relay)


@pytest.mark.parametrize("kind", ["any", "token"])
def test_tcp_spray(net, full, kind):
    """Each segment of both directions goes to another server, from the first SYN on."""
    with sprayed(net):
        relay = rendezvous(net, kind)
        stall = transfer(net, relay, 200 * MEGABYTE if full else 5 * MEGABYTE)
    print(f"\nstall {stall * 1e3:.0f} ms")
    net.remove(relay)


@pytest.fixture
def slow(net):
    """Long enough for what is to happen meanwhile."""
    with throttled(net.x):
        yield


@pytest.mark.parametrize("kind", ["any", "token"])
def test_tcp_kill(net, full, kind, slow):
    """One and then a second of three servers are killed in mid-transfer."""
    relay = rendezvous(net, kind)
    with killed(net, 2):
        stall = transfer(net, relay, 200 * MEGABYTE if full else 40 * MEGABYTE)
    print(f"\nstall {stall * 1e3:.0f} ms")
    net.remove(relay)


@pytest.mark.parametrize("lacking", ["timestamps", "window_scaling", "sack"])
@pytest.mark.parametrize("kind", ["any", "token"])
def test_tcp_options(net, full, kind, lacking):
    """One side's kernel does without an option."""
    net.y.sysctl(f"net.ipv4.tcp_{lacking}=0")
    try:
        relay = rendezvous(net, kind)
        transfer(net, relay, 200 * MEGABYTE if full else 5 * MEGABYTE)
    finally:
        net.y.sysctl(f"net.ipv4.tcp_{lacking}=1")
    net.remove(relay)


def lossy(node, percent):
    node.nft(f"""
        table inet lossy {{
            chain forward {{
                type filter hook forward priority -200;
                numgen random mod 100 < {percent} counter drop
            }}
        }}""")


@pytest.mark.parametrize("kind", ["any", "token"])
def test_tcp_loss(net, full, kind):
    """One packet in a hundred is lost on each side, in each direction."""
    for nat in (net.n1, net.n2):
        lossy(nat, 1)
    try:
        relay = rendezvous(net, kind)
        stall = transfer(net, relay, 200 * MEGABYTE if full else 5 * MEGABYTE)
    finally:
        for nat in (net.n1, net.n2):
            nat.run("nft", "delete", "table", "inet", "lossy")
    print(f"\nstall {stall * 1e3:.0f} ms")
    net.remove(relay)


@pytest.mark.parametrize("families", [(4, 4), (6, 6), (4, 6)], ids=["v4", "v6", "v4-v6"])
@pytest.mark.parametrize("kind", ["any", "token"])
def test_tcp_path_mtu(net, full, kind, families):
    """A link behind y takes 1300 bytes only, and the sender hears of it through the relay."""
    net.r2.ip("link set dev home mtu 1300")
    net.n2.ip("link set dev wan mtu 1300")
    try:
        relay = rendezvous(net, kind, families)
        transfer(net, relay, 200 * MEGABYTE if full else 5 * MEGABYTE, families)
    finally:
        net.r2.ip("link set dev home mtu 1500")
        net.n2.ip("link set dev wan mtu 1500")
    net.remove(relay)


def test_listener(net, full):
    """curl at x fetches from an ordinary web server at w, which is given by its address."""
    file = traffic.File(net.lab, "file", 200 * MEGABYTE if full else 20 * MEGABYTE)
    server = traffic.serve_files(net.w, file.directory, ["198.51.100.22"], 8080)
    relay = net.add("tcp", "any4", "198.51.100.22:8080")
    with flips(net, 0.3) as moved:
        seconds = traffic.fetch(net.x, relay.call(0)[0], file, relay.call(0)[1])
    print(f"\n{file.size // MEGABYTE} MB in {seconds:.2f} s, {len(moved)} flips")
    server.stop()
    net.remove(relay)


def test_ncat(net, full):
    """Two hosts that can both only call out, and run nothing but ncat."""
    file = traffic.File(net.lab, "ncat", 200 * MEGABYTE if full else 20 * MEGABYTE)
    path, out = f"{file.directory}/{file.name}", net.lab.path("ncat.out")
    relay = net.add("tcp", "any4", "any4")
    receiver = net.y.spawn("ncat-y", "sh", "-c", 'exec ncat --recv-only "$1" "$2" >"$3"', "sh",
                           *relay.call(1), out)
    net.x.run("sh", "-c", 'exec ncat --send-only "$1" "$2" <"$3"', "sh", *relay.call(0), path,
              timeout=120)
    assert receiver.wait(60) == 0
    assert tool("sha256sum", out).split()[0] == file.sha256
    net.remove(relay)


def test_ssh(net):
    """A login between two hosts that can both only call out."""
    server = traffic.ssh_server(net.y)
    relay = net.add("tcp", "any4", "any4")
    door = net.y.spawn("ncat-door", "ncat", *relay.call(1), "--sh-exec", "ncat 127.0.0.1 22")
    words = traffic.ssh(net.x, relay.call(0)[0], "echo from y", relay.call(0)[1])
    assert words == "from y"
    door.stop()
    server.stop()
    net.remove(relay)
