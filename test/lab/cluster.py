# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""The network of the cluster's labs: servers that share an anycast address, behind two routers.

    c1 ────────── n1 ────────────── r1 ──┐        ┌── s1    10.0.0.11  2001:db8:f::11
    10.1.0.2      198.51.100.2           │        │
    fd01::2       2001:db8:1::2          ├── sw ──┼── s2    10.0.0.12  2001:db8:f::12
                                         │        │
    c2 ────────── n2 ────────────── r2 ──┘        ├── s3    10.0.0.13  2001:db8:f::13
    10.1.0.2      198.51.100.6                    │
    fd01::2       2001:db8:2::2                   └── d1, d2, d3      10.0.0.51 …

r1 (10.0.0.1, 2001:db8:f::1) and r2 (….2) run BIRD and the servers do, with the configurations
of packaging/bird: BGP over sw, which is a switch, with BFD and ECMP.  All servers announce
192.0.2.7 and 2001:db8:a::7.  n1 and n2 masquerade and drop what conntrack calls invalid.
Servers answer by way of either router.  d1 … d3 run NATS.  Inside the tunnel every server is
10.7.0.1 and fd07::1, an anycast service address as well; c1 is .2, c2 .3.

start_cluster() starts all of it as one cluster.  The routing lab does with servers that share
nothing but the anycast address: start_servers().
"""

import collections
import itertools
import json
import os
import re
import signal
import sys
import time

import traffic
from anyrelay import TOOL, Client, Server, private
from lab import ROOT, LabError, tool, wait_until
from nats import Nats

HERE = os.path.dirname(os.path.abspath(__file__))
ANYCAST = {4: "192.0.2.7", 6: "2001:db8:a::7"}
INNER4 = {"s": "10.7.0.1", "c1": "10.7.0.2", "c2": "10.7.0.3"}
INNER6 = {"s": "fd07::1", "c1": "fd07::2", "c2": "fd07::3"}
LAN = {4: "10.0.0.{}", 6: "2001:db8:f::{}"}


class Bird:
    """BIRD on a node, from a file of packaging/bird with some words changed."""

    def __init__(self, node, example, *changes):
        with open(os.path.join(ROOT, "packaging", "bird", example)) as text:
            config = text.read()
        for old, new in (("log syslog all;", "log stderr all;"), *changes):
            if old not in config:
                raise LabError(f"packaging/bird/{example} has no line {old!r}")
            config = config.replace(old, new)
        self.node = node
        self.config_path = node.lab.write(f"bird-{node.name}.conf", config)
        self.socket = node.lab.path(f"bird-{node.name}.ctl")
        self.start()

    def start(self):
        self.process = self.node.spawn(f"bird-{self.node.name}", "bird", "-f",
                                       "-c", self.config_path, "-s", self.socket,
                                       "-P", self.node.lab.path(f"bird-{self.node.name}.pid"))

    def ask(self, *words):
        return tool("birdc", "-s", self.socket, *words, check=False).stdout

    def established(self):
        """The number of BGP sessions that are up."""
        return len(re.findall(r"BGP .* Established", self.ask("show", "protocols")))

    def bfd_up(self):
        return len(re.findall(r"\sUp\s", self.ask("show", "bfd", "sessions")))


class ClusterNet:
    """Nodes as attributes (.servers and .routers as lists), cables, addresses and BIRD in place."""

    def __init__(self, lab, servers=3):
        self.lab = lab
        self.sw = lab.node("sw")
        self.sw.ip("link add lan type bridge")
        self.sw.ip("link set lan up")
        self.routers = [self.router(i) for i in (1, 2)]
        self.servers = [self.server_node(i) for i in range(1, servers + 1)]
        self.r1, self.r2 = self.routers
        self.clients = [self.home(i) for i in (1, 2)]
        self.c1, self.c2 = self.clients
        self.daemons = []

    def plug(self, node, host):
        """A cable to the switch."""
        self.lab.link(node, "lan", self.sw, node.name)
        self.sw.ip(f"link set {node.name} master lan")
        node.address("lan", f"{LAN[4].format(host)}/24", f"{LAN[6].format(host)}/64")

    def router(self, i):
        node = self.lab.node(f"r{i}")
        node.forward()
        node.sysctl("net.ipv4.fib_multipath_hash_policy=1", "net.ipv6.fib_multipath_hash_policy=1",
                    "net.ipv4.conf.all.send_redirects=0", "net.ipv4.conf.default.send_redirects=0")
        self.plug(node, i)
        other = 3 - i  # whose clients are reached through the other router
        node.route(f"198.51.100.{4 * other - 4}/30 via {LAN[4].format(other)}",
                   f"2001:db8:{other}::/64 via {LAN[6].format(other)}")
        return node

    def server_node(self, i):
        node = self.lab.node(f"s{i}")
        node.forward()
        self.plug_server(node, i)
        return node

    def plug_server(self, node, i):
        self.plug(node, 10 + i)
        self.route_server(node)

    def route_server(self, node):
        node.route("default nexthop via 10.0.0.1 nexthop via 10.0.0.2",
                   "default nexthop via 2001:db8:f::1 nexthop via 2001:db8:f::2")

    def home(self, i):
        """A client behind its NAT, behind router i."""
        client, nat, router = self.lab.node(f"c{i}"), self.lab.node(f"n{i}"), self.routers[i - 1]
        here, there = 4 * i - 2, 4 * i - 3
        self.lab.link(client, "lan", nat, "lan")
        self.lab.link(nat, "wan", router, "home")
        client.address("lan", "10.1.0.2/24", "fd01::2/64")
        nat.address("lan", "10.1.0.1/24", "fd01::1/64")
        nat.address("wan", f"198.51.100.{here}/30", f"2001:db8:{i}::2/64")
        router.address("home", f"198.51.100.{there}/30", f"2001:db8:{i}::1/64")
        client.route("default via 10.1.0.1", "default via fd01::1")
        nat.route(f"default via 198.51.100.{there}", f"default via 2001:db8:{i}::1")
        self.lab.nat(nat, "wan")
        setattr(self, nat.name, nat)
        return client

    # ---- routing ----

    def start_birds(self, bfd=True):
        """BIRD everywhere; waits until every server has a session of each family to each router."""
        off = [] if bfd else [("bfd on;", "bfd off;")]
        self.router_birds = [
            Bird(node, "router.conf", ("router id 10.0.0.1;", f"router id 10.0.0.{i};"), *off)
            for i, node in enumerate(self.routers, 1)]
        self.server_birds = [
            Bird(node, "server.conf", ("router id 10.0.0.11;", f"router id 10.0.0.{10 + i};"), *off)
            for i, node in enumerate(self.servers, 1)]
        count = 2 * len(self.servers)
        for bird in self.router_birds:
            wait_until(lambda: bird.established() >= count,
                       f"{count} BGP sessions of {bird.node.name}", 30)
            if bfd:
                wait_until(lambda: bird.bfd_up() >= count,
                           f"{count} BFD sessions of {bird.node.name}", 30)

    def announcing(self, router, family=4):
        """The servers that the router sends anycast packets to: {"s1", "s2"}"""
        shown = router.run("ip", "-o", f"-{family}", "route", "show", ANYCAST[family])
        hosts = re.findall(r"via \S*[.:](\d+) ", shown)
        return {f"s{int(host) - 10}" for host in hosts}

    def wait_announcing(self, names, timeout=10):
        names = set(names)
        for router in self.routers:
            for family in (4, 6):
                wait_until(lambda: self.announcing(router, family) == names,
                           f"{router.name} to send IPv{family} to {sorted(names)}", timeout, 0.01)

    def send_all_to(self, server):
        """Move the route at the routers themselves, before what BGP says, in one step each."""
        host = 11 + self.servers.index(server)
        for router in self.routers:
            for family in (4, 6):
                router.run("ip", f"-{family}", "route", "replace", ANYCAST[family], "via",
                           LAN[family].format(host), "dev", "lan", "metric", 1)

    def follow_bgp(self):
        """Take back what send_all_to() did."""
        for router in self.routers:
            for family in (4, 6):
                router.run("ip", f"-{family}", "route", "del", ANYCAST[family], "metric", 1)

    def spray(self, on=True):
        """
        The routers send each packet to any server, whatever its flow.  Firewall mark i leads to
        server i.  Packets must be single: offloads end at the clients' own cables.
        """
        for client in self.clients:
            client.run("ethtool", "-K", "lan", "gso", "off", "tso", "off",
                       "tx-udp-segmentation", "off")
        for router in self.routers:
            for i in range(1, len(self.servers) + 1):
                for family in (4, 6):
                    router.run("ip", f"-{family}", "rule", "add" if on else "del", "fwmark", i,
                               "lookup", 100 + i)
                    if on:
                        router.run("ip", f"-{family}", "route", "replace", ANYCAST[family], "via",
                                   LAN[family].format(10 + i), "dev", "lan", "table", 100 + i)
            mark = f"meta mark set numgen random mod {len(self.servers)} offset 1"
            router.nft(f"""
                table inet spray
                delete table inet spray
                table inet spray {{
                    chain pre {{
                        type filter hook prerouting priority mangle;
                        ip daddr {ANYCAST[4]} {mark}
                        ip6 daddr {ANYCAST[6]} {mark}
                    }}
                }}""" if on else "delete table inet spray")

    def cut_off(self, server):
        """The whole machine goes dark, without a word and without losing its own link."""
        self.darken(f'iifname "{server.name}" drop', f'oifname "{server.name}" drop')

    def split(self, *groups):
        """Nothing passes between these groups of names but what routers bring."""
        sets = ["{ " + ", ".join(f'"{name}"' for name in group) + " }" for group in groups]
        self.darken(*(f"iifname {one} oifname {other} drop"
                      for one, other in itertools.permutations(sets, 2)))

    def darken(self, *rules):
        rules = "\n".join(rules)
        self.sw.nft(f"""
            table bridge dark {{
                chain forward {{
                    type filter hook forward priority 0;
                    {rules}
                }}
            }}""")

    def reconnect(self):
        self.sw.run("nft", "delete", "table", "bridge", "dark")

    # ---- daemons ----

    def make_servers(self, **settings):
        """A daemon for each server; of one cluster and operator, with one list of clients."""
        first = None
        for i, node in enumerate(self.servers, 1):
            daemon = Server(self.lab, node, [f"{INNER4['s']}/16", f"{INNER6['s']}/64"],
                            listen=(ANYCAST[4], ANYCAST[6]), name=node.name, number=i,
                            Anycast_Announce="yes", **settings)
            first = first or daemon
            daemon.set(Server_ClusterKeyFile=first.cluster_key,
                       Server_OperatorKey=first.operator_public,
                       Server_Clients=first.clients_file)
            self.daemons.append(daemon)
        return self.daemons

    def start_servers(self, **settings):
        """All servers, announced at both routers."""
        for daemon in self.make_servers(**settings):
            daemon.start()
        self.wait_announcing(node.name for node in self.servers)

    def start_nats(self, count=3):
        """NATS on nodes of its own; .nats.settings() is for the servers."""
        nodes = {}
        for i in range(1, count + 1):
            node = self.lab.node(f"d{i}")
            self.plug(node, 50 + i)
            nodes[node] = LAN[4].format(50 + i)
        self.nats = Nats(self.lab, nodes)
        self.nats.start()

    def make_mesh(self, later=0):
        """Keys and unicast addresses for the servers, and the list of all but the last ones."""
        for i, daemon in enumerate(self.daemons, 1):
            daemon.mesh_key = private(self.lab, f"{daemon.name}-mesh.key", tool(TOOL, "genkey"))
            daemon.set(Mesh_Address=f"{LAN[4].format(10 + i)}:4445",
                       Mesh_PrivateKeyFile=daemon.mesh_key, Mesh_Servers=self.lab.path("servers"))
        for daemon in self.daemons[:len(self.daemons) - later]:
            self.add_to_list(daemon)

    def add_to_list(self, daemon):
        """The operator puts a server into the list, which the registry brings to all."""
        first, number = self.daemons[0], daemon.config["Server"]["Number"]
        with open(daemon.mesh_key) as key:
            public = tool(TOOL, "pubkey", input=key.read()).strip()
        first.node.run(TOOL, "server", "add", number, daemon.name, "-c", first.config_path,
                       "--mesh", f"{LAN[4].format(10 + number)}:4445", "--public-key", public,
                       "--operator-key", first.operator_key)

    def start_cluster(self, nats=3, later=0, outer=(4, 4), rights=(), **settings):
        """
        BIRD, NATS, all servers as one cluster, and both clients (.k1, .k2), connected; outer:
        the IP version in which each client talks to the servers.  The last servers, as many as
        `later` says, are made and not started (.later).
        """
        self.start_birds()
        self.start_nats(nats)
        self.make_servers(**self.nats.settings(), **settings)
        self.make_mesh(later)
        self.later = [self.daemons.pop() for _ in range(later)][::-1]
        for daemon in self.daemons:
            daemon.start()
        self.wait_announcing((daemon.name for daemon in self.daemons), 30)
        for daemon in self.daemons:
            wait_until(lambda: daemon.status()["registry"]["connected"],
                       f"{daemon.name} to be connected to NATS", 30)
        self.k1, self.k2 = (self.client(node, version, rights=("multicast", *rights))
                            for node, version in zip(self.clients, outer))
        for daemon in self.daemons:
            wait_until(lambda: daemon.status()["sessions"]["clients"] == 2,
                       f"{daemon.name} to know both clients", 30)
        for daemon in (self.k1, self.k2):
            daemon.start()
        for node, there in ((self.c1, "c2"), (self.c2, "c1")):
            wait_until(lambda: traffic.reaches(node, INNER4[there]),
                       f"{node.name} to reach {there} through the cluster", 20)
        return self

    def drops(self):
        """What each living daemon has dropped."""
        return {daemon.name: drops for daemon in (*self.daemons, self.k1, self.k2)
                if daemon.process.alive() and (drops := daemon.drops())}

    def settle(self):
        """
        Both clients have heard what servers there are on the way, and found the path MTU with
        them, which they look for while they have traffic; every server knows of it.
        """
        pings = [traffic.Ping(node, INNER4[there])
                 for node, there in ((self.c1, "c2"), (self.c2, "c1"))]
        for running in pings:
            running.wait_replies(15 * len(self.servers))
        probes = []

        def search_has_ended():
            probes.append([k.status()["events"]["probes"] for k in (self.k1, self.k2)])
            return len(probes) > 1 and probes[-1] == probes[-2]
        # Each waits 260 ms at most for its answer.
        wait_until(search_has_ended, "the clients to find their path MTU", 30, 0.6)
        for daemon in self.daemons:
            wait_until(lambda: all(daemon.sessions()[k.name]["down_mtu"]
                                   == k.status()["session"]["down_mtu"] for k in (self.k1, self.k2)),
                       f"{daemon.name} to know both sessions", 20)
        for running in pings:
            running.finish()

    def busiest(self):
        """The server that most packets go to now, while something runs."""
        living = [daemon for daemon in self.daemons if daemon.process.alive()]

        def received():
            return [daemon.status()["traffic"]["rx_datagrams"] for daemon in living]
        before = received()
        time.sleep(0.1)  # the interval over which it counts
        more = [now - then for now, then in zip(received(), before)]
        return living[more.index(max(more))]

    def registry_writes(self):
        """What all servers have written so far."""
        return sum(daemon.status()["registry"]["writes"] for daemon in self.daemons)

    def events(self):
        """The events of all living servers, added up."""
        sums = collections.Counter()
        for daemon in self.daemons:
            if daemon.process.alive():
                sums.update(daemon.status()["events"])
        return sums

    def client(self, node, outer=4, **settings):
        """A client's daemon; not started."""
        return Client(self.daemons[0], node, [INNER4[node.name], INNER6[node.name]],
                      server_address=ANYCAST[outer], **settings)


