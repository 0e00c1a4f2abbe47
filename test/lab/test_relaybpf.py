# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""The relays' fast path alone: real sockets on two hosts, the BPF program between them.

The network is drawn in relaynet.py.  Of user space there is only what test/bpf/relay_lab.c
does: it sends SYNs on and tells who sends too much at once.
"""

import json
import re
import sys

import pytest

import traffic
from lab import ROOT, Lab
from relaynet import OWN, RelayNet, endpoint, wait_listens

STREAM = f"{ROOT}/test/lab/stream.py"
FAMILIES = [(4, 4), (6, 6), (4, 6), (6, 4)]
IDS = [f"v{a}-v{b}" for a, b in FAMILIES]
PORTS = {pair: 5000 + i for i, pair in enumerate(FAMILIES)}


@pytest.fixture(scope="module")
def megabytes(full):
    return 500 if full else 50


@pytest.fixture(scope="module")
def full(request):
    return request.config.getoption("--full")


def relay(protocol, pair, port):
    """One for each pair of families, all to the same service."""
    return (protocol, pair[0], PORTS[pair], endpoint(pair[1], port), PORTS[pair] + 100)


@pytest.fixture(scope="module")
def tcp(megabytes):
    with Lab("relaybpf-tcp") as lab:
        net = RelayNet(lab)
        net.file = traffic.File(lab, "file", megabytes << 20)
        traffic.serve_files(net.y, net.file.directory, ["0.0.0.0", "::"])
        net.relays(*(relay("tcp", pair, 80) for pair in FAMILIES))
        yield net


@pytest.mark.parametrize("pair", FAMILIES, ids=IDS)
def test_tcp(tcp, pair):
    """A file comes through whole; user space saw two SYNs and no data."""
    before = tcp.helper.log().count("up ")
    seconds = traffic.fetch(tcp.x, OWN[pair[0]], tcp.file, PORTS[pair], timeout=30)
    print(f"{IDS[FAMILIES.index(pair)]}: {tcp.file.size * 8 / seconds / 1e9:.2f} Gbit/s")
    seen = tcp.helper.log().splitlines()
    assert sum(line.startswith("up ") for line in seen) - before <= 4, seen
    assert not re.search("too_big|segment [1-9]", tcp.helper.log())


@pytest.mark.parametrize("pair", FAMILIES, ids=IDS)
def test_tcp_narrow(tcp, pair):
    """A way that carries 1300 bytes: the sender hears of it, once or twice, and goes on."""
    tcp.narrow(1300)
    before = len(tcp.helper.log())
    for words in ("route flush cache", "-6 route flush cache"):
        tcp.y.ip(words)  # what it was told by another relay
    traffic.fetch(tcp.x, OWN[pair[0]], tcp.file, PORTS[pair], timeout=30)
    told = re.findall(r"too_big len (\d+) mtu (\d+)", tcp.helper.log()[before:])
    assert told
    # y's packets become 20 bytes longer on their way to IPv6, or shorter.
    expected = 1300 + 10 * (pair[1] - pair[0])
    assert str(expected) in {mtu for _, mtu in told}, told


def test_counts(tcp):
    totals = tcp.totals()
    assert totals["relay_shape"] == totals["relay_route"] == totals["relay_ring"] == 0
    for packets, length in totals["relays"]:
        assert packets > 0 and length > 40 * packets


@pytest.mark.parametrize("pair", FAMILIES, ids=IDS)
def test_udp(lab, pair):
    """Datagrams arrive once each; only the first is seen by user space."""
    net = RelayNet(lab)
    net.relays(relay("udp", pair, 7000))
    sink = net.y.spawn("sink", sys.executable, STREAM, "udp-sink", "0.0.0.0" if pair[1] == 4
                       else "::", 7000)
    sink.wait_log("ready")
    wait_listens(net.y, 7000, "udp")
    sent = json.loads(net.x.run(sys.executable, STREAM, "udp-send", OWN[pair[0]], PORTS[pair],
                                2000, 4000, 1000).splitlines()[-1])
    sink.stop()
    got = json.loads(sink.log().splitlines()[-1])
    print(sent, got)
    totals = net.totals()
    assert got["duplicates"] == 0
    assert got["received"] == totals["relays"][0][0] + totals["unknown"]
    assert totals["relay_ring"] == totals["relay_stranger"] == 0
