# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""The registry: clients enrolled once for all servers, and servers that tell each other of sessions.

    c1 (10.0.0.31), c2 (.32) ──┐       ┌── s1 (10.0.0.11), s2 (.12)     anyrelayd
                               ├─ lan ─┤
           admin (10.0.0.41) ──┘       └── n1 (10.0.0.21), n2, n3       nats-server

Each server has a listen address of its own, so that it is known which one a client talks to.
"""

import os
import signal
import time

import pytest

import traffic
import values
from anyrelay import Client, Server
from lab import Lab, wait_until
from nats import Admin, Nats
from values import CLIENTS, DIGESTS, SESSIONS

INNER = {"s1": "10.7.0.1", "s2": "10.7.0.1", "c1": "10.7.0.2", "c2": "10.7.0.3"}
HOSTS = {"s1": 11, "s2": 12, "n1": 21, "n2": 22, "n3": 23, "c1": 31, "c2": 32, "admin": 41}


class RegistryNet:
    """Nodes as attributes, NATS running, both servers' daemons made (.k1, .k2)."""

    def __init__(self, lab, secure=False, **settings):
        self.lab = lab
        lan = lab.node("lan")
        lan.ip("link add lan type bridge")
        lan.ip("link set lan up")
        for name, host in HOSTS.items():
            node = lab.node(name)
            lab.link(node, "lan", lan, name)
            lan.ip(f"link set {name} master lan")
            node.address("lan", f"10.0.0.{host}/24")
            setattr(self, name, node)
        self.nats = Nats(lab, {node: f"10.0.0.{HOSTS[node.name]}"
                               for node in (self.n1, self.n2, self.n3)}, secure)
        self.admin_node = self.admin
        self.admin = Admin(self.admin_node, "10.0.0.21")
        self.nats.start()
        self.k1 = self.server(self.s1, 1, **settings)
        self.k2 = self.server(self.s2, 2, like=self.k1, **settings)

    def server(self, node, number, like=None, name=None, **settings):
        daemon = Server(self.lab, node, ["10.7.0.1/16"], listen=(f"10.0.0.{HOSTS[node.name]}",),
                        name=name or node.name, number=number,
                        **{**self.nats.settings(), **settings})
        if like:
            daemon.operator_key = like.operator_key
            daemon.set(Server_ClusterKeyFile=like.cluster_key,
                       Server_OperatorKey=like.operator_public)
        return daemon

    def client(self, node, server, addresses=None, **settings):
        return Client(server, node, addresses or [INNER[node.name]],
                      server_address=f"10.0.0.{HOSTS[server.node.name]}", **settings)

    def start(self):
        for daemon in (self.k1, self.k2):
            daemon.start()
        for daemon in (self.k1, self.k2):
            wait_until(lambda: registry(daemon)["connected"], f"{daemon.name} to be connected", 30)
        return self


def registry(daemon):
    return daemon.status()["registry"]


def wait_count(daemon, what, more_than, timeout=10):
    wait_until(lambda: registry(daemon)[what] > more_than,
               f"{daemon.name} to have counted more than {more_than} as {what}", timeout)


def knows(daemon, count):
    """Wait until the server knows so many clients."""
    wait_until(lambda: daemon.status()["sessions"]["clients"] == count,
               f"{daemon.name} to know {count} clients")


def has_session(daemon, name, sid=None, timeout=15):
    """Wait until the server has a session (this one) of the client, and return it."""
    def look():
        session = daemon.sessions().get(name)
        return session if session and sid in (None, session["sid"]) else None
    return wait_until(look, f"{daemon.name} to know where {name} is", timeout)


def new_session(net, client, name, server=None):
    """Restart the client; the id of its new session, once that server has it."""
    server = server or net.k1
    old = server.sessions()[name]["sid"]
    client.stop()
    client.start()
    return wait_until(lambda: (s := server.sessions()[name]["sid"]) != old and s,
                      f"a new session of {name}")


def beside(net, name):
    """A third server, new and empty, on the node of the second."""
    return net.server(net.s2, 3, like=net.k1, name=name, Tunnel_Device="any3", Server_Port=4447,
                      Tunnel_Address="10.66.0.1/16", Metrics_Listen="no")


def newest_client(net):
    """The index of the client that was enrolled last."""
    return str(max(int(key) for key in net.admin.keys(CLIENTS) if key.isdigit()))


@pytest.fixture(scope="module")
def net():
    with Lab("registry") as lab:
        made = RegistryNet(lab).start()
        made.d1, made.d2 = made.client(made.c1, made.k1), made.client(made.c2, made.k1)
        for daemon in (made.k1, made.k2):
            knows(daemon, 2)
        for daemon in (made.d1, made.d2):
            daemon.start()
        yield made


