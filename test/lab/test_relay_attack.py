# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""Who knows everything about a relay but its token cannot join, redirect, reset or learn it.

The network is that of relays.py.  The attacker is a: outside the path, with every address, port
and id, with a relay of his own, and free to send under any source.
"""

import base64
import itertools
import secrets
import time

import pytest
from scapy.all import IP, TCP, UDP

from attack import Attacker, Meter, anycast, endpoint, ip, tcp, udp
from cluster import ANYCAST, LAN
from lab import Lab, wait_until
from relays import (HOST, MEGABYTE, RelayNet, begin_transfer, finish_pair, finish_transfer,
                    throttled, udp_pair)

A, W = HOST["a"][0], HOST["w"][0]
LIMIT = 50  # packets a second that each server sends to a side that has not answered


@pytest.fixture(scope="module")
def net():
    with Lab("relay-attack") as lab:
        net = RelayNet(lab).start(Relay_AllowPrivate="yes")
        net.attacker = Attacker(net.a)
        net.his = net.add("udp", "token4", "token4", daemon=net.k2)
        net.his_tcp = net.add("tcp", "token4", "token4", daemon=net.k2)
        # His kernel is not to reset what is forged in his name.
        net.a.nft(f"""
            table inet mute {{
                chain out {{
                    type filter hook output priority 0;
                    meta mark != 1 ip daddr {ANYCAST[4]} tcp flags & rst == rst drop
                }}
            }}""")
        yield net


@pytest.fixture
def heard(net):
    """What servers send to the attacker."""
    meter = Meter(net.a, "heard", "prerouting", f"ip saddr {ANYCAST[4]}")
    yield meter
    meter.remove()


def known(net, relay):
    """[[where the side is] for both sides], which all living servers agree upon."""
    seen = [tuple(tuple(side["at"]) for side in daemon.relays()[relay.id]["sides"])
            for daemon in net.daemons]
    return list(seen[0]) if len(set(seen)) == 1 else None


def settled(net, relay):
    return wait_until(lambda: known(net, relay), "the servers to agree about the relay")


def upped(net):
    """What the fast paths have handed up so far, dropped or not."""
    return sum(sum(daemon.status()["relay"]["up"].values()) for daemon in net.daemons)


def handled(net, before, count):
    """Wait until so many more packets have been seen by user space: what they do is done."""
    wait_until(lambda: upped(net) >= before + count, f"{count} packets to be handled")


def dropped(net):
    total = {}
    for daemon in net.daemons:
        for reason, count in daemon.status()["relay"]["drops"].items():
            total[reason] = total.get(reason, 0) + count
    return total


def wrong_tokens(net, relay, side):
    """Everything but the token, of 64 bytes or nearly."""
    right = relay.token[side]
    of_it = base64.urlsafe_b64decode(right)
    return [secrets.token_urlsafe(48), relay.token[1 - side], net.his.token[side],
            net.his_tcp.token[side], "A" * 64, right[:-1], right + "A", right.swapcase(),
            base64.urlsafe_b64encode(of_it[:24] + bytes(24)).decode(),
            *(base64.urlsafe_b64encode(of_it[:i] + bytes([of_it[i] ^ 1]) + of_it[i + 1:]).decode()
              for i in range(0, 48, 5))]


# ---- joining ----

def test_udp_join(net, heard):
    """No token but the right one teaches a side, before the sides have met and afterwards."""
    relay = net.add("udp", "token4", "token4")
    tries = [udp((A, 4000 + side), anycast(relay.port[side]), token.encode())
             for side in (0, 1) for token in wrong_tokens(net, relay, side)]
    seen = upped(net)
    net.attacker.send(tries)
    handled(net, seen, len(tries))
    assert settled(net, relay) == [(), ()]
    peers = udp_pair(relay, net.x, net.y, 200)
    places = settled(net, relay)
    net.attacker.send(tries)
    net.attacker.send([udp(net.attacker.stranger(), anycast(relay.port[i % 2]), bytes(172))
                       for i in range(1000)])
    for sent, got in finish_pair(peers):
        assert (sent - got["received"], got["duplicates"]) == (0, 0)
    assert settled(net, relay) == places and heard.read() == (0, 0)
    assert dropped(net)["relay_token"] > 0 and dropped(net)["relay_stranger"] > 0
    net.remove(relay)


def calls(net, relay, side, words):
    """An ordinary connection from the attacker, on which he says something; whatever came back."""
    return net.a.run("sh", "-c", 'printf %s "$1" | timeout 2 ncat "$2" "$3"', "sh", words,
                     *relay.call(side), check=False).stdout


def test_tcp_join(net):
    """His connections are answered, as everybody's, and lead nowhere."""
    relay = net.add("tcp", "token4", "token4")
    for token in wrong_tokens(net, relay, 0)[:4]:
        assert calls(net, relay, 0, token) == ""
    assert settled(net, relay) == [(), ()]
    with throttled(net.x):
        begun = begin_transfer(net, relay, 20 * MEGABYTE)
        places = wait_until(lambda: all(known(net, relay) or [()]) and known(net, relay),
                            "both sides to be learnt")
        for side in (0, 1):
            assert calls(net, relay, side, wrong_tokens(net, relay, side)[0]) == ""
        assert settled(net, relay) == places
        finish_transfer(begun)
    net.remove(relay)


