# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""The anycast address lives with the daemon; the network learns at once that it has gone.

    c1 ── n1 ── r1 ──┐      ┌── s1
                     ├─ sw ─┼── s2        BIRD on r1, r2 and the servers: packaging/bird
    c2 ── n2 ── r2 ──┘      └── s3        addresses: cluster.py

What a lab here sends goes to an ordinary service on the anycast address, beside the tunnel:
which server answers, what is lost, and what a dying one says to the client.
"""

import contextlib
import os
import re
import signal
import socket
import sys
import threading
import time

import pytest

from cluster import ANYCAST, ClusterNet, RouteWatch, Stream
from hold import held, worker_thread
from lab import Lab, wait_until

ECHO, TRANSPORT = 7007, 4444
MARK = 0x616e79


@pytest.fixture(scope="module")
def net():
    with Lab("routing") as lab:
        made = ClusterNet(lab)
        made.start_birds()
        made.start_servers()
        for node in made.servers:
            for family in (4, 6):
                Stream(node, "udp-echo", ANYCAST[family], ECHO, node.name)
        yield made


@pytest.fixture
def whole(net):
    """The cluster; afterwards all of it must be announced again."""
    yield net
    all_again(net)


class Ears:
    """Counts, where packets come to n1 from outside, what a dying server might say."""

    WORDS = {"unreachable4": "icmp type destination-unreachable",
             "unreachable6": "icmpv6 type destination-unreachable",
             "looped4": "icmp type time-exceeded", "looped6": "icmpv6 type time-exceeded",
             "reset": "tcp sport 4444 tcp flags & rst != 0",
             "fin": "tcp sport 4444 tcp flags & fin != 0"}

    def __init__(self, node):
        self.node = node
        rules = "\n".join(f'iifname "wan" {match} counter comment "{name}"'
                          for name, match in self.WORDS.items())
        node.nft(f"""
            table inet ears
            delete table inet ears
            table inet ears {{
                chain pre {{
                    type filter hook prerouting priority raw;
                    {rules}
                }}
            }}""")

    def heard(self):
        listed = self.node.run("nft", "list", "table", "inet", "ears")
        counts = re.findall(r'counter packets (\d+) bytes \d+ comment "(\w+)"', listed)
        return {name: int(n) for n, name in counts if int(n)}


def ask(net, rate=300):
    return [Stream(net.c1, "udp-ask", ANYCAST[family], ECHO, rate) for family in (4, 6)]


def finish(streams):
    """Their reports added up: (lost, errors, longest stall)."""
    reports = [stream.finish() for stream in streams]
    assert all(report["received"] for report in reports)
    return (sum(report["sent"] - report["received"] for report in reports),
            [error for report in reports for error in report["errors"]],
            max(report["stall"] for report in reports))


def guard_table(node):
    return node.run("nft", "list", "table", "inet", "anyguard-any0")


def guarded(node):
    """Packets that the guard has dropped since it was made."""
    return sum(map(int, re.findall(r"counter packets (\d+)", guard_table(node))))


def alone(net, server):
    """Only this server announces, so what c1 sends leads there."""
    for daemon in net.daemons:
        daemon.ask("undrain" if daemon.node is server else "drain")
    net.wait_announcing([server.name])


def all_again(net):
    for daemon in net.daemons:
        if not daemon.process.alive():
            daemon.start()
        daemon.ask("undrain")
    net.wait_announcing(node.name for node in net.servers)


@contextlib.contextmanager
def addresses_on_lo(node):
    """The anycast addresses on a device that does not end with the daemon."""
    hosts = (f"{ANYCAST[4]}/32", f"{ANYCAST[6]}/128")
    node.address("lo", *hosts)
    try:
        yield
    finally:
        for host in hosts:
            node.ip(f"addr del {host} dev lo")


def poke(net):
    """Some datagrams to the transport port, of both families."""
    for family in (4, 6):
        Stream(net.c1, "udp-send", ANYCAST[family], TRANSPORT, 200, 20).wait(10)


# Of each family an idle connection, one with unread data, one whose send queue is full; and one
# that is closed on purpose.
LISTENER = """
import socket, sys, time
listeners = [socket.create_server((a, int(sys.argv[3])), family=f)
             for a, f in ((sys.argv[1], socket.AF_INET), (sys.argv[2], socket.AF_INET6))]
