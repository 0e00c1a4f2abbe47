# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""The network of most labs: two clients, each behind its own NAT, and a server.

    c1 ──────────── n1 ─────────────── wan ─────────────── s ────────────── h
    10.1.0.2        198.51.100.2       │  203.0.113.1      203.0.113.7      10.9.0.2
    fd01::2         2001:db8:1::2      │  2001:db8:7::1    2001:db8:7::7    fd09::2
                                       │
    c2 ──────────── n2 ────────────────┘
    10.1.0.2        198.51.100.6
    fd01::2         2001:db8:2::2

n1 and n2 masquerade IPv4 and IPv6 and drop what conntrack calls invalid; both homes use the
same private addresses.  h is a host on a network attached to the server.  Inside the tunnel
(10.7.0.0/16, fd07::/64) the server is 10.7.0.1 and fd07::1, c1 has .2, c2 has .3.
"""

from anyrelay import Client, Server
from lab import wait_until
from traffic import reaches

SERVER4, SERVER6 = "203.0.113.7", "2001:db8:7::7"
INNER4 = {"s": "10.7.0.1", "c1": "10.7.0.2", "c2": "10.7.0.3", "c3": "10.7.0.4"}
INNER6 = {"s": "fd07::1", "c1": "fd07::2", "c2": "fd07::3", "c3": "fd07::4"}
ATTACHED = {4: "10.9.0.2", 6: "fd09::2"}
NETWORKS = ["10.9.0.0/24", "fd09::/64"]


class TwoNats:
    """Nodes as attributes, cables and addresses in place, no daemon yet."""

    def __init__(self, lab):
        self.lab = lab
        for name in ("c1", "n1", "c2", "n2", "wan", "s", "h"):
            setattr(self, name, lab.node(name))
        self.wan.forward()
        self.home(self.c1, self.n1, 1, 2)
        self.home(self.c2, self.n2, 2, 6)
        lab.link(self.wan, "s", self.s, "wan")
        self.wan.address("s", "203.0.113.1/24", "2001:db8:7::1/64")
        self.s.address("wan", f"{SERVER4}/24", f"{SERVER6}/64")
        self.s.route("default via 203.0.113.1", "default via 2001:db8:7::1")
        lab.link(self.s, "lan", self.h, "lan")
        self.s.address("lan", "10.9.0.1/24", "fd09::1/64")
        self.h.address("lan", f"{ATTACHED[4]}/24", f"{ATTACHED[6]}/64")
        self.h.route("default via 10.9.0.1", "default via fd09::1")
        self.s.forward()

    def home(self, client, nat, net, host):
        """A client behind its NAT; host is the last byte of the NAT's address."""
        self.lab.link(client, "lan", nat, "lan")
        self.lab.link(nat, "wan", self.wan, nat.name)
        client.address("lan", "10.1.0.2/24", "fd01::2/64")
        nat.address("lan", "10.1.0.1/24", "fd01::1/64")
        nat.address("wan", f"198.51.100.{host}/30", f"2001:db8:{net}::2/64")
        self.wan.address(nat.name, f"198.51.100.{host - 1}/30", f"2001:db8:{net}::1/64")
        client.route("default via 10.1.0.1", "default via fd01::1")
        nat.route(f"default via 198.51.100.{host - 1}", f"default via 2001:db8:{net}::1")
        self.lab.nat(nat, "wan")

    def make_server(self, **settings):
        """The server's daemon, with both families outside and inside; not started."""
        return Server(self.lab, self.s, [f"{INNER4['s']}/16", f"{INNER6['s']}/64"],
                      listen=(SERVER4, SERVER6), Tunnel_Networks=NETWORKS, **settings)

    def client(self, server, node, outer=4, **settings):
        """A client's daemon, which reaches the server over one family; not started."""
        settings.setdefault("rights", ("multicast",))
        return Client(server, node, [INNER4[node.name], INNER6[node.name]],
                      server_address=SERVER4 if outer == 4 else SERVER6, **settings)

    def up(self, outer=4, **settings):
        """Start server (.server) and clients (.k1, .k2), and wait until they reach each other."""
        self.server = self.make_server(**settings)
        self.k1 = self.client(self.server, self.c1, outer)
        self.k2 = self.client(self.server, self.c2, outer)
        for daemon in (self.server, self.k1, self.k2):
            daemon.start()
        self.wait_connected()
        return self

    def wait_connected(self, timeout=10):
        for node, address in ((self.c1, INNER4["s"]), (self.c2, INNER4["s"]),
                              (self.c1, INNER4["c2"])):
            wait_until(lambda: reaches(node, address),
                       f"{node.name} to reach {address} through the tunnel", timeout)

    def stranger(self, name):
        """One more node on a cable to wan: 192.0.2.2 and 2001:db8:9::2."""
        node = self.lab.node(name)
        self.lab.link(node, "wan", self.wan, name)
        node.address("wan", "192.0.2.2/30", "2001:db8:9::2/64")
        self.wan.address(name, "192.0.2.1/30", "2001:db8:9::1/64")
        node.route("default via 192.0.2.1", "default via 2001:db8:9::1")
        return node
