# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""The list of servers in the registry: written once by the operator, learnt by all servers at once.

    s1 (10.0.0.11, mesh .111), s2 (.12, .112) ──┐       ┌── n1, n2, n3       nats-server
                       c2 (.32, .132), server 3 ├─ lan ─┤
                                 admin (.41) ───┘       └── c1 (.31)         a client of s1
"""

import json

import pytest

import traffic
from anyrelay import TOOL, private
from lab import Lab, tool, wait_until
from test_registry import HOSTS, INNER, RegistryNet, knows, registry

SERVERS = "anyrelay_servers"


class ServersNet(RegistryNet):
    """Three servers with a mesh (.daemons), of which none has a file of the servers."""

    def __init__(self, lab):
        super().__init__(lab)
        self.k3 = self.server(self.c2, 3, like=self.k1)
        self.daemons = [self.k1, self.k2, self.k3]
        for daemon in self.daemons:
            daemon.mesh = f"10.0.0.{100 + HOSTS[daemon.node.name]}"
            daemon.node.address("lan", f"{daemon.mesh}/24")
            daemon.mesh_key = private(lab, f"{daemon.name}-mesh.key", tool(TOOL, "genkey"))
            daemon.set(Mesh_Address=f"{daemon.mesh}:4445", Mesh_PrivateKeyFile=daemon.mesh_key,
                       Mesh_Servers=lab.path("no-such-file"))

    def number(self, daemon):
        return self.daemons.index(daemon) + 1

    def operate(self, *words):
        """The operator at work, with the configuration of s1; what the tool says as JSON."""
        said = self.s1.run(TOOL, "server", *words, "-c", self.k1.config_path, "--json",
                           "--operator-key", self.k1.operator_key)
        return json.loads(said[said.index("{"):])  # after the sentences

    def add(self, daemon):
        with open(daemon.mesh_key) as key:
            public = tool(TOOL, "pubkey", input=key.read()).strip()
        return self.operate("add", self.number(daemon), daemon.name, "--mesh",
                            f"{daemon.mesh}:4445", "--public-key", public)

    def value(self, daemon):
        return self.admin.get(SERVERS, str(self.number(daemon)))


def servers(daemon):
    """What a server says of all servers, by their numbers."""
    return {s["number"]: s for s in json.loads(daemon.ask("servers", "--json"))["servers"]}


def sees(daemon, alive):
    """Wait until these, and no others, are in its list and alive."""
    wait_until(lambda: {number for number, s in servers(daemon).items() if s["alive"]} == alive
               == set(servers(daemon)), f"{daemon.name} to see {alive}", 15)


@pytest.fixture(scope="module")
def net():
    with Lab("servers") as lab:
        yield ServersNet(lab)


def test_added_while_they_run(net):
    """Before it is in the list a server waits; then all have one lineage of keys."""
    for daemon in net.daemons:
        daemon.start()
        wait_until(lambda: registry(daemon)["connected"], f"{daemon.name} to be connected", 30)
        daemon.process.wait_log("has no entry in the list of servers")
        assert servers(daemon)[net.number(daemon)]["joining"]
    assert net.add(net.k1)["version"] == 1
    net.k1.process.wait_log("begins a lineage")
    for daemon in (net.k2, net.k3):
        assert servers(daemon)[net.number(daemon)]["joining"]
        net.add(daemon)
    for daemon in net.daemons:
        sees(daemon, {1, 2, 3})
    wait_until(lambda: len({servers(d)[net.number(d)]["lineage"] for d in net.daemons}) == 1,
               "one lineage")
    net.d1 = net.client(net.c1, net.k1)
    for daemon in net.daemons:
        knows(daemon, 1)
    net.d1.start()
    wait_until(lambda: traffic.reaches(net.c1, INNER["s1"]), "the client to be served")


def test_clients_do_not_reach_where_the_cluster_talks_to_itself(net):
    """
    Anycast address, mesh, NATS, although Networks has them: dropped and counted.  A host beside
    them is reached.
    """
    net.k1.set(Tunnel_Networks="10.0.0.0/24")
    net.k1.reload()
    net.s1.forward()
    net.admin_node.route("10.7.0.0/16 via 10.0.0.11")
    beside = f"10.0.0.{HOSTS['admin']}"
    denied = ([f"10.0.0.{HOSTS[name]}" for name in ("s1", "n1", "n2", "n3")]
              + [daemon.mesh for daemon in net.daemons])
    net.c1.ip("rule add ipproto icmp lookup 99 pref 10")
    for address in [beside, *denied]:
        net.c1.route(f"{address}/32 dev any0 src {INNER['c1']} table 99")
    wait_until(lambda: traffic.reaches(net.c1, beside), f"{beside} to be reached")
    for address in denied:
        before = net.k1.drops().get("denied", 0)
        assert not traffic.reaches(net.c1, address), address
        net.k1.wait_drop("denied", more_than=before)
    net.c1.ip("rule del pref 10")
    net.k1.set(Tunnel_Networks=None)
    net.k1.reload()
    sees(net.k1, {1, 2, 3})


def test_values_of_an_admin_without_keys(net):
    """Forged, swapped, set back, deleted: counted, not believed, and put right again."""
    old = net.value(net.k3)
    net.add(net.k3)
    true = {str(net.number(daemon)): net.value(daemon) for daemon in net.daemons}
    assert true["3"] != old
    for what, values, rises in (
            ("forged", {key: value[:-1] + bytes([value[-1] ^ 1]) for key, value in true.items()},
             "refused"),
            ("swapped", {"1": true["2"], "2": true["1"]}, "refused"),
            ("set back", {"3": old}, "stale"),
            ("deleted", dict.fromkeys(true), "deleted")):
        before = [registry(daemon)[rises] for daemon in net.daemons]
        for key, value in values.items():
            net.admin.put(SERVERS, key, value) if value else net.admin.delete(SERVERS, key)
        for daemon, count in zip(net.daemons, before):
            wait_until(lambda: registry(daemon)[rises] >= count + len(values),
                       f"{daemon.name} to have counted as {rises} what was {what}")
            sees(daemon, {1, 2, 3})
        if what not in ("forged", "swapped"):
            wait_until(lambda: all(net.admin.get(SERVERS, key) == true[key] for key in values),
                       f"what was {what} to be put right", 20)
        else:  # nothing of ours has been there since: who starts reads it all, and puts it right
            for key in values:
                net.admin.delete(SERVERS, key)
            wait_until(lambda: all(net.admin.get(SERVERS, key) == true[key] for key in values),
                       f"what was {what} to be put right", 20)


def test_start_while_nats_is_away(net):
    """The servers last known are in a file of the server's own."""
    net.nats.kill()
    net.k2.stop()
    net.k2.start()
    sees(net.k2, {1, 2, 3})
    assert not registry(net.k2)["connected"]
    net.nats.start()
    wait_until(lambda: registry(net.k2)["connected"], "k2 to be connected", 60)


