# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""Processes die and come back.

    c1 ── n1 ──┐
               ├── wan ── s ── h
    c2 ── n2 ──┘
"""

import signal

import traffic
from lab import wait_until
from nets import INNER4, INNER6, TwoNats


def test_server_is_killed(lab):
    """The new server knows no session: its hint makes a client shake hands at its next packet.

    Both are needed for a reply, so at worst it takes one keep-alive interval (20 s).
    """
    net = TwoNats(lab).up()
    running = traffic.Ping(net.c1, INNER4["c2"])
    running.wait_replies(10)
    net.server.process.stop(signal.SIGKILL)
    net.server.start()
    running.wait_replies(50, timeout=40)
    running.finish()
    assert running.longest_gap() < 30
    traffic.ping(net.c2, INNER6["c1"])
    assert net.k1.status()["events"]["hints"] > 0


def test_server_is_stopped_and_started(lab):
    net = TwoNats(lab).up()
    net.server.stop()
    assert not net.s.has_device("any0"), "the tunnel device outlived the daemon"
    net.server.start()
    # each finds out at its next packet, so at worst after a keep-alive interval (20 s)
    wait_until(lambda: traffic.reaches(net.c1, INNER4["c2"]), "the clients to come back", 40)


def test_client_is_killed(lab):
    net = TwoNats(lab).up()
    net.k1.process.stop(signal.SIGKILL)
    net.k1.start()
    wait_until(lambda: traffic.reaches(net.c1, INNER4["c2"]), "the client to be back", 5)
    traffic.ping(net.c2, INNER4["c1"])
    assert set(net.server.sessions()) == {"c1", "c2"}


def test_client_before_the_server(lab):
    """A client that finds no server keeps trying."""
    net = TwoNats(lab)
    net.server = net.make_server()
    net.k1 = net.client(net.server, net.c1)
    net.k1.start()
    wait_until(lambda: net.k1.status()["events"]["handshakes_sent"] >= 2, "the client to have tried twice")
    net.server.start()
    wait_until(lambda: traffic.reaches(net.c1, INNER4["s"]), "the client to connect", 20)
