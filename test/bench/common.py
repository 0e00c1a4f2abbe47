# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""What the parts of the bench share: UDP rates, and tables."""

import json
import os
import signal
import statistics

from lab import BUILD, wait_until

UDPLOAD = os.path.join(BUILD, "test", "bench", "udpload")
UDP_PORT = 5999


def udp_run(client, server, address, size, rate, seconds, target=None):
    """
    (sent, received, packets/s at the receiver).  target: where the client sends to, if there is
    a relay between them; one packet goes first and is answered, so that it learns both sides.
    """
    receiver = server.spawn(f"udpload-{size}-{rate}", UDPLOAD, "recv", address, UDP_PORT)
    receiver.wait_log("ready")
    if target:
        client.run(UDPLOAD, "meet", *target)
    sent = json.loads(client.run(UDPLOAD, "send", *(target or (address, UDP_PORT)), size, rate,
                                 seconds))
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
