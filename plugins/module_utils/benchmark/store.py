# SPDX-License-Identifier: GPL-3.0-or-later
"""Benchmarks kept on a host: ``<folder of the service>/benchmarks/<UTC time>-<profile>/{run-<n>.json,result.json}``.

``run-<n>.json`` is what vLLM wrote. Folders are 0750 and files 0640. Python standard library only; runs on target
hosts.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time

from ansible_collections.myia.vllm.plugins.module_utils.benchmark import result as benchmark_result
from ansible_collections.myia.vllm.plugins.module_utils.benchmark import runner as benchmark_runner
from ansible_collections.myia.vllm.plugins.module_utils.common import files

_RESULT = "result.json"

#: Names of the folders; profiles have no other letters (benchmark_profiles.py).
_NAME = re.compile(r"^\d{8}T\d{6}Z-[a-z0-9][a-z0-9_-]*$")


class Store:
    """The benchmarks of one service."""

    def __init__(self, service: str) -> None:
        """Use those below the service's folder."""
        self.path = os.path.join(service, "benchmarks")

    def folder(self, profile: str, now_s: float) -> str:
        """Return where a benchmark of this moment (seconds since 1970) is kept."""
        return os.path.join(self.path, "%s-%s" % (time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_s)), profile))

    def names(self) -> list[str]:
        """Return the kept ones, oldest first."""
        try:
            return sorted(name for name in os.listdir(self.path) if _NAME.match(name))
        except OSError:
            return []

    def raw(self, folder: str, number: int) -> dict:
        """Return what vLLM wrote of run ``number`` (from 1); empty without it."""
        return files.read_json(os.path.join(folder, "run-%d.json" % number))

    def last_good(self, like: dict) -> dict:
        """Return the newest good result with the settings of ``like``, other than itself; empty without one."""
        for name in reversed(self.names()):
            path = os.path.join(self.path, name)
            if path == like["path"]:
                continue
            found = files.read_json(os.path.join(path, _RESULT))
            if found.get("ok") and benchmark_result.same_settings(found, like):
                return {"release": "", "vllm_version": "", "at": "", **found, "path": path}
        return {}

    def save(self, result: dict) -> None:
        """Write a result into its folder."""
        text = json.dumps(result, indent=2, sort_keys=True) + "\n"
        files.write_atomically(os.path.join(result["path"], _RESULT), text, benchmark_runner.FILE_MODE)

    def prune(self, keep: int) -> list[str]:
        """Delete all but the newest ``keep``; return the names of the deleted ones."""
        old = self.names()[:-keep]
        for name in old:
            shutil.rmtree(os.path.join(self.path, name))
        return old