kept = []
print("ready", flush=True)
for listener in listeners:
    taken = [listener.accept()[0] for _ in range(4)]
    taken[2].setblocking(False)
    try:
        while True:
            taken[2].send(bytes(65536))
    except BlockingIOError:
        pass
    taken[3].setsockopt(socket.SOL_SOCKET, socket.SO_MARK, int(sys.argv[4]))
    taken[3].close()
    kept += taken[:3]
time.sleep(1000)
"""
TALKER = """
import signal, socket, sys
def report(*_):
    alive = 0
    for s in kept:
        s.setblocking(False)
        try:
            while s.recv(65536):
                pass
        except BlockingIOError:
            alive += 1
        except OSError as error:
            print(error, flush=True)
    print("still open:", alive, flush=True)
    sys.exit()
signal.signal(signal.SIGTERM, report)
kept = []
for a in sys.argv[1:3]:
    four = [socket.create_connection((a, int(sys.argv[3]))) for _ in range(4)]
    four[1].send(b"never read")
    assert four[3].recv(1) == b""
    kept += four[:3]
print("wanted close seen", flush=True)
signal.pause()
"""


# ---- in order ----

def test_all_servers_answer(net):
    """Every server has the addresses on its device, and the routers spread clients over all."""
    for daemon in net.daemons:
        shown = daemon.node.ip("-o addr show dev any0")
        assert f"{ANYCAST[4]}/32 scope link any0" in shown
        assert f"{ANYCAST[6]}/128 scope global nodad deprecated" in shown
        status = daemon.status()["anycast"]
        assert status == {"announced": True, "addresses": list(ANYCAST.values()),
                          "withdrawn_for": []}
    for family in (4, 6):
        streams = [Stream(net.c1, "udp-ask", ANYCAST[family], ECHO, 20) for _ in range(30)]
        answered = [set(stream.finish()["by"]) for stream in streams]
        assert all(len(servers) == 1 for servers in answered), "one flow went to two servers"
        assert set.union(*answered) == {"s1", "s2", "s3"}


def test_own_packets_have_own_source(net):
    """The kernel never takes the anycast address as the source of the machine's own packets."""
    node = net.servers[0]
    for address in (f"{ANYCAST[4]}", "10.7.0.9", "198.51.100.2"):
        assert "src 192.0.2.7" not in node.ip(f"route get {address} dev lan")
    assert "src 2001:db8:a::7" not in node.ip("-6 route get fd07::9")


def test_drain_loses_nothing(whole):
    streams = ask(whole, rate=1000)
    for daemon in whole.daemons:
        daemon.ask("drain")
        left = {node.name for node in whole.servers} - {daemon.name}
        whole.wait_announcing(left)
        assert daemon.status()["anycast"]["withdrawn_for"] == ["drained"]
        daemon.ask("undrain")
        whole.wait_announcing(node.name for node in whole.servers)
    lost, errors, stall = finish(streams)
    print(f"\n3 servers drained and announced again: {lost} lost, stall {stall * 1e3:.0f} ms")
    assert (lost, errors) == (0, [])


def test_stop_and_start_lose_nothing(whole):
    """SIGTERM withdraws first; a start announces last.  What the dead one left is replaced."""
    daemon = whole.daemons[1]
    streams = ask(whole, rate=1000)
    for _ in range(2):
        daemon.stop()
        assert not daemon.node.has_device("any0")
        daemon.start()
        whole.wait_announcing(node.name for node in whole.servers)
    lost, errors, stall = finish(streams)
    print(f"\nstopped and started twice: {lost} lost, longest stall {stall * 1e3:.0f} ms")
    assert (lost, errors) == (0, [])
    assert daemon.node.run("nft", "list", "tables").count("anyguard") == 1
    assert guard_table(daemon.node).count("jump guard") == 2
    for family in (4, 6):
        routes = daemon.node.ip(f"-{family} route show proto 77")
        assert routes.count("blackhole") == 1 and ANYCAST[family] in routes


