# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""Who knows everything about a relay but its token cannot join, redirect, reset or learn it.

The network is that of relays.py.  The attacker is a: outside the path, with every address, port
and id, with a relay of his own, and free to send under any source.  All is tried in each family.
"""

import base64
import secrets
import time

import pytest
from scapy.all import IP, TCP, UDP

from attack import Attacker, Meter, endpoint, ip, tcp, udp
from cluster import ANYCAST, LAN
from lab import Lab, wait_until
from relays import (HOST, MEGABYTE, RelayNet, begin_transfer, finish_pair, finish_transfer, flips,
                    throttled, transfer, udp_pair)

X = {4: "198.51.100.2", 6: "2001:db8:1::2"}  # as all others see the hosts x and y
Y = {4: "198.51.100.6", 6: "2001:db8:2::2"}
LIMIT = 50        # packets a second that each server sends to a side that has not answered
HOST_LIMIT = 100  # and to all such sides at one host


@pytest.fixture(scope="module")
def net():
    with Lab("relay-attack") as lab:
        net = RelayNet(lab).start(Relay_AllowPrivate="yes")
        net.attacker = Attacker(net.a)
        net.in_family = {version: Family(net, version) for version in (4, 6)}
        # His kernel is not to reset what is forged in his name.
        net.a.nft(f"""
            table inet mute {{
                chain out {{
                    type filter hook output priority 0;
                    meta mark != 1 ip daddr {ANYCAST[4]} tcp flags & rst == rst drop
                    meta mark != 1 ip6 daddr {ANYCAST[6]} tcp flags & rst == rst drop
                }}
            }}""")
        yield net


class Family:
    """What there is of each family: addresses of the attacker and of the host w, relays of his."""

    def __init__(self, net, version):
        self.net, self.version = net, version
        self.a, self.w = (HOST[name][version // 6] for name in "aw")
        self.both, self.ip = (version, version), {4: "ip", 6: "ip6"}[version]
        self.his = self.add("udp", "token", "token", daemon=net.k2)
        self.his_tcp = self.add("tcp", "token", "token", daemon=net.k2)

    def add(self, protocol, *sides, **words):
        """A relay whose learnt sides are of this family; addresses are as they are."""
        return self.net.add(protocol, *(f"{side}{self.version}" if side in ("any", "token") else side
                                        for side in sides), **words)

    def anycast(self, port):
        return ANYCAST[self.version], port

    def at(self, address, port):
        """As in a relay's side."""
        return f"[{address}]:{port}" if self.version == 6 else f"{address}:{port}"

    def stranger(self):
        return self.net.attacker.stranger(self.version)


@pytest.fixture(params=[4, 6], ids=["v4", "v6"])
def v(net, request):
    return net.in_family[request.param]


@pytest.fixture
def heard(net, v):
    """What servers send to the attacker."""
    meter = Meter(net.a, "heard", "prerouting", f"{v.ip} saddr {ANYCAST[v.version]}")
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


def handed_up(net, reason):
    return sum(daemon.status()["relay"]["up"][reason] for daemon in net.daemons)


def unsent(net):
    return sum(daemon.status()["relay"]["unsent"] for daemon in net.daemons)


def tunnel_mtus(net):
    """Of both clients, as all servers know them."""
    return [daemon.sessions()[k.name]["down_mtu"] for daemon in net.daemons for k in (net.k1, net.k2)]


def handled(net, before, count):
    """Wait until so many more packets have been seen by user space: what they do is done."""
    wait_until(lambda: upped(net) >= before + count, f"{count} packets to be handled")


def dropped(net):
    total = {}
    for daemon in net.daemons:
        for reason, count in daemon.status()["relay"]["drops"].items():
            total[reason] = total.get(reason, 0) + count
    return total


def wrong_tokens(v, relay, side):
    """Everything but the token, of 64 bytes or nearly."""
    right = relay.token[side]
    of_it = base64.urlsafe_b64decode(right)
    return [secrets.token_urlsafe(48), relay.token[1 - side], v.his.token[side],
            v.his_tcp.token[side], "A" * 64, right[:-1], right + "A", right.swapcase(),
            base64.urlsafe_b64encode(of_it[:24] + bytes(24)).decode(),
            *(base64.urlsafe_b64encode(of_it[:i] + bytes([of_it[i] ^ 1]) + of_it[i + 1:]).decode()
              for i in range(0, 48, 5))]


# ---- joining ----

