# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/capacity.md prints what the code prints: its command is run, and its figures are measured anew."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TEXT = (ROOT / "docs" / "capacity.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", TEXT, flags=re.DOTALL)
OPTIONS = dict(re.findall(r"(\w+)=(\S+?)(?=[\s\"])", BLOCKS[0][1]))
PRINTED = [block for kind, block in BLOCKS[1:] if not kind]


@pytest.mark.parametrize(
    ("dtype", "printed"),
    [pytest.param("auto", PRINTED[0], id="16-bit"), pytest.param("fp8", PRINTED[1], id="fp8")],
)
def test_worked_example(dtype, printed, run_module) -> None:
    """The module gives the lines shown for the options shown."""
    options = {**OPTIONS, "kv_cache_dtype": dtype, "model_config": OPTIONS["model_config"].replace("$PWD", str(ROOT))}
    assert run_module("capacity_info", **options)["capacity"]["explanation"] == printed.splitlines()


def test_newer_version(run_module) -> None:
    """So do the tokens named for vLLM 0.32, and for the first suggestion there."""
    options = {**OPTIONS, "kv_cache_dtype": "fp8", "vllm_version": "0.32.0"}
    options["model_config"] = OPTIONS["model_config"].replace("$PWD", str(ROOT))
    planned = run_module("capacity_info", **options)["capacity"]
    first = planned["suggestions"][0]
    assert (first["variable"], first["value"]) == ("vllm_max_num_seqs", 64)
    better = run_module("capacity_info", **options, max_num_seqs=64)["capacity"]
    for found, fits in ((planned, "uncertain"), (better, "yes")):
        assert found["fits"] == fits
        assert "%d to %d" % (found["kv_tokens"]["low"], found["kv_tokens"]["high"]) in TEXT, json.dumps(
            found["kv_tokens"]
        )


def test_measured() -> None:
    """The table of figures is the one that ``make bench-capacity`` prints."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "bench_capacity.py")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    table = [line for line in done.stdout.splitlines() if not line.startswith("one plan")]
    assert PRINTED[2].splitlines() == table