# ---- sudden ends ----

@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV], ids=["KILL", "SEGV"])
def test_killed(whole, number):
    """The daemon dies under load: its routes go at once, and it says nothing to anybody."""
    daemon = whole.daemons[0]
    watches = [RouteWatch(router) for router in whole.routers]
    ears, streams = Ears(whole.n1), ask(whole, rate=1000)
    tunnel = [Stream(whole.c1, "udp-send", ANYCAST[family], TRANSPORT, 500) for family in (4, 6)]
    killed = time.time()
    daemon.process.stop(number)
    took = {f"{watch.router} IPv{family}": watch.seconds_until_change(killed, family)
            for watch in watches for family in (4, 6)}
    whole.wait_announcing({"s2", "s3"})
    for stream in tunnel:
        stream.finish()
    lost, errors, stall = finish(streams)
    print(f"\n{signal.Signals(number).name}: routes gone after "
          + ", ".join(f"{s * 1e3:.0f} ms ({name})" for name, s in took.items())
          + f"; {lost} packets lost, longest stall {stall * 1e3:.0f} ms")
    assert not daemon.node.has_device("any0")
    assert max(took.values()) < 1
    assert errors == [] and ears.heard() == {}


def test_guard_is_needed_and_outlives_the_daemon(whole):
    """Whatever closes first: with the address still there, a dead transport port says nothing."""
    server = whole.servers[0]
    alone(whole, server)
    ears = Ears(whole.n1)
    whole.daemons[0].process.stop(signal.SIGKILL)
    whole.send_all_to(server)
    with addresses_on_lo(server):
        poke(whole)
        dropped, silent = guarded(server), ears.heard()
        server.run("nft", "delete", "table", "inet", "anyguard-any0")

        def hears_both():
            poke(whole)  # again, since the kernel limits the rate of such ICMP errors
            return {"unreachable4", "unreachable6"} <= set(ears.heard())
        wait_until(hears_both, "the client's NAT to hear that the port is closed")
        heard = ears.heard()
    whole.follow_bgp()
    assert dropped >= 2 and silent == {}
    print(f"\nthe guard dropped {dropped}; without it the client's NAT heard {heard}")


def test_guard_of_tcp(whole):
    """A TCP server on the transport port is killed with connections idle, unread and full."""
    server, said = whole.servers[0], {}
    alone(whole, server)
    ears = Ears(whole.n1)
    listener = server.spawn("listener", sys.executable, "-u", "-c", LISTENER, ANYCAST[4],
                            ANYCAST[6], TRANSPORT, MARK)
    listener.wait_log("ready")
    talker = whole.c1.spawn("talker", sys.executable, "-u", "-c", TALKER, ANYCAST[4], ANYCAST[6],
                            TRANSPORT)
    talker.wait_log("wanted close seen")
    said["wanted"] = ears.heard()
    ears = Ears(whole.n1)
    listener.stop(signal.SIGKILL)
    wait_until(lambda: guarded(server) >= 6, "the guard to drop what the dead sockets say")
    talker.stop()
    said["killed"] = ears.heard()
    print(f"\nwanted close: {said['wanted']}; killed: {said['killed'] or 'nothing'}, "
          f"{guarded(server)} dropped")
    assert said["wanted"]["fin"] == 2 and said["killed"] == {}
    assert "still open: 6" in talker.log(), talker.log()


# ---- hanging ----

