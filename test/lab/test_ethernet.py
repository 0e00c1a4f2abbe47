# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""Ethernet through the tunnel: two sites bridged, and a tap on the server.

    a ──── c1 [br0: lan + any0] ──┐
    b2 ──┘                        s [any1] ────── (outer: 192.0.2.0/29 at a bridge)
    b ──── c2 [br0: lan + any0] ──┘

a, b and the server's any1 share 10.5.0.0/24 and fd05::/64; b2 later claims b's MAC address.
A bridge fragments nothing, so the hosts' MTU is what the tunnel carries in a frame: 1402.

And two servers with mesh and NATS, as in test_servers, with one client each.
"""

import time

import pytest

import traffic
from anyrelay import Client, Server
from lab import Lab, wait_until
from test_registry import registry
from test_servers import ServersNet, sees

OUTER = {"s": "192.0.2.1", "c1": "192.0.2.2", "c2": "192.0.2.3"}
MTU = 1402
LAN = {"a": 1, "b": 2, "s": 9}


def bridge(node):
    node.ip("link add br0 type bridge")
    node.ip("link set br0 up")


def on_lan(node, device):
    node.address(device, f"10.5.0.{LAN[node.name]}/24", f"fd05::{LAN[node.name]}/64")


@pytest.fixture(scope="module")
def sites():
    with Lab("ethernet") as lab:
        nodes = {name: lab.node(name) for name in ("hub", "s", "c1", "c2", "a", "b", "b2")}
        bridge(nodes["hub"])
        for name, address in OUTER.items():
            lab.link(nodes[name], "wan", nodes["hub"], name)
            nodes["hub"].ip(f"link set dev {name} master br0")
            nodes[name].address("wan", f"{address}/29")
        server = Server(lab, nodes["s"], ["10.7.0.1/16"], listen=[OUTER["s"]],
                        Tunnel_EthernetDevice="any1")
        server.start()
        on_lan(nodes["s"], "any1")
        for site, hosts in (("c1", ("a", "b2")), ("c2", ("b",))):
            bridge(nodes[site])
            for host in hosts:
                lab.link(nodes[host], "lan", nodes[site], host, mtu=MTU)
                nodes[site].ip(f"link set dev {host} master br0")
            Client(server, nodes[site], [], rights=["ethernet"], Tunnel_Payload="ethernet",
                   Tunnel_Address=None).start()
            nodes[site].ip("link set any0 master br0")
        on_lan(nodes["a"], "lan")
        on_lan(nodes["b"], "lan")
        nodes.update(server=server, lab=lab)
        wait_until(lambda: traffic.reaches(nodes["a"], "10.5.0.2"), "a to reach b")
        for site in ("c1", "c2"):
            wait_until(lambda: f"mtu {MTU}" in nodes[site].ip("link show any0"),
                       f"{site} to have found its path MTU")
        yield nodes


@pytest.mark.parametrize("prefix", ["10.5.0.", "fd05::"], ids=["arp", "nd"])
def test_unicast(sites, prefix):
    for here, there in (("a", "b"), ("b", "a"), ("a", "s"), ("s", "b")):
        traffic.ping(sites[here], f"{prefix}{LAN[there]}", size=1300)


def test_tcp(sites):
    with traffic.iperf_server(sites["b"], "10.5.0.2"):
        assert traffic.iperf(sites["a"], "10.5.0.2", seconds=1)["bytes"] > 1_000_000


def test_broadcast(sites):
    receivers = [traffic.multicast_receiver(sites[name], "255.255.255.255", device)
                 for name, device in (("b", "lan"), ("s", "any1"))]
    traffic.multicast_send(sites["a"], "255.255.255.255", "lan", "everyone")
    for receiver in receivers:
        receiver.wait_log("received everyone")
        assert receiver.log().count("received everyone") == 1


def test_loop_stays_within_the_budget(sites, full):
    """
    Both sites are joined a second time, and frames go round: no more often in a second than
    FloodRate, and then they are gone, instead of filling all there is.
    """
    server, rate = sites["server"], 200
    server.set(Server_FloodRate=rate)
    server.reload()
    before, dropped = server.status()["traffic"]["copies"], server.drops().get("flood_rate", 0)
    begin = time.monotonic()
    sites["lab"].link(sites["c1"], "loop", sites["c2"], "loop")
    for site in ("c1", "c2"):
        sites[site].ip("link set loop master br0")
    for _ in range(100 if full else 20):
        traffic.multicast_send(sites["a"], "255.255.255.255", "lan", "round and round")
    server.wait_drop("flood_rate", dropped)
    seconds = time.monotonic() - begin
    copies = server.status()["traffic"]["copies"] - before
    sites["c1"].ip("link del loop")
    print(f"\n{copies} copies in {seconds:.1f} s, both clients together, at {rate} a second each; "
          f"{server.drops()['flood_rate'] - dropped} dropped")
    assert rate < copies <= 2 * rate * (seconds + 2)
    server.set(Server_FloodRate=None)
    server.reload()
    wait_until(lambda: traffic.reaches(sites["a"], "10.5.0.9"), "a to reach the server", 10)


def test_mac_is_not_taken_over(sites):
    """b2, at the other site, sends with b's address: refused and counted; b stays reachable."""
    server = sites["server"]
    link = sites["b"].ip("-o link show lan")
    mac = link.split("link/ether ")[1].split()[0]
    sites["b2"].ip(f"link set lan address {mac}")
    sites["b2"].address("lan", "10.5.0.22/24")
    before = server.drops().get("mac_table", 0)
    running = traffic.Ping(sites["s"], "10.5.0.2")
    running.wait_replies(5)
    sites["b2"].run("ping", "-c3", "-i0.1", "-W1", "10.5.0.9", check=False)
    server.wait_drop("mac_table", more_than=before)
    running.wait_replies(10)
    sent, received = running.finish()
    assert sent - received <= 1


