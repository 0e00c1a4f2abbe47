# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""Paths that carry less than 1500 bytes.

    c1 ── n1 ──(narrow)──┐
                         ├── wan ── s ── h
    c2 ── n2 ────────────┘

Nothing is fragmented outside; inside, 1280 bytes always pass, what is larger gets an ICMP
error, and TCP never needs one because its MSS is clamped.
"""

import re

import pytest

import traffic
from lab import Lab, wait_until
from nets import INNER4, INNER6, TwoNats


def narrow(net, mtu):
    net.n1.ip(f"link set wan mtu {mtu}")
    net.wan.ip(f"link set n1 mtu {mtu}")


def fragments(node):
    """IP fragments made and received so far, both families."""
    text = node.run("nstat", "-asz", "IpFragCreates", "IpReasmReqds", "Ip6FragCreates",
                    "Ip6ReasmReqds")
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Ip"))


@pytest.fixture(scope="module", params=[(4, 1300), (6, 1280), (4, 1420)],
                ids=["outer4-1300", "outer6-1280", "outer4-1420"])
def net(request):
    outer, mtu = request.param
    with Lab(f"mtu-{outer}-{mtu}") as lab:
        net = TwoNats(lab)
        narrow(net, mtu)
        net.up(outer=outer)
        net.largest = max(1280, mtu - 60)  # inside the narrow leg
        wait_until(lambda: net.server.sessions()["c1"]["down_mtu"] <= mtu
                   and net.server.sessions()["c2"]["down_mtu"] > 1420,
                   "the clients to have found their path MTUs", 15)
        yield net


@pytest.mark.parametrize("inner", [INNER4, INNER6], ids=["inner4", "inner6"])
def test_1280_bytes_pass(net, inner):
    overhead = 28 if inner is INNER4 else 48
    for here, there in ((net.c1, "c2"), (net.c2, "c1"), (net.s, "c1"), (net.c1, "s")):
        traffic.ping(here, inner[there], size=1280 - overhead, df=True)


@pytest.mark.parametrize("inner", [INNER4, INNER6], ids=["inner4", "inner6"])
def test_too_big_says_so(net, inner):
    """A sender beyond the wide leg learns what the narrow one carries, and then its packet fits."""
    overhead = 28 if inner is INNER4 else 48
    done = net.c2.run("ping", "-c3", "-i0.1", "-W1", "-M", "do", "-s", 1420 - overhead,
                      inner["c1"], check=False)
    told = re.findall(r"mtu ?= ?(\d+)", done.stdout)
    assert told and 1280 <= int(told[-1]) <= net.largest, done.stdout
    traffic.ping(net.c2, inner["c1"], size=int(told[-1]) - overhead, df=True)


def test_without_df_fragments_inside(net):
    traffic.ping(net.c2, INNER4["c1"], size=3000)


@pytest.mark.parametrize("inner", [INNER4, INNER6], ids=["inner4", "inner6"])
def test_tcp(net, inner, full):
    """Bulk both ways; the MSS that c1 sees in c2's SYN fits the narrow leg."""
    header = 40 if inner is INNER4 else 60
    # -y: tcpdump takes every device whose name begins with "any" for its pseudo-device.
    sniffer = net.c1.spawn("tcpdump", "tcpdump", "-l", "-n", "-i", "any0", "-y", "RAW", "-v",
                           "tcp[tcpflags] & tcp-syn != 0" if inner is INNER4
                           else "ip6[6] = 6 and ip6[53] & 2 != 0")
    sniffer.wait_log("listening on")
    for reverse in (False, True):
        with traffic.iperf_server(net.c1, inner["c1"]):
            result = traffic.iperf(net.c2, inner["c1"], seconds=5 if full else 1, reverse=reverse)
        assert result["bytes"] > 1_000_000
    mss = int(sniffer.wait_log(r"mss (\d+)").group(1))
    assert mss <= net.largest - header
    sniffer.stop()


def test_nothing_is_fragmented_outside(net):
    before = fragments(net.wan) + fragments(net.n1)
    traffic.ping(net.c2, INNER4["c1"], size=1252, df=True)
    with traffic.iperf_server(net.c1, INNER4["c1"]):
        traffic.iperf(net.c2, INNER4["c1"], seconds=1)
    assert fragments(net.wan) + fragments(net.n1) == before


def test_path_that_shrinks(lab):
    """The leg narrows under a running session: c1 hears of it by ICMP, probes, and goes on."""
    net = TwoNats(lab).up()
    wait_until(lambda: net.k1.status()["session"]["up_mtu"] == 1500, "1500 to be proven", 15)
    narrow(net, 1300)
    with traffic.iperf_server(net.c2, INNER4["c2"]):
        traffic.iperf(net.c1, INNER4["c2"], seconds=5)
        assert net.k1.status()["session"]["up_mtu"] <= 1300
        assert traffic.iperf(net.c1, INNER4["c2"], seconds=1)["bytes"] > 1_000_000