class Manager:
    """What systemd does of Type=notify and WatchdogSec, for one daemon."""

    def __init__(self, lab, seconds):
        self.seconds, self.pid, self.states, self.killed = seconds, 0, [], 0.0
        self.path = lab.path("notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        os.chmod(self.path, 0o666)
        self.socket.settimeout(seconds)
        threading.Thread(target=self.run, daemon=True).start()

    def env(self):
        return {"NOTIFY_SOCKET": self.path, "WATCHDOG_USEC": str(int(self.seconds * 1e6))}

    def run(self):
        while True:
            try:
                self.states.append(self.socket.recv(4096).decode())
            except TimeoutError:
                if self.pid and "WATCHDOG=1" in self.states:
                    self.killed = time.time()
                    os.kill(self.pid, signal.SIGKILL)
                    return


def test_stopped_process_is_ended_by_the_service_manager(whole):
    daemon = whole.daemons[0]
    daemon.stop()
    manager = Manager(whole.lab, 1.0)
    daemon.start(env=manager.env())
    manager.pid = daemon.process.pid
    whole.wait_announcing(node.name for node in whole.servers)
    assert "READY=1" in manager.states
    # An idle daemon is fed all the time.
    fed = manager.states.count("WATCHDOG=1")
    wait_until(lambda: manager.states.count("WATCHDOG=1") >= fed + 6, "the watchdog to be fed")
    watch = RouteWatch(whole.r1)
    streams = ask(whole)
    stopped = time.time()
    daemon.process.kill(signal.SIGSTOP)
    daemon.process.wait()
    took = watch.seconds_until_change(stopped, 4)
    lost, errors, stall = finish(streams)
    print(f"\nSIGSTOP, WatchdogSec=1: killed after {manager.killed - stopped:.2f} s, "
          f"route gone after {took:.2f} s")
    assert took < 2 and errors == []


def test_hung_worker_ends_the_daemon(whole):
    """One thread alone hangs; the daemon kills itself, without a service manager."""
    daemon = whole.daemons[0]
    tid = worker_thread(daemon)
    watch = RouteWatch(whole.r1)
    hung = time.time()
    with held(tid):
        took = watch.seconds_until_change(hung, 4)
    assert daemon.process.wait() == -signal.SIGKILL
    print(f"\na hung worker: route gone after {took:.2f} s (Watchdog = 2)")
    assert 1.5 < took < 4
    assert "a worker has not gone round" in daemon.process.log()


# ---- the machine ----

def test_machine_goes_dark(whole):
    """No withdrawal, no link down: BFD finds it out."""
    watch = RouteWatch(whole.r1)
    streams = ask(whole)
    cut = time.time()
    whole.cut_off(whole.servers[2])
    try:
        took = {family: watch.seconds_until_change(cut, family) for family in (4, 6)}
        whole.wait_announcing({"s1", "s2"})
    finally:
        whole.reconnect()
    lost, errors, stall = finish(streams)
    print(f"\ncut off: routes gone after {took[4] * 1e3:.0f} ms (IPv4), {took[6] * 1e3:.0f} ms "
          f"(IPv6); {lost} packets lost, longest stall {stall * 1e3:.0f} ms")
    assert max(took.values()) < 1.5 and errors == []
    whole.wait_announcing({"s1", "s2", "s3"}, 30)
    print(f"back {time.time() - cut:.1f} s after the cut")


# ---- start ----

def test_address_elsewhere_is_refused(whole):
    """An address on another device would stay after the daemon's end."""
    daemon = whole.daemons[0]
    daemon.stop()
    with addresses_on_lo(daemon.node):
        assert daemon.spawn().wait() == 1
    assert f"{ANYCAST[4]} is on this machine already" in daemon.process.log()


def test_drain_without_announcing(whole):
    daemon = whole.daemons[0]
    daemon.stop()
    daemon.set(Anycast_Announce="no")
    with addresses_on_lo(daemon.node):
        daemon.start()
        done = daemon.ask("drain", check=False)
        daemon.stop()
    daemon.set(Anycast_Announce="yes")
    assert done.returncode == 1 and "Announce = yes" in done.stdout