def test_udp_join(net, v, heard):
    """No token but the right one teaches a side, before the sides have met and afterwards."""
    relay = v.add("udp", "token", "token")
    tries = [udp((v.a, 4000 + side), v.anycast(relay.port[side]), token.encode())
             for side in (0, 1) for token in wrong_tokens(v, relay, side)]
    seen = upped(net)
    net.attacker.send(tries)
    handled(net, seen, len(tries))
    assert settled(net, relay) == [(), ()]
    peers = udp_pair(relay, net.x, net.y, 200, v.both)
    places = settled(net, relay)
    net.attacker.send(tries)
    net.attacker.send([udp(v.stranger(), v.anycast(relay.port[i % 2]), bytes(172))
                       for i in range(1000)])
    for sent, got in finish_pair(peers):
        assert (sent - got["received"], got["duplicates"]) == (0, 0)
    assert settled(net, relay) == places and heard.read() == (0, 0)
    assert dropped(net)["relay_token"] > 0 and dropped(net)["relay_stranger"] > 0
    net.remove(relay)


def calls(net, v, relay, side, words):
    """An ordinary connection from the attacker, on which he says something; whatever came back."""
    return net.a.run("sh", "-c", 'printf %s "$1" | timeout 2 ncat "$2" "$3"', "sh", words,
                     *relay.call(side, v.version), check=False).stdout


def test_tcp_join(net, v, full):
    """His connections are answered, as everybody's, and lead nowhere."""
    relay = v.add("tcp", "token", "token")
    for token in wrong_tokens(v, relay, 0)[:4 if full else 1]:
        assert calls(net, v, relay, 0, token) == ""
    assert settled(net, relay) == [(), ()]
    with throttled(net.x):
        begun = begin_transfer(net, relay, 20 * MEGABYTE, v.both)
        places = wait_until(lambda: all(known(net, relay) or [()]) and known(net, relay),
                            "both sides to be learnt")
        for side in (0, 1):
            assert calls(net, v, relay, side, wrong_tokens(v, relay, side)[0]) == ""
        assert settled(net, relay) == places
        finish_transfer(begun)
    net.remove(relay)


def test_given_address(net, v):
    """A side whose address is given is learnt from nobody else's packets; with a port, from that one."""
    relay = v.add("udp", X[v.version], v.at(v.w, 9))
    tries = [udp((v.a, 4000), v.anycast(relay.port[0])), udp((v.a, 9), v.anycast(relay.port[1])),
             udp((v.w, 10), v.anycast(relay.port[1]))]
    seen = upped(net)
    net.attacker.send(tries)
    handled(net, seen, 1)
    assert settled(net, relay) == [(), ()]
    net.remove(relay)


def test_guesses(net, v, heard, full):
    """Every port of the pool, or many: nothing comes back from relays that have a token."""
    ports = {*range(20000, 30000, 1 if full else 5), *v.his.port}
    relay = v.add("udp", "token", "token")
    net.attacker.send([udp((v.a, 4001), v.anycast(port), b"who is there?")
                       for port in ports], rate=20000)
    net.attacker.send([tcp((v.a, 4001), v.anycast(port), "S", seq=1)
                       for port in ports - set(v.his_tcp.port)], rate=20000)
    assert settled(net, relay) == [(), ()] and heard.read() == (0, 0)
    net.remove(relay)


# ---- redirecting, resetting ----

def forged_icmp(v, sides, protocol):
    return [error for to in sides for port in sides.values() for sender in (v.a, to[0])
            for error in v.net.attacker.errors(sender, v.anycast(port), to, protocol)]


def test_running_udp(net, v, heard):
    """Sides stay where they are, whoever sends in their name, and whatever ICMP says."""
    relay = v.add("udp", "token", "token")
    peers = udp_pair(relay, net.x, net.y, 500, v.both)
    places = settled(net, relay)
    sides = {endpoint(at[0]): port for at, port in zip(places, relay.port)}
    x, y = sides
    forged = [udp(src, v.anycast(relay.port[side]), token.encode())
              for side, src in ((0, x), (1, y), (0, y), (1, x))
              for token in wrong_tokens(v, relay, side)]
    net.attacker.send(forged + forged_icmp(v, sides, UDP), times=3)
    for sent, got in finish_pair(peers):
        # What ICMP forged makes of a connected socket is an error, not a loss of what is sent to it.
        assert (sent - got["received"], got["duplicates"]) == (0, 0)
    assert settled(net, relay) == places and heard.read() == (0, 0)
    net.remove(relay)


@pytest.mark.parametrize("kind", ["any", "token"])
def test_running_tcp(net, v, heard, kind):
    """Blind segments and ICMP errors into a transfer: it goes on, and nothing gets in."""
    relay = v.add("tcp", kind, kind)
    with throttled(net.x):
        begun = begin_transfer(net, relay, 40 * MEGABYTE, v.both)
        places = wait_until(lambda: all(known(net, relay) or [()]) and known(net, relay),
                            "both sides to be learnt")
        sides = {endpoint(at[0]): port for at, port in zip(places, relay.port)}
        forged = [segment for src, port in sides.items()
                  for segment in net.attacker.segments(src, v.anycast(port), 700)]
        strange = [segment for port in relay.port
                   for segment in net.attacker.segments((v.a, 4002), v.anycast(port), 70)]
        sent = net.attacker.send(forged + strange + forged_icmp(v, sides, TCP), times=2)
        stall = finish_transfer(begun)
    print(f"\n{sent} forged packets, stall {stall * 1e3:.0f} ms")
    assert settled(net, relay) == places
    # The attacker's own SYN gets what every SYN gets: an answer that tells nothing.
    assert heard.read()[0] <= (2 * 2 * 10 if kind == "token" else 0)
    net.remove(relay)


