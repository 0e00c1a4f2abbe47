# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""A new server joins a running cluster under load; a copy of a server's disk does not.

    c1 ── n1 ── r1 ──┐      ┌── s1, s2, s3      one cluster; s4 comes later, with nothing
                     ├─ sw ─┤
    c2 ── n2 ── r2 ──┘      └── d1, d2, d3      NATS          addresses: cluster.py
"""

import copy
import os
import shutil
import time

import pytest

from cluster import ANYCAST, ClusterNet, RouteWatch
from lab import Lab, wait_until
from test_flip import Load, describe, whole


@pytest.fixture(scope="module")
def net():
    with Lab("join") as lab:
        made = ClusterNet(lab, servers=4).start_cluster(later=1)
        made.watch = RouteWatch(made.r1)
        yield made


def names(daemons):
    return {daemon.name for daemon in daemons}


class FirstPacket:
    """When a server first sends something from the anycast address."""

    def __init__(self, node):
        self.process = node.spawn(f"first-{node.name}", "tcpdump", "-ttnl", "--immediate-mode",
                                  "-c", 1, "-i", "lan", "src", ANYCAST[4], "and", "udp")
        self.process.wait_log("listening on")

    def time(self):
        self.process.wait(30)
        return next(float(line.split()[0]) for line in self.process.log().splitlines()
                    if line[:1].isdigit())


def forget(daemon):
    """As if the machine were new."""
    for name in os.listdir(daemon.directory):
        os.remove(os.path.join(daemon.directory, name))


def test_join(net, full):
    """From the process's start to the first packet that it serves; nothing is lost."""
    new, = net.later
    for attempt in range(10 if full else 2):
        before = net.events()["handshakes"]
        first = FirstPacket(new.node)
        load = Load(net)
        if attempt == 0:
            net.add_to_list(new)
        forget(new)
        began = time.time()
        new.spawn()
        routed = net.watch.seconds_until_change(began, 4)
        net.wait_announcing(names(net.daemons) | {new.name}, 30)
        net.send_all_to(new.node)
        served = first.time()
        wait_until(lambda: new.status()["traffic"]["rx_datagrams"] > 1000, "the load to go on there")
        felt = load.finish()
        print(f"\n{new.name} joins: announced to the routers {routed * 1e3:.0f} ms after its start, "
              f"first packet served {(served - began - routed) * 1e3:.0f} ms later; {describe(felt)}")
        whole(felt)
        assert net.events()["handshakes"] == before, "joining must cost no handshake"
        assert new.status()["events"]["handshakes"] == new.status()["events"]["hints"] == 0
        net.follow_bgp()
        new.stop()
        net.wait_announcing(names(net.daemons), 30)


def test_copied_disk(net):
    """cp -a of a server to a second machine: two with one number.  The later one stops."""
    first, new = net.daemons[0], net.later[0]
    twin = copy.copy(first)
    twin.config = copy.deepcopy(first.config)
    twin.node, twin.directory = new.node, net.lab.path("twin")
    twin.config_path, twin.socket = net.lab.path("twin.conf"), net.lab.path("twin", "control.sock")
    shutil.copytree(first.directory, twin.directory, ignore=shutil.ignore_patterns("*.sock*"))
    shutil.chown(twin.directory, "nobody")
    twin.set(Daemon_StateDirectory=twin.directory, Daemon_ControlSocket=twin.socket,
             Mesh_Address="10.0.0.14:4445")
    before = net.events()["handshakes"]
    load = Load(net)
    process = twin.spawn()
    assert process.wait(30) == 1
    assert "another living server has the number 1" in process.log()
    felt = load.finish()
    print(f"\n{describe(felt)}\n{process.log().strip()}")
    whole(felt)
    assert first.process.alive() and net.events()["handshakes"] == before
    assert net.announcing(net.r1) == names(net.daemons)
