# SPDX-License-Identifier: GPL-3.0-or-later
"""A log says the same whoever carried it: what its lines share in front is found from the log, not from a list."""

from __future__ import annotations

import json
import pathlib

import pytest
from log_prefixes import PREFIXES, carried
from startup_lines import CATALOGUE, LOADING, OOM, READY, VERSION, WRAPPER, traceback

from ansible_collections.myia.vllm.plugins.plugin_utils.startup.log_classifier import classify
from ansible_collections.myia.vllm.plugins.plugin_utils.startup.log_lines import LineReader
from ansible_collections.myia.vllm.plugins.plugin_utils.startup.log_prefix import Prefixes, looks_like_prefix

RECORDED = sorted((pathlib.Path(__file__).resolve().parents[3] / "data" / "startup_logs").glob("*.log"))


def answer(log: str) -> tuple[str, str, str]:
    """What a log is called, and where it came to."""
    diagnosis = classify(log, CATALOGUE)
    return diagnosis["outcome"], diagnosis["id"], diagnosis["phase"]


@pytest.mark.parametrize("name", PREFIXES)
def test_recorded_starts(name) -> None:
    """Each recorded start gives the same answer behind each prefix."""
    wrong = {}
    for path in RECORDED:
        plain = path.read_bytes().decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
        if answer(carried(plain, name)) != answer(plain):
            wrong[path.stem] = answer(carried(plain, name))
    assert wrong == {}


@pytest.mark.parametrize("name", PREFIXES)
@pytest.mark.parametrize(
    ("log", "expected"),
    [
        (traceback("AssertionError: nobody knows", ""), ("failed", "unknown")),
        (traceback(OOM, "ERROR 11-24 10:00:11 [core.py:7] "), ("failed", "gpu-out-of-memory")),
        ("\n".join([VERSION, LOADING, traceback("OddError", ""), WRAPPER]), ("failed", "unknown")),
        ("\n".join([VERSION, LOADING]), ("starting", "")),
        ("\n".join([VERSION, LOADING, READY]), ("healthy", "")),
        (
            "\n".join([VERSION, "WARNING 11-24 10:00:02 [a.py:1] CUDA out of memory is likely", LOADING]),
            ("starting", ""),
        ),
    ],
    ids=["plain traceback", "traceback with heads", "odd exception", "starting", "healthy", "a warning"],
)
def test_small_logs(name, log, expected) -> None:
    """A few lines are enough."""
    assert answer(carried(log, name))[:2] == expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        # the first line may be anything; the second shows what they share
        (["stderr: Traceback (most recent call last):", 'stderr:   File "a.py", line 1, in f', "stderr: OddError: x"],
         "OddError: x"),
        (["job 7> (APIServer pid=1) a", "job 8> (APIServer pid=1) b", "job 9> Killed"], "Killed"),
        # one line proves nothing
        (["$ docker logs vllm(APIServer pid=1) INFO 11-24 10:00:00 [a.py:1] a", "$ docker logs vllm"],
         "$ docker logs vllm"),
        # a sentence before a traceback is no prefix
        (["EngineCore hit an exception: Traceback (most recent call last):"] * 3,
         "EngineCore hit an exception: Traceback (most recent call last):"),
        # an indented line keeps its indentation
        (["pod 1 (APIServer pid=1) a", "pod 1 (APIServer pid=1) b", "pod 1     deep"], "    deep"),
    ],
    ids=str,
)  # fmt: skip
def test_learnt(lines, expected) -> None:
    """What is left of the last line."""
    assert [line.text for line in LineReader().feed("\n".join(lines) + "\n")][-1] == expected


def test_shapes_are_bounded() -> None:
    """A log in which each line has another prefix does not grow what is kept."""
    prefixes = Prefixes()
    for number in range(1000):
        word = "".join(chr(97 + int(digit)) for digit in str(number))
        prefixes.length("%s says (APIServer pid=1) x" % word)
        prefixes.length("[%s] (APIServer pid=1) x" % word)
    assert len(prefixes._shapes) < 50
    assert len(prefixes._seen) < 200


@pytest.mark.parametrize(
    ("text", "expected"),
    [("2026-11-24 10:00:00,123 - vllm.core - WARNING - ", True), ("[pod/a/b] ", True), ("> ", True), ("", False),
     ("stderr: ", True), ("Nov 24 10:00:00 ", True), ("EngineCore hit an exception: ", False),
     ("Worker failed with error '", False), ("raise ", False)],
    ids=str,
)  # fmt: skip
def test_looks_like_prefix(text, expected) -> None:
    """Stamps, brackets and separators are a prefix, words are not."""
    assert looks_like_prefix(text) is expected


FORMATS = {
    "Python's": "2026-11-24 10:00:00,123 - vllm.core - {level} - {text}",
    "short": "2026-11-24 10:00:00 {level} core.py:12 {text}",
    "brackets": "[2026-11-24 10:00:00][{level}] {text}",
    "Ray's": "2026-11-24 10:00:00,123\t{level} worker.py:1564 -- {text}",
    "logfmt": 'time="2026-11-24T10:00:00Z" level={lower} msg="{text}"',
    "JSON": '{{"asctime": "2026-11-24 10:00:00", "levelname": "{level}", "message": "{text}"}}',
    "JSON behind a stamp": '2026-11-24T10:00:00.5Z {{"ts": 5.5, "severity": "{lower}", "msg": "{text}"}}',
}


@pytest.mark.parametrize("name", FORMATS)
def test_other_formats(name) -> None:
    """vLLM's log in a format of the operator's: a warning is none of its failures, an error is one."""

    def written(level: str, text: str) -> str:
        return FORMATS[name].format(level=level, lower=level.lower(), text=text) + "\n"

    start = written("INFO", "vLLM API server version 0.32.0") + written("INFO", "Starting to load model a/b...")
    warned = start + written("WARNING", "CUDA out of memory is likely")
    assert answer(warned) == ("starting", "", "load")
    assert answer(warned + written("ERROR", "RuntimeError: NCCL error: unhandled system error"))[1] == "nccl-error"


def test_json_with_a_traceback() -> None:
    """A formatter of JSON puts the text of an exception into a field of its own; journald holds one line in each."""
    record = {"levelname": "ERROR", "message": "EngineCore failed to start.", "exc_info": traceback("OddError: x", "")}
    assert classify(json.dumps(record) + "\n", CATALOGUE)["evidence"][-1] == "OddError: x"
    lines = traceback(OOM, "").split("\n")
    journal = "".join(json.dumps({"__REALTIME_TIMESTAMP": "1", "MESSAGE": line}) + "\n" for line in lines)
    assert answer(journal)[:2] == ("failed", "gpu-out-of-memory")
    # an answer to a request is no log
    assert [line.text for line in LineReader().feed('{"message": "no"}\n')] == ['{"message": "no"}']
