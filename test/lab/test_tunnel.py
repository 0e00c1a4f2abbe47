# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""Everything ordinary through the tunnel, between clients behind NATs and the server.

    c1 ── n1 ──┐
               ├── wan ── s ── h          s: anyrelayd, a resolver; h: on a network behind it
    c2 ── n2 ──┘                          n1, n2: masquerade, invalid packets dropped

The addresses are in nets.py.  Run once with IPv4 and once with IPv6 outside.
"""

import time

import pytest

import traffic
from lab import Lab
from nets import ATTACHED, INNER4, INNER6, TwoNats


@pytest.fixture(scope="module", params=[4, 6], ids=["outer4", "outer6"])
def net(request):
    with Lab(f"tunnel-outer{request.param}") as lab:
        yield TwoNats(lab).up(outer=request.param)


@pytest.fixture(params=[4, 6], ids=["inner4", "inner6"])
def inner(request):
    """Inner addresses by node name, h's among them."""
    addresses = INNER4 if request.param == 4 else INNER6
    return {**addresses, "h": ATTACHED[request.param]}


def test_ping(net, inner):
    for here, there in ((net.c1, "s"), (net.c1, "c2"), (net.c2, "c1"), (net.s, "c2"),
                        (net.c1, "h"), (net.h, "c1")):
        traffic.ping(here, inner[there])


def test_ping_full_size(net, inner):
    """A packet of the whole tunnel MTU, unfragmented; and one that needs fragments inside."""
    overhead = 48 if ":" in inner["c2"] else 28
    traffic.ping(net.c1, inner["c2"], size=1280 - overhead, df=True)
    traffic.ping(net.c1, inner["c2"], size=4000)


@pytest.mark.parametrize("reverse", [False, True], ids=["up", "down"])
def test_tcp(net, inner, full, reverse):
    with traffic.iperf_server(net.c2, inner["c2"]):
        result = traffic.iperf(net.c1, inner["c2"], seconds=10 if full else 1, reverse=reverse)
    assert result["bytes"] > 1_000_000


def test_udp(net, inner, full):
    with traffic.iperf_server(net.c2, inner["c2"]):
        result = traffic.iperf(net.c1, inner["c2"], seconds=10 if full else 1, udp_rate="20M",
                               size=1200)
    assert result["packets"] > 1000
    assert result["lost_percent"] < 1


def test_web(net, inner, full):
    file = traffic.File(net.lab, "file", 100_000_000 if full else 5_000_000)
    server = traffic.serve_files(net.c2, file.directory, [inner["c2"]])
    traffic.fetch(net.c1, inner["c2"], file)
    server.stop()


def test_ssh(net, inner):
    server = traffic.ssh_server(net.c2)
    assert traffic.ssh(net.c1, inner["c2"], "ip -o addr show any0").count(INNER4["c2"]) == 1
    server.stop()


def test_dns_on_the_server(net, inner):
    server = traffic.dns_server(net.s, [inner["s"]], "anyrelay.example", ["192.0.2.53"])
    assert traffic.resolve(net.c1, inner["s"], "anyrelay.example") == "192.0.2.53"
    server.stop()


def test_multicast(net, inner):
    """One packet from the server to two clients; one from a client to the other."""
    group = "ff05::7:7" if ":" in inner["s"] else "239.7.7.7"
    traffic.multicast_reaches(net.s, "any0", [(net.c1, "any0"), (net.c2, "any0")], group)
    traffic.multicast_reaches(net.c1, "any0", [(net.c2, "any0")], group)


def test_hop_limit(net):
    """The server is a hop between clients: a packet with one hop left ends there, and says so."""
    done = net.c1.run("ping", "-c1", "-W2", "-t1", INNER4["c2"], check=False)
    assert "Time to live exceeded" in done.stdout
    assert net.server.drops()["ttl"] > 0


def test_hop_limit_errors_have_a_rate(net):
    """Where packets go round, each of them ends; what is said about it does not grow with them."""
    before, dropped = net.server.status()["traffic"]["icmp_errors"], net.server.drops()["ttl"]
    begin = time.monotonic()
    net.c1.run("ping", "-q", "-c400", "-i0.002", "-W1", "-t1", INNER4["c2"], check=False)
    net.server.wait_drop("ttl", more_than=dropped + 399)
    errors = net.server.status()["traffic"]["icmp_errors"] - before
    print(f"\n{errors} errors for 400 packets")
    assert 0 < errors <= 100 * (time.monotonic() - begin + 2)


def test_sessions(net):
    sessions = net.server.sessions()
    assert set(sessions) == {"c1", "c2"}
    assert sessions["c1"]["addresses"] == [f"{INNER4['c1']}/32", f"{INNER6['c1']}/128"]
