# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""The tunnels that the bench compares, each as its makers ship it, with default settings.

    c1 ──192.0.2.0/30── s ──192.0.2.4/30── c2        outer, three namespaces, no NAT
    10.88.0.2       10.88.0.1        10.88.0.3       inner

start() brings one up between the three nodes and returns its daemons, whose CPU time counts;
ready when c1 reaches the server's inner address and c2's.
"""

import os
import shutil

import common
from anyrelay import Client, Server, available
from lab import LabError, tool, wait_until

OUTER = dict(zip(("c1", "s", "s2", "c2"), common.OUTER))
INNER = {"s": "10.88.0.1", "c1": "10.88.0.2", "c2": "10.88.0.3"}


def wait_ready(c1):
    for name in ("s", "c2"):
        wait_until(lambda: c1.run("ping", "-c1", "-W1", INNER[name], check=False).returncode == 0,
                   f"an answer from {INNER[name]} through the tunnel", 20)


class Anyrelay:
    name = "anyrelay"

    @staticmethod
    def missing():
        return available()

    @staticmethod
    def start(lab, c1, s, c2):
        server = Server(lab, s, [f"{INNER['s']}/24"], listen=[OUTER["s"]])
        daemons = [server.start()]
        daemons += [Client(server, node, [INNER[node.name]]).start() for node in (c1, c2)]
        return daemons


class Wireguard:
    """wireguard-go, Debian's package: user space; the device is set up through its socket."""

    name = "wireguard-go"

    @staticmethod
    def missing():
        return missing_program("wireguard-go") or missing_program("wg")

    @staticmethod
    def start(lab, c1, s, c2):
        keys = {node.name: tool("wg", "genkey").strip() for node in (c1, s, c2)}
        public = {name: tool("wg", "pubkey", input=key).strip() for name, key in keys.items()}
        daemons = []
        shutil.rmtree("/run/wireguard", ignore_errors=True)  # sockets of killed ones
        for node in (c1, s, c2):
            device = f"wg-{node.name}"
            daemons.append(node.spawn(device, "wireguard-go", "-f", device))
            wait_until(lambda: os.path.exists(f"/run/wireguard/{device}.sock"), f"{device}'s socket")
            node.run("wg", "set", device, "listen-port", 51820, "private-key",
                     lab.write(f"{device}.key", keys[node.name], 0o600))
            node.address(device, f"{INNER[node.name]}/24")
            node.ip(f"link set {device} mtu 1420 up")
        for node in (c1, c2):
            s.run("wg", "set", "wg-s", "peer", public[node.name],
                  "allowed-ips", f"{INNER[node.name]}/32")
            outer = OUTER["s" if node is c1 else "s2"]
            node.run("wg", "set", f"wg-{node.name}", "peer", public["s"], "endpoint",
                     f"{outer}:51820", "allowed-ips", "10.88.0.0/24", "persistent-keepalive", 20)
        return daemons


class Openvpn:
    """OpenVPN over UDP with AES-256-GCM; one process serves both clients, client to client."""

    name = "openvpn"

    @staticmethod
    def missing():
        return missing_program("openvpn")

    @staticmethod
    def start(lab, c1, s, c2):
        prints = {node.name: Openvpn.certificate(lab, node.name) for node in (s, c1, c2)}
        common = ["--dev", "tun0", "--proto", "udp", "--port", 1194, "--disable-dco",
                  "--data-ciphers", "AES-256-GCM", "--verb", 3]
        daemons = [s.spawn("openvpn-s", "openvpn", *common, "--server", "10.88.0.0",
                           "255.255.255.0", "--topology", "subnet", "--client-to-client",
                           "--dh", "none", "--client-config-dir", lab.directory,
                           *Openvpn.keys(lab, "s", [prints["c1"], prints["c2"]]))]
        daemons[0].wait_log("Initialization Sequence Completed")
        for node, outer in ((c1, OUTER["s"]), (c2, OUTER["s2"])):
            lab.write(node.name, f"ifconfig-push {INNER[node.name]} 255.255.255.0\n")
            client = node.spawn(f"openvpn-{node.name}", "openvpn", *common, "--client", "--nobind",
                                "--remote", outer, *Openvpn.keys(lab, node.name, [prints["s"]]))
            client.wait_log("Initialization Sequence Completed", 20)
            daemons.append(client)
        return daemons

    @staticmethod
    def certificate(lab, name):
        """A throw-away self-signed one; its fingerprint, which the other side pins."""
        certificate = lab.path(f"ovpn-{name}.crt")
        tool("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-days", 2, "-subj", f"/CN={name}", "-keyout", lab.path(f"ovpn-{name}.key"),
             "-out", certificate)
        text = tool("openssl", "x509", "-in", certificate, "-noout", "-fingerprint", "-sha256")
        return text.strip().split("=")[1]

    @staticmethod
    def keys(lab, name, peers):
        config = lab.write(f"ovpn-{name}.conf",
                           "<peer-fingerprint>\n" + "\n".join(peers) + "\n</peer-fingerprint>\n")
        return ["--config", config, "--cert", lab.path(f"ovpn-{name}.crt"),
                "--key", lab.path(f"ovpn-{name}.key")]


class Uanytun:
    """uanytun (SATP) joins two hosts: the hub is two instances and the kernel between them."""

    name = "uanytun"

    @staticmethod
    def missing():
        return missing_program("uanytun")

    @staticmethod
    def start(lab, c1, s, c2):
        daemons = []
        for n, (node, outer) in enumerate(((c1, OUTER["s"]), (c2, OUTER["s2"]))):
            port, key = 4444 + n, ["-E", f"bench {node.name}", "-4", "-D", "-L", "stdout:3"]
            daemons.append(s.spawn(f"uanytun-s{n}", "uanytun", "-i", outer, "-p", port,
                                   "-r", OUTER[node.name], "-o", port, "-d", f"sat{n}", "-t", "tun",
                                   "-n", f"{INNER['s']}/32", "-e", "left", *key))
            daemons.append(node.spawn(f"uanytun-{node.name}", "uanytun", "-i", OUTER[node.name],
                                      "-p", port, "-r", outer, "-o", port, "-d", "sat", "-t", "tun",
                                      "-n", f"{INNER[node.name]}/24", "-e", "right", *key))
            wait_until(lambda: s.has_device(f"sat{n}"), f"the device sat{n}")
            s.ip(f"link set sat{n} up")
            s.route(f"{INNER[node.name]}/32 dev sat{n} src {INNER['s']}")
        return daemons


def missing_program(name):
    return None if shutil.which(name) else f"{name} is not installed"


PEERS = [Anyrelay, Wireguard, Openvpn, Uanytun]


def start(peer, lab):
    """The three nodes and the daemons of the peer between them, ready for traffic."""
    c1, s, c2 = common.make_nodes(lab, "c1", "c2")
    daemons = peer.start(lab, c1, s, c2)
    try:
        wait_ready(c1)
    except LabError as error:
        logs = "".join(f"--- {d.name}\n{d.log()}" for d in daemons)
        raise LabError(f"{peer.name}: {error}\n{logs}") from None
    return c1, s, c2, daemons