def test_enrolled_once_known_everywhere(net):
    for daemon in (net.k1, net.k2):
        for name, host in (("c1", 31), ("c2", 32)):
            assert has_session(daemon, name)["endpoint"].startswith(f"10.0.0.{host}:")
    assert registry(net.k2)["writes"] == 0
    assert 2 <= registry(net.k1)["writes"] <= 6, "a write or two for each session"
    traffic.ping(net.c1, INNER["c2"])
    assert net.admin.keys(SESSIONS) == ["1", "2", "alive.1", "alive.2"]


def test_removed_once_refused_everywhere(net):
    net.k2.enroll("gone", ["10.7.0.9"])
    for daemon in (net.k1, net.k2):
        knows(daemon, 3)
    net.k1.revoke("gone")
    for daemon in (net.k1, net.k2):
        knows(daemon, 2)


def test_values_of_an_admin_without_keys(net):
    """Forged, under another's key, set back, deleted: counted, not believed, and put right again."""
    admin, servers = net.admin, (net.k1, net.k2)
    sid = {name: has_session(net.k1, name)["sid"] for name in ("c1", "c2")}
    true = {(bucket, key): admin.get(bucket, key)
            for bucket in (CLIENTS, SESSIONS) for key in ("1", "2")}

    def attack(what, values, rises):
        before = [registry(daemon)[rises] for daemon in servers]
        for (bucket, key), value in values.items():
            admin.put(bucket, key, value) if value else admin.delete(bucket, key)
        for daemon, count in zip(servers, before):
            wait_count(daemon, rises, count + len(values) - 1)
            assert daemon.status()["sessions"]["clients"] == 2
            for name, value in sid.items():
                assert daemon.sessions()[name]["sid"] == value, what
        traffic.ping(net.c1, INNER["c2"])

    attack("forged", {place: os.urandom(len(value)) for place, value in true.items()}, "refused")
    attack("forged, short", {place: b"x" for place in true}, "refused")
    swapped = {(bucket, key): true[bucket, "2" if key == "1" else "1"] for bucket, key in true}
    attack("swapped", swapped, "refused")
    attack("crossed", {(SESSIONS, "1"): true[CLIENTS, "1"], (CLIENTS, "1"): true[SESSIONS, "1"]},
           "refused")
    attack("deleted", dict.fromkeys(true), "deleted")
    wait_until(lambda: admin.get(CLIENTS, "1") == true[CLIENTS, "1"]
               and admin.get(CLIENTS, "2") == true[CLIENTS, "2"], "the clients to be put right", 20)
    wait_until(lambda: admin.get(SESSIONS, "1") and admin.get(SESSIONS, "2"),
               "the sessions to be put right", 20)


def test_older_values_of_an_admin(net):
    admin, servers = net.admin, (net.k1, net.k2)
    old_session = admin.get(SESSIONS, "1")
    net.k1.enroll("later", ["10.7.0.10"])
    index = newest_client(net)
    enrolled = admin.get(CLIENTS, index)
    net.k1.revoke("later")
    removed = admin.get(CLIENTS, index)
    for daemon in servers:
        knows(daemon, 2)
    sid = new_session(net, net.d1, "c1")
    has_session(net.k2, "c1", sid)
    before = [registry(daemon)["stale"] for daemon in servers]
    admin.put(SESSIONS, "1", old_session)
    admin.put(CLIENTS, index, enrolled)
    for daemon, count in zip(servers, before):
        wait_count(daemon, "stale", count + 1)
        assert daemon.sessions()["c1"]["sid"] == sid
        assert daemon.status()["sessions"]["clients"] == 2
    wait_until(lambda: admin.get(SESSIONS, "1") != old_session, "the session to be put right", 20)
    wait_until(lambda: admin.get(CLIENTS, index) == removed, "the tombstone to be put right", 20)


def test_pages_of_digests(net):
    """The tool keeps them as the records are; without them, or with forged ones, all is as before."""
    def records():
        return {int(key): net.admin.get(CLIENTS, key) for key in net.admin.keys(CLIENTS)
                if key.isdigit()}

    keys = values.Keys(net.k1)
    assert net.admin.get(DIGESTS, "1") == values.page(keys, 1, records())
    forged = records()
    forged[1] = bytes([forged[1][0] ^ 1]) + forged[1][1:]
    bad = values.page(keys, 1, forged)[:-1] + b"x"
    net.admin.put(DIGESTS, "1", bad)
    net.admin.put(DIGESTS, "2", values.page(keys, 1, records()))
    known = net.k1.status()["sessions"]["clients"]
    k3 = beside(net, "digests")
    k3.start()
    knows(k3, known)
    assert registry(k3)["refused"] == 2
    k3.stop()
    net.k1.enroll("paged", ["10.7.0.12"])
    assert net.admin.get(DIGESTS, "1") == values.page(keys, 1, records())
    net.k1.revoke("paged")
    assert net.admin.get(DIGESTS, "1") == values.page(keys, 1, records())


