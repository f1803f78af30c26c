# SPDX-License-Identifier: GPL-3.0-or-later
"""Draw ``docs/images/awx-workflow.svg``: the steps of AWX's workflow and what follows each, by awx/workflows.yml.

Usage: ``python tools/workflow_picture.py`` writes; with ``--check`` it only says whether the picture is out of date
(exit status 1). Colours and letters are those of ``tools/architecture_picture.py``.
"""

from __future__ import annotations

import importlib.util
import pathlib
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "images" / "awx-workflow.svg"
HEADING = "The workflow Release: green when the release serves, red otherwise"

SPEC = importlib.util.spec_from_file_location("architecture_picture", ROOT / "tools" / "architecture_picture.py")
drawing = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(drawing)

#: Column and row of each step, its words, and the look of its box (of architecture_picture).
PLACES = {
    "check": (0, 0, "Check", "Deploy as a\ncheck", "look"),
    "approve": (1, 0, "Deploy it?", "somebody\napproves", "look"),
    "deploy": (2, 0, "Deploy", "goes back\nby itself", "change"),
    "verify": (3, 0, "Verify", "every check\nof it", "look"),
    "benchmark": (4, 0, "Benchmark", "the end:\ngreen", "look"),
    "roll-back": (3, 1, "Roll back", "to the last\ngood release", "change"),
    "diagnose": (2, 2, "Diagnose", "names what\nfailed", "look"),
    "not-released": (4, 1.5, "Not released", "the end:\nred", "bad"),
}

#: Sizes in pixels of the picture's own: a box, the room between boxes, and where the first one stands.
BOX, HEIGHT, GAP, ROW_GAP, LEFT, TOP = 112, 84, 14, 26, 11, 52
#: Width of the picture.
WIDTH = 2 * LEFT + 5 * BOX + 4 * GAP


def steps() -> dict[str, dict[str, list[str]]]:
    """Return what follows each step by how the step ended: ``success``, ``failure``, ``always``."""
    text = (ROOT / "awx" / "workflows.yml").read_text(encoding="utf-8")
    (workflow,) = yaml.safe_load(text)["controller_workflows"]
    return {
        node["identifier"]: {
            key.removesuffix("_nodes"): [link["identifier"] for link in links]
            for key, links in (node.get("related") or {}).items()
        }
        for node in workflow["workflow_nodes"]
    }


def corner(name: str) -> tuple[float, float]:
    """Return the upper left corner of a step's box."""
    column, row = PLACES[name][:2]
    return LEFT + column * (BOX + GAP), TOP + row * (HEIGHT + ROW_GAP)


def arrow(name: str, after: str, how: str) -> list[str]:
    """Return the line from a step to the one that follows it: to the right, or down and then to the right."""
    (x, y), (to_x, to_y) = corner(name), corner(after)
    style, head = ("back", "red") if how == "failure" else ("arm line", "dot")
    if to_x == x:
        middle = x + BOX / 2
        return [drawing.path("M%g %gV%g" % (middle, y + HEIGHT, to_y - 9), style),
                drawing.path("M%g %gl-5 -9h10z" % (middle, to_y), head)]  # fmt: skip
    # where boxes are not side by side, it enters at the height that both have
    level = min(max(y + HEIGHT / 2, to_y + 14), to_y + HEIGHT - 14)
    return [drawing.path("M%g %gH%g" % (x + BOX, level, to_x - 8), style),
            drawing.path("M%g %gl-9 -5v10z" % (to_x, level), head)]  # fmt: skip


def picture() -> str:
    """Return the text of the picture.

    Raises:
        KeyError: the workflow has a step that has no place here.
    """
    after = steps()
    end = TOP + 3 * HEIGHT + 2 * ROW_GAP + 14
    parts = [drawing.rect(0, 0, WIDTH, end, "ground"), drawing.text(LEFT, 30, HEADING, "name")]
    for name, ways in after.items():
        for how, names in ways.items():
            for following in names:
                parts += arrow(name, following, how)
        x, y = corner(name)
        _column, _row, title, words, style = PLACES[name]
        parts += [drawing.rect(x, y, BOX, HEIGHT, style)]
        parts += [drawing.text(x + 9, y + 26, title, "name red" if style == "bad" else "name")]
        parts += [drawing.text(x + 9, y + 48 + 18 * n, line, "") for n, line in enumerate(words.split("\n"))]
    x, y = corner("roll-back")
    parts.append(drawing.text(LEFT, y + HEIGHT / 2 + 5, "dashed: when a step fails", "soft"))
    head = drawing.HEAD.format(WIDTH, end, HEADING).replace("architecture_picture", "workflow_picture")
    head = head.replace(
        "</style>", "  .line { fill: none; }\n  text { font-size: 13px; }\n  .name { font-size: 14px; }\n</style>"
    )
    return head + "\n".join(parts) + "\n</svg>\n"


def main() -> int:
    """Write or check the picture; return the exit status."""
    wanted = picture()
    if PICTURE.exists() and PICTURE.read_text(encoding="utf-8") == wanted:
        return 0
    if "--check" in sys.argv[1:]:
        print("out of date (run python tools/workflow_picture.py): %s" % PICTURE.relative_to(ROOT))
        return 1
    PICTURE.write_text(wanted, encoding="utf-8")
    print("written: %s" % PICTURE.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
