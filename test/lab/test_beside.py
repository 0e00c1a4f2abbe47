# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""Two daemons on one machine: they work beside each other, or the second refuses with a sentence.

    c ──────────────── m ──────────────── u
    198.51.100.2       203.0.113.7, .8    192.0.2.2

m runs both; c and u are what they talk to.
"""

import re
import signal

import pytest

from anyrelay import Client, Server
from lab import Lab, wait_until
from traffic import reaches

FIRST, SECOND = "203.0.113.7", "203.0.113.8"


class Machines:
    def __init__(self, lab):
        self.lab = lab
        self.c, self.m, self.u = (lab.node(name) for name in "cmu")
        for node, device, own, near in ((self.c, "wan", "198.51.100.2", "198.51.100.1"),
                                        (self.u, "up", "192.0.2.2", "192.0.2.1")):
            lab.link(node, "wan", self.m, device)
            node.address("wan", f"{own}/30")
            self.m.address(device, f"{near}/30")
            node.route(f"default via {near}")
        self.m.address("lo", f"{FIRST}/32", f"{SECOND}/32")
        self.m.forward()

    def first(self, **settings):
        return Server(self.lab, self.m, ["10.7.0.1/16"], [FIRST], "first", **settings)

    def second(self, **settings):
        """A server that has nothing in common with the first one, but what is said."""
        return Server(self.lab, self.m, ["10.8.0.1/16"], [SECOND], "second",
                      **{"Tunnel_Device": "any1", "Metrics_Listen": "127.0.0.1:9445", **settings})


@pytest.fixture
def net(lab):
    return Machines(lab)


def connects(server, node, address, **settings):
    """A client of the server reaches it through the tunnel."""
    client = Client(server, node, [address], name=f"{node.name}-{server.name}", **settings)
    client.start()
    inner = server.config["Tunnel"]["Address"][0].split("/")[0]
    wait_until(lambda: reaches(node, inner), f"{node.name} to reach {inner}")
    return client


def filters(node, device):
    """The programs at the device's ingress: [id]"""
    return re.findall(r" id (\d+)", node.run("tc", "filter", "show", "dev", device, "ingress"))


def refused(daemon, sentence):
    process = daemon.spawn()
    status = process.wait(10)
    assert status == 1 and re.search(sentence, process.log()), process.log()


# ---- side by side ----

def test_server_and_client(net):
    """m serves c, and is a client of u's cluster."""
    server = net.first(Relay_Ports="20000-29999", Relay_Uplinks=["wan", "up"])
    server.start()
    upstream = Server(net.lab, net.u, ["10.8.0.1/16"], ["192.0.2.2"], "upstream")
    upstream.start()
    client = connects(upstream, net.m, "10.8.0.2", Tunnel_Device="any1")
    connects(server, net.c, "10.7.0.2")
    assert reaches(net.m, "10.8.0.1")
    client.stop()
    client.start()
    wait_until(lambda: reaches(net.m, "10.8.0.1"), "the client to come back")
    assert reaches(net.c, "10.7.0.1")


def test_client_with_the_servers_device(net):
    net.first().start()
    upstream = Server(net.lab, net.u, ["10.8.0.1/16"], ["192.0.2.2"], "upstream")
    refused(Client(upstream, net.m, ["10.8.0.2"], name="client"),
            "tunnel device any0 is in use by another anyrelayd")
    assert net.m.has_device("any0")


@pytest.mark.parametrize("workers", [1, 2])
def test_two_servers(net, workers):
    """Of two clusters, each with its own clients, relays and guard."""
    net.m.ip(f"addr del {FIRST}/32 dev lo")
    net.m.ip(f"addr del {SECOND}/32 dev lo")
    common = {"Anycast_Announce": "yes", "Daemon_Workers": workers, "Relay_Ports": "20000-29999"}
    one = net.first(Relay_Uplinks="wan", **common)
    two = net.second(Relay_Uplinks="up", **common)
    for server in (one, two):
        server.start()
    connects(one, net.c, "10.7.0.2")
    connects(two, net.u, "10.8.0.2")
    assert len(filters(net.m, "wan")) == len(filters(net.m, "up")) == 1
    two.stop()
    assert reaches(net.c, "10.7.0.1")
    assert len(filters(net.m, "wan")) == 1
    assert "anyguard-any0" in net.m.run("nft", "list", "tables")


