# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""What the parts of the bench share: three nodes in a row, UDP rates, and tables."""

import json
import os
import signal
import statistics

from lab import BUILD, wait_until

UDPLOAD = os.path.join(BUILD, "test", "traffic", "udpload")
UDP_PORT = 5999


OUTER = ("192.0.2.1", "192.0.2.2", "192.0.2.5", "192.0.2.6")  # from one end to the other


def make_nodes(lab, one, other):
    """one ──192.0.2.0/30── s ──192.0.2.4/30── other: s routes between them."""
    nodes = [lab.node(name) for name in (one, "s", other)]
    s = nodes[1]
    for end, own, near, device in ((nodes[0], OUTER[0], OUTER[1], "e1"),
                                   (nodes[2], OUTER[3], OUTER[2], "e2")):
        lab.link(end, "e0", s, device)
        end.address("e0", f"{own}/30")
        s.address(device, f"{near}/30")
        end.route(f"default via {near}")
    s.forward()
    return nodes


def udp_run(client, server, address, size, rate, seconds, target=None, turn=False):
    """
    (sent, received, packets/s at the receiver).  target: where the client sends to, if there is
    a relay between them.  To a TURN server the client says where its packets go; of any other
    relay one packet goes first and is answered, so that it learns both sides.
    """
    receiver = server.spawn(f"udpload-{size}-{rate}", UDPLOAD, "recv", address, UDP_PORT)
    receiver.wait_log("ready")
    if target and not turn:
        client.run(UDPLOAD, "meet", *target)
    sent = json.loads(client.run(UDPLOAD, "send", *(target or (address, UDP_PORT)), size, rate,
                                 seconds, *((address, UDP_PORT) if turn else ())))
    wait_quiet(server)
    receiver.stop(signal.SIGTERM)
    got = json.loads(receiver.log().split("ready\n", 1)[1])
    return sent["sent"], got["received"], got["received"] / max(got["seconds"], 1e-3)


def wait_quiet(node):
    """Until no more UDP packets come: what was queued in the tunnel has drained."""
    def received():
        counters = node.run("nstat", "-asz", "UdpInDatagrams", "UdpRcvbufErrors")
        return [line.split()[1] for line in counters.splitlines() if line.startswith("Udp")]

    last = [None]

    def same():
        before, last[0] = last[0], received()
        return before == last[0]
    wait_until(same, "the end of the packets", interval=0.2)


def table(sections):
    """Sections of rows of cells under common columns; a section's title stands alone."""
    rows = [row for _, section in sections for row in section]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for title, section in sections:
        if title:
            print(f" {title}")
        for row in section:
            cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
            print("  " + "  ".join([row[0].ljust(widths[0])] + cells))


def spread(values):
    median = statistics.median(values)
    if not median:
        return "-"
    return f"{100 * min(values) / median:.0f}-{100 * max(values) / median:.0f}"