class RouteWatch:
    """Notes when a router's anycast routes change."""

    def __init__(self, router):
        self.router = router.name
        self.process = router.spawn(f"routes-{router.name}", "ip", "-ts", "monitor", "route")
        # It is there once it reports a route of our own making.
        def reports():
            router.ip("route add 203.0.113.99/32 dev lo")
            router.ip("route del 203.0.113.99/32 dev lo")
            return "203.0.113.99" in self.process.log()
        wait_until(reports, f"ip monitor on {router.name}")

    def changes(self, family):
        """Unix times of the changes of the anycast route so far."""
        found = re.findall(r"\[([\dT:.-]+)\] (?:Deleted )?" + re.escape(ANYCAST[family]) + r"\b",
                           self.process.log())
        return [time.mktime(time.strptime(t.split(".")[0], "%Y-%m-%dT%H:%M:%S"))
                + float("0." + t.split(".")[1]) for t in found]

    def seconds_until_change(self, since, family, timeout=15):
        """From `since` (Unix time) to the first change after it."""
        def look():
            return [t for t in self.changes(family) if t > since]
        return wait_until(look, "the router to change its route", timeout, 0.01)[0] - since

    def moved(self, since):
        """Seconds until the routes of both families have changed."""
        return max(self.seconds_until_change(since, family) for family in (4, 6))


class Stream:
    """stream.py, or another such program, on a node; finish() ends it and returns its report."""

    def __init__(self, node, *words, program="stream.py"):
        name = "-".join([words[0], node.name, *(str(w) for w in words[1:3])])
        self.process = node.spawn(re.sub(r"[^\w.-]", "_", name), sys.executable, "-u",
                                  os.path.join(HERE, program), *words)
        self.process.wait_log("ready")

    def finish(self, timeout=30):
        if self.process.alive():
            self.process.kill(signal.SIGTERM)
        self.process.wait(timeout)
        return self.result()

    def wait(self, timeout):
        """Of one that ends by itself."""
        self.process.wait(timeout)
        return self.result()

    def result(self):
        last = self.process.log().strip().splitlines()[-1]
        try:
            return json.loads(last)
        except ValueError:
            raise LabError(f"{self.process.name}:\n{self.process.log()}") from None