def test_given_address(net):
    """A side whose address is given is learnt from nobody else's packets."""
    relay = net.add("udp", "198.51.100.2", W + ":9")
    tries = [udp((A, 4000), anycast(relay.port[0])), udp((A, 9), anycast(relay.port[1]))]
    seen = upped(net)
    net.attacker.send(tries)
    handled(net, seen, 1)
    assert settled(net, relay) == [(), ()]
    net.remove(relay)


def test_guesses(net, heard):
    """Every port of the pool: nothing comes back from relays that have a token."""
    relay = net.add("udp", "token4", "token4")
    net.attacker.send([udp((A, 4001), anycast(port), b"who is there?")
                       for port in range(20000, 30000)], rate=20000)
    net.attacker.send([tcp((A, 4001), anycast(port), "S", seq=1)
                       for port in range(20000, 30000) if port not in net.his_tcp.port], rate=20000)
    assert settled(net, relay) == [(), ()] and heard.read() == (0, 0)
    net.remove(relay)


# ---- redirecting, resetting ----

def forged_icmp(net, sides, protocol):
    return [error for to in sides for port in sides.values() for sender in (A, to[0])
            for error in net.attacker.errors(sender, anycast(port), to, protocol)]


def test_running_udp(net, heard):
    """Sides stay where they are, whoever sends in their name, and whatever ICMP says."""
    relay = net.add("udp", "token4", "token4")
    peers = udp_pair(relay, net.x, net.y, 500)
    places = settled(net, relay)
    sides = {endpoint(at[0]): port for at, port in zip(places, relay.port)}
    x, y = sides
    forged = [udp(src, anycast(relay.port[side]), token.encode())
              for side, src in ((0, x), (1, y), (0, y), (1, x))
              for token in wrong_tokens(net, relay, side)]
    net.attacker.send(forged + forged_icmp(net, sides, UDP), times=3)
    for sent, got in finish_pair(peers):
        # What ICMP forged makes of a connected socket is an error, not a loss of what is sent to it.
        assert (sent - got["received"], got["duplicates"]) == (0, 0)
    assert settled(net, relay) == places and heard.read() == (0, 0)
    net.remove(relay)


@pytest.mark.parametrize("kind", ["any", "token"])
def test_running_tcp(net, heard, kind):
    """Blind segments and ICMP errors into a transfer: it goes on, and nothing gets in."""
    relay = net.add("tcp", f"{kind}4", f"{kind}4")
    with throttled(net.x):
        begun = begin_transfer(net, relay, 40 * MEGABYTE)
        places = wait_until(lambda: all(known(net, relay) or [()]) and known(net, relay),
                            "both sides to be learnt")
        sides = {endpoint(at[0]): port for at, port in zip(places, relay.port)}
        forged = [segment for src, port in sides.items()
                  for segment in net.attacker.segments(src, anycast(port), 700)]
        strange = [segment for port in relay.port
                   for segment in net.attacker.segments((A, 4002), anycast(port), 70)]
        sent = net.attacker.send(forged + strange + forged_icmp(net, sides, TCP), times=2)
        stall = finish_transfer(begun)
    print(f"\n{sent} forged packets, stall {stall * 1e3:.0f} ms")
    assert settled(net, relay) == places
    # The attacker's own SYN gets what every SYN gets: an answer that tells nothing.
    assert heard.read()[0] <= (2 * 2 * 10 if kind == "token" else 0)
    net.remove(relay)


