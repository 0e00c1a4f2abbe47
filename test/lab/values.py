# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""Registry values made from what docs/PROTOCOL.md says, without any code of the daemon.

    Keys      the cluster's and the operator's, from their files
    client    a signed client record
    pages     the digests of many of them, signed by the page
    session   a sealed session record
    relay     what a sealed relay record says
    port      the first port that the id of a relay draws
    Many      a great number of both, in files for NATS
"""

import base64
import collections
import hashlib
import hmac
import os
import struct
import time

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

NONCE = bytes(12)
RAW = (Encoding.Raw, PublicFormat.Raw)


def mac(key, data):
    return hmac.digest(key, data, hashlib.sha256)


def expand(key, info):
    """HKDF-Expand, 32 bytes."""
    return mac(key, info + b"\x01")


def mapped(address):
    """An IPv4 address as 16 bytes."""
    return bytes(10) + b"\xff\xff" + bytes(map(int, address.split(".")))


class Keys:
    def __init__(self, server):
        with open(server.cluster_key) as cluster, open(server.operator_key) as operator:
            secret, seed = (base64.b64decode(f.readline().strip()) for f in (cluster, operator))
        self.sign = Ed25519PrivateKey.from_private_bytes(seed).sign
        seal = X25519PrivateKey.from_private_bytes(expand(seed, b"anyrelay operator seal"))
        cluster_public = X25519PrivateKey.from_private_bytes(secret).public_key()
        self.record = mac(b"anyrelay record seal", seal.exchange(cluster_public))
        self.registry = expand(secret, b"anytun2 registry")
        self.relay = expand(secret, b"anytun2 relay")


def client(keys, index, name, address, version=1):
    public = X25519PrivateKey.generate().public_key().public_bytes(*RAW)
    salt = os.urandom(16)
    bound = struct.pack(">IQ", index, version)
    sealed = AESGCM(expand(keys.record, b"psk" + salt)).encrypt(NONCE, os.urandom(32),
                                                                bound + public)
    record = (b"\x01\x00" + bound + bytes(6) + public + salt + sealed
              + bytes([len(name)]) + name.encode() + b"\x01" + mapped(address) + b"\x80")
    return record + keys.sign(b"anyrelay client record" + record)


def page(keys, number, records):
    """The digests of these records, {index: record}, all of page `number`."""
    digests = bytearray(256 * 16)
    for index, record in records.items():
        at = index % 256 * 16
        digests[at:at + 16] = hashlib.sha256(record).digest()[:16]
    signed = b"\x01" + struct.pack(">I", number) + digests
    return signed + keys.sign(b"anyrelay record digests" + hashlib.sha256(signed).digest())


def pages(keys, records):
    """All pages of these records: (number, page)."""
    by_page = collections.defaultdict(dict)
    for index, record in records.items():
        by_page[index // 256 + 1][index] = record
    return ((number, page(keys, number, some)) for number, some in by_page.items())


def session(keys, index, address, port=4444, now=None):
    now = now or time.time()
    plain = struct.pack(">BBBBHHHQQI8s16sHQQBB", 1, 0, 7, 1, 99, 1500, 20, int(now * 16),
                        int(now) // 300, 1, os.urandom(8), mapped(address), port,
                        int(now * 2**24), int(now * 2**24), 0, 0)
    salt = os.urandom(32)
    return salt + AESGCM(expand(keys.registry, salt)).encrypt(
        NONCE, plain, b"anyrelay_sessions.%d" % index)


def relay(keys, key, value):
    """The relay under this key: id, living, settled, and its ports as (protocol, family, port)."""
    plain = AESGCM(expand(keys.registry, value[:32])).decrypt(NONCE, value[32:],
                                                              b"anyrelay_relays." + key.encode())
    flags, protocol, span = plain[1:4]
    assert plain[4:20].hex() == key
    expires, = struct.unpack_from(">Q", plain, 44)
    living = not flags & 1 and (not expires or expires > time.time())
    return {"id": key, "living": living, "settled": bool(flags & 2),
            "ports": [(protocol, plain[at + 1], first + i)
                      for at in (52, 74) for first in struct.unpack_from(">H", plain, at + 2)
                      for i in range(span)]}


def port(keys, name, side, first, last):
    """What the id (in hexadecimal) of a relay draws first for a side, from the range of ports."""
    drawn = mac(keys.relay, b"port" + bytes.fromhex(name) + bytes([side, 0]))[:4]
    return first + int.from_bytes(drawn, "big") % (last - first + 1)


# the buckets
CLIENTS, SESSIONS, DIGESTS = "anyrelay_clients", "anyrelay_sessions", "anyrelay_digests"
RELAYS = "anyrelay_relays"


class Many:
    """So many clients, enrolled and with a session, as files for Admin.load() (nats.py)."""

    FIRST = 300  # index: those before are of who is there in earnest

    def __init__(self, lab, keys, count):
        self.lab, self.keys = lab, keys
        self.places = [(i, f"10.{7 + (i >> 16)}.{i >> 8 & 255}.{i & 255}")
                       for i in range(self.FIRST, self.FIRST + count)]

        self.records = {}

    def clients(self):
        self.records = {i: client(self.keys, i, f"client-{i}", a) for i, a in self.places}
        return self.write("clients", self.records.items())

    def pages(self):
        """The digests of these clients."""
        return self.write("pages", pages(self.keys, self.records))

    def sessions(self):
        return self.write("sessions", ((i, session(self.keys, i, address))
                                       for i, address in self.places))

    def write(self, name, values):
        path = self.lab.path(f"many-{name}")
        write(path, values)
        return path


def write(path, values):
    """As natsctl.py loads it: {key: value}."""
    with open(path, "w") as out:
        for key, value in values:
            out.write(f"{key} {base64.b64encode(value).decode()}\n")
