# SPDX-License-Identifier: GPL-3.0-or-later
"""What ended a service that Docker has started again, by the log that its container kept."""

from __future__ import annotations

import base64
import gzip
import pathlib

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.report import crash

LOGS = pathlib.Path(__file__).resolve().parents[3] / "data" / "startup_logs"


def told(*logs: str, extra: list | None = None, secrets: tuple = ()) -> dict:
    """What is found in the logs of a container's lives, one after the other."""
    text = "".join((LOGS / name).read_text(encoding="utf-8") for name in logs)
    packed = base64.b64encode(gzip.compress(text.encode())).decode()
    found = crash.named({"container": {"name": "c"}, "ended_log_gz": packed}, extra or [], list(secrets))
    assert "ended_log_gz" not in found
    return found["container"]["crash"]


@pytest.mark.parametrize(
    ("logs", "name"),
    [
        (("killed-when-ready.log",), "engine-died"),
        (("healthy-eager.log", "killed-when-ready.log"), "engine-died"),
        # the last end counts
        (("host-memory-exhausted.log", "killed-when-ready.log"), "engine-died"),
        (("killed-when-ready.log", "no-memory-for-kv-cache.log"), "no-memory-for-kv-cache"),
        (("healthy-eager.log",), ""),
    ],
)
def test_named(logs, name) -> None:
    """By the last of the container's lives; a service that was well until it was gone had no failure of its own."""
    found = told(*logs)
    assert found["id"] == name
    assert bool(found["cause"]) == bool(found["evidence"]) == bool(name)


def test_a_secret_is_not_shown() -> None:
    """Not even one that vLLM wrote into the line that shows it."""
    shown = " ".join(told("killed-when-ready.log")["evidence"])
    word = max(shown.split(), key=len)
    assert word not in " ".join(told("killed-when-ready.log", secrets=(word,))["evidence"])


@pytest.mark.parametrize(("extra", "name"), [([{"id": 5}], "engine-died"), ([], "engine-died")])
def test_bad_entries_of_the_operator(extra, name) -> None:
    """They are refused elsewhere; a report is made all the same."""
    assert told("killed-when-ready.log", extra=extra)["id"] == name


@pytest.mark.parametrize("snapshot", [{}, {"unreachable": True}, {"container": {"name": "c"}, "ended_log_gz": ""}])
def test_not_restarted(snapshot) -> None:
    """Nothing is said of a crash."""
    assert "crash" not in crash.named(snapshot, [], []).get("container", {})
