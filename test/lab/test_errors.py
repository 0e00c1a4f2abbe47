# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""What goes wrong at the machine ends in a sentence, and nothing else breaks.

    c1 ── n1 ──┐
               ├── wan ── s ── h
    c2 ── n2 ──┘
"""

import contextlib
import os
import re

import pytest

import traffic
from anyrelay import DAEMON, TOOL, Server
from lab import BUILD, ROOT, LabError, tool, wait_until
from nets import INNER4, SERVER4, TwoNats

# settings, what --check must say
SENTENCES = [
    ({"Server_Port": 70000}, r"server\.conf:\d+: Port: 70000 is not a port \(1 to 65535\)"),
    ({"Server_Number": None}, r"Number"),
    ({"Server_Listen": "203.0.113.300"}, r"server\.conf:\d+: Listen: 203\.0\.113\.300 is not an"),
    ({"Server_Prot": 4444}, r"server\.conf:\d+: Prot: no such key.*did you mean Port"),
    ({"Tunnel_Port": 4444}, r"server\.conf:\d+: Port: this key belongs in \[Server\]"),
    ({"Tunnels_MTU": 1400}, r"server\.conf:\d+: \[Tunnels\]: no such section; did you mean"),
    ({"Tunnel_MTU": 1000}, r"server\.conf:\d+: MTU: 1000 is not an MTU in bytes \(1280 to 1420\)"),
    ({"Tunnel_Broadcast": "maybe"}, r"Broadcast: maybe is not one of no, yes"),
    ({"Server_ClusterKeyFile": "/nowhere/key"}, r"ClusterKeyFile.*/nowhere/key: No such file"),
    ({"Client_Keepalive": 20}, r"a file is for a server or for a client"),
]


@pytest.fixture
def alone(lab):
    """A server on a node without cables."""
    node = lab.node("s")
    node.ip("link add wan type bridge")
    node.ip("link set wan up")
    node.address("wan", f"{SERVER4}/24")
    return Server(lab, node, ["10.7.0.1/16"], listen=[SERVER4])


@pytest.fixture(scope="module")
def preload():
    """A library of this folder, for LD_PRELOAD: preload(name) is its path."""
    def build(name):
        library = os.path.join(BUILD, f"{name}.so")
        if name not in built:
            tool("gcc", "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", library,
                 os.path.join(ROOT, "test", "lab", f"{name}.c"))
            built.add(name)
        return library
    built = set()
    return build


def refuses(server, sentence, argv=None, start=()):
    """The daemon must end by itself with status 1 or 2 and one line that matches the sentence."""
    argv = argv or [*start, DAEMON, "-c", server.config_path]
    process = server.node.spawn("refusing", *argv)
    status = process.wait(5)
    log = process.log()
    assert 0 < status < 3, f"ended with {status}: {log}"
    assert re.search(sentence, log), log
    assert len(log.strip().splitlines()) <= 2, f"one sentence is enough: {log}"


@pytest.mark.parametrize("settings, sentence", SENTENCES, ids=[next(iter(s)) for s, _ in SENTENCES])
def test_configuration(alone, settings, sentence):
    alone.set(**settings)
    refuses(alone, sentence, [DAEMON, "--check", "-c", alone.config_path])


def test_configuration_is_right(alone):
    tool(DAEMON, "--check", "-c", alone.config_path)


def test_network_is_full(alone, full):
    """Each client has an address of its own, and who comes when there is none left is told so."""
    bits, wanted = (8, 300) if full else (4, 20)
    alone.set(Tunnel_Address=f"10.7.0.1/{32 - bits}")
    given = []
    with pytest.raises(LabError, match=r"10\.7\.0\.1/\d+ has no free address"):
        for number in range(wanted):
            given += alone.enroll(f"c{number}", ())["Tunnel"]["Address"]
    assert len(set(given)) == len(given) == 2 ** bits - 3


def test_key_file_is_readable_by_others(alone):
    os.chmod(alone.cluster_key, 0o644)
    refuses(alone, r"ClusterKeyFile.*0600")


def test_no_such_user(alone):
    alone.set(Daemon_User="nosuchuser")
    refuses(alone, r"nosuchuser")


def test_no_tun_device(alone):
    refuses(alone, r"/dev/net/tun", start=[
        "unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /dev/net && exec "$@"', "sh"])


def test_address_is_not_here(alone):
    alone.set(Server_Listen="203.0.113.99")
    refuses(alone, r"203\.0\.113\.99:4444: that address is not on this machine")


def test_port_in_use(alone):
    other = traffic.multicast_receiver(alone.node, SERVER4, "wan", port=4444)
    refuses(alone, rf"UDP {re.escape(SERVER4)}:4444: another program uses that port")
    other.stop()


def test_metrics_port_in_use(alone):
    alone.node.spawn("other", "/usr/bin/python3", "-m", "http.server", 9444, "-b", "127.0.0.1")
    wait_until(lambda: alone.node.listens(9444), "the other program")
    refuses(alone, r"\[Metrics\] Listen: 127\.0\.0\.1:9444 cannot be used: Address already in use")


def test_any_step_of_the_start_fails(alone, preload):
    """
    Each call that may fail does so once.  The daemon ends with a sentence, or runs without what
    it could not have; it loses track of no descriptor, and leaves nothing behind.
    """
    alone.set(Relay_Ports="20000-20999", Relay_Uplinks="wan", Relay_RTPProxy=f"{SERVER4}:7722")
    report = alone.lab.path("failed")
    calls, ended, number = 0, {}, 0  # 0: none fails, and all are counted
    while number <= calls:
        process = alone.node.spawn("server", "env", f"LD_PRELOAD={preload('failing')}",
                                   f"FAIL_CALL={number}", f"FAIL_REPORT={report}", DAEMON, "-c",
                                   alone.config_path)
        wait_until(lambda: not process.alive() or "running as" in process.log(), "an outcome")
        status = process.stop()
        with open(report) as file:
            made, name = file.read().split()
        calls = calls or int(made)
        lines = process.log().strip().splitlines()
        assert status in (0, 1), f"call {number}, {name}: ended with {status}: {lines}"
        if status:
            assert re.search(r"server\.conf: .{20}", lines[-1]) and len(lines) <= 2, lines
            ended.setdefault(name, set()).add(lines[-1])
            assert "relay" not in alone.node.run("tc", "filter", "show", "dev", "wan", "ingress")
        else:  # the call that fails may be one of the end
            alone.node.run("tc", "qdisc", "del", "dev", "wan", "clsact", check=False)
        assert not alone.node.has_device("any0"), f"call {number}, {name}"
        number += 1
    for name, sentences in ended.items():
        print(f"\n{name}:", *sorted(sentences), sep="\n    ", end="")
    print(f"\n{calls} calls")
    assert {"socket", "bind", "ioctl", "eventfd", "epoll_create1", "pthread_create"} <= set(ended)


def test_second_daemon(alone):
    alone.start()
    refuses(alone, r"another anyrelayd is running")
    assert alone.status()
    assert alone.node.has_device("any0")


@contextlib.contextmanager
def small_disk(directory):
    """The directory is a file system of its own, with room for a few files."""
    tool("mount", "-t", "tmpfs", "-o", "size=16k,mode=777", "small", directory)
    try:
        yield
    finally:
        tool("umount", "-l", directory)


def fill(directory):
    with contextlib.suppress(OSError), open(os.path.join(directory, "filler"), "wb") as filler:
        while True:
            filler.write(bytes(4096))
            filler.flush()


def test_full_disk_at_the_start(alone):
    alone.set(Daemon_ControlSocket=alone.lab.path("server.sock"))
    with small_disk(alone.directory):
        fill(alone.directory)
        refuses(alone, r"No space left on device.*StateDirectory")


def test_full_disk_later(lab):
    """What the server keeps is written over in place: it serves on, ends, and starts again."""
    net = TwoNats(lab)
    net.server = net.make_server()
    net.server.set(Daemon_ControlSocket=lab.path("server.sock"))
    net.server.socket = lab.path("server.sock")
    with small_disk(net.server.directory):
        net.server.start()
        fill(net.server.directory)
        net.k1 = net.client(net.server, net.c1)
        net.k1.start()
        wait_until(lambda: traffic.reaches(net.c1, INNER4["s"]), "the client to connect")
        net.server.stop()
        net.server.start()
        net.server.stop()


@pytest.fixture
def clock_shift(preload):
    """Environment under which a program's CLOCK_REALTIME is off by so many seconds."""
    return lambda seconds: {"LD_PRELOAD": preload("clockshift"), "CLOCK_SHIFT": str(seconds)}


