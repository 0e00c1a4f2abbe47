# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""Ordinary programs whose traffic the labs send through a tunnel, and what came of it.

Every function raises LabError with what the program said if the traffic did not pass.
"""

import contextlib
import hashlib
import json
import os
import re
import signal
import sys

from lab import LabError, tool, wait_until

HERE = os.path.dirname(os.path.abspath(__file__))


class Ping:
    """A ping that runs while something else happens."""

    def __init__(self, node, address, interval=0.02, name="ping", size=56):
        # Replies up to 1 s late count.
        self.process = node.spawn(name, "ping", "-D", "-i", interval, "-W", 1, "-s", size, address)

    def replies(self):
        return self.process.log().count("bytes from")

    def wait_replies(self, more=5, timeout=10):
        """Wait until `more` further replies have come."""
        goal = self.replies() + more
        wait_until(lambda: self.replies() >= goal, f"{more} more replies to a ping", timeout)

    def finish(self):
        """End it; (sent, received).  The last one may be under way then: it counts if it was answered."""
        self.process.stop(signal.SIGINT)
        log = self.process.log()
        sent, received = ping_counts(log)
        answered = re.findall(r"bytes from .* icmp_seq=(\d+)", log)
        under_way = received == sent - 1 and (not answered or int(answered[-1]) != sent % 65536)
        return sent - under_way, received

    def longest_gap(self):
        """Longest time in seconds between two replies so far."""
        times = [float(t) for t in re.findall(r"\[([\d.]+)\] \d+ bytes from", self.process.log())]
        return max((b - a for a, b in zip(times, times[1:])), default=0.0)


def ping_counts(text):
    found = re.search(r"(\d+) packets transmitted, (\d+) received", text)
    if not found:
        raise LabError(f"ping said nothing of its packets:\n{text}")
    return int(found.group(1)), int(found.group(2))


def ping(node, address, count=5, size=56, interval=0.02, df=False):
    """All of count pings must be answered; the median round trip in milliseconds."""
    done = node.run("ping", "-c", count, "-i", interval, "-W", 2, "-s", size,
                    *(["-M", "do"] if df else []), address, check=False)
    sent, received = ping_counts(done.stdout)
    if received != sent:
        raise LabError(f"{node.name}: {sent - received} of {sent} pings of {size} bytes to "
                       f"{address} were not answered:\n{done.stdout}")
    times = sorted(float(t) for t in re.findall(r"time=([\d.]+) ms", done.stdout))
    return times[len(times) // 2]


def reaches(node, address):
    """Is a single ping answered?"""
    return node.run("ping", "-c1", "-W1", address, check=False).returncode == 0


@contextlib.contextmanager
def iperf_server(node, address, port=5201):
    server = node.spawn(f"iperf3-{node.name}-{port}", "iperf3", "-s", "-B", address, "-p", port)
    wait_until(lambda: node.listens(port), f"iperf3 on port {port}")
    try:
        yield
    finally:
        server.stop(signal.SIGKILL)


def iperf(node, address, seconds=2, streams=1, udp_rate=None, size=None, reverse=False,
          port=5201):
    """The summary of iperf3's JSON: "bits_per_second", "bytes", for UDP "lost_percent"."""
    argv = ["iperf3", "-J", "-c", address, "-p", port, "-t", seconds, "-P", streams]
    argv += ["-u", "-b", udp_rate] if udp_rate else []
    argv += ["-l", size] if size else []
    argv += ["-R"] if reverse else []
    done = node.run(*argv, check=False, timeout=seconds + 30)
    try:
        result = json.loads(done.stdout)
    except ValueError:
        raise LabError(f"iperf3 to {address}:\n{done.stdout}") from None
    if "error" in result:
        raise LabError(f"iperf3 to {address}: {result['error']}")
    end = result["end"]
    return end["sum"] if udp_rate else end["sum_received"]


class File:
    """A file of random bytes, and its sha256."""

    def __init__(self, lab, name, size):
        self.name, self.size = name, size
        self.directory = lab.path("www")
        os.makedirs(self.directory, exist_ok=True)
        with open("/dev/urandom", "rb") as source:
            data = source.read(size)
        with open(os.path.join(self.directory, name), "wb") as out:
            out.write(data)
        self.sha256 = hashlib.sha256(data).hexdigest()


def serve_files(node, directory, addresses, port=80, rate=0):
    """An nginx that serves a directory; to each client at most `rate` bytes/s, evenly, if given."""
    listen = "".join(f"listen {f'[{a}]' if ':' in a else a}:{port};" for a in addresses)
    config = node.lab.write(f"nginx-{node.name}.conf", f"""
        daemon off;
        master_process off;
        user root;
        pid {node.lab.path(f"nginx-{node.name}.pid")};
        error_log stderr;
        events {{ worker_connections 64; }}
        http {{
            access_log off;
            sendfile on;
            sendfile_max_chunk 64k;
            limit_rate {rate};
            client_body_temp_path {node.lab.path("nginx-body")};
            proxy_temp_path {node.lab.path("nginx-proxy")};
            fastcgi_temp_path {node.lab.path("nginx-fastcgi")};
            uwsgi_temp_path {node.lab.path("nginx-uwsgi")};
            scgi_temp_path {node.lab.path("nginx-scgi")};
            server {{ {listen} root {directory}; }}
        }}""")
    server = node.spawn(f"nginx-{node.name}", "nginx", "-e", "stderr", "-c", config)
    wait_until(lambda: node.listens(port), f"nginx on port {port}")
    return server