# ---- floods ----

def test_floods(net, full):
    """Other relays lose nothing; what comes is counted; memory does not grow with it."""
    other = net.add("udp", "token4", "token4")
    goal = net.add("udp", "token4", "token4")
    peers = udp_pair(other, net.x, net.y, 500)
    before = [(d.process.memory_kb(), d.process.cpu_seconds()) for d in net.daemons]
    ups, drops, began = upped(net), dropped(net), time.monotonic()
    stranger = net.attacker.stranger
    floods = {
        "first packets": [udp(stranger(), anycast(goal.port[0]), bytes(172)) for _ in range(2000)],
        "like tokens": [udp(stranger(), anycast(goal.port[0]),
                            net.his.token[0][:40].encode() + b"x" * 24) for _ in range(2000)],
        "unknown ports": [udp(stranger(), anycast(29000 + i % 1000), b"?") for i in range(2000)],
        "SYNs": [tcp(stranger(), anycast(net.his_tcp.port[0]), "S", seq=i) for i in range(2000)],
        "strangers": [udp(stranger(), anycast(other.port[0]), bytes(172)) for _ in range(2000)],
    }
    sent = sum(net.attacker.send(packets, times=10 if full else 2, rate=8000)
               for packets in floods.values())
    seconds = time.monotonic() - began
    results = finish_pair(peers)
    now = dropped(net)
    print(f"\n{sent:,} packets in {seconds:.1f} s, {upped(net) - ups:,} handed up; dropped:",
          {r: now[r] - drops.get(r, 0) for r in now if now[r] > drops.get(r, 0)})
    for daemon, (memory, cpu) in zip(net.daemons, before):
        grown = daemon.process.memory_kb() - memory
        print(f"{daemon.name}: {grown} kB more, {daemon.process.cpu_seconds() - cpu:.2f} s of CPU")
        assert grown < 4096
    for sent_to, got in results:
        assert (sent_to - got["received"], got["duplicates"]) == (0, 0)
    assert settled(net, goal) == [(), ()]
    for relay in (other, goal):
        net.remove(relay)


def test_side_that_never_answers(net):
    """What a relay's owner can have sent at a host that did not ask for it."""
    meter = Meter(net.w, "given", "prerouting", f"ip saddr {ANYCAST[4]}", "drop")
    for protocol in ("udp", "tcp"):
        relay = net.add(protocol, "any4", W + ":9999", daemon=net.k2)
        packet = (udp((A, 4100), anycast(relay.port[0]), bytes(1000)) if protocol == "udp" else
                  tcp((A, 4100), anycast(relay.port[0]), "S", seq=1))
        before, began = meter.read()[0], time.monotonic()
        sent = net.attacker.send([packet], times=4000, rate=2000)
        got, seconds = meter.read()[0] - before, time.monotonic() - began
        print(f"\n{protocol}: {sent} sent in {seconds:.1f} s, {got} arrived", end="")
        assert 0 < got <= LIMIT * len(net.daemons) * (seconds + 2)
        net.remove(relay, daemon=net.k2)
    print()
    meter.remove()


# ---- what relays may not be made to do ----

def test_two_relays_at_each_other(net):
    """Neither asked for nor learnt."""
    done = net.k2.ask("relay", "add", "udp", "any4", f"{ANYCAST[4]}:{net.his.port[0]}", check=False)
    assert done.returncode == 1 and "relays may not lead to this address" in done.stdout
    one, two = (net.add("udp", "any4", "any4", daemon=net.k2) for _ in range(2))
    meters = [Meter(server, "loop", "postrouting", f"ip daddr {ANYCAST[4]}") for server in net.servers]
    ends = [(r.port[side], o.port[1 - side]) for r, o in ((one, two), (two, one)) for side in (0, 1)]
    seen = upped(net)
    net.attacker.send([udp(anycast(there), anycast(here), b"round and round")
                       for here, there in ends])
    handled(net, seen, 1)
    for relay in (one, two):
        assert settled(net, relay) == [(), ()]
        net.remove(relay, daemon=net.k2)
    for meter in meters:
        assert meter.read() == (0, 0)
        meter.remove()


