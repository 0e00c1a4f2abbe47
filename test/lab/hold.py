# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""One thread of a daemon hangs, by ptrace, while the others go on."""

import ctypes
import os

from lab import LabError, wait_until

PTRACE_SEIZE, PTRACE_INTERRUPT = 0x4206, 0x4207
WALL = 0x40000000  # __WALL
EPOLL_WAIT, POLL = {"x86_64": (232, 7), "aarch64": (22, 73)}[os.uname().machine]


def thread_in(daemon, call, *arguments):
    """The thread that sleeps in this system call, with these arguments from the second on."""
    tasks = f"/proc/{daemon.process.pid}/task"

    def look():
        for tid in os.listdir(tasks):
            with open(f"{tasks}/{tid}/syscall") as shown:
                words = shown.read().split()
            if words[0] == str(call) and int(tid) != daemon.process.pid and all(
                    int(word, 16) == want for word, want in zip(words[2:], arguments)):
                return int(tid)
        return None
    return wait_until(look, f"a thread of {daemon.name} to sleep in system call {call}")


def worker_thread(daemon):
    return thread_in(daemon, EPOLL_WAIT)


def relay_thread(daemon):
    """It waits for three descriptors: ring buffer, bell, and the door for SIP proxies."""
    return thread_in(daemon, POLL, 3)


class held:
    """One thread stopped, by ptrace, while the others go on."""

    def __init__(self, tid):
        self.tid, self.libc = tid, ctypes.CDLL(None, use_errno=True)

    def trace(self, request):
        if self.libc.ptrace(request, self.tid, None, None) < 0:
            raise LabError(f"ptrace: {os.strerror(ctypes.get_errno())}")

    def __enter__(self):
        self.trace(PTRACE_SEIZE)
        self.trace(PTRACE_INTERRUPT)
        os.waitpid(self.tid, WALL)

    def __exit__(self, *_):
        os.waitpid(self.tid, WALL)  # its end
