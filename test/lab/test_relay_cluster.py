# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""Relays while NATS and servers come and go, answers are lost, and two servers make one relay.

    x ── n1 ── r1 ──┐      ┌── s1, s2, s3      one cluster
                    ├─ sw ─┤
    y ── n2 ── r2 ──┘      └── d1, d2, d3      NATS          addresses: cluster.py, relays.py

x's and y's daemons are controllers, and so is the operator at each server.  After each
experiment every server lists the same relays, and NATS keeps two ports for each and no others.
"""

import contextlib
import secrets
import signal
import time

from lab import wait_until
from relaybook import (PAIR, Ask, cluster, deaf, lossless, net, registry, settled,  # noqa: F401
                       wait_connected)
from relays import flips, udp_pair
from test_join import forget


def restart(net, forgetful):
    """s3 is killed, while packets go to s1, and comes back; what it had on disk may be gone."""
    server = net.daemons[2]
    net.send_all_to(net.servers[0])
    server.process.stop(signal.SIGKILL)
    if forgetful:
        forget(server)
    server.start()
    net.wait_announcing((d.name for d in net.daemons), 30)
    net.follow_bgp()
    return server


# ---- NATS ----

def test_registry_away(net, full):
    """
    Relays go on, also through a server that has just started and knows none; a side is learnt
    by all; a relay can be removed.  A new one stays pending, until NATS is back.
    """
    net.running, late, net.gone = (net.add(*PAIR) for _ in range(3))
    net.book.wait(net.running.id, late.id, net.gone.id)
    load = udp_pair(net.running, net.x, net.y, 1000)
    net.nats.kill()
    net.nats.keep_store()
    for daemon in net.daemons:
        wait_until(lambda: not registry(daemon)["connected"], f"{daemon.name} to notice")
    net.wanted = secrets.token_hex(16)
    asking = Ask(net.k1, "add", *PAIR, "--id", net.wanted)
    net.remove(net.gone)
    with flips(net, 0.3) as moved:
        learnt = udp_pair(late, net.x, net.y, 200)
        assert asking.pending(), asking.process.log()
        for daemon in net.daemons:
            known = daemon.relays()
            assert known[net.wanted]["status"] == "pending" and net.gone.id not in known
    restarted, other = net.daemons[:2]
    net.send_all_to(other.node)
    restarted.process.stop(signal.SIGKILL)
    restarted.start()
    net.wait_announcing((d.name for d in net.daemons), 30)
    knows = len(restarted.relays())
    net.send_all_to(restarted.node)
    wait_until(lambda: {net.running.id, late.id} <= set(restarted.relays()), "s1 to have asked")
    time.sleep(1)  # of load
    net.nats.start()
    begin = time.monotonic()
    made = Ask(net.k1, "add", *PAIR, "--id", net.wanted).answer()
    net.book.wait(net.running.id, late.id, made.id, timeout=60)
    print(f"\ns1 knew {knows} relays at first; all agree {time.monotonic() - begin:.1f} s after "
          f"NATS was healthy")
    net.follow_bgp()
    lossless(f"{len(moved)} flips, then a server without relays", load)
    lossless("learnt meanwhile", learnt)
    net.remove(late)
    net.book.wait(net.running.id, made.id)


def test_store_is_set_back(cluster, full):
    """
    NATS is what it was in the test before: the relay that was removed since does not come back,
    the one that was made since does not vanish.
    """
    net, book = cluster, cluster.book
    load = udp_pair(net.running, net.x, net.y, 1000)
    net.nats.kill()
    net.nats.restore_store()
    net.nats.start()
    begin = time.monotonic()
    book.wait(net.running.id, net.wanted, timeout=90)
    print(f"\nhealed {time.monotonic() - begin:.1f} s after NATS was healthy")
    if full:  # NATS alone tells who knows nothing
        restart(net, forgetful=True)
        book.wait(net.running.id, net.wanted)
    lossless("a store set back", load)


def test_server_joins(net, full):
    """A server comes with nothing, or with what it had: it is sent everything once it is announced."""
    relays = [net.add(*PAIR) for _ in range(20 if full else 5)]
    for forgetful in (False, True) if full else (True,):
        load = udp_pair(relays[0], net.x, net.y, 1000)
        newcomer = restart(net, forgetful)
        knows = len(newcomer.relays())
        net.send_all_to(newcomer.node)
        net.book.wait(*(r.id for r in relays))
        time.sleep(1)  # of load
        lossless(f"announced with {'an empty' if forgetful else 'its'} disk and {knows} of "
                 f"{len(relays)} relays", load)
        net.follow_bgp()


# ---- one relay asked for twice, one port wanted twice ----

class Contest:
    """
    The same id at all servers, and two ids that draw one port: s1 is asked for the one first, s2
    for the other.
    """

    def __init__(self, net):
        self.net, self.one, self.twins = net, secrets.token_hex(16), net.book.twins()
        self.ids = (self.one, *self.twins)
        orders = (self.twins, self.twins[::-1], self.twins[:1])
        self.asks = [(daemon, name, self.ask(daemon, name))
                     for names in ((self.one,) * 3, *zip(*orders[:2]), orders[2])
                     for daemon, name in zip(net.daemons, names)]

    @staticmethod
    def ask(daemon, name):
        """Asked, and known there."""
        asking = Ask(daemon, "add", *PAIR, "--id", name)
        wait_until(lambda: name in daemon.relays() or not asking.process.alive(), "it to be known")
        return asking

    def won(self):
        """All that ask for one id get one relay, and the twins have not one port."""
        ports = {name: set() for name in self.ids}
        for _, name, asking in self.asks:
            ports[name].add(tuple(asking.answer().port))
        assert all(len(p) == 1 for p in ports.values()), ports
        first, second = (ports[name].pop()[0] for name in self.twins)
        assert first != second
        self.net.book.wait(*self.ids)


def test_asked_everywhere_at_once(net, full):
    for _ in range(8 if full else 1):
        Contest(net).won()
        net.book.clear()


def test_asked_while_cut_off(net, full):
    """Each server by itself, without NATS: all claim, none is told; one of each claims is the relay."""
    net.split(*([d.name] for d in net.daemons), [node.name for node in net.nats.nodes])
    try:
        contest = Contest(net)
        first, second = (d.relays() for d in net.daemons[:2])
        claims = [view[name]["sides"][0]["port"]
                  for view, name in zip((first, second), contest.twins)]
        assert claims[0] == claims[1], "they were to claim one port"
        assert len({view[contest.twins[0]]["sides"][0]["port"] for view in (first, second)}) == 2
        for _, _, asking in contest.asks:
            assert asking.pending() if full else asking.process.alive(), asking.process.log()
    finally:
        net.reconnect()
    begin = time.monotonic()
    contest.won()
    wait_connected(net)
    print(f"\nagreed {time.monotonic() - begin:.1f} s after they could talk")


# ---- answers and servers that are lost ----

def test_answers_lost(net, full):
    """The client hears nothing from the server that it asks first, and asks another one."""
    pairs, kept = [(0, 1), (1, 2), (2, 0)], net.k1.status()["relays"]["kept"]
    for asked, other in pairs if full else pairs[:1]:
        first, second = net.daemons[asked], net.daemons[other]
        name = secrets.token_hex(16)
        net.send_all_to(first.node)
        with deaf(net.n1):
            asking = Ask(net.k1, "add", *PAIR, "--id", name)
            wait_until(lambda: settled(first, name), f"{first.name} to have the relay")
            net.send_all_to(second.node)
        relay = asking.answer()
        assert relay.port == [side["port"] for side in first.relays()[name]["sides"]]
        net.book.wait(name)
        with deaf(net.n1):
            asking = Ask(net.k1, "del", name)
            wait_until(lambda: name not in second.relays(), f"{second.name} to have removed it")
            net.send_all_to(first.node)
        assert asking.answer() == {"removed": True}
        net.book.wait()
        assert net.k1.status()["relays"]["kept"] == kept
    net.follow_bgp()


@contextlib.contextmanager
def muted(daemon, step):
    """It cannot write to NATS and tells no server; or it can, and hears nothing of either."""
    rules = {"claimed": ("output", "tcp dport 4222 drop; udp dport 4445 drop"),
             "written": ("input", "tcp sport 4222 drop; udp dport 4445 drop")}
    if step not in rules:
        yield
        return
    hook, drop = rules[step]
    daemon.node.nft(f"""
        table inet muted {{
            chain {hook} {{
                type filter hook {hook} priority 0;
                {drop}
            }}
        }}""")
    try:
        yield
    finally:
        daemon.node.run("nft", "delete", "table", "inet", "muted")


def test_server_killed(net, full):
    """
    The server that is asked dies when it alone knows the claim; when NATS and the others have
    it, and it does not know that; when it is settled, and the client has not been told.
    """
    for step in ("claimed", "written", "settled") if full else ("written",):
        killed(net, step)
        net.book.clear()


def killed(net, step):
    victim, heir = net.daemons[:2]
    name = secrets.token_hex(16)
    net.send_all_to(victim.node)
    with muted(victim, step):
        with deaf(net.n1) if step == "settled" else contextlib.nullcontext():
            asking = Ask(net.k1, "add", *PAIR, "--id", name)
            wait_until(lambda: name in victim.relays(), "s1 to have the claim")
            if step != "claimed":
                wait_until(lambda: settled(heir, name), "s2 to see it settled")
            assert settled(victim, name) or step != "settled"
            victim.process.stop(signal.SIGKILL)
            net.send_all_to(heir.node)
        relay = asking.answer()
    net.book.wait(name)
    load = udp_pair(relay, net.x, net.y, 1000)
    net.revive()
    net.book.wait(name)
    net.send_all_to(victim.node)
    time.sleep(1)  # of load
    lossless(f"died with the relay {step}", load)
    net.follow_bgp()
