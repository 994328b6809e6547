#!/usr/bin/env python3
"""Draws bar charts of the figures of bench.md: `benches/chart.py DIRECTORY` writes bench.svg and summary.svg.

It reads the tables of DIRECTORY/bench.md, so that the pictures cannot differ from the page. `make bench` calls it after it
has written the page. All scales are linear. A bar that would be longer than its panel is drawn with a gap. The colours
follow the reader's light or dark scheme. The pictures are 800 pixels wide.
"""

import html
import math
import os
import re
import sys

WIDTH = 800
# The height of a bar's row, in pixels.
ROW = 19
STYLE = """
text{font:12px system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif;fill:#24292f}.t{font-weight:bold;font-size:13px}.s{fill:#57606a;font-size:11px}
.own{fill:#cf222e}.peer{fill:#54aeff}.bound{fill:url(#h)}.h{stroke:#57606a;stroke-width:1.4}.page{fill:#fff}.grid{stroke:#d8dee4}.name{font-weight:bold}
@media (prefers-color-scheme:dark){text{fill:#e6edf3}.s{fill:#9198a1}.own{fill:#f85149}.peer{fill:#1f6feb}.h{stroke:#9198a1}.page{fill:#0d1117}.grid{stroke:#30363d}}
"""
HATCH = '<defs><pattern id="h" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path class="h" d="M0 0V5"/></pattern></defs>'
LESS, MORE = "◀ less is better", "more is better ▶"


def tables(page):
    """The rows of each section's table, without the heading: cells as text, without the asterisks of bold text."""
    found = {}
    for chapter in page.split("\n## ")[1:]:
        title, _, body = chapter.partition("\n")
        rows = [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in body.split("\n") if line.startswith("| ")]
        found[title] = rows[1:]
    return found


def figures(rows, column):
    """The figures of a column by the program's name, without those that were not measured."""
    found = [(row[0], row[column]) for row in rows]
    return {name: float(word.replace(",", "")) for name, word in found if re.fullmatch(r"[\d.,]+", word)}


def panels(page):
    """All panels, in the order of the page: (title, unit, LESS or MORE, figures)."""
    table = tables(page)
    launch, init = table["Launch as another user"], table["Launch with a parent process"]
    many = re.search(r"each of (\d+) equal managers", page).group(1)
    return [
        ("size of the file", "bytes", LESS, figures(table["Size"], 1)),
        (f"memory at rest, each of {many}", "KiB", LESS, figures(table["At rest"], 2)),
        ("launch as another user", "µs", LESS, figures(launch, 1)),
        ("launch with a parent process", "µs", LESS, figures(init, 1)),
        ("restart of a server up over 1 s", "µs", LESS, figures(table["Restart"], 1)),
        ("restart in a crash loop", "µs", LESS, figures(table["Restart"], 2)),
        ("stop", "µs", LESS, figures(table["Signals"], 1)),
        ("forwarded signal, minus a direct kill", "µs", LESS, figures(table["Signals"], 2)),
        ("log, 64 KiB writes", "MB/s", MORE, figures(table["Logs"], 1)),
        ("log, 100 byte writes", "MB/s", MORE, figures(table["Logs"], 2)),
    ]


def summary(page):
    """The three panels for README.md: of programs that supervise a server, and gosu."""
    every = {title: rest for title, *rest in panels(page)}
    needs = {row[0]: row[2] for row in tables(page)["Size"]}
    _, _, size = every["size of the file"]
    names = ["vsrun", "tini", "tini-static", "dumb-init", "catatonit", "runsv", "s6-supervise", "supervise", "daemon", "gosu"]
    label = lambda name: name if needs[name] == "nothing" else f"{name} + libc"
    memory = next(rest for title, rest in every.items() if title.startswith("memory"))
    restart = every["restart of a server up over 1 s"]
    many = next(title for title in every if title.startswith("memory")).split()[-1]
    return [
        ("size of the file", "KB", None, {label(name): size[name] / 1000 for name in names}),
        (f"memory at rest, each of {many}", memory[0], None, {name: value for name, value in memory[2].items() if name != "vsrun --init"}),
        ("restart after a crash", restart[0], None, restart[2]),
    ]


def number(value):
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:,.1f}"


def text(x, y, label, css_class="", anchor="start"):
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}"{css_class and f" class={chr(34)}{css_class}{chr(34)}"}>{html.escape(label)}</text>'