def told(node, host, version):
    """What the node's kernel has been told of the path MTU to a host."""
    return "mtu" in node.run("ip", "route", "get", host, "from", ANYCAST[version])


def test_path_mtu_stays(net, v):
    """
    "Too big" about what each server may have sent to both sides.  Their kernels believe some of
    it; relays, first packets with them, and the tunnel take what they took before.
    """
    relay = v.add("udp", "token", "token")
    public = X[v.version], Y[v.version]
    before = unsent(net), handed_up(net, "too_big"), tunnel_mtus(net)
    forged = [packet for host in public for sender in (v.a, host)
              for packet in net.attacker.too_bigs(sender, ANYCAST[v.version], host, 4444)]
    for server in net.servers:
        net.send_all_to(server)
        net.attacker.send(forged, times=3)
        wait_until(lambda: all(told(server, host, v.version) for host in public),
                   f"{server.name} to believe it: else nothing is shown here")
    # Of full size, from the first datagram on, which is the slow path's.
    peers = udp_pair(relay, net.x, net.y, 200, v.both, size=1500 - 8 - {4: 20, 6: 40}[v.version])
    with flips(net, 0.3):
        time.sleep(2)  # of load
        results = finish_pair(peers)
    for sent, got in results:
        assert sent > 200 and (sent - got["received"], got["duplicates"]) == (0, 0)
    net.remove(relay)
    relay = v.add("tcp", "token", "token")
    with flips(net, 0.3):
        transfer(net, relay, 20 * MEGABYTE, v.both)
    assert (unsent(net), handed_up(net, "too_big"), tunnel_mtus(net)) == before
    net.remove(relay)


# ---- floods ----

