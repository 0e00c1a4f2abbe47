# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""A NATS cluster of a lab, and somebody who may do there what he likes.

    Nats    nats-server on several nodes: start, stop, kill; plain, or with TLS and credentials
    Admin   reads, writes and deletes keys of the buckets, as natsctl.py on a node
"""

import base64
import datetime
import hashlib
import ipaddress
import json
import os
import shutil
import signal
import sys
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

from lab import wait_until

HERE = os.path.dirname(os.path.abspath(__file__))
PORT, ROUTE_PORT, HTTP_PORT = 4222, 6222, 8222
OPERATOR, ACCOUNT, USER, SEED = 14 << 3, 0, 20 << 3, 18 << 3  # first bytes of nkeys


# ---- credentials: nkeys and the JWTs that they sign, as nsc makes them ----

def crc16(data):
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xffff
    return crc.to_bytes(2, "little")


def encode(raw):
    return base64.b32encode(raw + crc16(raw)).decode().rstrip("=")


def b64(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class Nkey:
    """A key pair of one of NATS's roles."""

    def __init__(self, role):
        self.key = ed25519.Ed25519PrivateKey.generate()
        raw = self.key.private_bytes(serialization.Encoding.Raw, serialization.PrivateFormat.Raw,
                                     serialization.NoEncryption())
        self.public = encode(bytes([role]) + self.key.public_key().public_bytes(
            serialization.Encoding.Raw, serialization.PublicFormat.Raw))
        self.seed = encode(bytes([SEED | role >> 5, (role & 31) << 3]) + raw)

    def jwt(self, subject, name, kind, **claims):
        body = {"iat": int(time.time()), "iss": self.public, "name": name, "sub": subject.public,
                "nats": {"type": kind, "version": 2, **claims}}
        body["jti"] = base64.b32encode(hashlib.sha256(json.dumps(body).encode()).digest()).decode().rstrip("=")
        text = b64(b'{"typ":"JWT","alg":"ed25519-nkey"}') + "." + b64(json.dumps(body).encode())
        return text + "." + b64(self.key.sign(text.encode()))


class Credentials:
    """An operator, a system account, an account with JetStream, and a user of it."""

    def __init__(self, lab):
        self.operator, system, account, user = (Nkey(role) for role in
                                                (OPERATOR, ACCOUNT, ACCOUNT, USER))
        all_of_it = {"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1,
                     "wildcards": True, "conn": -1, "leaf": -1, "mem_storage": -1,
                     "disk_storage": -1, "streams": -1, "consumer": -1}
        without_jetstream = {**all_of_it, "mem_storage": 0, "disk_storage": 0, "streams": 0,
                             "consumer": 0}
        self.config = f"""
            operator: "{self.operator.jwt(self.operator, 'lab', 'operator')}"
            system_account: {system.public}
            resolver: MEMORY
            resolver_preload {{
                {system.public}: "{self.operator.jwt(system, 'SYS', 'account', limits=without_jetstream)}"
                {account.public}: "{self.operator.jwt(account, 'anyrelay', 'account', limits=all_of_it)}"
            }}"""
        self.file = lab.write("nats.creds", f"""-----BEGIN NATS USER JWT-----
{account.jwt(user, 'anyrelay', 'user', subs=-1, data=-1, payload=-1)}
------END NATS USER JWT------

-----BEGIN USER NKEY SEED-----
{user.seed}
------END USER NKEY SEED------
""", 0o600)


# ---- TLS ----

class Certificates:
    """A certificate authority, and one certificate for all addresses."""

    def __init__(self, lab, addresses):
        self.now = datetime.datetime.utcnow()
        authority_key = ec.generate_private_key(ec.SECP256R1())
        authority = self.certificate("lab", authority_key, "lab", authority_key, [
            (x509.BasicConstraints(ca=True, path_length=None), True)])
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName(
            [x509.IPAddress(ipaddress.ip_address(a)) for a in addresses])
        certificate = self.certificate("nats", key, "lab", authority_key, [(names, False)])
        pem = serialization.Encoding.PEM
        self.ca = lab.write("nats-ca.pem", authority.public_bytes(pem).decode())
        self.certificate_file = lab.write("nats.pem", certificate.public_bytes(pem).decode())
        self.key = lab.write("nats.key", key.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode(), 0o600)

    def certificate(self, name, key, issuer, issuer_key, extensions):
        def named(text):
            return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
        builder = (x509.CertificateBuilder().subject_name(named(name)).issuer_name(named(issuer))
                   .public_key(key.public_key()).serial_number(x509.random_serial_number())
                   .not_valid_before(self.now - datetime.timedelta(days=1))
                   .not_valid_after(self.now + datetime.timedelta(days=1)))
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(issuer_key, hashes.SHA256())


