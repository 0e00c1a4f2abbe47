# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 The anyrelay authors
"""Panels one above the other over the same seconds, drawn by gnuplot as SVG and as PNG."""

import collections
import math
import os

from lab import tool

# points: [(x, y)]; style: what gnuplot calls "with …"
Curve = collections.namedtuple("Curve", "name style points")
# name: a sentence over it; unit: of its y axis; top: the least that the axis goes up to
Panel = collections.namedtuple("Panel", "name unit top curves")
Mark = collections.namedtuple("Mark", "x text")

TERMINALS = {
    "svg": """set terminal svg size 960,760 dynamic background "white" font "sans-serif,13"
              large = ",19"; middle = ",15" """,
    "png": """set terminal pngcairo size 1440,1140 background "white" font "sans,11" \\
                  fontscale 1.5 linewidth 1.5
              large = ",16"; middle = ",13" """}
SPACE = 1.25  # the highest point leaves room for what the marks say
MARK = "#c0392b"

HEAD = """
set encoding utf8
set multiplot layout {panels},1 margins 0.085,0.985,0.075,0.86 spacing 0.085
set border 3 linecolor "#555555"
set tics nomirror textcolor "#333333"
set grid ytics linecolor "#dddddd" linetype 1
set key at graph 1, graph 1.17 right top horizontal samplen 1.5 textcolor "#333333"
set xrange [0:{end}]
set style fill solid 0.35 noborder
set label 1 "{title}" at screen 0.085, 0.968 font large
set label 2 "{subtitle}" at screen 0.085, 0.93 textcolor "#555555"
"""


def quote(text):
    return text.replace("\\", "\\\\").replace('"', '\\"')


def tic_step(top):
    """1, 2 or 5 times a power of ten, at most four of them to the top."""
    power = 10 ** math.floor(math.log10(top / 4))
    return next(n * power for n in (1, 2, 5, 10) if 4 * n * power >= top)


def mark_lines(marks, first):
    """A line down through every panel, and what it means over the first."""
    for i, mark in enumerate(marks, 1):
        yield (f"set arrow {i} from {mark.x:.3f}, graph 0 to {mark.x:.3f}, graph 1.0 nohead "
               f'linecolor "{MARK}" linewidth 1.5 dashtype (6,4) front')
        if first:
            yield (f'set label {10 + i} "{quote(mark.text)}" at {mark.x:.3f}, graph 1.0 '
                   f'offset 0.4,-0.7 left textcolor "{MARK}" front')
        else:
            yield f"unset label {10 + i}"


def panel_lines(number, panel, marks, last):
    for i, curve in enumerate(panel.curves):
        yield f"$data{number}_{i} << END"
        # A comment keeps an empty one from being an error.
        yield from [f"{x:.3f} {y:.3f}" for x, y in curve.points] or ["-1 0"]
        yield "END"
    top = max([panel.top] + [SPACE * y for curve in panel.curves for _, y in curve.points])
    yield from mark_lines(marks, first=number == 0)
    yield f'set label 3 "{quote(panel.name)}" at graph 0, graph 1.08 left font middle'
    yield f'set ylabel "{quote(panel.unit)}"'
    yield f"set yrange [0:{top:.3f}]"
    yield f"set ytics {tic_step(top):g}"
    yield f'set xlabel "{"seconds" if last else ""}" offset 0,0.4'
    yield "plot " + ", ".join(f'$data{number}_{i} with {curve.style} title "{quote(curve.name)}"'
                              for i, curve in enumerate(panel.curves))


def script(title, subtitle, end, panels, marks):
    lines = [HEAD.format(panels=len(panels), end=f"{end:.1f}", title=quote(title),
                         subtitle=quote(subtitle))]
    for number, panel in enumerate(panels):
        lines += panel_lines(number, panel, marks, number == len(panels) - 1)
        lines += ["unset label 1", "unset label 2"] if number == 0 else []
    return "\n".join([*lines, "unset multiplot", ""])


def draw(directory, name, *what):
    """NAME.svg and NAME.png in the directory, of what script() takes; their paths."""
    os.makedirs(directory, exist_ok=True)
    text, paths = script(*what), []
    for kind, terminal in TERMINALS.items():
        paths.append(os.path.join(directory, f"{name}.{kind}"))
        tool("gnuplot", input=f'{terminal}\nset output "{paths[-1]}"\n{text}')
    return paths
