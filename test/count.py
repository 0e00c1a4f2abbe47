# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""Sum up JUnit files: prints "PASSED FAILED SKIPPED"; with --failed the names of pytest's failures.

pytest writes a test case for each test.  Meson writes one for each program that says nothing
of its own cases, and takes over those of programs that print TAP.
"""

import sys
import xml.etree.ElementTree as ElementTree


def outcome(case):
    kinds = {child.tag for child in case}
    if kinds & {"failure", "error"}:
        return 1
    return 2 if "skipped" in kinds else 0


def failures(paths):
    for path in paths:
        for case in ElementTree.parse(path).iter("testcase"):
            if outcome(case) == 1:
                print(f"{case.get('classname').replace('.', '/')}.py::{case.get('name')}")


def main(paths):
    sums = [0, 0, 0]
    for path in paths:
        for case in ElementTree.parse(path).iter("testcase"):
            sums[outcome(case)] += 1
    print(*sums)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--failed"]:
        failures(sys.argv[2:])
    else:
        main(sys.argv[1:])