def test_removed_while_it_runs(net):
    """All others refuse it at once, and it ends by itself; its old entry does not bring it back."""
    old = net.value(net.k3)
    assert net.operate("remove", 3)["removed"]
    for daemon in (net.k1, net.k2):
        sees(daemon, {1, 2})
    assert net.k3.process.wait(15) == 1
    assert "has been removed from the list of servers" in net.k3.process.log()
    net.k3.start()
    net.k3.process.wait_log("has been removed from the list of servers: it waits")
    stale = registry(net.k1)["stale"]
    net.admin.put(SERVERS, "3", old)
    wait_until(lambda: registry(net.k1)["stale"] > stale, "k1 to have seen the old entry")
    wait_until(lambda: net.value(net.k3) != old, "the tombstone to be put right", 20)
    for daemon in (net.k1, net.k2):
        sees(daemon, {1, 2})
    traffic.ping(net.c1, INNER["s1"])
    assert servers(net.k3)[3]["joining"], "nobody gives it keys, and it makes none"
    net.add(net.k3)
    for daemon in net.daemons:
        sees(daemon, {1, 2, 3})


def test_file_beside_it(net):
    """A server with a file of its own takes both, and the registry learns of what it lacks."""
    entries = net.lab.write("servers", "")
    net.k1.set(Registry_Type=None, Registry_Servers=None, Registry_Replicas=None,
               Mesh_Servers=entries)
    with open(net.k2.mesh_key) as key:
        public = tool(TOOL, "pubkey", input=tool(TOOL, "genkey")).strip()
        assert public != tool(TOOL, "pubkey", input=key.read()).strip()
    net.operate("add", 9, "elsewhere", "--mesh", "10.0.0.199:4445", "--public-key", public)
    net.k1.set(**net.nats.settings())
    net.k1.reload()
    assert set(servers(net.k1)) == {1, 2, 3, 9}
    net.k1.stop()
    net.k1.start()
    for daemon in net.daemons:
        wait_until(lambda: set(servers(daemon)) == {1, 2, 3, 9}, f"{daemon.name} to know of 9", 30)
