# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""The cluster's key is changed under load: nothing is lost, nobody is locked out but by the rule.

    c1 ── n1 ── r1 ──┐      ┌── s1, s2, s3
                     ├─ sw ─┤
    c2 ── n2 ── r2 ──┘      └── d1, d2, d3 (NATS)          addresses: cluster.py

c1 is connected all the time, c2 is restarted in the middle, late is enrolled before and comes
after the end.  Every server has a key file of its own, which the test copies as an operator would.
Meanwhile a relay carries packets between the two hosts (x and y of relays.py), a call is on by way
of the servers' doors for SIP proxies, and a token waits to be shown.
"""

import json
import shutil
import signal
import sys

import traffic
from anyrelay import TOOL, USER, Client
from cluster import ANYCAST, INNER4, INNER6
from lab import wait_until
from relays import MEGABYTE, RelayNet, finish_pair, transfer, udp_pair

LATE = ["10.7.0.9", "fd07::9"]
DOOR = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(1)
for _ in range(10):
    s.sendto(("c " + sys.argv[1]).encode(), ("127.0.0.1", 7722))
    try:
        print(s.recv(500).decode()[2:].strip())
        break
    except TimeoutError:
        pass
"""


class Roll:
    """A cluster whose servers each have their own copy of the key file, and its operator."""

    def __init__(self, net):
        self.net = net
        self.first = self.net.daemons[0]
        self.files = {}
        for daemon in self.net.daemons:
            self.files[daemon] = net.lab.path(f"{daemon.name}.own-cluster.key")
            self.copy(self.first.cluster_key, daemon)
            daemon.set(Server_ClusterKeyFile=self.files[daemon])
            daemon.reload()

    def copy(self, source, daemon):
        shutil.copy(source, self.files[daemon])
        shutil.chown(self.files[daemon], USER)

    def step(self, *words, check=True):
        """The operator, at the first server."""
        return self.first.node.run(TOOL, "cluster-key", *words, "-c", self.first.config_path,
                                   *(["--operator-key", self.first.operator_key]
                                     if words[0] != "list" else []), check=check)

    def hand_out(self, daemon):
        self.copy(self.files[self.first], daemon)
        daemon.process.kill(signal.SIGHUP)

    def public_keys(self):
        """By state: current, next."""
        listed = json.loads(self.step("list", "--json"))["cluster_keys"]
        return {key["state"]: key["public_key"] for key in listed}

    def handshakes(self):
        return self.net.events()["handshakes"]


class Relayed:
    """What relays carry while the key is changed; check() at each step."""

    OFFER = "U call 198.51.100.18 6000 caller;1"
    ANSWER = "L call 198.51.100.22 7000 caller;1 callee;1"

    def __init__(self, net):
        self.net = net
        self.kept = net.add("tcp", "token4", "token4")
        self.forever = net.add("tcp", "token4", "token4", daemon=net.daemons[0],
                               words=("--lifetime", "0"))
        self.peers = udp_pair(net.add("udp", "token4", "token4"), net.x, net.y, 100)
        self.offered = self.door(net.daemons[0], self.OFFER)
        self.answered = self.door(net.daemons[1], self.ANSWER)
        assert len({self.offered, self.answered, "0"}) == 3

    def door(self, daemon, command):
        return daemon.node.run(sys.executable, "-c", DOOR, command).strip()

    def check(self):
        """Every server finds the call, and none makes another relay for it."""
        for daemon in self.net.daemons:
            assert self.door(daemon, self.OFFER) == self.offered, daemon.name
            assert self.door(daemon, self.ANSWER) == self.answered, daemon.name

    def finish(self):
        """Tokens of before the change are good, and the call ends."""
        transfer(self.net, self.kept, MEGABYTE)
        assert self.door(self.net.daemons[2], "D call caller callee") == "0"
        for daemon in self.net.daemons:
            wait_until(lambda: self.door(daemon, self.ANSWER) == "0", f"{daemon.name} to hear of it")
        results = finish_pair(self.peers)
        for sent, got in results:
            assert sent > 100 and (sent - got["received"], got["duplicates"]) == (0, 0)
        print(f"\nrelayed: {[sent for sent, _ in results]} packets, none lost")

    def survives(self):
        """The registry has it under the new key: all servers at once begin anew."""
        for daemon in self.net.daemons:
            daemon.process.stop(signal.SIGKILL)
        self.net.revive()
        for daemon in self.net.daemons:
            wait_until(lambda: self.forever.id in daemon.relays(), f"{daemon.name} to know a relay")
        transfer(self.net, self.forever, MEGABYTE)


def keys(daemon):
    return daemon.status()["cluster_keys"]


