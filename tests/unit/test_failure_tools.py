# SPDX-License-Identifier: GPL-3.0-or-later
"""The tools around the failure catalogue: the troubleshooting page and the scoring of labelled logs."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
import sys

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent

OOM = "torch.OutOfMemoryError: CUDA out of memory."
READY = "INFO:     Application startup complete."


def run(tool: str, *argv: str) -> subprocess.CompletedProcess:
    """Run a tool of the repository."""
    command = [sys.executable, str(ROOT / "tools" / tool), *argv]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_page_is_up_to_date() -> None:
    """docs/troubleshooting.md is what the catalogue says; every entry is on it."""
    done = run("failure_docs.py", "--check")
    assert done.returncode == 0, done.stdout + done.stderr
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    entries = yaml.safe_load(
        (ROOT / "plugins" / "plugin_utils" / "startup" / "failures.yml").read_text(encoding="utf-8")
    )["failures"]
    for entry in entries:
        assert page.count("### %s" % entry["id"]) >= 1


def test_index_by_symptom(monkeypatch) -> None:
    """Each entry stands in the index with a link to its own part; one that was forgotten is an error."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import failure_docs  # noqa: PLC0415 - needs the path above

    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    index = page.partition("## How causes are found")[0]
    anchors = {re.sub(r"[^\w-]", "", found.lower().replace(" ", "-")) for found in re.findall("^### (.+)$", page, re.M)}
    assert set(re.findall(r"\(#([\w-]+)\)", index)) == anchors
    (seen, *_rest) = failure_docs.SYMPTOMS
    monkeypatch.setitem(failure_docs.SYMPTOMS, seen, "no-such-entry")
    with pytest.raises(ValueError, match=r"container-name-taken.*no-such-entry"):
        failure_docs.page()


def case(identity: str, label: str, log: str, outcome: str = "failed", form: str = "log") -> dict:
    """One labelled log."""
    return {"id": identity, "label": label, "log": log, "outcome": outcome, "form": form}


GOOD = [
    case("a", "V14", OOM),
    case("b", "NEW:glibc-too-old", "version `GLIBC_2.38' not found", form="short"),
    case("c", "NEW:nobody-knows", "AssertionError: nobody knows"),
    case("d", "healthy", READY, "healthy"),
]


@pytest.mark.parametrize(
    ("more", "status", "words"),
    [
        ([], 0, ["of kinds with an entry", "1 of 1 (100 %)"]),
        ([case("x", "V10", OOM)], 1, ["wrong", "x: V10 was called failed V14", "V10 as V14 1x"]),
        ([case("x", "NEW:nobody-knows", OOM)], 1, ["wrong", "x: NEW:nobody-knows was called failed V14"]),
        ([case("x", "healthy", OOM, "healthy")], 1, ["false alarm", "x: healthy was called failed V14"]),
        ([case("x", "V10", "AssertionError: new words")], 1, ["unknown", "x: V10 was called failed unknown"]),
        ([case("x", "V10", "nothing")], 1, ["missed", "x: V10 was called starting"]),
    ],
    ids=str,
)
def test_classify(more, status, words, tmp_path) -> None:
    """Right ones are counted, each wrong one is named, and a missed target is the exit status."""
    path = tmp_path / "logs.jsonl"
    path.write_text("".join(json.dumps(item) + "\n" for item in GOOD + more), encoding="utf-8")
    done = run("classify.py", str(path))
    assert done.returncode == status, done.stdout + done.stderr
    for word in words:
        assert word in done.stdout


def test_classify_needs_a_file() -> None:
    """Without a file it says how it is called."""
    done = run("classify.py")
    assert done.returncode == 2
    assert "make classify LOGS=FILE" in done.stderr