@pytest.mark.parametrize("seconds", [-3600, 3600])
def test_clients_clock_is_an_hour_off(lab, clock_shift, seconds):
    """The client goes by the cluster's time, not its own."""
    net = TwoNats(lab)
    net.server = net.make_server()
    net.server.start()
    net.k1 = net.client(net.server, net.c1)
    net.k1.start(env=clock_shift(seconds))
    wait_until(lambda: traffic.reaches(net.c1, INNER4["s"]), "the client to connect")
    traffic.ping(net.c1, INNER4["s"], count=20)


def test_servers_clock_went_back(alone, clock_shift):
    """A server that ran an hour later than now does not start: it might use a nonce twice."""
    alone.start(env=clock_shift(3600))
    alone.stop()
    refuses(alone, r"the system clock is 3\d\d\d s behind")


@pytest.mark.parametrize("key", ["PrivateKey", "PresharedKey", "ClusterKeys"])
def test_wrong_key(lab, key):
    """A client with one wrong key gets no session, and what refused it is counted.

    The pre-shared key goes into message 2 only: the client is the one who notices.
    """
    net = TwoNats(lab)
    net.server = net.make_server()
    net.server.start()
    net.k1 = net.client(net.server, net.c1)
    wrong = tool(TOOL, "genkey").strip()
    net.k1.set(**{f"Client_{key}": wrong})
    net.k1.start()
    daemon, reason = {"PrivateKey": (net.server, "unknown_client"),
                      "PresharedKey": (net.k1, "handshake"),
                      "ClusterKeys": (net.server, "mac1")}[key]
    daemon.wait_drop(reason)
    assert not net.server.sessions()
    assert not traffic.reaches(net.c1, INNER4["s"])
