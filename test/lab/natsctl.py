# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""A NATS client for tests, over the text protocol: natsctl.py ADDRESS WORD ...

    get BUCKET KEY            the value in base64, an empty line if there is none
    put BUCKET KEY BASE64     without waiting for anything but the server's PONG
    delete BUCKET KEY         a delete marker, as other clients write it
    keys BUCKET               a JSON list
    values BUCKET             JSON: key to value in base64
    leader BUCKET             the name of the server that leads its stream, an empty line for none
    watch BUCKET              each value as it comes: Unix time, key, size
    load BUCKET FILE          puts all of a file: key, blank, value in base64; waits until it is there
"""

import base64
import json
import os
import socket
import sys
import time

ANSWER = 5  # seconds: who should answer may be stopped, or not chosen yet


class Client:
    def __init__(self, address, port=4222):
        self.socket = socket.create_connection((address, port), 3)
        self.file = self.socket.makefile("rb")
        self.file.readline()  # INFO
        self.sent = 0
        self.send(b'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\n')
        self.flush()

    def send(self, data):
        self.socket.sendall(data)

    def flush(self):
        self.send(b"PING\r\n")
        while not self.file.readline().startswith(b"PONG"):
            pass

    def publish(self, subject, data=b"", reply="", headers=b""):
        if headers:
            head = b"NATS/1.0\r\n" + headers + b"\r\n\r\n"
            self.send(f"HPUB {subject} {reply} {len(head)} {len(head) + len(data)}\r\n".encode()
                      + head + data + b"\r\n")
        else:
            self.send(f"PUB {subject} {reply} {len(data)}\r\n".encode() + data + b"\r\n")

    def messages(self, patience=float("inf")):
        """(subject, data) of each message that comes; TimeoutError if none does, though PINGs may."""
        end = time.monotonic() + patience
        while True:
            if time.monotonic() > end:
                raise TimeoutError
            line = self.file.readline().split()
            if not line:
                return
            if line[0] == b"PING":
                self.send(b"PONG\r\n")
            if line[0] not in (b"MSG", b"HMSG"):
                continue
            body = self.file.read(int(line[-1]) + 2)[:-2]
            yield line[1].decode(), body[int(line[-2]):] if line[0] == b"HMSG" else body

    def ask(self, subject, request):
        inbox = "_INBOX." + os.urandom(8).hex()
        self.send(f"SUB {inbox} 1\r\nUNSUB 1 1\r\n".encode())
        self.publish(subject, json.dumps(request).encode(), inbox)
        return json.loads(next(self.messages(ANSWER))[1])


def get(client, bucket, key):
    answer = client.ask(f"$JS.API.STREAM.MSG.GET.KV_{bucket}",
                        {"last_by_subj": f"$KV.{bucket}.{key}"})
    message = answer.get("message", {})
    deleted = b"KV-Operation" in base64.b64decode(message.get("hdrs", ""))
    return None if deleted else message.get("data")


def keys(client, bucket):
    info = client.ask(f"$JS.API.STREAM.INFO.KV_{bucket}", {"subjects_filter": ">"})
    return sorted(s.split(".", 2)[2] for s in info.get("state", {}).get("subjects") or {})


def count(client, bucket):
    info = client.ask(f"$JS.API.STREAM.INFO.KV_{bucket}", {})
    return info.get("state", {}).get("num_subjects", 0)


def load(client, bucket, path):
    before, wanted = count(client, bucket), 0
    with open(path) as lines:
        for wanted, line in enumerate(lines, 1):
            key, value = line.split()
            client.publish(f"$KV.{bucket}.{key}", base64.b64decode(value))
            if wanted % 500 == 0:
                while count(client, bucket) < before + wanted - 4000:
                    time.sleep(0.01)
    while count(client, bucket) < before + wanted:
        time.sleep(0.05)


def main(address, word, bucket, *words):
    client = Client(address)
    if word == "get":
        try:
            print(get(client, bucket, words[0]) or "")
        except TimeoutError:
            print()  # there is no leader to ask
    elif word == "put":
        client.publish(f"$KV.{bucket}.{words[0]}", base64.b64decode(words[1]))
        client.flush()
    elif word == "delete":
        client.publish(f"$KV.{bucket}.{words[0]}", headers=b"KV-Operation: DEL")
        client.flush()
    elif word == "keys":
        print(json.dumps(keys(client, bucket)))
    elif word == "values":
        found = {key: get(client, bucket, key) for key in keys(client, bucket)}
        print(json.dumps({key: value for key, value in found.items() if value}))
    elif word == "leader":
        try:
            info = client.ask(f"$JS.API.STREAM.INFO.KV_{bucket}", {})
            print(info.get("cluster", {}).get("leader", ""))
        except TimeoutError:
            print()  # it is the leader who would answer
    elif word == "watch":
        client.send(f"SUB $KV.{bucket}.> 1\r\n".encode())
        client.flush()
        print("ready", flush=True)
        for subject, data in client.messages():
            print(time.time(), subject.split(".", 2)[2], len(data), flush=True)
    elif word == "load":
        load(client, bucket, words[0])


if __name__ == "__main__":
    main(*sys.argv[1:])
