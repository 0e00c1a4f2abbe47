# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""Clients come and go by reload; those who stay notice nothing.

    c1 ── n1 ──┐
    c2 ── n2 ──┼── wan ── s ── h
    c3 ────────┘
"""

import signal
import threading

import traffic
from lab import wait_until
from nets import INNER4, TwoNats


def reload_by_signal(net):
    """SIGHUP, and wait until the server says that it has reloaded."""
    before = net.server.process.log().count("reloaded")
    net.server.process.kill(signal.SIGHUP)
    wait_until(lambda: net.server.process.log().count("reloaded") > before, "the reload")


def test_add_and_revoke(lab, full):
    net = TwoNats(lab).up()
    stranger = net.stranger("c3")
    running = traffic.Ping(net.c1, INNER4["c2"], interval=0.01)
    sessions = net.server.sessions()
    with traffic.iperf_server(net.c2, INNER4["c2"]):
        results = []
        stream = threading.Thread(target=lambda: results.append(
            traffic.iperf(net.c1, INNER4["c2"], seconds=20 if full else 5)))
        stream.start()

        newcomer = net.client(net.server, stranger)
        newcomer.start()
        reload_by_signal(net)
        wait_until(lambda: traffic.reaches(stranger, INNER4["c2"]), "the new client to get through")

        net.server.revoke("c3")
        net.server.reload()
        wait_until(lambda: not traffic.reaches(stranger, INNER4["c2"]), "the revoked one to be out")
        net.server.wait_drop("revoked")
        assert "c3" not in net.server.sessions()
        stream.join()
    assert results and results[0]["bytes"] > 1_000_000
    sent, received = running.finish()
    assert sent == received, f"{sent - received} of {sent} pings lost over the reloads"
    after = net.server.sessions()
    for name in ("c1", "c2"):
        assert after[name]["index"] == sessions[name]["index"]
        assert after[name]["since_s"] >= sessions[name]["since_s"]


def test_bad_configuration_changes_nothing(lab):
    net = TwoNats(lab).up()
    net.server.set(Server_FloodRate="many")
    net.server.process.kill(signal.SIGHUP)
    net.server.process.wait_log(r"server\.conf:\d+: FloodRate: many is not a rate a second")
    traffic.ping(net.c1, INNER4["c2"])
    net.server.set(Server_FloodRate=500)
    reload_by_signal(net)
    traffic.ping(net.c1, INNER4["c2"])


def test_key_that_needs_a_restart_is_named(lab):
    net = TwoNats(lab).up()
    net.server.set(Server_Port=5555)
    net.server.process.kill(signal.SIGHUP)
    net.server.process.wait_log(r"Port has changed, which takes effect at a restart")
    traffic.ping(net.c1, INNER4["c2"])