def url(address, file, port=80):
    """Of a file of serve_files()."""
    return f"http://{f'[{address}]' if ':' in address else address}:{port}/{file.name}"


def fetch(node, address, file, port=80, timeout=60):
    """curl the file from serve_files(); its sha256 must be equal.  Seconds it took."""
    to = node.lab.path(f"fetched-{node.name}")
    took = node.run("curl", "-sS", "-g", "--fail", "-o", to, "-w", "%{time_total}",
                    url(address, file, port), timeout=timeout)
    with open(to, "rb") as got:
        digest = hashlib.sha256(got.read()).hexdigest()
    if digest != file.sha256:
        raise LabError(f"{file.name}: fetched {os.path.getsize(to)} bytes of {file.size}, or "
                       "others: the sha256 differs")
    os.unlink(to)
    return float(took)


def ssh_server(node, port=22):
    """A private sshd with keys of its own; only the key of the lab may log in."""
    lab = node.lab
    for key in ("ssh-host-key", "ssh-user-key"):
        if not os.path.exists(lab.path(key)):
            tool("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", lab.path(key))
    config = lab.write(f"sshd-{node.name}.conf", f"""
Port {port}
HostKey {lab.path("ssh-host-key")}
AuthorizedKeysFile {lab.path("ssh-user-key.pub")}
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
""")
    unlock_root(lab)
    server = node.spawn(f"sshd-{node.name}", "/usr/sbin/sshd", "-D", "-e", "-f", config)
    wait_until(lambda: node.listens(port), f"sshd on port {port}")
    return server


def unlock_root(lab):
    """sshd refuses a locked account even with a key: show it, and only here, an unlocked one."""
    with open("/etc/shadow") as shadow:
        text = shadow.read()
    if text.startswith("root:!"):
        tool("mount", "--bind", lab.write("shadow", re.sub("^root:!+", "root:*", text), 0o600),
             "/etc/shadow")


def ssh_argv(node, address, *options, port=22):
    """The client of ssh_server(), up to the command that is to run there."""
    return ["ssh", "-F", "none", "-i", node.lab.path("ssh-user-key"), "-p", port,
            "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR",
            "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
            "-o", "ConnectTimeout=10", *options, f"root@{address}"]


def ssh(node, address, command, port=22):
    """Run a command over ssh; its output."""
    return node.run(*ssh_argv(node, address, port=port), command).strip()


def dns_server(node, addresses, name, answers):
    """A resolver that knows one name."""
    server = node.spawn(f"dnsmasq-{node.name}", "dnsmasq", "--keep-in-foreground",
                        "--conf-file=/dev/null", "--log-facility=-", "--user=root", "--pid-file",
                        "--no-resolv", "--no-hosts", "--bind-interfaces", "--except-interface=lo",
                        *(f"--listen-address={a}" for a in addresses),
                        *(f"--address=/{name}/{a}" for a in answers))
    wait_until(lambda: node.listens(53, "udp"), "dnsmasq on port 53")
    return server


def resolve(node, address, name, kind="A"):
    """Ask the resolver at address."""
    return node.run("dig", "+short", "+tries=2", "+time=2", f"@{address}", name, kind).strip()


def multicast_receiver(node, group, device, port=7777):
    """Join the group; wait_log("received …") of the result shows what came."""
    receiver = node.spawn(f"mcast-{node.name}-{group}", sys.executable, "-u",
                          os.path.join(HERE, "mcast.py"), "recv", group, port, device)
    receiver.wait_log("joined")
    return receiver


def multicast_send(node, group, device, text, port=7777):
    node.run(sys.executable, os.path.join(HERE, "mcast.py"), "send", group, port, device, text)


def multicast_reaches(sender, sender_device, receivers, group, port=7777):
    """One packet to the group must reach every receiver, given as (node, device), once."""
    joined = [multicast_receiver(node, group, device, port) for node, device in receivers]

    def all_hear():
        multicast_send(sender, group, sender_device, "hello?", port)
        return all("received hello?" in receiver.log() for receiver in joined)
    wait_until(all_hear, f"the memberships of {group} to arrive", interval=0.2)
    multicast_send(sender, group, sender_device, "the packet", port)
    for receiver in joined:
        receiver.wait_log("received the packet")
    multicast_send(sender, group, sender_device, "the last one", port)
    for receiver in joined:
        receiver.wait_log("received the last one")
        copies = receiver.log().count("received the packet")
        if copies != 1:
            raise LabError(f"{receiver.name}: one packet to {group} arrived {copies} times")
        receiver.stop()