def everywhere(daemon):
    """This server sees the newest of its keys at all of them."""
    return "newest_everywhere_s" in keys(daemon)


def renew(client):
    """A new handshake beside the session: the machine's network has changed (Unlinkable)."""
    before = client.status()["events"]["sessions"]
    client.node.ip("addr add 10.1.0.77/32 dev lan")
    client.node.ip("addr del 10.1.0.77/32 dev lan")
    wait_until(lambda: client.status()["events"]["sessions"] > before, f"{client.name}'s new session",
               20)


def restart(client):
    client.stop()
    client.start()
    wait_until(lambda: traffic.reaches(client.node, INNER4["s"]), f"{client.name} to be back", 20)


def test_roll_under_load(lab):
    roll = Roll(RelayNet(lab).start(Relay_RTPProxy="127.0.0.1:7722"))
    net = roll.net
    k1, k2, others = net.k1, net.k2, net.daemons[1:]
    k1.set(Client_Unlinkable="yes")
    restart(k1)
    late = Client(roll.first, net.c2, LATE, name="late", server_address=ANYCAST[4])
    late.set(Tunnel_Device="any1")
    old = roll.public_keys()["current"]
    running = [traffic.Ping(net.c1, address, interval=0.01, name=f"ping-{i}")
               for i, address in enumerate((INNER4["s"], INNER6["s"], INNER4["s"]))]

    relayed = Relayed(net)

    # A next key, which only the first server has: nobody is told of it, all go on.
    roll.step("next")
    assert len(keys(roll.first)["ids"]) == 2
    wait_until(lambda: not everywhere(roll.first), "s1 to see that the others lack the key")
    relayed.check()
    renew(k1)
    assert keys(k1) == {"version": 0, "ids": keys(others[0])["ids"]}
    refused = roll.step("finish", check=False)
    assert refused.returncode == 1 and "does not have the next key" in refused.stdout

    # All servers have both.
    for daemon in others:
        roll.hand_out(daemon)
    for daemon in net.daemons:
        wait_until(lambda: everywhere(daemon), f"{daemon.name} to see the next key everywhere")
    relayed.check()
    refused = roll.step("finish", check=False)
    assert refused.returncode == 1 and "Clients have been told of the next key for" in refused.stdout
    renew(k1)
    version = keys(roll.first)["version"]
    assert keys(k1) == {"version": version, "ids": keys(roll.first)["ids"][::-1]}
    restart(k2)
    assert keys(k2)["version"] == version
    restart(k2)  # from what it has kept
    assert keys(k2)["version"] == version
    assert k2.status()["events"]["handshakes_sent"] == 1

    # The old one goes: first at one server, then at the others.
    roll.step("finish", "--force")
    assert len(keys(roll.first)["ids"]) == 1
    relayed.check()
    renew(k1)
    for daemon in others:
        roll.hand_out(daemon)
        wait_until(lambda: len(keys(daemon)["ids"]) == 1, f"{daemon.name} to have given up the old key")
    new = roll.public_keys()
    assert set(new) == {"current"} and new["current"] != old
    relayed.check()
    relayed.finish()
    renew(k1)
    restart(k2)
    for client in (k1, k2):
        assert keys(client) == {"version": keys(roll.first)["version"],
                                "ids": keys(roll.first)["ids"]}

    net.k2.stop()
    refused_is_old_key(roll, late, new["current"])
    lost = {ping.process.name: ping.finish() for ping in running}
    assert all(sent == received for sent, received in lost.values()), lost
    print(f"{sum(sent for sent, _ in lost.values())} pings, none lost, "
          f"{roll.handshakes()} handshakes")
    relayed.survives()
    restarted_without_nats(roll)


def refused_is_old_key(roll, late, new):
    """Whoever was off all the time knows the old key only, which nobody answers to."""
    def refusals():
        return sum(daemon.drops().get("mac1", 0) for daemon in roll.net.daemons)
    before, answered = refusals(), roll.handshakes()
    late.start()
    wait_until(lambda: refusals() >= before + 3, "the old key to be refused three times", 20)
    assert late.status()["session"]["state"] == "no session"
    assert roll.handshakes() == answered
    late.stop()
    late.set(Client_ClusterKeys=new)
    late.start()
    wait_until(lambda: traffic.reaches(late.node, INNER4["s"]), "late to get through", 20)


def restarted_without_nats(roll):
    """What a server has kept of the clients is under the new key as well."""
    net, server = roll.net, roll.net.daemons[1]
    net.nats.kill()
    server.process.kill(signal.SIGKILL)
    server.process.wait()
    server.start()
    wait_until(lambda: server.status()["sessions"]["clients"] == 3, "s2 to know all clients", 20)
    assert "forgotten" not in server.process.log()
