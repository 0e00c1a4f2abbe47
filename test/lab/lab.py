# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""Network labs: namespaces, links, NATs and processes that always go away.

A lab never touches the machine's own network.  enter() moves the program into new pid,
mount and network namespaces: the network one is empty, and /run is a private tmpfs, so that
node names, sockets and files collide with nobody's, however many labs run beside each other.  When the program ends, in whatever way (success, failure, Ctrl-C, SIGTERM, SIGKILL),
the kernel ends every process inside it and takes namespaces, links and files with it.

    Lab      the nodes of one experiment, and the files under /run/lab/NAME
    Node     a network namespace: run() a command, spawn() a daemon, addresses and routes
    Process  a daemon and its log: wait for a line, signal it, ask what CPU time it used

Nothing here sleeps in hope: wait_until() polls a condition and says what it waited for.
"""

import collections
import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("ANYRELAY_BUILD", os.path.join(ROOT, "build"))
RUN = "/run/lab"
SANITIZER = re.compile(r"(WARNING|ERROR): \w+Sanitizer|\.[ch]:\d+:\d+: runtime error: ")
INSIDE = "ANYRELAY_LAB"
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PR_SET_PDEATHSIG = 1  # linux/prctl.h
CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET = 0x20000, 0x20000000, 0x40000000  # linux/sched.h


class LabError(Exception):
    """The experiment could not be made or did not come out; the text is a sentence."""


def enter():
    """Go on in a child process in own namespaces, where this returns; the parent waits for it."""
    if os.geteuid() != 0:
        sys.exit("labs make network namespaces: start them as root")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID):
        sys.exit("labs need namespaces of their own, and may not make them here: unshare: "
                 + os.strerror(ctypes.get_errno()))
    sys.stdout.flush()
    child = os.fork()  # the first process of the pid namespace: all others end with it
    if child:
        for number in ENDING:
            signal.signal(number, lambda number, _: os.kill(child, number))
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        sys.exit(status if status >= 0 else 128 - status)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    for number in ENDING:
        signal.signal(number, terminated)
    tool("mount", "--make-rprivate", "/")
    tool("mount", "-t", "proc", "proc", "/proc")
    tool("mount", "-t", "tmpfs", "-o", "mode=755", "lab", "/run")
    for path in ("/run/netns", "/run/sshd", RUN):
        os.mkdir(path)
    os.environ |= {"PATH": "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin",
                   "LC_ALL": "C.UTF-8", INSIDE: "1"}


def terminated(_number, _frame):
    """Once: what follows is the clean-up."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def tool(*argv, check=True, timeout=60, input="", **kwargs):
    """Run a command: its output, or LabError with what it said; with check=False how it ended."""
    argv = [str(word) for word in argv]
    try:
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=timeout, input=input, **kwargs)
    except subprocess.TimeoutExpired as late:
        said = late.stdout.decode(errors="replace") if late.stdout else ""
        raise LabError(f"{' '.join(argv)}: no end after {timeout} s\n{said}") from None
    if check and done.returncode:
        raise LabError(f"{' '.join(argv)}: ended with {done.returncode}\n{done.stdout}")
    return done.stdout if check else done