@pytest.mark.parametrize("side", [
    f"{ANYCAST[4]}:4444", f"[{ANYCAST[6]}]:4444", "127.0.0.1:22", "[::1]:22", "169.254.169.254:80",
    "[fe80::1]:80", "224.0.0.1:5353", "255.255.255.255:9", "0.0.0.0:9", "[::ffff:127.0.0.1]:22",
    *(f"{LAN[4].format(host)}:{port}" for host, port in ((11, 4445), (12, 22), (51, 4222), (53, 6222)))])
def test_denied(net, side):
    """Even where private networks are allowed: the cluster's own mesh and NATS are not."""
    for protocol in ("udp", "tcp"):
        done = net.k2.ask("relay", "add", protocol, "any4", side, check=False)
        assert done.returncode == 1 and "may not lead to this address" in done.stdout, done.stdout


# ---- reflection ----

def stimuli(net, relays):
    """{what: [packet]} under the victim's address."""
    v, number = (W, 5060), net.attacker.number
    token, held, open_, listener = relays
    port, mine = anycast(token.port[0]), anycast(net.his.port[0])
    return {
        "udp, unknown port": [udp(v, anycast(29999), b"x")],
        "udp, token wanted": [udp(v, anycast(net.his.port[1]), b"x")],
        "udp, token of the attacker's relay": [udp(v, mine, net.his.token[0].encode())],
        "udp, learnt": [udp(v, anycast(open_.port[0]), b"x")],
        "udp, hop limit used up": [ip(W, ANYCAST[4], ttl=4 - i) / packet["UDP"] for i, packet in
                                   enumerate([udp(v, mine, b"x")] * 3)],
        "tcp, SYN, unknown port": [tcp(v, anycast(29999), "S")],
        "tcp, SYN, token wanted": [tcp(v, port, "S", seq=number(), options=[
            ("MSS", 1460), ("SAckOK", b""), ("Timestamp", (1, 0)), ("NOP", None), ("WScale", 7)])],
        "tcp, SYN without options": [tcp(v, port, "S", seq=number())],
        "tcp, SYN, held": [tcp(v, anycast(held.port[0]), "S", seq=number())],
        "tcp, no SYN": [tcp(v, where, flags, data, seq=number(), ack=number())
                        for where in (port, anycast(held.port[1]), anycast(listener.port[0]))
                        for flags in ("A", "R", "RA", "FA", "SA", "PA") for data in (b"", b"x" * 64)],
        "tcp, SYN to a listener": [tcp(v, anycast(listener.port[0]), "S", seq=number())],
        "icmp": net.attacker.errors(W, anycast(token.port[0]), v),
    }


def test_reflection(net):
    """No more goes to the victim than was sent in its name; a SYN may be answered with 20 bytes more."""
    relays = [net.add("tcp", "token4", "token4", daemon=net.k2),
              net.add("tcp", "any4", "any4", daemon=net.k2),
              net.add("udp", "any4", "any4", daemon=net.k2),
              net.add("tcp", "any4", "198.51.100.2:9", daemon=net.k2)]
    came = Meter(net.r1, "came", "prerouting", f'iifname "a" ip saddr {W}')
    went = Meter(net.w, "went", "prerouting", f"ip saddr {ANYCAST[4]}", "drop")
    for what, packets in stimuli(net, relays).items():
        before, there = came.read()[1], went.read()[1]
        for server in net.servers:
            net.send_all_to(server)
            net.attacker.send(packets, times=5)
        time.sleep(0.5)  # parked packets and answers that are repeated
        bytes_in, bytes_out = came.read()[1] - before, went.read()[1] - there
        syns = 5 * len(net.servers) * sum(p[TCP].flags == "S" for p in packets if TCP in p)
        print(f"\n{what}: {bytes_in} bytes in, {bytes_out} out", end="")
        assert bytes_in >= 5 * len(net.servers) * sum(len(bytes(p)) for p in packets)
        assert bytes_out <= bytes_in + 20 * syns, what
    print()
    net.follow_bgp()
    for meter in (came, went):
        meter.remove()
    for relay in relays:
        net.remove(relay, daemon=net.k2)
