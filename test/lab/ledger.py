# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""Where each packet of a UDP relay was lost: counted at the switch, in front of each server.

    sender ── NAT ── router ──┐ to s1, s2, s3 ┌── server ──┐ from s1, s2, s3 ── … ── receiver
                              └───── sw ──────┘            └── sw

What udppeer.c sends as numbers is told from its greetings by its length.  "in" is counted before
a machine that is dark (ClusterNet.cut_off) takes nothing more, "out" behind that.  For each
direction

    lost = sent − received = on the way there + in the servers + on the way back

The kernel also throws packets away by itself where a CPU's queue for cables between namespaces
overflows; of those it tells how many, for the whole machine.
"""

import collections
import json
import time

from lab import wait_until

LENGTH = 8 + 172  # of a UDP packet with a number
Row = collections.namedtuple("Row", "sent received servers")
Server = collections.namedtuple("Server", "into out")


def queue_overflows():
    """Packets that the kernel had no room for between devices, since it runs."""
    with open("/proc/net/softnet_stat") as lines:
        return sum(int(line.split()[1], 16) for line in lines)


class Ledger:
    """Counts from now on; side 0 of the relay is x, 1 is y."""

    def __init__(self, net, relay):
        self.net, self.names = net, [server.name for server in net.servers]
        self.overflows = -queue_overflows()
        routers = ", ".join(f'"{router.name}"' for router in net.routers)
        names = [f"{way}_{name}_{side}" for way in ("in", "out") for name in self.names
                 for side in (0, 1)]
        # x sends to its own port of the relay, and y is sent to from y's.
        into = [f'iifname {{ {routers} }} oifname "{name}" udp dport {relay.port[side]} '
                f'udp length {LENGTH} counter name in_{name}_{side}'
                for name in self.names for side in (0, 1)]
        out = [f'iifname "{name}" oifname {{ {routers} }} udp sport {relay.port[1 - side]} '
               f'udp length {LENGTH} counter name out_{name}_{side}'
               for name in self.names for side in (0, 1)]
        net.sw.nft("table bridge ledger\ndelete table bridge ledger\ntable bridge ledger {\n"
                   + "".join(f"counter {name} {{ }}\n" for name in names)
                   + "chain before { type filter hook forward priority -10;\n" + "\n".join(into)
                   + "\n}\nchain behind { type filter hook forward priority 10;\n" + "\n".join(out)
                   + "\n}\n}\n")

    def read(self):
        """{counter: packets}"""
        shown = json.loads(self.net.sw.run("nft", "-j", "list", "counters", "table", "bridge",
                                           "ledger"))
        return {c["counter"]["name"]: c["counter"]["packets"]
                for c in shown["nftables"] if "counter" in c}

    def sent_to(self, name):
        counters = self.read()
        return sum(counters[f"in_{name}_{side}"] for side in (0, 1))

    def busiest(self, names):
        """Of these servers the one that is sent most now."""
        before = {name: self.sent_to(name) for name in names}
        time.sleep(0.1)  # the interval over which it counts
        return max(names, key=lambda name: self.sent_to(name) - before[name])

    def wait_silent(self, name):
        """Nobody sends anything to this server any more; how much it was until then."""
        counts = [None]

        def same():
            counts.append(self.sent_to(name))
            return counts[-1] == counts[-2]
        wait_until(same, f"the routers to send nothing to {name}", interval=0.1)
        return counts[-1]

    def close(self, results):
        """results: finish_pair()'s.  What of each direction was lost, and where."""
        counters = self.read()
        self.overflows += queue_overflows()
        self.rows = [Row(sent, got["received"],
                         {name: Server(counters[f"in_{name}_{side}"], counters[f"out_{name}_{side}"])
                          for name in self.names})
                     for side, (sent, got) in enumerate(reversed(results))]
        self.net.sw.run("nft", "delete", "table", "bridge", "ledger")
        return self

    def lost(self):
        return sum(row.sent - row.received for row in self.rows)

    def lost_in(self, *names):
        return sum(row.servers[name].into - row.servers[name].out for row in self.rows
                   for name in names)

    def describe(self):
        lines = []
        for row, to in zip(self.rows, ("x → y", "y → x")):
            into = sum(server.into for server in row.servers.values())
            out = sum(server.out for server in row.servers.values())
            shares = ", ".join(f"{name} {server.into:,}" + (f" ({server.into - server.out} lost)"
                                                          if server.into != server.out else "")
                               for name, server in row.servers.items())
            lines.append(f"{to}: {row.sent:,} sent, {row.sent - into} lost on the way there, "
                         f"{into - out} in the servers, {out - row.received} on the way back; "
                         f"{shares}")
        return "\n".join(lines) + (f"\n{self.overflows} lost in the kernel's own queues"
                                   if self.overflows else "")
