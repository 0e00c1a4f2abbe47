# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""What it costs that servers are a cluster: what they tell NATS and each other, and when.

Three servers, two routers, two clients behind NATs, three NATS nodes (test/lab/cluster.py).  In
each row something happens for a while; meanwhile are counted

  records      session and client records written, as an outsider sees who watches the buckets;
               bytes: theirs
  messages     that brought them to NATS and to the servers, as the servers count them
  mesh         packets between servers that are no heartbeats, as the servers count them
  NATS msg/s   messages between servers and NATS, both ways, as NATS counts them (/connz); KB/s
               their bytes; "inside" what NATS nodes tell each other on top of that (/varz)
  mesh pkt/s   packets between servers, and their bytes

The first four are for each flip, packet or session.  The others are rates, and heartbeats are
among them, which go on whatever happens: the first row is what those cost.
"""

import collections
import itertools
import json
import shutil
import time

import traffic
import values
from cluster import INNER4, ClusterNet, Stream
from lab import Lab, LabError, wait_until
from nats import HTTP_PORT, Admin
from values import CLIENTS, DIGESTS, SESSIONS

UDP = 7001
FLIP_EACH = 0.5  # s: time enough for traffic to go that way
Size = collections.namedtuple("Size", "seconds packets rate flips sessions known")
FULL = Size(20, 200_000, 10_000, 30, 10, 200_000)
QUICK = Size(5, 20_000, 5_000, 9, 3, 2_000)


class Counts(collections.Counter):
    """What has been counted so far; .at is when."""

    at = 0.0

    def since(self, before):
        """The difference; .seconds long."""
        out = Counts({key: self[key] - before[key] for key in self})
        out.seconds = self.at - before.at
        return out


class Meter:
    """Looks at a cluster from all sides."""

    def __init__(self, net):
        self.net = net
        self.admin = Admin(*next(iter(net.nats.nodes.items())))
        self.watchers = []
        self.watch()

    def watch(self):
        """From now on.  Nobody watches while the buckets are filled: NATS cuts off who is slow."""
        self.unwatch()
        self.watchers = [self.admin.watch(bucket) for bucket in (CLIENTS, SESSIONS)]

    def unwatch(self):
        for watcher in self.watchers:
            watcher.stop()

    def records(self):
        """Sizes of all records written since watch(); heartbeats are not records."""
        if not all(watcher.alive() for watcher in self.watchers):
            raise LabError("NATS has cut off who watched the buckets")
        lines = (line.split() for watcher in self.watchers for line in watcher.log().splitlines())
        return [int(line[2]) for line in lines if line[0] != "ready" and line[1][0].isdigit()]

    def monitored(self, what):
        """NATS's own monitoring, of each node."""
        return [json.loads(node.run("curl", "-sf", f"http://127.0.0.1:{HTTP_PORT}/{what}"))
                for node in self.net.nats.nodes]

    def connections(self):
        return [c for shown in self.monitored("connz") for c in shown["connections"]
                if c.get("name", "").startswith("anyrelay server")]

    def count(self):
        out = Counts()
        out.at = time.monotonic()
        sizes, connections, nodes = self.records(), self.connections(), self.monitored("varz")
        out["records"], out["record_bytes"] = len(sizes), sum(sizes)
        for unit in ("msgs", "bytes"):
            both = (f"in_{unit}", f"out_{unit}")
            out[f"nats_{unit}"] = sum(c[key] for c in connections for key in both)
            out[f"inside_{unit}"] = sum(n[key] for n in nodes for key in both) - out[f"nats_{unit}"]
        for daemon in self.net.daemons:
            registry = daemon.status()["registry"]
            out["messages"] += registry["writes"] + registry["received"]
            mesh = json.loads(daemon.ask("servers", "--json"))["mesh"]
            out["mesh_packets"] += mesh["packets_out"]
            out["mesh_bytes"] += mesh["bytes_out"]
            out["mesh_others"] += mesh["packets_in"] - mesh["heartbeats"]
        return out