def test_floods(net, v, full):
    """Other relays lose nothing; what comes is counted; memory does not grow with it."""
    other = v.add("udp", "token", "token")
    goal = v.add("udp", "token", "token")
    peers = udp_pair(other, net.x, net.y, 500, v.both)
    before = [(d.process.memory_kb(), d.process.cpu_seconds()) for d in net.daemons]
    ups, drops, began = upped(net), dropped(net), time.monotonic()
    floods = {
        "first packets": [udp(v.stranger(), v.anycast(goal.port[0]), bytes(172))
                          for _ in range(2000)],
        "like tokens": [udp(v.stranger(), v.anycast(goal.port[0]),
                            v.his.token[0][:40].encode() + b"x" * 24) for _ in range(2000)],
        "unknown ports": [udp(v.stranger(), v.anycast(29000 + i % 1000), b"?")
                          for i in range(2000)],
        "SYNs": [tcp(v.stranger(), v.anycast(v.his_tcp.port[0]), "S", seq=i) for i in range(2000)],
        "strangers": [udp(v.stranger(), v.anycast(other.port[0]), bytes(172)) for _ in range(2000)],
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


def test_side_that_never_answers(net, v):
    """What a relay's owner can have sent at a host that did not ask for it."""
    meter = Meter(net.w, "given", "prerouting", f"{v.ip} saddr {ANYCAST[v.version]}", "drop")
    for protocol in ("udp", "tcp"):
        relay = v.add(protocol, "any", v.at(v.w, 9999), daemon=net.k2)
        packet = (udp((v.a, 4100), v.anycast(relay.port[0]), bytes(1000)) if protocol == "udp" else
                  tcp((v.a, 4100), v.anycast(relay.port[0]), "S", seq=1))
        before, began = meter.read()[0], time.monotonic()
        sent = net.attacker.send([packet], times=4000, rate=2000)
        got, seconds = meter.read()[0] - before, time.monotonic() - began
        print(f"\n{protocol}: {sent} sent in {seconds:.1f} s, {got} arrived", end="")
        assert 0 < got <= LIMIT * len(net.daemons) * (seconds + 2)
        net.remove(relay, daemon=net.k2)
    print()
    meter.remove()


def test_many_relays_at_a_silent_host(net, v):
    """
    However many relays lead there: together they send no more than one host has to bear, until
    something has come from there (here in its name: an address is all that a server sees).
    """
    meter = Meter(net.w, "given", "prerouting", f"{v.ip} saddr {ANYCAST[v.version]}", "drop")
    relays = [v.add("udp", "any", v.at(v.w, 9000 + i), daemon=net.k2) for i in range(24)]
    packets = [udp((v.a, 4200 + i), v.anycast(relay.port[0]), bytes(1000))
               for i, relay in enumerate(relays)]

    def is_spared():
        before, began = meter.read()[0], time.monotonic()
        sent = net.attacker.send(packets, times=150, rate=4000)
        got, seconds = meter.read()[0] - before, time.monotonic() - began
        print(f"\n{sent} sent by {len(packets)} relays in {seconds:.1f} s, {got} arrived", end="")
        return 0 < got <= HOST_LIMIT * (seconds + 2)
    net.send_all_to(net.servers[0])
    assert is_spared()
    net.send_all_to(net.servers[1])  # each server hears of it
    net.attacker.send([udp((v.w, 9000), v.anycast(relays[0].port[1]), b"yes")])
    net.send_all_to(net.servers[0])
    wait_until(lambda: all(known(net, relays[0]) or [()]), "the answer to be known everywhere")
    del packets[0]  # this one has no limit any more
    wait_until(lambda: not is_spared(), "each relay's limit alone to count")
    print()
    net.follow_bgp()
    for relay in relays:
        net.remove(relay, daemon=net.k2)
    meter.remove()


# ---- what relays may not be made to do ----

def test_two_relays_at_each_other(net, v):
    """Neither asked for nor learnt."""
    done = net.k2.ask("relay", "add", "udp", f"any{v.version}",
                      v.at(ANYCAST[v.version], v.his.port[0]), check=False)
    assert done.returncode == 1 and "relays may not lead to this address" in done.stdout
    one, two = (v.add("udp", "any", "any", daemon=net.k2) for _ in range(2))
    meters = [Meter(server, "loop", "postrouting", f"{v.ip} daddr {ANYCAST[v.version]}")
              for server in net.servers]
    ends = [(r.port[side], o.port[1 - side]) for r, o in ((one, two), (two, one)) for side in (0, 1)]
    seen = upped(net)
    net.attacker.send([udp(v.anycast(there), v.anycast(here), b"round and round")
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

def stimuli(net, v, relays):
    """{what: [packet]} under the victim's address."""
    victim, number = (v.w, 5060), net.attacker.number
    token, held, open_, listener = relays
    hops = {4: "ttl", 6: "hlim"}[v.version]
    port, mine = v.anycast(token.port[0]), v.anycast(v.his.port[0])
    return {
        "udp, unknown port": [udp(victim, v.anycast(29999), b"x")],
        "udp, token wanted": [udp(victim, v.anycast(v.his.port[1]), b"x")],
        "udp, token of the attacker's relay": [udp(victim, mine, v.his.token[0].encode())],
        "udp, learnt": [udp(victim, v.anycast(open_.port[0]), b"x")],
        "udp, hop limit used up": [ip(v.w, ANYCAST[v.version], **{hops: 4 - i}) / packet["UDP"]
                                   for i, packet in enumerate([udp(victim, mine, b"x")] * 3)],
        "tcp, SYN, unknown port": [tcp(victim, v.anycast(29999), "S")],
        "tcp, SYN, token wanted": [tcp(victim, port, "S", seq=number(), options=[
            ("MSS", 1460), ("SAckOK", b""), ("Timestamp", (1, 0)), ("NOP", None), ("WScale", 7)])],
        "tcp, SYN without options": [tcp(victim, port, "S", seq=number())],
        "tcp, SYN, held": [tcp(victim, v.anycast(held.port[0]), "S", seq=number())],
        "tcp, no SYN": [tcp(victim, where, flags, data, seq=number(), ack=number())
                        for where in (port, v.anycast(held.port[1]), v.anycast(listener.port[0]))
                        for flags in ("A", "R", "RA", "FA", "SA", "PA") for data in (b"", b"x" * 64)],
        "tcp, SYN to a listener": [tcp(victim, v.anycast(listener.port[0]), "S", seq=number())],
        "icmp": net.attacker.errors(v.w, v.anycast(token.port[0]), victim),
    }


def test_reflection(net, v):
    """No more goes to the victim than was sent in its name; a SYN may be answered with 20 bytes more."""
    relays = [v.add("tcp", "token", "token", daemon=net.k2),
              v.add("tcp", "any", "any", daemon=net.k2),
              v.add("udp", "any", "any", daemon=net.k2),
              v.add("tcp", "any", v.at(X[v.version], 9), daemon=net.k2)]
    came = Meter(net.r1, "came", "prerouting", f'iifname "a" {v.ip} saddr {v.w}')
    went = Meter(net.w, "went", "prerouting", f"{v.ip} saddr {ANYCAST[v.version]}", "drop")
    for what, packets in stimuli(net, v, relays).items():
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
