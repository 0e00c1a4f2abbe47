# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""Does every test that docs/TESTING.md names exist?  check_testing.py ROOT"""

import os
import re
import sys

WORD = re.compile(r"`(?:(unit|sim|bpf|lab)/(test_\w+)|(\w+))`")


def missing(root):
    """What is named in the tables, and is not there."""
    with open(os.path.join(root, "docs", "TESTING.md")) as text:
        rows = [line for line in text if line.startswith("| ") and line != "| hazard | tests |\n"]
    for row in rows:
        file, source = None, ""
        for folder, name, test in WORD.findall(row.split("|")[2]):
            if name:
                file = f"test/{folder}/{name}." + ("py" if folder == "lab" else "c")
                path = os.path.join(root, file)
                source = open(path).read() if os.path.exists(path) else ""
            elif not re.search(rf"^(def|static void) {test}\(", source, re.M):
                yield f"{file} has no test {test}"
        if not file:
            yield f"no test in the row: {row.strip()}"


if __name__ == "__main__":
    wrong = list(missing(sys.argv[1]))
    print("\n".join(wrong))
    sys.exit(bool(wrong))