def test_leader_is_stopped(net):
    """
    The node that leads a bucket stands still, as a machine that is migrated does, and goes on
    when another has taken its place: what was written meanwhile stays, whatever it believes.
    """
    def leader():
        return net.admin.leader(SESSIONS)

    old = wait_until(leader, "a leader", 20)
    node = next(node for node in net.nats.nodes if node.name == old)
    net.nats.processes[node].kill(signal.SIGSTOP)
    try:
        net.admin.address = next(a for n, a in net.nats.nodes.items() if n is not node)
        wait_until(lambda: leader() not in (None, old), "another leader", 60, 0.5)
        sid = new_session(net, net.d1, "c1")
        has_session(net.k2, "c1", sid, 60)
    finally:
        net.nats.processes[node].kill(signal.SIGCONT)
    wait_until(net.nats.healthy, "NATS to be whole again", 60, 0.2)
    again = new_session(net, net.d1, "c1")
    for daemon in (net.k1, net.k2):
        wait_until(lambda: registry(daemon)["connected"], f"{daemon.name} to be connected", 60)
        has_session(daemon, "c1", again, 60)
    wait_until(lambda: registry(net.k1)["queue"] == registry(net.k2)["queue"] == 0,
               "the queues to be empty", 60)
    views = [daemon.sessions()["c1"] for daemon in (net.k1, net.k2)]
    assert views[0]["sid"] == views[1]["sid"] == again
    assert views[0]["endpoint"] == views[1]["endpoint"], "one owner"
    traffic.ping(net.c1, INNER["c2"])


def test_nats_away(net):
    """All of NATS is stopped: what is known goes on, and new sessions; then everything converges."""
    running = traffic.Ping(net.c1, INNER["c2"])
    running.wait_replies(10)
    net.nats.kill()
    wait_until(lambda: not registry(net.k1)["connected"], "the loss to be noticed")
    running.wait_replies(50)
    sid = {"c2": new_session(net, net.d2, "c2"), "c1": new_session(net, net.d1, "c1")}
    assert registry(net.k1)["queue"] >= 2
    assert net.k2.sessions()["c2"]["sid"] != sid["c2"]
    running.finish()
    net.nats.start()
    begin = time.monotonic()
    for name, value in sid.items():
        has_session(net.k2, name, value, 60)
    print(f"\nconverged {time.monotonic() - begin:.1f} s after NATS was healthy")
    wait_until(lambda: registry(net.k1)["queue"] == 0, "the queue to be empty")
    traffic.ping(net.c1, INNER["c2"])


@pytest.mark.parametrize("kept", [True, False], ids=["older", "empty"])
def test_store_is_set_back(net, kept):
    """NATS comes back with what it had some time ago, or with nothing: acknowledged writes are lost."""
    net.nats.kill()
    net.nats.keep_store()
    net.nats.start()
    for daemon in (net.k1, net.k2):
        wait_until(lambda: registry(daemon)["connected"], f"{daemon.name} to be connected", 60)
    sid = new_session(net, net.d1, "c1")
    has_session(net.k2, "c1", sid)
    name = f"lost-{kept}"
    net.k1.enroll(name, ["10.7.0.11" if kept else "10.7.0.12"])
    known = net.k1.status()["sessions"]["clients"]
    index = newest_client(net)
    record = net.admin.get(CLIENTS, index)
    net.nats.kill()
    net.nats.restore_store(kept)
    net.nats.start()
    begin = time.monotonic()
    wait_until(lambda: net.admin.get(CLIENTS, index) == record, "the client to be there again", 90)
    wait_until(lambda: net.admin.get(SESSIONS, "1"), "the session to be there again", 60)
    print(f"\nhealed {time.monotonic() - begin:.1f} s after NATS was healthy")
    k3 = beside(net, f"new-{kept}")
    k3.start()
    has_session(k3, "c1", sid, 30)
    for daemon in (net.k1, net.k2, k3):
        knows(daemon, known)
    k3.stop()


