# SPDX-License-Identifier: GPL-3.0-or-later
"""Words, numbers, lines and time of a failure; never a secret."""

from __future__ import annotations

import pytest
from startup_lines import CATALOGUE, GRAPHS, LOADING, OOM, READY, WRAPPER, diagnose, traceback

from ansible_collections.myia.vllm.plugins.plugin_utils.startup import diagnosis as startup_diagnosis
from ansible_collections.myia.vllm.plugins.plugin_utils.startup import failure_catalogue
from ansible_collections.myia.vllm.plugins.plugin_utils.startup.log_classifier import classify


def test_wrapper_alone() -> None:
    """The answer is that the cause is not in this text, with the wrapper's reference."""
    diagnosis = diagnose(WRAPPER)
    assert (diagnosis["id"], diagnosis["ref"]) == ("unknown", "V61")
    assert diagnosis["cause"] == startup_diagnosis.NOT_IN_TEXT
    assert diagnosis["evidence"] == [WRAPPER]


def test_unknown_configuration() -> None:
    """vLLM's own check of its configuration refused it: no second try helps, whatever it was."""
    diagnosis = diagnose("ValidationError: 1 validation error for ModelConfig", "  Value error, it is odd")
    assert diagnosis["class"] == "configuration"
    assert "Value error, it is odd" in diagnosis["evidence"]


def test_unknown_shows_the_first_traceback() -> None:
    """Its last lines, and what its chain ended with: not the last lines of the log."""
    chain = "\n".join(
        [
            traceback("OSError: root", where="inner"),
            "(Worker_TP1 pid=10) ERROR 11-24 10:00:11 [a.py:7] ",
            "(Worker_TP1 pid=10) ERROR 11-24 10:00:11 [a.py:7] The above exception was the direct cause of it:",
            traceback("LoadError: while loading", where="outer"),
        ]
    )
    diagnosis = diagnose(LOADING, chain, traceback("AssertionError: later", "(Worker_TP0 pid=9) "), WRAPPER)
    assert diagnosis["evidence"] == [
        '(Worker_TP1 pid=10) File "/x/a.py", line 12, in inner',
        "(Worker_TP1 pid=10) OSError: root",
        "(Worker_TP1 pid=10) LoadError: while loading",
    ]
    assert (diagnosis["ref"], diagnosis["class"], diagnosis["phase"]) == ("", "once", "load")


@pytest.mark.parametrize(
    ("before", "where", "phase", "word"),
    [
        ([LOADING], "run", "load", "vllm_tensor_parallel_size"),
        ([LOADING, GRAPHS], "run", "graphs", "vllm_enforce_eager"),
        # the log's own lines are missing, the frames say it
        ([], "load_model", "load", "vllm_tensor_parallel_size"),
        ([], "determine_available_memory", "memory", "vllm_max_num_batched_tokens"),
        ([LOADING], "capture_model", "graphs", "vllm_enforce_eager"),
        ([], "run", "container_up", "vllm_gpu_memory_utilization"),
    ],
    ids=str,
)
def test_phase_decides_the_fix(before, where, phase, word) -> None:
    """The same failure has another fix in another phase."""
    diagnosis = diagnose(*before, traceback(OOM, where=where))
    assert diagnosis["phase"] == phase
    assert word in diagnosis["fix"]


def test_values() -> None:
    """Numbers of the line are in the cause, in the fix and by name; without them there is no gap in the text."""
    line = (
        "ValueError: To serve at least one request with the models's max seq len (131072), (16.00 GiB KV cache is "
        "needed, which is larger than the available KV cache memory (10.52 GiB)."
    )
    diagnosis = diagnose(line + " Based on the available memory, the estimated maximum model length is 86176.")
    assert diagnosis["numbers"] == {"length": "131072", "needed": "16.00", "available": "10.52", "estimate": "86176"}
    assert "86176 tokens fit" in diagnosis["cause"]
    assert diagnosis["fix"].endswith("At most 86176 for vllm_max_model_len.")
    diagnosis = diagnose(line)
    assert diagnosis["cause"].endswith("than there is.")
    assert "{" not in diagnosis["fix"]


def test_values_of_a_wrapped_line() -> None:
    """They are found where a terminal broke the line."""
    diagnosis = diagnose(
        "  Value error, User-specified max_model_len (65536) is greater than\n"
        "  the derived max_model_len (max_position_embeddings=16384.0 or model_max_length=None in model's",
        "  config.json).",
    )
    assert diagnosis["numbers"] == {"length": "65536", "limit": "16384"}


def test_values_behind_a_wrapped_line() -> None:
    """What an error says in numbers is read once, though its text is both a line and a part of a paragraph."""
    text = "it is too long: the value is 5 there"
    entry = {"id": "own", "class": "host", "cause": "c", "fix": "f", "patterns": ["the value is"],
             "values": [r"(?P<all>value is 5.*value is 5)", r"value is (?P<one>\d)"]}  # fmt: skip
    diagnosis = classify("ValueError: x\n%s\n" % text, failure_catalogue.load([entry]))
    assert diagnosis["numbers"] == {"one": "5"}


def test_certain() -> None:
    """A cause is certain; a symptom or a wrapper may still be explained by a line to come."""
    assert diagnose(traceback(OOM))["certain"]
    assert not diagnose(traceback("RuntimeError: NCCL error: x"))["certain"]
    assert not diagnose(WRAPPER)["certain"]
    assert diagnose(LOADING)["certain"]


def test_no_secret_in_the_answer() -> None:
    """Neither known shapes nor given values."""
    log = "ValueError: own secret PLANTED-1 and hf_PLANTED0123456789 do not match the free form\n"
    entry = {"id": "own", "class": "host", "cause": "c", "fix": "f", "patterns": ["own secret"], "found": "{what}",
             "values": [r"secret (?P<what>\S+)"]}  # fmt: skip
    diagnosis = classify(log, failure_catalogue.load([entry]), secrets=["PLANTED-1"])
    assert diagnosis["id"] == "own"
    assert "PLANTED" not in repr(diagnosis)


@pytest.mark.parametrize(
    ("log", "at_s"),
    [
        pytest.param("2026-01-31T12:00:00Z x\n2026-01-31T12:00:02.5Z %s\n2026-01-31T12:00:09Z y\n" % OOM, 1769860802.5,
                     id="a-cause"),
        pytest.param("2026-01-31T12:00:00Z x\n" + "\n".join(
            "2026-01-31T12:00:0%d.000000000Z %s" % (number, line)
            for number, line in enumerate(traceback("AssertionError: nobody knows").splitlines(), 1)) + "\n",
            1769860801.0, id="where-an-unknown-traceback-begins"),
        pytest.param("x\n%s\n" % OOM, None, id="no-clock"),
        pytest.param("2026-01-31T12:00:00Z %s\n" % READY, None, id="healthy"),
    ],
)  # fmt: skip
def test_time_of_the_failure(log, at_s) -> None:
    """The time of the line that shows it, by the log's own clock."""
    assert classify(log, CATALOGUE)["at_s"] == at_s


def test_time_of_what_no_line_shows() -> None:
    """An exit code has no time of its own."""
    assert classify("2026-01-31T12:00:00Z x\n", CATALOGUE, {"exit_code": 139})["at_s"] is None
