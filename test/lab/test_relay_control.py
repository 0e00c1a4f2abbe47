# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""Relays are asked for, listed, refreshed and deleted; what is refused is refused with a sentence.

    c1 ── n1 ──┐                    c1, c2: connection controllers
               ├── wan ── s         c3: a client without the right
    c2 ── n2 ──┤                    s:  one server, whose operator asks as well
    c3 ────────┘

No packet is relayed here: test_relay.py does that.
"""

import itertools
import json
import secrets
import signal
import time

import pytest

from anyrelay import TOOL, Client
from lab import Lab, wait_until
from nets import INNER4, INNER6, SERVER4, SERVER6, TwoNats
from traffic import reaches

FAR = "192.0.2.2:5060"  # it need not be there
PER_CLIENT = 4
PORTS = "20000-20019"


@pytest.fixture(scope="module")
def net():
    with Lab("relay-control") as lab:
        net = TwoNats(lab)
        net.server = net.make_server()
        net.k1 = net.client(net.server, net.c1, rights=("relay",))
        net.k2 = net.client(net.server, net.c2, rights=("relay",))
        net.c3 = net.stranger("c3")
        net.k3 = Client(net.server, net.c3, [INNER4["c3"], INNER6["c3"]], server_address=SERVER4)
        for daemon in (net.server, net.k1, net.k2, net.k3):
            daemon.start()
        for node in (net.c1, net.c2, net.c3):
            wait_until(lambda: reaches(node, INNER4["s"]), f"{node.name} to connect")
        refused(net.k1, "this cluster makes no relays", "add", "udp", FAR, "token4")
        refused(net.server, "this cluster makes no relays", "add", "udp", FAR, "token4")
        net.server.stop()
        net.server.set(Relay_Ports=PORTS, Relay_Uplinks="wan", Relay_PerClient=PER_CLIENT)
        net.server.start()
        for node in (net.c1, net.c2, net.c3):
            wait_until(lambda: reaches(node, INNER4["s"]), f"{node.name} to come back", 40)
        yield net


def relay(daemon, *words):
    return json.loads(daemon.ask("relay", *words, "--json"))


def refused(daemon, sentence, *words):
    done = daemon.ask("relay", *words, check=False)
    assert done.returncode == 1 and sentence in done.stdout, done.stdout


@pytest.fixture
def clean(net):
    yield net
    for made in net.server.relays():
        net.server.ask("relay", "del", made)
    for daemon in (net.k1, net.k2):
        assert daemon.relays() == {}


def test_add_show_list_delete(clean):
    net = clean
    made = relay(net.k1, "add", "udp", FAR, "token6", "--span", "2", "--even")
    given, token = made["sides"]
    assert (given["side"], token["side"]) == (FAR, "token6")
    assert given["send_to"] == f"{SERVER4}:{given['port']}"
    assert token["send_to"] == f"[{SERVER6}]:{token['port']}"
    assert all(20000 <= side["port"] < 20020 and side["port"] % 2 == 0 for side in made["sides"])
    assert len(token["token"]) == 64 and "token" not in given
    assert given["at"] == token["at"] == []
    assert made["protocol"] == "udp" and made["span"] == 2 and 590 < made["ends_s"] <= 600
    for daemon in (net.k1, net.server):
        assert daemon.relays()[made["id"]]["sides"] == made["sides"]
        assert relay(daemon, "show", made["id"])["sides"] == made["sides"]
    text = net.k1.ask("relays")
    assert made["id"] in text and token["token"] in text and given["send_to"] in text
    net.k1.ask("relay", "del", made["id"])
    assert net.k1.relays() == net.server.relays() == {}
    refused(net.k1, "there is no relay with this id", "show", made["id"])
    refused(net.k1, "there is no relay with this id", "refresh", made["id"])


def test_the_same_id_is_the_same_relay(clean):
    net, name = clean, secrets.token_hex(16)
    words = ("add", "tcp", FAR, "any4", "--id", name)
    first, again = relay(net.k1, *words), relay(net.k1, *words)
    assert first["sides"] == again["sides"]
    assert set(net.k1.relays()) == {name}
    refused(net.k1, "this id has been used for another relay", "add", "udp", FAR, "any4", "--id", name)
    refused(net.k2, "the relay belongs to another controller", *words)
    assert set(net.server.relays()) == {name}


def test_another_client_cannot_touch_it(clean):
    net = clean
    made = relay(net.k1, "add", "udp", FAR, "token4")["id"]
    for words in (("show", made), ("refresh", made), ("del", made)):
        refused(net.k2, "the relay belongs to another controller", *words)
    assert net.k2.relays() == {}
    assert set(net.k1.relays()) == {made}
    relay(net.server, "refresh", made, "--lifetime", "100")  # the operator may
    assert net.k1.relays()[made]["ends_s"] <= 100


def test_without_the_right(net):
    for words in (("add", "udp", FAR, "token4"), ("show", secrets.token_hex(16))):
        refused(net.k3, "this client does not have the right to make relays", *words)
    assert net.server.relays() == {}


def test_limit_of_a_client(clean):
    net = clean
    for _ in range(PER_CLIENT):
        relay(net.k1, "add", "tcp", "token4", "token4", "--lifetime", "60")
    refused(net.k1, "this controller has as many relays as it may have", "add", "tcp", FAR, "any4")
    relay(net.k2, "add", "tcp", FAR, "any4")
    assert len(net.k1.relays()) == PER_CLIENT and len(net.server.relays()) == PER_CLIENT + 1


def test_no_ports_left(clean):
    """20 ports of TCP over IPv6: ten relays."""
    net = clean
    for _ in range(10):
        relay(net.server, "add", "tcp", "token6", "token6")
    for daemon in (net.k1, net.server):
        refused(daemon, "no free ports are left for relays", "add", "tcp", "token6", "token6")
    assert len(net.server.relays()) == 10


def test_where_relays_may_not_lead(net):
    for side in ("10.1.0.2:80", "127.0.0.1:80", f"{SERVER4}:80", f"[{SERVER6}]:80", "224.0.0.1:80",
                 "169.254.169.254:80", "[fd01::2]:80", "[fe80::1]:80", "0.0.0.0:80"):
        refused(net.k1, "relays may not lead to this address", "add", "tcp", side, "token4")
    assert net.server.relays() == {}


def test_operator(clean):
    net = clean
    made = relay(net.server, "add", "udp", "any4", "any4", "--lifetime", "0")
    assert made["ends_s"] is None
    assert set(net.server.relays()) == {made["id"]} and net.k1.relays() == {}
    refused(net.k1, "a client's relays do not last for ever", "add", "udp", "any4", "any4",
            "--lifetime", "0")
    refused(net.k1, "is not a side of a relay", "add", "udp", "any4", "host.example")


def test_kept_alive_until_the_client_is_gone(clean):
    """Longer than their lifetime, over a restart of the daemon; afterwards they end by themselves."""
    net = clean
    made = {relay(net.k1, "add", "udp", FAR, "token4", "--lifetime", "10")["id"] for _ in range(3)}
    begun, rises, left = time.monotonic(), 0, 10
    while rises < 4 or time.monotonic() < begun + 13:
        listed = net.server.relays()
        assert set(listed) == made
        now = listed[min(made)]["ends_s"]
        rises, left = rises + (now > left), now
        assert time.monotonic() < begun + 60
    net.k1.process.stop(signal.SIGKILL)
    net.k1.start()
    wait_until(lambda: net.k1.status()["relays"]["kept"] == 3, "the daemon to find its relays")
    # what is found again has the lifetime of those that are added without one
    wait_until(lambda: all(r["ends_s"] > 500 for r in net.server.relays().values()),
               "the daemon to refresh its relays", 15)
    assert set(net.server.relays()) == made
    for name in made:
        relay(net.k1, "refresh", name, "--lifetime", "10")
    net.k1.process.stop(signal.SIGKILL)
    wait_until(lambda: net.server.relays() == {}, "the relays to end", 15)
    net.k1.start()
    wait_until(lambda: net.k1.status()["session"]["state"] == "up", "the client to be back")
    assert net.k1.relays() == {} and net.k1.status()["relays"] == {"kept": 0, "lost": 0}


def test_removed_by_the_operator(clean):
    """The client asks until it must have ended, and says that it has lost it."""
    net = clean
    made = relay(net.k1, "add", "udp", FAR, "token4", "--lifetime", "10")["id"]
    lost = net.k1.status()["relays"]["lost"]
    net.server.ask("relay", "del", made)
    wait_until(lambda: net.k1.status()["relays"]["lost"] == lost + 1, "the client to give it up", 30)
    assert net.k1.status()["relays"]["kept"] == 0


def test_nobody_answers(net):
    """The tool is told so in the end; the daemon serves others meanwhile."""
    net.server.process.kill(signal.SIGSTOP)
    try:
        waits = net.c1.spawn("relay-add", TOOL, "relay", "add", "udp", FAR, "token4",
                             "--socket", net.k1.socket)
        for _ in itertools.takewhile(lambda _: waits.alive(), itertools.count()):
            net.k1.status()
        assert "no server has answered within 8 s" in waits.log()
    finally:
        net.server.process.kill(signal.SIGCONT)
    wait_until(lambda: reaches(net.c1, INNER4["s"]), "the server to be back", 40)
