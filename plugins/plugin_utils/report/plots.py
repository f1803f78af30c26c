# SPDX-License-Identifier: GPL-3.0-or-later
"""Draw the figures of a benchmark as SVG that stands inside a page: no script, nothing from elsewhere, named for all.

Drawn by pygal. Its colours are the page's own (CSS variables), so that they follow dark mode and print.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET

try:
    import pygal
    from pygal.style import Style
except ImportError:  # a controller without it gets the tables
    pygal = None

#: Size of a plot in its own units; the page scales it. Small, so that its text is readable on a phone.
_WIDTH, _HEIGHT = 460, 300

#: Characters of labels that fit beside each other.
_LABELS_CHARS = 48

#: Colours of a plot's series, which the page defines.
_COLOURS = ("var(--series-1)", "var(--series-2)", "var(--series-3)")

#: Names of the measured times in plots.
_TIMES = (("ttft_ms", "Time to first token"), ("tpot_ms", "Time per output token"), ("e2el_ms", "Whole request"))

_SVG = "{http://www.w3.org/2000/svg}"


def available() -> bool:
    """Tell whether pygal is installed on this controller."""
    return pygal is not None


def of_benchmark(bench: dict) -> list[dict]:
    """Return the plots of a document's part ``benchmark``, as ``{title, svg}``; none without runs or without pygal."""
    runs = [run for run in bench.get("runs") or [] if run["ok"]]
    if not available() or not runs:
        return []
    names, load = [run["name"] for run in runs], load_of(runs)
    plots = []
    for key, title in _TIMES:
        series = {name: [run[key][name] for run in runs] for name in ("p50", "p90", "p99")}
        plots.append(("%s, ms" % title, load[0] if load else "", names, series))
    throughput = {"output": [run["output_throughput"] for run in runs]}
    if len(runs) > 1:  # one bar says nothing
        plots.append(("Output tokens per second", load[0] if load else "", names, throughput))
    found = []
    for number, (heading, axis, labels, series) in enumerate(plots, 1):
        if not any(value is not None for values in series.values() for value in values):
            continue
        points = [str(value) for value in load[1]] if load else labels
        found.append({"title": heading, "svg": _drawn("plot-%d" % number, heading, axis, points, series, bool(load))})
    return found


def load_of(runs: list[dict]) -> tuple[str, list] | None:
    """Return (what was varied, its values) of a sweep over rates or concurrency; None when it is none.

    A sweep has three runs or more that differ in one of both, in growing order.
    """
    for key, axis in (("request_rate", "requests per second"), ("max_concurrency", "requests at a time")):
        values = [run[key] for run in runs]
        if len(values) >= 3 and None not in values and values == sorted(set(values)):
            return axis, values
    return None


def _drawn(identity: str, heading: str, axis: str, labels: list[str], series: dict, line: bool) -> str:
    """Return one plot as the text of an SVG element."""
    style = Style(
        background="transparent",
        plot_background="transparent",
        foreground="var(--muted)",
        foreground_strong="var(--text)",
        foreground_subtle="var(--line)",
        guide_stroke_color="var(--line)",
        major_guide_stroke_color="var(--line)",
        colors=_COLOURS,
        # pygal would work them out of the colours, which are none to it
        value_colors=("var(--text)",) * len(_COLOURS),
        font_family="inherit",
        label_font_size=13,
        major_label_font_size=13,
        legend_font_size=14,
        title_font_size=14,
        opacity="1",
        opacity_hover="1",
        stroke_opacity="1",
        stroke_width="2.5",
        transition="0s",
    )
    kind = pygal.Line if line else pygal.Bar
    chart = kind(
        style=style,
        width=_WIDTH,
        height=_HEIGHT,
        js=(),
        show_legend=len(series) > 1,
        legend_at_bottom=True,
        legend_at_bottom_columns=len(series),
        legend_box_size=12,
        margin=6,
        margin_bottom=14,
        spacing=8,
        dots_size=3.5,
        include_x_axis=True,
        x_title=axis or None,
        y_labels_major_count=3,
        show_minor_y_labels=True,
        max_scale=6,
        x_label_rotation=0 if sum(len(text) + 2 for text in labels) < _LABELS_CHARS else 30,
        truncate_label=24,
        value_formatter=lambda value: "%.4g" % value if value < 10000 else format(round(value), ",d"),
        no_prefix=False,
        disable_xml_declaration=True,
    )
    chart.uuid = identity
    chart.x_labels = labels
    for name, values in series.items():
        chart.add(name, values)
    words = "%s. %s. The table above has the same figures." % (
        heading,
        "; ".join(
            "%s: %s"
            % (name, ", ".join("%s %s" % (x, "none" if y is None else "%.4g" % y) for x, y in zip(labels, values)))
            for name, values in series.items()
        ),
    )
    return _clean(chart.render(is_unicode=True), identity, heading, words)


def _clean(svg: str, identity: str, heading: str, words: str) -> str:
    """Return pygal's SVG without scripts, links and namespaces, with a name for those who do not see it.

    Args:
        svg: what pygal wrote.
        identity: id of the plot in the page.
        heading: its name.
        words: what it shows, in words.
    """
    root = ET.fromstring(svg)
    for parent in root.iter():
        for child in list(parent):
            # pygal's "title" is its own, and "desc" is text for its script, but for the values: those become tooltips
            if child.tag in (_SVG + "script", _SVG + "title", _SVG + "a") or not isinstance(child.tag, str):
                parent.remove(child)
        values = [child for child in parent if child.tag == _SVG + "desc"]
        for child in values:
            parent.remove(child)
        shown = [(child.text or "").strip() for child in values if "value" in child.get("class", "")]
        if shown and shown[0]:
            title = ET.Element(_SVG + "title")
            title.text = shown[0]
            parent.insert(0, title)
    for node in root.iter():
        node.tag = node.tag.replace(_SVG, "")
        for name in [name for name in node.attrib if name.startswith("{")]:
            del node.attrib[name]
        # pygal's are the same in every plot
        if node is not root:
            node.attrib.pop("id", None)
    root.set("role", "img")
    root.set("aria-labelledby", "%s-name %s-words" % (identity, identity))
    root.set("viewBox", "0 0 %d %d" % (_WIDTH, _HEIGHT))
    for name, text in (("desc", words), ("title", heading)):
        node = ET.Element(name, {"id": "%s-%s" % (identity, "name" if name == "title" else "words")})
        node.text = text
        root.insert(0, node)
    return ET.tostring(root, encoding="unicode")
