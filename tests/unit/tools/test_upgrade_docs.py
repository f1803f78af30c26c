# SPDX-License-Identifier: GPL-3.0-or-later
"""The page on upgrading is what the table says."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import vllm_options, vllm_versions

ROOT = pathlib.Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "upgrading.md").read_text(encoding="utf-8")


def test_page_is_up_to_date() -> None:
    """Whoever adds a release to the table writes it anew."""
    words = [sys.executable, str(ROOT / "tools" / "upgrade_docs.py"), "--check"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_every_option_that_went() -> None:
    """Each stands on the page with what takes its place, at the release without it."""
    known = vllm_options.versions()
    for name, history in vllm_options.data()["options"].items():
        last = history[-1].get("until")
        if last:
            gone = known[known.index(last) + 1]
            section = PAGE.partition("\n## %s\n" % gone)[2].partition("\n## ")[0]
            assert "- **Gone:** `%s`: " % name in section, name
            assert name in vllm_versions.REPLACEMENTS, name


@pytest.mark.parametrize(
    ("version", "text"),
    [
        ("0.20.0", "CUDA 13.0, driver 580 or later (was CUDA 12.9, 575)"),
        ("0.20.0", "`gpu-memory-utilization`: 0.92, was 0.9"),
        ("0.12.0", "`vllm:time_per_output_token_seconds`"),
        ("0.12.0", "`rope_parameters` instead of `rope_scaling`"),
    ],
)
def test_what_moved(version, text) -> None:
    """At its release."""
    assert text in PAGE.partition("\n## %s\n" % version)[2].partition("\n## ")[0]
