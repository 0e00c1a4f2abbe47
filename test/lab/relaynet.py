# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""Two hosts and a server whose kernel relays between them, with or without the relay program.

    x ─────────────── r ─────────────── y
    198.51.100.2      192.0.2.1         203.0.113.2
    2001:db8:1::2     2001:db8:a::1     2001:db8:2::2

The anycast addresses are routed to r and are on none of its devices.
"""

import json
import os

from lab import BUILD, wait_until

HELPER = os.path.join(BUILD, "test", "bpf", "relay_lab")
OWN = {4: "192.0.2.1", 6: "2001:db8:a::1"}
Y = {4: "203.0.113.2", 6: "2001:db8:2::2"}


class RelayNet:
    def __init__(self, lab):
        self.lab = lab
        self.x, self.r, self.y = (lab.node(name) for name in "xry")
        self.r.forward()
        for node, net4, net6 in ((self.x, "198.51.100", "2001:db8:1"),
                                 (self.y, "203.0.113", "2001:db8:2")):
            device = node.name
            lab.link(node, "wan", self.r, f"to-{device}")
            node.address("wan", f"{net4}.2/24", f"{net6}::2/64")
            self.r.address(f"to-{device}", f"{net4}.1/24", f"{net6}::1/64")
            node.route(f"default via {net4}.1", f"default via {net6}::1")

    def relays(self, *relays):
        """Start the program with relays, each (protocol, caller's family, port, to, out port)."""
        words = [word for relay in relays for word in relay]
        self.helper = self.r.spawn("relay", HELPER, "to-x,to-y", OWN[4], OWN[6], "5000-5999",
                                   *words)
        self.helper.wait_log("ready")
        return self.helper

    def totals(self):
        """Stop the program; its counters."""
        self.helper.stop()
        return json.loads(self.helper.log().splitlines()[-1])

    def narrow(self, mtu):
        """The way to x takes no more, and only r knows."""
        self.r.ip(f"link set dev to-x mtu {mtu}")

    def nft(self, protocol, port):
        """The same as a relay from port 5000, by the kernel's own translation."""
        self.r.nft(f"""
            table ip relay {{
                chain pre {{
                    type nat hook prerouting priority dstnat;
                    ip daddr {OWN[4]} {protocol} dport 5000 dnat to {Y[4]}:{port}
                }}
                chain post {{
                    type nat hook postrouting priority srcnat;
                    ip daddr {Y[4]} {protocol} dport {port} snat to {OWN[4]}:6000
                }}
            }}""")


def endpoint(family, port):
    return f"{Y[4]}:{port}" if family == 4 else f"[{Y[6]}]:{port}"


def wait_listens(node, port, protocol):
    wait_until(lambda: node.listens(port, protocol), f"{node.name} to listen on {port}")
