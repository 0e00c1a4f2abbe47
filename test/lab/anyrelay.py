# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""anyrelay's daemons in a lab: keys, configurations, start, reload, and what they count.

A Server has an operator, a cluster key and a file of clients of its own; a Client is enrolled
with it by the tool and starts from the configuration that the tool printed.
"""

import copy
import json
import os
import shutil
import signal

from lab import BUILD, LabError, tool, wait_until

DAEMON = os.path.join(BUILD, "src", "anyrelayd")
TOOL = os.path.join(BUILD, "src", "anyrelay")
USER = "nobody"  # what the daemons become; the package's own user may not exist here
PORT = 4444


def available():
    """None, or why the daemons cannot be run."""
    for program in (DAEMON, TOOL):
        if not os.access(program, os.X_OK):
            return f"{program} is not built: ./run build"
    return None


def parse(text):
    """A configuration as {section: {key: [values]}}."""
    config, section = {}, None
    for line in text.splitlines():
        line = line.split("#")[0].strip()
        if line.startswith("["):
            section = config.setdefault(line.strip("[]"), {})
        elif line:
            key, value = (part.strip() for part in line.split("=", 1))
            section.setdefault(key, []).append(value)
    return config


def render(config):
    lines = []
    for section, keys in config.items():
        lines.append(f"[{section}]")
        for key, value in keys.items():
            lines.append(f"{key} = {', '.join(map(str, value))}" if isinstance(value, list)
                         else f"{key} = {value}")
    return "\n".join(lines) + "\n"


def merge(config, settings):
    """settings: {"Section.Key": value}, which win; None removes a key."""
    for name, value in settings.items():
        section, key = name.split(".")
        config.setdefault(section, {})[key] = value
        if value is None:
            del config[section][key]
    return config


def private(lab, name, text):
    """A file that only the daemon reads, again at each reload."""
    path = lab.write(name, text, 0o600)
    shutil.chown(path, USER)
    return path


class Daemon:
    """One anyrelayd: its directory, configuration and control socket."""

    def __init__(self, lab, node, name):
        self.lab, self.node, self.name = lab, node, name
        self.directory = lab.path(name)
        self.config_path = lab.path(f"{name}.conf")
        self.socket = lab.path(name, "control.sock")
        self.process = None
        self.make_directory()

    def make_directory(self):
        os.makedirs(self.directory, exist_ok=True)
        shutil.chown(self.directory, USER)

    def common(self):
        return {"Daemon.Name": self.name, "Daemon.ControlSocket": self.socket,
                "Daemon.StateDirectory": self.directory, "Daemon.User": USER}

    def write(self):
        private(self.lab, os.path.basename(self.config_path), render(self.config))

    def set(self, **settings):
        """Change the configuration: set(Tunnel_MTU=1300)."""
        merge(self.config, {name.replace("_", ".", 1): value for name, value in settings.items()})
        self.write()

    def spawn(self, env=None):
        """Start without waiting for anything."""
        self.process = self.node.spawn(self.name, DAEMON, "-c", self.config_path, env=env)
        return self.process

    def start(self, env=None):
        self.spawn(env)
        wait_until(self.answers, f"{self.name} to answer on its control socket")
        return self.process

    def answers(self):
        if not self.process.alive():
            raise LabError(f"{self.name} ended with {self.process.popen.returncode}:\n"
                           f"{self.process.log()}")
        return self.ask("status", check=False).returncode == 0

    def ask(self, *words, check=True):
        """The tool, told to talk to this daemon."""
        return tool(TOOL, *words, "--socket", self.socket, check=check)

    def status(self):
        return json.loads(self.ask("status", "--json"))

    def drops(self):
        """{reason: count}"""
        return self.status()["drops"]

    def relays(self):
        """{id: relay}: a client's; at a server all"""
        return {relay["id"]: relay for relay in json.loads(self.ask("relays", "--json"))["relays"]}

    def wait_drop(self, reason, more_than=0, timeout=5):
        wait_until(lambda: self.drops().get(reason, 0) > more_than,
                   f"{self.name} to count drops for {reason}", timeout)

    def reload(self):
        self.ask("reload")

    def stop(self):
        """End it politely; it must not complain."""
        status = self.process.stop(signal.SIGTERM)
        if status:
            raise LabError(f"{self.name} ended with {status}:\n{self.process.log()}")


class Server(Daemon):
    """A server with its own operator and cluster."""

    def __init__(self, lab, node, addresses, listen, name="server", number=1, **settings):
        super().__init__(lab, node, name)
        self.clients_file = lab.path(f"{name}-clients")
        self.listen = listen
        self.operator_key = lab.write(f"{name}-operator.key",
                                      tool(TOOL, "genkey", "--operator"), 0o600)
        self.cluster_key = private(lab, f"{name}-cluster.key", tool(TOOL, "genkey"))
        with open(self.operator_key) as operator, open(self.cluster_key) as cluster:
            self.operator_public = tool(TOOL, "pubkey", "--operator", input=operator.read()).strip()
            self.cluster_public = tool(TOOL, "pubkey", input=cluster.read()).strip()
        open(self.clients_file, "a").close()
        self.config = merge({}, {
            "Server.Number": number, "Server.ClusterKeyFile": self.cluster_key,
            "Server.OperatorKey": self.operator_public, "Server.Listen": list(listen),
            "Server.Port": PORT, "Server.Clients": self.clients_file,
            "Tunnel.Device": "any0", "Tunnel.Address": list(addresses), **self.common()})
        self.set(**settings)

    def enroll(self, name, addresses, rights=()):
        """Enrol a client; the configuration that the tool made for it."""
        output = self.lab.path(f"{name}.enrolled")
        self.node.run(TOOL, "enroll", name, "-c", self.config_path,
                      "--operator-key", self.operator_key, "--output", output,
                      "--server", ",".join(endpoint(a) for a in self.listen),
                      *(["--address", ",".join(addresses)] if addresses else []),
                      *(["--right", ",".join(rights)] if rights else []))
        with open(output) as text:
            return parse(text.read())

    def revoke(self, name):
        self.node.run(TOOL, "revoke", name, "-c", self.config_path,
                      "--operator-key", self.operator_key)

    def sessions(self):
        """{client's name: what the server knows of its session}"""
        listed = json.loads(self.ask("sessions", "--json"))["sessions"]
        return {session["client"]: session for session in listed}


class Client(Daemon):
    """A client, enrolled with a server."""

    def __init__(self, server, node, addresses, name=None, server_address=None, rights=(),
                 **settings):
        name = name or node.name
        super().__init__(server.lab, node, name)
        self.config = merge(server.enroll(name, addresses, rights),
                            {"Tunnel.Device": "any0", **self.common()})
        if server_address:
            self.set(Client_Server=endpoint(server_address))
        self.set(**settings)

    @classmethod
    def twin_of(cls, other, node):
        """The same client, with its key and addresses, on another machine."""
        twin = cls.__new__(cls)
        Daemon.__init__(twin, other.lab, node, f"{other.name}-twin")
        twin.config = merge(copy.deepcopy(other.config), twin.common())
        twin.write()
        return twin


def endpoint(address):
    return f"[{address}]:{PORT}" if ":" in address else f"{address}:{PORT}"