@pytest.fixture(scope="module")
def two():
    """A client at s1 and one at s2 (.one, .other), each with an address on its own tunnel device."""
    with Lab("ethernet-two") as lab:
        net = ServersNet(lab)
        net.one, net.other = net.c1, net.admin_node
        for daemon in (net.k1, net.k2):
            daemon.set(Tunnel_EthernetDevice="any1")
            daemon.start()
            wait_until(lambda: registry(daemon)["connected"], f"{daemon.name} to be connected", 30)
            net.add(daemon)
        for daemon in (net.k1, net.k2):
            sees(daemon, {1, 2})
        for node, server, address in ((net.one, net.k1, "10.5.0.1"), (net.other, net.k2, "10.5.0.2")):
            client = net.client(node, server, ["10.7.0.9" if node is net.one else "10.7.0.10"],
                                rights=["ethernet"], Tunnel_Payload="ethernet", Tunnel_Address=None)
            client.start()
            node.address("any0", f"{address}/24")
        wait_until(lambda: traffic.reaches(net.one, "10.5.0.2"), "one client to reach the other", 20)
        yield net


def copies(net):
    return sum(daemon.status()["traffic"]["copies"] for daemon in (net.k1, net.k2))


def test_two_servers_do_not_flood(two):
    """What one server has heard of is known to the other: frames go where they are meant to."""
    def pings_without_copies():
        before = copies(two)
        traffic.ping(two.one, "10.5.0.2", count=20)
        return copies(two) - before < 5
    wait_until(pings_without_copies, "both servers to know both addresses", 20)
    before = copies(two)
    traffic.ping(two.one, "10.5.0.2", count=200, interval=0.005)
    assert copies(two) - before < 20


def test_mac_of_another_server_is_not_taken_over(two):
    """A client claims the address of another, which s2 has never heard itself."""
    def mac(node):
        return node.ip("-o link show any0").split("link/ether ")[1].split()[0]
    own, before = mac(two.other), two.k2.drops().get("mac_table", 0)
    two.other.ip(f"link set any0 address {mac(two.one)}")
    traffic.reaches(two.other, "10.5.0.9")
    two.k2.wait_drop("mac_table", more_than=before)
    two.other.ip(f"link set any0 address {own}")
    wait_until(lambda: traffic.reaches(two.other, "10.5.0.1"), "one to reach the other", 10)
