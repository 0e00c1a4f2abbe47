# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""A server leaves the cluster for ever: nothing is lost, and what it has opens nothing any more.

    c1 ── n1 ── r1 ──┐      ┌── s1, s2, s3
                     ├─ sw ─┤
    c2 ── n2 ── r2 ──┘      └── d1, d2, d3 (NATS)          addresses: cluster.py

s3 is drained and removed; then somebody who has its disk starts it again.
"""

import json
import shutil
import signal

import traffic
from anyrelay import TOOL
from cluster import INNER4, INNER6, ClusterNet
from lab import wait_until


def servers(daemon):
    return json.loads(daemon.ask("servers", "--json"))


def seen(daemon, number):
    """What this server says of that one, or None."""
    return next((s for s in servers(daemon)["servers"] if s["number"] == number), None)


def test_removed_for_ever(lab):
    net = ClusterNet(lab).start_cluster()
    first, second, gone = net.daemons
    stay = (first, second)
    running = [traffic.Ping(node, address, interval=0.01, name=f"ping-{i}")
               for i, (node, address) in enumerate(((net.c1, INNER4["c2"]), (net.c2, INNER6["c1"]),
                                                    (net.c1, INNER4["s"]), (net.c2, INNER4["s"])))]
    for ping in running:
        ping.wait_replies(20)

    # Withdrawn: the network leads nothing there any more, and it serves what still comes.
    gone.ask("drain")
    net.wait_announcing(["s1", "s2"])
    stolen = lab.path("stolen")
    shutil.copytree(gone.directory, stolen, ignore=shutil.ignore_patterns("*.sock*"))
    known = gone.status()["kid"], servers(gone)["servers"][2]["lineage"]

    # Out of the list: the others refuse it at once, and it ends by itself.
    first.node.run(TOOL, "server", "remove", 3, "-c", first.config_path,
                   "--operator-key", first.operator_key)
    for daemon in stay:
        wait_until(lambda: seen(daemon, 3) is None, f"{daemon.name} to have forgotten s3")
    gone.process.wait(20)
    rotated = json.loads(first.ask("epoch", "rotate", "--json"))
    assert rotated["servers"] == 2
    for daemon in stay:
        wait_until(lambda: seen(daemon, 1)["lineage"] == seen(daemon, 2)["lineage"]
                   == rotated["lineage"], f"{daemon.name} to issue from the new keys")
    assert rotated["lineage"] != known[1]
    for ping in running:
        ping.wait_replies(20)

    thief(net, gone, stolen, stay)
    lost = {ping.process.name: ping.finish() for ping in running}
    assert all(sent == received for sent, received in lost.values()), lost
    print(f"{sum(sent for sent, _ in lost.values())} pings, none lost")


def thief(net, gone, stolen, stay):
    """Its disk as it was, its key, the list in which it still is; NATS is told nothing of it."""
    def counted(daemon):
        report = servers(daemon)
        return report["mesh_drops"].get("stranger", 0), report["mesh"]["keys_sent"]

    before = {daemon: counted(daemon) for daemon in stay}
    shutil.rmtree(gone.directory)
    shutil.move(stolen, gone.directory)
    shutil.copystat(stay[0].directory, gone.directory)
    gone.set(Registry_Type="local", Registry_Servers=None, Anycast_Announce=None,
             Mesh_Servers=old_list(net, gone), Server_Clients=net.lab.write("no-clients", ""))
    net.server_birds[2].process.kill(signal.SIGKILL)  # it is no longer the network's either
    for host in gone.listen:
        gone.node.ip(f"addr add {host} dev lo")
    gone.start()
    # It asks each of the others for keys, and after 5 s has none but its own.
    wait_until(lambda: seen(gone, 3)["lineage"], "the thief's server to give up asking", 20)
    assert not any(server["alive"] for server in servers(gone)["servers"] if not server["self"])
    for daemon in stay:
        strangers, keys_sent = counted(daemon)
        assert strangers >= before[daemon][0] + 5, "it was not even heard"
        assert keys_sent == before[daemon][1]
        assert seen(daemon, 3) is None
        assert seen(daemon, 1)["lineage"] != seen(gone, 3)["lineage"]


def old_list(net, gone):
    """The list of servers that it had kept."""
    path = net.lab.path("old-servers")
    shutil.copy(f"{gone.directory}/{gone.name}.servers", path)
    return path
