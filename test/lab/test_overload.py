# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""A client that sends flat out takes nothing from others when the server cannot keep up.

    c1 ──── n1 ────┐
                   ├──── wan ──── s
    c2 ──── n2 ────┘

The server is made slow: it is stopped for a while and then runs for a moment, again and again.
c1 floods it through the tunnel, and c2 sends it 200 small packets a second, of which so many
arrive: first without fair shares, then with them.
"""

import os
import signal
import threading
import time

import pytest

from cluster import Stream
from lab import Lab, wait_until
from nets import INNER4, TwoNats

STOPPED, RUNNING = 0.050, 0.001
RATE = 200
FLOOD, SIZE = 1_000_000, 100  # more a second than can be sent
DISCARD, SINK = 9, 7001


class Slow:
    """A process that gets to run for a small part of the time."""

    def __init__(self, process):
        self.process, self.ended = process, threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))  # or its moments get long
        while not self.ended.is_set():
            self.process.kill(signal.SIGSTOP)
            time.sleep(STOPPED)
            self.process.kill(signal.SIGCONT)
            time.sleep(RUNNING)

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()


@pytest.fixture(scope="module")
def net():
    with Lab("overload") as lab:
        net = TwoNats(lab).up()
        net.s.nft(f"""
            table inet discard {{
                chain input {{
                    type filter hook input priority filter;
                    udp dport {DISCARD} drop
                }}
            }}""")
        yield net


def count(net):
    """What has come to the server, and what has not."""
    status = net.server.status()
    return {"taken": status["traffic"]["rx_datagrams"], "buffer": status["drops"].get("buffer", 0),
            "overload": status["drops"].get("overload", 0)}


def deliver(net, name, seconds):
    """(part of c2's packets that arrived, what the server counted meanwhile)"""
    sink = Stream(net.s, "udp-sink", INNER4["s"], SINK)
    before = count(net)
    sent = Stream(net.c2, "udp-send", INNER4["s"], SINK, RATE, int(RATE * seconds)).wait(60)["sent"]
    after = count(net)
    ping_through(net)  # what was queued before it has arrived
    got = sink.finish()["received"]
    new = {key: after[key] - before[key] for key in before}
    print(f"{name}: {got} of {sent} packets of the light client; the server took {new['taken']}, "
          f"lost {new['buffer']} messages for want of room, dropped {new['overload']} as unfair")
    return got / sent, new


def ping_through(net):
    """Whatever overtakes nothing: c2's next packet that is answered."""
    wait_until(lambda: net.c2.run("ping", "-c1", "-W1", INNER4["s"], check=False).returncode == 0,
               "a ping of c2 to be answered", timeout=60, interval=0)


def set_fair_share(net, value):
    net.server.set(Server_FairShare=value)
    net.server.reload()


def settled(net):
    before = count(net)
    time.sleep(1)  # the second that is looked at
    after = count(net)
    return after["buffer"] == before["buffer"] and after["overload"] > before["overload"]


def test_fair_share(net, full):
    """The light client loses packets without fair shares, and next to none with them."""
    seconds = 30 if full else 3
    set_fair_share(net, "no")
    flood = Stream(net.c1, "udp-send", INNER4["s"], DISCARD, FLOOD, 0, SIZE)
    print()
    with Slow(net.server.process):
        wait_until(lambda: count(net)["buffer"] > 100, "the server to lose packets", timeout=30)
        without, lost = deliver(net, "without fair shares", seconds)
        set_fair_share(net, "yes")
        wait_until(lambda: net.server.status()["overloaded"] == 1, "fair shares", timeout=30)
        wait_until(lambda: settled(net), "the flood to be cut and nothing else lost for a second",
                   timeout=60, interval=0)
        fair, dropped = deliver(net, "with fair shares", seconds)
    flood.process.stop(signal.SIGKILL)  # it is so far behind its rate that it hears nothing else
    assert lost["buffer"] > 100 and dropped["overload"] > 1000  # there was too much, both times
    assert lost["overload"] == 0
    assert fair >= 0.95 > without
    assert net.server.status()["events"]["overloads"] >= 1
    net.wait_connected()
