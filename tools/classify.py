# SPDX-License-Identifier: GPL-3.0-or-later
"""Score the failure catalogue on a file of labelled start-up logs: ``python tools/classify.py FILE`` (JSON lines).

Each line is an object with ``id``, ``log``, ``outcome`` (failed, healthy or stopped), ``label`` (a ref, NEW:kind,
or healthy) and ``form``; ``evidence`` is what is known besides the log. Right are: the label's own entry; for a NEW
kind ``unknown`` too; for a healthy or stopped log anything but failed. With ``--verbose`` each diagnosis is shown with
its evidence, with ``--carried`` how many logs say the same behind each prefix of ``tests/resources/log_prefixes.py``.
"""

from __future__ import annotations

import collections
import json
import pathlib
import sys
import time
from collections.abc import Callable

from ansible.plugins.loader import init_plugin_loader

ROOT = pathlib.Path(__file__).resolve().parent.parent


def verdict(case: dict, diagnosis: dict, refs: set[str]) -> str:
    """Return right, wrong, unknown (an entry was not found), missed (not seen as failed) or false alarm."""
    label = case["label"].removeprefix("NEW:")
    if case["outcome"] != "failed":
        return "false alarm" if diagnosis["outcome"] == "failed" else "right"
    if diagnosis["outcome"] != "failed":
        return "missed"
    if label in (diagnosis["ref"], diagnosis["id"]):
        return "right"
    if diagnosis["id"] == "unknown":
        return "unknown" if label in refs and not case["label"].startswith("NEW:") else "right"
    return "wrong"


def share(results: list[str]) -> str:
    """Return the share of right ones as text."""
    right = results.count("right")
    return "%d of %d (%d %%)" % (right, len(results), 100 * right / len(results)) if results else "none"


def carried(cases: list[dict], classify: Callable[[str, dict | None], dict]) -> None:
    """Print for each prefix how many logs give the same answer behind it."""
    sys.path.insert(0, str(ROOT / "tests" / "resources"))
    import log_prefixes  # noqa: PLC0415 the tests' own

    def answer(log: str, case: dict) -> tuple[str, str, str]:
        diagnosis = classify(log, case.get("evidence"))
        return diagnosis["outcome"], diagnosis["id"], diagnosis["phase"]

    for name in log_prefixes.PREFIXES:
        other = [
            case["id"]
            for case in cases
            if answer(log_prefixes.carried(case["log"], name), case)
            != answer(case["log"].replace("\r\n", "\n").replace("\r", "\n"), case)
        ]
        print("%-24s the same: %d of %d" % (name, len(cases) - len(other), len(cases)), *other)


def main(argv: list[str]) -> int:
    """Score a file; return 1 when a target is missed: 90 % of known kinds, no false alarm, nothing named wrongly."""
    init_plugin_loader([str(ROOT / "collections")])
    from ansible_collections.myia.vllm.plugins.plugin_utils.startup import (  # noqa: PLC0415 the loader comes first
        failure_catalogue,
        log_classifier,
    )

    paths = [text for text in argv if not text.startswith("-")]
    if len(paths) != 1:
        print("usage: make classify LOGS=FILE", file=sys.stderr)
        return 2
    catalogue = failure_catalogue.load()
    refs = {entry.ref for entry in catalogue.failures} | {wrapper.ref for wrapper in catalogue.wrappers}
    cases = [json.loads(text) for text in pathlib.Path(paths[0]).read_text(encoding="utf-8").splitlines() if text]
    results = []
    started = time.perf_counter()
    for case in cases:
        diagnosis = log_classifier.classify(case["log"], catalogue, case.get("evidence"))
        results.append((case, diagnosis, verdict(case, diagnosis, refs)))
    seconds = time.perf_counter() - started
    if "--verbose" in argv:
        for case, diagnosis, judged in results:
            print("%s %s: %s %s [%s]" % (case["id"], case["label"], judged, diagnosis["id"], diagnosis["phase"]))
            print("".join("    | %s\n" % text[:200] for text in diagnosis["evidence"]), end="")

    if "--carried" in argv:
        carried(cases, lambda log, evidence: log_classifier.classify(log, catalogue, evidence))

    failed = [row for row in results if row[0]["outcome"] == "failed"]
    known = [row for row in failed if row[0]["label"].removeprefix("NEW:") in refs]
    other = [row for row in failed if row not in known]
    healthy = [row for row in results if row[0]["outcome"] != "failed"]
    print("%d logs in %.2f s" % (len(cases), seconds))
    for name, rows in (
        ("of kinds with an entry", known),
        ("of kinds without one", other),
        ("healthy and stopped", healthy),
    ):
        whole = [judged for case, _d, judged in rows if case["form"] == "log"]
        short = [judged for case, _d, judged in rows if case["form"] != "log"]
        print("%-24s whole logs: %-18s short and quoted: %s" % (name, share(whole), share(short)))
    bad = [row for row in results if row[2] != "right"]
    confusion = collections.Counter(
        (case["label"], diagnosis["ref"] or diagnosis["id"] or diagnosis["outcome"]) for case, diagnosis, _j in bad
    )
    for case, diagnosis, judged in bad:
        print("%-12s %s: %s was called %s" % (judged, case["id"], case["label"], _name(diagnosis)))
    if confusion:
        print("confused: " + ", ".join("%s as %s %dx" % (*pair, count) for pair, count in confusion.most_common()))
    judged = [row[2] for row in results]
    enough = sum(row[2] == "right" for row in known) >= 0.9 * len(known)
    return 0 if enough and not {"false alarm", "wrong"} & set(judged) else 1


def _name(diagnosis: dict) -> str:
    return " ".join(text for text in (diagnosis["outcome"], diagnosis["ref"], diagnosis["id"]) if text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
