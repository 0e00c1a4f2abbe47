# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""Run labs: labs.py [FILE] [PYTEST OPTION ...], all labs without a FILE; --full: long forms."""

import os
import sys

import lab

if __name__ == "__main__":
    lab.enter()
    import pytest
    here = os.path.dirname(os.path.abspath(__file__))
    words = sys.argv[1:]
    if not any(word.endswith(".py") or "::" in word for word in words):
        words.append(here)
    sys.exit(pytest.main(["--rootdir", here, "-p", "no:cacheprovider", "--tb=short",
                          "--durations=5", *words]))