def test_server_starts_while_nats_is_away(net):
    """It knows the clients that it knew, and tells nobody else's story."""
    known = net.k2.status()["sessions"]["clients"]
    net.nats.kill()
    net.k2.stop()
    net.k2.start()
    assert net.k2.status()["sessions"]["clients"] == known
    assert not registry(net.k2)["connected"]
    net.nats.start()
    wait_until(lambda: registry(net.k2)["connected"], "k2 to be connected", 60)


def test_cut_off(net):
    """A server that cannot reach NATS serves what it knows for MaxAge, and then nobody."""
    net.k2.stop()
    net.k2.set(Registry_MaxAge=10)
    net.k2.start()
    wait_until(lambda: registry(net.k2)["connected"], "k2 to be connected", 30)
    third = net.client(net.admin.node, net.k2, name="c3", addresses=["10.7.0.40"])
    third.start()
    has_session(net.k2, "c3")
    net.s2.nft("""
        table inet cut {
            chain out {
                type filter hook output priority 0;
                tcp dport 4222 drop
            }
            chain in {
                type filter hook input priority 0;
                tcp sport 4222 drop
            }
        }""")
    net.k1.revoke("c3")
    assert traffic.reaches(net.admin.node, "10.7.0.1"), "k2 cannot know of it yet"
    net.k2.wait_drop("cut_off", timeout=30)
    assert not traffic.reaches(net.admin.node, "10.7.0.1")
    net.k2.process.wait_log("nobody is served")
    net.s2.run("nft", "delete", "table", "inet", "cut")
    net.k2.process.wait_log("clients are served", 60)
    net.k2.wait_drop("revoked", timeout=20)
    assert not traffic.reaches(net.admin.node, "10.7.0.1"), "it has been removed"


def test_latency(net):
    """How long a server's write takes until it comes back, printed."""
    wait_until(lambda: "lag_ms" in registry(net.k1), "a heartbeat to come back")
    print(f"\nwrite to watcher, three replicas: s1 {registry(net.k1)['lag_ms']} ms, "
          f"s2 {registry(net.k2)['lag_ms']} ms")
    assert registry(net.k1)["lag_ms"] < 2000


def test_many(full):
    """A server that joins reads all clients and sessions; the values are made by other code."""
    count = 200_000 if full else 2_000
    with Lab("registry-many") as lab:
        net = RegistryNet(lab)
        net.k1.start()
        wait_until(lambda: registry(net.k1)["connected"], "k1 to be connected", 30)
        many = values.Many(lab, values.Keys(net.k1), count)
        clients = many.clients()
        net.admin.load(DIGESTS, many.pages())
        begin = time.monotonic()
        net.admin.load(CLIENTS, clients)
        wait_until(lambda: net.k1.status()["sessions"]["clients"] == count, "k1 to know all", 60)
        print(f"\n{count} clients while they are written: {count / (time.monotonic() - begin):.0f}/s")
        sessions = many.sessions()
        begin = time.monotonic()
        net.admin.load(SESSIONS, sessions)
        wait_until(lambda: net.k1.status()["sessions"]["known"] == count, "k1 to know all", 60)
        print(f"{count} sessions while they are written: {count / (time.monotonic() - begin):.0f}/s")
        begin = time.monotonic()
        net.k2.start()
        while (known := net.k2.status()["sessions"])["known"] < count:
            assert time.monotonic() < begin + 120, known
        seconds = time.monotonic() - begin
        print(f"a server that joins knows {count} clients and sessions after {seconds:.1f} s, "
              f"{2 * count / seconds:.0f} entries/s; {net.k2.process.memory_kb() // 1024} MB")
        net.k2.stop()
        begin = time.monotonic()
        net.k2.start()
        while (known := net.k2.status()["sessions"])["known"] < count:
            assert time.monotonic() < begin + 120, known
        print(f"again, with its own list of clients: {time.monotonic() - begin:.1f} s")
        for daemon in (net.k1, net.k2):
            status = registry(daemon)
            assert status["refused"] == status["conflicts"] == status["stale"] == 0


def test_tls_and_credentials(full):
    with Lab("registry-tls") as lab:
        net = RegistryNet(lab, secure=True).start()
        client = net.client(net.c1, net.k1)
        for daemon in (net.k1, net.k2):
            knows(daemon, 1)
        client.start()
        for daemon in (net.k1, net.k2):
            has_session(daemon, "c1")
        for node in list(net.nats.nodes)[:3 if full else 1]:
            net.nats.processes[node].stop(signal.SIGKILL)
            net.nats.start_one(node)
            net.nats.processes[node].wait_log("Server is ready", 30)
            wait_until(net.nats.healthy, "NATS to be whole again", 60, 0.2)
        sid = new_session(net, client, "c1")
        has_session(net.k2, "c1", sid, 30)
