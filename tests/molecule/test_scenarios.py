# SPDX-License-Identifier: GPL-3.0-or-later
"""Every Molecule scenario, each as one test: check mode first, converge, idempotence, verify."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BIN = pathlib.Path(sys.executable).parent
SCENARIOS = sorted(path.parent.name for path in ROOT.glob("molecule/*/molecule.yml"))

#: `default` is the longest and the most telling: first.
SCENARIOS.sort(key=lambda name: (name != "default", name))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario(scenario: str, capsys: pytest.CaptureFixture) -> None:
    """`molecule test` passes; its whole output is kept in .cache/logs, its steps are shown while it runs."""
    logs = ROOT / ".cache" / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / ("molecule-%s.log" % scenario)
    environment = {**os.environ, "PATH": "%s:%s" % (BIN, os.environ["PATH"]), "NO_COLOR": "1", "PY_COLORS": "0"}
    start = time.monotonic()
    with log.open("w", encoding="utf-8") as out, capsys.disabled():
        print("\n  %s (log: %s)" % (scenario, log.relative_to(ROOT)), flush=True)
        process = subprocess.Popen(
            [str(BIN / "molecule"), "test", "--scenario-name", scenario],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout is not None
        for line in process.stdout:
            out.write(line)
            step = re.search(r"INFO\W+%s\W+(\w+)\W+Executing$" % re.escape(scenario), line.rstrip())
            if step:
                print("    %4d s  %s" % (time.monotonic() - start, step.group(1)), flush=True)
    tail = "".join(log.read_text(encoding="utf-8").splitlines(keepends=True)[-80:])
    assert process.wait() == 0, "scenario %s failed; the end of %s:\n%s" % (scenario, log.relative_to(ROOT), tail)
