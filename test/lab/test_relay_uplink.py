# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""A server's uplink goes and comes back: relays go on there, and the daemon is not started again.

The network is that of relays.py.  What tells is that afterwards everything goes by way of that
server: the token that is shown again takes its slow path, all that follows its fast one.
"""

import time

import pytest

from cluster import LAN
from lab import Lab, wait_until
from relays import RelayNet, finish_pair, udp_pair


@pytest.fixture(scope="module")
def net():
    with Lab("relay-uplink") as lab:
        yield RelayNet(lab, servers=2).start()


def set_down(net, server):
    server.ip("link set lan down")


def set_up(net, server):
    server.ip("link set lan up")
    server.address("lan", f"{LAN[6].format(11)}/64")  # the kernel took it away
    net.route_server(server)


def delete(net, server):
    server.ip("link del lan")


def make(net, server):
    net.plug_server(server, 1)


@pytest.mark.parametrize("go, come, reattached", [(set_down, set_up, 0), (delete, make, 1)],
                         ids=["down", "deleted"])
def test_uplink(net, go, come, reattached):
    server, daemon = net.servers[0], net.daemons[0]
    before = daemon.status()["relay"]["reattached"]
    relay = net.add("udp", "token4", "token4")
    peers = udp_pair(relay, net.x, net.y, 500)
    go(net, server)
    net.wait_announcing(d.name for d in net.daemons[1:])
    come(net, server)
    net.wait_announcing((d.name for d in net.daemons), 30)
    wait_until(lambda: daemon.status()["relay"]["reattached"] == before + reattached,
               "the relay program to hang at the uplink again")
    for sent, got in finish_pair(peers):
        print(f"\n{sent} sent meanwhile, {sent - got['received']} lost", end="")
        assert got["received"] > 0 and got["duplicates"] == 0
    wait_until(lambda: daemon.status()["registry"]["connected"], "the registry", 30)
    net.send_all_to(server)
    for again in (relay, net.add("udp", "token4", "token4")):
        peers = udp_pair(again, net.x, net.y, 500)
        time.sleep(1)  # of load
        for sent, got in finish_pair(peers):
            assert sent > 0 and (sent - got["received"], got["duplicates"]) == (0, 0)
        net.remove(again)
    net.follow_bgp()
    said = [line for line in daemon.process.log().splitlines() if "relays:" in line and "lan" in line]
    assert len(said) <= 2 * (before + reattached), said
