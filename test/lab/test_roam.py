# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""A client's outer address changes; its session does not.

    c1 ── n1 ──┐            n1 gets another address; its old mappings are gone
               ├── wan ── s
    c2 ── n2 ──┘            v (192.0.2.2) is the victim of packets with its source address
"""

import pytest

import traffic
from lab import wait_until
from nets import INNER4, SERVER4, TwoNats

NEW = {4: "198.51.100.10", 6: "2001:db8:1::10"}


def move(net, outer):
    """n1 changes its address at once; conntrack forgets what was masqueraded by the old one."""
    if outer == 4:
        net.wan.route(f"{NEW[4]}/32 dev n1")
        net.n1.address("wan", f"{NEW[4]}/32")
        net.n1.ip("addr del 198.51.100.2/30 dev wan")
        net.n1.route("default via 198.51.100.1 dev wan onlink")
    else:
        net.n1.address("wan", f"{NEW[6]}/64")
        net.n1.ip("addr del 2001:db8:1::2/64 dev wan")
        net.n1.route("default via 2001:db8:1::1")


def endpoint(net, name="c1"):
    return net.server.sessions()[name]["endpoint"]


@pytest.mark.parametrize("outer", [4, 6], ids=["outer4", "outer6"])
def test_nat_changes_its_address(lab, outer):
    net = TwoNats(lab).up(outer=outer)
    running = traffic.Ping(net.c1, INNER4["c2"])
    running.wait_replies(10)
    before = net.server.sessions()["c1"]
    handshakes = net.server.status()["events"]["handshakes"]
    move(net, outer)
    wait_until(lambda: NEW[outer] in endpoint(net), "the server to follow c1")
    running.wait_replies(10)
    running.finish()
    assert running.longest_gap() < 2
    assert net.server.sessions()["c1"]["since_s"] >= before["since_s"]
    assert net.server.status()["events"]["handshakes"] == handshakes, "the move needed a new handshake"


def test_server_sends_first_after_a_move(lab):
    """Only c2 sends: c1's keep-alive from the new address must be enough."""
    net = TwoNats(lab)
    net.server = net.make_server(Server_KeepaliveMin=10)
    net.k1 = net.client(net.server, net.c1, Client_Keepalive=10)
    net.k2 = net.client(net.server, net.c2)
    for daemon in (net.server, net.k1, net.k2):
        daemon.start()
    net.wait_connected()
    move(net, 4)
    wait_until(lambda: NEW[4] in endpoint(net), "the keep-alive to move the endpoint", 15)
    traffic.ping(net.c2, INNER4["c1"])


def counted(net, name):
    """(packets, bytes) of a named counter on wan."""
    words = net.wan.run("nft", "list", "counter", "inet", "forge", name).split()
    return int(words[words.index("packets") + 1]), int(words[words.index("bytes") + 1])


def test_forged_source_gets_nothing(lab, full):
    """Every third packet of c1 reaches the server with v's address: v gets no data."""
    net = TwoNats(lab).up()
    net.stranger("v")
    net.wan.nft(f"""
        table inet forge {{
            counter forged {{ }}
            counter victim {{ }}
            chain early {{
                type filter hook prerouting priority raw;
                iifname "n1" ip daddr {SERVER4} udp dport 4444 numgen inc mod 3 == 0 \\
                    ip saddr set 192.0.2.2 counter name forged
            }}
            chain late {{
                type filter hook postrouting priority filter;
                ip daddr 192.0.2.2 counter name victim
            }}
        }}""")
    before = endpoint(net)
    running = traffic.Ping(net.c1, INNER4["c2"], interval=0.01)
    running.wait_replies(1000 if full else 300, timeout=30)
    sent, received = running.finish()
    assert sent - received <= 1
    assert endpoint(net) == before
    forged, victim = counted(net, "forged"), counted(net, "victim")
    assert forged[0] >= 20
    assert victim[1] <= forged[1], "more bytes to the unproven address than came from it"
    # one challenge each 100 ms at most, and some 20 forged packets a second
    assert victim[0] <= forged[0] * 3 // 4, "only a challenge each 100 ms may go there"