# ---- servers ----

class Nats:
    """A JetStream cluster: one nats-server on each of the nodes, {node: address}."""

    def __init__(self, lab, nodes, secure=False):
        self.lab, self.nodes = lab, nodes
        self.certificates = Certificates(lab, nodes.values()) if secure else None
        self.credentials = Credentials(lab) if secure else None
        self.processes = {}

    def settings(self, replicas=None):
        """What a server's configuration says of this registry."""
        scheme = "tls" if self.certificates else "nats"
        return {"Registry_Type": "nats", "Registry_Replicas": replicas or len(self.nodes),
                "Registry_Servers": [f"{scheme}://{a}:{PORT}" for a in self.nodes.values()],
                **({"Registry_TLSCA": self.certificates.ca,
                    "Registry_Credentials": self.credentials.file} if self.certificates else {})}

    def config(self, node, address):
        routes = ", ".join(f"nats-route://{a}:{ROUTE_PORT}" for a in self.nodes.values())
        secure = ""
        if self.certificates:
            c = self.certificates
            secure = f'tls {{ cert_file: "{c.certificate_file}", key_file: "{c.key}" }}'
            secure += self.credentials.config
        return f"""
            server_name: {node.name}
            listen: "{address}:{PORT}"
            http: "127.0.0.1:{HTTP_PORT}"
            ping_interval: "2s"
            ping_max: 2
            jetstream {{ store_dir: "{self.store(node)}" }}
            cluster {{ name: lab, listen: "{address}:{ROUTE_PORT}", routes: [{routes}] }}
            {secure}"""

    def store(self, node):
        return self.lab.path(f"nats-{node.name}")

    def start_one(self, node):
        path = self.lab.write(f"nats-{node.name}.conf", self.config(node, self.nodes[node]))
        self.processes[node] = node.spawn(f"nats-{node.name}", "nats-server", "-c", path)

    def start(self):
        for node in self.nodes:
            self.start_one(node)
        for process in self.processes.values():
            process.wait_log("Server is ready", 30)
        wait_until(self.healthy, "NATS to have a leader", 60, 0.2)

    def healthy(self):
        return all(node.run("curl", "-sf", f"http://127.0.0.1:{HTTP_PORT}/healthz",
                            check=False).returncode == 0 for node in self.nodes)

    def kill(self):
        for process in self.processes.values():
            process.stop(signal.SIGKILL)

    def keep_store(self):
        """A copy of what is on disk, of servers that do not run; for restore_store()."""
        for node in self.nodes:
            shutil.rmtree(self.store(node) + ".kept", ignore_errors=True)
            shutil.copytree(self.store(node), self.store(node) + ".kept")

    def restore_store(self, kept=True):
        for node in self.nodes:
            shutil.rmtree(self.store(node))
            if kept:
                shutil.copytree(self.store(node) + ".kept", self.store(node))


class Admin:
    """Somebody with the right to do everything in NATS, and without a key of the cluster."""

    def __init__(self, node, address):
        self.node, self.address = node, address

    def run(self, *words, **kwargs):
        return self.node.run(sys.executable, os.path.join(HERE, "natsctl.py"), self.address,
                             *words, **kwargs)

    def get(self, bucket, key):
        """The value, or None."""
        text = self.run("get", bucket, key).strip()
        return base64.b64decode(text) if text else None

    def put(self, bucket, key, value):
        self.run("put", bucket, key, base64.b64encode(value).decode())

    def delete(self, bucket, key):
        self.run("delete", bucket, key)

    def leader(self, bucket):
        """The node that leads it, or None; asked for at the address."""
        done = self.run("leader", bucket, check=False)
        return done.stdout.strip() or None if done.returncode == 0 else None

    def keys(self, bucket):
        return json.loads(self.run("keys", bucket))

    def values(self, bucket):
        """{key: value}, all that are not deleted."""
        found = json.loads(self.run("values", bucket))
        return {key: base64.b64decode(value) for key, value in found.items()}

    def load(self, bucket, path):
        """All of a file of values.write(); returns when NATS has them."""
        self.run("load", bucket, path, timeout=600)

    def watch(self, bucket):
        """A process whose log has a line for each value from now on: time, key, size."""
        process = self.node.spawn(f"watch-{bucket}", sys.executable, "-u",
                                  os.path.join(HERE, "natsctl.py"), self.address, "watch", bucket)
        process.wait_log("ready")
        return process
