# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue is complete, knows its own lines, and refuses entries that cannot work."""

from __future__ import annotations

import pathlib
import re

import pytest
import yaml

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import role_variables
from ansible_collections.myia.vllm.plugins.plugin_utils.startup import failure_catalogue, log_classifier

DATA = pathlib.Path(__file__).resolve().parents[3] / "data"
LINES = yaml.safe_load((DATA / "failure_lines.yml").read_text(encoding="utf-8"))
ENTRIES = failure_catalogue.data()["failures"]
OWN = {"id": "own", "class": "host", "cause": "c", "fix": "f", "patterns": ["own failure"]}


def test_every_entry_has_lines() -> None:
    """Nothing stands in the catalogue that is not tried; what has no line is tried in test_startup_log.py."""
    assert set(LINES) | {"killed-from-outside"} == {entry["id"] for entry in ENTRIES}


@pytest.mark.parametrize(
    ("identity", "lines"), [(identity, lines) for identity, group in LINES.items() for lines in group], ids=str
)
def test_known_lines(identity, lines) -> None:
    """The entry, and no other, names its lines."""
    log = lines if isinstance(lines, str) else "\n".join(lines)
    diagnosis = log_classifier.classify(log, failure_catalogue.load())
    assert (diagnosis["outcome"], diagnosis["id"]) == ("failed", identity)
    assert diagnosis["evidence"]
    assert "{" not in diagnosis["cause"] + diagnosis["fix"]


def test_entries_are_sound() -> None:
    """The same checks as for users' entries; and each says where it is from."""
    assert failure_catalogue.problems_of(ENTRIES, "failures.yml") == []
    assert not [entry["id"] for entry in ENTRIES if not entry.get("source") or not entry.get("ref")]
    refs = [entry["ref"] for entry in ENTRIES]
    # HTTP 401 is one row of the facts, with a token that is wrong and with none; so is a hub that is not reached
    assert [ref for ref in refs if refs.count(ref) > 1] == ["V50", "V50", "V53", "V53", "V53"]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["id"])
def test_fixes_name_real_variables(entry) -> None:
    """Each variable that a fix names exists; `over` and `values` point to something."""
    texts = [entry["fix"], entry.get("suggest", ""), *entry.get("fix_by_phase", {}).values()]
    named = set(re.findall(r"\b(?:vllm|docker_engine|nvidia_container_toolkit)_[a-z0-9_]+", " ".join(texts)))
    assert named <= role_variables.known_variables()
    everyone = {name for other in ENTRIES for name in (other["id"], other["ref"])}
    wrappers = {wrapper["ref"] for wrapper in failure_catalogue.data()["wrappers"]}
    assert set(entry.get("over", [])) <= everyone | wrappers
    shown = set(re.findall(r"\{(\w+)\}", entry.get("found", "") + entry.get("suggest", "")))
    assert shown <= {name for text in entry.get("values", []) for name in re.compile(text).groupindex}


def test_a_fix_for_the_configuration_names_a_variable() -> None:
    """An entry of the class configuration says which variable to change."""
    assert not [e["id"] for e in ENTRIES if e["class"] == "configuration" and "vllm_" not in e["fix"]]


def test_users_come_first() -> None:
    """A user's entry wins over the collection's own, wherever its line stands."""
    log = "torch.OutOfMemoryError: CUDA out of memory.\nRuntimeError: own failure\n"
    assert log_classifier.classify(log, failure_catalogue.load([]))["id"] == "gpu-out-of-memory"
    diagnosis = log_classifier.classify(log, failure_catalogue.load([OWN]))
    assert (diagnosis["id"], diagnosis["ref"], diagnosis["also"]) == ("own", "own", ["gpu-out-of-memory"])


def test_users_replace() -> None:
    """A user's entry with the id of one of the collection's own replaces it."""
    entry = {**OWN, "id": "gpu-out-of-memory", "fix": "buy more"}
    catalogue = failure_catalogue.load([entry])
    assert [item.fix for item in catalogue.failures if item.id == "gpu-out-of-memory"] == ["buy more"]
    assert len(catalogue.failures) == len(ENTRIES)


def test_not() -> None:
    """A line that the entry excludes does not count."""
    catalogue = failure_catalogue.load([{**OWN, "not": ["again in"]}])
    assert log_classifier.classify("own failure, again in 5 s", catalogue)["outcome"] == "starting"
    assert log_classifier.classify("own failure", catalogue)["outcome"] == "failed"


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ("text", ["extra_failures is str", "expected a list"]),
        (["text"], ["entry 1 is str", "expected a mapping with id, class, cause, fix"]),
        ([{}], ["id is missing", "class is missing", "cause is missing", "fix is missing", "no sign to be known by"]),
        ([{**OWN, "class": "bad"}], ["entry 1 (own)", "'bad'", "configuration, host, transient, once"]),
        ([{**OWN, "pattern": "x"}], ["unknown key pattern", "patterns"]),
        ([{**OWN, "patterns": "x"}], ["patterns must be a list of regular expressions"]),
        ([{**OWN, "patterns": ["("]}], ["'('", "no regular expression"]),
        ([{**OWN, "patterns": [".*"]}], ["'.*'", "matches every line"]),
        ([{**OWN, "patterns": []}], ["no sign to be known by"]),
        ([{**OWN, "all_of": ["x"]}], ["all_of (a list of lists) must be a list"]),
        ([{**OWN, "fix": 5}], ["fix must be a text"]),
        ([{**OWN, "exit_codes": 1}], ["exit_codes must be a list of whole numbers"]),
        ([{**OWN, "over": "V14"}], ["over must be a list of texts"]),
        ([{**OWN, "oom_killed": "yes"}], ["oom_killed must be true or false"]),
        ([{**OWN, "fix_by_phase": ["load"]}], ["fix_by_phase must be a mapping"]),
        ([OWN, OWN], ["entry 2 (own)", "stands twice"]),
    ],
    ids=str,
)
def test_bad_entries(entries, words) -> None:
    """Every problem is told in one message, with the entry and what is expected."""
    with pytest.raises(failure_catalogue.CatalogueError) as caught:
        failure_catalogue.load(entries)
    for word in words:
        assert word in str(caught.value)