def test_two_namespaces():
    """With the same names of everything but the files."""
    settings = {"Relay_Ports": "20000-29999", "Relay_Uplinks": "wan", "Daemon_Workers": 2}
    with Lab("beside-two") as lab:
        servers = []
        for name in ("m1", "m2"):
            node = lab.node(name)
            node.ip("link add wan type bridge")
            node.ip("link set wan up")
            node.address("wan", f"{FIRST}/24")
            servers.append(Server(lab, node, ["10.7.0.1/16"], [FIRST], name, **settings))
            servers[-1].start()
        servers[0].stop()
        assert len(filters(servers[1].node, "wan")) == 1
        assert servers[1].status()


# ---- clashes ----

RELAY = {"Relay_Ports": "20000-29999", "Relay_Uplinks": "wan"}
GUARD = {"Anycast_Announce": "yes"}
MANY = {"Daemon_Workers": 2}
# settings of both; those of the second; what it says
CLASHES = {
    "control": ({}, {"Daemon_ControlSocket": "first"}, "another anyrelayd is running with this"),
    "state": ({}, {"Daemon_StateDirectory": "first", "Daemon_Name": "first"},
              "another anyrelayd keeps its state in .*/first under the name first"),
    "device": ({}, {"Tunnel_Device": "any0"}, "device any0 is in use by another anyrelayd"),
    "queues": (MANY, {"Tunnel_Device": "any0"}, "device any0 is in use by another anyrelayd"),
    "ethernet": ({}, {"Tunnel_EthernetDevice": "any0"},
                 "device any0 is in use by another anyrelayd"),
    "port": ({}, {"Server_Listen": FIRST}, f"UDP {FIRST}:4444: another program uses that port"),
    "workers": (MANY, {"Server_Listen": FIRST}, f"UDP {FIRST}:4444: another program uses that port"),
    "guard": (GUARD, {"Tunnel_Device": "any0"}, "device any0 is in use by another anyrelayd"),
    "anycast": (GUARD, {"Server_Listen": FIRST}, f"{FIRST} is on this machine already"),
    "uplink": (RELAY, {}, "relays of another anyrelayd come in at wan"),
    "metrics": ({}, {"Metrics_Listen": "127.0.0.1:9444"}, r"\[Metrics\] Listen: .* already in use"),
    "rtpproxy": ({**RELAY, "Relay_RTPProxy": "127.0.0.1:7722"},
                 {"Relay_Uplinks": "up"}, r"\[Relay\] RTPProxy: 127.0.0.1:7722 cannot be used"),
}


@pytest.mark.parametrize("clash", CLASHES)
def test_clash(net, clash):
    """The first one goes on as if nothing had been."""
    common, shared, sentence = CLASHES[clash]
    if common is GUARD:
        net.m.ip(f"addr del {FIRST}/32 dev lo")
        net.m.ip(f"addr del {SECOND}/32 dev lo")
    first = net.first(**common)
    paths = {"Daemon_ControlSocket": first.socket, "Daemon_StateDirectory": first.directory}
    second = net.second(**{**common, **{key: paths.get(key, value) for key, value in shared.items()}})
    first.start()
    connects(first, net.c, "10.7.0.2")
    before = net.m.run("nft", "-s", "list", "ruleset"), filters(net.m, "wan")
    refused(second, sentence)
    assert before == (net.m.run("nft", "-s", "list", "ruleset"), filters(net.m, "wan"))
    assert first.status() and reaches(net.c, "10.7.0.1")


def test_what_a_killed_one_held(net):
    """It is free at once, and what was left behind is taken over."""
    server = net.first(**RELAY, **MANY)
    server.start()
    before = filters(net.m, "wan")
    server.process.stop(signal.SIGKILL)
    assert filters(net.m, "wan") == before
    server.start()
    assert len(filters(net.m, "wan")) == 1 and filters(net.m, "wan") != before
    connects(server, net.c, "10.7.0.2")
