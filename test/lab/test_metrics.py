# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""Metrics and health over HTTP: the same figures as the tool's, for every server of a cluster.

    c1 ── n1 ── r1 ──┐      ┌── s1, s2, s3      one cluster
                     ├─ sw ─┤
    c2 ── n2 ── r2 ──┘      └── d1, d2, d3      NATS          addresses: cluster.py
"""

import json
import os
import re
import sys
import time

import pytest

import traffic
from cluster import HERE, INNER4, ClusterNet
from lab import ROOT, Lab, wait_until
from scrape import PORT, get, health, scrape


@pytest.fixture(scope="module")
def net():
    with Lab("metrics") as lab:
        made = ClusterNet(lab).start_cluster()
        made.k1.stop()
        made.k1.set(Metrics_Listen="127.0.0.1")
        made.k1.start()
        wait_until(lambda: traffic.reaches(made.c1, INNER4["c2"]), "c1 to be back", 20)
        yield made


def servers(daemon):
    return json.loads(daemon.ask("servers", "--json"))


def told(daemon):
    """{metric: {labels: number}} of everything that the tool tells as a number."""
    status = daemon.status()
    role = status["role"]
    samples = {}

    def put(prefix, figures, suffix="_total"):
        for key, value in figures.items():
            samples[f"anyrelay_{prefix}{key}{suffix}"] = {(): value}

    def put_reasons(name, figures):
        samples[name] = {(("reason", reason),): count for reason, count in figures.items()}
    put("", status["traffic"])
    put(f"{role}_", status["events"])
    put_reasons("anyrelay_drops_total", status["drops"])
    if role == "client":
        return samples
    registry = status["registry"]
    for key in ("type", "connected", "lag_ms", "queue", "silent_s"):
        registry.pop(key, None)
    put("registry_", registry)
    mesh = servers(daemon)
    put("mesh_", mesh["mesh"])
    put_reasons("anyrelay_mesh_drops_total", mesh["mesh_drops"])
    return samples


@pytest.mark.parametrize("name", ["s1", "s2", "s3", "c1"])
def test_every_counter(net, name):
    """Whatever the tool counts is a metric, with a value between those before and after it."""
    daemon = next(d for d in (*net.daemons, net.k1) if d.name == name)
    traffic.ping(net.c1, INNER4["c2"])
    before = told(daemon)
    wait_until(lambda: scrape(daemon)["anyrelay_loops_total"].value()
               > before["anyrelay_loops_total"][()], "a page that is younger")
    metrics = scrape(daemon)
    after = told(daemon)
    for metric, samples in after.items():
        assert metrics[metric].kind == "counter"
        for labels, value in samples.items():
            earlier = before[metric].get(labels, 0)
            assert earlier <= metrics[metric].samples[labels] <= value, (metric, labels)
    counters = {metric for metric in metrics if metrics[metric].kind == "counter"}
    assert counters == set(after), "a counter that the tool does not tell"
    print(f"\n{name}: {len(metrics)} metrics, "
          f"{sum(len(m.samples) for m in metrics.values())} samples")


def test_gauges(net):
    """States, as the tool tells them."""
    for daemon in net.daemons:
        status, metrics = daemon.status(), scrape(daemon)

        def value(name, **labels):
            return metrics[f"anyrelay_{name}"].value(**labels)
        assert value("sessions") == status["sessions"]["known"] == 2
        assert value("clients") == status["sessions"]["clients"] == 2
        assert value("sessions_active_max") == status["sessions"]["capacity"]
        assert status["epoch"] - 1 <= value("epoch") <= status["epoch"]
        assert value("announced") == 1 and value("registry_connected") == 1
        assert 0 < value("registry_lag_seconds") < 2
        assert 0 <= value("registry_queue") and 0 <= value("registry_silent_seconds")
        assert 0 <= time.time() - value("start_time_seconds") < 3600
        cluster = status["cluster"]
        assert (cluster["servers"], cluster["alive"], cluster["announced"]) == (3, 3, 3)
        assert abs(value("clock_offset_seconds")) < 0.25 and value("clocks") == 3
        assert not any(metrics["anyrelay_withdrawn"].samples.values())
        info, = metrics["anyrelay_build_info"].samples
        assert dict(info)["name"] == daemon.name and dict(info)["role"] == "server"
        others = {(str(s["number"]), s["name"]) for s in servers(daemon)["servers"]
                  if not s["self"]}
        assert len(others) == 2
        for name in ("alive", "rtt_seconds", "clock_offset_seconds"):
            found = metrics[f"anyrelay_mesh_server_{name}"].samples
            assert {(dict(l)["server"], dict(l)["name"]) for l in found} == others
    metrics, session = scrape(net.k1), net.k1.status()["session"]
    assert metrics["anyrelay_session_up"].value() == 1
    assert metrics["anyrelay_session_up_mtu_bytes"].value() == session["up_mtu"]
    assert metrics["anyrelay_session_down_mtu_bytes"].value() == session["down_mtu"]


def test_dashboard(net):
    """What the dashboard of packaging/grafana asks for is there, at each server."""
    with open(os.path.join(ROOT, "packaging", "grafana", "anyrelay.json")) as text:
        asked = {name for panel in json.load(text)["panels"] for target in panel["targets"]
                 for name in re.findall(r"anyrelay_\w+", target["expr"])}
    assert len(asked) > 20
    for daemon in net.daemons:
        assert asked <= set(scrape(daemon))


def test_health_and_the_others_view(net):
    """A drained server says so to load balancers at once, and to the other servers."""
    first, second = net.daemons[:2]
    assert health(first) == health(second) == (200, ["serving"])
    second.ask("drain")
    assert health(second) == (503, ["withdrawn:", "drained: anyrelay drain"])
    wait_until(lambda: scrape(second)["anyrelay_withdrawn"].value(reason="drained") == 1,
               "a page that is younger")

    def view(daemon):
        return {s["name"]: (s["announced"], s["withdrawn_for"])
                for s in servers(daemon)["servers"]}
    wait_until(lambda: view(first) == {"s1": (True, []), "s2": (False, ["drained"]),
                                       "s3": (True, [])}, "s1 to know that s2 is drained")
    assert view(second) == view(first)
    assert "drained" in first.ask("servers")
    second.ask("undrain")
    assert health(second) == (200, ["serving"])
    wait_until(lambda: all(announced for announced, _ in view(first).values()),
               "s1 to know that s2 is back")
    net.wait_announcing(node.name for node in net.servers)
    assert health(net.k1) == (200, ["connected"])


def test_what_is_refused(net):
    daemon = net.daemons[0]
    assert get(daemon, "/")[0] == get(daemon, "/metrics/x")[0] == 404
    assert get(daemon, "/metrics", "-X", "POST", "-d", "x=1")[0] == 405
    assert get(daemon, "/metrics", "-X", "DELETE")[0] == 405
    assert get(daemon, "/" + "x" * 20000)[0] in (400, 413, 414, 431)
    assert get(daemon, "/metrics", "-I")[0] == 200
    assert daemon.node.run("ss", "-Hltn", f"sport = :{PORT}").split()[3] == f"127.0.0.1:{PORT}"
    assert net.c2.run("ss", "-Hltn", f"sport = :{PORT}") == "", "a client has none unasked"


def descriptors(daemon):
    return len(os.listdir(f"/proc/{daemon.process.pid}/fd"))


def test_hostile_scrapers(net, full):
    """Connections that are held open end after 5 s, and neither packets nor the mesh feel them."""
    daemon = net.daemons[0]
    before = descriptors(daemon)
    running = traffic.Ping(net.c1, INNER4["c2"])
    harms = {kind: daemon.node.spawn(f"harm-{kind}", sys.executable, "-u",
                                     os.path.join(HERE, "scrape.py"), kind, f"127.0.0.{i}",
                                     "127.0.0.1", PORT, 50, 60 if full else 9)
             for i, kind in enumerate(("silent", "half", "drip", "deaf"), 2)}
    for harm in harms.values():
        harm.wait_log("ready")
    wait_until(lambda: descriptors(daemon) >= before + 40, "the connections to be held")
    assert descriptors(daemon) <= before + 64
    daemon.ask("status")
    for kind, harm in harms.items():
        assert harm.wait(90) == 0
        cut, lasting = map(int, harm.log().split()[-2:])
        print(f"\n{kind}: {cut} connections cut, {lasting} of them after more than 3 s")
        # One that does not read cannot see its end: the kernel holds the page for it.
        assert kind == "deaf" or cut > lasting >= 8
    wait_until(lambda: descriptors(daemon) == before, "all connections to be closed", 20)
    wait_until(lambda: get(daemon, "/health")[0] == 200, "the next scraper's turn", 20)
    assert scrape(daemon)["anyrelay_announced"].value() == 1
    sent, received = running.finish()
    print(f"{sent} pings meanwhile, longest gap {running.longest_gap() * 1e3:.0f} ms")
    # On a busy machine BFD or a heartbeat may miss its time: for a moment, and not for the harm's.
    assert received > sent / 2 > 50
    for daemon in net.daemons:
        wait_until(lambda: all(s["alive"] for s in servers(daemon)["servers"]),
                   f"{daemon.name} to hear all others")