def scale(values, room):
    """Returns the end of the axis and the distance of its marks. Figures over 20 times vsrun's own are not on the axis."""
    own = min(value for name, value in values.items() if name.startswith("vsrun"))
    longest = max(value for value in values.values() if value <= 20 * own)
    step = 10 ** math.floor(math.log10(longest / 2))
    step = next(step * factor for factor in (1, 2, 5, 10) if longest / (step * factor) <= (3.5 if room > 100 else 2))
    return longest * 1.02, step


def panel(x, y, width, names, title, unit, better, values):
    """Returns the SVG of one panel, and its height. `better` is LESS, MORE, or None if the picture shows it elsewhere."""
    rows = sorted(values.items(), key=lambda row: row[1], reverse=better == MORE)
    left, room = x + names, width - names - 66
    end, step = scale(values, room)
    bottom = y + 28 + ROW * len(rows)
    out = [text(x, y + 12, f"{title}, {unit}", "t")]
    if better:
        out.append(text(x + width, y + 12, better, "s", "end"))
    for mark in range(int(end / step) + 1):
        mark_x = left + room * mark * step / end
        out.append(f'<path class="grid" d="M{mark_x:.1f} {y + 24}V{bottom + 2}"/>' + text(mark_x, bottom + 14, number(mark * step), "s", "middle"))
    for index, (name, value) in enumerate(rows):
        top = y + 27 + ROW * index
        kind = "own" if name.startswith("vsrun") else "bound" if name.startswith(("bound", "direct")) else "peer"
        bar = lambda start, stop: f'<rect class="{kind}" x="{start:.1f}" y="{top}" width="{max(stop - start, 1.5):.1f}" height="13"/>'
        out.append(text(left - 6, top + 11, name, "name" if kind == "own" else "", "end"))
        if value <= end:
            stop = left + room * value / end
            out.append(bar(left, stop))
        else:
            stop = left + room + 4
            out.append(bar(left, stop - 14) + bar(stop - 8, stop))
        out.append(text(stop + 4, top + 11, number(value), "name" if kind == "own" else ""))
    return "\n".join(out), bottom + 22 - y


def svg_document(title, parts, height):
    """A complete SVG file of these parts."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" height="{height:.0f}" role="img">\n'
        f"<title>{title}</title>\n<style>{STYLE}</style>{HATCH}\n"
        f'<rect class="page" width="{WIDTH}" height="{height:.0f}"/>\n' + "\n".join(parts) + "\n</svg>\n")


def legend(y, broken):
    """The legend; with `broken`, also what a bar with a gap means."""
    labels = [("own", "vsrun"), ("peer", "other programs"), ("bound", "bound: a program that makes only the necessary system calls")]
    out, x = [], 12
    for kind, label in labels:
        out.append(f'<rect class="{kind}" x="{x}" y="{y - 10}" width="20" height="12"/>' + text(x + 26, y, label, "s"))
        x += 46 + 6.3 * len(label)
    if broken:
        out.append(f'<rect class="peer" x="{x}" y="{y - 10}" width="12" height="12"/><rect class="peer" x="{x + 16}" y="{y - 10}" width="8" height="12"/>')
        out.append(text(x + 30, y, "longer than the panel", "s"))
    return out


def all_panels(page):
    parts, y, found = legend(20, True), 40, panels(page)
    for first in range(0, len(found), 2):
        pair = [panel(12 + 396 * side, y, 380, 168, *one) for side, one in enumerate(found[first:first + 2])]
        parts += [drawn for drawn, _ in pair]
        y += max(height for _, height in pair) + 16
    return svg_document("vsrun compared with similar programs: the figures of bench.md as bars", parts, y)


def three_panels(page):
    places, parts, tallest = [(12, 262, 124), (286, 250, 108), (548, 240, 88)], legend(20, True), 0
    parts.append(text(12, 38 + 22 + 28 + ROW * 11 + 12, f"In all three: {LESS}. All scales are linear, all figures from docs/bench.md (make bench).", "s"))
    for (x, width, names), one in zip(places, summary(page)):
        drawn, height = panel(x, 38, width, names, *one)
        parts.append(drawn)
        tallest = max(tallest, height)
    return svg_document("vsrun compared with similar programs: size, memory at rest and restart time", parts, 38 + tallest + 22)


def draw(directory):
    with open(os.path.join(directory, "bench.md"), encoding="utf-8") as file:
        page = file.read()
    for name, svg in [("bench.svg", all_panels(page)), ("summary.svg", three_panels(page))]:
        with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
            file.write(svg)


if __name__ == "__main__":
    draw(sys.argv[1])