def wait_until(condition, what, timeout=10, interval=0.05):
    """Poll until condition() is true, and return its value."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise LabError(f"waited {timeout} s for {what}")
        time.sleep(interval)


class Process:
    """A daemon of a lab; standard output and error go to its log file."""

    def __init__(self, name, argv, log_path, env=None):
        self.name, self.log_path = name, log_path
        with open(log_path, "ab") as log:
            self.popen = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                          env=env)
        self.pid = self.popen.pid

    def log(self):
        with open(self.log_path, errors="replace") as log:
            return log.read()

    def alive(self):
        return self.popen.poll() is None

    def wait_log(self, pattern, timeout=10):
        """Wait for a line of the log; the match."""
        def look():
            found = re.search(pattern, self.log())
            if not found and not self.alive():
                raise LabError(f"{self.name} ended with {self.popen.returncode} before "
                               f"/{pattern}/:\n{self.log()}")
            return found
        return wait_until(look, f"/{pattern}/ in the log of {self.name}", timeout)

    def kill(self, number):
        self.popen.send_signal(number)

    def wait(self, timeout=10):
        """Wait for the end; the exit status."""
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise LabError(f"{self.name}, pid {self.pid}: no end after {timeout} s") from None

    def stop(self, number=signal.SIGTERM, timeout=10):
        if self.alive():
            self.kill(number)
        return self.wait(timeout)

    def cpu_seconds(self):
        """User and system time of all threads so far."""
        with open(f"/proc/{self.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_kb(self):
        """Resident set size."""
        with open(f"/proc/{self.pid}/status") as status:
            return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1))


class Node:
    """One network namespace of a lab."""

    def __init__(self, lab, name):
        self.lab, self.name = lab, name
        self.namespace = f"{lab.name}.{name}"
        tool("ip", "netns", "add", self.namespace)
        self.ip("link set lo up")
        self.sysctl("net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0",
                    "net.ipv6.conf.all.disable_ipv6=0", "net.ipv6.conf.default.accept_ra=0")

    def argv(self, *argv):
        return ["ip", "netns", "exec", self.namespace, *map(str, argv)]

    def run(self, *argv, **kwargs):
        """Run a command here; its output (with check=False the finished process)."""
        return tool(*self.argv(*argv), **kwargs)

    def ip(self, words):
        return tool("ip", "-n", self.namespace, *words.split())

    def sysctl(self, *settings):
        self.run("sysctl", "-qw", *settings)

    def forward(self):
        """Be a router."""
        self.sysctl("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")

    def address(self, device, *addresses):
        for address in addresses:
            self.ip(f"addr add {address} dev {device}" + (" nodad" if ":" in address else ""))

    def route(self, *routes):
        """Each "PREFIX via GATEWAY"."""
        for route in routes:
            self.ip(("-6 " if ":" in route else "") + f"route replace {route}")

    def nft(self, rules):
        self.run("nft", "-f", "-", input=rules)

    def spawn(self, name, *argv, env=None):
        """Start a daemon, which the lab stops at its end; the second of a name is NAME~2."""
        self.lab.names[name] += 1
        if self.lab.names[name] > 1:
            name += f"~{self.lab.names[name]}"
        process = Process(name, self.argv(*argv), self.lab.path(f"{name}.log"),
                          {**os.environ, **env} if env else None)
        self.lab.processes.append(process)
        return process

    def has_device(self, device):
        return self.run("ip", "link", "show", device, check=False).returncode == 0

    def listens(self, port, protocol="tcp"):
        """Is there a socket that listens on the port?"""
        return bool(self.run("ss", "-Hln", f"--{protocol}", f"sport = :{port}").strip())


class Lab:
    """The nodes, links and daemons of one experiment; a context manager."""

    open_labs = []

    def __init__(self, name):
        name = re.sub(r"[^\w-]+", "-", name).strip("-")
        self.name, self.directory = name, os.path.join(RUN, name)
        self.nodes, self.processes = {}, []
        self.names = collections.Counter()  # of processes
        os.makedirs(self.directory)
        Lab.open_labs.append(self)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """
        Stop what runs and remove nodes and files, for the next lab of this program.  What a sanitizer
        has found in a daemon is an error even if nobody has felt it.
        """
        for process in reversed(self.processes):
            process.stop(signal.SIGKILL)
        reports = [f"{process.name}:\n{process.log()}" for process in self.processes
                   if SANITIZER.search(process.log())]
        for node in self.nodes.values():
            for pid in tool("ip", "netns", "pids", node.namespace).split():
                os.kill(int(pid), signal.SIGKILL)
            tool("ip", "netns", "del", node.namespace)
        self.nodes.clear()
        self.processes.clear()
        shutil.rmtree(self.directory)
        Lab.open_labs.remove(self)
        if reports:
            raise LabError("\n".join(reports))

    def keep_logs(self):
        """Copy the logs to build/lab/NAME, to be read after a failure."""
        kept = os.path.join(BUILD, "lab", self.name)
        os.makedirs(kept, exist_ok=True)
        for process in self.processes:
            shutil.copy(process.log_path, kept)
        return kept

    def path(self, *parts):
        return os.path.join(self.directory, *parts)

    def write(self, name, text, mode=0o644):
        path = self.path(name)
        with open(path, "w") as out:
            out.write(text)
        os.chmod(path, mode)
        return path

    def node(self, name):
        self.nodes[name] = Node(self, name)
        return self.nodes[name]

    def link(self, a, a_device, b, b_device, mtu=1500):
        """A cable between two nodes."""
        tool("ip", "link", "add", a_device, "netns", a.namespace, "mtu", mtu, "type", "veth",
             "peer", "name", b_device, "netns", b.namespace, "mtu", mtu)
        a.ip(f"link set dev {a_device} up")
        b.ip(f"link set dev {b_device} up")

    def nat(self, node, outside):
        """Translate what leaves by the device `outside`, as a home router does."""
        node.forward()
        node.nft(f"""
            table inet nat {{
                chain post {{
                    type nat hook postrouting priority srcnat;
                    oifname "{outside}" masquerade
                }}
                chain forward {{
                    type filter hook forward priority filter; policy drop;
                    ct state invalid counter drop
                    ct state established,related accept
                    iifname != "{outside}" accept
                }}
            }}""")
