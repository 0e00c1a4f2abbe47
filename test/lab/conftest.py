# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""What every lab gets: `lab`, an empty lab of its own; `full`, whether the long form is asked for.

After a failure the logs of the lab's daemons are in the report, and kept in build/lab/.
"""

import os

import pytest

import anyrelay
import lab as library


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="run the long form of each lab")


def pytest_configure():
    if os.environ.get(library.INSIDE) != "1":
        pytest.exit("labs run inside namespaces of their own: ./run lab NAME", 2)
    if anyrelay.available():
        pytest.exit(anyrelay.available(), 2)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    report = (yield).get_result()
    if not report.failed:
        return
    for lab in library.Lab.open_labs:
        kept = lab.keep_logs()
        for process in lab.processes:
            log = process.log().strip()
            if log:
                report.sections.append((f"{process.name} ({kept})", log[-3000:]))


@pytest.fixture
def full(request):
    return request.config.getoption("--full")


@pytest.fixture
def lab(request):
    with library.Lab(request.node.name) as made:
        yield made