class Costs:
    """The experiments, in order: rows() makes (what, how many, Counts)."""

    def __init__(self, lab, size):
        self.size = size
        self.net = ClusterNet(lab).start_cluster()
        self.meter = Meter(self.net)

    def pings(self, name):
        return [traffic.Ping(node, INNER4[there], name=f"{name}-{node.name}")
                for node, there in ((self.net.c1, "c2"), (self.net.c2, "c1"))]

    def wait_quiet(self):
        """Until nothing is written any more of what has been begun."""
        last = [None]

        def same():
            before, last[0] = last[0], self.meter.records()
            return before == last[0]
        wait_until(same, "no record to be written for 2 s", 60, 2)

    def warm(self):
        """Traffic by way of all servers, until the clients have found the path MTU with each."""
        pings = self.pings("warm")
        for ping in pings:
            ping.wait_replies(100)
        self.wait_quiet()
        for ping in pings:
            ping.finish()

    def over(self, act):
        before = self.meter.count()
        act()
        return self.meter.count().since(before)

    def wait(self):
        time.sleep(self.size.seconds)  # the interval that it is about

    def flips(self):
        """All of both clients' packets go to another server, again and again."""
        pings = self.pings("flip")
        for server in itertools.islice(itertools.cycle(self.net.servers), self.size.flips):
            self.net.send_all_to(server)
            time.sleep(FLIP_EACH)
        self.net.follow_bgp()
        for ping in pings:
            sent, received = ping.finish()
            if received < sent:
                raise LabError(f"{sent - received} of {sent} pings were lost at flips")

    def packets(self):
        """From c1 to c2, each by way of any server."""
        sink = Stream(self.net.c2, "udp-sink", INNER4["c2"], UDP)
        count, rate = self.size.packets, self.size.rate
        Stream(self.net.c1, "udp-send", INNER4["c2"], UDP, rate, count).wait(60 + 2 * count / rate)
        received = sink.finish()["received"]
        if received < count:
            raise LabError(f"{count - received} of {count} packets were lost")

    def sessions(self):
        """c1's daemon starts again, and all servers know where it is."""
        for _ in range(self.size.sessions):
            old = self.net.daemons[0].sessions()["c1"]["sid"]
            self.net.k1.stop()
            self.net.k1.start()
            for daemon in self.net.daemons:
                wait_until(lambda: daemon.sessions()["c1"]["sid"] != old,
                           f"{daemon.name} to know of c1's new session", 30)

    def knows_all(self, daemon, what, timeout=120):
        """Wait until it knows so many "clients", or of so many their sessions ("known")."""
        wait_until(lambda: daemon.status()["sessions"][what] >= self.size.known,
                   f"{daemon.name} to know all: {what}", timeout, 0.02)

    def load(self):
        """Many clients and their sessions, made by other code than the daemon's, into NATS."""
        many = values.Many(self.net.lab, values.Keys(self.net.daemons[0]), self.size.known)
        self.meter.unwatch()
        for bucket, make, what in ((CLIENTS, many.clients, "clients"),
                                   (SESSIONS, many.sessions, "known")):
            self.meter.admin.load(bucket, make())
            for daemon in self.net.daemons:
                self.knows_all(daemon, what)
        self.meter.admin.load(DIGESTS, many.pages())
        self.meter.watch()

    def join(self):
        """A server that has lost its disk starts: seconds until it is announced, and knows all."""
        daemon = self.net.daemons[-1]
        daemon.stop()
        shutil.rmtree(daemon.directory)
        daemon.make_directory()
        begin = time.monotonic()
        daemon.start()
        self.knows_all(daemon, "known")
        knows = time.monotonic() - begin
        self.net.wait_announcing((node.name for node in self.net.servers), 60)
        return {"knows_s": knows, "announced_s": time.monotonic() - begin,
                "memory_mb": daemon.process.memory_kb() // 1024}

    def rows(self):
        size = self.size
        self.wait_quiet()
        yield "nothing", 0, self.over(self.wait)
        yield "flips, servers not heard before", size.flips, self.over(self.flips)
        self.net.spray()
        self.warm()
        yield "packets, each to any server", size.packets, self.over(self.packets)
        self.net.spray(False)
        yield "flips, path MTU known", size.flips, self.over(self.flips)
        yield "new sessions", size.sessions, self.over(self.sessions)
        self.load()
        yield "idle sessions", size.known, self.over(self.wait)


# key of Counts, and heading: for each thing that happened
EACH = [("records", "records"), ("record_bytes", "bytes"), ("messages", "messages"),
        ("mesh_others", "mesh")]
# and a second, in units of so many
RATES = [("nats_msgs", "NATS msg/s", 1), ("nats_bytes", "KB/s", 1e3),
         ("inside_bytes", "inside KB/s", 1e3), ("mesh_packets", "mesh pkt/s", 1),
         ("mesh_bytes", "KB/s", 1e3)]


def cells(what, number, counts):
    """A row of the table."""
    name = f"{number:,} {what}" if number else what
    return ([name] + [f"{counts[key] / max(number, 1):.3g}" for key, _ in EACH]
            + [f"{counts[key] / unit / counts.seconds:,.1f}" for key, _, unit in RATES])


def heads():
    return [""] + [head for _, head in EACH] + [head for _, head, _ in RATES]


def costs_nothing(rows):
    """A packet and an idle session: no record of them is written anywhere."""
    return all(counts["records"] == 0 for what, _, counts in rows
               if what.startswith(("packets", "idle")))


def measure(size):
    """All of it: rows of the table before they are cells, and what a joining server took."""
    with Lab("cost") as lab:
        costs = Costs(lab, size)
        rows = []
        for what, number, counts in costs.rows():
            print(f"cluster: {number:,} {what} …", flush=True)
            rows.append((what, number, counts))
        joined = costs.join()
    return rows, joined
