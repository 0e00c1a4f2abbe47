# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""Relays live as long as they are to: through silence, restarts and new keys, and to their end everywhere.

    x ── n1 ── r1 ──┐      ┌── s1, s2, s3      one cluster
                    ├─ sw ─┤
    y ── n2 ── r2 ──┘      └── d1, d2, d3      NATS          addresses: cluster.py, relays.py

x's and y's daemons are controllers, and so is the operator at each server.
"""

import json
import signal
import time

import pytest

from lab import wait_until
from relaybook import PAIR, cluster, lossless, net  # noqa: F401
from relays import MEGABYTE, Relay, begin_call, finish_pair, finish_transfer, flips, udp_pair
from test_clusterkey import Roll, everywhere, keys

FILE = 2 * MEGABYTE
SHORT = 10  # s: the shortest lifetime there is


def by_operator(net, *words):
    return Relay(json.loads(net.daemons[0].ask("relay", "add", *PAIR, *words, "--json")))


# ---- removal ----

def test_removed_while_a_server_is_cut_off(net):
    """
    It goes on there meanwhile, is even refreshed by its operator, and is gone once that server is
    back: what has been removed stays so, whatever was said of it by those who did not know.
    """
    relay = net.add(*PAIR)
    dark, others = net.daemons[2], net.daemons[:2]
    net.cut_off(dark.node)
    net.wait_announcing(d.name for d in others)
    net.remove(relay)
    for lifetime in (700, 800, 900):
        dark.ask("relay", "refresh", relay.id, "--lifetime", lifetime)
    assert relay.id in dark.relays()
    assert all(relay.id not in d.relays() for d in others)
    net.reconnect()
    begin = time.monotonic()
    net.book.wait(timeout=60)
    print(f"\ngone everywhere {time.monotonic() - begin:.1f} s after the server was back")
    net.wait_announcing((d.name for d in net.daemons), 30)


# ---- controllers ----

def test_controllers_daemon_restarts(net):
    """Killed and started again, it finds its relays at another server, and keeps them alive."""
    relays = [net.add(*PAIR, words=("--lifetime", SHORT)) for _ in range(3)]
    load = udp_pair(relays[0], net.x, net.y, 500)
    net.send_all_to(net.servers[0])
    net.k1.process.stop(signal.SIGKILL)
    net.send_all_to(net.servers[1])
    net.k1.start()
    wait_until(lambda: net.k1.status()["relays"]["kept"] == 3, "it to find its relays", 20)
    for daemon in net.daemons:
        wait_until(lambda: all(r["ends_s"] > SHORT for r in daemon.relays().values()),
                   f"{daemon.name} to hear that they are refreshed", 15)
    net.book.wait(*(r.id for r in relays))
    net.follow_bgp()
    lossless("a controller restarted", load)
    for relay in relays:
        net.remove(relay)
    net.book.wait()


def test_they_end_without_their_controller(net):
    """
    One whose client has been removed, and one of the operator that nobody refreshes: all servers
    see by themselves that they have ended, and carry nothing any more.  A third one goes on.
    """
    stays = net.add(*PAIR)
    ended = {"c2": net.add(*PAIR, daemon=net.k2, words=("--lifetime", SHORT)),
             "operator": by_operator(net, "--lifetime", SHORT)}
    begin = time.monotonic()
    net.daemons[0].revoke("c2")
    for daemon in net.daemons:
        wait_until(lambda: daemon.status()["sessions"]["clients"] == 1, "c2 to be unknown")
    load = udp_pair(ended["operator"], net.x, net.y, 200)
    net.book.wait(stays.id, timeout=SHORT + 10)
    print(f"\nended everywhere {time.monotonic() - begin:.1f} s after they were made")
    drops = net.daemons[0].status()["relay"]["drops"].get("relay_unknown", 0)
    net.send_all_to(net.servers[0])
    wait_until(lambda: net.daemons[0].status()["relay"]["drops"].get("relay_unknown", 0) > drops,
               "packets of a relay that has ended to be dropped")
    net.follow_bgp()
    for sent, got in finish_pair(load):
        assert 0 < got["received"] < sent
    net.remove(stays)
    net.book.wait()


# ---- a caller that waits ----

@pytest.fixture
def patient(net):
    """A kernel that repeats its SYN for longer than the hold."""
    net.x.sysctl("net.ipv4.tcp_syn_retries=9")
    yield
    net.x.sysctl("net.ipv4.tcp_syn_retries=6")


def test_callers_are_held(net, full, patient):
    """
    x calls at one server and waits, its SYN unanswered or its window closed; routes move to
    another; y calls; and both files arrive whole.
    """
    hold = 300 if full else 3
    relays = [net.add("tcp", f"{kind}4", f"{kind}4") for kind in ("any", "token")]
    net.send_all_to(net.servers[0])
    callers = [begin_call(net, relay, 0, FILE) for relay in relays]
    for daemon in net.daemons:
        wait_until(lambda: all(daemon.relays()[r.id]["sides"][0]["at"] for r in relays),
                   f"{daemon.name} to know where the callers are")
    with flips(net, 1) as moved:
        time.sleep(hold)
    net.send_all_to(net.servers[1])
    net.kill(net.daemons[0])
    begin = time.monotonic()
    answers = [begin_call(net, relay, 1, FILE) for relay in relays]
    for caller, answer in zip(callers, answers):
        finish_transfer(([caller, answer], (FILE, FILE)))
    print(f"\nheld {hold} s over {len(moved)} flips and the death of the server that was called; "
          f"both ways done {time.monotonic() - begin:.1f} s after y called")
    net.follow_bgp()
    net.revive()
    for relay in relays:
        net.remove(relay)
    net.book.wait()


# ---- keys ----

def test_keys_change(net):
    """Epoch and cluster key are changed under load; a token of before is good after it."""
    running, later = net.add(*PAIR), net.add(*PAIR)
    load = udp_pair(running, net.x, net.y, 1000)
    with flips(net, 0.3) as moved:
        net.daemons[1].ask("epoch", "rotate")
        roll = Roll(net)
        old = roll.public_keys()["current"]
        roll.step("next")
        for daemon in net.daemons[1:]:
            roll.hand_out(daemon)
        for daemon in net.daemons:
            wait_until(lambda: everywhere(daemon), f"{daemon.name} to see the next key everywhere")
        between = net.add(*PAIR)
        roll.step("finish", "--force")
        for daemon in net.daemons[1:]:
            roll.hand_out(daemon)
            wait_until(lambda: len(keys(daemon)["ids"]) == 1, f"{daemon.name} to give up the old key")
        assert roll.public_keys()["current"] != old
        pairs = [udp_pair(relay, net.x, net.y, 200) for relay in (later, between, net.add(*PAIR))]
        time.sleep(2)  # of load
    lossless(f"keys changed over {len(moved)} flips", load)
    for peers in pairs:
        lossless("a token of before or after", peers)
